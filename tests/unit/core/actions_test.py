"""Actions besides the signal (--exec, --url): their order, retries and outcome."""
from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pollreload.core import actions, change, ledger_format, step
from pollreload.core.attempt import Attempt
from pollreload.core.stage import Acting
from pollreload.core.state import State, finish
from pollreload.settings import Settings, Signal
from tests.support.simulation import HERE, Simulation, fingerprint
from tests.support.walking import walk

URL = 'http://user:secret@host:81/three?token=secret'
WATCH = Settings(paths=('/c',), exec=(('one', '-x'), ('two',)), url=('http://host/3',))
BOTH = WATCH._replace(process='app')
ALL = [0, 1, 2]


def world_of(watch: Settings = WATCH, targets: int = 0, **changes: Any) -> Simulation:
    """Return a world in which version A is delivered and pollreload has run a while."""
    world = Simulation(watch._replace(**changes), targets=targets)
    world.run(20.0)
    world.acts, world.events = (), ()
    return world


def succeeded(world: Simulation, version: str = 'B') -> list[int]:
    """Return the numbers of the actions that succeeded for a version, in order."""
    return [it.number for it in world.acts if (it.version, it.how) == (version, 'good')]


def started(world: Simulation, version: str = 'B') -> list[tuple[int, str]]:
    """Return the actions that were started for a version, and how each ended."""
    return [(it.number, it.how) for it in world.acts if it.version == version]


# Order and retries


def test_commands_run_first_and_then_requests_each_in_the_order_given():
    """Each runs once for a version, one after the other."""
    watch = WATCH._replace(
        exec=(('b',), ('a',)), url=('http://host/2', 'http://host/1'),
    )
    world = world_of(watch)

    world.put('B')
    world.run(60.0)

    assert started(world) == [(number, 'good') for number in range(4)]
    assert world.messages('delivered') == [
        '--exec b succeeded; reload not verified',
        '--exec a succeeded; reload not verified',
        'POST http://host/2 answered 200; reload not verified',
        'POST http://host/1 answered 200; reload not verified',
    ]
    starts = [it.at for it in world.acts]
    assert starts == sorted(starts)
    assert min(b - a for a, b in itertools.pairwise(starts)) >= world.takes


@pytest.mark.parametrize(('how', 'number', 'message'), [
    pytest.param('fail', 1, '--exec two failed (exit status 1)', id='exec fails'),
    pytest.param('die', 1, '--exec two failed (ended by signal 9)', id='exec dies'),
    pytest.param(
        'hang', 1, '--exec two did not end within 30 s (--command-timeout)',
        id='exec hangs',
    ),
    pytest.param(
        'absent', 1, 'cannot begin --exec two: two: no such file or directory',
        id='exec cannot be started',
    ),
    pytest.param('fail', 2, 'POST http://host/3 answered 500', id='url fails'),
    pytest.param('die', 2, 'POST http://host/3 answered 500', id='url dies'),
    pytest.param(
        'hang', 2, 'POST http://host/3 did not end within 10 s (--url-timeout)',
        id='url hangs',
    ),
    pytest.param(
        'absent', 2,
        'cannot begin POST http://host/3: http://host/3: no such file or directory',
        id='url cannot be started',
    ),
])
def test_retry_begins_with_the_action_that_failed(how, number, message):
    """Actions that succeeded for a version are not repeated, whatever fails after them.
    """
    world = world_of()

    world.put('B')
    world.spoil(*('good',) * number, how, how)
    world.run(120.0)

    before = [(each, 'good') for each in range(number)]
    after = [(each, 'good') for each in range(number, 3)]
    assert started(world) == [*before, (number, how), (number, how), *after]
    # The second failure is the same, so it is not logged again.
    assert world.messages('failed') == [message]
    assert (world.state.version.delivered, world.state.hold) == ('=B', '')


