"""Rules about versions, in a simulated world: missing, empty or unreadable files."""
from __future__ import annotations

import itertools
from typing import Any

import pytest

from pollreload.settings import Settings
from tests.support.simulation import Simulation

WATCH = Settings(paths=('/c',), process='app')
ACT = (('act',),)


def missing_world(targets: int = 1, **changes: Any) -> Simulation:
    """Return a world in which the path has been missing since the start."""
    world = Simulation(WATCH._replace(**changes), targets=targets)
    world.missing = True
    world.run(20.0)
    assert world.state.version.state == 'blank'
    return world


def sent(world: Simulation) -> list[str]:
    """Return the versions that were signalled, in order."""
    return [each.version for each in world.sent]


@pytest.mark.parametrize('on_start', ['auto', 'never', 'always'])
@pytest.mark.parametrize('restarted', [False, True])
def test_rule_10_file_that_was_missing_is_due_when_it_appears(on_start, restarted):
    """Rule 10: what was seen missing and then appears is new, whatever its dates.

    Neither --on-start nor a restart with the ledger changes that.
    """
    world = missing_world(on_start=on_start)
    if restarted:
        world.crash(keep=True)
        world.run(5.0)

    world.missing = False  # its date is older than the target
    world.run(30.0)

    assert sent(world) == ['A']
    assert world.idle()


def test_rule_10_target_that_starts_after_the_file_appeared_needs_no_signal():
    """Rule 10 is about older targets: a younger one has read the file."""
    world = missing_world(targets=0)

    world.missing = False
    world.run(30.0)
    world.start()
    world.run(30.0)

    assert (sent(world), world.idle()) == ([], True)


def test_rule_10_unreadable_file_is_not_taken_for_absent():
    """Rule 10: with --on-start never, the first readable poll is the baseline."""
    world = Simulation(WATCH._replace(on_start='never'))
    world.hide()
    world.run(20.0)

    world.readable = True
    world.run(30.0)

    assert (sent(world), world.idle()) == ([], True)


def test_rule_10_action_runs_once_when_a_missing_file_appears():
    """Rule 10 also holds for --exec, which has no process to compare."""
    world = missing_world(
        targets=0, process=None, signal=None, exec=(('act',),), on_start='never',
    )

    world.missing = False
    world.run(30.0)

    assert [each.version for each in world.acts] == ['A']


def test_rule_5_directory_that_loses_everything_is_held_for_empty_grace():
    """Rule 5: a directory that loses everything at once is distrusted."""
    world = Simulation(WATCH, 'directory')
    world.run(20.0)

    world.lost = True
    world.run(25.0)
    held = [each.fields['reason'] for each in world.events if each.event == 'held']
    assert (held, sent(world)) == (['became empty'], [])
    world.run(20.0)

    assert len(sent(world)) == 1


def test_rule_5_directory_that_was_empty_for_a_moment_is_no_change():
    """Rule 5: a file system that is unmounted and mounted again is no change."""
    world = Simulation(WATCH, 'directory')
    world.run(20.0)

    world.lost = True
    world.run(20.0)
    world.lost = False
    world.run(20.0)

    assert (sent(world), world.idle()) == ([], True)


def test_rule_4_trouble_is_logged_once_also_over_a_restart_with_the_ledger():
    """Rule 4: unreadable is an observation, logged once per transition.

    So a check from cron is silent while nothing changes.
    """
    world = missing_world()
    for _ in range(3):
        world.crash(keep=True)
        world.run(20.0)

    assert [each.event for each in world.events].count('unreadable') == 1


def two_paths(**changes: Any) -> Simulation:
    """Return a world with a second path, which is readable."""
    world = Simulation(WATCH._replace(paths=('/c', '/d'), **changes))
    world.beside = 'there'
    world.run(20.0)
    return world


def reasons(world: Simulation, event: str) -> list[object]:
    """Return the reasons of the events of a name."""
    return [each.fields.get('reason') for each in world.events if each.event == event]


@pytest.mark.parametrize('restarted', [False, True])
def test_rule_1_target_notified_while_a_path_is_away_is_notified_when_it_is_back(
        restarted,
):
    """Rule 1: it may have read nothing at that path, and the same bytes come back."""
    world = two_paths()
    world.beside = 'away'
    world.put('B')
    world.run(30.0)
    assert sent(world) == ['B']
    if restarted:
        world.crash(keep=True)
        world.run(10.0)

    world.beside = 'there'
    world.run(30.0)

    assert sent(world) == ['B', 'B']
    assert reasons(world, 'changed') == [None, 'restarted']
    assert 'was notified since' in world.events[-3].message
    assert world.idle()


