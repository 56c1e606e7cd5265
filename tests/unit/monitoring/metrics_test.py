"""What Prometheus is told: counted from events and states, and read back as it does."""
from __future__ import annotations

import errno
import importlib.metadata
import json
import math
import os
import time
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import parser

from pollreload.core import change
from pollreload.core.attempt import Attempt
from pollreload.core.state import State
from pollreload.monitoring import metrics
from pollreload.monitoring.metrics import Metrics
from pollreload.monitoring.record import BOUNDS, Record, label
from pollreload.runtime.shown import shown
from pollreload.settings import Settings
from pollreload.system import children, procfs
from tests.support import sidecar
from tests.support.simulation import Simulation

with open(
    os.path.join(sidecar.ROOT, 'packaging/schema/log.schema.json'), encoding='utf-8',
) as it:
    SCHEMA: dict[str, Any] = json.load(it)
EVENTS: list[str] = SCHEMA['properties']['event']['enum']
PRINT = '0123456789abcdef' * 2
# Event -> the outcome that it is; `baseline` with this reason alone.
OUTCOMES = {
    'delivered': 'delivered', 'verified': 'verified', 'failed': 'failed',
    'baseline': 'needless',
}
# What failed, and was no delivery.
OTHERS = ('ledger', 'status file')
# Name -> type, and the labels that its samples have; docs/metrics.md has them too.
FAMILIES: dict[str, tuple[str, frozenset[str]]] = {
    'pollreload_build': ('info', frozenset({'version'})),
    'pollreload_config_last_reload_successful': ('gauge', frozenset()),
    'pollreload_config_last_reload_success_timestamp_seconds': ('gauge', frozenset()),
    'pollreload_done': ('info', frozenset({'watch', 'fingerprint'})),
    'pollreload_deliveries': ('counter', frozenset({'watch', 'outcome', 'reason'})),
    'pollreload_read_files': ('counter', frozenset({'watch'})),
    'pollreload_read_bytes': ('counter', frozenset({'watch'})),
    'pollreload_write_errors': ('counter', frozenset({'watch', 'file'})),
    'pollreload_look_age_seconds': ('gauge', frozenset({'watch'})),
    'pollreload_look_age_limit_seconds': ('gauge', frozenset({'watch'})),
    'pollreload_last_success_timestamp_seconds': ('gauge', frozenset({'watch'})),
    'pollreload_due': ('gauge', frozenset({'watch'})),
    'pollreload_held': ('gauge', frozenset({'watch', 'reason'})),
    'pollreload_failed_attempts': ('gauge', frozenset({'watch'})),
    'pollreload_backoff_seconds': ('gauge', frozenset({'watch'})),
    'pollreload_unreadable_paths': ('gauge', frozenset({'watch'})),
    'pollreload_look_duration_seconds': ('histogram', frozenset({'watch', 'le'})),
}


def reasons(event: str) -> set[str]:
    """Return the reasons that an event can have, by the schema of the log."""
    found: set[str] = set()

    def collect(part: Any) -> None:
        if isinstance(part, list):
            for each in part:
                collect(each)
        if isinstance(part, dict):
            words = part.get('properties', {}).get('reason', {})
            found.update(words.get('enum', ()))
            found.update([words['const']] if 'const' in words else ())
            for each in part.values():
                collect(each)

    collect(SCHEMA['$defs'][event])
    return found