def test_fields_of_an_event_name_the_program_or_the_url():
    """A reader of the JSON log sees the reason, and the program or the URL."""
    world = world_of()

    world.put('B')
    world.spoil('fail', 'good', 'good', 'fail')
    world.run(60.0)

    assert [dict(it.fields) for it in world.events if it.event == 'failed'] == [
        {'reason': 'exec', 'exec': 'one'}, {'reason': 'url', 'url': 'http://host/3'},
    ]
    assert [dict(it.fields) for it in world.events if it.event == 'delivered'] == [
        {'exec': 'one'}, {'exec': 'two'}, {'url': 'http://host/3'},
    ]


def test_action_that_keeps_failing_is_retried_with_a_growing_backoff():
    """The wait doubles up to 60 s, and the retries never stop."""
    world = world_of()

    world.put('B')
    world.spoil(*('fail',) * 999)
    world.run(400.0)

    waits = [b.at - a.at - world.takes for a, b in itertools.pairwise(world.acts)]
    assert waits[:9] == pytest.approx([0.75, 1.5, 3, 6, 12, 24, 45, 45, 45])
    assert {*waits[9:]} == {45.0}
    assert {it.number for it in world.acts} == {0}
    assert world.state.version.state == 'due'


def test_success_resets_the_backoff_of_the_next_action():
    """Only failures in a row make the wait longer."""
    world = world_of()

    world.put('B')
    world.spoil(*('fail',) * 5, 'good', 'fail')
    while len(world.acts) < 8:
        world.run(0.1)

    waits = [b.at - a.at - world.takes for a, b in itertools.pairwise(world.acts)]
    assert waits == pytest.approx([0.75, 1.5, 3, 6, 12, 0, 0.75])


def test_lasting_failure_is_logged_once_an_hour():
    """Like a hold: at first, and then each hour."""
    world = world_of()

    world.put('B')
    world.spoil(*('fail',) * 9999)
    world.run(2.5 * 3600.0)

    assert len(world.messages('failed')) == 3


def test_sighup_retries_at_once():
    """An operator need not wait for the backoff."""
    world = world_of()
    world.put('B')
    world.spoil(*('fail',) * 6)
    world.run(30.0)
    assert world.state.attempt.again - world.now > 10.0

    world.send_hup()
    world.run(2.0)

    assert (succeeded(world), world.state.version.delivered) == (ALL, '=B')


def test_new_version_starts_with_the_first_action_at_once():
    """Neither the failures nor the successes of the old version count."""
    world = world_of()
    world.put('B')
    world.spoil('good', *('fail',) * 8)
    world.run(50.0)

    world.put('C')
    world.spoil()
    world.run(10.0)

    assert (succeeded(world, 'B'), succeeded(world, 'C')) == ([0], ALL)
    assert world.state.version.delivered == '=C'


def test_new_version_waits_for_the_end_of_a_running_action():
    """A hanging action is ended at its timeout; then the new version is delivered."""
    world = world_of()
    world.put('B')
    world.spoil('good', 'good', 'hang')
    world.run(5.0)
    assert world.stage() == 'act'

    world.put('C')
    world.run(30.0)

    assert started(world, 'B') == [(0, 'good'), (1, 'good'), (2, 'hang')]
    assert succeeded(world, 'C') == ALL
    assert world.acts[3].at == pytest.approx(world.acts[2].at + 10.0, abs=0.2)


def test_version_that_returns_before_another_settled_is_continued():
    """C disappeared before it settled, so the attempt for B goes on.

    Then all actions run once more, because the first ones may have read C.
    """
    world = world_of(settle=4.0)
    world.put('B')
    world.spoil('good', 'fail', 'fail', 'fail')
    while len(world.acts) < 4:
        world.run(0.1)
    world.put('C')
    while world.state.version.state != 'settling':
        world.run(0.1)

    world.put('B')
    world.run(30.0)

    assert succeeded(world) == ALL * 2
    assert started(world)[1:4] == [(1, 'fail')] * 3
    assert started(world, 'C') == []


def test_no_action_runs_before_the_version_has_settled():
    """Nor while the files keep changing, nor while they cannot be read."""
    world = world_of(settle=3.0)

    world.put('B', changing=True)
    world.run(100.0)
    world.hide()
    world.run(100.0)

    assert not world.acts


