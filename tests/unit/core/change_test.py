"""What a look says, and what follows from it."""
from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollreload.core import change
from pollreload.core.change import Decision, Memory, observe
from pollreload.core.reading import (
    EMPTY,
    Known,
    Reading,
    Snapshot,
    differences,
    is_absent,
    unreadable_members,
    whole_trouble,
)
from tests.support.simulation import blob, fingerprint

A, B, C = blob('A'), blob('B'), blob('C')


def file(digest: bytes) -> Reading:
    """Return the sight of a path that is a file."""
    return Reading('file', {'': digest}, {})


def directory(
        files: Mapping[str, bytes], unreadable: Mapping[str, str] = {},
) -> Reading:
    """Return the sight of a path that is a directory."""
    return Reading('directory', files, unreadable)


def glob(files: Mapping[str, bytes]) -> Reading:
    """Return the sight of a path that is a glob."""
    return Reading('glob', files, {})


def missing(reason: str = 'permission denied') -> Reading:
    """Return the sight of a path that cannot be read."""
    return Reading('', {}, {'': reason})


def look(
        memory: Memory, now: float, *readings: Reading, settle: float = 1.0,
        grace: float = 30.0,
) -> tuple[Memory, Decision]:
    """Return what follows from a look that takes no time."""
    return observe(memory, Snapshot(readings), now, now, settle, grace, fingerprint)


def after(*looks: tuple[float, Reading]) -> Memory:
    """Return the memory after looks at one path."""
    memory = Memory()
    for now, sight in looks:
        memory, _ = look(memory, now, sight)
    return memory


def test_every_state_has_an_answer_to_all_that_a_poll_can_see():
    """No poll ends in a KeyError, whatever state it finds."""
    sights = {saw for _, saw in change.TABLE}
    states = {state for state, _ in change.TABLE.values()}

    assert states == set(MEMORIES)
    assert set(change.TABLE) == set(itertools.product(states, sights))


# A memory in each state; B is what was seen last, A what is delivered.
KNOWN = (Known('file', {'': A}),)
MEMORIES = {
    'blank': Memory(),
    'current': Memory(
        'current', KNOWN, '=A', '=A', 5.0, '=A', read_at=8.0, ended_at=8.0,
    ),
    'settling': Memory(
        'settling', KNOWN, '=A', '=B', 9.5, '=A', left=8.0, restless=9.5,
        read_at=9.5, ended_at=9.5,
    ),
    'due': Memory(
        'due', (Known('file', {'': B}),), '=B', '=B', 5.0, '=A', left=4.0,
        read_at=9.5, ended_at=9.5,
    ),
}


def test_a_member_unreadable_at_the_first_look_is_doubtful():
    """In the blank state a doubtful look waits 0.25 s for a fresh file's mode."""
    sight = directory({'a': A}, {'b': 'permission denied'})

    memory, first = look(Memory(), 10.0, sight)
    waiting = memory.waiting
    memory, second = look(memory, 10.25, sight)

    assert (first.action, first.again, waiting) == ('wait', 10.25, 'recheck')
    assert (second.action, memory.delivered) == ('baseline', 'a=A,b=unreadable')


def test_a_blank_memory_that_has_seen_it_takes_a_baseline():
    """What was seen before the baseline, whatever that was, is the baseline."""
    memory, decision = look(Memory(seen='=A', seen_at=3.0), 10.0, file(A))

    assert decision.action == 'baseline'
    assert (memory.delivered, memory.seen_at) == ('=A', 3.0)


def test_what_was_seen_before_done_was_void_begins_again():
    """Seen in state done and not done itself: it is to settle, from where it was."""
    memory = MEMORIES['current']._replace(seen='=B', seen_at=9.5)

    memory, decision = look(memory, 10.0, file(B))

    assert (decision.action, decision.again) == ('settle', 10.5)
    assert (memory.state, memory.seen_at) == ('settling', 9.5)


def test_a_change_is_due_at_the_second_look_after_settle():
    """First sight settles, the look after --settle is due and names what changed."""
    memory = after((10.0, file(A)))

    memory, first = look(memory, 15.0, file(B))
    settling = memory
    memory, second = look(memory, 16.0, file(B))

    assert (settling.state, settling.waiting) == ('settling', 'settle')
    assert first.again == 16.0
    assert (second.again, second.changed, memory.state) == (0.0, ((0, ''),), 'due')


