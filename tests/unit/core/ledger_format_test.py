"""What the ledger keeps between runs."""
from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollreload.core import change, ledger_format
from pollreload.core.attempt import PASSED_OVER, Attempt, Target
from pollreload.core.ledger_format import Here, dump, revive
from pollreload.core.process import Process
from pollreload.core.reading import EMPTY, UNREADABLE, Known
from pollreload.core.state import State
from tests.support.simulation import blob, fingerprint

HERE = Here('key', 'boot', 'pid:[1]')
NAMES = st.binary(max_size=8).map(os.fsdecode)
TIMES = st.floats(0.0, 1e9)
DIGESTS = st.sampled_from((blob('A'), blob('B'), EMPTY, UNREADABLE))
PHASES = {
    'failed': 'failed', 'up to date': 'up to date', 'terminating': 'terminating',
    'sent': 'pending', 'pending': 'pending', 'delivered': 'pending',
    'verified': 'pending',
}
KNOWN = st.none() | st.builds(
    Known, st.sampled_from(('file', 'directory', 'glob')),
    st.dictionaries(NAMES, DIGESTS, max_size=3),
)
NUMBERS = st.integers(0, 2**52)
TARGETS = st.builds(
    lambda pid, started, comm, sends, phase, at: Target(
        Process(pid, 0, started, comm), sends, phase, at, int(at * 100), 'caught',
    ), st.integers(1, 2**22), NUMBERS, NAMES, st.integers(0, 9),
    st.sampled_from(sorted(PHASES)), TIMES,
)
VERSIONS = st.builds(
    lambda known, seen, seen_at, done, left, altered, doubts: change.Memory(
        'due', known, '', seen, seen_at, done, left, seen, altered, doubts=doubts,
    ), st.lists(KNOWN, min_size=1, max_size=3).map(tuple), NAMES, TIMES, NAMES, TIMES,
    TIMES, st.dictionaries(
        st.tuples(st.just(0), NAMES), st.tuples(TIMES, DIGESTS), max_size=2,
    ),
)
STATES = st.builds(
    lambda version, targets, tries, again, deaths, acted, acted_at, counts: State(
        version, Attempt(
            version.seen, targets, tries, again, True, acted, acted_at, *counts,
        ), deaths, 'caught', previous=version.delivered,
        older=targets,
        changed=((version.seen,), acted),
    ), VERSIONS, st.lists(TARGETS, max_size=3).map(tuple), st.integers(0, 99), TIMES,
    st.integers(0, 9), st.integers(0, 9), TIMES,
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
)


def written(state: State, here: Here = HERE) -> dict[str, Any]:
    """Return a state as it is read from a file."""
    back: dict[str, Any] = json.loads(json.dumps(dump(state, here)))
    return back


def loaded(kept: dict[str, Any], here: Here = HERE) -> State:
    """Return the state that a ledger keeps."""
    state = revive(kept, here, fingerprint)
    assert state is not None
    return state


@given(STATES)
def test_state_that_was_written_is_loaded(state):
    """Everything that is kept between runs, and nothing else."""
    version, attempt = state.version, state.attempt

    back = loaded(written(state))

    is_current = bool(version.delivered) and version.delivered == version.seen
    assert back == State(
        version=change.Memory(
            state='current' if is_current else 'settling', known=version.known,
            known_print=fingerprint([it and it.files for it in version.known]),
            seen=version.seen, seen_at=version.seen_at, delivered=version.delivered,
            left=version.left, firm=version.firm, altered=version.altered,
            doubts=version.doubts,
        ),
        attempt=Attempt(
            attempt.fingerprint,
            tuple(
                each._replace(phase=PHASES[each.phase]) for each in attempt.targets
            ),
            attempt.tries, acted=attempt.acted, acted_at=attempt.acted_at,
            doubted=attempt.doubted, rounds=attempt.rounds,
        ),
        deaths=state.deaths, deadly=state.deadly, previous=state.previous,
        changed=state.changed, older=tuple(
            each._replace(phase=PHASES[each.phase]) for each in state.older
        ),
    )


@given(STATES)
def test_loaded_state_is_written_unchanged(state):
    """A run that sees no change leaves the ledger as it is."""
    once = written(loaded(written(state)))

    assert written(loaded(once)) == once


STATE = State(
    version=change.Memory(
        'due', (Known('file', {'': blob('B')}),), '=B', '=B', 50.0, '=A',
        left=40.0, firm='=B', altered=44.0, doubts={(0, ''): (45.0, EMPTY)},
    ),
    attempt=Attempt('=B', (
        Target(Process(41, 1, 4000, 'app'), 1, 'sent', 49.0, 4900),
    ), 2, acted=1, acted_at=49.5, doubted=1, rounds=1),
    deaths=2, deadly='default',
)


@pytest.mark.parametrize('here', [
    pytest.param(HERE._replace(boot='other'), id='another boot'),
    pytest.param(HERE._replace(boot=''), id='unknown boot'),
])
def test_only_the_delivered_version_is_kept_over_a_boot(here):
    """Boot times and pids of another boot mean nothing."""
    then = HERE if here.boot else here

    back = loaded(written(STATE, then), here)

    assert (back.version.state, back.version.delivered) == ('current', '=A')
    assert (back.version.seen, back.version.left, back.version.doubts) == ('', 0.0, {})
    assert back.attempt == Attempt()
    assert back.version.known == STATE.version.known
    assert ledger_format.latest_time(back) <= 0.0


