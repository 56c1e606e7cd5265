"""From told to done."""
from __future__ import annotations

from typing import Any

import pytest

from pollreload.settings import Settings, Signal
from tests.support.simulation import Simulation

WATCH = Settings(paths=('/c',), process='app', command_timeout=5.0)
TERM: dict[str, Any] = {'signal': Signal(15, 'SIGTERM')}


def world_of(*, targets: int = 1, **changes: Any) -> Simulation:
    """Return a world in which pollreload runs for a while, and A is done."""
    world = Simulation(WATCH._replace(**changes), targets=targets)
    world.run(20.0)
    return world


def said(world: Simulation, *events: str) -> list[str]:
    """Return the messages of some events."""
    return [it.message for it in world.events if it.event in events]


def told(world: Simulation) -> list[tuple[int, str]]:
    """Return whom was told of what, in turn."""
    return [(sent.pid, sent.told) for sent in world.sent]


def test_delivered_is_said_after_survive():
    """Alive with nothing pending --survive after the signal is delivered."""
    world = world_of(survive=4.0)
    world.put('B')
    world.run(7.4)
    before = said(world, 'delivered')

    world.run(0.2)

    assert before == []
    assert said(world, 'delivered') == ['SIGHUP to app (pid 101); reload not verified']


def test_survive_0_does_not_look_and_says_so():
    """Without --survive nothing was seen, and nothing is said to have been."""
    world = world_of(survive=0.0)
    world.put('B')

    world.run(20.0)

    assert said(world, 'delivered') == [
        'SIGHUP to app (pid 101); reload not verified, and not checked (--survive 0)',
    ]
    assert world.resting()


def test_died_is_a_failed_delivery():
    """Dead within --survive is said, counted, and tried on the next target."""
    world = world_of()
    world.alter_root(dies=True)
    world.put('B')
    world.run(20.0)

    assert said(world, 'failed') == ['app (pid 101) died within 1 s of SIGHUP']
    assert (world.state.deaths, world.state.deadly) == (1, 'caught')

    world.start()
    world.alter_root(started=95_001)
    world.run(20.0)

    assert world.state.deaths == 0
    assert world.resting()


def test_pending_is_a_failed_delivery_until_it_is_taken():
    """A signal that waits is said once; taken at last it is delivered, not resent."""
    world = world_of()
    world.alter_root(stopped=True)
    world.put('B')
    world.run(20.0)
    assert said(world, 'failed') == [
        'SIGHUP is still pending for app (pid 101) after 1 s: it is stopped, or blocks '
        'the signal',
    ]

    world.go_on()
    world.run(20.0)

    assert told(world) == [(101, 'B')]
    assert len(said(world, 'delivered')) == 1
    assert world.resting()


def test_who_ended_with_the_signal_pending_is_no_death():
    """It is not known whether it took the signal: said, and not counted."""
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
    assert 'died' not in said(world, 'failed')[1]
    assert world.state.deaths == 0


def test_verified_is_said_after_another_look():
    """--verify agreed, and the content is still what it was: verified and done."""
    world = world_of(verify=('verify',))
    world.put('B')

    world.run(10.0)

    assert said(world, 'delivered') == ['SIGHUP to app (pid 101)']
    assert said(world, 'verified') == ['app (pid 101) reloaded after SIGHUP']
    assert world.state.version.read_at >= world.state.fresh
    assert world.resting()


def test_verify_knows_whom_it_is_about():
    """--verify runs once for each target, with its pid in the environment."""
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
    assert len(said(world, 'verified')) == 2


def test_verify_is_repeated_until_it_agrees():
    """A reload may take a while: --verify is asked again within --command-timeout."""
    world = world_of(verify=('verify',))
    world.put('B')
    world.refuse_for(verify=7.0)

    world.run(10.0)

    assert told(world) == [(101, 'B')]
    assert len(said(world, 'verified')) == 1


