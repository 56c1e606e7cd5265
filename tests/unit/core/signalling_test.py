"""From a due version to the signal: what holds it, and what is sent."""
from __future__ import annotations

from typing import Any

import pytest

from pollreload.core import observation
from pollreload.core.command import describe_exit
from pollreload.core.process import Choice, Process
from pollreload.settings import Settings, Signal
from tests.support.simulation import Simulation

WATCH = Settings(paths=('/c',), process='app')


def world_of(targets: int = 1, **changes: Any) -> Simulation:
    """Return a world in which version A is delivered and pollreload has run a while."""
    world = Simulation(WATCH._replace(**changes), targets=targets)
    world.run(20.0)
    return world


def sent(world: Simulation) -> list[tuple[int, str]]:
    """Return the signals that were sent: pid and version."""
    return [(each.pid, each.version) for each in world.sent]


def test_delivery_without_a_target_is_held_with_an_explanation():
    """The line is what World.absent reports about the processes that were found."""
    world = world_of(targets=0)
    world.put('B')

    world.run(20.0)

    assert world.messages('held') == ['no app']


def test_pidfile_that_names_another_process_is_another_line():
    """The reason stays, and what is to be done does not."""
    world = world_of()
    number = 7
    says = '/p names pid {}, a stranger; there is app{}'
    world.world = world.world._replace(targets=lambda: Choice(
        (), 'pidfile', says.format(number, len(world.events)),
    ))
    world.put('B')
    world.run(20.0)
    number = 8
    world.run(20.0)

    assert [each.partition('; ')[0] for each in world.messages('held')] == [
        '/p names pid 7, a stranger', '/p names pid 8, a stranger',
    ]


def test_several_roots_are_held():
    """An ambiguous selection is held with the pids, until it is resolved."""
    world = world_of(targets=2)
    world.put('B')
    world.run(20.0)
    assert 'pids 101, 102' in world.messages('held')[0]

    world.end(102)
    world.run(5.0)

    assert sent(world) == [(101, 'B')]


def test_splay_delays_the_signal_once():
    """The wait begins when the version is due, and is not logged as a hold."""
    world = world_of(splay=30.0)
    world.put('B')
    world.run(33.0)
    before = sent(world)

    world.run(1.0)

    assert (before, sent(world)) == ([], [(101, 'B')])
    assert world.messages('held') == []


def test_files_are_polled_at_the_end_of_a_wait():
    """A version that changed during the wait is not delivered."""
    world = world_of(splay=28.0, interval=60.0)
    world.put('B')
    world.run(30.0)
    assert world.state.waiting == 'splay'

    world.put('C')
    world.run(60.0)

    assert sent(world) == [(101, 'C')]


@pytest.mark.parametrize(('changes', 'disposition', 'age', 'expected'), [
    pytest.param({}, 'caught', 0.9, 0, id='1 s with a handler'),
    pytest.param({}, 'caught', 1.0, 1, id='1 s of age'),
    pytest.param({}, 'unknown', 9.9, 0, id='10 s if unknown'),
    pytest.param({}, 'unknown', 10.0, 1, id='10 s of age'),
    pytest.param({'min_uptime': 20.0}, 'caught', 19.9, 0, id='as it is set'),
    pytest.param({'min_uptime': 20.0}, 'unknown', 20.0, 1, id='as it is set, unknown'),
    pytest.param({'min_uptime': 0.0}, 'unknown', 0.0, 1, id='none'),
])
def test_min_uptime(changes, disposition, age, expected):
    """A target younger than --min-uptime is not signalled yet."""
    world = world_of(**changes)
    world.put('B')
    world.run(3.4)
    due = 1023.5
    started = int((due - age) * 100)
    world.alter_root(disposition=disposition, started=started)
    assert (world.now, world.sent) == (1023.4, ())

    world.run(0.15)

    assert len(world.sent) == expected


def test_young_target_is_signalled_as_soon_as_it_is_old_enough():
    """The wait does not last until the next poll."""
    world = world_of(min_uptime=7.0)
    world.put('B')
    world.run(3.0)
    world.restart()

    world.run(20.0)

    assert [sent.at for sent in world.sent] == [pytest.approx(1030.0)]
    assert world.messages('held') == [
        'app (pid 102) is younger than 7 s (--min-uptime)',
    ]


def test_young_target_is_not_logged_for_a_wait_below_1_s():
    """A hold that ends by itself within 1 s is not worth a line."""
    world = world_of()
    world.put('B')
    world.run(3.0)
    world.restart()

    world.run(20.0)

    assert sent(world) == [(102, 'B')]
    assert world.messages('held') == []


