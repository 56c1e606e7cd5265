"""What is done besides a signal: in which order, how often, and what becomes of it."""
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
    """Return a world in which pollreload runs for a while, and A is done."""
    world = Simulation(watch._replace(**changes), targets=targets)
    world.run(20.0)
    world.acts, world.events = (), ()
    return world


def said(world: Simulation, *events: str) -> list[str]:
    """Return the messages of some events."""
    return [it.message for it in world.events if it.event in events]


def done(world: Simulation, told: str = 'B') -> list[int]:
    """Return which actions succeeded for a content, in turn."""
    return [it.number for it in world.acts if (it.told, it.how) == (told, 'good')]


def begun(world: Simulation, told: str = 'B') -> list[tuple[int, str]]:
    """Return which actions were begun for a content, in turn, and how each went."""
    return [(it.number, it.how) for it in world.acts if it.told == told]


# In turn


def test_commands_come_first_and_each_in_the_order_given():
    """Each is done once for a content, one after the other."""
    watch = WATCH._replace(
        exec=(('b',), ('a',)), url=('http://host/2', 'http://host/1'),
    )
    world = world_of(watch)

    world.put('B')
    world.run(60.0)

    assert begun(world) == [(number, 'good') for number in range(4)]
    assert said(world, 'delivered') == [
        '--exec b succeeded; reload not verified',
        '--exec a succeeded; reload not verified',
        'POST http://host/2 answered 200; reload not verified',
        'POST http://host/1 answered 200; reload not verified',
    ]
    starts = [it.at for it in world.acts]
    assert starts == sorted(starts)
    assert min(b - a for a, b in itertools.pairwise(starts)) >= world.takes


@pytest.mark.parametrize(('how', 'number', 'words'), [
    pytest.param('fail', 1, '--exec two failed (exit status 1)', id='exec fails'),
    pytest.param('die', 1, '--exec two failed (ended by signal 9)', id='exec dies'),
    pytest.param(
        'hang', 1, '--exec two did not end within 30 s (--command-timeout)',
        id='exec hangs',
    ),
    pytest.param(
        'absent', 1, 'cannot begin --exec two: two: no such file or directory',
        id='exec cannot be begun',
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
        id='url cannot be begun',
    ),
])
def test_the_first_failure_stops_the_rest_and_is_where_it_goes_on(how, number, words):
    """What has succeeded for a content is not repeated, whatever fails after it."""
    world = world_of()

    world.put('B')
    world.spoil(*('good',) * number, how, how)
    world.run(120.0)

    before = [(each, 'good') for each in range(number)]
    after = [(each, 'good') for each in range(number, 3)]
    assert begun(world) == [*before, (number, how), (number, how), *after]
    # The second is the same failure: it is not worth another line.
    assert said(world, 'failed') == [words]
    assert (world.state.version.delivered, world.state.hold) == ('=B', '')


def test_the_fields_of_a_failure_say_which_it_was():
    """For who reads JSON: the reason, and the program or the URL."""
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


def test_tries_are_later_and_later():
    """The wait doubles up to 60 s; what fails for ever is tried for ever."""
    world = world_of()

    world.put('B')
    world.spoil(*('fail',) * 999)
    world.run(400.0)

    waits = [b.at - a.at - world.takes for a, b in itertools.pairwise(world.acts)]
    assert waits[:9] == pytest.approx([0.75, 1.5, 3, 6, 12, 24, 45, 45, 45])
    assert {*waits[9:]} == {45.0}
    assert {it.number for it in world.acts} == {0}
    assert world.state.version.state == 'due'


def test_what_succeeded_has_the_next_one_begin_afresh():
    """However often it had failed before: those are not failures in a row."""
    world = world_of()

    world.put('B')
    world.spoil(*('fail',) * 5, 'good', 'fail')
    while len(world.acts) < 8:
        world.run(0.1)

    waits = [b.at - a.at - world.takes for a, b in itertools.pairwise(world.acts)]
    assert waits == pytest.approx([0.75, 1.5, 3, 6, 12, 0, 0.75])