def test_rule_1_path_that_is_away_within_survive_is_waited_for():
    """Rule 1: another signal helps only when the path is back."""
    world = two_paths(survive=20.0)
    world.put('B')
    while not world.sent:
        world.run(0.1)
    world.beside = 'away'
    world.run(30.0)
    assert (sent(world), reasons(world, 'failed')) == (['B'], [])

    world.beside = 'there'
    world.run(60.0)

    assert sent(world) == ['B', 'B']
    assert world.idle()


def test_rule_1_only_path_that_is_away_at_the_delivery_is_waited_for():
    """Rule 1: it went away after the signal, when the target may have read it."""
    world = Simulation(WATCH._replace(survive=20.0))
    world.run(20.0)
    world.put('B')
    while not world.sent:
        world.run(0.1)
    world.hide()
    world.run(30.0)
    assert sent(world) == ['B']

    world.put('B')
    world.run(60.0)

    assert sent(world) == ['B', 'B']
    assert world.idle()


def test_rule_1_path_that_was_away_within_survive_is_a_failure():
    """Rule 1: it is back by then, but the target may have read nothing at that path."""
    world = two_paths(survive=20.0)
    world.put('B')
    while not world.sent:
        world.run(0.1)
    world.beside = 'away'
    world.run(8.0)
    world.turns += 1
    world.beside = 'there'
    world.run(60.0)

    assert sent(world) == ['B', 'B']
    assert reasons(world, 'failed') == ['changed meanwhile']
    assert world.idle()


def test_rule_1_target_that_starts_while_a_path_is_away_is_notified():
    """Rule 1: it has read nothing at that path."""
    world = two_paths()
    world.beside = 'away'
    world.run(20.0)
    world.restart()
    world.run(20.0)
    assert sent(world) == []

    world.beside = 'there'
    world.run(30.0)

    assert sent(world) == ['A']
    assert world.idle()


def test_rule_8_target_that_starts_while_a_path_is_away_needs_a_signal():
    """Rule 8: the version has been due for a while, but no target read all of it."""
    world = two_paths()
    world.end_all()
    world.put('B')
    world.run(20.0)
    world.beside = 'away'
    world.run(20.0)
    world.start()
    world.run(20.0)

    assert sent(world) == ['B']


@pytest.mark.parametrize('changes', [
    pytest.param({}, id='signal'),
    pytest.param({
        'process': None, 'signal': None, 'exec': (('act',),), 'on_start': 'never',
    }, id='exec'),
])
def test_rule_4_path_that_was_away_is_no_change(changes):
    """Rule 4: the same bytes afterwards, and no process read the files in between."""
    world = two_paths(**changes)
    world.beside = 'away'
    world.run(30.0)
    world.beside = 'there'
    world.run(30.0)

    assert (sent(world), world.acts) == ([], ())
    assert world.idle()


def test_rule_1_action_is_repeated_when_a_path_is_back():
    """Rule 1: the program that it notifies may have read nothing at that path."""
    world = two_paths(process=None, signal=None, exec=(('act',),), on_start='never')
    world.beside = 'away'
    world.put('B')
    world.run(30.0)
    world.beside = 'there'
    world.run(30.0)

    assert [each.version for each in world.acts] == ['B', 'B']
    assert world.idle()


def test_rule_1_action_is_repeated_for_a_neighbour_of_what_could_not_be_read():
    """Rule 1: the neighbour was another for a moment, and may have been read then."""
    changes: dict[str, Any] = {'process': None, 'signal': None, 'exec': ACT}
    watch = WATCH._replace(on_start='never', **changes)
    world = Simulation(watch, 'directory')
    world.run(20.0)
    world.hide()
    world.neighbour = 'M'
    while world.state.version.state != 'settling':
        world.run(0.1)
    world.put('A')
    world.neighbour = 'N'
    world.run(30.0)

    assert [each.version for each in world.acts] == ['A']
    assert world.idle()


def rewriting(world: Simulation) -> None:
    """Let each target rewrite the file when it takes the signal."""
    take, numbers = world.take, itertools.count()

    def rewrite(pid: int) -> None:
        take(pid)
        world.put(f'own{next(numbers)}')

    world.take = rewrite  # type: ignore[method-assign]


def loops(world: Simulation) -> list[str]:
    """Return the messages about a feedback loop."""
    return [
        each.message for each in world.events
        if each.fields.get('reason') == 'feedback loop'
    ]


def test_rule_15_feedback_loop_is_reported_once_and_slowed_down():
    """Rule 15: a reload must not cause the next reload.

    After three deliveries, each followed by a change, the wait doubles up to 5 min.
    """
    world = Simulation(WATCH)
    world.run(20.0)
    rewriting(world)
    world.put('B')
    world.run(3000.0)

    gaps = [
        other.at - one.at for one, other in itertools.pairwise(world.sent)
    ]
    assert max(gaps[:3]) < 15.0
    assert gaps[3:] == sorted(gaps[3:])
    assert 290.0 < gaps[-1] < 310.0
    (line,) = loops(world)
    # Polls every 5 s are slower than the first waits, of 2 s and 4 s.
    assert 'the last 5 deliveries were each followed by a change of /c ' in line