def test_no_action_runs_before_validation_succeeded():
    """--validate succeeds once for a version, however often the actions fail."""
    world = world_of(validate=('validate',))
    validated: list[float] = []
    run = world.world.run

    def counted(command, additions):
        if command == ('validate',):
            validated.append(world.now)
        return run(command, additions)

    world.world = world.world._replace(run=counted)
    world.put('B')
    world.refuse_for(validate=10.0)
    world.spoil('fail', 'good', 'fail')
    world.run(8.0)
    assert not world.acts
    refused = len(validated)

    world.run(60.0)

    assert refused > 1
    assert world.acts[0].at > world.invalid_until
    assert len([at for at in validated if at >= world.invalid_until]) == 1
    assert succeeded(world) == ALL


def test_splay_is_waited_for_before_the_first_action_only():
    """There is no further wait between the actions."""
    world = world_of(splay=30.0)
    changed = world.now

    world.put('B')
    world.run(60.0)

    assert world.acts[0].at >= changed + 30.0
    assert world.acts[-1].at - world.acts[0].at < 2.0
    assert world.messages('held') == []


def test_outcome_is_done_if_an_action_ran_and_else_needless():
    """A process that started since the first action may have read another version."""
    world = world_of()
    world.put('B')
    world.run(30.0)
    state = State(
        change.Memory('settling', seen='=C', read_at=9.0),
        Attempt('=B', acted_at=7.0),
    )

    assert world.state.outcome == 'done'
    assert 6.9 < finish(state, world.world).version.left < 7.0
    assert finish(state, world.world).outcome == 'done'
    needless = finish(state._replace(attempt=Attempt('=B')), world.world)
    assert needless.outcome == 'needless'


# The mark


def test_no_action_runs_if_the_ledger_cannot_be_written():
    """The delivery is held, and the memory keeps the version that was delivered."""
    world = world_of()
    world.world = world.world._replace(save=lambda state: False)

    world.put('B')
    world.run(60.0)

    assert not world.acts
    [line] = world.messages('held')
    assert line == 'the ledger cannot be written, so nothing is done'
    assert world.state.version.delivered == '=A'
    assert world.state.attempt.acted_at == 0.0


def test_version_that_returns_after_a_partial_delivery_is_delivered_again():
    """Rule 2: B was delivered in part, so whatever reads the files may have half of B.
    """
    world = world_of()
    world.put('B')
    world.spoil('good', *('fail',) * 9)
    world.run(30.0)

    world.put('A')
    world.spoil()
    world.run(30.0)

    assert succeeded(world, 'A') == ALL
    assert world.state.version.delivered == '=A'


def test_action_that_cannot_be_started_leaves_a_mark_too():
    """Only the error says that nothing happened, and that is no proof."""
    world = world_of()
    world.put('B')
    world.spoil(*('absent',) * 9)
    world.run(30.0)

    world.put('A')
    world.spoil()
    world.run(30.0)

    assert succeeded(world, 'A') == ALL


# Beside a signal


def test_actions_run_after_the_signal_was_delivered_to_every_target():
    """Here with --select roots, and after --survive."""
    world = world_of(BOTH, targets=2, select='roots')

    world.put('B')
    world.run(30.0)

    order = [it.event for it in world.events]
    assert order == ['changed', *['signalled'] * 2, *['delivered'] * 5]
    assert world.acts[0].at >= world.sent[-1].at + 1.0
    assert succeeded(world) == ALL


def test_failed_target_delays_the_actions_and_an_action_repeats_no_signal():
    """No action runs before every target has the version; no retry sends a signal."""
    world = world_of(BOTH, targets=2, select='roots')
    world.alter_root(refuses=True)
    world.put('B')
    world.run(30.0)
    assert not world.acts

    world.make_ready()
    world.spoil('fail', 'fail')
    world.run(300.0)

    assert [it.pid for it in world.sent] == [101, 102]
    assert succeeded(world) == ALL


