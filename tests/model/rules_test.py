"""The rules of the design, as far as they can be observed in a simulated world."""
from __future__ import annotations

import itertools
from typing import Any

import pytest

from pollreload.core import change, observation
from pollreload.core.attempt import Attempt
from pollreload.core.obstacle import BLOCKS, BLOCKS_AGAIN
from pollreload.core.process import Choice
from pollreload.core.succession import note_older
from pollreload.settings import Settings
from tests.support.simulation import Simulation

WATCH = Settings(paths=('/c',), process='app')


def world_of(
        layout: str = 'file', targets: int = 1, opaque: bool = False, **changes: Any,
) -> Simulation:
    """Return a world in which version A is delivered and pollreload has run a while."""
    world = Simulation(WATCH._replace(**changes), layout, 'A', targets, opaque)
    world.run(20.0)
    assert world.state.version.delivered in ('=A', 'f=A,n=N')
    return world


def reasons(world: Simulation, event: str = 'held') -> list[object]:
    """Return the reasons of the events of a name, in order."""
    return [it.fields.get('reason') for it in world.events if it.event == event]


def sent(world: Simulation) -> list[str]:
    """Return the versions that were signalled, in order."""
    return [each.version for each in world.sent]


def test_rule_1_only_a_delivery_advances_the_memory():
    """A version that was signalled and not yet delivered is still due."""
    world = world_of(survive=6.0)

    world.put('B')
    world.run(9.0)  # there is a poll in between
    midway = world.state.version
    world.run(3.0)

    assert sent(world) == ['B']
    assert (midway.state, midway.delivered) == ('due', '')
    version = world.state.version
    assert (version.state, version.delivered) == ('current', '=B')


def test_rule_1_target_is_searched_at_every_poll():
    """A due version is delivered as soon as a target exists."""
    world = world_of(targets=0, on_start='never')
    world.put('B')
    world.run(60.0)

    world.start()
    world.alter_root(started=int((world.now - 61.0) * 100))
    world.run(5.0)

    assert reasons(world) == ['no target']
    assert sent(world) == ['B']


def test_rule_1_hold_is_logged_once_an_hour():
    """The reason is repeated hourly, and not in between."""
    world = world_of(targets=0)
    world.put('B')

    world.run(2.5 * 3600.0)

    assert reasons(world) == ['no target'] * 3


def test_rule_1_backoff_grows():
    """A failed attempt is repeated after a backoff that doubles up to 60 s."""
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


def test_rule_1_new_version_resets_the_backoff():
    """It is delivered at once, however often the old one failed."""
    world = world_of()
    world.alter_root(refuses=True)
    world.put('B')
    world.run(100.0)
    world.make_ready()

    world.put('C')
    world.run(7.0)

    assert sent(world) == ['C']


def test_rule_1_version_that_returns_has_no_backoff():
    """B was refused, A came back, B again: the failures of the first B are forgotten.
    """
    world = world_of(validate=('validate',))
    world.invalid_until = world.now + 80.0
    world.put('B')
    world.run(80.0)
    world.put('A')
    world.run(10.0)

    world.put('B')
    world.run(7.0)

    assert sent(world) == ['B']


def test_rule_1_target_gets_at_most_three_signals_for_a_version():
    """Even if it takes them and never reloads."""
    world = world_of(verify=('verify',), command_timeout=5.0)
    world.alter_root(deaf=True)
    world.put('B')

    world.run(7000.0)

    assert sent(world) == ['B'] * 3
    assert reasons(world) == ['backoff', 'backoff', 'limit', 'limit']


def test_rule_1_limit_ends_with_a_new_version_or_a_new_target():
    """Either of them is a reason for another signal."""
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
    """Let targets die of the signal, one after the other."""
    for _ in range(times):
        world.restart()
        world.alter_root(dies=True, started=95_000)
        world.run(100.0)


def test_rule_1_breaker_opens_after_three_deaths():
    """After three targets in a row died of the signal, none is sent."""
    world = world_of()
    world.put('B')

    dying(world, 6)

    assert len(world.sent) == 3
    assert reasons(world, 'failed') == ['died'] * 3
    assert reasons(world)[-1] == 'breaker'


def test_rule_1_new_version_does_not_close_the_breaker():
    """The signal that killed three targets is not sent for another version either."""
    world = world_of()
    world.put('B')
    dying(world, 4)

    world.put('C')
    world.make_ready()
    world.run(100.0)

    assert len(world.sent) == 3