@pytest.mark.parametrize(('then', 'now'), [('pid:[1]', 'pid:[2]'), ('', '')])
def test_targets_of_another_pid_namespace_are_dropped(then, now):
    """Also if a namespace is unknown: its pids may be other processes here."""
    back = loaded(written(STATE, HERE._replace(pids=then)), HERE._replace(pids=now))

    assert back.attempt == STATE.attempt._replace(targets=())
    assert back.version.seen == '=B'


def test_root_that_was_passed_over_stays_so_in_the_next_run():
    """It is no target, so a restart changes nothing about it."""
    root = Target(Process(40, 1, 3900, 'app'), phase=PASSED_OVER)
    back = loaded(written(STATE._replace(notified=(root,))))

    assert [(each.process.pid, each.phase) for each in back.notified] == [
        (40, PASSED_OVER),
    ]


def test_ledger_of_another_watch_is_not_loaded():
    """It has another key."""
    assert revive(written(STATE), HERE._replace(key='other'), fingerprint) is None


def test_version_settles_if_none_was_delivered():
    """The first version that is seen has to settle."""
    back = loaded(written(STATE._replace(version=change.forget(STATE.version))))

    assert (back.version.state, back.version.delivered) == ('settling', '')


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in a JSON document."""
    found = [path]
    if isinstance(value, dict):
        for name, each in value.items():
            found += places(each, (*path, name))
    elif isinstance(value, list):
        for position, each in enumerate(value):
            found += places(each, (*path, position))
    return found


PLACES = places(written(STATE))
JUNK: list[Any] = [
    None, True, 7, -1, 1.5, 'x', '', [], {}, [1], {'a': 1}, [[]], 10**400, -10**400,
    float('inf'), float('-inf'), float('nan'), 2**63, [[0, 'x', 1.0, 'zz']],
    [[float('inf'), 'x', 1.0, '']], {'': 'x'},
]
ERRORS = (ValueError, TypeError, KeyError, AttributeError)


def damaged(place: tuple[Any, ...], value: object, remove: bool = False) -> Any:
    """Return a ledger in which one value is replaced or missing."""
    kept: Any = written(STATE)
    if not place:
        return value
    inner = kept
    for step in place[:-1]:
        inner = inner[step]
    if remove:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return kept


@pytest.mark.parametrize('value', [pytest.param(it, id=repr(it)[:20]) for it in JUNK])
def test_damaged_ledger_raises_one_of_four_errors(value):
    """Any value anywhere is loaded as a state, or raises an error that is expected."""
    for place in PLACES:
        try:
            state = revive(damaged(place, value), HERE, fingerprint)
        except ERRORS:
            continue
        assert state is None or isinstance(state, State)
        if state is not None:
            assert abs(state.version.seen_at) < 1e19, place


def test_ledger_without_an_entry_is_damaged():
    """Each of its entries is required."""
    for place in PLACES:
        if not place or isinstance(place[-1], int) or place[-2:-1] == ('files',):
            continue  # one entry less of several is another version
        with pytest.raises(ERRORS):
            revive(damaged(place, None, remove=True), HERE, fingerprint)


@pytest.mark.parametrize('value', [-1, 1.0, True, '1', None, 2**62])
def test_count_is_a_whole_number_from_0(value):
    """No sign, fraction or truth value is one."""
    with pytest.raises(ValueError, match='is not a count'):
        ledger_format.as_count(value)


def test_ledger_without_a_path_is_damaged():
    """A watch has at least one path."""
    with pytest.raises(ValueError, match='nothing is known'):
        loaded(damaged(('known',), []))


@pytest.mark.parametrize(('entry', 'value'), [
    ('doubts', [[1, '', 1.0, '']]), ('troubles', [[1, 'no such file', 1.0, True, []]]),
])
def test_ledger_that_speaks_of_another_path_is_damaged(entry, value):
    """A later poll would look for the path at that position."""
    with pytest.raises(ValueError, match='there is no path 1'):
        loaded(damaged((entry,), value))


@pytest.mark.parametrize('phase', ['gone', 'done'])
def test_ledger_with_an_unknown_phase_is_damaged(phase):
    """Also if an earlier version of pollreload wrote it."""
    with pytest.raises(ValueError, match=f"'{phase}' is no phase"):
        loaded(damaged(('attempt', 'targets', 0, 'phase'), phase))


@pytest.mark.parametrize(('state', 'at'), [
    pytest.param(State(), 0.0, id='blank'),
    pytest.param(State(change.Memory(seen_at=7.0)), 7.0, id='seen_at'),
    pytest.param(State(change.Memory(left=7.0)), 7.0, id='left'),
    pytest.param(State(change.Memory(read_at=7.0)), 7.0, id='read_at'),
    pytest.param(
        State(change.Memory(doubts={(0, ''): (7.0, b'')})), 7.0, id='a doubt',
    ),
    pytest.param(
        State(attempt=Attempt(targets=(Target(Process(1, 0, 0, ''), at=7.0),))), 7.0,
        id='a signal',
    ),
    pytest.param(State(attempt=Attempt(acted_at=7.0)), 7.0, id='an action'),
    pytest.param(STATE, 50.0, id='all'),
])
def test_latest_time_of_a_state(state, at):
    """No time in a ledger is left out: any of them may be in the future."""
    assert ledger_format.latest_time(state) == at


@pytest.mark.parametrize('value', [0, None, b'x', ['x']])
def test_name_is_text(value):
    """Any other type is an error."""
    with pytest.raises(TypeError, match='is not text'):
        ledger_format.as_text(value)
