"""Every history of the simulated world up to a length."""
from __future__ import annotations

import pytest

from tests.support.simulation import Simulation
from tests.support.walking import COMMANDS, GENERATIONS, SYMBOLS, WATCH, walk


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

    At each history: no target is signalled twice for a version unless an attempt
    failed, no target without a handler is signalled, every event is true, no step is a
    busy loop, and once all obstacles are removed the current version is delivered.
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
@pytest.mark.parametrize(('changes', 'begins', 'opaque'), [
    pytest.param({}, 'present', False, id='plain'),
    pytest.param({}, 'starts slowly', False, id='starting'),
    pytest.param({}, 'starts slowly', True, id='opaque'),
    pytest.param({'verify_workers': True}, 'present', False, id='workers'),
    pytest.param({'survive': 0.0}, 'present', True, id='unobserved'),
    pytest.param({'verify': ('verify',)}, 'present', False, id='verify'),
])
def test_every_history_of_generations(changes, begins, opaque, capsys):
    """A process is not a fixed thing: rule 13 holds whatever takes over from what.

    Programs hand over to a successor, keep two generations, rename themselves, exit
    late, or go to the background long after they have read their files; in the end
    each process has the current version.
    """
    world = Simulation(WATCH._replace(**changes), opaque=opaque)
    GENERATIONS[begins](world)
    world.run(3.0)

    walked = walk(world, [*GENERATIONS], 3, GENERATIONS)

    with capsys.disabled():
        print(f'\n{walked} histories of up to 3 of {len(GENERATIONS)} symbols')
    assert walked == sum(len(GENERATIONS) ** each for each in range(4))
