"""One step of a watch: when it comes, what it logs, and what it waits for."""
from __future__ import annotations

from typing import Any

import pytest

from pollreload.core import observation, step
from pollreload.core.attempt import Attempt
from pollreload.core.change import Memory
from pollreload.core.process import Choice
from pollreload.core.reading import EMPTY, Reading, Snapshot, Trouble
from pollreload.core.stage import Surviving, Verifying
from pollreload.core.state import State, hold
from pollreload.settings import Settings
from tests.support.simulation import Simulation, blob

WATCH = Settings(paths=('/c',), process='app')


def world_of(**changes: Any) -> Simulation:
    """Return a world in which version A is delivered and pollreload has run a while."""
    world = Simulation(WATCH._replace(**changes))
    world.run(20.0)
    return world


@pytest.mark.parametrize(('state', 'at'), [
    pytest.param(State(), 0.0, id='at once'),
    pytest.param(State(next_reading=7.0), 7.0, id='the next poll'),
    pytest.param(State(next_reading=7.0, next=5.0), 5.0, id='something before it'),
    pytest.param(State(next_reading=7.0, next=9.0), 7.0, id='something after it'),
    pytest.param(
        State(next_reading=7.0, reading_since=5.0), 10.0, id='a reading under way',
    ),
    pytest.param(State(reading_since=5.0, stalled=10.0), 70.0, id='a poll that hangs'),
    pytest.param(State(reading_since=5.0, next=6.0), 6.0, id='something during a poll'),
])
def test_next_step_is_due_at_the_first_of_all_times(state, at):
    """Of the next poll, the end of a wait, and the next line about a poll that hangs.
    """
    assert observation.wake(state) == at


@pytest.mark.parametrize(('state', 'word'), [
    pytest.param(State(), '', id='nothing'),
    pytest.param(State(reading_since=5.0, stage=Surviving(9.0)), 'poll', id='a poll'),
    pytest.param(State(stage=Surviving(9.0), waiting='x'), 'survive', id='a stage'),
    pytest.param(
        State(Memory(waiting='settle'), waiting='splay'), 'splay', id='a time',
    ),
    pytest.param(State(Memory(waiting='settle')), 'settle', id='to settle'),
    pytest.param(State(Memory(waiting='doubt')), 'doubt', id='a doubt'),
])
def test_awaited(state, word):
    """It is one word, and '' if only another poll can help."""
    assert step.awaited(state) == word


@pytest.mark.parametrize(('state', 'texts'), [
    pytest.param(
        State(), ['version blank', 'seen nothing', 'delivered unknown'], id='blank',
    ),
    pytest.param(
        State(Memory('due', seen='b' * 32, delivered='a' * 32)),
        ['version due', f'seen {"b" * 12}', f'delivered {"a" * 12}'], id='due',
    ),
    pytest.param(
        State(
            reading_since=5.0, stage=Verifying(9.0, 0.0), hold='no target',
            attempt=Attempt(tries=3),
        ),
        ['reading for 2.5 s', 'under way: verify', 'held: no target',
         'failed attempts: 3'], id='all at once',
    ),
])
def test_status(state, texts):
    """The status is one line with everything that is under way."""
    line = step.status_line(state, 7.5)

    assert all(word in line for word in texts)
    assert '\n' not in line


def test_status_of_a_blank_watch_is_short():
    """Nothing is under way, held or failed."""
    line = step.status_line(State(), 7.5)
    assert line == 'version blank, seen nothing, delivered unknown'


def test_first_poll_is_at_once_and_the_second_after_a_random_time():
    """A part of the interval; the following ones are regular."""
    world = Simulation(WATCH)
    polls: list[float] = []

    def read(dates):
        polls.append(world.now)
        return Simulation.read(world, dates)

    world.world = world.world._replace(read=read, jitter=lambda: 0.25)
    world.run(15.0)

    assert polls == [1000.0, 1001.25, 1006.25, 1011.25]


@pytest.mark.parametrize(('poll_at', 'began', 'answer'), [
    pytest.param(0.0, 100.0, 102.5, id='the first'),
    pytest.param(100.0, 99.0, 100.0, id='a poll in between'),
    pytest.param(100.0, 100.0, 105.0, id='on time'),
    pytest.param(100.0, 104.9, 105.0, id='late'),
    pytest.param(100.0, 105.0, 110.0, id='one left out'),
    pytest.param(100.0, 171.0, 175.0, id='many left out'),
])
def test_polls_start_at_multiples_of_the_interval(poll_at, began, answer):
    """Polls that were missed are left out."""
    world = Simulation(WATCH).world

    assert observation.next_poll(poll_at, began, 5.0, world) == answer


