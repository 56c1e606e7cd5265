"""Every history of the world up to a length: what must be true at each of them."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from pollreload.settings import Settings
from tests.support.simulation import Simulation

# Short times, so that a few symbols go through all that there is.
WATCH = Settings(
    paths=('/c',), process='app', interval=2.0, settle=1.0, empty_grace=3.0,
    survive=1.0, command_timeout=2.0,
)
PAUSE = 1.3  # s after each symbol: less than a poll, more than --settle

SYMBOLS: dict[str, Callable[[Simulation], object]] = {
    'content A': lambda world: world.put('A'),
    'content B': lambda world: world.put('B'),
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
    'run again': lambda world: world.crash(keep=True),
    'run anew': lambda world: world.crash(keep=False),
    'time passes': lambda world: world.run(14.0),
}


GENERATIONS: dict[str, Callable[[Simulation], object]] = {
    'hands over': lambda world: world.alter_root(hands_over=True),
    'upgraded': lambda world: world.upgrade(),
    'retired': lambda world: world.retire(),
    'renamed': lambda world: world.rename(),
    **{name: SYMBOLS[name] for name in (
        'content A', 'content B', 'restarted', 'dies of it', 'no handler', 'absent',
        'present', 'run again', 'run anew', 'time passes',
    )},
}
COMMANDS = ('invalid', 'unverified')  # of no effect without --validate, --verify


def walk(
        world: Simulation, names: Sequence[str], length: int,
        symbols: Mapping[str, Callable[[Simulation], object]] = SYMBOLS,
) -> int:
    """Walk through every history that goes on from here; return how many there are.

    Each world is a value that is copied where histories part, so that what they
    have in common is played once; symbols that make the same of it are too.
    Whatever is wrong names its history.
    """
    world.copy().settle_down()
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


# Seconds on an idle machine; a busy one that measures coverage takes minutes.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(('changes', 'targets', 'length'), [
    pytest.param({}, 1, 4, id='plain'),
    pytest.param({'select': 'roots'}, 2, 3, id='roots'),
    pytest.param(
        {'validate': ('validate',), 'verify': ('verify',)}, 1, 3, id='commands',
    ),
    pytest.param({'verify_workers': True, 'settle': 0.0}, 1, 3, id='workers'),
])
def test_every_history(changes, targets, length, capsys):
    """Whatever happens in whatever order, every rule of the simulation holds.

    At each history: nobody is told twice of a content unless an attempt failed,
    nobody without a handler is signalled, all that is said is true, no step is
    busy, and once the world is well the content that is there is told.
    """
    watch = WATCH._replace(**changes)
    names = [name for name in SYMBOLS if watch.verify or name not in COMMANDS]
    world = Simulation(watch, targets=targets)
    world.run(3.0)

    walked = walk(world, names, length)

    with capsys.disabled():
        print(f'\n{walked} histories of up to {length} of {len(names)} symbols')
    assert walked == sum(len(names) ** each for each in range(length + 1))


@pytest.mark.timeout(900)
@pytest.mark.parametrize('changes', [
    pytest.param({}, id='plain'), pytest.param({'verify_workers': True}, id='workers'),
    pytest.param({'survive': 0.0}, id='unobserved'),
    pytest.param({'verify': ('verify',)}, id='verify'),
])
def test_every_history_of_generations(changes, capsys):
    """A process is not a fixed thing: rule 13 holds whatever takes over from what.

    Programs hand over to a successor, keep two generations, rename themselves and
    exit late; each process in the end has the version that is there.
    """
    world = Simulation(WATCH._replace(**changes))
    world.run(3.0)

    walked = walk(world, [*GENERATIONS], 3, GENERATIONS)

    with capsys.disabled():
        print(f'\n{walked} histories of up to 3 of {len(GENERATIONS)} symbols')
    assert walked == sum(len(GENERATIONS) ** each for each in range(4))