def test_verify_that_never_agrees_is_a_failed_delivery():
    """After --command-timeout it is said, and the signal is tried again."""
    world = world_of(verify=('verify',))
    world.alter_root(deaf=True)
    world.put('B')

    world.run(12.0)

    assert said(world, 'failed')[0] == (
        'app (pid 101) was signalled, but 5 s later --verify verify does not agree'
    )
    assert len(told(world)) == 2


def test_verify_that_does_not_end_is_ended():
    """A command that hangs is ended at --command-timeout."""
    world = world_of(verify=('verify',))
    world.takes = 100.0
    world.put('B')
    world.run(9.4)
    before = world.command

    world.run(0.2)

    assert before is not None
    assert world.command is None
    assert len(said(world, 'failed')) == 1


def test_verify_that_cannot_run_is_a_failed_delivery():
    """A command that is not there verifies nothing."""
    world = world_of(verify=('verify',))
    world.world = world.world._replace(run=lambda command, additions: 'no such file')
    world.put('B')

    world.run(4.6)

    assert said(world, 'failed') == ['cannot run --verify: no such file']
    assert world.state.version.state == 'due'


def test_who_dies_while_it_is_verified_failed():
    """Dead during --verify is a death of the signal."""
    world = world_of(verify=('verify',))
    world.alter_root(deaf=True)
    world.put('B')
    world.run(6.0)

    world.end_all()
    world.run(1.0)

    assert said(world, 'failed') == [
        'app (pid 101) died while its reload was being verified',
    ]
    assert (world.state.deaths, world.state.deadly) == (1, 'caught')


def test_a_content_that_changes_meanwhile_is_not_verified():
    """B was verified while C came: that proves nothing, and C is told."""
    world = world_of(verify=('verify',))
    world.put('B')
    world.run(4.6)
    assert world.stage() == 'verify'

    world.put('C')
    world.run(20.0)

    assert said(world, 'failed') == [
        'the files changed while app (pid 101) was being verified, which proves '
        'nothing about the new version',
    ]
    assert told(world) == [(101, 'B'), (101, 'C')]
    assert world.resting()


def test_a_look_that_began_before_proves_nothing():
    """A look was under way when --verify agreed: the next one is waited for."""
    world = world_of(verify=('verify',))
    world.takes = 4.0
    world.put('B')
    world.run(6.0)
    world.hang(4.5)  # over the poll at 1027.5 and the end of the command

    def look(dates):
        seen = Simulation.look(world, dates)
        if seen is not None and world.now > 1030.0:
            world.put('C')  # right after the look that hung
        return seen

    world.world = world.world._replace(read=look)
    world.run(5.5)

    assert said(world, 'verified') == []
    assert 'proves nothing about the new version' in said(world, 'failed')[0]


def test_only_what_was_verified_is_void():
    """The content changes: who failed before is not said to have failed of that."""
    world = world_of(targets=2, select='roots', verify=('verify',))
    world.alter(101, deaf=True)
    world.put('B')
    world.run(9.3)

    world.put('C')
    world.run(2.0)

    assert [line[:30] for line in said(world, 'failed')] == [
        'app (pid 101) was signalled, b', 'the files changed while app (p',
    ]


def test_a_content_that_cannot_be_read_is_not_verified_yet():
    """The last look reads nothing: verified is said when it reads the same again."""
    world = world_of(verify=('verify',))
    world.put('B')
    world.run(4.6)
    world.hide()
    world.run(20.0)
    before = said(world, 'verified')

    world.put('B')
    world.run(10.0)

    assert (before, len(said(world, 'verified'))) == ([], 1)
    assert told(world) == [(101, 'B')]


def test_a_worker_that_started_since_verifies():
    """--verify-workers: a child that started in the tick of the signal or after."""
    world = world_of(verify_workers=True)
    world.put('B')

    world.run(10.0)

    assert len(said(world, 'verified')) == 1


def test_no_new_worker_is_a_failed_delivery():
    """A worker that was there before proves nothing."""
    world = world_of(verify_workers=True)
    world.fork()
    world.alter_root(deaf=True)
    world.run(1.0)
    world.put('B')

    world.run(12.0)

    assert said(world, 'failed')[0] == (
        'app (pid 101) was signalled, but 5 s later it has not replaced its workers '
        '(--verify-workers)'
    )


