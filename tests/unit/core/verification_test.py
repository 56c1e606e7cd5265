"""From the signal to delivered and verified."""
from __future__ import annotations

from typing import Any

import pytest

from pollreload.settings import Settings, Signal
from tests.support.simulation import Simulation

WATCH = Settings(paths=('/c',), process='app', command_timeout=5.0)
TERM: dict[str, Any] = {'signal': Signal(15, 'SIGTERM')}


def world_of(*, targets: int = 1, **changes: Any) -> Simulation:
    """Return a world in which version A is delivered and pollreload has run a while."""
    world = Simulation(WATCH._replace(**changes), targets=targets)
    world.run(20.0)
    return world


def sent(world: Simulation) -> list[tuple[int, str]]:
    """Return the signals that were sent: pid and version."""
    return [(each.pid, each.version) for each in world.sent]


def test_delivered_is_logged_after_survive():
    """The target is alive, and nothing is pending."""
    world = world_of(survive=4.0)
    world.put('B')
    world.run(7.4)
    before = world.messages('delivered')

    world.run(0.2)

    assert before == []
    [line] = world.messages('delivered')
    assert line == 'SIGHUP to app (pid 101); reload not verified'


def test_survive_0_claims_no_observation():
    """The line says that the target was not checked."""
    world = world_of(survive=0.0)
    world.put('B')

    world.run(20.0)

    assert world.messages('delivered') == [
        'SIGHUP to app (pid 101); reload not verified, and not checked (--survive 0)',
    ]
    assert world.idle()


def test_death_within_survive_is_a_failed_delivery():
    """It is logged and counted, and the version is delivered to the next target."""
    world = world_of()
    world.alter_root(dies=True)
    world.put('B')
    world.run(20.0)

    assert world.messages('failed') == ['app (pid 101) died within 1 s of SIGHUP']
    assert (world.state.deaths, world.state.deadly) == (1, 'caught')

    world.start()
    world.alter_root(started=95_001)
    world.run(20.0)

    assert world.state.deaths == 0
    assert world.idle()


def test_pending_signal_is_a_failed_delivery_until_it_is_taken():
    """It is logged once, and not sent again."""
    world = world_of()
    world.alter_root(stopped=True)
    world.put('B')
    world.run(20.0)
    assert world.messages('failed') == [
        'SIGHUP is still pending for app (pid 101) after 1 s: it is stopped, or blocks '
        'the signal',
    ]

    world.go_on()
    world.run(20.0)

    assert sent(world) == [(101, 'B')]
    assert len(world.messages('delivered')) == 1
    assert world.idle()


def test_exit_with_the_signal_pending_is_not_counted_as_death():
    """Whether the target took the signal is unknown."""
    world = world_of()
    world.alter_root(stopped=True)
    world.put('B')
    world.run(20.0)
    world.end_all()
    world.start()
    world.alter_root(started=95_000)

    world.run(20.0)

    reasons = [it.fields['reason'] for it in world.events if it.event == 'failed']
    assert reasons == ['pending', 'ended']
    assert 'died' not in world.messages('failed')[1]
    assert world.state.deaths == 0


@pytest.mark.parametrize('restarted', [False, True])
def test_target_that_ends_with_the_signal_pending_has_no_delivery(restarted):
    """It was killed while it was stopped; another process took over."""
    world = world_of()
    world.alter_root(stopped=True)
    world.put('B')
    while not world.messages('held'):
        world.run(0.1)
    if restarted:
        world.crash(keep=True)
    world.restart()
    world.run(20.0)

    assert world.messages('failed')[-1] == (
        'app (pid 101) has exited and was replaced by app (pid 102); it is unknown '
        'whether it had taken SIGHUP'
    )
    assert world.messages('delivered') == [
        'SIGHUP to app (pid 102); reload not verified',
    ]
    assert world.idle()


def test_verified_is_logged_after_another_poll():
    """The poll must read the same version as before --verify."""
    world = world_of(verify=('verify',))
    world.put('B')

    world.run(10.0)

    assert world.messages('delivered') == ['SIGHUP to app (pid 101)']
    assert world.messages('verified') == ['app (pid 101) reloaded after SIGHUP']
    assert world.state.version.read_at >= world.state.fresh
    assert world.idle()


