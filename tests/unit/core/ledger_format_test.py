"""What outlives a run."""
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
TOLD = st.builds(
    lambda pid, started, comm, sends, phase, at: Target(
        Process(pid, 0, started, comm), sends, phase, at, int(at * 100), 'caught',
    ), st.integers(1, 2**22), NUMBERS, NAMES, st.integers(0, 9),
    st.sampled_from(sorted(PHASES)), TIMES,
)
CONTENTS = st.builds(
    lambda known, seen, seen_at, done, left, altered, doubts: change.Memory(
        'due', known, '', seen, seen_at, done, left, seen, altered, doubts=doubts,
    ), st.lists(KNOWN, min_size=1, max_size=3).map(tuple), NAMES, TIMES, NAMES, TIMES,
    TIMES, st.dictionaries(
        st.tuples(st.integers(0, 9), NAMES), st.tuples(TIMES, DIGESTS), max_size=2,
    ),
)
STATES = st.builds(
    lambda content, told, tries, again, deaths, acted, acted_at, counts: State(
        content, Attempt(
            content.seen, told, tries, again, True, acted, acted_at, *counts,
        ), deaths, 'caught', previous=content.delivered,
        changed=((content.seen,), acted),
    ), CONTENTS, st.lists(TOLD, max_size=3).map(tuple), st.integers(0, 99), TIMES,
    st.integers(0, 9), st.integers(0, 9), TIMES,
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
)


def written(state: State, here: Here = HERE) -> dict[str, Any]:
    """Return a state as it comes back from a file."""
    back: dict[str, Any] = json.loads(json.dumps(dump(state, here)))
    return back


def again(kept: dict[str, Any], here: Here = HERE) -> State:
    """Return the state that a ledger keeps."""
    state = revive(kept, here, fingerprint)
    assert state is not None
    return state


@given(STATES)
def test_what_is_written_comes_back(state):
    """All that outlives a run is there again, and nothing else is."""
    content, attempt = state.version, state.attempt

    back = again(written(state))

    resting = bool(content.delivered) and content.delivered == content.seen
    assert back == State(
        version=change.Memory(
            state='current' if resting else 'settling', known=content.known,
            known_print=fingerprint([it and it.files for it in content.known]),
            seen=content.seen, seen_at=content.seen_at, delivered=content.delivered,
            left=content.left, firm=content.firm, altered=content.altered,
            doubts=content.doubts,
        ),
        attempt=Attempt(
            attempt.fingerprint,
            tuple(told._replace(phase=PHASES[told.phase]) for told in attempt.targets),
            attempt.tries, acted=attempt.acted, acted_at=attempt.acted_at,
            doubted=attempt.doubted, rounds=attempt.rounds,
        ),
        deaths=state.deaths, deadly=state.deadly, previous=state.previous,
        changed=state.changed,
    )


@given(STATES)
def test_what_comes_back_is_written_the_same(state):
    """A run that sees nothing new leaves the ledger as it is."""
    once = written(again(written(state)))

    assert written(again(once)) == once


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
    pytest.param(HERE._replace(boot=''), id='a boot that is not known'),
])
def test_after_a_boot_only_what_is_done_counts(here):
    """Boot seconds and pids of another boot mean nothing; what is done does."""
    then = HERE if here.boot else here

    back = again(written(STATE, then), here)

    assert (back.version.state, back.version.delivered) == ('current', '=A')
    assert (back.version.seen, back.version.left, back.version.doubts) == ('', 0.0, {})
    assert back.attempt == Attempt()
    assert back.version.known == STATE.version.known
    assert ledger_format.latest(back) <= 0.0


@pytest.mark.parametrize(('then', 'now'), [('pid:[1]', 'pid:[2]'), ('', '')])
def test_a_pid_of_another_namespace_is_nobody(then, now):
    """In another pid namespace, or one that is not known, no target was told."""
    back = again(written(STATE, HERE._replace(pids=then)), HERE._replace(pids=now))

    assert back.attempt == STATE.attempt._replace(targets=())
    assert back.version.seen == '=B'


def test_root_that_was_passed_over_is_so_in_the_next_run():
    """It is no target, so a restart changes nothing about it."""
    root = Target(Process(40, 1, 3900, 'app'), phase=PASSED_OVER)
    back = again(written(STATE._replace(notified=(root,))))

    assert [(each.process.pid, each.phase) for each in back.notified] == [
        (40, PASSED_OVER),
    ]


def test_another_watchs_ledger_is_none():
    """With another key nothing comes back."""
    assert revive(written(STATE), HERE._replace(key='other'), fingerprint) is None


def test_nothing_done_is_on_its_way():
    """Where nothing is done, what is seen first is to settle."""
    back = again(written(STATE._replace(version=change.void(STATE.version))))

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
# What 0.1.0 did not write: of an attempt, and of the content.
ACTED = ('acted', 'acted_at', 'doubted', 'rounds')


def spoilt(place: tuple[Any, ...], value: object, remove: bool = False) -> Any:
    """Return a ledger in which one value is another, or is missing."""
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
def test_garbage_is_an_error_of_four_kinds(value):
    """Anything anywhere comes back as a state, or raises what is expected of it."""
    for place in PLACES:
        try:
            state = revive(spoilt(place, value), HERE, fingerprint)
        except ERRORS:
            continue
        assert state is None or isinstance(state, State)
        if state is not None:
            assert abs(state.version.seen_at) < 1e19, place


def test_what_is_missing_is_an_error():
    """A ledger without one of its entries is corrupt."""
    for place in PLACES:
        if not place or isinstance(place[-1], int) or place[-2:-1] == ('files',):
            continue  # an entry less of several is another content
        with pytest.raises(ERRORS):
            revive(spoilt(place, None, remove=True), HERE, fingerprint)


@pytest.mark.parametrize('value', [-1, 1.0, True, '1', None, 2**62])
def test_a_count_is_a_whole_number_from_0(value):
    """Nothing is counted with a sign, a fraction, or a truth."""
    with pytest.raises(ValueError, match='is not a count'):
        ledger_format.count(value)


def test_nothing_known_is_an_error():
    """A ledger without a single path is corrupt."""
    with pytest.raises(ValueError, match='nothing is known'):
        again(spoilt(('known',), []))


@pytest.mark.parametrize('phase', ['gone', 'done'])
def test_ledger_with_an_unknown_phase_is_damaged(phase):
    """Also one that an earlier version has written."""
    with pytest.raises(ValueError, match=f"'{phase}' is no phase"):
        again(spoilt(('attempt', 'targets', 0, 'phase'), phase))


@pytest.mark.parametrize(('state', 'at'), [
    pytest.param(State(), 0.0, id='a blank one'),
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
    pytest.param(STATE, 50.0, id='all of it'),
])
def test_the_latest_time_of_a_state(state, at):
    """No time that a ledger speaks of is left out, where it may be in the future."""
    assert ledger_format.latest(state) == at


@pytest.mark.parametrize('value', [0, None, b'x', ['x']])
def test_text_is_text(value):
    """What is no text is no name."""
    with pytest.raises(TypeError, match='is not text'):
        ledger_format.text(value)