@pytest.mark.parametrize(('disposition', 'word'), [
    ('default', 'would die of SIGHUP'), ('ignored', 'ignores SIGHUP'),
])
def test_target_without_a_handler_is_held_with_the_option_that_helps(disposition, word):
    """The line says what the signal would do, and how to send it nevertheless."""
    world = world_of()
    world.alter_root(disposition=disposition)
    world.put('B')

    world.run(20.0)

    [line] = world.messages('held')
    assert line.startswith(f'app (pid 101) {word}')
    assert '--handler-check off' in line


@pytest.mark.parametrize('disposition', ['default', 'ignored'])
def test_warn_sends_the_signal_and_logs_the_missing_handler(disposition):
    """With --handler-check warn."""
    world = world_of(handler_check='warn')
    world.alter_root(disposition=disposition)
    world.put('B')

    world.run(3.6)

    assert world.messages('signalled') == [
        f'SIGHUP to app (pid 101), which has no handler for it ({disposition})',
    ]


@pytest.mark.parametrize('mode', ['warn', 'off'])
def test_signal_is_logged_with_its_target_and_disposition(mode):
    """The fields have the pid, the system call, and what the target does with it."""
    world = world_of(handler_check=mode)
    world.put('B')

    world.run(3.6)

    [event] = [it for it in world.events if it.event == 'signalled']
    assert event.message == 'SIGHUP to app (pid 101)'
    assert event.fields == {
        'target_pid': 101, 'comm': 'app', 'signal': 'SIGHUP', 'how': 'pidfd',
        'disposition': 'caught',
    }


@pytest.mark.parametrize('disposition', ['default', 'ignored', 'caught', 'unknown'])
def test_signal_that_ends_a_process_needs_no_handler(disposition):
    """The handler check leaves out TERM, because the exit is the success."""
    world = world_of(signal=Signal(15, 'SIGTERM'), handler_check='enforce')
    world.alter_root(disposition=disposition)
    world.put('B')

    world.run(20.0)

    assert sent(world) == [(101, 'B')]
    assert world.messages('delivered') == ['SIGTERM to app (pid 101), which ended']


def test_ready_target_is_signalled_and_the_other_is_held():
    """The other one is signalled as soon as it is ready."""
    world = world_of(targets=2, select='roots')
    world.alter(101, disposition='default')
    world.put('B')
    world.run(20.0)
    before = sent(world)

    world.make_ready()
    world.run(5.0)

    assert (before, sent(world)) == ([(102, 'B')], [(102, 'B'), (101, 'B')])
    assert len(world.messages('held')) == 1


def test_reasons_of_several_targets_are_logged_in_one_line():
    """The wait is the shortest one that ends by itself."""
    world = world_of(targets=2, select='roots', min_uptime=40.0)
    world.alter(101, disposition='default')
    world.put('B')
    world.run(3.0)
    world.alter(102, started=int(world.now * 100))

    world.run(20.0)

    [line] = world.messages('held')
    assert 'app (pid 101) would die of SIGHUP' in line
    assert '; app (pid 102) is younger than 40 s' in line

    world.run(40.0)

    assert [(sent.pid, sent.at) for sent in world.sent] == [(102, 1063.0)]


def test_each_version_is_validated_once_before_the_signal():
    """The signal follows the next poll after the validation."""
    world = world_of(validate=('validate',))
    runs: list[float] = []

    def run(command, additions):
        runs.append(world.now)
        assert command == ('validate',)
        assert additions['POLLRELOAD_PID'] == '101'
        return Simulation.run_command(world, command, additions)

    world.world = world.world._replace(run=run)
    world.put('B')
    world.run(20.0)
    world.put('C')
    world.run(20.0)

    assert sent(world) == [(101, 'B'), (101, 'C')]
    assert len(runs) == 2


def test_poll_that_began_during_the_validation_is_not_enough():
    """It may have read the files before --validate did, so the next poll decides."""
    world = world_of(validate=('validate',))
    world.takes = 5.0
    world.put('B')
    world.run(6.0)
    world.hang(4.5)  # over the poll at 1027.5 and the end of the command

    def read(dates):
        seen = Simulation.read(world, dates)
        if seen is not None and world.now > 1030.0:
            world.put('C')  # right after the poll that hung
        return seen

    world.world = world.world._replace(read=read)
    world.run(20.0)

    assert sent(world) == [(101, 'C')]


def test_version_that_validate_refuses_is_held():
    """It is logged once, and validated again later."""
    world = world_of(validate=('validate',))
    world.refuse_for(validate=100.0)
    world.put('B')
    world.run(99.0)
    before = sent(world)
    world.run(60.0)

    assert (before, sent(world)) == ([], [(101, 'B')])
    assert world.messages('held') == [
        '--validate validate refused the new version (exit status 1)',
    ]


