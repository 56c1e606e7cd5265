"""How fast versions are delivered that keep changing, in a simulated world."""
from __future__ import annotations

import itertools
from typing import Any

import pytest

from pollreload.core.process import Choice
from pollreload.settings import Settings, Signal
from tests.support.simulation import Simulation

WATCH = Settings(paths=('/c',), process='app', interval=0.5, settle=0.2, survive=0.1)
VALIDATED = WATCH._replace(validate=('validate',))


def world_of(settings: Settings, **changes: Any) -> Simulation:
    """Return a world after its baseline."""
    world = Simulation(settings._replace(**changes))
    world.run(20.0)
    return world


def changing(world: Simulation, seconds: float, pause: float) -> None:
    """Write a new version again and again, with a pause after each."""
    end = world.now + seconds
    for number in itertools.count(len(world.changes) + int(world.now)):
        if world.now >= end:
            return
        world.put(f'v{number}')
        world.run(pause)


def held(world: Simulation) -> list[object]:
    """Return the reasons of the holds, in order."""
    return [each.fields['reason'] for each in world.events if each.event == 'held']


def gaps(world: Simulation, since: float) -> list[float]:
    """Return the times between the signals, beginning with a time before the first."""
    times = [since, *(each.at for each in world.sent)]
    return [other - one for one, other in itertools.pairwise(times)]


def test_version_that_never_settles_is_delivered_after_max_wait():
    """A version that changes with each poll waits for --max-wait at most."""
    world = world_of(WATCH, max_wait=10.0)
    since = world.now
    world.put('torn', changing=True)
    world.run(60.0)

    assert len(world.sent) >= 5
    assert all(9.5 <= each <= 11.5 for each in gaps(world, since))


def test_max_wait_begins_when_the_distrust_of_a_file_ends():
    """A file that was empty for longer, and is being written, waits for --settle."""
    world = world_of(WATCH, max_wait=5.0)
    world.put('empty')
    world.run(8.0)
    world.put('torn', changing=True)
    since = world.now
    world.run(4.0)
    early = world.sent
    world.run(3.0)

    assert early == ()
    assert len(world.sent) == 1
    assert 4.5 <= world.sent[0].at - since <= 6.5


def test_version_that_is_empty_again_and_again_is_delivered_after_max_wait():
    """Only the time in which the file is distrusted does not count."""
    world = world_of(WATCH, max_wait=5.0)
    since = world.now
    for number in range(12):
        world.put('empty')
        world.run(1.0)
        world.put('torn' if number % 2 else 'B', changing=True)
        world.run(1.0)

    assert world.sent
    assert 8.0 <= world.sent[0].at - since <= 14.0


def test_version_that_never_settles_is_held_without_max_wait():
    """There is one line an hour, and no signal."""
    world = world_of(WATCH)
    world.put('torn', changing=True)
    world.run(600.0)

    assert (held(world), world.sent) == (['still changing'], ())


def test_version_that_settles_waits_no_longer_with_max_wait():
    """--max-wait is a limit, not a delay."""
    world = world_of(VALIDATED, max_wait=10.0)
    since = world.now
    world.put('B')
    world.run(20.0)

    assert [each.version for each in world.sent] == ['B']
    assert world.sent[0].at - since < 2.0
    assert world.idle()


@pytest.mark.parametrize(('pause', 'takes'), [(1.0, 2.0), (2.0, 2.5), (0.9, 0.25)])
def test_versions_that_outrun_validate_are_held_with_a_reason(pause, takes):
    """One minute after the first of them there is one line."""
    world = world_of(VALIDATED, settle=0.0)
    world.takes = takes
    changing(world, 55.0, pause)
    assert held(world).count('never validated') == 0 or takes < pause
    changing(world, 60.0, pause)

    if takes < pause:
        assert world.sent
    else:
        assert held(world).count('never validated') == 1
        (line,) = [
            each.message for each in world.events
            if each.fields.get('reason') == 'never validated'
        ]
        assert 'each version of /c has been replaced while --validate validate' in line
        assert line.endswith('; --max-wait limits how long that lasts')
        assert world.sent == ()


@pytest.mark.parametrize('pause', [0.7, 1.0, 2.0])
@pytest.mark.parametrize('settle', [0.0, 0.2])
def test_last_valid_version_is_delivered_after_max_wait(pause, settle):
    """Although a newer one exists, which the target may read as well."""
    world = world_of(VALIDATED, max_wait=10.0, settle=settle)
    world.takes = 2.2
    since = world.now
    changing(world, 100.0, pause)
    assert all(each <= 10.6 + pause for each in gaps(world, since))
    late = [each for each in world.events if each.fields.get('reason') == 'max wait']
    assert len(late) >= 5

    world.run(30.0)
    assert world.sent[-1].version == world.version
    assert world.idle()


