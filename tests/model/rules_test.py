"""The twelve rules, as far as they show in a simulated world."""
from __future__ import annotations

import itertools
from typing import Any

import pytest

from pollreload.core import change, observation
from pollreload.core.attempt import Attempt
from pollreload.core.process import Choice
from pollreload.settings import Settings
from tests.support.simulation import Simulation

WATCH = Settings(paths=('/c',), process='app')


def world_of(layout: str = 'file', targets: int = 1, **changes: Any) -> Simulation:
    """Return a world in which pollreload runs for a while, and A is done."""
    world = Simulation(WATCH._replace(**changes), layout, targets=targets)
    world.run(20.0)
    assert world.state.version.delivered in ('=A', 'f=A,n=N')
    return world


def reasons(world: Simulation, event: str = 'held') -> list[object]:
    """Return the reasons that were given in turn."""
    return [it.fields.get('reason') for it in world.events if it.event == event]


def sent(world: Simulation) -> list[str]:
    """Return the contents that were told, in turn."""
    return [each.version for each in world.sent]


def test_rule_1_only_done_moves_the_memory():
    """A content that was signalled and not yet delivered is not done."""
    world = world_of(survive=6.0)

    world.put('B')
    world.run(9.0)  # there is a poll in between
    midway = world.state.version
    world.run(3.0)

    assert sent(world) == ['B']
    assert (midway.state, midway.delivered) == ('due', '')
    content = world.state.version
    assert (content.state, content.delivered) == ('current', '=B')


def test_rule_1_a_target_is_looked_for_at_every_poll():
    """What is due without a target is told as soon as there is one."""
    world = world_of(targets=0, on_start='never')
    world.put('B')
    world.run(60.0)

    world.start()
    world.alter_root(started=int((world.now - 61.0) * 100))
    world.run(5.0)

    assert reasons(world) == ['no target']
    assert sent(world) == ['B']


def test_rule_1_a_hold_is_said_again_every_hour():
    """The reason why nobody is told is repeated hourly, and not in between."""
    world = world_of(targets=0)
    world.put('B')

    world.run(2.5 * 3600.0)

    assert reasons(world) == ['no target'] * 3


def test_rule_1_attempts_are_later_and_later():
    """What fails is tried again with a backoff that doubles up to 60 s."""
    world = world_of()
    times: list[float] = []

    def send(process, number):
        times.append(world.now)
        return 'refused'

    world.alter_root(refuses=True)
    world.world = world.world._replace(send=send)
    world.put('B')

    world.run(400.0)

    assert reasons(world, 'failed') == ['not permitted']
    waits = [later - first for first, later in itertools.pairwise(times)]
    assert waits == pytest.approx([0.75, 1.5, 3, 6, 12, 24, 45, 45, 45, 45, 45, 45, 45])


def test_rule_1_new_content_resets_the_backoff():
    """New content is told at once, however often the last one failed."""
    world = world_of()
    world.alter_root(refuses=True)
    world.put('B')
    world.run(100.0)
    world.make_ready()

    world.put('C')
    world.run(7.0)

    assert sent(world) == ['C']


def test_rule_1_the_backoff_starts_anew_when_a_content_comes_back():
    """B that was held, A again, B again: what was tried for the old B is forgotten."""
    world = world_of(validate=('validate',))
    world.invalid_until = world.now + 80.0
    world.put('B')
    world.run(80.0)
    world.put('A')
    world.run(10.0)

    world.put('B')
    world.run(7.0)

    assert sent(world) == ['B']


def test_rule_1_three_signals_for_one_content():
    """A target that takes the signal and never shows a reload is signalled 3 times."""
    world = world_of(verify=('verify',), command_timeout=5.0)
    world.alter_root(deaf=True)
    world.put('B')

    world.run(7000.0)

    assert sent(world) == ['B'] * 3
    assert reasons(world) == ['backoff', 'backoff', 'limit', 'limit']


def test_rule_1_the_limit_ends_with_the_content_or_the_target():
    """A new content is told to a target that is held by the limit; a new target too."""
    world = world_of(verify=('verify',), command_timeout=5.0)
    world.alter_root(deaf=True)
    world.put('B')
    world.run(300.0)
    other = world.copy()

    world.make_ready()
    world.put('C')
    world.run(10.0)
    other.restart()
    other.alter_root(started=95_001)
    other.run(10.0)

    assert sent(world) == ['B', 'B', 'B', 'C']
    assert sent(other) == ['B', 'B', 'B', 'B']