# Every event of the log with each of its reasons.
LINES = [
    (event, reason) for event in EVENTS for reason in sorted(reasons(event)) or ['']
] + [('baseline', ''), ('changed', ''), ('stopped', '')]


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is 100 s after the boot, and 1000 s after 1970."""
    monkeypatch.setattr(procfs, 'now', lambda: 100.0)
    monkeypatch.setattr(time, 'time', lambda: 1000.0)


def record(**settings: Any) -> Record:
    """Return the record of a watch that is called web."""
    return Record(Settings(name='web', **settings))


def seen(**content: Any) -> State:
    """Return a state by its content."""
    return State(version=change.Memory(**content))


def served(*records: Record, config: tuple[bool, float] | None = None) -> Metrics:
    """Return what is served of some records."""
    return Metrics(lambda: [*records], lambda: config)


def read(text: str) -> list[Any]:
    """Return the families of a text, as the parser of the official client does."""
    return [*parser.text_string_to_metric_families(text)]


def samples(
        *records: Record, config: tuple[bool, float] | None = None,
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return what a scraper reads: (name, labels) -> value, each once."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in read(served(*records, config=config).text()):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def value(
        found: Mapping[tuple[str, frozenset[tuple[str, str]]], float], name: str,
        **labels: str,
) -> float | None:
    """Return the value of a sample of the watch web; None where there is none."""
    key = frozenset({'watch': 'web', **labels}.items())
    return found.get((f'pollreload_{name}', key))


# What happens


def test_there_is_something_to_count() -> None:
    """The tables below are of the events that there are."""
    assert {*OUTCOMES} < {*EVENTS}
    assert {*OTHERS} < reasons('failed')
    assert len(LINES) > 30


@pytest.mark.parametrize(('event', 'reason'), LINES)
def test_what_is_no_delivery_is_not_counted(event: str, reason: str) -> None:
    """Of every event and reason of the log: which outcome it is, or none."""
    it = record()
    before = dict(it.deliveries)

    it.event(event, reason)

    outcome = OUTCOMES.get(event, '')
    if reason in OTHERS or (event == 'baseline' and reason != 'needless'):
        outcome = ''
    key = outcome, reason if outcome == 'failed' else ''
    more = {key: before.get(key, 0) + 1} if outcome else {}
    assert it.deliveries == {**before, **more}
    files = {reason: 1} if event == 'failed' and reason in OTHERS else {}
    assert it.unwritten == {**dict.fromkeys(OTHERS, 0), **files}


def test_events_are_counted_and_said() -> None:
    """What listens to the events passes them on as they are."""
    it, said = record(), []

    def say(event: str, message: str, /, **fields: object) -> None:
        said.append((event, message, fields))

    heard = it.counting(say)
    heard('failed', 'words', reason='died', pid=41)
    heard('failed', 'words', reason='died', pid=42)
    heard('delivered', 'more')

    assert it.deliveries == {('failed', 'died'): 2, ('delivered', ''): 1}
    assert said == [
        ('failed', 'words', {'reason': 'died', 'pid': 41}),
        ('failed', 'words', {'reason': 'died', 'pid': 42}),
        ('delivered', 'more', {}),
    ]


def counted(world: Simulation) -> Record:
    """Return the record of a simulated watch from now on."""
    it = record()
    world.world = world.world._replace(say=it.counting(world.say), unsaid=it.unsaid)
    return it


@pytest.mark.parametrize('how', ['fail', 'die', 'hang', 'absent'])
@pytest.mark.parametrize(('reason', 'settings'), [
    ('exec', Settings(paths=('/c',), exec=(('one',),))),
    ('url', Settings(paths=('/c',), url=('http://host/',))),
])
def test_every_action_that_fails_is_counted(
        how: str, reason: str, settings: Settings,
) -> None:
    """Also those that have no line of their own, for the first of the hour has one."""
    world = Simulation(settings, targets=0)
    world.run(20.0)
    it, before = counted(world), len(world.acts)

    world.put('B')
    world.spoil(*[how] * 1000)
    world.run(2400.0)

    # The last one may be under way.
    tries = sum(each.how == how for each in world.acts[before:])
    assert tries > 20
    assert it.deliveries['failed', reason] == tries
    assert sum(each.event == 'failed' for each in world.events) == 1


@pytest.mark.parametrize(('how', 'reason'), [
    ('refused', 'not permitted'), ('full', 'queue full'), ('foreign', 'proc'),
])
@pytest.mark.parametrize('targets', [1, 3])
def test_every_signal_that_cannot_be_sent_is_counted(
        how: str, reason: str, targets: int,
) -> None:
    """Of each target, and each time."""
    world = Simulation(
        Settings(paths=('/c',), process='app', select='all'), targets=targets,
    )
    world.run(20.0)
    it, tries = counted(world), [0]

    def send(*_: object) -> str:
        tries[0] += 1
        return how

    world.world = world.world._replace(send=send)
    for pid in world.targets:
        world.alter(pid, refuses=True)
    world.put('B')
    world.run(2400.0)

    assert tries[0] > 20 * targets
    assert it.deliveries['failed', reason] == tries[0]
    assert sum(each.event == 'failed' for each in world.events) == 1


def test_an_hour_of_failures_is_counted_once_each() -> None:
    """The line that comes again after an hour is of one of them."""
    world = Simulation(Settings(paths=('/c',), exec=(('one',),)), targets=0)
    world.run(20.0)
    it, before = counted(world), len(world.acts)

    world.put('B')
    world.spoil(*['fail'] * 1000)
    world.run(8000.0)

    tries = sum(each.how == 'fail' for each in world.acts[before:])
    assert it.deliveries['failed', 'exec'] == tries
    assert sum(each.event == 'failed' for each in world.events) == 3


HOLDING = sorted(reasons('held'))


@pytest.mark.parametrize('reason', HOLDING)
def test_held_is_shown_with_its_reason(reason: str) -> None:
    """As long as it is held, and no longer."""
    it = record()
    it.event('held', reason)
    it.after(State(hold=f'{reason} 41'))

    assert value(samples(it), 'held', reason=reason) == 1.0

    it.after(State())

    assert [key for key in samples(it) if key[0] == 'pollreload_held'] == []


@pytest.mark.parametrize('reason', ['not permitted', 'queue full', 'proc'])
def test_what_could_not_be_sent_is_held_with_its_reason(reason: str) -> None:
    """That is logged as `failed`, and holds it all the same."""
    it = record()
    it.event('failed', reason)
    it.after(State(hold=f'{reason} 41'))

    assert value(samples(it), 'held', reason=reason) == 1.0


@pytest.mark.parametrize('reason', [
    'ledger', 'status file', 'died', 'ended', 'pending', 'not verified',
])
def test_a_hold_keeps_its_reason(reason: str) -> None:
    """What fails besides does not change why it is held."""
    it = record()
    it.event('held', 'no target')
    it.event('failed', reason)
    it.after(State(hold='no target'))

    found = {dict(key[1])['reason'] for key in samples(it) if 'held' in key[0]}
    assert found == {'no target'}


@pytest.mark.usefixtures('clocks')
@pytest.mark.parametrize('event', ['delivered', 'verified'])
def test_success_is_when_all_is_done(event: str) -> None:
    """Not when the first of two targets is, nor before what comes after a signal."""
    it = record(verify=('true',))
    it.after(State(outcome=''))
    it.event(event, '')
    it.after(State(outcome='', stage='survive'))

    assert value(samples(it), 'last_success_timestamp_seconds') == 0.0

    it.event('failed', 'died')
    it.after(State(outcome='failed'))

    assert value(samples(it), 'last_success_timestamp_seconds') == 0.0

    it.event(event, '')
    it.after(State(outcome='done'))

    assert value(samples(it), 'last_success_timestamp_seconds') == 1000.0


@pytest.mark.usefixtures('clocks')
def test_what_needed_no_signal_is_no_success() -> None:
    """Nobody was told."""
    it = record()
    it.event('baseline', 'needless')
    it.after(State(outcome='needless'))

    found = samples(it)
    assert value(found, 'last_success_timestamp_seconds') == 0.0
    assert value(found, 'deliveries_total', outcome='needless', reason='') == 1.0


# How it is


@pytest.mark.parametrize('bound', [*BOUNDS, math.inf])
def test_a_look_is_counted_within_its_bound(bound: float) -> None:
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


def test_each_look_is_counted_once() -> None:
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
def test_the_age_is_that_of_the_last_look() -> None:
    """Before there is one, that of the watch; a new child of a look changes nothing."""
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
def test_three_intervals_without_a_look_are_too_many(
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
def test_ready_is_who_has_a_baseline(state: str, ready: bool) -> None:
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
    trouble = change.Trouble('permission denied', 1.0)
    it.after(seen(troubles={
        0: trouble, 1: trouble._replace(whole=False), 2: trouble,
    }))

    assert value(samples(it), 'unreadable_paths') == 2.0


def test_what_was_read_goes_on_with_another_observer() -> None:
    """As after a config file was read anew: a counter never goes back."""
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
    """Only where there is one."""
    with_file = samples(record(), config=(good, 950.5))
    without = samples(record())

    name = 'pollreload_config_last_reload'
    assert with_file[f'{name}_successful', frozenset()] == float(good)
    assert with_file[f'{name}_success_timestamp_seconds', frozenset()] == 950.5
    assert not any('config' in key for key, _ in without)


# Names, types and labels


def full() -> Record:
    """Return a record of which everything is shown."""
    it = record()
    for event, reason in LINES:
        it.event(event, reason)
    it.event('held', 'no target')
    it.after(State(hold='no target', version=change.Memory(
        state='due', delivered=PRINT, read_at=1.0, ended_at=1.5,
    )))
    return it


def test_families_have_their_types_and_labels() -> None:
    """As the parser of the official client reads them."""
    found = {
        family.name: (family.type, frozenset(
            label for sample in family.samples for label in sample.labels
        ), family.documentation)
        for family in read(served(full(), config=(True, 1.0)).text())
    }

    assert {name: (kind, labels) for name, (kind, labels, _) in found.items()} == {
        # The format has no type for what only informs.
        f'{name}_info' if kind == 'info' else name: (kind.replace('info', 'gauge'), of)
        for name, (kind, of) in FAMILIES.items()
    }
    for name, (_, _, says) in found.items():
        assert says.endswith('.'), name


def test_counters_and_infos_are_named_by_convention() -> None:
    """`_total` and `_info`; the parser hides the first."""
    text = served(full()).text()

    assert '# TYPE pollreload_deliveries_total counter\n' in text
    assert '# TYPE pollreload_build_info gauge\n' in text
    assert '\npollreload_deliveries_total{' in text


def test_every_watch_has_all_of_its_own() -> None:
    """Nothing that is shown of one watch is not shown of another."""
    one, other = full(), full()
    other.name = 'cache'

    found = samples(one, other)

    def of(name: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        return {
            (key, frozenset(labels - {('watch', name)})) for key, labels in found
            if ('watch', name) in labels
        }

    assert of('web') == of('cache')
    assert len(of('web')) > 30


def test_without_watches_there_is_still_the_version() -> None:
    """While there is none, or none yet."""
    assert [name for name, _ in samples()] == ['pollreload_build_info']


@pytest.mark.parametrize(('name', 'shows'), [
    ('b\udcff', 'b\\udcff'), ('a"b\\c', 'a"b\\c'), ('a\nb', 'a\\nb'), ('café', 'café'),
    ('{}=,', '{}=,'), (' ', ' '),
])
def test_a_name_of_any_bytes_is_a_label(name: str, shows: str) -> None:
    """What one watch is called must not cost the others their metrics."""
    it = Record(Settings(process=name))

    shown = {
        sample.labels['watch'] for family in read(served(it).text())
        for sample in family.samples if 'watch' in sample.labels
    }

    assert shown == {shows}


@pytest.mark.parametrize(('settings', 'name'), [
    (Settings(name='front', process='nginx'), 'front'),
    (Settings(process='nginx', pidfile='/run/other.pid'), 'nginx'),
    (Settings(pidfile='/run/nginx.pid'), 'nginx.pid'),
    (Settings(exec=(('reload',),)), 'watch'),
])
def test_a_watch_goes_by_its_name_or_who_is_told(settings: Settings, name: str) -> None:
    """And has some name in any case."""
    assert label(settings) == name


def test_no_content_and_no_credentials_are_shown() -> None:
    """Neither of a URL, nor the arguments of a command, nor a path."""
    it = record(
        paths=('/etc/secret-path',), url=('http://me:secret@host/?token=secret',),
        exec=(('reload', '--password', 'secret'),), verify=('check', 'secret'),
    )
    it.counting(lambda *_, **__: None)(
        'failed', 'secret words', reason='url', url='http://host/', said='secret',
    )

    assert 'secret' not in served(it, config=(False, 1.0)).text()


# Our version


def test_label_values_are_escaped() -> None:
    """A backslash, a quote and a line end, as the format asks for."""
    family = metrics.Family('a', 'gauge', 'A.', [('_b', {'x': 'a"b\\c\nd'}, 1)])

    assert [*family.lines()] == [
        '# HELP a A.', '# TYPE a gauge', 'a_b{x="a\\"b\\\\c\\nd"} 1',
    ]


def test_version_is_that_of_the_package() -> None:
    """A child finds it."""
    assert served().version == importlib.metadata.version('pollreload')


def test_without_a_child_the_version_is_unknown(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything else is shown all the same."""
    def within(*_: object) -> str:
        raise OSError(errno.EAGAIN, 'x')

    monkeypatch.setattr(children, 'within', within)

    assert 'pollreload_build_info{version=""} 1\n' in served().text()
