"""From due to told."""
from __future__ import annotations

from typing import Any

import pytest

from pollreload.core import observation
from pollreload.core.command import exit_words
from pollreload.core.process import Process
from pollreload.settings import Settings, Signal
from tests.support.simulation import Simulation

WATCH = Settings(paths=('/c',), process='app')


def world_of(targets: int = 1, **changes: Any) -> Simulation:
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


def test_nobody_to_tell_is_held_with_the_words_for_a_person():
    """The hold says what World.absent knows of the neighbourhood."""
    world = world_of(targets=0)
    world.put('B')

    world.run(20.0)

    assert said(world, 'held') == ['no app']


def test_several_roots_are_held():
    """An ambiguous choice is held with the pids, until it is not."""
    world = world_of(targets=2)
    world.put('B')
    world.run(20.0)
    assert 'pids 101, 102' in said(world, 'held')[0]

    world.end(102)
    world.run(5.0)

    assert told(world) == [(101, 'B')]


def test_splay_waits_once():
    """A content is told --splay after it is due; a wait is no hold."""
    world = world_of(splay=30.0)
    world.put('B')
    world.run(33.0)
    before = told(world)

    world.run(1.0)

    assert (before, told(world)) == ([], [(101, 'B')])
    assert said(world, 'held') == []


def test_a_wait_ends_with_a_look():
    """After a wait the content is looked at first: what changed is not told."""
    world = world_of(splay=28.0, interval=60.0)
    world.put('B')
    world.run(30.0)
    assert world.state.waiting == 'splay'

    world.put('C')
    world.run(60.0)

    assert told(world) == [(101, 'C')]


@pytest.mark.parametrize(('changes', 'disposition', 'age', 'expected'), [
    pytest.param({}, 'caught', 0.9, 0, id='1 s where there is a handler'),
    pytest.param({}, 'caught', 1.0, 1, id='1 s of age'),
    pytest.param({}, 'unknown', 9.9, 0, id='10 s where it is unknown'),
    pytest.param({}, 'unknown', 10.0, 1, id='10 s of age'),
    pytest.param({'min_uptime': 20.0}, 'caught', 19.9, 0, id='as it is set'),
    pytest.param({'min_uptime': 20.0}, 'unknown', 20.0, 1, id='as it is set, unknown'),
    pytest.param({'min_uptime': 0.0}, 'unknown', 0.0, 1, id='none'),
])
def test_min_uptime(changes, disposition, age, expected):
    """A target younger than --min-uptime is not told yet."""
    world = world_of(**changes)
    world.put('B')
    world.run(3.4)
    due = 1023.5
    started = int((due - age) * 100)
    world.alter_root(disposition=disposition, started=started)
    assert (world.now, world.sent) == (1023.4, ())

    world.run(0.15)

    assert len(world.sent) == expected


def test_too_young_is_told_when_it_is_old_enough():
    """The wait ends with the age, not with a poll."""
    world = world_of(min_uptime=7.0)
    world.put('B')
    world.run(3.0)
    world.restart()

    world.run(20.0)

    assert [sent.at for sent in world.sent] == [pytest.approx(1030.0)]
    assert said(world, 'held') == [
        'app (pid 102) is younger than 7 s (--min-uptime)',
    ]


def test_a_moment_of_youth_is_not_said():
    """A hold of less than 1 s that ends by itself is not worth a line."""
    world = world_of()
    world.put('B')
    world.run(3.0)
    world.restart()

    world.run(20.0)

    assert told(world) == [(102, 'B')]
    assert said(world, 'held') == []


@pytest.mark.parametrize(('disposition', 'word'), [
    ('default', 'would die of SIGHUP'), ('ignored', 'ignores SIGHUP'),
])
def test_no_handler_is_held_with_the_way_out(disposition, word):
    """The line says what would happen, and how to tell it all the same."""
    world = world_of()
    world.alter_root(disposition=disposition)
    world.put('B')

    world.run(20.0)

    [line] = said(world, 'held')
    assert line.startswith(f'app (pid 101) {word}')
    assert '--handler-check off' in line


@pytest.mark.parametrize('disposition', ['default', 'ignored'])
def test_warn_sends_with_a_word(disposition):
    """--handler-check warn sends, and says that there is no handler."""
    world = world_of(handler_check='warn')
    world.alter_root(disposition=disposition)
    world.put('B')

    world.run(3.6)

    assert said(world, 'signalled') == [
        f'SIGHUP to app (pid 101), which has no handler for it ({disposition})',
    ]


@pytest.mark.parametrize('mode', ['warn', 'off'])
def test_a_signal_is_said_with_all_that_is_known(mode):
    """The line of a signal says to whom, by which way and what it would do with it."""
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
def test_what_is_meant_to_end_is_sent_without_a_handler(disposition):
    """TERM is not checked, and the end is the success."""
    world = world_of(signal=Signal(15, 'SIGTERM'), handler_check='enforce')
    world.alter_root(disposition=disposition)
    world.put('B')

    world.run(20.0)

    assert told(world) == [(101, 'B')]
    assert said(world, 'delivered') == ['SIGTERM to app (pid 101), which ended']


