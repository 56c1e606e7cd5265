"""Handovers, generations and late exits, decided by the pure core."""
from __future__ import annotations

from typing import Any

import pytest

from pollreload.core.process import Choice, Process, choose
from pollreload.settings import Settings
from tests.support.simulation import Simulation

WATCH = Settings(paths=('/c',), process='app')


def world_of(**changes: Any) -> Simulation:
    """Return a world in which version B was delivered to process 101."""
    world = Simulation(WATCH._replace(**changes))
    world.run(20.0)
    world.put('B')
    world.run(20.0)
    assert sent(world) == [(101, 'B')]
    return world


def sent(world: Simulation) -> list[tuple[int, str]]:
    """Return the signals that were sent: pid and version."""
    return [(each.pid, each.version) for each in world.sent]


def test_rule_13_older_generation_that_remains_is_notified():
    """It existed before the version, and was never notified."""
    world = Simulation(WATCH)
    world.run(20.0)
    world.upgrade()
    world.put('B')
    world.run(20.0)
    assert sent(world) == [(101, 'B')]

    world.retire()
    world.run(20.0)

    assert sent(world) == [(101, 'B'), (102, 'B')]
    assert world.idle()


def signalled(**changes: Any) -> Simulation:
    """Return a world of two generations, the older of which was just signalled."""
    world = Simulation(WATCH._replace(**changes))
    world.run(20.0)
    world.upgrade()
    world.put('B')
    while not world.sent:
        world.run(0.05)
    return world


def failures(world: Simulation) -> list[object]:
    """Return the reasons of the failures."""
    return [each.fields['reason'] for each in world.events if each.event == 'failed']


@pytest.mark.parametrize('survive', [1.0, 5.0])
def test_rule_13_generation_that_goes_on_is_notified_at_once(survive):
    """The notified one exits within --survive, which is no death by the signal."""
    world = signalled(survive=survive)

    world.retire()
    before = world.now
    world.run(20.0)

    assert sent(world) == [(101, 'B'), (102, 'B')]
    assert world.sent[1].at - before <= survive
    assert (failures(world), world.state.deaths, world.idle()) == ([], 0, True)


def test_rule_13_generation_that_goes_on_is_notified_before_the_next_action():
    """The commands that follow the signal wait for it."""
    world = signalled(exec=(('act',),))
    world.retire()
    world.run(20.0)

    assert sent(world) == [(101, 'B'), (102, 'B')]
    assert [each.at > world.sent[1].at for each in world.acts] == [True]


@pytest.mark.parametrize('check', [
    {'verify': ('verify',)}, {'verify_workers': True},
])
def test_rule_13_generation_goes_on_during_the_verification(check):
    """The notified one exits before its reload was verified."""
    world = signalled(**check)
    world.alter(101, deaf=True)
    for worker in [each.pid for each in world.targets.values() if each.ppid == 101]:
        if not world.targets[worker].generation:
            world.end(worker)
    world.run(2.0)
    assert world.stage() == 'verify'
    (other,) = [each.pid for each in world.targets.values() if each.generation]
    world.retire()
    world.run(60.0)

    assert {pid for pid, _ in sent(world)} == {101, other}
    assert (failures(world), world.state.deaths, world.idle()) == ([], 0, True)


@pytest.mark.parametrize(('first', 'second'), [
    ('unknown', 'caught'), ('caught', 'default'), ('caught', 'unknown'),
])
def test_rule_13_exit_is_a_death_if_nothing_surely_took_over(first, second):
    """A worker without a handler has lost its parent; unknown masks prove nothing."""
    world = Simulation(WATCH)
    world.run(20.0)
    world.upgrade()
    world.alter(101, disposition=first)
    world.alter(102, disposition=second)
    world.put('B')
    while not world.sent:
        world.run(0.05)
    world.retire()
    world.run(1.5)

    assert (failures(world), world.state.deaths) == (['died'], 1)


def test_rule_13_target_that_was_notified_itself_does_not_take_over():
    """With --select all, each target has a signal of its own, and one of them died."""
    world = Simulation(WATCH._replace(select='all'), targets=2)
    world.run(20.0)
    world.put('B')
    while not world.sent:
        world.run(0.05)
    world.end(101)
    world.run(1.5)

    assert sent(world) == [(101, 'B'), (102, 'B')]
    assert failures(world) == ['died']