def test_looks_less_than_settle_apart_do_not_settle():
    """Two looks in a row are not enough, they have to be --settle apart."""
    memory = after((10.0, file(A)), (15.0, file(B)))

    memory, decision = look(memory, 15.9, file(B))

    assert (memory.state, decision.again) == ('settling', 16.0)


def test_settle_counts_from_the_end_of_a_look_to_the_beginning_of_another():
    """A look of 10 s is no proof of 10 s of rest: --settle passes between two."""
    memory, _ = observe(
        after((10.0, file(A))), Snapshot((file(B),)), 15.0, 25.0, 1.0, 30.0,
        fingerprint,
    )

    memory, decision = observe(
        memory, Snapshot((file(B),)), 25.5, 40.0, 1.0, 30.0, fingerprint,
    )

    assert (memory.state, decision.again) == ('settling', 26.0)


def test_each_content_that_is_due_in_a_row_is_said_to_have_changed():
    """With --settle 0 nothing is between one and the next; the same is said once."""
    memory = after((10.0, file(A)))
    said = []
    for now, digest in ((15.0, B), (20.0, C), (25.0, C)):
        memory, decision = look(memory, now, file(digest), settle=0.0)
        said.append(decision.changed)

    assert said == [((0, ''),), ((0, ''),), ()]


def test_settled_is_in_a_row():
    """B, C, B: the second B starts anew."""
    memory = after((10.0, file(A)), (15.0, file(B)), (15.5, file(C)), (16.2, file(B)))

    assert (memory.state, memory.seen_at) == ('settling', 16.2)


def test_an_unreadable_look_breaks_the_row():
    """B, nothing, B: the second B starts anew, and nothing was forgotten."""
    memory = after((10.0, file(A)), (15.0, file(B)), (15.5, missing()))
    assert (memory.state, memory.seen, memory.known) == ('settling', '', KNOWN)
    assert memory.restless == 0.0

    memory, decision = look(memory, 16.2, file(B))

    assert (decision.action, memory.seen_at) == ('settle', 16.2)


def test_settle_0_acts_on_first_sight():
    """Without --settle one look is enough, even a slow one."""
    memory, decision = observe(
        after((10.0, file(A))), Snapshot((file(B),)), 15.0, 18.0, 0.0, 30.0,
        fingerprint,
    )

    assert (memory.state, decision.changed) == ('due', ((0, ''),))


def test_a_due_content_is_reported_once():
    """What changed is named when it falls due, not at each look after."""
    memory = after((10.0, file(A)), (15.0, file(B)), (16.0, file(B)))

    memory, decision = look(memory, 20.0, file(B))

    assert (memory.state, decision.changed) == ('due', ())


def test_no_digest_is_made_of_what_is_as_it_was():
    """A look that sees what is known makes no fingerprint, which costs."""
    memory = after((10.0, file(A)))

    memory, decision = observe(
        memory, Snapshot((file(A),)), 15.0, 15.0, 1.0, 30.0,
        lambda files: pytest.fail('a digest was made'),
    )

    assert decision.action == 'none'


def test_what_came_went_and_changed_is_told_apart_by_path():
    """Differences name each file by the position of its path."""
    before = (Known('directory', {'a': A, 'b': B}), None)
    behind = (
        Known('directory', {'b': C, 'c': C}), Known('file', {'': A}),
        Known('file', {'': A}), None,
    )

    assert differences(before, behind) == (
        (0, 'a'), (0, 'b'), (0, 'c'), (1, ''), (2, ''),
    )


def test_what_became_empty_is_distrusted():
    """A file that became empty is due after --empty-grace, not after --settle."""
    memory = after((10.0, file(A)))

    memory, first = look(memory, 15.0, file(EMPTY))
    waiting = memory.waiting
    memory, second = look(memory, 44.9, file(EMPTY))
    memory, third = look(memory, 45.0, file(EMPTY))

    assert (first.action, first.again, waiting) == ('doubt', 45.0, 'doubt')
    assert (second.action, third.action, memory.state) == ('doubt', 'report', 'due')


@pytest.mark.parametrize(('was', 'grace'), [
    pytest.param({}, 30.0, id='new and empty'),
    pytest.param({'f': EMPTY}, 30.0, id='always empty'),
    pytest.param({'f': A}, 0.0, id='no grace'),
])
def test_what_did_not_become_empty_is_believed(was, grace):
    """A new file may be empty, and --empty-grace 0 believes all."""
    memory = after((10.0, directory({**was, 'n': A})))

    memory, decision = look(memory, 15.0, directory({'f': EMPTY, 'n': B}), grace=grace)

    assert (decision.action, memory.doubts) == ('settle', {})


