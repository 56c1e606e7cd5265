"""Metrics that are counted from events."""
from __future__ import annotations

import pytest

from pollreload.core.stage import Surviving
from pollreload.core.state import State
from pollreload.monitoring.record import Record
from pollreload.settings import Settings
from tests.support.exposition import (
    EVENTS,
    LINES,
    reasons,
    record,
    samples,
    value,
)
from tests.support.simulation import Simulation

# Event -> the outcome that it is; `baseline` with this reason alone.
OUTCOMES = {
    'delivered': 'delivered', 'verified': 'verified', 'failed': 'failed',
    'baseline': 'needless',
}
# What failed, and was no delivery.
OTHERS = ('ledger', 'status file')


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
    world.world = world.world._replace(say=it.counting(world.say), unlogged=it.unlogged)
    return it


@pytest.mark.parametrize('how', ['fail', 'die', 'hang', 'absent'])
@pytest.mark.parametrize(('reason', 'settings'), [
    ('exec', Settings(paths=('/c',), exec=(('one',),))),
    ('url', Settings(paths=('/c',), url=('http://host/',))),
])
def test_every_action_that_fails_is_counted(
        how: str, reason: str, settings: Settings,
) -> None:
    """Also those without a line of their own, because the first of the hour has one."""
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
    it.after(State(outcome='', stage=Surviving(9.0)))

    assert value(samples(it), 'last_success_timestamp_seconds') == 0.0

    it.event('failed', 'died')
    it.after(State(outcome='failed'))

    assert value(samples(it), 'last_success_timestamp_seconds') == 0.0

    it.event(event, '')
    it.after(State(outcome='done'))

    assert value(samples(it), 'last_success_timestamp_seconds') == 1000.0


@pytest.mark.usefixtures('clocks')
def test_what_needed_no_signal_is_no_success() -> None:
    """No process was notified."""
    it = record()
    it.event('baseline', 'needless')
    it.after(State(outcome='needless'))

    found = samples(it)
    assert value(found, 'last_success_timestamp_seconds') == 0.0
    assert value(found, 'deliveries_total', outcome='needless', reason='') == 1.0