def test_rule_13_newer_generation_is_up_to_date():
    """It started after the signal, so it has read the version."""
    world = world_of()
    world.upgrade()
    world.retire()
    world.run(20.0)

    assert sent(world) == [(101, 'B')]
    assert world.idle()


def test_rule_13_successor_of_the_same_clock_tick_is_up_to_date():
    """Start times are rounded down to clock ticks, the time of a signal is not."""
    world = Simulation(WATCH._replace(settle=1.004))
    world.run(20.0)
    world.put('B')
    while not world.sent:
        world.run(0.001)
    world.upgrade()
    assert world.targets[102].started / 100 < world.sent[0].at
    world.run(20.0)
    world.retire()
    world.run(20.0)

    assert sent(world) == [(101, 'B')]
    assert world.idle()


@pytest.mark.parametrize('restarted', [False, True])
@pytest.mark.parametrize('changes', [
    pytest.param({'survive': 20.0}, id='newer version within survive'),
    pytest.param({'verify': ('verify',)}, id='not verified'),
])
def test_rule_13_target_that_is_renamed_before_its_delivery_stays_a_target(
        changes, restarted,
):
    """It was notified, whatever the outcome."""
    world = Simulation(WATCH._replace(**changes))
    world.run(20.0)
    world.refuse_for(verify=60.0)
    world.put('B')
    while not world.sent:
        world.run(0.1)
    world.rename()
    assert world.targets[101].renamed
    if restarted:
        world.crash(keep=True)
    world.put('C')
    world.run(200.0)

    assert world.targets[101].has == 'C'
    assert world.idle()


def test_rule_13_verified_successor_took_over_and_did_not_reload():
    """A program that was restarted after its death looks the same as a successor."""
    world = Simulation(WATCH._replace(verify=('verify',)))
    world.run(20.0)
    world.alter_root(hands_over=True)
    world.put('B')
    world.run(20.0)

    assert [each.message for each in world.events if each.event == 'verified'] == [
        'app (pid 102) took over after SIGHUP',
    ]


def orphaned(disposition: str, opaque: bool = False) -> Simulation:
    """Return a world in which a signalled master died, and left a worker behind."""
    world = Simulation(WATCH, opaque=opaque)
    world.run(20.0)
    world.put('B')
    while not world.sent:
        world.run(0.05)
    world.fork()
    world.alter(102, disposition=disposition)
    world.retire()
    world.run(5.0)
    return world


@pytest.mark.parametrize('opaque', [False, True])
@pytest.mark.parametrize('disposition', ['default', 'ignored'])
def test_rule_13_worker_that_outlives_its_master_is_no_successor(disposition, opaque):
    """It does not handle the signal, and its master did."""
    world = orphaned(disposition, opaque)

    assert failures(world) == ['died']
    assert world.messages('delivered') == []


def test_rule_13_worker_that_outlives_its_master_has_not_read_the_version():
    """It was forked from the master, so its start time shows nothing."""
    world = orphaned('default')

    world.run(60.0)

    assert not world.idle()


@pytest.mark.parametrize('disposition', ['blocked', 'unknown', 'runtime'])
def test_rule_13_successor_may_handle_the_signal(disposition):
    """Masks that cannot be read are no reason to call a hand-over a death."""
    world = orphaned(disposition)

    assert (failures(world), len(world.messages('delivered'))) == ([], 1)


def test_rule_13_successor_may_need_time_for_its_handler():
    """It is asked for it once it has lived for --survive, if it may be a worker."""
    world = Simulation(WATCH._replace(survive=5.0), opaque=True)
    world.run(20.0)
    world.put('B')
    while not world.sent:
        world.run(0.05)
    world.start_slowly()
    world.run(4.0)
    world.make_ready()
    world.run(20.0)

    assert (failures(world), len(world.messages('delivered'))) == ([], 1)


def test_rule_13_restart_may_need_longer_for_its_handler():
    """It was not forked from the target that exited, so it is no worker of it."""
    world = Simulation(WATCH)
    world.run(20.0)
    world.put('B')
    while not world.sent:
        world.run(0.05)
    world.start_slowly()
    world.run(5.0)

    assert (failures(world), len(world.messages('delivered'))) == ([], 1)


