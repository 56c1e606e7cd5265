"""Which targets have been notified of a version, and when it is tried again."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollreload.core import attempt
from pollreload.core.attempt import Attempt, Target
from pollreload.core.process import Process

MASTER = Process(40, 1, 100_000, 'app')
WORKER = Process(41, 40, 100_000, 'app')


def test_every_phase_of_a_target_has_events_and_can_be_reached():
    """The table is closed, and a run can end in every phase."""
    reached, events = {'untried'}, dict(attempt.TABLE)
    while found := {
        phase for (before, _), (phase, _) in events.items() if before in reached
    } - reached:
        reached |= found

    assert reached == {phase for phase, _ in events}
    assert reached == {phase for phase, event in events if event == 'restarted'}


def test_target_that_was_never_notified_has_an_entry():
    """It is an entry without signals."""
    assert attempt.entry_of(Attempt(), MASTER) == Target(MASTER)


def test_target_is_identified_by_pid_and_start_time():
    """The same pid with another start time is another target."""
    known = Attempt(targets=(Target(MASTER, sends=2),))

    assert attempt.entry_of(known, MASTER._replace(started=1)).sends == 0
    assert attempt.entry_of(known, MASTER._replace(comm='new')).sends == 2


def test_entry_has_the_current_process():
    """The entry is the recorded one; the process is the one that was found now."""
    renamed = MASTER._replace(comm='new')

    entry = attempt.entry_of(Attempt(targets=(Target(MASTER),)), renamed)
    assert entry.process == renamed


def test_record_replaces_the_entry_of_a_target():
    """Each target has one entry."""
    known = Attempt(targets=(Target(MASTER), Target(WORKER)))

    known = attempt.record(known, Target(MASTER, sends=1))

    assert sorted(known.targets) == [Target(MASTER, sends=1), Target(WORKER)]


def test_unmarked_removes_a_target_that_was_never_signalled():
    """A signal that was not sent leaves no trace; earlier signals of that target do."""
    known = Attempt(targets=(Target(MASTER, sends=1), Target(WORKER, sends=2)))

    known = attempt.without_mark(known, Target(MASTER))
    known = attempt.without_mark(known, Target(WORKER, sends=1))

    assert known.targets == (Target(WORKER, sends=1),)


@pytest.mark.parametrize(('process', 'matches', 'answer'), [
    pytest.param(MASTER, (MASTER,), True, id='alone'),
    pytest.param(MASTER, (MASTER, WORKER), True, id='a master with a worker'),
    pytest.param(WORKER, (MASTER, WORKER), False, id='a worker'),
    pytest.param(WORKER, (WORKER,), True, id='a worker whose master is no match'),
])
def test_needless(process, matches, answer):
    """Only a root reads its configuration at its start."""
    assert attempt.needless(process, matches) is answer


@pytest.mark.parametrize(('tries', 'jitter', 'seconds'), [
    (0, 0.0, 0.5), (0, 1.0, 1.0), (1, 0.0, 1.0), (5, 0.0, 16.0), (5, 1.0, 32.0),
    (6, 0.0, 30.0), (6, 1.0, 60.0), (10**9, 0.5, 45.0),
])
def test_the_backoff_is(tries, jitter, seconds):
    """It doubles up to 60 s, and half of it is jitter."""
    assert attempt.backoff(tries, jitter) == seconds


@given(st.integers(0), st.floats(0.0, 1.0, exclude_max=True))
def test_backoff_is_bounded(tries, jitter):
    """It is at least 0.5 s, at most 60 s, and never shorter than the one before."""
    seconds = attempt.backoff(tries, jitter)

    assert 0.5 <= seconds <= 60.0
    assert attempt.backoff(tries + 1, jitter) >= seconds


def test_backoff_grows_with_each_failure():
    """Each failure is counted, and makes the next wait longer."""
    first = attempt.after_failure(Attempt(), 100.0, 0.5)
    second = attempt.after_failure(first, 100.0, 0.5)

    assert (first.tries, first.again) == (1, 100.75)
    assert (second.tries, second.again) == (2, 101.5)


@pytest.mark.parametrize(('deaths', 'deadly', 'disposition', 'answer'), [
    (2, 'default', 'default', False),
    (3, 'default', 'default', True),
    (3, 'unknown', 'unknown', True),
    (4, 'caught', 'caught', True),
    (3, 'default', 'caught', False),
    (3, 'unknown', 'caught', False),
    (3, 'caught', 'unknown', True),
])
def test_breaker_opens_after_three_deaths(deaths, deadly, disposition, answer):
    """It stays closed if the next target has a handler and the dead ones had none."""
    assert attempt.breaker_is_open(deaths, deadly, disposition) is answer


OLD = ((7, 100, 'app'), (8, 150, 'app: worker'), (9, 151, 'app: worker'))
TARGET = Target(Process(7, 1, 100, 'app'), since=5000, family=OLD)


@pytest.mark.parametrize(('family', 'yes'), [
    pytest.param(OLD, False, id='nothing new'),
    pytest.param((*OLD, (10, 6000, 'app: client')), False, id='a connection'),
    pytest.param((*OLD[:2], (10, 6000, 'app: worker')), True, id='one is replaced'),
    pytest.param(OLD[:2], False, id='one has exited'),
    pytest.param(
        (*OLD[:2], (9, 151, 'app: shutting down'), (10, 6000, 'app: worker')), True,
        id='one drains',
    ),
    pytest.param(
        ((7, 100, 'app -sf 8'), *OLD[1:], (10, 6000, 'app: worker')), True,
        id='the target re-executed itself',
    ),
])
def test_replaced_workers_prove_a_reload(family, yes):
    """A new child is proof only if children do not come and go anyway."""
    assert attempt.renewed(TARGET, family) == yes


def test_child_that_serves_a_connection_is_no_replaced_worker():
    """PostgreSQL: most children live on, whatever clients come and go."""
    served = (*OLD, (10, 4000, 'app: client'))

    assert not attempt.renewed(
        TARGET._replace(family=served), (*OLD, (11, 6000, 'app: client')),
    )


@pytest.mark.parametrize(('before', 'now', 'yes'), [
    pytest.param(OLD[:1], OLD[0], False, id='none before'),
    pytest.param(OLD[:1], (7, 100, 'app -sf 8'), True, id='re-executed itself'),
    pytest.param((), OLD[0], True, id='unknown, after a restart of pollreload'),
])
def test_first_child_is_proof_only_if_there_may_have_been_others(before, now, yes):
    """It may serve a connection: there was none that could have been replaced."""
    alone = TARGET._replace(family=before)

    assert attempt.renewed(alone, (now, (10, 6000, 'app: worker'))) == yes
    assert not attempt.renewed(alone, (now,))