def test_a_failure_that_lasts_is_said_hourly():
    """Once, then each hour, as a hold is."""
    world = world_of()

    world.put('B')
    world.spoil(*('fail',) * 9999)
    world.run(2.5 * 3600.0)

    assert len(said(world, 'failed')) == 3


def test_hup_tries_again_at_once():
    """An operator need not wait for the backoff."""
    world = world_of()
    world.put('B')
    world.spoil(*('fail',) * 6)
    world.run(30.0)
    assert world.state.attempt.again - world.now > 10.0

    world.ask()
    world.run(2.0)

    assert (done(world), world.state.version.delivered) == (ALL, '=B')


def test_a_new_content_begins_anew_and_at_once():
    """However often the last one failed, and whatever of it succeeded."""
    world = world_of()
    world.put('B')
    world.spoil('good', *('fail',) * 8)
    world.run(50.0)

    world.put('C')
    world.spoil()
    world.run(10.0)

    assert (done(world, 'B'), done(world, 'C')) == ([0], ALL)
    assert world.state.version.delivered == '=C'


def test_a_content_that_comes_while_one_hangs_waits_for_its_end():
    """What is under way is let end, or is ended in time; then the new one is told."""
    world = world_of()
    world.put('B')
    world.spoil('good', 'good', 'hang')
    world.run(5.0)
    assert world.stage() == 'act'

    world.put('C')
    world.run(30.0)

    assert begun(world, 'B') == [(0, 'good'), (1, 'good'), (2, 'hang')]
    assert done(world, 'C') == ALL
    assert world.acts[3].at == pytest.approx(world.acts[2].at + 10.0, abs=0.2)