def test_rule_15_last_version_arrives_and_a_quiet_spell_resets_the_wait():
    """Rule 15: the version at the end of the loop is delivered."""
    world = Simulation(WATCH)
    world.run(20.0)
    rewriting(world)
    world.put('B')
    world.run(100.0)
    del world.take
    world.run(600.0)
    assert sent(world)[-1] == world.version
    assert world.idle()

    before = world.now
    world.put('last')
    world.run(20.0)

    assert sent(world)[-1] == 'last'
    assert world.sent[-1].at - before < 10.0


@pytest.mark.parametrize('pause', [0.5, 1.0, 2.0, 3.0])
def test_rule_15_file_that_changes_by_itself_is_delivered_all_the_time(pause):
    """Rule 15 is about loops: a file that changes every second is not one.

    A version that is first seen long after the last delivery was not caused by it.
    """
    world = Simulation(WATCH._replace(interval=0.5, settle=0.0, survive=0.1))
    world.run(20.0)
    numbers, end = itertools.count(), world.now + 120.0
    while world.now < end:
        world.put(f'own{next(numbers)}')
        world.run(pause)
    world.run(8.0)

    gaps = [other.at - one.at for one, other in itertools.pairwise(world.sent)]
    assert 4.0 < max(gaps) < 8.0
    assert sent(world)[-1] == world.version
    assert world.idle()
    assert len(loops(world)) == 1


def test_rule_15_operator_ends_the_wait():
    """SIGHUP to pollreload delivers at once, also in a feedback loop."""
    world = Simulation(WATCH)
    world.run(20.0)
    rewriting(world)
    world.put('B')
    world.run(300.0)
    del world.take
    count = len(world.sent)
    assert world.state.hold == 'feedback loop'

    world.send_hup()
    world.run(2.0)

    assert len(world.sent) == count + 1


@pytest.mark.parametrize('rewriter', ['validate', 'act'])
def test_rule_15_holds_for_a_command_that_changes_the_file(rewriter):
    """Rule 15: --validate or --exec can cause the change as well."""
    watch = WATCH._replace(validate=('validate',), exec=(('act',),))
    world = Simulation(watch)
    world.run(20.0)
    numbers = itertools.count()
    run = world.world.run

    def rewrite(command: Any, additions: Any) -> str:
        why = run(command, additions)
        if command[0] == rewriter:
            world.put(f'own{next(numbers)}')
        return why

    world.world = world.world._replace(run=rewrite)
    world.put('B')
    world.run(1000.0)

    assert len(loops(world)) == 1
    assert next(numbers) < 20


@pytest.mark.parametrize('restarted', [False, True])
@pytest.mark.parametrize('changes', [
    pytest.param({}, id='signal'),
    pytest.param({'process': None, 'signal': None, 'exec': ACT}, id='command'),
    pytest.param({'exec': ACT}, id='signal and command'),
])
def test_rule_1_version_that_returns_after_another_was_there_is_delivered_again(
        changes, restarted,
):
    """The target may have read the other version; a line says why it is notified."""
    world = Simulation(WATCH._replace(survive=1.0, settle=3.0, **changes))
    world.run(20.0)
    world.put('B')
    while world.stage() not in ('survive', 'act'):
        world.run(0.1)
    world.run(0.05)
    world.put('C')
    world.send_hup()
    world.run(1.5)
    if restarted:
        world.crash(keep=True)
        world.run(0.1)
    world.put('B')
    world.run(60.0)

    deliveries = world.acts if world.settings.exec else world.sent
    assert [each.version for each in deliveries if each.at > 1020.0] == ['B', 'B']
    why = [each.fields['reason'] for each in world.events if (
        each.event in ('changed', 'failed') and 'reason' in each.fields
    )]
    assert why == ['changed meanwhile' if world.settings.exec else 'restarted']
    assert world.idle()


@pytest.mark.parametrize(('delay', 'expected'), [(0.45, ['B', 'B']), (0.9, ['B'])])
def test_rule_1_other_version_is_there_while_a_target_may_still_read(delay, expected):
    """A target reads within --survive of its signal, perhaps at its end.

    delay: s from the signal to the moment at which another version is there.
    """
    world = Simulation(WATCH._replace(interval=0.2, settle=0.3, survive=0.5))
    world.run(20.0)
    world.put('B')
    while not world.sent:
        world.run(0.01)
    world.run(delay)
    world.put('C')
    while world.state.version.state != 'settling':
        world.run(0.01)
    world.put('B')
    world.run(60.0)

    assert [each.version for each in world.sent] == expected
    assert world.idle()