def test_actions_run_after_every_target_is_verified():
    """If there is a target, --verify runs after the signal, and not after the actions.
    """
    world = world_of(BOTH, targets=1, verify=('verify',), command_timeout=3.0)
    world.put('B')
    world.refuse_for(verify=8.0)
    world.run(60.0)

    order = [it.event for it in world.events if it.event != 'held']
    assert order == [
        'changed', 'signalled', 'delivered', 'failed', 'signalled', 'delivered',
        'verified', *['delivered'] * 3,
    ]
    assert world.acts[0].at >= world.verified[101]
    assert world.verified.keys() == {101}
    assert 'reload not verified' in world.messages('delivered')[-1]


def test_new_target_is_signalled_before_the_retry():
    """It starts while a failed action waits; actions that succeeded are not repeated.
    """
    world = world_of(BOTH, targets=1, min_uptime=0.0)
    world.put('B')
    world.spoil('good', *('fail',) * 4)
    world.run(8.0)
    assert succeeded(world) == [0]

    world.end_all()
    world.run(20.0)
    assert succeeded(world) == [0]
    world.start()
    world.alter_root(started=95_000, has='A', first='A')
    world.spoil()
    world.run(60.0)

    assert [it.pid for it in world.sent] == [101, 102]
    assert succeeded(world) == ALL
    assert world.acts[-1].at > world.sent[-1].at


def test_actions_run_if_the_target_started_late_enough_to_need_no_signal():
    """Rule 8 spares the signal, and only the signal."""
    world = world_of(BOTH, targets=1)
    world.end_all()
    world.put('B')
    world.run(20.0)

    world.start()
    world.run(10.0)

    assert world.sent == ()
    assert [it.fields.get('reason') for it in world.events if it.event == 'baseline'] \
        == ['needless']
    assert succeeded(world) == ALL


def test_actions_run_after_a_signal_that_ended_its_target():
    """As in --signal TERM --exec 'start it': the exit is the delivery."""
    world = world_of(BOTH, targets=1, signal=Signal(15, 'SIGTERM'))

    world.put('B')
    world.run(60.0)

    assert len(world.sent) == 1
    assert succeeded(world) == ALL
    assert world.state.version.delivered == '=B'


# At the start


@pytest.mark.parametrize(('on_start', 'times', 'message'), [
    ('auto', 1, 'the version in use is unknown'), ('always', 1, '--on-start always'),
    ('never', 0, ''),
])
def test_actions_run_once_at_the_start_without_a_target_and_a_ledger(
        on_start, times, message,
):
    """auto: the age of no process can be compared, so in doubt the actions run."""
    world = Simulation(WATCH._replace(on_start=on_start), targets=0)

    world.run(60.0)

    assert message in world.messages('baseline')[0]
    assert succeeded(world, 'A') == ALL * times
    assert world.state.version.delivered == '=A'


def test_no_action_runs_at_the_start_if_the_target_is_newer():
    """auto: the same decision as for a signal alone."""
    world = Simulation(BOTH, targets=1)

    world.run(60.0)

    assert not world.acts


def test_version_that_was_unreadable_for_a_while_causes_no_action():
    """Rule 4: the same bytes afterwards are no change."""
    world = world_of()
    world.hide()
    world.run(60.0)

    world.put('A')
    world.run(60.0)

    assert not world.acts


def test_member_that_was_unreadable_for_a_while_causes_no_action():
    """Rule 4: however long that was."""
    world = Simulation(WATCH, 'directory', targets=0)
    world.run(20.0)
    done = len(world.acts)
    world.hide()
    world.run(100.0)
    world.put('A')
    world.run(60.0)

    assert len(world.acts) == done


def test_member_that_was_away_for_a_moment_causes_no_action():
    """Rule 4: it was distrusted all the time, and no program could read it."""
    world = Simulation(WATCH, 'directory', targets=0)
    world.run(20.0)
    done = len(world.acts)
    world.hide('no such file')
    world.run(12.0)
    world.put('A')
    world.run(60.0)

    assert len(world.acts) == done


