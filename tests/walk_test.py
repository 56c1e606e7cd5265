"""Every history of the world up to a length: what must be true at each of them."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from pollreload.settings import Settings
from tests.simulation import Simulation

# Short times, so that a few symbols go through all that there is.
WATCH = Settings(
    paths=('/c',), process='app', interval=2.0, settle=1.0, empty_grace=3.0,
    survive=1.0, command_timeout=2.0,
)
PAUSE = 1.3  # s after each symbol: less than a poll, more than --settle


def once(act: Callable[[Simulation], object]) -> Callable[[Simulation], None]:
    """Return a symbol: something happens, and then a little time passes."""
    def symbol(world: Simulation) -> None:
        act(world)
        world.run(PAUSE)
    return symbol


SYMBOLS: dict[str, Callable[[Simulation], None]] = {
    'content A': once(lambda world: world.put('A')),
    'content B': once(lambda world: world.put('B')),
    'empty': once(lambda world: world.put('empty')),
    'unreadable': once(lambda world: world.hide()),
    'torn': once(lambda world: world.put('torn')),
    'absent': once(lambda world: world.end_all()),
    'present': once(lambda world: world.make_ready() if world.root() else world.start()),
    'restarted': once(lambda world: world.restart()),
    'forked': once(lambda world: world.fork()),
    'dies of it': once(lambda world: world.change_root(dies=True)),
    'refuses': once(lambda world: world.change_root(refuses=True)),
    'not ready': once(lambda world: world.change_root(stopped=True)),
    'no handler': once(lambda world: world.change_root(disposition='default')),
    'invalid': once(lambda world: setattr(world, 'invalid_until', world.now + 5.0)),
    'unverified': once(lambda world: setattr(world, 'unverified_until', world.now + 5.0)),
    'run again': once(lambda world: world.crash(keep=True)),
    'run anew': once(lambda world: world.crash(keep=False)),
    'time passes': lambda world: world.run(14.0),
}


def walk(world: Simulation, length: int, names: tuple[str, ...] = ()) -> int:
    """Walk through every history that goes on from here; return how many there are.

    Each world is a value that is copied where histories part, so that what they
    have in common is played once. Whatever is wrong names its history.
    """
    try:
        world.copy().settle_down()
    except AssertionError as error:
        raise AssertionError(f'{" > ".join(names)}: {error}') from error
    if not length:
        return 1
    walked = 1
    for name, symbol in SYMBOLS.items():
        further = world.copy()
        try:
            symbol(further)
        except AssertionError as error:
            raise AssertionError(f'{" > ".join((*names, name))}: {error}') from error
        walked += walk(further, length - 1, (*names, name))
    return walked


@pytest.mark.parametrize(('commands', 'length'), [
    pytest.param({}, 4, id='plain'),
    pytest.param({'validate': ('validate',), 'verify': ('verify',)}, 3, id='commands'),
    pytest.param({'verify_workers': True, 'settle': 0.0}, 3, id='workers'),
])
def test_every_history(commands, length, capsys):
    """Whatever happens in whatever order, every rule of the simulation holds.

    At each history: nobody is told twice of a content unless an attempt failed,
    nobody without a handler is signalled, all that is said is true, no step is
    busy, and once the world is well the content that is there is told.
    """
    world = Simulation(WATCH._replace(**commands))
    world.run(3.0)

    walked = walk(world, length)

    with capsys.disabled():
        print(f'\n{walked} histories of up to {length} of {len(SYMBOLS)} symbols: ok')
    assert walked == sum(len(SYMBOLS) ** each for each in range(length + 1))
