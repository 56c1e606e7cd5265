"""Walk through every history of the simulated world up to a length."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pollreload.settings import Settings
from tests.support.simulation import Simulation

# Short times, so that a few symbols reach every state.
WATCH = Settings(
    paths=('/c',), process='app', interval=2.0, settle=1.0, empty_grace=3.0,
    survive=1.0, command_timeout=2.0,
)
PAUSE = 1.3  # s after each symbol: less than a poll, more than --settle

SYMBOLS: dict[str, Callable[[Simulation], object]] = {
    'version A': lambda world: world.put('A'),
    'version B': lambda world: world.put('B'),
    'empty': lambda world: world.put('empty'),
    'unreadable': lambda world: world.hide(),
    'torn': lambda world: world.put('torn'),
    'absent': lambda world: world.end_all(),
    'present': lambda world: world.make_ready() if world.root() else world.start(),
    'restarted': lambda world: world.restart(),
    'forked': lambda world: world.fork(),
    'dies of it': lambda world: world.alter_root(dies=True),
    'refuses': lambda world: world.alter_root(refuses=True),
    'not ready': lambda world: world.alter_root(stopped=True),
    'no handler': lambda world: world.alter_root(disposition='default'),
    'invalid': lambda world: world.refuse_for(validate=5.0),
    'unverified': lambda world: world.refuse_for(verify=5.0),
    'run with ledger': lambda world: world.crash(keep=True),
    'run without ledger': lambda world: world.crash(keep=False),
    'time passes': lambda world: world.run(14.0),
}


GENERATIONS: dict[str, Callable[[Simulation], object]] = {
    'hands over': lambda world: world.alter_root(hands_over=True),
    'starts slowly': lambda world: world.start_slowly(),
    'daemonized': lambda world: world.daemonize(),
    'upgraded': lambda world: world.upgrade(),
    'retired': lambda world: world.retire(),
    'renamed': lambda world: world.rename(),
    **{name: SYMBOLS[name] for name in (
        'version A', 'version B', 'restarted', 'dies of it', 'no handler', 'absent',
        'present', 'run with ledger', 'run without ledger', 'time passes',
    )},
}
COMMANDS = ('invalid', 'unverified')  # no effect without --validate, --verify


def walk(
        world: Simulation, names: Sequence[str], length: int,
        symbols: Mapping[str, Callable[[Simulation], object]] = SYMBOLS,
) -> int:
    """Walk through every history that continues from here; return their number.

    Each world is copied at each branch, so that a common beginning is played once.
    Symbols that lead to equal worlds share one walk. A failed assertion names its
    history.
    """
    world.copy().converge()
    if not length:
        return 1
    walked = 1
    seen: list[tuple[Simulation, int]] = []
    for name in names:
        further = world.copy()
        try:
            symbols[name](further)
            known = [count for other, count in seen if further.equals(other)]
            if not known:
                seen.append((further.copy(), 0))
                further.run(PAUSE)
                known = [walk(further, names, length - 1, symbols)]
                seen[-1] = seen[-1][0], known[0]
        except AssertionError as error:
            raise AssertionError(f'{name} > {error}') from None
        walked += known[0]
    return walked