def test_a_worker_comes_later():
    """The worker is looked for again until --command-timeout."""
    world = world_of(verify_workers=True)
    world.alter_root(deaf=True)
    world.put('B')
    world.run(7.0)

    world.fork()
    world.run(1.0)

    assert len(said(world, 'verified')) == 1


def test_a_worker_and_a_command():
    """Both are asked for, the command once the worker is there; both must agree."""
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
    world.fork()
    world.run(2.0)

    assert len(asked) == 1
    assert len(said(world, 'verified')) == 1


def test_what_is_meant_to_end_is_done_when_it_ends():
    """TERM: the end is looked for every 0.1 s, and is the success."""
    world = world_of(**TERM)
    world.alter_root(deaf=True)
    world.put('B')
    world.run(5.0)
    before = said(world, 'delivered')

    world.end_all()
    world.run(0.2)

    assert (before, said(world, 'delivered')) == (
        [], ['SIGTERM to app (pid 101), which ended'],
    )
    assert world.resting()


def test_what_is_meant_to_end_and_does_not_failed():
    """TERM: who still runs after --command-timeout is told again, 3 times in all."""
    world = world_of(**TERM)
    world.alter_root(deaf=True)
    world.put('B')

    world.run(300.0)

    assert said(world, 'failed') == [
        'app (pid 101) still runs 5 s after SIGTERM',
    ] * 3
    assert len(told(world)) == 3
    assert world.state.deaths == 0


def test_what_is_meant_to_end_is_not_looked_at_with_survive_0():
    """TERM and --survive 0: told is all that is said."""
    world = world_of(**TERM, survive=0.0)
    world.alter_root(deaf=True)
    world.put('B')

    world.run(20.0)

    assert said(world, 'delivered') == ['SIGTERM to app (pid 101)']
    assert world.resting()


@pytest.mark.parametrize('died', [101, 102])
def test_one_of_two_fails(died):
    """The attempt goes on for the one that failed, and is over for the other."""
    world = world_of(targets=2, select='roots')
    world.alter(died, dies=True)
    world.put('B')
    world.run(20.0)
    assert world.resting()  # the one that is left has it

    assert len(said(world, 'delivered')) == 1
    assert len(said(world, 'failed')) == 1
    assert len(told(world)) == 2


def test_who_refused_is_one_failure():
    """One is told and the other refuses: that counts once, when it refuses."""
    world = world_of(targets=2, select='roots', survive=0.5)
    world.alter(101, refuses=True)
    world.put('B')

    world.run(4.2)

    assert len(said(world, 'delivered')) == 1
    assert (world.state.attempt.tries, world.state.outcome) == (1, 'failed')


def test_an_outcome_is_a_word():
    """How the last attempt ended: done, needless or failed."""
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
def test_a_newer_version_breaks_off_a_verification(takes):
    """It proves nothing about the new version, which would wait for it."""
    world = world_of(verify=('verify',), command_timeout=100.0)
    world.refuse_for(verify=200.0)
    world.takes = takes
    world.put('B')
    world.run(15.0)
    assert told(world) == [(101, 'B')]

    world.put('C')
    world.run(15.0)

    assert told(world) == [(101, 'B'), (101, 'C')]
    assert said(world, 'failed') == [
        'a newer version is there, so app (pid 101) is not verified any longer',
    ]


def test_rule_13_successor_during_a_verification_is_verified_instead():
    """The target handed over late; its successor has started after the signal."""
    world = world_of(verify=('verify',), command_timeout=60.0)
    world.refuse_for(verify=40.0)
    world.put('B')
    world.run(15.0)
    world.upgrade()
    world.retire()
    world.run(60.0)

    assert told(world) == [(101, 'B')]
    assert said(world, 'failed') == []
    assert said(world, 'delivered')[1:] == [
        'SIGHUP to app (pid 101), which has exited and was replaced by app (pid 102)',
    ]
    assert said(world, 'verified') == ['app (pid 102) took over after SIGHUP']