def test_verify_runs_once_for_each_target():
    """It gets the pid in its environment."""
    world = world_of(targets=2, select='roots', verify=('verify', '-x'))
    runs: list[tuple[object, object]] = []

    def run(command, additions):
        runs.append((command, additions['POLLRELOAD_PID']))
        return Simulation.run_command(world, command, additions)

    world.world = world.world._replace(run=run)
    world.put('B')

    world.run(20.0)

    assert runs == [
        (('verify', '-x'), '101'),
        (('verify', '-x'), '102'),
    ]
    assert len(world.messages('verified')) == 2


def test_verify_is_repeated_until_it_succeeds():
    """A reload may take a while, at most --command-timeout."""
    world = world_of(verify=('verify',))
    world.put('B')
    world.refuse_for(verify=7.0)

    world.run(10.0)

    assert sent(world) == [(101, 'B')]
    assert len(world.messages('verified')) == 1


def test_verify_that_keeps_failing_is_a_failed_delivery():
    """After --command-timeout; then the signal is sent again."""
    world = world_of(verify=('verify',))
    world.alter_root(deaf=True)
    world.put('B')

    world.run(12.0)

    assert world.messages('failed')[0] == (
        'app (pid 101) was signalled, but 5 s later --verify verify does not agree '
        '(exit status 1)'
    )
    assert len(sent(world)) == 2


def test_verify_that_hangs_is_killed():
    """After --command-timeout."""
    world = world_of(verify=('verify',))
    world.takes = 100.0
    world.put('B')
    world.run(9.4)
    before = world.command

    world.run(0.2)

    assert before is not None
    assert world.command is None
    assert len(world.messages('failed')) == 1


def test_verify_that_cannot_be_started_is_a_failed_delivery():
    """The line names the error."""
    world = world_of(verify=('verify',))
    world.world = world.world._replace(run=lambda command, additions: 'no such file')
    world.put('B')

    world.run(4.6)

    assert world.messages('failed') == ['cannot run --verify: no such file']
    assert world.state.version.state == 'due'


def test_death_during_the_verification_is_a_death_by_the_signal():
    """It is counted for the breaker."""
    world = world_of(verify=('verify',))
    world.alter_root(deaf=True)
    world.put('B')
    world.run(6.0)

    world.end_all()
    world.run(1.0)

    assert world.messages('failed') == [
        'app (pid 101) died while its reload was being verified',
    ]
    assert (world.state.deaths, world.state.deadly) == (1, 'caught')


def test_version_that_changes_during_the_verification_is_not_verified():
    """The check proves nothing about C, so C is delivered."""
    world = world_of(verify=('verify',))
    world.put('B')
    world.run(4.6)
    assert world.stage() == 'verify'

    world.put('C')
    world.run(20.0)

    assert world.messages('failed') == [
        'the files changed while app (pid 101) was being verified, which proves '
        'nothing about the new version',
    ]
    assert sent(world) == [(101, 'B'), (101, 'C')]
    assert world.idle()


def test_poll_that_began_before_verify_ended_proves_nothing():
    """The next one is waited for."""
    world = world_of(verify=('verify',))
    world.takes = 4.0
    world.put('B')
    world.run(6.0)
    world.hang(4.5)  # over the poll at 1027.5 and the end of the command

    def read(dates):
        seen = Simulation.read(world, dates)
        if seen is not None and world.now > 1030.0:
            world.put('C')  # right after the poll that hung
        return seen

    world.world = world.world._replace(read=read)
    world.run(5.5)

    assert world.messages('verified') == []
    assert 'proves nothing about the new version' in world.messages('failed')[0]


def test_change_voids_only_a_verification_under_way():
    """A target that failed before does not fail again because of the change."""
    world = world_of(targets=2, select='roots', verify=('verify',))
    world.alter(101, deaf=True)
    world.put('B')
    world.run(9.3)

    world.put('C')
    world.run(2.0)

    assert [line[:30] for line in world.messages('failed')] == [
        'app (pid 101) was signalled, b', 'the files changed while app (p',
    ]