def test_member_that_stays_away_is_a_version_of_its_own():
    """Rule 4: from 30 s on it is part of the fingerprint, until it is readable again.
    """
    world = Simulation(WATCH, 'directory', targets=0)
    world.run(20.0)
    world.hide('no such file')
    world.run(100.0)
    world.put('A')
    world.run(60.0)

    assert succeeded(world, 'unreadable') == ALL
    assert succeeded(world, 'A') == ALL * 2


def test_version_that_was_replaced_for_a_moment_is_delivered_again():
    """A process may have started and read the other version, and none can be asked."""
    world = world_of()
    world.put('B')
    while world.state.version.state != 'settling':
        world.run(0.1)

    world.put('A')
    world.run(60.0)

    assert (succeeded(world, 'A'), succeeded(world, 'B')) == (ALL, [])


# --verify


def test_verify_runs_after_the_last_action():
    """Without a target it runs once all actions have succeeded, and ends the delivery.
    """
    world = world_of(verify=('verify',))
    world.put('B')
    world.refuse_for(verify=2.8)

    world.run(60.0)

    assert succeeded(world) == ALL
    assert [it.event for it in world.events] == [
        'changed', *['delivered'] * 3, 'verified',
    ]
    assert world.messages('verified') == ['reloaded after POST http://host/3']
    assert 'not verified' not in ''.join(world.messages('delivered'))


def test_actions_are_repeated_three_times_if_verify_keeps_failing():
    """Then the version is held until the files change."""
    world = world_of(verify=('verify',), command_timeout=3.0)
    world.put('B')
    world.refuse_for(verify=math.inf)
    world.run(120.0)
    world.send_hup()
    world.run(60.0)

    assert succeeded(world) == ALL * 3
    assert world.messages('failed') == [
        'every action succeeded, but 3 s later --verify verify does not agree '
        '(exit status 1)',
    ] * 3
    assert [it.fields['reason'] for it in world.events if it.event == 'held'] == [
        'backoff', 'backoff', 'limit', 'limit',
    ]
    assert world.messages('held')[-1] == (
        'POST http://host/3 succeeded 3 times for this version, and --verify never '
        'agreed; held until the files change'
    )
    world.unverified_until = 0.0
    world.put('C')
    world.run(30.0)
    assert succeeded(world, 'C') == ALL
    assert world.messages('verified') == ['reloaded after POST http://host/3']


def test_verify_that_succeeds_after_a_repetition_ends_the_delivery():
    """Here the second time."""
    world = world_of(verify=('verify',), command_timeout=3.0)
    world.put('B')
    world.refuse_for(verify=7.5)

    world.run(60.0)

    assert succeeded(world) == ALL * 2
    assert len(world.messages('verified')) == 1
    assert world.state.version.delivered == '=B'


def test_verify_that_hangs_is_ended_and_counts_as_failed():
    """It is ended after --command-timeout."""
    world = world_of(verify=('verify',), command_timeout=3.0)
    run = world.world.run

    def hanging(command, additions):
        world.takes = math.inf if command == ('verify',) else 0.25
        return run(command, additions)

    world.world = world.world._replace(run=hanging)
    world.put('B')
    world.run(9.0)

    assert world.messages('failed') == [
        'every action succeeded, but 3 s later --verify verify does not agree',
    ]


def test_verify_that_cannot_be_started_counts_as_failed():
    """The line names the error."""
    world = world_of(verify=('verify',))
    run = world.world.run

    def lacking(command, additions):
        if command == ('verify',):
            return 'verify: no such file or directory'
        return run(command, additions)

    world.world = world.world._replace(run=lacking)
    world.put('B')
    world.run(4.6)

    assert world.messages('failed') == [
        'cannot run --verify: verify: no such file or directory',
    ]
    assert [dict(it.fields) for it in world.events if it.event == 'failed'] == [
        {'reason': 'not verified'},
    ]