def dying(world: Simulation, times: int) -> None:
    """Let targets die of the signal one after the other."""
    for _ in range(times):
        world.restart()
        world.alter_root(dies=True, started=95_000)
        world.run(100.0)


def test_rule_1_three_deaths_break():
    """After 3 targets in a row died of the signal nothing more is sent."""
    world = world_of()
    world.put('B')

    dying(world, 6)

    assert len(world.sent) == 3
    assert reasons(world, 'failed') == ['died'] * 3
    assert reasons(world)[-1] == 'breaker'


def test_rule_1_new_content_does_not_mend_the_breaker():
    """What killed three targets is not sent for another content either."""
    world = world_of()
    world.put('B')
    dying(world, 4)

    world.put('C')
    world.make_ready()
    world.run(100.0)

    assert len(world.sent) == 3


def test_rule_1_an_operator_mends_the_breaker():
    """A HUP to pollreload gives the targets another chance."""
    world = world_of()
    world.put('B')
    dying(world, 4)
    world.make_ready()

    world.send_hup()
    world.run(10.0)

    assert len(world.sent) == 4
    assert world.idle()


def test_rule_1_a_handler_mends_the_breaker():
    """Targets that died without a handler are told once they have one."""
    world = world_of(handler_check='off')
    world.put('B')
    for _ in range(4):
        world.restart()
        world.alter_root(disposition='default', started=95_000)
        world.run(100.0)
    assert len(world.sent) == 3

    world.make_ready()
    world.run(100.0)

    assert len(world.sent) == 4


def test_rule_2_a_failed_attempt_leaves_a_mark():
    """B signalled but not done, and A again: A is told, for the target may have B."""
    world = world_of(verify=('verify',))
    world.alter_root(deaf=True)
    world.put('B')
    world.run(10.0)

    world.put('A')
    world.make_ready()
    world.run(60.0)

    assert sent(world) == ['B', 'A']
    assert world.state.version.delivered == '=A'


def test_rule_2_no_mark_without_a_signal():
    """B that nobody was signalled for, and A again: nobody is told."""
    world = world_of()
    world.alter_root(refuses=True)
    world.put('B')
    world.run(20.0)

    world.put('A')
    world.make_ready()
    world.run(60.0)

    assert sent(world) == []
    assert world.idle()


def test_rule_2_the_mark_is_in_the_ledger_before_the_signal():
    """When the signal goes out, the ledger knows already that nothing is done."""
    world = world_of()
    kept = []

    def send(process, number):
        kept.append(world.ledger)
        return 'gone'

    world.world = world.world._replace(send=send)
    world.put('B')
    world.run(4.0)

    [ledger] = kept
    assert ledger is not None
    assert ledger.version.delivered == ''
    assert [(it.process.pid, it.sends) for it in ledger.attempt.targets] == [(101, 1)]


def test_rule_2_no_signal_without_a_ledger():
    """Where the mark cannot be written, nothing is sent, and that is said."""
    world = world_of()
    world.world = world.world._replace(save=lambda state: False)
    world.put('B')

    world.run(100.0)

    assert sent(world) == []
    assert reasons(world) == ['ledger']
    assert world.state.version.delivered == '=A'


@pytest.mark.parametrize('back', ['A', 'B'])
def test_rule_2_the_mark_outlives_pollreload(back):
    """pollreload ends with the signal out: whatever is there next is told or judged."""
    world = world_of(survive=4.0)
    world.put('B')
    world.run(7.0)
    assert world.stage() == 'survive'

    world.crash(keep=True)
    world.put(back)
    world.run(30.0)

    assert world.state.version.delivered == f'={back}'
    assert sent(world) == (['B', 'A'] if back == 'A' else ['B'])


def test_rule_3_each_target_is_told_once_per_content():
    """One of two roots fails for good; the other does not reload again and again."""
    world = world_of(targets=2, select='roots', verify=('verify',), command_timeout=5.0)
    world.alter(101, deaf=True)
    world.put('B')

    world.run(600.0)

    assert sorted(sent.pid for sent in world.sent) == [101, 101, 101, 102]
    assert world.state.version.state == 'due'