def test_a_content_that_is_half_done_and_comes_back_goes_on():
    """C came and went before it settled, so B is still the one that was begun.

    Then all is done once more, for the first may have read what was there then.
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

    assert done(world) == ALL * 2
    assert begun(world)[1:4] == [(1, 'fail')] * 3
    assert begun(world, 'C') == []


def test_nothing_is_done_before_it_has_settled():
    """Nor while it changes, nor where nothing can be read."""
    world = world_of(settle=3.0)

    world.put('B', restless=True)
    world.run(100.0)
    world.hide()
    world.run(100.0)

    assert not world.acts


def test_nothing_is_done_before_it_is_valid():
    """--validate agrees first, once for a content, however often actions fail."""
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
    assert done(world) == ALL


def test_splay_is_waited_for_once():
    """Before the first, not between."""
    world = world_of(splay=30.0)
    changed = world.now

    world.put('B')
    world.run(60.0)

    assert world.acts[0].at >= changed + 30.0
    assert world.acts[-1].at - world.acts[0].at < 2.0
    assert said(world, 'held') == []


def test_what_was_done_is_the_outcome():
    """And whoever started since the first began may have read something else."""
    world = world_of()
    world.put('B')
    world.run(30.0)
    state = State(
        change.Memory('settling', seen='=C', read_at=9.0),
        Attempt('=B', acted_at=7.0),
    )

    assert world.state.outcome == 'done'
    assert finish(state, world.world).version.left == 7.0
    assert finish(state, world.world).outcome == 'done'
    needless = finish(state._replace(attempt=Attempt('=B')), world.world)
    assert needless.outcome == 'needless'


# The mark


def test_nothing_is_done_without_a_mark():
    """Where the ledger cannot be written, that is held, and what was done still is."""
    world = world_of()
    world.world = world.world._replace(save=lambda state: False)

    world.put('B')
    world.run(60.0)

    assert not world.acts
    assert said(world, 'held') == ['the ledger cannot be written, so nothing is done']
    assert world.state.version.delivered == '=A'
    assert world.state.attempt.acted_at == 0.0


def test_a_content_that_is_there_again_is_told_again():
    """Rule 2: B failed half way, so who was told of it may have half of it."""
    world = world_of()
    world.put('B')
    world.spoil('good', *('fail',) * 9)
    world.run(30.0)

    world.put('A')
    world.spoil()
    world.run(30.0)

    assert done(world, 'A') == ALL
    assert world.state.version.delivered == '=A'


def test_what_failed_before_anything_was_begun_leaves_a_mark_too():
    """A program that is not there: that nothing came of it is only our word."""
    world = world_of()
    world.put('B')
    world.spoil(*('absent',) * 9)
    world.run(30.0)

    world.put('A')
    world.spoil()
    world.run(30.0)

    assert done(world, 'A') == ALL


# Beside a signal


def test_it_comes_after_every_target_was_delivered_to():
    """With --select roots, say; and after --survive."""
    world = world_of(BOTH, targets=2, select='roots')

    world.put('B')
    world.run(30.0)

    order = [it.event for it in world.events]
    assert order == ['changed', *['signalled'] * 2, *['delivered'] * 5]
    assert world.acts[0].at >= world.sent[-1].at + 1.0
    assert done(world) == ALL


def test_a_target_that_fails_keeps_it_back_and_is_not_told_again_for_it():
    """Nothing is begun while one is not done; then each once, and no further signal."""
    world = world_of(BOTH, targets=2, select='roots')
    world.alter_root(refuses=True)
    world.put('B')
    world.run(30.0)
    assert not world.acts

    world.make_ready()
    world.spoil('fail', 'fail')
    world.run(300.0)

    assert [it.pid for it in world.sent] == [101, 102]
    assert done(world) == ALL


def test_it_comes_after_every_target_is_verified():
    """With a process, --verify is asked right after the signal, and not again."""
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
    assert 'reload not verified' in said(world, 'delivered')[-1]


def test_who_starts_meanwhile_is_told_first():
    """A target that is new when a failed one is tried again; the others are kept."""
    world = world_of(BOTH, targets=1, min_uptime=0.0)
    world.put('B')
    world.spoil('good', *('fail',) * 4)
    world.run(8.0)
    assert done(world) == [0]

    world.end_all()
    world.run(20.0)
    assert done(world) == [0]
    world.start()
    world.alter_root(started=95_000, has='A', first='A')
    world.spoil()
    world.run(60.0)

    assert [it.pid for it in world.sent] == [101, 102]
    assert done(world) == ALL
    assert world.acts[-1].at > world.sent[-1].at


def test_who_has_read_it_already_need_not_be_told_for_it():
    """Rule 8: no signal is needed, and what is to be done besides is done."""
    world = world_of(BOTH, targets=1)
    world.end_all()
    world.put('B')
    world.run(20.0)

    world.start()
    world.run(10.0)

    assert world.sent == ()
    assert [it.fields.get('reason') for it in world.events if it.event == 'baseline'] \
        == ['needless']
    assert done(world) == ALL


def test_what_ends_need_not_be_there_again():
    """--signal TERM --exec 'start it': its end is the delivery; the rest follows."""
    world = world_of(BOTH, targets=1, signal=Signal(15, 'SIGTERM'))

    world.put('B')
    world.run(60.0)

    assert len(world.sent) == 1
    assert done(world) == ALL
    assert world.state.version.delivered == '=B'


# At the start


@pytest.mark.parametrize(('on_start', 'times', 'words'), [
    ('auto', 1, 'the version in use is unknown'), ('always', 1, '--on-start always'),
    ('never', 0, ''),
])
def test_without_a_process_and_a_memory_it_is_done_once(on_start, times, words):
    """auto: nobody can be asked how old it is, and in doubt it is told."""
    world = Simulation(WATCH._replace(on_start=on_start), targets=0)

    world.run(60.0)

    assert words in said(world, 'baseline')[0]
    assert done(world, 'A') == ALL * times
    assert world.state.version.delivered == '=A'


def test_with_a_process_that_is_newer_nothing_is_done_at_the_start():
    """auto: as it is for a signal alone."""
    world = Simulation(BOTH, targets=1)

    world.run(60.0)

    assert not world.acts


def test_what_could_not_be_read_for_a_moment_is_not_told_again():
    """Rule 4: back with the same bytes, nobody is told."""
    world = world_of()
    world.hide()
    world.run(60.0)

    world.put('A')
    world.run(60.0)

    assert not world.acts


def test_a_member_that_cannot_be_read_is_told_once():
    """Rule 4: after 30 s that is the content, until it can be read again."""
    world = Simulation(WATCH, 'directory', targets=0)
    world.run(20.0)
    world.hide()
    world.run(100.0)
    world.put('A')
    world.run(60.0)

    assert done(world, 'unreadable') == ALL
    assert done(world, 'A') == ALL * 2


def test_what_was_something_else_for_a_moment_is_told_again():
    """Who was started meanwhile may have read that, and nobody can be asked."""
    world = world_of()
    world.put('B')
    while world.state.version.state != 'settling':
        world.run(0.1)

    world.put('A')
    world.run(60.0)

    assert (done(world, 'A'), done(world, 'B')) == (ALL, [])


# --verify


def test_verify_comes_after_all_of_them():
    """Without a process it is asked once, when all have succeeded; then it is done."""
    world = world_of(verify=('verify',))
    world.put('B')
    world.refuse_for(verify=2.8)

    world.run(60.0)

    assert done(world) == ALL
    assert [it.event for it in world.events] == [
        'changed', *['delivered'] * 3, 'verified',
    ]
    assert said(world, 'verified') == ['reloaded after POST http://host/3']
    assert 'not verified' not in ''.join(said(world, 'delivered'))


def test_verify_that_never_agrees_is_asked_three_times():
    """All is repeated, three times in all; then it is held until something changes."""
    world = world_of(verify=('verify',), command_timeout=3.0)
    world.put('B')
    world.refuse_for(verify=math.inf)
    world.run(120.0)
    world.ask()
    world.run(60.0)

    assert done(world) == ALL * 3
    assert said(world, 'failed') == [
        'every action succeeded, but 3 s later --verify verify does not agree',
    ] * 3
    assert [it.fields['reason'] for it in world.events if it.event == 'held'] == [
        'backoff', 'backoff', 'limit', 'limit',
    ]
    assert said(world, 'held')[-1] == (
        'POST http://host/3 succeeded 3 times for this version, and --verify never '
        'agreed; held until the files change'
    )
    world.unverified_until = 0.0
    world.put('C')
    world.run(30.0)
    assert done(world, 'C') == ALL
    assert said(world, 'verified') == ['reloaded after POST http://host/3']


def test_verify_that_agrees_at_last_ends_it():
    """The second time, say."""
    world = world_of(verify=('verify',), command_timeout=3.0)
    world.put('B')
    world.refuse_for(verify=7.5)

    world.run(60.0)

    assert done(world) == ALL * 2
    assert len(said(world, 'verified')) == 1
    assert world.state.version.delivered == '=B'


def test_verify_that_hangs_is_ended():
    """After --command-timeout, as one that disagrees."""
    world = world_of(verify=('verify',), command_timeout=3.0)
    run = world.world.run

    def hanging(command, additions):
        world.takes = math.inf if command == ('verify',) else 0.25
        return run(command, additions)

    world.world = world.world._replace(run=hanging)
    world.put('B')
    world.run(9.0)

    assert said(world, 'failed') == [
        'every action succeeded, but 3 s later --verify verify does not agree',
    ]


def test_verify_that_cannot_be_run_is_a_disagreement():
    """It says why."""
    world = world_of(verify=('verify',))
    run = world.world.run

    def lacking(command, additions):
        if command == ('verify',):
            return 'verify: no such file or directory'
        return run(command, additions)

    world.world = world.world._replace(run=lacking)
    world.put('B')
    world.run(4.6)

    assert said(world, 'failed') == [
        'cannot run --verify: verify: no such file or directory',
    ]
    assert [dict(it.fields) for it in world.events if it.event == 'failed'] == [
        {'reason': 'not verified'},
    ]


def test_what_verify_printed_last_is_shown():
    """Its last lines are what a person needs to know."""
    world = world_of(verify=('verify',), command_timeout=3.0)
    world.world = world.world._replace(said=lambda: 'one\n\ntwo\n')
    world.put('B')
    world.refuse_for(verify=math.inf)
    world.run(8.0)

    assert said(world, 'failed')[0].endswith('does not agree: one | two')


def test_a_change_while_it_is_verified_voids_it():
    """What agreed may have agreed to the old one: the new one begins with the first."""
    world = world_of(verify=('verify',))
    world.put('B')
    while world.stage() != 'verify' or not world.command:
        world.run(0.01)

    world.put('C')
    world.run(60.0)

    assert said(world, 'failed') == [
        'the files changed while POST http://host/3 was being verified, which proves '
        'nothing about the new version',
    ]
    assert (done(world, 'B'), done(world, 'C')) == (ALL, ALL)
    assert len(said(world, 'verified')) == 1


def test_verified_waits_for_a_look_that_can_read():
    """Nothing is verified of a content that nobody can see."""
    world = world_of(verify=('verify',))
    world.put('B')
    while world.stage() != 'verify' or not world.command:
        world.run(0.01)
    world.hide()
    world.run(30.0)
    assert (world.stage(), said(world, 'verified')) == ('confirm', [])

    world.put('B')
    world.run(30.0)

    assert said(world, 'verified') == ['reloaded after POST http://host/3']


# With the memory of another run


@pytest.mark.parametrize('seconds', [0.0, 0.1, 0.3, 0.4, 0.55, 0.6, 0.7, 0.8, 1.0])
def test_a_run_goes_on_where_the_last_one_was(seconds):
    """What succeeded is not repeated; what was under way is, for nobody saw its end."""
    world = world_of()
    world.put('B')
    while world.state.version.state != 'due':
        world.run(0.05)
    world.run(seconds)
    before = done(world)
    running = world.command is not None

    world.crash(keep=True)
    world.run(30.0)

    assert done(world) == ALL
    assert len(world.acts) == 3 + running
    assert begun(world)[:len(before)] == [(each, 'good') for each in before]
    assert world.state.version.delivered == '=B'


def test_a_run_counts_on_what_the_last_one_counted():
    """--verify disagreed three times over any number of runs, and it is held."""
    world = world_of(verify=('verify',), command_timeout=3.0)
    world.put('B')
    world.refuse_for(verify=math.inf)
    while world.state.attempt.doubted < 2:
        world.run(0.5)

    for _ in range(3):
        world.crash(keep=True)
        world.run(40.0)

    assert done(world) == ALL * 3
    assert world.state.hold == 'limit'


def test_a_run_without_the_memory_begins_anew():
    """Nothing is known of what was done."""
    world = world_of()
    world.put('B')
    world.spoil('good', 'hang')
    world.run(6.0)

    world.crash(keep=False)
    world.run(30.0)

    assert done(world) == [0, *ALL]


@pytest.mark.parametrize(('acted', 'how'), [(0, 'hang'), (1, 'fail'), (2, 'die')])
def test_what_was_done_comes_back_from_the_ledger(acted, how):
    """How many have succeeded, when the first began, and how often it was in vain."""
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
    assert ledger_format.latest(back) >= back.attempt.acted_at


def revived(state: State, here: ledger_format.Here = HERE, **changes: Any) -> State:
    """Return a state as the next run reads it; changes: in what is kept of it."""
    kept: Any = json.loads(json.dumps(ledger_format.dump(state, HERE)))
    kept['attempt'].update(changes)
    for name in [name for name in changes if changes[name] is None]:
        del kept['attempt'][name]
    back = ledger_format.revive(kept, here, fingerprint)
    assert back is not None
    return back


def test_after_a_boot_nothing_is_known_of_it():
    """It may all have been started anew: the content is told from the first."""
    state = State(world_of().state.version, Attempt('=B', acted=2, acted_at=7.0))

    back = revived(state, HERE._replace(boot='another'))

    assert back.attempt == Attempt()


@pytest.mark.parametrize('acted', [3, 4, 2**40])
def test_a_ledger_of_more_than_there_is(acted):
    """Nothing is left to be done, and nothing ends the watch."""
    world = world_of()
    world.put('B')
    world.spoil(*('fail',) * 9)
    world.run(8.0)
    world.state = revived(world.state, acted=acted)
    # What the world thinks of it is not to the point.
    world.acting = 'B', 3

    world.run(60.0)

    assert world.state.version.delivered == '=B'
    assert done(world) == []


# What is said of them


def test_nothing_secret_is_said():
    """No argument of a command; of a URL neither who asks nor what follows '?'."""
    watch = WATCH._replace(
        exec=(('/bin/one', 'secret'),), url=(URL,), url_method='PUT',
        verify=('verify',),
    )
    world = world_of(watch, command_timeout=3.0)
    world.refuse_for(verify=20.0)
    world.spoil('fail', 'absent', 'hang', 'die', 'good', 'fail', 'hang', 'die')
    world.put('B')
    world.run(200.0)

    assert [actions.named(watch, each) for each in (0, 1)] == [
        '--exec /bin/one', 'PUT http://host:81/three',
    ]
    assert [actions.fields(watch, each) for each in (0, 1)] == [
        {'exec': '/bin/one'}, {'url': 'http://host:81/three'},
    ]
    assert world.state.version.delivered == '=B'
    assert 'secret' not in str([(it.message, it.fields) for it in world.events])


def test_dry_run_says_what_is_left_undone():
    """Each that is to be done yet, and none is begun."""
    world = world_of()
    world.settings = world.settings._replace(dry_run=True)
    world.put('B')
    world.run(4.6)

    assert not world.acts
    assert said(world, 'would') == [
        'do --exec one', 'do --exec two', 'do POST http://host/3',
    ]
    assert [dict(it.fields) for it in world.events if it.event == 'would'] == [
        {'exec': 'one'}, {'exec': 'two'}, {'url': 'http://host/3'},
    ]
    assert world.state.version.state == 'due'


def test_a_single_attempt_ends_where_only_time_can_help():
    """What check waits for: an action, and --verify; not another try."""
    world = world_of(verify=('verify',))
    awaited = set()
    world.put('B')
    world.spoil('good', 'fail')
    while done(world) != ALL or world.state.version.state != 'current':
        world.run(0.05)
        if world.state.version.state == 'due':
            awaited.add(step.awaited(world.state))

    assert awaited == {'', 'act', 'verify'} | awaited & {'poll', 'confirm'}
    assert 'under way: act' in step.status(State(stage=Acting(9.0)), 0.0)


# Histories


SYMBOLS: dict[str, Callable[[Simulation], object]] = {
    'content A': lambda world: world.put('A'),
    'content B': lambda world: world.put('B'),
    'unreadable': lambda world: world.hide(),
    'fails': lambda world: world.spoil('good', 'fail', 'fail'),
    'hangs': lambda world: world.spoil('hang'),
    'dies': lambda world: world.spoil('good', 'die', 'absent'),
    'unverified': lambda world: world.refuse_for(verify=5.0),
    'absent': lambda world: world.end_all(),
    'restarted': lambda world: world.restart(),
    'refuses': lambda world: world.alter_root(refuses=True),
    'run again': lambda world: world.crash(keep=True),
    'run anew': lambda world: world.crash(keep=False),
    'HUP': lambda world: world.ask(),
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

    At each history: nothing is done for a content that has not settled or has no
    mark; each in its turn, and none again for a content after it succeeded unless
    --verify disagreed or the memory was lost; all that is said is true; and in
    the end what is there is done.
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
    'content C': lambda world: world.put('C'),
    'empty': lambda world: world.put('empty'),
    'gone': lambda world: world.put('gone'),
    'torn': lambda world: world.put('torn'),
    'invalid': lambda world: world.refuse_for(validate=7.0),
    'look hangs': lambda world: world.hang(12.0),
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
    """Return the settings of any watch with something to do besides a signal."""
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
def test_what_is_there_in_the_end_is_done(watch, layout, events):
    """On the way the simulation checks what test_every_history does; then it rests."""
    world = Simulation(watch, layout, targets=int(bool(watch.process)))
    world.run(3.0)
    for name, pause in events:
        EVENTS[name](world)
        world.run(pause)

    world.settle_down()

    world.run(2 * watch.interval)
    before = len(world.events), world.acts, world.ledger
    world.run(100.0)
    assert (len(world.events), world.acts, world.ledger) == before