def test_the_grace_is_each_files_own():
    """Two files became empty one after the other: the last of them decides."""
    memory = after((10.0, directory({'a': A, 'b': B})))

    memory, _ = look(memory, 15.0, directory({'a': EMPTY, 'b': B}))
    memory, decision = look(memory, 25.0, directory({'a': EMPTY, 'b': EMPTY}))

    assert decision.again == 55.0
    assert memory.doubts == {(0, 'a'): (15.0, EMPTY), (0, 'b'): (25.0, EMPTY)}


def test_another_doubt_starts_anew():
    """Unreadable for 29 s and then empty: empty is doubted for its own grace."""
    memory = after((10.0, directory({'f': A})))
    memory, _ = look(memory, 15.0, directory({}, {'f': 'permission denied'}))

    memory, decision = look(memory, 44.0, directory({'f': EMPTY}))

    assert (decision.action, memory.doubts) == ('doubt', {(0, 'f'): (44.0, EMPTY)})


def test_a_doubt_ends_when_the_content_is_back():
    """Empty for a moment, then as before: at rest, with no doubt left."""
    memory = after((10.0, file(A)), (15.0, file(EMPTY)))

    memory, decision = look(memory, 16.0, file(A))

    assert (decision.action, memory.doubts, memory.state) == ('return', {}, 'current')


def test_a_member_stops_blocking_after_30_s():
    """An unreadable member is doubted for 30 s, then it is part of what is seen."""
    sight = directory({'n': A}, {'f': 'permission denied'})
    memory = after((10.0, directory({'f': A, 'n': A})))

    memory, first = look(memory, 15.0, sight)
    memory, second = look(memory, 44.9, sight)
    memory, third = look(memory, 45.0, sight)

    assert (first.action, second.action, third.action) == ('doubt', 'doubt', 'report')
    assert memory.known_print == 'f=unreadable,n=A'


def test_a_member_that_is_known_as_unreadable_blocks_nobody():
    """What has been in the fingerprint as unreadable is in doubt no more."""
    memory, _ = look(Memory(), 10.0, directory({'n': A}, {'f': 'stale'}))
    memory, _ = look(memory, 10.25, directory({'n': A}, {'f': 'stale'}))

    memory, decision = look(memory, 15.0, directory({'n': B}, {'f': 'stale'}))

    assert (decision.action, decision.again) == ('settle', 16.0)


def test_a_neighbour_of_an_unreadable_file_is_told():
    """A path that cannot be read does not keep another from being told."""
    memory, _ = look(Memory(), 10.0, file(A), file(A))

    memory, _ = look(memory, 15.0, missing(), file(B))
    memory, decision = look(memory, 16.0, missing(), file(B))

    assert (memory.state, decision.changed) == ('due', ((1, ''),))
    assert memory.known_print == '=A;=B'


def test_a_path_that_is_gone_is_no_change():
    """The path as a whole is kept as it was known."""
    memory = after((10.0, file(A)))

    memory, decision = look(memory, 15.0, missing('is not there'))

    assert (decision.action, memory.delivered, memory.known) == ('keep', '=A', KNOWN)


@pytest.mark.parametrize('sight', [directory, glob])
def test_a_member_that_is_gone_is_a_change(sight):
    """A file that went away in a directory or a glob differs."""
    memory = after((10.0, sight({'a': A, 'b': B})))

    memory, decision = look(memory, 15.0, sight({'a': A}), settle=0.0)

    assert (memory.state, decision.changed) == ('due', ((0, 'b'),))


def test_every_member_that_is_gone_is_a_change():
    """A glob that matched, and matches nothing now, differs."""
    memory = after((10.0, glob({'a': A})))

    memory, _ = look(memory, 15.0, glob({}), settle=0.0, grace=0.0)

    assert memory.state == 'due'


@pytest.mark.parametrize('reading', [directory, glob])
def test_directory_that_loses_everything_is_due_after_empty_grace(reading):
    """Rule 5: it is distrusted exactly as a file that becomes empty."""
    memory = after((10.0, reading({'a': A, 'b': B})))

    memory, first = look(memory, 15.0, reading({}))
    doubtful, _ = look(memory, 44.9, reading({}))
    waiting = memory.waiting
    memory, third = look(doubtful, 45.0, reading({}))

    assert (waiting, first.again, doubtful.waiting) == ('doubt', 45.0, 'doubt')
    assert (memory.state, third.changed) == ('due', ((0, 'a'), (0, 'b')))