def test_dates_are_read_for_the_baseline_only():
    """The newest mtime is needed only until the baseline is taken."""
    world = Simulation(WATCH)
    asked: list[bool] = []

    def read(dates):
        asked.append(dates)
        return Simulation.read(world, dates)

    world.world = world.world._replace(read=read)
    world.run(13.0)

    assert asked == [True, False, False, False]


def test_sighup_polls_now_and_forgets_failures():
    """The backoff, the breaker and the last hold are reset."""
    state = State(
        next_reading=900.0, attempt=Attempt(again=800.0, tries=4), deaths=3,
        deadly='default', hold='no target',
    )

    state = step.poll_now(state, 500.0)

    assert (state.next_reading, state.attempt.again) == (500.0, 500.0)
    assert state.attempt.tries == 4
    assert (state.deaths, state.deadly, state.hold) == (0, '', '')


def test_sighup_does_not_delay_an_attempt():
    """A retry that is possible already stays so."""
    state = step.poll_now(State(attempt=Attempt(again=400.0)), 500.0)

    assert state.attempt.again == 400.0


def test_hold_is_logged_again_after_sighup():
    """The operator sees the reason once more."""
    world = world_of()
    world.end_all()
    world.put('B')
    world.run(20.0)

    world.send_hup()
    world.run(20.0)

    assert world.messages('held') == ['no app', 'no app']


@pytest.mark.parametrize(('files', 'texts'), [
    ({'a': blob('A')}, '1 file in /d'),
    ({'a': blob('A'), 'b': blob('B')}, '2 files in /d'),
    ({}, '0 files in /d'),
])
def test_baseline_counts_the_files(files, texts):
    """The line shows how many there are, and nothing of what they contain."""
    world = Simulation(WATCH._replace(paths=('/d',)))
    sight = Reading('directory', files, {})
    world.world = world.world._replace(read=lambda dates: Snapshot((sight,)))

    world.run(1.0)

    assert world.messages('baseline') == [texts]


def test_baseline_does_not_count_unreadable_files():
    """They have a line of their own."""
    world = Simulation(WATCH._replace(paths=('/c', '/x')))
    readings = (
        Reading('file', {'': blob('A')}, {}),
        Reading('', {}, {'': 'gone'}),
    )
    world.world = world.world._replace(read=lambda dates: Snapshot(readings))

    world.run(1.0)

    assert world.messages('baseline') == ['1 file in /c /x']
    assert world.messages('unreadable') == ['/x: gone']


@pytest.mark.parametrize(('changes', 'dated', 'texts'), [
    ({'on_start': 'always'}, 900.0, 'will be delivered once (--on-start always)'),
    ({'on_start': 'auto'}, 960.0, 'newer than app (pid 101), so it will be delivered'),
])
def test_baseline_gives_the_reason_for_a_delivery_at_the_start(changes, dated, texts):
    """Because no file changed."""
    world = Simulation(WATCH._replace(**changes))
    world.dated = dated

    world.run(1.0)

    assert world.messages('baseline') == [f'1 file in /c; {texts}']


def test_delivery_at_the_start_waits_for_settle():
    """And not for the interval."""
    world = Simulation(WATCH._replace(on_start='always'))

    world.run(1.0)

    assert [sent.at for sent in world.sent] == [1001.0]


def test_many_changed_files_are_counted():
    """Five files are named, and the others counted, also in the fields."""
    world = Simulation(WATCH._replace(paths=('/d/',), settle=0.0))
    names = 'abcdefg'
    readings = [
        Reading('directory', {name: blob(each) for name in names}, {})
        for each in 'AB'
    ]
    world.world = world.world._replace(
        read=lambda dates: Snapshot((readings[world.now > 1002.0],)),
        send=lambda process, number: 'gone',
    )

    world.run(4.0)

    [event] = [it for it in world.events if it.event == 'changed']
    assert event.message == '/d/a, /d/b, /d/c, /d/d, /d/e and 2 more'
    assert event.fields['files'] == ['/d/a', '/d/b', '/d/c', '/d/d', '/d/e']
    assert event.fields['count'] == 7


def test_unreadable_and_readable_name_the_path():
    """One line when it cannot be read, and one when it can be read again."""
    world = world_of()
    world.hide()
    world.run(10.0)
    world.put('A')
    world.run(10.0)

    assert world.messages('unreadable') == ['/c: permission denied']
    assert world.messages('readable') == ['/c can be read again']


def test_hold_names_the_file_that_became_empty():
    """And not an unreadable file that sorts before it."""
    world = Simulation(WATCH._replace(paths=('/d',)))
    before = Reading('directory', {'a': blob('A'), 'b': blob('B')}, {})
    behind = Reading(
        'directory', {'b': EMPTY}, {'a': 'permission denied'},
    )
    world.world = world.world._replace(
        read=lambda dates: Snapshot((behind if world.now > 1002.0 else before,)),
    )
    world.seen = 'empty'

    world.run(10.0)

    assert world.messages('held') == [
        '/d/b became empty; that is believed after 30 s (--empty-grace)',
    ]