def test_verified_waits_until_the_files_are_readable():
    """It is logged when a poll reads the same version again."""
    world = world_of(verify=('verify',))
    world.put('B')
    world.run(4.6)
    world.hide()
    world.run(20.0)
    before = world.messages('verified')

    world.put('B')
    world.run(10.0)

    assert (before, len(world.messages('verified'))) == ([], 1)
    assert sent(world) == [(101, 'B')]


def test_new_worker_verifies():
    """--verify-workers: a child that started in the clock tick of the signal, or later.
    """
    world = world_of(verify_workers=True)
    world.put('B')

    world.run(10.0)

    assert len(world.messages('verified')) == 1


def test_no_new_worker_is_a_failed_delivery():
    """A worker that existed before proves nothing."""
    world = world_of(verify_workers=True)
    world.fork()
    world.alter_root(deaf=True)
    world.run(1.0)
    world.put('B')

    world.run(12.0)

    assert world.messages('failed')[0] == (
        'app (pid 101) was signalled, but 5 s later it has not replaced its workers '
        '(--verify-workers); what it logged itself may say why'
    )


def test_new_worker_may_start_later():
    """It is searched for until --command-timeout."""
    world = world_of(verify_workers=True)
    world.alter_root(deaf=True)
    world.put('B')
    world.run(7.0)

    world.end(102)
    world.fork()
    world.run(1.0)

    assert len(world.messages('verified')) == 1


def test_first_worker_does_not_verify():
    """A server that starts a child for each client has none at times."""
    world = world_of(verify_workers=True)
    world.end(102)
    world.alter_root(deaf=True)
    world.put('B')
    world.run(7.0)

    world.fork()
    world.run(1.0)

    assert world.messages('verified') == []


def test_verify_runs_after_the_new_worker_has_started():
    """With --verify-workers and --verify, both must succeed."""
    world = world_of(verify_workers=True, verify=('verify',))
    asked: list[float] = []

    def run(command, additions):
        asked.append(world.now)
        return Simulation.run_command(world, command, additions)

    world.world = world.world._replace(run=run)
    world.alter_root(deaf=True)
    world.put('B')
    world.run(7.0)
    assert asked == []

    world.make_ready()
    world.end(102)
    world.fork()
    world.run(2.0)

    assert len(asked) == 1
    assert len(world.messages('verified')) == 1


def test_exit_after_term_is_the_delivery():
    """It is checked every 0.1 s."""
    world = world_of(**TERM)
    world.alter_root(deaf=True)
    world.put('B')
    world.run(5.0)
    before = world.messages('delivered')

    world.end_all()
    world.run(0.2)

    assert (before, world.messages('delivered')) == (
        [], ['SIGTERM to app (pid 101), which ended'],
    )
    assert world.idle()


def test_target_that_runs_on_after_term_is_not_sent_it_again():
    """A program that drains quits by force on a second TERM. Its end is the delivery.
    """
    world = world_of(**TERM)
    world.alter_root(deaf=True)
    world.put('B')
    world.run(5.0)
    assert world.messages('held') == []

    world.run(300.0)
    before = world.messages('delivered')
    world.end_all()
    world.run(5.0)

    [line] = world.messages('held')
    assert line == (
        'app (pid 101) still runs 5 s after SIGTERM, and is not sent it again; held '
        'until it ends or the files change'
    )
    assert sent(world) == [(101, 'B')]
    assert (before, world.messages('delivered')) == (
        [], ['SIGTERM to app (pid 101), which ended'],
    )
    assert world.state.deaths == 0
    assert world.idle()


def test_newer_version_is_sent_to_a_target_that_runs_on():
    """It is held only for the version for which it was asked to end."""
    world = world_of(**TERM)
    world.alter_root(deaf=True)
    world.put('B')
    world.run(30.0)

    world.put('C')
    world.run(10.0)

    assert sent(world) == [(101, 'B'), (101, 'C')]


@pytest.mark.parametrize('keep', [True, False])
def test_target_that_runs_on_does_not_keep_the_signal_from_another(keep):
    """One of two drains, also across a restart; the other is signalled once it can be.
    """
    world = world_of(**TERM, targets=2, select='roots')
    world.alter(101, deaf=True)
    world.alter(102, refuses=True)
    world.put('B')
    world.run(30.0)
    if keep:
        world.crash(keep=True)

    world.alter(102, refuses=False)
    world.run(70.0)
    before = world.messages('delivered')
    world.end(101)
    world.run(5.0)

    assert sent(world) == [(101, 'B'), (102, 'B')]
    assert before == ['SIGTERM to app (pid 102), which ended']
    assert world.messages('delivered')[1:] == [
        'SIGTERM to app (pid 101), which ended',
    ]
    assert world.idle()