def test_last_lines_of_verify_are_logged():
    """They usually name the cause of the failure."""
    world = world_of(verify=('verify',), command_timeout=3.0)
    world.world = world.world._replace(output=lambda: 'one\n\ntwo\n')
    world.put('B')
    world.refuse_for(verify=math.inf)
    world.run(8.0)

    assert world.messages('failed')[0].endswith(
        'does not agree (exit status 1): one | two',
    )


def test_change_during_the_verification_voids_it():
    """It may have verified the old version, so all actions run for the new one."""
    world = world_of(verify=('verify',))
    world.put('B')
    while world.stage() != 'verify' or not world.command:
        world.run(0.01)

    world.put('C')
    world.run(60.0)

    assert world.messages('failed') == [
        'the files changed while POST http://host/3 was being verified, which proves '
        'nothing about the new version',
    ]
    assert (succeeded(world, 'B'), succeeded(world, 'C')) == (ALL, ALL)
    assert len(world.messages('verified')) == 1


def test_verified_waits_for_a_poll_that_can_read_the_files():
    """A version that cannot be read cannot be verified."""
    world = world_of(verify=('verify',))
    world.put('B')
    while world.stage() != 'verify' or not world.command:
        world.run(0.01)
    world.hide()
    world.run(30.0)
    assert (world.stage(), world.messages('verified')) == ('confirm', [])

    world.put('B')
    world.run(30.0)

    assert world.messages('verified') == ['reloaded after POST http://host/3']


# After a restart


@pytest.mark.parametrize('seconds', [0.0, 0.1, 0.3, 0.4, 0.55, 0.6, 0.7, 0.8, 1.0])
def test_next_run_continues_where_the_last_one_stopped(seconds):
    """Actions that succeeded are not repeated; one that was running is."""
    world = world_of()
    world.put('B')
    while world.state.version.state != 'due':
        world.run(0.05)
    world.run(seconds)
    before = succeeded(world)
    running = world.command is not None

    world.crash(keep=True)
    world.run(30.0)

    assert succeeded(world) == ALL
    assert len(world.acts) == 3 + running
    assert started(world)[:len(before)] == [(each, 'good') for each in before]
    assert world.state.version.delivered == '=B'


def test_failures_of_verify_are_counted_over_restarts():
    """After three failures in any number of runs the version is held."""
    world = world_of(verify=('verify',), command_timeout=3.0)
    world.put('B')
    world.refuse_for(verify=math.inf)
    while world.state.attempt.doubted < 2:
        world.run(0.5)

    for _ in range(3):
        world.crash(keep=True)
        world.run(40.0)

    assert succeeded(world) == ALL * 3
    assert world.state.hold == 'limit'


def test_next_run_without_the_ledger_starts_with_the_first_action():
    """It cannot know which actions succeeded."""
    world = world_of()
    world.put('B')
    world.spoil('good', 'hang')
    world.run(6.0)

    world.crash(keep=False)
    world.run(30.0)

    assert succeeded(world) == [0, *ALL]


@pytest.mark.parametrize(('acted', 'how'), [(0, 'hang'), (1, 'fail'), (2, 'die')])
def test_ledger_keeps_the_progress_of_the_actions(acted, how):
    """How many have succeeded, when the first began, and how often verify failed."""
    world = world_of()
    world.put('B')
    world.spoil(*('good',) * acted, *(how,) * 99)
    world.run(20.0)
    state = world.state._replace(
        attempt=world.state.attempt._replace(doubted=2),
    )

    back = revived(state)

    assert back.attempt == Attempt(
        '=B', tries=state.attempt.tries, acted=acted,
        acted_at=world.acts[0].at, doubted=2,
    )
    assert back.version.delivered == ''
    assert ledger_format.latest_time(back) >= back.attempt.acted_at


def revived(state: State, here: ledger_format.Here = HERE, **changes: Any) -> State:
    """Return a state as the next run loads it.

    changes: entries of the attempt in the ledger; None removes one.
    """
    kept: Any = json.loads(json.dumps(ledger_format.dump(state, HERE)))
    kept['attempt'].update(changes)
    for name in [name for name in changes if changes[name] is None]:
        del kept['attempt'][name]
    back = ledger_format.revive(kept, here, fingerprint)
    assert back is not None
    return back