def test_outcome_is_failed_if_validate_refuses():
    """For the exit status of check."""
    world = world_of(validate=('validate',))
    world.refuse_for(validate=100.0)
    world.put('B')

    world.run(10.0)

    assert world.state.outcome == 'failed'


def test_backoff_is_logged_with_its_length():
    """The line says when the signal is sent again, and how often it failed."""
    world = world_of(verify=('verify',), command_timeout=5.0)
    world.alter_root(deaf=True)
    world.put('B')

    world.run(10.0)

    assert world.messages('held') == [
        'SIGHUP is tried again in 1 s (failures so far: 1)',
    ]


def test_running_command_is_checked_every_0_1_s():
    """If SIGCHLD does not arrive, its end is still found soon."""
    world = world_of(validate=('validate',))
    world.takes = 3.0
    world.put('B')

    world.run(3.5)

    assert world.stage() == 'validate'
    assert observation.wake(world.state) <= world.now + 0.1


def test_output_of_validate_is_logged():
    """It usually names the cause."""
    world = world_of(validate=('validate',))
    world.world = world.world._replace(output=lambda: 'first\nline 3: no such word')
    world.refuse_for(validate=100.0)
    world.put('B')

    world.run(10.0)

    [line] = world.messages('held')
    assert line.endswith('(exit status 1): first | line 3: no such word')


def test_version_is_held_if_validate_cannot_be_started():
    """A missing command accepts no version."""
    world = world_of(validate=('validate',))
    world.world = world.world._replace(run=lambda command, additions: 'no such file')
    world.put('B')

    world.run(100.0)

    assert sent(world) == []
    assert world.messages('held') == ['cannot run --validate: no such file']
    assert world.state.attempt.tries > 3


def test_validate_that_does_not_end_is_killed_and_the_version_held():
    """After --command-timeout."""
    world = world_of(validate=('validate',), command_timeout=5.0)
    world.takes = 100.0
    world.put('B')
    world.run(8.4)
    before = world.command

    world.run(0.2)

    assert before is not None
    assert world.command is None
    assert sent(world) == []
    assert world.messages('held') == [
        '--validate validate did not end within 5 s',
    ]


def test_validation_of_an_old_version_is_killed():
    """The files changed during --validate: its result does not count."""
    world = world_of(validate=('validate',))
    world.put('B')
    world.run(3.6)
    before = world.command

    world.put('C')
    world.send_hup()
    world.run(0.1)
    during = world.command
    world.run(20.0)

    assert before is not None
    assert during is None
    assert sent(world) == [(101, 'C')]
    assert world.messages('held') == []


@pytest.mark.parametrize(('status', 'text'), [
    (3, 'exit status 3'), (-9, 'ended by signal 9'),
])
def test_describe_exit(status, text):
    """The exit status, or the signal that ended the command."""
    assert describe_exit(status) == text


def test_refused_signal_is_logged_once():
    """One line for EPERM, with both uids and what to do, also for several targets."""
    world = world_of(targets=2, select='roots')
    world.alter(101, refuses=True)
    world.alter(102, refuses=True)
    world.put('B')

    world.run(600.0)

    lines = world.messages('failed', 'held')
    assert len(lines) <= 2
    assert 'not permitted to send SIGHUP to app (pid 101, uid 0) as uid 1' in lines[0]
    assert 'or as root with CAP_KILL' in lines[0]


def test_signal_denied_by_a_security_module_names_it():
    """No other uid and no capability would help."""
    world = world_of()
    world.refusal = 'denied'
    world.alter_root(refuses=True)
    world.put('B')

    world.run(60.0)

    line = world.messages('failed', 'held')[0]
    assert 'not permitted to send SIGHUP to app (pid 101): a security module' in line


def test_refused_signal_is_logged_every_hour():
    """As long as it is refused."""
    world = world_of()
    world.alter_root(refuses=True)
    world.put('B')

    world.run(2.5 * 3600.0)

    assert len(world.messages('failed', 'held')) == 3


def test_each_of_two_targets_is_signalled_once_although_one_refused():
    """The one that refused is signalled when it can be."""
    world = world_of(targets=2, select='roots')
    world.alter(101, refuses=True)
    world.put('B')
    world.run(60.0)
    world.make_ready()

    world.run(70.0)

    assert sent(world) == [(102, 'B'), (101, 'B')]
    assert world.idle()