def test_last_valid_version_is_delivered_when_max_wait_is_over():
    """It does not wait for the newer one that is being validated."""
    world = world_of(VALIDATED, max_wait=10.0, settle=0.0)
    world.takes = 6.0
    since = world.now
    world.put('B')
    world.run(5.0)
    world.put('C')
    world.run(4.0)
    world.put('D')
    world.run(2.0)

    assert [each.version for each in world.sent] == ['B']
    assert world.sent[0].at - since < 10.6


def test_valid_version_is_not_delivered_late_while_the_file_is_distrusted():
    """The target would read an empty file, which --empty-grace prevents."""
    world = world_of(VALIDATED, max_wait=10.0, settle=0.0, empty_grace=60.0)
    world.takes = 6.0
    world.put('B')
    world.run(3.0)
    world.put('empty')
    world.run(50.0)
    early = [*world.sent]
    world.put('C')
    world.run(10.0)

    assert early == []
    assert [each.version for each in world.sent][-1:] == ['C']


def test_version_that_is_due_late_did_not_outrun_the_validation():
    """It was replaced once, and the next version was distrusted for a long time."""
    world = world_of(VALIDATED, settle=0.0, empty_grace=90.0)
    world.takes = 6.0
    world.put('B')
    world.run(3.0)
    world.put('empty')
    world.run(120.0)

    assert held(world) == ['became empty']
    assert [each.version for each in world.sent] == ['empty']


def test_version_that_was_refused_is_never_delivered():
    """--max-wait does not bypass --validate."""
    world = world_of(VALIDATED, max_wait=5.0, settle=0.0)
    world.takes = 2.0
    world.refuse_for(validate=100.0)
    changing(world, 60.0, 1.0)

    assert world.sent == ()
    assert 'validation failed' in held(world)


def test_version_before_max_wait_that_comes_back_is_not_delivered():
    """The target has it, so neither a validation nor a signal is needed."""
    world = world_of(VALIDATED, max_wait=5.0, settle=0.0)
    world.takes = 3.0
    world.put('B')
    world.run(1.5)
    world.put('A')
    world.run(30.0)

    assert (world.sent, world.idle()) == ((), True)


def test_late_delivery_that_is_held_is_given_up_for_the_newer_version():
    """It is not repeated: only the current version counts."""
    world = world_of(VALIDATED, max_wait=5.0, settle=0.0)
    world.takes = 2.0
    world.alter_root(disposition='default')
    changing(world, 20.0, 1.0)
    assert 'no handler' in held(world)
    world.alter_root(disposition='caught')
    world.run(30.0)

    assert [each.version for each in world.sent] == [world.version]
    assert world.idle()


def test_late_version_that_comes_back_is_delivered_again():
    """Rule 2: the target may have read the newer one that existed at the signal."""
    world = world_of(VALIDATED, max_wait=5.0, settle=0.0)
    world.takes = 6.0
    world.put('B')
    world.run(3.0)
    world.put('C')
    while not world.sent:
        world.run(0.1)
    assert world.sent[0].version == 'B' != world.version
    world.put('B')
    world.run(30.0)

    assert [each.version for each in world.sent][-1] == 'B'
    assert len(world.sent) > 1
    assert world.idle()


def test_actions_of_a_late_delivery_run_in_order():
    """All of them run for the last valid version."""
    watch = VALIDATED._replace(process=None, exec=(('one',), ('two',)))
    world = world_of(watch, max_wait=10.0, settle=0.0, on_start='never')
    world.takes = 1.3
    changing(world, 60.0, 1.0)

    assert [each.number for each in world.acts][:4] == [0, 1, 0, 1]
    world.run(60.0)
    assert world.acts[-1].version == world.version
    assert world.idle()


def test_version_that_validated_and_was_refused_by_the_kernel_did_not_outrun():
    """A later change does not mean that the validation was too slow."""
    world = world_of(VALIDATED)
    world.alter_root(refuses=True)
    world.put('B')
    world.run(100.0)
    world.put('C')
    world.run(20.0)

    assert 'never validated' not in held(world)


def test_version_that_is_due_again_for_the_older_generation_has_not_changed():
    """A command of the second delivery is told the version of the first one."""
    world = world_of(VALIDATED, select='newest', signal=Signal(15, 'SIGTERM'))
    world.start()
    world.put('B')

    world.run(30.0)  # the simulation checks what --validate is told

    assert [(each.pid, each.version) for each in world.sent] == [(102, 'B'), (101, 'B')]
    assert world.state.previous == world.state.version.delivered