def test_directory_that_is_back_after_losing_everything_is_unchanged():
    """Rule 5: an unmounted file system that is mounted again is no change."""
    memory = after((10.0, directory({'a': A})), (15.0, directory({})))

    memory, decision = look(memory, 20.0, directory({'a': A}))

    assert (decision.action, memory.state, memory.doubts) == ('return', 'current', {})


def test_path_whose_kind_changes_and_changes_back_is_watched_on():
    """A directory that was a file for a moment has no trouble afterwards."""
    memory = after(
        (10.0, directory({'a': A})), (15.0, file(B)), (16.0, file(B)),
        (20.0, directory({'a': A})),
    )
    assert memory.troubles == {}

    memory, decision = look(memory, 25.0, directory({'a': C}), settle=0.0)

    assert (memory.state, decision.changed) == ('due', ((0, 'a'),))


@pytest.mark.parametrize(('reading', 'answer'), [
    (missing('no such file'), True), (missing('not a directory'), True),
    (missing('permission denied'), False), (directory({}), True), (glob({}), True),
    (file(A), False), (directory({}, {'a': 'permission denied'}), False),
])
def test_absent_is_a_path_without_any_file(reading, answer):
    """Rule 10: what cannot be read is not taken for absent."""
    assert is_absent(reading) is answer


@pytest.mark.parametrize(('sight', 'known', 'reason'), [
    pytest.param(missing('gone'), None, 'gone', id='whole'),
    pytest.param(Reading('', {}, {}), None, 'cannot be read', id='without a reason'),
    pytest.param(
        directory({}, {'': 'stale'}), None, 'stale', id='directory as a whole',
    ),
    pytest.param(
        directory({}), Known('file', {'': A}),
        'is an empty directory now, and was a file', id='empty directory, was a file',
    ),
    pytest.param(
        glob({}), Known('file', {'': A}), 'no such file',
        id='glob without a match, was a file of that name',
    ),
    pytest.param(
        directory({'a': A}), Known('file', {'': A}), '', id='directory, was a file',
    ),
    pytest.param(
        glob({'a1': A}), Known('file', {'': A}), '', id='glob, was a file',
    ),
    pytest.param(glob({}), None, 'matches nothing', id='glob, never matched'),
    pytest.param(glob({}), Known('glob', {'a': A}), '', id='glob, matched before'),
    pytest.param(
        Reading('glob', {}, {'a': 'permission denied'}), None, '',
        id='glob, unreadable',
    ),
    pytest.param(file(A), Known('directory', {'a': A}), '', id='file was directory'),
    pytest.param(Reading('file', {}, {'': 'x'}), None, '', id='a file of its own kind'),
    pytest.param(directory({}), None, '', id='empty directory'),
])
def test_what_counts_as_unreadable(sight, known, reason):
    """A path is unreadable as a whole only where nothing can be said of it."""
    assert whole_trouble(sight, known) == reason


@pytest.mark.parametrize(('unreadable', 'words'), [
    ({}, ''),
    ({'b': 'stale'}, 'b: stale'),
    ({'b': 'stale', 'a': 'gone', 'c': 'x'}, 'a: gone (and 2 more)'),
])
def test_unreadable_members_are_summed_up(unreadable, words):
    """The first by name speaks for all."""
    assert unreadable_members(directory({}, unreadable)) == words


def test_trouble_is_believed_at_the_second_look():
    """The first look asks for another 0.25 s later, which reports it once."""
    memory = after((10.0, file(A)))

    memory, first = look(memory, 15.0, missing())
    recheck = memory.waiting
    memory, second = look(memory, 15.25, missing())
    memory, third = look(memory, 20.0, missing())

    assert (first.failing, first.again, recheck) == ((), 15.25, 'recheck')
    assert (second.failing, second.again, memory.waiting) == ((0,), 0.0, '')
    assert third.failing == ()
    assert memory.troubles[0].reported


def test_trouble_that_ended_unreported_is_not_mended():
    """Nobody heard of it, so nobody hears of its end."""
    memory = after((10.0, file(A)), (15.0, missing()))

    memory, decision = look(memory, 15.25, file(A))

    assert (decision.recovered, memory.troubles) == ((), {})