def test_rule_1_sighup_closes_the_breaker():
    """The operator gives the targets another chance."""
    world = world_of()
    world.put('B')
    dying(world, 4)
    world.make_ready()

    world.send_hup()
    world.run(10.0)

    assert len(world.sent) == 4
    assert world.idle()


def test_rule_1_handler_closes_the_breaker():
    """Targets that died without a handler are signalled once they have one."""
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


def test_rule_2_failed_attempt_leaves_a_mark():
    """B was signalled but not verified, and A is back: the target may have B."""
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
    """B was not signalled, and A is back: there is nothing to deliver."""
    world = world_of()
    world.alter_root(refuses=True)
    world.put('B')
    world.run(20.0)

    world.put('A')
    world.make_ready()
    world.run(60.0)

    assert sent(world) == []
    assert world.idle()


def test_rule_2_mark_is_in_the_ledger_before_the_signal():
    """When the signal is sent, no version counts as delivered in the ledger."""
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
    """If the mark cannot be written, nothing is sent, and the reason is logged."""
    world = world_of()
    world.world = world.world._replace(save=lambda state: False)
    world.put('B')

    world.run(100.0)

    assert sent(world) == []
    assert reasons(world) == ['ledger']
    assert world.state.version.delivered == '=A'


@pytest.mark.parametrize('back', ['A', 'B'])
def test_rule_2_mark_is_kept_over_a_restart(back):
    """pollreload ends after the signal: the next run observes it, or delivers A again.
    """
    world = world_of(survive=4.0)
    world.put('B')
    world.run(7.0)
    assert world.stage() == 'survive'

    world.crash(keep=True)
    world.put(back)
    world.run(30.0)

    assert world.state.version.delivered == f'={back}'
    assert sent(world) == (['B', 'A'] if back == 'A' else ['B'])


def test_rule_3_target_is_signalled_once_per_version():
    """One of two roots keeps failing; the other one is not signalled again."""
    world = world_of(targets=2, select='roots', verify=('verify',), command_timeout=5.0)
    world.alter(101, deaf=True)
    world.put('B')

    world.run(600.0)

    assert sorted(sent.pid for sent in world.sent) == [101, 101, 101, 102]
    assert world.state.version.state == 'due'


def test_rule_3_target_is_signalled_once_over_a_restart():
    """The next run knows from the ledger which targets were signalled."""
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
def test_rule_4_readable_again_with_the_same_bytes_is_no_change(layout):
    """There are two lines, and no signal."""
    world = world_of(layout)
    world.hide()
    world.run(20.0)

    world.put('A')
    world.run(60.0)

    assert sent(world) == []
    assert [it.event for it in world.events] == ['baseline', 'unreadable', 'readable']


@pytest.mark.parametrize('layout', ['file', 'directory'])
def test_rule_4_readable_again_with_other_bytes_is_delivered_once(layout):
    """The trouble in between does not matter."""
    world = world_of(layout)
    world.hide()
    world.run(20.0)

    world.put('B')
    world.run(60.0)

    assert sent(world) == ['B']


def test_rule_4_short_trouble_is_not_logged():
    """Files that can be read again 0.25 s later are not worth a line."""
    world = world_of()
    world.hide()
    world.run(5.0 - (world.now - world.state.version.read_at) + 0.1)

    world.put('A')
    world.run(20.0)

    assert [it.event for it in world.events] == ['baseline']


def test_rule_4_unreadable_is_not_still_changing():
    """A due version that cannot be read is unreadable, and nothing else."""
    world = world_of(targets=0)
    world.put('B')
    world.run(20.0)

    world.hide()
    world.run(600.0)

    assert reasons(world) == ['no target']
    assert len(world.messages('unreadable')) == 1


def test_rule_4_member_that_is_away_does_not_hold_its_neighbours_for_ever():
    """After 30 s it is part of the fingerprint as unreadable."""
    world = world_of('directory')
    world.hide('no such file')

    world.run(32.0)
    before = sent(world)
    world.run(10.0)

    assert (before, sent(world)) == ([], ['unreadable'])


@pytest.mark.parametrize(('version', 'signals'), [('A', []), ('B', ['B'])])
def test_rule_4_member_is_known_as_it_was_however_long_it_is_unreadable(
        version, signals,
):
    """Other bytes afterwards are delivered once, the same bytes never."""
    world = world_of('directory')
    world.hide()
    world.run(3000.0)
    assert sent(world) == []

    world.put(version)
    world.run(60.0)

    assert sent(world) == signals
    assert [it.event for it in world.events][:3] == [
        'baseline', 'unreadable', 'readable',
    ]