def test_version_that_was_held_at_first_did_not_outrun_validate_then():
    """The time for which it was held does not count."""
    world = world_of(VALIDATED)
    world.alter_root(disposition='default')
    world.put('B')
    world.run(100.0)
    world.make_ready()
    while world.stage() != 'validate':
        world.run(0.1)
    world.put('C')

    world.run(20.0)

    assert 'never validated' not in held(world)
    assert world.idle()


@pytest.mark.parametrize('obstacle', ['absent', 'no handler'])
def test_version_that_was_held_did_not_outrun_validate(obstacle):
    """It was replaced before it was validated, but not because of --validate."""
    world = world_of(VALIDATED)
    world.put('B')
    while world.stage() != 'validate':
        world.run(0.1)
    if obstacle == 'absent':
        world.end_all()
    else:
        world.alter_root(disposition='default')
    world.put('C')
    world.run(100.0)
    world.put('D')
    world.run(20.0)
    assert 'never validated' not in held(world)

    world.make_ready()
    if obstacle == 'absent':
        world.restart()
    world.run(20.0)

    assert world.idle()


def test_changes_within_min_interval_are_delivered_once_at_its_end():
    """It is the last version that is delivered, and validated, then."""
    world = world_of(VALIDATED, min_interval=30.0)
    world.put('B')
    world.run(3.0)
    assert [each.version for each in world.sent] == ['B']
    for number in range(5):
        world.put(f'own{number}')
        world.run(4.0)
    assert len(world.sent) == 1
    world.run(30.0)

    assert [each.version for each in world.sent] == ['B', 'own4']
    assert 30.0 <= gaps(world, 0.0)[1] < 32.0
    assert held(world) == ['min interval']
    assert world.idle()


def test_version_after_min_interval_does_not_wait():
    """It is a least time, and no delay."""
    world = world_of(WATCH, min_interval=30.0)
    world.put('B')
    world.run(40.0)
    since = world.now
    world.put('C')
    world.run(10.0)

    assert world.sent[1].at - since < 2.0
    assert held(world) == []


def test_delivered_version_that_is_back_within_min_interval_is_no_change():
    """Nothing is due any more when the interval ends."""
    world = world_of(WATCH, min_interval=30.0)
    for version in ('B', 'C', 'B'):
        world.put(version)
        world.run(5.0)
    world.run(60.0)

    assert [each.version for each in world.sent] == ['B']
    assert world.idle()


def test_retry_and_first_delivery_do_not_wait_for_min_interval():
    """A failed delivery is repeated after its backoff, and a fix is delivered at once.
    """
    world = world_of(WATCH, min_interval=300.0)
    world.alter_root(refuses=True)
    world.put('B')
    world.run(5.0)
    world.alter_root(refuses=False)
    world.put('C')
    world.run(10.0)

    assert [each.version for each in world.sent] == ['C']


def test_new_target_does_not_wait_for_min_interval():
    """It gets a version that was delivered to others already."""
    world = world_of(WATCH, min_interval=300.0)
    world.upgrade()
    world.put('B')
    world.run(10.0)
    world.retire()
    world.run(10.0)

    assert [each.version for each in world.sent] == ['B', 'B']


def test_operator_ends_the_wait_for_min_interval():
    """SIGHUP to pollreload delivers a due version."""
    world = world_of(WATCH, min_interval=300.0)
    for version in ('B', 'C'):
        world.put(version)
        world.run(5.0)
    assert len(world.sent) == 1
    world.send_hup()
    world.run(2.0)

    assert [each.version for each in world.sent] == ['B', 'C']


def test_late_version_waits_for_min_interval():
    """--max-wait does not shorten it."""
    world = world_of(VALIDATED, max_wait=5.0, min_interval=30.0, settle=0.0)
    world.takes = 2.2
    changing(world, 100.0, 1.0)

    assert len(world.sent) >= 3
    assert all(each >= 30.0 for each in gaps(world, 0.0)[1:])


def test_feedback_loop_is_slowed_down_beyond_min_interval():
    """Rule 15: the longer of the two waits counts."""
    world = world_of(WATCH, min_interval=1.0)
    take, numbers = world.take, itertools.count()

    def rewrite(pid: int) -> None:
        take(pid)
        world.put(f'own{next(numbers)}')

    world.take = rewrite  # type: ignore[method-assign]
    world.put('B')
    world.run(2000.0)

    assert 290.0 < gaps(world, 0.0)[-1] < 310.0
    assert {'feedback loop', 'min interval'} == {*held(world)}