def test_progress_is_forgotten_after_a_boot():
    """Everything may have been started again, so the first action runs again."""
    state = State(world_of().state.version, Attempt('=B', acted=2, acted_at=7.0))

    back = revived(state, HERE._replace(boot='another'))

    assert back.attempt == Attempt()


@pytest.mark.parametrize('acted', [3, 4, 2**40])
def test_ledger_may_count_more_actions_than_are_configured(acted):
    """Nothing is left to do, and the watch goes on."""
    world = world_of()
    world.put('B')
    world.spoil(*('fail',) * 9)
    world.run(8.0)
    world.state = revived(world.state, acted=acted)
    # The simulation does not know of this change to the ledger.
    world.acting = 'B', 3

    world.run(60.0)

    assert world.state.version.delivered == '=B'
    assert succeeded(world) == []


# Messages


def test_no_secret_is_logged():
    """Neither arguments of a command, nor user, password and query of a URL."""
    watch = WATCH._replace(
        exec=(('/bin/one', 'secret'),), url=(URL,), url_method='PUT',
        verify=('verify',),
    )
    world = world_of(watch, command_timeout=3.0)
    world.refuse_for(verify=20.0)
    world.spoil('fail', 'absent', 'hang', 'die', 'good', 'fail', 'hang', 'die')
    world.put('B')
    world.run(200.0)

    assert [actions.loggable(watch, each) for each in (0, 1)] == [
        '--exec /bin/one', 'PUT http://host:81/three',
    ]
    assert [actions.action_fields(watch, each) for each in (0, 1)] == [
        {'exec': '/bin/one'}, {'url': 'http://host:81/three'},
    ]
    assert world.state.version.delivered == '=B'
    assert 'secret' not in str([(it.message, it.fields) for it in world.events])


def test_dry_run_logs_each_action_and_starts_none():
    """Each action that is due has a line."""
    world = world_of()
    world.settings = world.settings._replace(dry_run=True)
    world.put('B')
    world.run(4.6)

    assert not world.acts
    assert world.messages('would') == [
        'do --exec one', 'do --exec two', 'do POST http://host/3',
    ]
    assert [dict(it.fields) for it in world.events if it.event == 'would'] == [
        {'exec': 'one'}, {'exec': 'two'}, {'url': 'http://host/3'},
    ]
    assert world.state.version.state == 'due'


def test_check_waits_for_actions_and_verify_but_for_no_retry():
    """step.awaited is empty when only a retry or another poll is left."""
    world = world_of(verify=('verify',))
    awaited = set()
    world.put('B')
    world.spoil('good', 'fail')
    while succeeded(world) != ALL or world.state.version.state != 'current':
        world.run(0.05)
        if world.state.version.state == 'due':
            awaited.add(step.awaited(world.state))

    assert awaited == {'', 'act', 'verify'} | awaited & {'poll', 'confirm'}
    assert 'under way: act' in step.status_line(State(stage=Acting(9.0)), 0.0)


# Histories


SYMBOLS: dict[str, Callable[[Simulation], object]] = {
    'version A': lambda world: world.put('A'),
    'version B': lambda world: world.put('B'),
    'unreadable': lambda world: world.hide(),
    'fails': lambda world: world.spoil('good', 'fail', 'fail'),
    'hangs': lambda world: world.spoil('hang'),
    'dies': lambda world: world.spoil('good', 'die', 'absent'),
    'unverified': lambda world: world.refuse_for(verify=5.0),
    'absent': lambda world: world.end_all(),
    'restarted': lambda world: world.restart(),
    'refuses': lambda world: world.alter_root(refuses=True),
    'run with ledger': lambda world: world.crash(keep=True),
    'run without ledger': lambda world: world.crash(keep=False),
    'HUP': lambda world: world.send_hup(),
    'time passes': lambda world: world.run(14.0),
}
TARGETS = ('absent', 'restarted', 'refuses')  # of no effect without a process
QUICK = Settings(
    paths=('/c',), exec=(('one',),), url=('http://host/2',), interval=2.0, settle=1.0,
    survive=1.0, command_timeout=2.0, url_timeout=2.0,
)