def test_survive_gives_a_target_more_time_to_end():
    """--survive counts if it is longer than --command-timeout."""
    world = world_of(**TERM, survive=50.0)
    world.alter_root(deaf=True)
    world.put('B')

    world.run(52.0)
    before = world.messages('held')
    world.run(5.0)

    assert (before, len(world.messages('held'))) == ([], 1)


def test_term_with_survive_0_claims_no_exit():
    """The line says only that the signal was sent."""
    world = world_of(**TERM, survive=0.0)
    world.alter_root(deaf=True)
    world.put('B')

    world.run(20.0)

    assert world.messages('delivered') == ['SIGTERM to app (pid 101)']
    assert world.idle()


@pytest.mark.parametrize('died', [101, 102])
def test_attempt_continues_for_the_target_that_failed(died):
    """It is over for the other one."""
    world = world_of(targets=2, select='roots')
    world.alter(died, dies=True)
    world.put('B')
    world.run(20.0)
    assert world.idle()  # the remaining target has the version

    assert len(world.messages('delivered')) == 1
    assert len(world.messages('failed')) == 1
    assert len(sent(world)) == 2


def test_refusal_is_counted_as_one_failure():
    """The other target is signalled and delivered."""
    world = world_of(targets=2, select='roots', survive=0.5)
    world.alter(101, refuses=True)
    world.put('B')

    world.run(4.2)

    assert len(world.messages('delivered')) == 1
    assert (world.state.attempt.tries, world.state.outcome) == (1, 'failed')


def test_outcome_of_an_attempt():
    """done, needless or failed."""
    needless, failed = world_of(targets=0), world_of()
    needless.put('B')
    needless.run(20.0)
    needless.start()
    needless.run(10.0)
    failed.alter_root(dies=True)
    failed.put('B')
    failed.run(20.0)
    done = world_of()
    done.put('B')
    done.run(20.0)

    outcomes = [each.state.outcome for each in (needless, failed, done)]

    assert outcomes == ['needless', 'failed', 'done']


@pytest.mark.parametrize('takes', [0.25, 60.0])
def test_newer_version_cancels_a_verification(takes):
    """It would prove nothing about the new version, which would have to wait."""
    world = world_of(verify=('verify',), command_timeout=100.0)
    world.refuse_for(verify=200.0)
    world.takes = takes
    world.put('B')
    world.run(15.0)
    assert sent(world) == [(101, 'B')]

    world.put('C')
    world.run(15.0)

    assert sent(world) == [(101, 'B'), (101, 'C')]
    assert world.messages('failed') == [
        'a newer version is there, so app (pid 101) is not verified any longer',
    ]


@pytest.mark.parametrize('restarts', [3, 30])
def test_crash_loop_during_a_verification_is_one_failure(restarts):
    """A process that lives shorter than --survive has not taken over."""
    world = world_of(verify=('verify',), survive=2.0)
    world.refuse_for(verify=300.0)
    world.put('B')
    while world.stage() != 'verify':
        world.run(0.1)
    for _ in range(restarts):
        world.restart()
        world.run(0.5)
    world.end_all()
    world.run(5.0)

    assert len(world.messages('delivered')) == 1
    [line] = world.messages('failed')
    assert line == 'app (pid 101) died while its reload was being verified'
    assert sent(world) == [(101, 'B')]


def test_rule_13_successor_during_a_verification_is_verified_instead():
    """The target handed over late, and its successor started after the signal."""
    world = world_of(verify=('verify',), command_timeout=60.0)
    world.refuse_for(verify=40.0)
    world.put('B')
    world.run(15.0)
    world.upgrade()
    world.retire()
    world.run(60.0)

    assert sent(world) == [(101, 'B')]
    assert world.messages('failed') == []
    assert world.messages('delivered')[1:] == [
        'SIGHUP to app (pid 101), which has exited and was replaced by app (pid 102)',
    ]
    assert world.messages('verified') == ['app (pid 102) took over after SIGHUP']