def test_target_that_exits_just_before_the_signal_leaves_no_trace():
    """The target that exists then is signalled instead."""
    world = world_of(targets=2, select='roots')

    def send(process: Process, number: int) -> str:
        if process.pid == 101:
            world.end(101)
        return Simulation.send(world, process, number)

    world.world = world.world._replace(send=send)
    world.put('B')
    world.run(20.0)

    assert sent(world) == [(102, 'B')]
    assert world.idle()
    assert world.state.outcome == 'done'
    assert world.messages('failed') == []


def test_restarting_targets_that_refuse_do_not_pile_up():
    """Targets that were never signalled are not remembered."""
    world = world_of()
    world.put('B')
    for _ in range(20):
        world.restart()
        world.alter_root(refuses=True, started=95_000)
        world.run(70.0)

    assert world.state.attempt.targets == ()


def ending(**changes: Any) -> Simulation:
    """Return a world in which pollreload ended after it had sent TERM to one target."""
    world = world_of(
        targets=2, signal=Signal(15, 'SIGTERM'), select='roots', **changes,
    )
    world.alter(101, deaf=True)
    world.alter(102, refuses=True)
    world.put('B')
    world.run(4.0)
    assert sent(world) == [(101, 'B')]
    world.crash(keep=True)
    return world


def test_next_run_observes_the_exit_that_the_last_one_requested():
    """The target exits of TERM: that is a success, and no death."""
    world = ending()
    world.end(101)

    world.run(0.2)

    assert world.messages('delivered') == ['SIGTERM to app (pid 101), which ended']
    assert world.state.deaths == 0


def test_next_run_signals_the_target_that_was_not_signalled():
    """The exit of one target does not end the attempt."""
    world = ending()
    world.end(101)
    world.run(5.0)
    assert world.state.version.state == 'due'

    world.make_ready()
    world.run(70.0)

    assert sent(world) == [(101, 'B'), (102, 'B')]
    assert world.idle()


@pytest.mark.parametrize('dies', [False, True])
def test_next_run_waits_for_the_rest_of_survive(dies):
    """It is not delivered before that, and the target may die in it."""
    world = world_of(targets=1, survive=10.0)
    world.put('B')
    world.run(6.0)
    assert sent(world) == [(101, 'B')]
    end = world.sent[0].at + 10.0
    world.crash(keep=True)
    world.run(2.0)
    assert (world.stage(), world.messages('delivered')) == ('survive', [])
    if dies:
        world.end_all()

    world.run(end - world.now + 0.1)

    assert len(world.messages('delivered')) == (not dies)
    assert len(world.messages('failed')) == dies


def test_successor_of_a_target_that_ended_is_not_signalled():
    """It started after TERM was sent, so it has read the version."""
    world = ending()
    world.end_all()
    world.start()

    world.run(20.0)

    assert sent(world) == [(101, 'B')]
    assert world.idle()


def test_successor_that_read_another_version_is_signalled():
    """It started while C was there, and B is back."""
    world = ending(command_timeout=300.0)
    world.run(1.0)
    world.put('C')
    world.run(2.0)
    world.end_all()
    world.start()
    world.run(0.1)

    world.put('B')
    world.run(60.0)

    assert [version for _, version in sent(world)] == ['B', 'B']
    assert world.root() is None


def test_target_that_needs_no_signal_has_no_successor():
    """One target is new enough to need no signal; the other one is sent TERM."""
    world = world_of(targets=0, signal=Signal(15, 'SIGTERM'), select='roots')
    world.put('B')
    world.run(20.0)
    world.start()
    world.start()
    world.alter(101, started=int((world.state.version.seen_at + 12.0) * 100))
    world.alter(102, started=int((world.state.version.seen_at + 5.0) * 100))
    world.alter(102, refuses=True)
    world.run(20.0)
    world.make_ready()

    world.run(60.0)

    assert sent(world) == [(102, 'B')]


def test_worker_of_a_target_that_has_not_ended_is_no_successor():
    """It was forked with the old version."""
    world = world_of(
        targets=1, signal=Signal(15, 'SIGTERM'), select='all', command_timeout=5.0,
    )
    world.alter(101, stopped=True)
    world.put('B')
    world.run(20.0)
    world.fork()

    world.run(70.0)

    reasons = [it.fields.get('reason') for it in world.events]
    assert 'needless' not in reasons


def test_target_that_started_since_the_last_poll_is_not_up_to_date_yet():
    """The next poll shows which version it has read."""
    world = world_of(interval=60.0)
    world.alter_root(stopped=True)
    world.put('B')
    world.run(70.0)
    world.put('C')
    world.end_all()
    world.start()

    world.run(200.0)

    assert [event.event for event in world.events if 'read it' in event.message] == []
    assert world.idle()