def test_rule_13_successor_of_a_target_without_a_handler_needs_none():
    """With --handler-check off."""
    world = Simulation(WATCH._replace(handler_check='off'))
    world.run(20.0)
    world.alter_root(disposition='ignored')
    world.put('B')
    while not world.sent:
        world.run(0.05)
    world.restart()
    world.alter_root(disposition='ignored')
    world.run(20.0)

    assert (failures(world), len(world.messages('delivered'))) == ([], 1)


def test_rule_13_successor_takes_over_from_one_instance():
    """With --select roots: of two that have exited, one died."""
    world = Simulation(WATCH._replace(select='roots'), targets=2)
    world.run(20.0)
    world.put('B')
    while not world.sent:
        world.run(0.05)
    world.restart()
    world.run(5.0)

    assert len(world.messages('delivered')) == 1
    assert failures(world) == ['died']
    assert world.idle()


@pytest.mark.parametrize('handed_over', [101, 102])
def test_rule_13_successor_has_the_arguments_of_its_instance(handed_over):
    """They tell the instances of one program apart."""
    world = Simulation(WATCH._replace(select='roots'), targets=2)
    world.alter(handed_over, arguments=('second.conf',))
    world.run(20.0)
    world.put('B')
    while not world.sent:
        world.run(0.05)
    world.restart()
    world.alter_root(arguments=('second.conf',))
    world.run(5.0)

    [line] = world.messages('delivered')
    assert line.startswith(f'SIGHUP to app (pid {handed_over}), which has exited')
    assert failures(world) == ['died']


def test_rule_13_generations_have_one_successor():
    """They make up one service, which was restarted."""
    world = world_of()
    world.upgrade()
    world.alter(102, ppid=1)
    world.put('C')
    while sent(world)[1:] != [(101, 'C'), (102, 'C')]:
        world.run(0.05)
    world.restart()
    world.run(5.0)

    assert failures(world) == []


@pytest.mark.parametrize('reason', ['pidfile', 'proc'])
def test_rule_10_unknown_successor_is_searched_again(reason):
    """If no process can be read now, one may still exist."""
    world = Simulation(WATCH)
    world.run(20.0)
    world.upgrade()
    world.put('B')
    world.run(20.0)
    real = world.world
    world.world = real._replace(targets=lambda: Choice((), reason, 'unknown'))
    world.retire()
    world.run(20.0)
    assert sent(world) == [(101, 'B')]

    world.world = real
    world.run(20.0)

    assert sent(world) == [(101, 'B'), (102, 'B')]


def test_rule_14_root_that_was_passed_over_is_notified_when_it_has_a_handler():
    """It was still starting, so its signal went to a worker."""
    world = Simulation(WATCH)
    world.run(20.0)
    world.fork()
    world.alter_root(disposition='default')
    world.put('B')
    world.run(20.0)
    assert sent(world) == [(102, 'B')]

    world.alter_root(disposition='caught')
    world.run(20.0)

    assert sent(world) == [(102, 'B'), (101, 'B')]


def test_rule_14_root_without_a_handler_yet_is_waited_for():
    """For two seconds: a worker must not get the signal of a root that is starting."""
    world = Simulation(WATCH)
    world.run(20.0)
    world.fork()
    world.alter_root(disposition='default')
    world.put('B')
    while world.state.waiting != 'uptime':
        world.run(0.1)
    world.run(1.0)
    world.alter_root(disposition='caught')
    world.run(20.0)

    assert sent(world) == [(101, 'B')]


def processes(*rows: tuple[int, int, int]) -> list[Process]:
    """Return processes by (pid, ppid, start time)."""
    return [Process(pid, ppid, started, 'app') for pid, ppid, started in rows]


def test_rule_14_several_that_handle_it_are_workers():
    """Then none of them replaces the root that has no handler."""
    found = processes((1, 0, 100), (2, 1, 200), (3, 1, 200))
    handling = {2: 'caught', 3: 'caught'}

    choice = choose(found, 'root', lambda each: handling.get(each.pid, 'default'))

    assert [each.pid for each in choice.targets] == [1]
    assert choice.passed == ()


def test_rule_14_workers_of_the_one_that_handles_it_do_not_count():
    """A wrapper, the program, and its workers."""
    found = processes((1, 0, 100), (2, 1, 200), (3, 2, 300), (4, 2, 300))
    handling = {2: 'caught', 3: 'caught', 4: 'caught'}

    choice = choose(found, 'root', lambda each: handling.get(each.pid, 'ignored'))

    assert [each.pid for each in choice.targets] == [2]
    assert [each.pid for each in choice.passed] == [1]


