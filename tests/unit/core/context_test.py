"""The environment of a command: changed files, their limit, and the versions."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollreload.core import context
from pollreload.core.state import NO_NAMES, State
from pollreload.settings import Settings
from tests.support.simulation import Simulation

WATCH = Settings(paths=('/c',), exec=(('one',),), name='web')


def recording(world: Simulation) -> list[Mapping[str, str]]:
    """Record the environments of the commands of a world, in a list that grows."""
    runs: list[Mapping[str, str]] = []
    run = world.world.run

    def recorded(command: Any, additions: Mapping[str, str]) -> str:
        runs.append(additions)
        return run(command, additions)

    world.world = world.world._replace(run=recorded)
    return runs


def world_of(**changes: Any) -> tuple[Simulation, list[Mapping[str, str]]]:
    """Return a world in which version A is delivered, and the recorded environments."""
    targets = 1 if changes.get('process') else 0
    world = Simulation(
        WATCH._replace(**changes), 'directory', targets=targets,
    )
    world.run(20.0)
    return world, recording(world)


def test_command_gets_the_names_and_both_versions():
    """It gets the files that changed since the last delivery, and both fingerprints."""
    world, runs = world_of()

    world.put('B')
    world.run(20.0)

    assert runs == [{
        'POLLRELOAD_CHANGED': '/c/f', 'POLLRELOAD_CHANGED_MORE': '0',
        'POLLRELOAD_FINGERPRINT': 'f=B,n=N', 'POLLRELOAD_PREVIOUS': 'f=A,n=N',
        'POLLRELOAD_WATCH': 'web',
    }]
    assert world.state.changed == world.state.later == NO_NAMES


def test_changes_of_a_version_that_was_never_delivered_are_named():
    """B is refused and C delivered: both changes are named, and A is the previous one.
    """
    world, runs = world_of(validate=('validate',))
    world.refuse_for(validate=8.0)
    world.put('B')
    world.run(7.0)

    world.put('C')
    world.run(60.0)

    assert world.acts[-1].version == 'C'
    assert runs[-1]['POLLRELOAD_PREVIOUS'] == 'f=A,n=N'
    assert runs[-1]['POLLRELOAD_CHANGED'] == '/c/f'


@pytest.mark.parametrize(('signal', 'pid'), [('SIGHUP', '101'), ('SIGTERM', None)])
def test_command_after_a_signal_gets_the_pid_of_the_target(signal, pid):
    """--exec gets the targets that took the version and are still alive."""
    number = {'SIGHUP': 1, 'SIGTERM': 15}[signal]
    world, runs = world_of(
        process='app', signal=Settings().signal._replace(number=number, name=signal),
    )

    world.put('B')
    world.run(30.0)

    assert [each.get('POLLRELOAD_PID') for each in runs] == [pid]


def test_version_that_came_back_is_not_due_and_leaves_no_names():
    """B settled, no delivery began, and A is back: the names of B are dropped."""
    world, _ = world_of()

    world.state = world.state._replace(later=(('/c',), 0))
    world.run(10.0)

    assert world.state.later == NO_NAMES


def test_name_with_a_newline_is_left_out_and_counted():
    """So each line is the complete name of one file."""
    assert context.add(NO_NAMES, ['/a', '/b\n/c', '/d']) == (('/a', '/d'), 1)


@given(st.lists(st.text('a\n', min_size=1, max_size=20_000), max_size=9))
def test_names_are_whole_and_bounded(names):
    """Each name is complete or only counted, and all of them fit into one variable."""
    kept, more = context.add(NO_NAMES, names)

    assert {*kept} <= {*names}
    assert not any('\n' in name for name in kept)
    assert len('\n'.join(kept).encode()) <= context.MOST_BYTES
    assert len({*names}) <= len(kept) + more <= len(names)


def test_name_is_noted_once_over_several_attempts():
    """A file that changes again is named once; the omitted ones are added up."""
    state = context.note_changes(State(changed=(('/a',), 2)), ['/a', '/b', '/n\n'])

    state = context.take_changes(state)

    assert (state.changed, state.later) == ((('/a', '/b'), 3), NO_NAMES)