def test_who_can_take_it_is_told_and_the_rest_is_held():
    """One of two is ready: it is told now, the other when it is ready."""
    world = world_of(targets=2, select='roots')
    world.alter(101, disposition='default')
    world.put('B')
    world.run(20.0)
    before = told(world)

    world.make_ready()
    world.run(5.0)

    assert (before, told(world)) == ([(102, 'B')], [(102, 'B'), (101, 'B')])
    assert len(said(world, 'held')) == 1


def test_what_holds_several_is_said_in_one_line():
    """Reasons are joined, and the wait is the shortest that ends by itself."""
    world = world_of(targets=2, select='roots', min_uptime=40.0)
    world.alter(101, disposition='default')
    world.put('B')
    world.run(3.0)
    world.alter(102, started=int(world.now * 100))

    world.run(20.0)

    [line] = said(world, 'held')
    assert 'app (pid 101) would die of SIGHUP' in line
    assert '; app (pid 102) is younger than 40 s' in line

    world.run(40.0)

    assert [(sent.pid, sent.at) for sent in world.sent] == [(102, 1063.0)]


def test_validation_comes_before_and_counts_for_one_content():
    """Each content is validated once, and then told after another look."""
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

    assert told(world) == [(101, 'B'), (101, 'C')]
    assert len(runs) == 2


def test_a_look_that_began_before_a_validation_ended_is_not_enough():
    """A look was under way when --validate agreed: the next one is waited for."""
    world = world_of(validate=('validate',))
    world.takes = 5.0
    world.put('B')
    world.run(6.0)
    world.hang(4.5)  # over the poll at 1027.5 and the end of the command

    def look(dates):
        seen = Simulation.look(world, dates)
        if seen is not None and world.now > 1030.0:
            world.put('C')  # right after the look that hung
        return seen

    world.world = world.world._replace(read=look)
    world.run(20.0)

    assert told(world) == [(101, 'C')]


def test_a_content_that_is_refused_is_held():
    """--validate that disagrees holds, says so once, and is asked again."""
    world = world_of(validate=('validate',))
    world.refuse_for(validate=100.0)
    world.put('B')
    world.run(99.0)
    before = told(world)
    world.run(60.0)

    assert (before, told(world)) == ([], [(101, 'B')])
    assert said(world, 'held') == [
        '--validate validate refused the new version (exit status 1)',
    ]


def test_a_content_that_is_refused_failed():
    """The outcome of a check that --validate refused is a failure."""
    world = world_of(validate=('validate',))
    world.refuse_for(validate=100.0)
    world.put('B')

    world.run(10.0)

    assert world.state.outcome == 'failed'


def test_a_backoff_is_said_with_its_length():
    """The line says when the signal is tried again, and how often it failed."""
    world = world_of(verify=('verify',), command_timeout=5.0)
    world.alter_root(deaf=True)
    world.put('B')

    world.run(10.0)

    assert said(world, 'held') == [
        'SIGHUP is tried again in 1 s (failures so far: 1)',
    ]


def test_a_command_is_looked_at_often():
    """Where the end of a child is not heard of, it is found 0.1 s later."""
    world = world_of(validate=('validate',))
    world.takes = 3.0
    world.put('B')

    world.run(3.5)

    assert world.stage() == 'validate'
    assert observation.wake(world.state) <= world.now + 0.1


def test_what_validation_printed_is_said():
    """What --validate printed is the reason for a person."""
    world = world_of(validate=('validate',))
    world.world = world.world._replace(said=lambda: 'first\nline 3: no such word')
    world.refuse_for(validate=100.0)
    world.put('B')

    world.run(10.0)

    [line] = said(world, 'held')
    assert line.endswith('(exit status 1): first | line 3: no such word')


def test_a_validation_that_cannot_run_is_held():
    """A command that is not there refuses every content."""
    world = world_of(validate=('validate',))
    world.world = world.world._replace(run=lambda command, additions: 'no such file')
    world.put('B')

    world.run(100.0)

    assert told(world) == []
    assert said(world, 'held') == ['cannot run --validate: no such file']
    assert world.state.attempt.tries > 3


def test_a_validation_that_does_not_end_is_ended():
    """After --command-timeout it is ended, and the content is held."""
    world = world_of(validate=('validate',), command_timeout=5.0)
    world.takes = 100.0
    world.put('B')
    world.run(8.4)
    before = world.command

    world.run(0.2)

    assert before is not None
    assert world.command is None
    assert told(world) == []
    assert said(world, 'held') == [
        '--validate validate did not end within 5 s',
    ]


def test_a_validation_of_what_is_gone_is_ended():
    """The content changes under --validate: it is ended, and says nothing."""
    world = world_of(validate=('validate',))
    world.put('B')
    world.run(3.6)
    before = world.command

    world.put('C')
    world.ask()
    world.run(0.1)
    meanwhile = world.command
    world.run(20.0)

    assert before is not None
    assert meanwhile is None
    assert told(world) == [(101, 'C')]
    assert said(world, 'held') == []