def test_rule_4_unreadable_member_does_not_hold_its_neighbours():
    """A change beside it is delivered as any other."""
    world = world_of('directory')
    world.hide()
    world.run(60.0)

    world.neighbour = 'M'
    world.run(8.0)

    assert len(sent(world)) == 1
    assert [it.fields['files'] for it in world.events if it.event == 'changed'] == [
        ['/c/n'],
    ]


@pytest.mark.parametrize('restarted', [False, True])
def test_rule_1_target_notified_while_a_member_is_unreadable_is_notified_again(
        restarted,
):
    """Rule 1: it may have read nothing there, and the same bytes come back."""
    world = world_of('directory')
    world.hide()
    world.neighbour = 'M'
    world.run(60.0)
    if restarted:
        world.crash(keep=True)
        world.run(10.0)

    world.put('A')
    world.run(60.0)

    assert [it.fields.get('reason') for it in world.events if it.event == 'changed'] \
        == [None, 'restarted']
    assert len(sent(world)) == 2
    assert world.idle()


def test_rule_4_what_is_no_file_comes_and_goes_without_a_change():
    """A server that makes its socket in its own directory is not signalled for it."""
    world = world_of('directory')

    world.bind()
    world.run(60.0)
    world.bind()
    world.run(60.0)

    assert sent(world) == []
    assert [it.event for it in world.events] == ['baseline', 'unreadable', 'readable']


def test_rule_4_change_beside_a_socket_is_delivered_as_any_other():
    """It waits for nothing but --settle."""
    world = world_of('directory')
    world.bind()
    world.put('B')

    world.run(8.0)

    assert sent(world) == ['B']


def test_rule_5_path_that_disappears_is_no_change():
    """The whole path is gone for good: there is one line, and no signal."""
    world = world_of('file')

    world.put('gone')
    world.run(3000.0)

    assert sent(world) == []
    assert len(world.messages('unreadable')) == 1


def test_rule_5_file_that_disappears_in_a_directory_is_a_change():
    """It is delivered once."""
    world = world_of('directory')

    world.put('gone')
    world.run(60.0)

    assert sent(world) == ['gone']
    assert world.messages('changed') == ['/c/f']


def test_rule_6_version_is_delivered_after_two_equal_polls():
    """Files that differ at every poll are held, and logged."""
    world = world_of()
    world.put('torn', changing=True)
    world.run(100.0)
    assert sent(world) == []
    assert reasons(world) == ['still changing']

    world.put('B')
    world.run(7.0)

    assert sent(world) == ['B']


def started_after(seconds: float) -> Simulation:
    """Return a world whose target started that long after B was first seen."""
    world = world_of(targets=0)
    world.put('B')
    world.run(20.0)
    world.start()
    started = int((world.state.version.seen_at + seconds) * 100)
    world.alter_root(started=started)
    world.run(20.0)
    return world


def test_rule_8_target_that_started_10_s_later_is_up_to_date():
    """A root that started 10 s after the version was first seen has read it."""
    world = started_after(10.0)

    assert sent(world) == []
    assert reasons(world, 'baseline') == [None, 'needless']
    assert world.idle()


def test_rule_8_target_that_started_earlier_is_signalled():
    """In doubt: it started less than 10 s after the version was first seen."""
    world = started_after(9.0)

    assert sent(world) == ['B']


def test_rule_8_worker_is_signalled_whatever_its_age():
    """It may have been forked with the old version: its memory is its master's."""
    world = world_of(select='newest', handler_check='off')
    world.alter_root(refuses=True)
    world.put('B')
    world.run(30.0)
    world.fork()

    world.run(70.0)

    assert [sent.pid for sent in world.sent] == [102]


def test_rule_8_what_a_process_showed_counts_when_it_is_about_to_exit():
    """It has no memory, so no stack, any more (exit_mm in kernel/exit.c)."""
    world = world_of(validate=('validate',))
    world.refuse_for(validate=40.0)
    world.put('B')
    world.run(30.0)
    world.opaque = True
    world.run(5.0)
    world.opaque = False
    world.alter_root(starting=True)
    world.daemonize()

    world.run(200.0)

    assert [sent.pid for sent in world.sent] == [102]