def test_emptied_file_is_delivered_after_empty_grace():
    """From then on it is a version like any other."""
    world = world_of()
    world.put('empty')
    world.run(31.0)
    before = len(world.sent)

    world.run(5.0)

    assert (before, [sent.version for sent in world.sent]) == (0, ['empty'])


def test_version_that_returns_during_a_validation_ends_it():
    """The version is current again, and no delivery is under way."""
    world = world_of(validate=('validate',))
    world.refuse_for(validate=9.0)
    world.put('B')
    world.run(3.6)
    assert world.stage() == 'validate'

    world.put('A')
    world.send_hup()
    world.run(0.1)

    assert (world.stage(), world.state.version.state) == ('', 'current')


def test_stalled_poll_is_logged_with_its_length():
    """Each line says for how long it has lasted, and so does the line of its end."""
    world = world_of()
    world.hang(70.0)

    world.run(80.0)

    assert [text.split(';')[0] for text in world.messages('stalled')] == [
        'reading /c has not ended for 5 s', 'reading /c has not ended for 65 s',
    ]
    assert world.messages('readable') == ['a poll ended after 68 s']


def test_stall_of_less_than_5_s_is_not_logged():
    """Slow storage is not worth a line."""
    world = world_of()
    world.hang(6.0)

    world.run(20.0)

    assert world.messages('stalled', 'readable') == []


def test_stall_during_a_delivery_is_not_logged_earlier():
    """A step for another reason does not make the poll a stall."""
    world = world_of(survive=6.0)
    world.put('B')
    world.run(7.0)
    world.hang(4.0)  # over the poll at 1027.5 and the end of --survive at 1029.5

    world.run(20.0)

    assert world.messages('stalled') == []


def test_stalled_poll_that_ends_unreadable_is_not_logged_as_readable():
    """Its end is no recovery."""
    world = world_of()
    world.hide()
    world.hang(60.0)

    world.run(80.0)

    assert world.messages('readable') == []
    assert world.messages('unreadable') == ['/c: permission denied']


@pytest.mark.parametrize('reason', ['pidfile', 'proc'])
def test_returned_version_is_delivered_if_the_processes_are_unknown(reason):
    """One may have started with the other version; in doubt it is signalled."""
    world = world_of()
    world.put('B')
    world.run(2.6)
    world.restart()
    seen = world.world.targets
    world.world = world.world._replace(targets=lambda: Choice((), reason, 'not now'))
    world.put('A')
    world.run(20.0)

    world.world = world.world._replace(targets=seen)
    world.run(20.0)

    assert [sent.version for sent in world.sent] == ['A']


def test_returned_version_is_not_delivered_if_no_process_started():
    """B was seen, A is back, and no process started in between."""
    world = world_of()
    world.put('B')
    world.run(2.6)
    world.put('A')

    world.run(60.0)

    assert world.sent == ()
    assert world.state.version.left == 0.0
    assert world.messages('changed') == []


def test_returned_version_is_delivered_to_a_process_that_started_since():
    """The line names the process."""
    world = world_of()
    world.put('B')
    world.run(2.6)
    world.restart()
    world.put('A')

    world.run(60.0)

    assert world.messages('changed') == [
        '/c is as before, but app (pid 102) started since and may have read '
        'something else',
    ]
    assert [sent.pid for sent in world.sent] == [102]


def test_ledger_is_written_only_when_the_state_changed():
    """And not at each poll."""
    world = Simulation(WATCH)
    saved: list[str] = []

    def save(state):
        saved.append(state.version.delivered)
        return Simulation.save(world, state)

    world.world = world.world._replace(save=save)
    world.run(20.0)
    before = list(saved)
    world.put('B')
    world.run(60.0)
    after = len(saved)
    world.run(600.0)

    assert before == ['=A']
    assert saved[-1] == '=B'
    assert len(saved) == after


def test_blank_memory_is_not_written():
    """It must not replace a ledger while the files cannot be read."""
    world = Simulation(WATCH)
    world.hide()

    world.run(60.0)

    assert world.ledger is None


def test_failed_write_of_the_ledger_is_repeated():
    """At the next step."""
    world = Simulation(WATCH)
    answers = iter([False, False, True])
    world.world = world.world._replace(save=lambda state: next(answers))

    world.run(20.0)

    assert next(answers, None) is None


def test_memory_keeps_the_unreadable_paths():
    """For the exit status of check."""
    world = world_of()
    world.hide()

    world.run(10.0)

    assert world.state.version.troubles == {
        0: Trouble('permission denied', 1022.5, True, True),
    }