def test_rule_3_also_over_a_restart():
    """Whom the ledger knows as told is not told again by the next run."""
    world = world_of(targets=2, select='roots')
    world.alter(101, refuses=True)
    world.put('B')
    world.run(10.0)

    world.crash(keep=True)
    world.make_ready()
    world.run(70.0)

    assert sorted(sent.pid for sent in world.sent) == [101, 102]
    assert world.idle()


@pytest.mark.parametrize('layout', ['file', 'directory'])
def test_rule_4_back_with_the_same_bytes_tells_nobody(layout):
    """Unreadable for a while, then the same: two lines, and nobody is told."""
    world = world_of(layout)
    world.hide()
    world.run(20.0)

    world.put('A')
    world.run(60.0)

    assert sent(world) == []
    assert [it.event for it in world.events] == ['baseline', 'unreadable', 'readable']


@pytest.mark.parametrize('layout', ['file', 'directory'])
def test_rule_4_back_with_other_bytes_tells_once(layout):
    """Unreadable for a while, then other bytes: told once."""
    world = world_of(layout)
    world.hide()
    world.run(20.0)

    world.put('B')
    world.run(60.0)

    assert sent(world) == ['B']


def test_rule_4_trouble_of_a_moment_is_not_reported():
    """What can be read again 0.25 s later is not worth a line."""
    world = world_of()
    world.hide()
    world.run(5.0 - (world.now - world.state.version.read_at) + 0.1)

    world.put('A')
    world.run(20.0)

    assert [it.event for it in world.events] == ['baseline']


def test_rule_4_unreadable_is_not_still_changing():
    """A content that was due and cannot be read is unreadable, and nothing else."""
    world = world_of(targets=0)
    world.put('B')
    world.run(20.0)

    world.hide()
    world.run(600.0)

    assert reasons(world) == ['no target']
    assert len(world.messages('unreadable')) == 1


def test_rule_4_a_member_does_not_block_its_neighbours_for_ever():
    """A member that stays unreadable for 30 s enters the fingerprint as such."""
    world = world_of('directory')
    world.hide()

    world.run(32.0)
    before = sent(world)
    world.run(10.0)

    assert (before, sent(world)) == ([], ['unreadable'])


def test_rule_5_a_path_that_goes_away_is_no_change():
    """The whole path is gone for good: nobody is told."""
    world = world_of('file')

    world.put('gone')
    world.run(3000.0)

    assert sent(world) == []
    assert len(world.messages('unreadable')) == 1


def test_rule_5_a_file_that_goes_away_in_a_directory_is_a_change():
    """A member of a directory is gone: told once."""
    world = world_of('directory')

    world.put('gone')
    world.run(60.0)

    assert sent(world) == ['gone']
    assert world.messages('changed') == ['/c/f']


def test_rule_6_a_set_is_seen_twice_before_it_is_told():
    """What is different at every look is not told; what rests is, and is logged."""
    world = world_of()
    world.put('torn', changing=True)
    world.run(100.0)
    assert sent(world) == []
    assert reasons(world) == ['still changing']

    world.put('B')
    world.run(7.0)

    assert sent(world) == ['B']


def started_after(seconds: float) -> Simulation:
    """Return a world whose target starts that long after B was first seen."""
    world = world_of(targets=0)
    world.put('B')
    world.run(20.0)
    world.start()
    started = int((world.state.version.seen_at + seconds) * 100)
    world.alter_root(started=started)
    world.run(20.0)
    return world


def test_rule_8_who_started_10_s_later_is_not_told():
    """A root that started 10 s after the content was first seen has read it."""
    world = started_after(10.0)

    assert sent(world) == []
    assert reasons(world, 'baseline') == [None, 'needless']
    assert world.idle()


def test_rule_8_in_doubt_tell():
    """A root that started less than 10 s after is told."""
    world = started_after(9.0)

    assert sent(world) == ['B']


def test_rule_8_a_worker_may_have_been_forked_with_the_old():
    """A worker is told, however young it is: its memory is as old as its master's."""
    world = world_of(select='newest', handler_check='off')
    world.alter_root(refuses=True)
    world.put('B')
    world.run(30.0)
    world.fork()

    world.run(70.0)

    assert [sent.pid for sent in world.sent] == [102]