def test_reported_trouble_is_mended_once():
    """What was reported is reported as readable when it is."""
    memory = after((10.0, file(A)), (15.0, missing()), (15.25, missing()))

    memory, first = look(memory, 20.0, file(A))
    memory, second = look(memory, 25.0, file(A))

    assert (first.recovered, second.recovered) == ((0,), ())


def test_trouble_with_another_reason_is_reported_again():
    """Each transition from one reason to another is a line."""
    memory = after((10.0, file(A)), (15.0, missing()), (15.25, missing()))

    memory, decision = look(memory, 20.0, missing('is not there'))

    assert decision.failing == (0,)


def test_the_next_look_is_the_first_that_is_wanted():
    """A recheck comes before the end of a long --settle, and the other way round."""
    memory, _ = look(Memory(), 10.0, file(A), file(A))

    _, long = look(memory, 15.0, file(B), missing(), settle=9.0)
    _, short = look(memory, 15.0, file(B), missing(), settle=0.1)

    assert (long.again, short.again) == (15.25, 15.1)


@pytest.mark.parametrize(('memory', 'now', 'answer'), [
    pytest.param(Memory('settling', restless=1.0, seen_at=61.0, ended_at=61.0), 61.0,
                 True, id='a new one after a minute of it'),
    pytest.param(Memory('settling', restless=1.0, seen_at=60.9, ended_at=60.9), 60.9,
                 False, id='less than a minute'),
    pytest.param(Memory('settling', restless=1.0, seen_at=50.0, ended_at=61.0), 61.0,
                 False, id='the same as before'),
    pytest.param(Memory('settling', restless=0.0, seen_at=61.0, ended_at=61.0), 61.0,
                 False, id='not since anything'),
    pytest.param(Memory('due', restless=1.0, seen_at=61.0, ended_at=61.0), 61.0,
                 False, id='due'),
])
def test_restless(memory, now, answer):
    """Only one new content after another, for a minute, is worth a line."""
    assert change.keeps_changing(memory, now) is answer


def test_told_advances_the_memory_to_what_is_there():
    """All targets have what was seen last: it is done."""
    memory = change.advance(MEMORIES['due'], '=B', 7.0)

    assert (memory.state, memory.delivered) == ('current', '=B')


def test_told_of_what_is_not_there_any_more():
    """All targets have B while C is on its way: B is done, C stays on its way."""
    memory = change.advance(MEMORIES['settling']._replace(seen='=C'), '=B', 7.0)

    assert (memory.state, memory.delivered, memory.seen) == ('settling', '=B', '=C')
    assert memory.left == 7.0


def test_void_forgets_what_is_done_and_nothing_else():
    """Before a signal nothing counts as done."""
    assert change.void(MEMORIES['due']) == MEMORIES['due']._replace(delivered='')


def test_tell_first_makes_a_baseline_due():
    """After tell_first what is there is told once it has settled."""
    memory = change.redeliver(after((10.0, file(A))))

    memory, decision = look(memory, 11.0, file(A))

    assert (decision.action, memory.state, decision.changed) == ('report', 'due', ())


def test_what_was_left_is_remembered_until_it_is_back():
    """The last look that saw what is done is kept while something else is there."""
    memory = after((10.0, file(A)), (15.0, file(B)), (16.0, file(B)), (20.0, missing()))
    assert memory.left == 10.0

    memory, decision = look(memory, 25.0, file(A))

    assert (decision.action, memory.left) == ('return', 10.0)


LOOKS = st.lists(st.tuples(
    st.sampled_from((file(A), file(B), file(EMPTY), missing())),
    st.sampled_from((0.1, 0.25, 1.0, 5.0, 40.0)),
))


@given(LOOKS)
def test_due_is_what_was_seen_twice_in_a_row(looks):
    """In any history of looks, what falls due was seen by two looks --settle apart."""
    memory, now, seen = Memory(), 100.0, [('', 0.0)]
    for sight, pause in looks:
        now += pause
        found = fingerprint([sight.files]) if sight.kind else ''
        if found != seen[-1][0]:
            seen.append((found, now))
        before = memory.state
        memory, _ = look(memory, now, sight)

        if memory.state == 'due' and before != 'due':
            assert memory.seen == found
            assert now - seen[-1][1] >= 1.0
            assert memory.seen != memory.delivered
