"""One poll: when it comes, what it says, and what it waits for."""
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
    """Return a world in which pollreload runs for a while, and A is done."""
    world = Simulation(WATCH._replace(**changes))
    world.run(20.0)
    return world


def said(world: Simulation, *events: str) -> list[str]:
    """Return the messages of some events."""
    return [it.message for it in world.events if it.event in events]


@pytest.mark.parametrize(('state', 'at'), [
    pytest.param(State(), 0.0, id='at once'),
    pytest.param(State(next_reading=7.0), 7.0, id='the next look'),
    pytest.param(State(next_reading=7.0, next=5.0), 5.0, id='something before it'),
    pytest.param(State(next_reading=7.0, next=9.0), 7.0, id='something after it'),
    pytest.param(
        State(next_reading=7.0, reading_since=5.0), 10.0, id='a reading under way',
    ),
    pytest.param(State(reading_since=5.0, stalled=10.0), 70.0, id='a look that hangs'),
    pytest.param(State(reading_since=5.0, next=6.0), 6.0, id='something meanwhile'),
])
def test_wake(state, at):
    """The next step is due at the first of the times that matter."""
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
    """What is awaited is a word; what only another poll can bring is none."""
    assert step.awaited(state) == word


@pytest.mark.parametrize(('state', 'words'), [
    pytest.param(
        State(), ['content blank', 'seen nothing', 'done unknown'], id='blank',
    ),
    pytest.param(
        State(Memory('due', seen='b' * 32, delivered='a' * 32)),
        ['content due', f'seen {"b" * 12}', f'done {"a" * 12}'], id='due',
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
def test_status(state, words):
    """How things stand is one line that names all that is under way."""
    line = step.status(state, 7.5)

    assert all(word in line for word in words)
    assert '\n' not in line


def test_status_is_quiet_of_what_is_not():
    """A blank watch has nothing under way, held or failed."""
    assert step.status(State(), 7.5) == 'content blank, seen nothing, done unknown'


def test_the_first_look_is_at_once_and_the_second_is_spread():
    """The second look comes after a random part of the interval, then it is regular."""
    world = Simulation(WATCH)
    looks: list[float] = []

    def look(dates):
        looks.append(world.now)
        return Simulation.look(world, dates)

    world.world = world.world._replace(read=look, jitter=lambda: 0.25)
    world.run(15.0)

    assert looks == [1000.0, 1001.25, 1006.25, 1011.25]


@pytest.mark.parametrize(('poll_at', 'began', 'answer'), [
    pytest.param(0.0, 100.0, 102.5, id='the first'),
    pytest.param(100.0, 99.0, 100.0, id='a look in between'),
    pytest.param(100.0, 100.0, 105.0, id='on time'),
    pytest.param(100.0, 104.9, 105.0, id='late'),
    pytest.param(100.0, 105.0, 110.0, id='one left out'),
    pytest.param(100.0, 171.0, 175.0, id='many left out'),
])
def test_polls_keep_to_a_grid(poll_at, began, answer):
    """Polls come start to start; what was missed is left out."""
    world = Simulation(WATCH).world

    assert observation.next_poll(poll_at, began, 5.0, world) == answer


def test_dates_are_read_for_the_baseline_only():
    """The newest date is asked for while nothing is known, and not after."""
    world = Simulation(WATCH)
    asked: list[bool] = []

    def look(dates):
        asked.append(dates)
        return Simulation.look(world, dates)

    world.world = world.world._replace(read=look)
    world.run(13.0)

    assert asked == [True, False, False, False]


def test_a_poll_on_demand_is_a_new_chance():
    """A HUP looks now, and forgets the backoff, the breaker and the last reason."""
    state = State(
        next_reading=900.0, attempt=Attempt(again=800.0, tries=4), deaths=3,
        deadly='default', hold='no target',
    )

    state = step.poll_now(state, 500.0)

    assert (state.next_reading, state.attempt.again) == (500.0, 500.0)
    assert state.attempt.tries == 4
    assert (state.deaths, state.deadly, state.hold) == (0, '', '')


def test_a_poll_on_demand_does_not_put_off_an_attempt():
    """What may be tried already may be tried still."""
    state = step.poll_now(State(attempt=Attempt(again=400.0)), 500.0)

    assert state.attempt.again == 400.0


def test_a_hold_is_said_again_to_who_asks():
    """After a HUP the reason why nobody is told is logged once more."""
    world = world_of()
    world.end_all()
    world.put('B')
    world.run(20.0)

    world.ask()
    world.run(20.0)

    assert said(world, 'held') == ['no app', 'no app']


@pytest.mark.parametrize(('files', 'words'), [
    ({'a': blob('A')}, '1 file in /d'),
    ({'a': blob('A'), 'b': blob('B')}, '2 files in /d'),
    ({}, '0 files in /d'),
])
def test_a_baseline_counts_the_files(files, words):
    """The baseline says how much there is, and never what is in it."""
    world = Simulation(WATCH._replace(paths=('/d',)))
    sight = Reading('directory', files, {})
    world.world = world.world._replace(read=lambda dates: Snapshot((sight,)))

    world.run(1.0)

    assert said(world, 'baseline') == [words]


def test_a_baseline_leaves_out_what_cannot_be_read():
    """A path that is not readable yet counts for nothing."""
    world = Simulation(WATCH._replace(paths=('/c', '/x')))
    readings = (
        Reading('file', {'': blob('A')}, {}),
        Reading('', {}, {'': 'gone'}),
    )
    world.world = world.world._replace(read=lambda dates: Snapshot(readings))

    world.run(1.0)

    assert said(world, 'baseline') == ['1 file in /c /x']
    assert said(world, 'unreadable') == ['/x: gone']


@pytest.mark.parametrize(('changes', 'dated', 'words'), [
    ({'on_start': 'always'}, 900.0, 'will be delivered once (--on-start always)'),
    ({'on_start': 'auto'}, 960.0, 'newer than app (pid 101), so it will be delivered'),
])
def test_a_baseline_says_why_somebody_is_to_be_told(changes, dated, words):
    """What is told though nothing changed has its reason in the log."""
    world = Simulation(WATCH._replace(**changes))
    world.dated = dated

    world.run(1.0)

    assert said(world, 'baseline') == [f'1 file in /c; {words}']


def test_what_is_to_be_told_at_the_start_waits_for_settle():
    """The look that settles a baseline comes after --settle, not after a poll."""
    world = Simulation(WATCH._replace(on_start='always'))

    world.run(1.0)

    assert [sent.at for sent in world.sent] == [1001.0]


def test_many_changes_are_counted():
    """Five files are named, the rest counted; the fields say both."""
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


def test_trouble_names_the_path_and_the_reason():
    """One line when it cannot be read, and one when it can again."""
    world = world_of()
    world.hide()
    world.run(10.0)
    world.put('A')
    world.run(10.0)

    assert said(world, 'unreadable') == ['/c: permission denied']
    assert said(world, 'readable') == ['/c can be read again']


def test_empty_names_the_file_that_became_empty():
    """An unreadable neighbour that comes before it by name is not called empty."""
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

    assert said(world, 'held') == [
        '/d/b became empty; that is believed after 30 s (--empty-grace)',
    ]


def test_an_emptied_file_is_told_after_its_grace():
    """What stays empty for --empty-grace is a content like any other."""
    world = world_of()
    world.put('empty')
    world.run(31.0)
    before = len(world.sent)

    world.run(5.0)

    assert (before, [sent.told for sent in world.sent]) == (0, ['empty'])


def test_a_change_during_a_stage_does_not_clear_the_hold():
    """A content that comes back while a stage is on leaves the reason that was said."""
    world = world_of(validate=('validate',))
    world.refuse_for(validate=9.0)
    world.put('B')
    world.run(3.6)
    assert world.stage() == 'validate'

    world.put('A')
    world.ask()
    world.run(0.1)

    assert (world.stage(), world.state.version.state) == ('', 'current')


def test_a_stall_is_said_with_its_length():
    """Each line on a look that hangs says for how long, and so does its end."""
    world = world_of()
    world.hang(70.0)

    world.run(80.0)

    assert [text.split(';')[0] for text in said(world, 'stalled')] == [
        'reading /c has not ended for 5 s', 'reading /c has not ended for 65 s',
    ]
    assert said(world, 'readable') == ['a poll ended after 68 s']


def test_a_hang_of_a_moment_is_not_said():
    """A look of less than 5 s is not worth a line."""
    world = world_of()
    world.hang(6.0)

    world.run(20.0)

    assert said(world, 'stalled', 'readable') == []


def test_a_hang_during_a_stage_is_not_said_sooner():
    """That something else is due does not make a look that goes on a stall."""
    world = world_of(survive=6.0)
    world.put('B')
    world.run(7.0)
    world.hang(4.0)  # over the poll at 1027.5 and the end of --survive at 1029.5

    world.run(20.0)

    assert said(world, 'stalled') == []


def test_a_hang_that_read_nothing_is_not_readable():
    """A look that hung and then read nothing is not said to have ended well."""
    world = world_of()
    world.hide()
    world.hang(60.0)

    world.run(80.0)

    assert said(world, 'readable') == []
    assert said(world, 'unreadable') == ['/c: permission denied']


@pytest.mark.parametrize('reason', ['pidfile', 'proc'])
def test_who_started_meanwhile_and_cannot_be_seen_is_told(reason):
    """A content is back and it is not known who runs: in doubt tell."""
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

    assert [sent.told for sent in world.sent] == ['A']


def test_what_nobody_started_in_is_forgotten():
    """B was seen and nobody started meanwhile: nobody is told that A is back."""
    world = world_of()
    world.put('B')
    world.run(2.6)
    world.put('A')

    world.run(60.0)

    assert world.sent == ()
    assert world.state.version.left == 0.0
    assert said(world, 'changed') == []


def test_who_started_meanwhile_is_named():
    """The line says why somebody is told of a content that was done."""
    world = world_of()
    world.put('B')
    world.run(2.6)
    world.restart()
    world.put('A')

    world.run(60.0)

    assert said(world, 'changed') == [
        '/c is as before, but app (pid 102) started since and may have read '
        'something else',
    ]
    assert [sent.pid for sent in world.sent] == [102]


def test_the_ledger_is_written_when_something_changed():
    """What is known is saved once, and not at each poll."""
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


def test_a_blank_memory_is_not_written():
    """A ledger is not replaced by nothing while nothing could be read."""
    world = Simulation(WATCH)
    world.hide()

    world.run(60.0)

    assert world.ledger is None


def test_what_could_not_be_written_is_written_later():
    """A ledger that cannot be written now is tried at the next step."""
    world = Simulation(WATCH)
    answers = iter([False, False, True])
    world.world = world.world._replace(save=lambda state: next(answers))

    world.run(20.0)

    assert next(answers, None) is None


def test_trouble_is_kept_for_the_verdict():
    """The memory says which paths are unreadable, for the exit status of a check."""
    world = world_of()
    world.hide()

    world.run(10.0)

    assert world.state.version.troubles == {
        0: Trouble('permission denied', 1022.5, True, True),
    }


def test_a_reason_is_said_again_when_the_content_comes_again():
    """B held, A again, B held again: two lines, for the first hold was over."""
    world = world_of()
    world.end_all()
    world.put('B')
    world.run(20.0)
    world.put('A')
    world.run(20.0)

    world.put('B')
    world.run(20.0)

    assert said(world, 'held') == ['no app', 'no app']


def test_a_poll_is_said_with_what_it_saw_and_how_long_it_took():
    """The event of a poll, which is for -vv alone, has its length and its sight."""
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


def test_what_the_content_waits_for_is_awaited():
    """A check waits for what settles, and for nothing once all is done."""
    world = world_of()
    before = step.awaited(world.state)
    world.put('B')
    world.run(3.0)
    settling = step.awaited(world.state)
    world.run(1.5)  # which is when it is delivered
    assert world.resting()

    assert (before, settling, step.awaited(world.state)) == ('', 'settle', '')


@pytest.mark.parametrize(('key', 'now', 'lines'), [
    pytest.param('no target', 3699.9, 0, id='within the hour'),
    pytest.param('no target', 3700.0, 1, id='an hour later'),
    pytest.param('pidfile', 100.1, 1, id='another reason'),
])
def test_a_hold_is_said_once_an_hour(key, now, lines):
    """The same reason is one line an hour; another reason is another line."""
    world = Simulation(WATCH, targets=0)
    world.now = now

    hold(State(hold='no target', held_at=100.0), world.world, key, 'no target', 'x')

    assert said(world, 'held') == ['x'] * lines


@pytest.mark.parametrize(('age', 'expected'), [
    pytest.param(60.0, ['A'], id='older than the content'),
    pytest.param(30.0, [], id='younger than the content'),
])
def test_who_is_seen_late_is_told_of_what_is_newer(age, expected):
    """Nobody was there at the baseline; the first to be seen later is compared."""
    world = Simulation(WATCH, targets=0)
    world.dated = world.now
    world.run(40.0)

    world.start()
    world.alter_root(started=int((world.now - age) * 100))
    world.run(10.0)

    assert [sent.told for sent in world.sent] == expected
    assert world.resting()


def test_who_is_seen_late_is_told_by_the_next_run_too():
    """That nobody was there at the baseline is in the ledger."""
    world = Simulation(WATCH, targets=0)
    world.dated = world.now
    world.run(40.0)
    world.crash(keep=True)
    world.run(10.0)

    world.start()
    world.alter_root(started=95_000)
    world.run(10.0)

    assert [sent.told for sent in world.sent] == ['A']


def test_a_content_that_was_told_ends_the_question():
    """No process at the baseline, then B is up to date: A's date means nothing more.

    A process that takes over later and is older than B is notified of B (rule 13).
    """
    world = Simulation(WATCH, targets=0)
    world.dated = world.now
    world.run(10.0)
    world.put('B')
    world.run(20.0)
    world.start()
    world.run(20.0)
    assert world.resting()

    world.end_all()
    world.start()
    world.alter_root(started=95_000)
    world.run(20.0)

    assert [it.told for it in world.sent] == ['B']


def test_only_the_first_to_be_seen_is_compared():
    """Who comes later, or after a content that was told, has read what is there."""
    world = Simulation(WATCH, targets=0)
    world.dated = world.now
    world.run(40.0)
    world.start()
    world.run(10.0)

    world.restart()
    world.alter_root(started=95_000)
    world.run(10.0)

    assert world.sent == ()


def test_what_was_held_is_no_more_where_there_is_nothing_to_tell():
    """But for what is under way, which sees to it itself."""
    held = State(hold='no target', attempt=Attempt('x'))

    assert observation.cleared(held) == State()
    assert observation.cleared(held._replace(stage=Surviving(9.0))).hold == 'no target'
    assert observation.cleared(State()) == State()


@pytest.mark.parametrize(('layout', 'says'), [
    ('file', '/c has not settled for 60 s, and is not delivered until it has'),
    ('directory', '/c/f has not settled for 60 s, and is not delivered until it has; '
                  'leave out what is no configuration (--ignore)'),
])
def test_what_keeps_changing_is_named(layout, says):
    """The file, not its neighbours that rest, so that a person can leave it out."""
    world = Simulation(WATCH, layout=layout)
    world.run(20.0)
    world.put('torn', restless=True)
    world.run(100.0)

    lines = [it for it in world.events if it.event == 'held']
    assert [it.message for it in lines] == [says]
    assert lines[0].fields['files'] == [says.split()[0]]
    world.put('B')
    world.run(20.0)
    assert world.state.changing == ()