@pytest.mark.parametrize('between', ['A', 'C', 'empty'])
def test_rule_8_first_seen_counts_from_when_it_came_last(between):
    """B held, something else, a target starts, B again: the target is told of B."""
    world = world_of(targets=0)
    world.put('B')
    world.run(40.0)
    world.put(between)
    world.run(8.0 if between == 'A' else 5.5)
    world.start()
    world.run(0.1)

    world.put('B')
    world.run(100.0)

    assert sent(world) == ['B']


def test_rule_8_a_date_tells_what_no_look_saw():
    """B, C and B again between two looks: who started after C came is told of B."""
    world = world_of(targets=0, interval=60.0)
    world.put('B')
    world.run(100.0)
    world.put('C')
    world.start()
    world.run(1.0)
    world.put('B')

    world.run(200.0)

    assert sent(world) == ['B']
    assert 'needless' not in reasons(world, 'baseline')


def test_rule_8_a_look_that_hung_saw_what_it_saw_when_it_ended():
    """B was read at the end of a look of a minute: who started meanwhile is told."""
    world = world_of()
    world.hang(60.0)
    world.run(20.0)
    world.restart()
    world.run(20.0)
    world.put('B')

    world.run(100.0)

    assert sent(world) == ['B']


@pytest.mark.parametrize('other', ['B', 'empty'])
def test_rule_8_who_started_with_another_content_is_told_of_the_old(other):
    """Something else is seen, a target starts with it, A is back: it is told of A."""
    world = world_of(validate=('validate',))
    world.invalid_until = world.now + 60.0
    world.put(other)
    world.run(10.0)
    world.restart()
    world.run(5.0)

    world.put('A')
    world.run(100.0)

    assert sent(world) == ['A']


def test_rule_8_also_if_it_started_before_the_other_was_seen():
    """B comes, a target starts with it, and only a later look can read B: then A."""
    world = world_of(validate=('validate',))
    world.refuse_for(validate=60.0)
    world.put('B')
    world.restart()
    world.hide()
    world.run(10.0)
    world.put('B')
    world.run(4.0)

    world.put('A')
    world.run(100.0)

    assert sent(world) == ['A']


def test_rule_9_whose_pid_it_is_now_is_not_signalled():
    """A target that is gone when the signal is to go out is chosen anew."""
    world = world_of()
    world.world = world.world._replace(send=lambda process, number: 'gone')
    world.put('B')

    world.run(60.0)

    assert world.messages('signalled', 'failed', 'delivered') == []
    assert world.state.version.state == 'due'


@pytest.mark.parametrize(('how', 'event', 'reason'), [
    ('refused', 'failed', 'not permitted'),
    ('full', 'failed', 'queue full'),
    ('foreign', 'failed', 'proc'),
])
def test_rule_9_what_is_not_sent_is_said(how, event, reason):
    """A signal that could not be sent is no delivery, and the reason is said."""
    world = world_of()
    world.alter_root(refuses=True)  # as the truth of 'not permitted'
    world.world = world.world._replace(send=lambda process, number: how)
    world.put('B')

    world.run(7.0)

    assert reasons(world, event)[-1] == reason
    assert world.messages('signalled', 'delivered') == []
    assert world.state.version.delivered == '=A'


@pytest.mark.parametrize('disposition', ['default', 'ignored'])
def test_rule_10_without_a_handler_it_is_held(disposition):
    """Who would die of the signal or ignores it is told once it has a handler."""
    world = world_of()
    world.alter_root(disposition=disposition)
    world.put('B')
    world.run(600.0)
    assert sent(world) == []
    assert reasons(world) == ['no handler']
    assert '--handler-check off' in world.messages('held')[0]

    world.make_ready()
    world.run(6.0)

    assert sent(world) == ['B']


def test_rule_10_unknown_is_sent_to_who_is_older_than_10_s():
    """Without evidence the signal is sent, to a target of some age."""
    world = world_of()
    world.restart()
    world.alter_root(disposition='unknown')
    world.put('B')

    world.run(9.9)
    young = sent(world)
    world.run(6.0)

    assert (young, sent(world)) == ([], ['B'])
    assert reasons(world) == ['too young']