def test_rule_8_process_that_is_about_to_exit_had_no_handler():
    """It shows no signal masks any more, either."""
    world = world_of(targets=0, opaque=True)
    world.start_slowly()
    world.put('B')
    world.run(30.0)
    world.alter_root(disposition='unknown')
    world.state = note_older(world.settings, world.state, world.world)
    world.daemonize()

    world.run(20.0)

    assert [sent.pid for sent in world.sent] == [102]


def daemonized(opaque: bool = False) -> Simulation:
    """Return a world whose target has gone to the background since B was held."""
    world = world_of(targets=0, opaque=opaque)
    world.start_slowly()
    world.put('B')
    world.run(30.0)
    world.daemonize()
    return world


@pytest.mark.parametrize('crashes', [False, True])
@pytest.mark.parametrize('opaque', [False, True])
def test_rule_8_successor_of_a_target_without_a_handler_is_signalled(crashes, opaque):
    """It may have been forked with the old version: it went to the background."""
    world = daemonized(opaque)
    if crashes:
        world.crash(keep=True)

    world.run(20.0)

    assert [sent.pid for sent in world.sent] == [102]
    assert 'needless' not in reasons(world, 'baseline')


@pytest.mark.parametrize('opaque', [False, True])
def test_rule_8_restart_of_a_target_that_never_has_a_handler_counts(opaque):
    """No signal can reach it, and its restart is how it reads the version."""
    world = world_of(targets=0, opaque=opaque)
    world.start_slowly()
    world.put('B')
    world.run(30.0)
    assert reasons(world, 'held') == ['no handler']
    world.start_slowly()

    world.run(30.0)

    assert sent(world) == []
    assert world.idle()


@pytest.mark.parametrize('seconds', [0.5, 3.0, 8.0])
def test_rule_8_restart_right_after_the_change_counts_without_a_handler(seconds):
    """Edit, restart: before the poll that sees the version, or soon after it."""
    world = world_of(targets=0)
    world.start_slowly()
    world.run(20.1)
    world.put('B')
    world.run(seconds)
    world.start_slowly()

    world.run(10.0)
    assert sent(world) == []
    assert 'needless' not in reasons(world, 'baseline')
    world.run(20.0)

    assert sent(world) == []
    assert world.idle()


def test_rule_8_restart_right_before_the_change_does_not_count():
    """Between the same two polls: the date of the files decides."""
    world = world_of(targets=0)
    world.start_slowly()
    world.run(20.1)
    world.start_slowly()
    world.run(0.5)
    world.put('B')

    world.run(60.0)

    assert reasons(world, 'held') == ['no handler']
    assert not world.idle()


def test_rule_8_restart_before_a_change_without_a_date_does_not_count():
    """A deletion leaves older dates, which do not show when it was."""
    world = world_of(targets=0)
    world.start_slowly()
    world.run(20.1)
    world.start_slowly()
    world.run(0.5)
    world.put('B')
    world.dated = 900.0

    world.run(60.0)

    assert not world.idle()


@pytest.mark.parametrize('opaque', [False, True])
def test_rule_8_handler_that_is_installed_after_the_fork_counts(opaque):
    """The child of a daemon has its handlers some seconds after it was forked."""
    world = daemonized(opaque)
    world.alter_root(disposition='default')
    world.run(7.0)
    world.make_ready()

    world.run(20.0)

    assert [sent.pid for sent in world.sent] == [102]
    assert world.idle()


def held_back(opaque: bool = False, **changes: Any) -> Simulation:
    """Return a world in which --splay, --min-uptime or --validate holds B."""
    world = world_of(targets=0, opaque=opaque, **changes)
    world.start()
    world.run(3.0)
    world.put('B')
    if 'validate' in changes:
        world.refuse_for(validate=60.0)
    world.run(20.0)
    return world


KEEPS_BACK = pytest.mark.parametrize('changes', [
    {'splay': 60.0}, {'min_uptime': 60.0}, {'validate': ('validate',)},
])


@KEEPS_BACK
def test_rule_8_child_that_was_forked_by_an_older_root_is_signalled(changes):
    """Whatever holds the version, and also if the root has a handler."""
    world = held_back(**changes)
    world.alter_root(starting=True)
    world.daemonize()

    world.run(120.0)

    assert [sent.pid for sent in world.sent] == [102]
    assert 'needless' not in reasons(world, 'baseline')
    assert world.idle()