@pytest.mark.parametrize(('changes', 'length'), [
    pytest.param({}, 4, id='plain'),
    pytest.param({'verify': ('verify',)}, 3, id='verify'),
    pytest.param({'process': 'app'}, 3, id='process'),
    pytest.param({'settle': 0.0, 'exec': (('one',), ('two',))}, 3, id='at once'),
])
def test_every_history(changes, length, capsys):
    """Whatever happens in whatever order, every rule of the simulation holds.

    At each history: no action runs for a version that has not settled or is not marked
    in the ledger; actions run in order; none is repeated for a version unless --verify
    failed or the ledger was lost; every logged event is true; and in the end the
    current version is delivered.
    """
    watch = QUICK._replace(**changes)
    names = [
        name for name in SYMBOLS
        if (watch.process or name not in TARGETS)
        and (watch.verify or name != 'unverified')
    ]
    world = Simulation(watch, targets=int(bool(watch.process)))
    world.run(3.0)

    walked = walk(world, names, length, SYMBOLS)

    with capsys.disabled():
        print(f'\n{walked} histories of up to {length} of {len(names)} symbols')
    assert walked == sum(len(names) ** each for each in range(length + 1))


EVENTS: dict[str, Callable[[Simulation], object]] = {
    **SYMBOLS,
    'version C': lambda world: world.put('C'),
    'empty': lambda world: world.put('empty'),
    'gone': lambda world: world.put('gone'),
    'torn': lambda world: world.put('torn'),
    'invalid': lambda world: world.refuse_for(validate=7.0),
'poll hangs': lambda world: world.hang(12.0),
    'second': lambda world: world.start(),
    'target dies': lambda world: world.alter_root(dies=True),
    'stopped': lambda world: world.alter_root(stopped=True),
    'ready': lambda world: world.make_ready(),
}
PAUSES = st.sampled_from((0.1, 0.3, 1.0, 2.0, 4.0, 11.0, 33.0, 100.0))
HISTORIES = st.lists(st.tuples(st.sampled_from(sorted(EVENTS)), PAUSES), max_size=14)
many = settings(
    max_examples=300, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def watches(draw: st.DrawFn) -> Settings:
    """Return the settings of any watch with an action."""
    commands = draw(st.sampled_from(((), (('one',),), (('one',), ('two',)))))
    urls: tuple[str, ...] = ('http://host/3', 'http://host/4')
    urls = urls[:draw(st.integers(0 if commands else 1, 2))]
    kinds = (1, 'SIGHUP'), (1, 'SIGHUP'), (15, 'SIGTERM')
    number, name = draw(st.sampled_from(kinds))
    return Settings(
        paths=('/c',), exec=commands, url=urls, signal=Signal(number, name),
        process=draw(st.sampled_from((None, None, 'app'))),
        settle=draw(st.sampled_from((1.0, 0.0, 3.0))),
        splay=draw(st.sampled_from((0.0, 7.0))),
        validate=draw(st.sampled_from(((), ('validate',)))),
        verify=draw(st.sampled_from(((), ('verify',)))),
        command_timeout=5.0, url_timeout=3.0,
        on_start=draw(st.sampled_from(('auto', 'always'))),
    )


@many
@given(watches(), st.sampled_from(('file', 'directory')), HISTORIES)
def test_last_version_of_any_history_is_delivered(watch, layout, events):
    """The simulation checks the same as in test_every_history; then the watch is idle.
    """
    world = Simulation(watch, layout, targets=int(bool(watch.process)))
    world.run(3.0)
    for name, pause in events:
        EVENTS[name](world)
        world.run(pause)

    world.converge()

    world.run(2 * watch.interval)
    before = len(world.events), world.acts, world.ledger
    world.run(100.0)
    assert (len(world.events), world.acts, world.ledger) == before
