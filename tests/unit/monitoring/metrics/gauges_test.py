"""Metrics that show a state."""
from __future__ import annotations

import math
from typing import Any

import pytest

from pollreload.core import change
from pollreload.core.attempt import Attempt, Target
from pollreload.core.process import Process
from pollreload.core.reading import Trouble
from pollreload.core.state import Pace, State
from pollreload.monitoring.metrics import Metrics
from pollreload.monitoring.record import BOUNDS, Record
from pollreload.runtime.shown import shown
from pollreload.settings import Settings
from pollreload.system import procfs
from tests.support.exposition import PRINT, record, samples, value


def seen(**content: Any) -> State:
    """Return a state by its content."""
    return State(version=change.Memory(**content))


@pytest.mark.parametrize('bound', [*BOUNDS, math.inf])
def test_a_poll_is_counted_within_its_bound(bound: float) -> None:
    """A bound belongs to what is below it; and so do all that are greater."""
    it = record()
    took = bound if bound < math.inf else BOUNDS[-1] + 1.0
    # From 0.0, for other sums would not be exact.
    it.after(seen(read_at=0.0, ended_at=took))

    found = samples(it)

    for each in (*BOUNDS, math.inf):
        name = '+Inf' if each == math.inf else str(each)
        is_so = value(found, 'look_duration_seconds_bucket', le=name)
        assert is_so == float(took <= each), name
    assert value(found, 'look_duration_seconds_count') == 1.0
    assert value(found, 'look_duration_seconds_sum') == took


def test_each_poll_is_counted_once() -> None:
    """A step that ends no look is none; nor is what a ledger remembers."""
    it = record()
    it.after(seen(read_at=50.0))
    it.after(seen(read_at=60.0, ended_at=60.5))
    it.after(seen(read_at=60.0, ended_at=60.5, state='due'))
    it.after(seen(read_at=60.0, ended_at=-1.0))
    it.after(seen(read_at=70.0, ended_at=71.0))

    found = samples(it)

    assert value(found, 'look_duration_seconds_count') == 2.0
    assert value(found, 'look_duration_seconds_sum') == 1.5


@pytest.mark.usefixtures('clocks')
def test_the_age_is_that_of_the_last_poll() -> None:
    """Before there is one, that of the watch; a new child of a poll changes nothing."""
    it = record(interval=2.0)

    assert it.ended == 100.0
    assert it.age() == 0.0

    it.after(seen(read_at=90.0, ended_at=91.5))
    it.after(State(version=change.Memory(), reading_since=99.0))

    assert it.age() == 8.5
    found = samples(it)
    assert value(found, 'look_age_seconds') == 8.5
    assert value(found, 'look_age_limit_seconds') == 6.0


@pytest.mark.parametrize(('interval', 'limit'), [
    (5.0, 15.0), (0.01, 1.0), (1 / 3, 1.0), (0.5, 1.5), (3600.0, 10800.0),
])
def test_three_intervals_without_a_poll_are_too_many(
        interval: float, limit: float, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But no less than a second; to the very end it is alive."""
    it = record(interval=interval)
    it.ended = 100.0

    monkeypatch.setattr(procfs, 'now', lambda: 100.0 + limit)
    at = it.alive()
    monkeypatch.setattr(procfs, 'now', lambda: math.nextafter(100.0 + limit, math.inf))
    after = it.alive()

    assert it.limit() == limit
    assert (at, after) == (True, False)


@pytest.mark.parametrize(('state', 'ready'), [
    ('blank', False), ('current', True), ('settling', True), ('due', True),
])
def test_ready_means_that_there_is_a_baseline(state: str, ready: bool) -> None:
    """Whatever has become of the content since."""
    it = record()
    it.after(seen(state=state))

    assert it.ready() == ready
    assert value(samples(it), 'due') == float(state == 'due')


@pytest.mark.usefixtures('clocks')
def test_failures_in_a_row_and_the_time_to_the_next() -> None:
    """Of --splay, which is no failure, there is no backoff."""
    it = record()
    it.after(State(attempt=Attempt(tries=3, again=104.5)))
    failing = samples(it)
    it.after(State(attempt=Attempt(tries=3, again=99.0)))
    now = samples(it)
    it.after(State(attempt=Attempt(tries=0, again=130.0)))
    splayed = samples(it)

    names = ('failed_attempts', 'backoff_seconds')
    assert [value(failing, name) for name in names] == [3.0, 4.5]
    assert [value(now, name) for name in names] == [3.0, 0.0]
    assert [value(splayed, name) for name in names] == [0.0, 0.0]


def test_paths_that_cannot_be_read_are_counted() -> None:
    """A member of a directory is none."""
    it = record(paths=('/a', '/b', '/c'))
    trouble = Trouble('permission denied', 1.0)
    it.after(seen(troubles={
        0: trouble, 1: trouble._replace(whole=False), 2: trouble,
    }))

    assert value(samples(it), 'unreadable_paths') == 2.0


def test_what_was_read_goes_on_with_another_observer() -> None:
    """As after a config file was read again: a counter never goes back."""
    it = record()
    it.tallies += [[3, 1000], [1, 24]]

    found = samples(it)

    assert value(found, 'read_files_total') == 4.0
    assert value(found, 'read_bytes_total') == 1024.0


def test_what_is_done_is_shown_by_its_digest() -> None:
    """The same that the log has; a label that is empty is none to Prometheus."""
    it = record()
    it.after(seen(state='due', seen='f' * 32, delivered=PRINT))
    done = samples(it)
    it.after(seen(state='due', seen='f' * 32, delivered=''))
    void = samples(it)

    shows = shown(State(), PRINT)
    assert value(done, 'done_info', fingerprint=shows) == 1.0
    assert value(void, 'done_info', fingerprint='') == 1.0


@pytest.mark.parametrize('good', [True, False])
def test_a_config_file_has_been_taken_over_or_not(good: bool) -> None:
    """Only if there is one."""
    with_file = samples(record(), config=(good, 950.5))
    without = samples(record())

    name = 'pollreload_config_last_reload'
    assert with_file[f'{name}_successful', frozenset()] == float(good)
    assert with_file[f'{name}_success_timestamp_seconds', frozenset()] == 950.5
    assert not any('config' in key for key, _ in without)


def test_warnings_are_shown_with_their_reasons() -> None:
    """Those of the start, a feedback loop, and a runtime that catches every signal."""
    web = Record(Settings(('/a',), 'nginx'))
    none = web.warnings()
    web.event('warning', 'subpath')
    started = web.warnings()
    runtime = Target(Process(7, 1, 1, 'app'), disposition='runtime')
    web.state = State(pace=Pace(logged_at=1.0), notified=(runtime,))

    assert none == []
    assert started == ['subpath']
    assert web.warnings() == ['feedback loop', 'runtime', 'subpath']
    lines = Metrics(lambda: [web], lambda: None).text()
    assert 'pollreload_warning{reason="feedback loop",watch="nginx"} 1\n' in lines