@pytest.mark.parametrize('targets', [1, 2])
def test_late_version_is_not_repeated_when_its_verification_is_broken_off(targets):
    """With --max-wait the newer version is next, for each target."""
    watch = VALIDATED._replace(verify=('verify',), max_wait=10.0, select='roots')
    world = Simulation(watch, targets=targets)
    world.run(20.0)
    world.takes = 1.5
    changing(world, 33.0, 1.1)
    world.takes = 0.25
    world.converge()

    signalled = [(each.pid, each.version) for each in world.sent]
    assert 'changed meanwhile' in [
        each.fields.get('reason') for each in world.events if each.event == 'failed'
    ]
    assert len(signalled) == len({*signalled}) > targets


def test_version_that_returns_after_a_broken_verification_is_delivered():
    """One of two targets was verified when a newer version came, and had to wait."""
    watch = WATCH._replace(verify=('verify',), select='roots', min_interval=3.0)
    world = Simulation(watch, targets=2)
    world.run(20.0)
    world.takes = 0.5
    for version, pause in (
            ('B', 2.0), ('D', 1.5), ('B', 1.0), ('C', 1.5), ('B', 0.5), ('C', 1.0),
    ):
        world.put(version)
        world.run(pause)
    world.put('B')

    world.run(60.0)

    assert [each.version for each in world.sent][-2:] == ['B', 'B']
    assert world.idle()


@pytest.mark.parametrize(('pause', 'changes'), [
    pytest.param(5.0, {}, id='signal'),
    pytest.param(5.0, {'process': None, 'signal': None, 'exec': (('act',),),
                       'on_start': 'never'}, id='command'),
    pytest.param(5.0, {'max_wait': 60.0}, id='with --max-wait'),
    pytest.param(29.9, {}, id='as fast as the splay'),
    pytest.param(5.0, VALIDATED._asdict(), id='validated'),
])
def test_splay_is_not_restarted_by_a_newer_version(pause, changes):
    """It begins with the first version that is due, so the last one arrives."""
    world = world_of(WATCH, **{**changes, 'splay': 30.0})
    since = world.now
    changing(world, 300.0, pause)

    times = [each.at for each in world.acts or world.sent]
    waits = [other - one for one, other in itertools.pairwise([since, *times])]
    assert len(waits) >= 4
    assert 30.0 <= waits[0] <= 32.0
    assert all(each <= 32.0 + pause for each in waits)
    assert all(each.version == each.current for each in world.acts or world.sent)
    assert held(world) == []


def test_splay_begins_again_after_a_delivery():
    """A fleet that got the last version at different times is spread again."""
    world = world_of(WATCH, splay=30.0)
    world.put('B')
    world.run(40.0)
    since = world.now
    world.put('C')
    world.run(60.0)

    assert [each.version for each in world.sent] == ['B', 'C']
    assert world.sent[1].at >= since + 30.0


def test_splay_begins_again_after_a_version_was_refused():
    """A fleet that refused the last version gets the next one spread."""
    world = world_of(VALIDATED, splay=30.0)
    world.refuse_for(validate=89.0)
    world.put('B')
    world.run(60.0)
    since = world.now
    world.put('C')
    world.run(60.0)

    assert [each.version for each in world.sent] == ['C']
    assert world.sent[0].at >= since + 30.0


def test_splay_begins_again_when_the_delivered_version_was_back():
    """Nothing was due then, so the next version is the first one again."""
    world = world_of(WATCH, splay=30.0)
    world.put('B')
    world.run(10.0)
    world.put('A')
    world.run(10.0)
    since = world.now
    world.put('C')
    world.run(60.0)

    assert [each.version for each in world.sent] == ['C']
    assert world.sent[0].at >= since + 30.0


@pytest.mark.parametrize('changes', [
    pytest.param({}, id='signal'),
    pytest.param({'splay': 5.0}, id='after a wait'),
    pytest.param({'exec': (('act',),)}, id='signal and command'),
    pytest.param({'verify': ('verify',)}, id='verified'),
])
def test_slow_search_for_the_target_puts_no_delivery_off(changes):
    """On a busy machine it takes longer than a poll counts as recent."""
    world = world_of(WATCH, **changes)

    def search() -> Choice:
        world.now += 0.4
        return world.choice()

    world.world = world.world._replace(targets=search)
    world.put('B')
    world.run(30.0)

    assert [each.version for each in world.sent] == ['B']
    assert [each.version for each in world.acts] == ['B'] * len(world.settings.exec)
    assert world.idle()