def test_hold_is_logged_again_for_a_version_that_returned():
    """B was held, A came back, and B is held again: the first hold was over."""
    world = world_of()
    world.end_all()
    world.put('B')
    world.run(20.0)
    world.put('A')
    world.run(20.0)

    world.put('B')
    world.run(20.0)

    assert world.messages('held') == ['no app', 'no app']


def test_polled_event_has_the_version_and_the_duration():
    """It is logged with -vv."""
    world = Simulation(WATCH)
    lines: list[str] = []

    def say(event, message, /, **fields):
        if event == 'polled':
            lines.append(message)

    world.world = world.world._replace(say=say)
    world.hide()
    world.run(1.0)
    world.put('A')
    world.hang(4.0)
    world.run(5.0)

    assert lines[0] == 'saw nothing in 0.000 s'
    assert lines[-1] == 'saw =A in 2.500 s'


def test_check_waits_for_a_version_that_settles():
    """And for nothing once it is delivered."""
    world = world_of()
    before = step.awaited(world.state)
    world.put('B')
    world.run(3.0)
    settling = step.awaited(world.state)
    world.run(1.5)  # which is when it is delivered
    assert world.idle()

    assert (before, settling, step.awaited(world.state)) == ('', 'settle', '')


@pytest.mark.parametrize(('key', 'now', 'lines'), [
    pytest.param('no target', 3699.9, 0, id='within the hour'),
    pytest.param('no target', 3700.0, 1, id='an hour later'),
    pytest.param('pidfile', 100.1, 1, id='another reason'),
])
def test_hold_is_logged_once_an_hour(key, now, lines):
    """Another reason is logged at once."""
    world = Simulation(WATCH, targets=0)
    world.now = now

    hold(State(hold='no target', held_at=100.0), world.world, key, 'no target', 'x')

    assert world.messages('held') == ['x'] * lines


@pytest.mark.parametrize(('age', 'expected'), [
    pytest.param(60.0, ['A'], id='older than the version'),
    pytest.param(30.0, [], id='younger than the version'),
])
def test_first_target_after_the_baseline_is_compared_with_the_version(age, expected):
    """There was none at the baseline; one that is older than the files is signalled."""
    world = Simulation(WATCH, targets=0)
    world.dated = world.now
    world.run(40.0)

    world.start()
    world.alter_root(started=int((world.now - age) * 100))
    world.run(10.0)

    assert [sent.version for sent in world.sent] == expected
    assert world.idle()


def test_first_target_is_compared_by_the_next_run_too():
    """The ledger keeps that there was no target at the baseline."""
    world = Simulation(WATCH, targets=0)
    world.dated = world.now
    world.run(40.0)
    world.crash(keep=True)
    world.run(10.0)

    world.start()
    world.alter_root(started=95_000)
    world.run(10.0)

    assert [sent.version for sent in world.sent] == ['A']


def test_comparison_ends_with_the_first_delivery():
    """Once B is up to date, the date of A means nothing more.

    A process that takes over later and is older than B is notified of B (rule 13).
    """
    world = Simulation(WATCH, targets=0)
    world.dated = world.now
    world.run(10.0)
    world.put('B')
    world.run(20.0)
    world.start()
    world.run(20.0)
    assert world.idle()

    world.end_all()
    world.start()
    world.alter_root(started=95_000)
    world.run(20.0)

    assert [it.version for it in world.sent] == ['B']


def test_only_the_first_target_is_compared():
    """Later ones have read the version that was there."""
    world = Simulation(WATCH, targets=0)
    world.dated = world.now
    world.run(40.0)
    world.start()
    world.run(10.0)

    world.restart()
    world.alter_root(started=95_000)
    world.run(10.0)

    assert world.sent == ()


def test_hold_is_cleared_if_nothing_is_due():
    """Unless a delivery is under way, which clears it itself."""
    held = State(hold='no target', attempt=Attempt('x'))

    assert observation.cleared(held) == State()
    assert observation.cleared(held._replace(stage=Surviving(9.0))).hold == 'no target'
    assert observation.cleared(State()) == State()


@pytest.mark.parametrize(('layout', 'says'), [
    ('file', '/c has not settled for 60 s, and is not delivered until it has'),
    ('directory', '/c/f has not settled for 60 s, and is not delivered until it has; '
                  'leave out what is no configuration (--ignore)'),
])
def test_file_that_keeps_changing_is_named(layout, says):
    """And not its unchanged neighbours, so that a user can leave it out."""
    world = Simulation(WATCH, layout=layout)
    world.run(20.0)
    world.put('torn', changing=True)
    world.run(100.0)

    lines = [it for it in world.events if it.event == 'held']
    assert [it.message for it in lines] == [says]
    assert lines[0].fields['files'] == [says.split()[0]]
    world.put('B')
    world.run(20.0)
    assert world.state.changing == ()