@KEEPS_BACK
@pytest.mark.parametrize('opaque', [False, True])
def test_rule_8_restart_of_an_older_root_with_a_handler_counts(changes, opaque):
    """It is no fork, which the start of its stack shows if it can be seen."""
    world = held_back(opaque=opaque, **changes)
    world.restart()

    world.run(120.0)

    assert sent(world) == []
    assert world.idle()


def test_rule_8_handler_that_is_installed_long_after_the_fork_counts():
    """The child waits for it, because it was certainly forked with the old version."""
    world = daemonized()
    world.alter_root(disposition='default')
    world.run(40.0)
    assert not world.idle()
    world.make_ready()

    world.run(20.0)

    assert [sent.pid for sent in world.sent] == [102]
    assert world.idle()


def test_rule_8_target_without_a_handler_is_seen_while_the_version_settles():
    """It exits while an empty file is distrusted, and its child has the old version."""
    world = world_of(targets=0, empty_grace=60.0)
    world.start_slowly()
    world.put('empty')
    world.run(30.0)
    world.daemonize()

    world.run(60.0)

    assert [sent.pid for sent in world.sent] == [102]


@pytest.mark.parametrize('version', ['B', 'empty'])
def test_rule_8_target_that_starts_slowly_with_the_version_is_up_to_date(version):
    """It had no handler at first, but it started after the version was there."""
    world = world_of(targets=0, empty_grace=60.0)
    world.put(version)
    world.run(30.0)
    world.start_slowly()
    world.run(20.0)
    world.daemonize()

    world.run(30.0)

    assert sent(world) == []
    assert world.idle()


def test_rule_8_target_without_a_handler_counts_for_its_version_alone():
    """A process that starts after the next version has read that."""
    world = daemonized()
    world.run(20.0)
    world.end_all()
    world.put('C')
    world.run(30.0)
    world.start()

    world.run(20.0)

    assert sent(world) == ['B']
    assert world.idle()


@pytest.mark.parametrize('between', ['A', 'C', 'empty'])
def test_rule_8_version_that_returned_counts_from_its_return(between):
    """B held, another version, a target starts, B again: the target is signalled."""
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


def test_rule_8_date_reveals_a_version_between_two_polls():
    """B, C, B between two polls: a target that started with C is signalled."""
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


def test_rule_8_poll_that_hung_saw_the_files_when_it_ended():
    """B was read at the end of a poll of 60 s; a target that started in it is
    signalled.
    """
    world = world_of()
    world.hang(60.0)
    world.run(20.0)
    world.restart()
    world.run(20.0)
    world.put('B')

    world.run(100.0)

    assert sent(world) == ['B']


@pytest.mark.parametrize('other', ['B', 'empty'])
def test_rule_8_target_that_started_with_another_version_is_signalled(other):
    """Another version is seen, a target starts with it, and A is back."""
    world = world_of(validate=('validate',))
    world.invalid_until = world.now + 60.0
    world.put(other)
    world.run(10.0)
    world.restart()
    world.run(5.0)

    world.put('A')
    world.run(100.0)

    assert sent(world) == ['A']


def test_rule_8_target_that_started_before_the_other_version_was_seen():
    """B comes, a target starts with it, and only a later poll can read B."""
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


def test_rule_9_reused_pid_is_not_signalled():
    """A target that is gone when the signal is to be sent is selected again."""
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
def test_rule_9_signal_that_is_not_sent_is_a_failure(how, event, reason):
    """It is no delivery, and the reason is logged."""
    world = world_of()
    world.alter_root(refuses=True)  # as the truth of 'not permitted'
    world.world = world.world._replace(send=lambda process, number: how)
    world.put('B')

    world.run(7.0)

    assert reasons(world, event)[-1] == reason
    assert world.messages('signalled', 'delivered') == []
    assert world.state.version.delivered == '=A'


@pytest.mark.parametrize('disposition', ['default', 'ignored'])
def test_rule_10_target_without_a_handler_is_held(disposition):
    """It is signalled once it has a handler."""
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


@pytest.mark.parametrize('each', [2, 3, 40])
def test_rule_10_signal_that_is_blocked_for_moments_has_no_handler(each):
    """vfork blocks every signal; the program dies of it right after that."""
    world = world_of()
    world.alter_root(disposition='blocked', unblocks=each)
    world.put('B')

    world.run(300.0)

    assert world.sent == ()
    assert 'no handler' in reasons(world, 'held')