@pytest.mark.parametrize(('status', 'words'), [
    (3, 'exit status 3'), (-9, 'ended by signal 9'),
])
def test_exit_words(status, words):
    """A status is what the command said, or the signal that ended it."""
    assert exit_words(status) == words


def test_a_refused_signal_is_said_once():
    """EPERM is one line, with who we are and what to do, whoever else refuses."""
    world = world_of(targets=2, select='roots')
    world.alter(101, refuses=True)
    world.alter(102, refuses=True)
    world.put('B')

    world.run(600.0)

    lines = said(world, 'failed', 'held')
    assert len(lines) <= 2
    assert 'not permitted to send SIGHUP to app (pid 101, uid 0) as uid 1' in lines[0]
    assert 'or as root with CAP_KILL' in lines[0]


def test_a_signal_that_a_security_module_denies_names_it():
    """No uid and no capability would help."""
    world = world_of()
    world.refusal = 'denied'
    world.alter_root(refuses=True)
    world.put('B')

    world.run(60.0)

    line = said(world, 'failed', 'held')[0]
    assert 'not permitted to send SIGHUP to app (pid 101): a security module' in line


def test_a_refused_signal_is_said_again_every_hour():
    """A signal that is refused for ever is a line an hour."""
    world = world_of()
    world.alter_root(refuses=True)
    world.put('B')

    world.run(2.5 * 3600.0)

    assert len(said(world, 'failed', 'held')) == 3


def test_one_of_two_is_refused():
    """One takes it, the other refuses until it does not; each is told once."""
    world = world_of(targets=2, select='roots')
    world.alter(101, refuses=True)
    world.put('B')
    world.run(60.0)
    world.make_ready()

    world.run(70.0)

    assert told(world) == [(102, 'B'), (101, 'B')]
    assert world.resting()


def test_a_target_that_ends_just_before_leaves_no_trace():
    """Gone at the moment of sending: whoever is there next is told instead."""
    world = world_of(targets=2, select='roots')

    def send(process: Process, number: int) -> str:
        if process.pid == 101:
            world.end(101)
        return Simulation.send(world, process, number)

    world.world = world.world._replace(send=send)
    world.put('B')
    world.run(20.0)

    assert told(world) == [(102, 'B')]
    assert world.resting()
    assert world.state.outcome == 'done'
    assert said(world, 'failed') == []


def test_restarting_targets_that_refuse_do_not_pile_up():
    """Nothing is remembered of a target that never was signalled."""
    world = world_of()
    world.put('B')
    for _ in range(20):
        world.restart()
        world.alter_root(refuses=True, started=95_000)
        world.run(70.0)

    assert world.state.attempt.targets == ()


def ending(**changes: Any) -> Simulation:
    """Return a world in which pollreload ended when TERM was out."""
    world = world_of(
        targets=2, signal=Signal(15, 'SIGTERM'), select='roots', **changes,
    )
    world.alter(101, deaf=True)
    world.alter(102, refuses=True)
    world.put('B')
    world.run(4.0)
    assert told(world) == [(101, 'B')]
    world.crash(keep=True)
    return world


def test_the_next_run_sees_the_end_that_the_last_one_asked_for():
    """TERM was out, and the target ended: that is the success, and no death."""
    world = ending()
    world.end(101)

    world.run(0.2)

    assert said(world, 'delivered') == ['SIGTERM to app (pid 101), which ended']
    assert world.state.deaths == 0


def test_the_next_run_tells_who_was_not_told():
    """The end of one target is not the end of the attempt."""
    world = ending()
    world.end(101)
    world.run(5.0)
    assert world.state.version.state == 'due'

    world.make_ready()
    world.run(70.0)

    assert told(world) == [(101, 'B'), (102, 'B')]
    assert world.resting()


def test_a_successor_is_not_told():
    """Who started after another was told to end has read the content."""
    world = ending()
    world.end_all()
    world.start()

    world.run(20.0)

    assert told(world) == [(101, 'B')]
    assert world.resting()


def test_a_successor_that_read_something_else_is_told():
    """C was there for a while, a target started with it, and B is back."""
    world = ending(command_timeout=300.0)
    world.run(1.0)
    world.put('C')
    world.run(2.0)
    world.end_all()
    world.start()
    world.run(0.1)

    world.put('B')
    world.run(60.0)

    assert [content for _, content in told(world)] == ['B', 'B']
    assert world.root() is None


def test_who_was_spared_has_no_successor():
    """One is spared by its age; another that is not old enough is told to end."""
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

    assert told(world) == [(102, 'B')]


def test_a_worker_is_no_successor():
    """A worker was forked with the old content by one that has not ended yet."""
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


def test_who_is_younger_than_the_last_look_is_not_spared_yet():
    """What it read is not what was seen before: the next look says what it was."""
    world = world_of(interval=60.0)
    world.alter_root(stopped=True)
    world.put('B')
    world.run(70.0)
    world.put('C')
    world.end_all()
    world.start()

    world.run(200.0)

    assert [event.event for event in world.events if 'read it' in event.message] == []
    assert world.resting()