@pytest.mark.parametrize(('below', 'pid'), [
    pytest.param('caught', 2, id='the program has a handler'),
    pytest.param('blocked', 2, id='the program fetches it'),
    pytest.param('runtime', 1, id='a program in Go and its child'),
    pytest.param('default', 1, id='workers'),
    pytest.param('unknown', 1, id='unknown'),
])
def test_rule_14_runtime_that_may_die_of_it_is_passed_over_for_a_handler(below, pid):
    """A bash script with a trap for EXIT is a wrapper if its child has a handler."""
    found = processes((1, 0, 100), (2, 1, 200))

    fates = {1: 'runtime', 2: below}

    choice = choose(found, 'root', lambda each: fates[each.pid])

    assert [each.pid for each in choice.targets] == [pid]


def test_rule_14_wrapper_with_a_runtime_stays_passed_over():
    """Its mask says that it catches the signal, and no signal follows from that."""
    world = Simulation(WATCH)
    world.run(20.0)
    world.fork()
    world.alter_root(disposition='runtime')
    world.put('B')
    world.run(60.0)

    assert sent(world) == [(102, 'B')]
    assert world.idle()


@pytest.mark.parametrize(('known', 'pids'), [
    pytest.param({}, [], id='two services'),
    pytest.param({(1, 100): 150}, [1, 2], id='a successor'),
    pytest.param({(1, 100): 250}, [], id='another that started earlier'),
    pytest.param({(1, 100): 250, (2, 200): 250}, [1, 2], id='both were notified'),
])
def test_rule_13_generations_of_one_service_are_no_ambiguity(known, pids):
    """A notified process and the ones that started after that are one service."""
    choice = choose(processes((1, 0, 100), (2, 0, 200)), 'root', None, known)

    assert [each.pid for each in choice.targets] == pids
    assert choice.reason == ('' if pids else 'ambiguous')


@pytest.mark.parametrize(('state_file', 'held'), [(None, True), ('/l', False)])
def test_rule_15_ancestor_is_not_notified_at_the_start_without_a_ledger(
        state_file, held,
):
    """It may restart pollreload, which would notify it at its start, and so on."""
    world = Simulation(WATCH._replace(on_start='always', state_file=state_file))
    real = world.choice

    def choice() -> Choice:
        found = real()
        return found._replace(targets=tuple(
            each._replace(ancestor=True) for each in found.targets
        ))

    world.world = world.world._replace(targets=choice)
    world.run(20.0)

    assert (sent(world) == []) is held
    assert [each.fields['reason'] for each in world.events if each.event == 'held'] == (
        ['ancestor'] if held else []
    )


@pytest.mark.parametrize('restarted', [False, True])
def test_rule_13_older_process_that_is_named_only_later_is_notified(restarted):
    """A pidfile may name the dead process for a while, or no process."""
    world = Simulation(WATCH)
    world.run(20.0)
    standby = world.start()
    world.alter(standby, renamed=True)
    world.put('B')
    world.run(20.0)
    assert sent(world) == [(101, 'B')]
    world.end(101)
    world.run(20.0)
    if restarted:
        world.crash(keep=True)
        world.run(20.0)
    world.alter(standby, renamed=False)
    world.run(20.0)

    assert sent(world) == [(101, 'B'), (standby, 'B')]
    assert world.idle()


def test_rule_13_program_that_starts_long_after_its_end_is_up_to_date():
    """It read the version that is there, however long there was no process."""
    world = world_of()
    world.end(101)
    world.run(500.0)
    world.start()
    world.run(20.0)

    assert sent(world) == [(101, 'B')]
    assert world.idle()


def test_rule_13_target_that_exits_as_its_delivery_ends_is_followed():
    """Between the line about the delivery and the end of that step."""
    world = Simulation(WATCH)
    world.run(20.0)
    world.upgrade()
    world.run(5.0)
    log = world.world.say

    def say(event: str, message: str, /, **fields: object) -> None:
        log(event, message, **fields)
        if event == 'delivered' and 101 in world.targets:
            world.retire()

    world.world = world.world._replace(say=say)
    world.put('B')
    world.run(20.0)

    assert sent(world) == [(101, 'B'), (102, 'B')]
    assert world.idle()