def test_rule_10_signal_that_is_blocked_by_a_long_vfork_has_no_handler():
    """The child of a vfork is slow to start; the parent does not sleep meanwhile."""
    world = world_of()
    world.alter_root(disposition='blocked', spawns=True)
    world.put('B')
    world.run(300.0)
    spawning, woke = world.sent, world.woke

    world.alter_root(spawns=False)
    world.run(20.0)

    assert spawning == ()
    assert woke < 1000
    assert reasons(world, 'held') == ['no handler']
    assert sent(world) == ['B']


def test_rule_10_signal_that_is_always_blocked_is_fetched():
    """By signalfd; it is believed after some seconds, and at once the next time."""
    world = world_of()
    world.alter_root(disposition='blocked')
    world.put('B')
    world.run(20.0)
    world.put('C')
    world.run(20.0)

    assert sent(world) == ['B', 'C']
    changed = [event.at for event in world.events if event.event == 'changed']
    assert (BLOCKS - 2) * BLOCKS_AGAIN < world.sent[0].at - changed[0] < 5.0
    assert world.sent[1].at == changed[1]


@pytest.mark.parametrize('disposition', ['unknown', 'runtime'])
def test_rule_10_handler_that_does_not_show_needs_an_age_of_10_s(disposition):
    """Without evidence the signal is sent to a target that has finished starting."""
    world = world_of()
    world.restart()
    world.alter_root(disposition=disposition)
    world.put('B')

    world.run(9.9)
    young = sent(world)
    world.run(6.0)

    assert (young, sent(world)) == ([], ['B'])
    assert reasons(world) == ['too young']


def test_rule_10_survival_is_always_checked():
    """A handler proves nothing: a target that dies is a failed delivery."""
    world = world_of()
    world.alter_root(dies=True)
    world.put('B')

    world.run(60.0)

    assert world.messages('delivered') == []
    assert reasons(world, 'failed') == ['died']


def test_rule_10_pending_signal_is_no_delivery_until_it_is_taken():
    """A stopped target is not signalled again."""
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


def test_rule_10_exit_with_a_pending_signal_is_no_death():
    """A stopped target is replaced before it takes the signal."""
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


def test_rule_11_poll_that_hangs_is_logged_and_delays_the_signal():
    """It is logged after 5 s and each minute; then the watch goes on."""
    world = world_of()
    world.put('B')
    world.hang(200.0)
    world.run(199.0)
    assert sent(world) == []
    assert len(world.messages('stalled')) == 4

    world.run(10.0)

    assert sent(world) == ['B']
    assert len(world.messages('readable')) == 1


def test_rule_11_nothing_is_delivered_while_a_poll_hangs():
    """Although a version is due and a target starts."""
    world = world_of(targets=0)
    world.put('B')
    world.run(7.0)
    world.hang(100.0)
    world.run(5.0)
    world.start()
    world.alter_root(started=95_000)

    world.run(80.0)
    during = sent(world)
    world.run(30.0)

    assert (during, sent(world)) == ([], ['B'])


def test_rule_12_ledger_keeps_the_delivered_version():
    """The next run delivers only a version that is not delivered yet."""
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
def test_rule_12_on_start_decides_without_a_ledger(on_start, dated, expected):
    """never: no signal; always: one; auto: one if the files are newer than the target.
    """
    world = Simulation(WATCH._replace(on_start=on_start))
    world.dated = dated

    world.run(60.0)

    assert sent(world) == expected
    assert len(world.messages('baseline')) == 1


@pytest.mark.parametrize('reason', ['pidfile', 'proc'])
def test_rule_12_auto_delivers_if_no_target_can_be_compared(reason):
    """auto cannot see the running target, and delivers as soon as it can."""
    world = Simulation(WATCH)
    seen = world.world.targets
    world.world = world.world._replace(targets=lambda: Choice((), reason, 'not now'))
    world.run(60.0)

    world.world = world.world._replace(targets=seen)
    world.run(60.0)

    assert sent(world) == ['A']


def test_baseline_is_taken_at_the_first_readable_poll():
    """A change before the baseline would have settled counts as a change."""
    world = Simulation(WATCH._replace(on_start='never'))
    world.hide()
    world.run(30.0)
    world.put('A')
    world.run(2.6)
    world.put('B')

    world.run(10.0)

    assert sent(world) == ['B']


def test_new_state_is_blank():
    """A watch begins with nothing known, nothing under way and nothing awaited."""
    world = Simulation(WATCH)

    assert world.state.version == change.Memory()
    assert world.state.attempt == Attempt()
    assert observation.wake(world.state) == 0.0