def test_rule_10_whether_it_survived_is_always_looked_at():
    """A handler proves nothing: who dies of the signal is a failed delivery."""
    world = world_of()
    world.alter_root(dies=True)
    world.put('B')

    world.run(60.0)

    assert world.messages('delivered') == []
    assert reasons(world, 'failed') == ['died']


def test_rule_10_a_pending_signal_is_no_delivery_until_it_is_taken():
    """A stopped target has a signal pending: not sent again, delivered when taken."""
    world = world_of()
    world.alter_root(stopped=True)
    world.put('B')
    world.run(600.0)
    assert world.messages('delivered') == []
    assert reasons(world) == ['pending']

    world.make_ready()
    world.run(10.0)

    assert sent(world) == ['B']
    assert len(world.messages('delivered')) == 1
    assert world.idle()


def test_rule_10_who_ends_with_a_pending_signal_did_not_die_of_it():
    """A stopped target is replaced before it takes the signal: no death of it."""
    world = world_of()
    for _ in range(4):
        world.alter_root(stopped=True)
        world.put('B' if world.version == 'A' else 'A')
        world.run(60.0)
        world.restart()
        world.alter_root(started=95_000)
        world.run(60.0)

    assert 'died' not in reasons(world, 'failed')
    assert world.state.deaths == 0
    assert world.idle()


def test_rule_11_a_look_that_hangs_is_logged_and_tells_nothing():
    """A stall is said after 5 s and each minute; nothing is told, then it goes on."""
    world = world_of()
    world.put('B')
    world.hang(200.0)
    world.run(199.0)
    assert sent(world) == []
    assert len(world.messages('stalled')) == 4

    world.run(10.0)

    assert sent(world) == ['B']
    assert len(world.messages('readable')) == 1


def test_rule_11_nothing_is_told_while_a_look_hangs():
    """What was due is not told when a look hangs, though a target comes up."""
    world = world_of(targets=0)
    world.put('B')
    world.run(7.0)
    world.hang(100.0)
    world.run(5.0)
    world.start()
    world.alter_root(started=95_000)

    world.run(80.0)
    meanwhile = sent(world)
    world.run(30.0)

    assert (meanwhile, sent(world)) == ([], ['B'])


def test_rule_12_the_ledger_keeps_what_is_done():
    """The next run tells nobody of what is done, and somebody of what is not."""
    world = world_of(on_start='always')
    world.run(20.0)
    before = sent(world)

    world.crash(keep=True)
    world.run(20.0)
    same = sent(world)
    world.crash(keep=True)
    world.put('B')
    world.run(20.0)

    assert (before, same, sent(world)) == (['A'], ['A'], ['A', 'B'])


@pytest.mark.parametrize(('on_start', 'dated', 'expected'), [
    ('never', 2000.0, []),
    ('always', 100.0, ['A']),
    ('auto', 949.0, []),
    ('auto', 950.005, []),  # the same clock tick as the start of the target
    ('auto', 950.02, ['A']),
])
def test_rule_12_without_a_ledger_on_start_decides(on_start, dated, expected):
    """never tells nobody, always once, auto once if newer than the running target."""
    world = Simulation(WATCH._replace(on_start=on_start))
    world.dated = dated

    world.run(60.0)

    assert sent(world) == expected
    assert len(world.messages('baseline')) == 1


@pytest.mark.parametrize('reason', ['pidfile', 'proc'])
def test_rule_12_auto_tells_where_nobody_can_be_compared(reason):
    """auto cannot see the target that runs: in doubt it is told, once it is seen."""
    world = Simulation(WATCH)
    seen = world.world.targets
    world.world = world.world._replace(targets=lambda: Choice((), reason, 'not now'))
    world.run(60.0)

    world.world = world.world._replace(targets=seen)
    world.run(60.0)

    assert sent(world) == ['A']


def test_a_baseline_is_taken_at_the_first_readable_look():
    """A change before the baseline would have settled is seen as a change."""
    world = Simulation(WATCH._replace(on_start='never'))
    world.hide()
    world.run(30.0)
    world.put('A')
    world.run(2.6)
    world.put('B')

    world.run(10.0)

    assert sent(world) == ['B']


def test_a_new_state_is_blank():
    """A watch begins with nothing known, nothing under way and nothing awaited."""
    world = Simulation(WATCH)

    assert world.state.version == change.Memory()
    assert world.state.attempt == Attempt()
    assert observation.wake(world.state) == 0.0
