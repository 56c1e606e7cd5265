"""The version: what a poll read, and what follows from it."""
from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollreload.core import change
from pollreload.core.change import Decision, Memory, observe
from pollreload.core.reading import (
    EMPTY,
    FIFO,
    MISSING,
    NO_CONTENT,
    NOT_A_DIRECTORY,
    UNREADABLE,
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
    """Return the reading of a path that is a file."""
    return Reading('file', {'': digest}, {})


def directory(
        files: Mapping[str, bytes], unreadable: Mapping[str, str] = {},
) -> Reading:
    """Return the reading of a path that is a directory."""
    return Reading('directory', files, unreadable)


def glob(files: Mapping[str, bytes]) -> Reading:
    """Return the reading of a path that is a glob."""
    return Reading('glob', files, {})


def missing(reason: str = 'permission denied') -> Reading:
    """Return the reading of a path that cannot be read."""
    return Reading('', {}, {'': reason})


def poll(
        memory: Memory, now: float, *readings: Reading, settle: float = 1.0,
        grace: float = 30.0,
) -> tuple[Memory, Decision]:
    """Return the memory and the decision after a poll that takes no time."""
    return observe(memory, Snapshot(readings), now, now, settle, grace, fingerprint)


def after(*polls: tuple[float, Reading]) -> Memory:
    """Return the memory after polls of one path."""
    memory = Memory()
    for now, reading in polls:
        memory, _ = poll(memory, now, reading)
    return memory


def test_table_has_an_entry_for_each_state_and_observation():
    """No poll ends in a KeyError."""
    observations = {saw for _, saw in change.TABLE}
    states = {state for state, _ in change.TABLE.values()}

    assert states == set(MEMORIES)
    assert set(change.TABLE) == set(itertools.product(states, observations))


# A memory in each state; B was seen last, A is delivered.
KNOWN = (Known('file', {'': A}),)
MEMORIES = {
    'blank': Memory(),
    'current': Memory(
        'current', KNOWN, '=A', '=A', 5.0, '=A', read_at=8.0, ended_at=8.0,
    ),
    'settling': Memory(
        'settling', KNOWN, '=A', '=B', 9.5, '=A', left=8.0, changing_since=9.5,
        read_at=9.5, ended_at=9.5,
    ),
    'due': Memory(
        'due', (Known('file', {'': B}),), '=B', '=B', 5.0, '=A', left=4.0,
        read_at=9.5, ended_at=9.5,
    ),
}


def test_member_that_is_unreadable_at_the_first_poll_is_read_again():
    """A baseline with an unreadable member waits 0.25 s: its mode may be set late."""
    reading = directory({'a': A}, {'b': 'permission denied'})

    memory, first = poll(Memory(), 10.0, reading)
    waiting = memory.waiting
    memory, second = poll(memory, 10.25, reading)

    assert (first.action, first.again, waiting) == ('wait', 10.25, 'recheck')
    assert (second.action, memory.delivered) == ('baseline', 'a=A,b=unreadable')


def test_blank_memory_takes_the_first_readable_version_as_baseline():
    """Even if a version was seen before."""
    memory, decision = poll(Memory(seen='=A', seen_at=3.0), 10.0, file(A))

    assert decision.action == 'baseline'
    assert (memory.delivered, memory.seen_at) == ('=A', 3.0)


def test_version_that_was_seen_but_not_delivered_settles_again():
    """It settles from when it was first seen."""
    memory = MEMORIES['current']._replace(seen='=B', seen_at=9.5)

    memory, decision = poll(memory, 10.0, file(B))

    assert (decision.action, decision.again) == ('settle', 10.5)
    assert (memory.state, memory.seen_at) == ('settling', 9.5)


def test_change_is_due_at_the_poll_after_settle():
    """The first poll that sees it starts --settle; the poll after that reports it."""
    memory = after((10.0, file(A)))

    memory, first = poll(memory, 15.0, file(B))
    settling = memory
    memory, second = poll(memory, 16.0, file(B))

    assert (settling.state, settling.waiting) == ('settling', 'settle')
    assert first.again == 16.0
    assert (second.again, second.changed, memory.state) == (0.0, ((0, ''),), 'due')


def test_polls_less_than_settle_apart_do_not_settle():
    """Two polls in a row are not enough; they have to be --settle apart."""
    memory = after((10.0, file(A)), (15.0, file(B)))

    memory, decision = poll(memory, 15.9, file(B))

    assert (memory.state, decision.again) == ('settling', 16.0)


def test_settle_counts_from_the_end_of_a_poll_to_the_start_of_the_next():
    """A poll of 10 s does not prove 10 s without a change."""
    memory, _ = observe(
        after((10.0, file(A))), Snapshot((file(B),)), 15.0, 25.0, 1.0, 30.0,
        fingerprint,
    )

    memory, decision = observe(
        memory, Snapshot((file(B),)), 25.5, 40.0, 1.0, 30.0, fingerprint,
    )

    assert (memory.state, decision.again) == ('settling', 26.0)


def test_each_version_that_becomes_due_is_reported_once():
    """With --settle 0 one due version can follow another directly."""
    memory = after((10.0, file(A)))
    reported = []
    for now, digest in ((15.0, B), (20.0, C), (25.0, C)):
        memory, decision = poll(memory, now, file(digest), settle=0.0)
        reported.append(decision.changed)

    assert reported == [((0, ''),), ((0, ''),), ()]


def test_settle_starts_again_if_another_version_was_seen():
    """B, C, B: the second B settles from when it was seen again."""
    memory = after((10.0, file(A)), (15.0, file(B)), (15.5, file(C)), (16.2, file(B)))

    assert (memory.state, memory.seen_at) == ('settling', 16.2)


def test_settle_starts_again_after_an_unreadable_poll():
    """B, unreadable, B: the second B settles again, and nothing is forgotten."""
    memory = after((10.0, file(A)), (15.0, file(B)), (15.5, missing()))
    assert (memory.state, memory.seen, memory.known) == ('settling', '', KNOWN)
    assert memory.changing_since == 0.0

    memory, decision = poll(memory, 16.2, file(B))

    assert (decision.action, memory.seen_at) == ('settle', 16.2)


def test_version_is_due_at_once_with_settle_0():
    """One poll is enough, even a slow one."""
    memory, decision = observe(
        after((10.0, file(A))), Snapshot((file(B),)), 15.0, 18.0, 0.0, 30.0,
        fingerprint,
    )

    assert (memory.state, decision.changed) == ('due', ((0, ''),))


def test_changed_files_are_reported_once():
    """When the version becomes due, and not at each poll after that."""
    memory = after((10.0, file(A)), (15.0, file(B)), (16.0, file(B)))

    memory, decision = poll(memory, 20.0, file(B))

    assert (memory.state, decision.changed) == ('due', ())


def test_no_fingerprint_is_computed_if_nothing_changed():
    """It would cost time at every idle poll."""
    memory = after((10.0, file(A)))

    memory, decision = observe(
        memory, Snapshot((file(A),)), 15.0, 15.0, 1.0, 30.0,
        lambda files: pytest.fail('a fingerprint was computed'),
    )

    assert decision.action == 'none'


def test_differences_name_files_by_the_position_of_their_path():
    """Files that were created, deleted or changed, below each of the paths."""
    before = (Known('directory', {'a': A, 'b': B}), None)
    behind = (
        Known('directory', {'b': C, 'c': C}), Known('file', {'': A}),
        Known('file', {'': A}), None,
    )

    assert differences(before, behind) == (
        (0, 'a'), (0, 'b'), (0, 'c'), (1, ''), (2, ''),
    )


def test_file_that_became_empty_is_due_after_empty_grace():
    """And not after --settle."""
    memory = after((10.0, file(A)))

    memory, first = poll(memory, 15.0, file(EMPTY))
    waiting = memory.waiting
    memory, second = poll(memory, 44.9, file(EMPTY))
    memory, third = poll(memory, 45.0, file(EMPTY))

    assert (first.action, first.again, waiting) == ('doubt', 45.0, 'doubt')
    assert (second.action, third.action, memory.state) == ('doubt', 'report', 'due')


@pytest.mark.parametrize(('was', 'grace'), [
    pytest.param({}, 30.0, id='new and empty'),
    pytest.param({'f': EMPTY}, 30.0, id='always empty'),
    pytest.param({'f': A}, 0.0, id='no grace'),
])
def test_empty_file_that_was_not_emptied_needs_no_grace(was, grace):
    """A new file may be empty, and --empty-grace 0 turns the wait off."""
    memory = after((10.0, directory({**was, 'n': A})))

    memory, decision = poll(memory, 15.0, directory({'f': EMPTY, 'n': B}), grace=grace)

    assert (decision.action, memory.doubts) == ('settle', {})


def test_empty_grace_counts_for_each_file():
    """If two files become empty one after the other, the later one decides."""
    memory = after((10.0, directory({'a': A, 'b': B})))

    memory, _ = poll(memory, 15.0, directory({'a': EMPTY, 'b': B}))
    memory, decision = poll(memory, 25.0, directory({'a': EMPTY, 'b': EMPTY}))

    assert decision.again == 55.0
    assert memory.doubts == {(0, 'a'): (15.0, EMPTY), (0, 'b'): (25.0, EMPTY)}


def test_another_doubt_about_a_file_has_its_own_grace():
    """Unreadable for 29 s and then empty: the full --empty-grace follows."""
    memory = after((10.0, directory({'f': A})))
    memory, _ = poll(memory, 15.0, directory({}, {'f': 'permission denied'}))

    memory, decision = poll(memory, 44.0, directory({'f': EMPTY}))

    assert (decision.action, memory.doubts) == ('doubt', {(0, 'f'): (44.0, EMPTY)})


def test_doubt_ends_when_the_version_is_back():
    """Empty for a moment, and then as before: no doubt is left."""
    memory = after((10.0, file(A)), (15.0, file(EMPTY)))

    memory, decision = poll(memory, 16.0, file(A))

    assert (decision.action, memory.doubts, memory.state) == ('return', {}, 'current')


@pytest.mark.parametrize('reason', [MISSING, NOT_A_DIRECTORY])
@pytest.mark.parametrize(('file', 'name'), [('f', 'f'), ('f/x', 'f'), ('f/x', 'f/')])
def test_member_that_is_away_holds_its_directory_for_30_s(file, name, reason):
    """Then it is part of the fingerprint as unreadable, a directory like a file."""
    reading = directory({'n': A}, {name: reason})
    memory = after((10.0, directory({file: A, 'n': A})))

    memory, first = poll(memory, 15.0, reading)
    memory, second = poll(memory, 44.9, reading)
    memory, third = poll(memory, 45.0, reading)

    assert (first.action, second.action, third.action) == ('doubt', 'doubt', 'report')
    assert memory.known_print == f'{name}=unreadable,n=A'


@pytest.mark.parametrize('reason', [
    'permission denied', 'i/o error', 'is larger than --max-file-size 1KiB', FIFO,
])
@pytest.mark.parametrize(('file', 'name'), [('f', 'f'), ('f/x', 'f'), ('f/x', 'f/')])
def test_unreadable_member_is_known_as_it_was(file, name, reason):
    """However long; and so is everything below a directory."""
    memory = after((10.0, directory({file: A, 'fx': A})))

    memory, first = poll(memory, 15.0, directory({'fx': A}, {name: reason}))
    memory, later = poll(memory, 999.0, directory({'fx': A}, {name: reason}))
    memory, back = poll(memory, 1005.0, directory({file: A, 'fx': A}))
    memory, other = poll(memory, 1010.0, directory({file: B, 'fx': A}))

    assert (first.action, later.action, back.action) == ('none', 'none', 'none')
    assert (other.action, memory.delivered) == ('settle', fingerprint([
        {file: A, 'fx': A},
    ]))


def test_change_beside_an_unreadable_member_is_due():
    """0.25 s later than any other: that is how long its trouble may just be short."""
    reading = directory({'n': B}, {'f': 'permission denied'})
    memory = after((10.0, directory({'f': A, 'n': A})))

    memory, first = poll(memory, 15.0, reading)
    memory, second = poll(memory, 16.0, reading)

    assert (first.action, first.again) == ('doubt', 15.25)
    assert (second.action, second.changed) == ('report', ((0, 'n'),))
    assert (memory.known_print, memory.doubts) == (
        'f=A,n=B', {(0, 'f'): (15.0, UNREADABLE)},
    )


def test_directory_that_was_never_read_stays_what_it_is():
    """Whether it is the directory or the way to it that cannot be read."""
    memory, _ = poll(Memory(), 10.0, directory({'n': A}, {'f/': 'stale'}))
    memory, _ = poll(memory, 10.25, directory({'n': A}, {'f/': 'stale'}))

    memory, refused = poll(memory, 15.0, directory({'n': A}, {'f': 'i/o error'}))
    memory, gone = poll(memory, 20.0, directory({'n': A}, {'f': MISSING}))
    memory, read = poll(memory, 25.0, directory({'f/x': A, 'n': A}))

    assert (refused.action, gone.action, read.action) == ('none', 'none', 'settle')
    assert memory.delivered == 'f/=unreadable,n=A'


def test_target_may_have_read_less_while_a_member_is_unreadable():
    """Only if the member was known before."""
    known, _ = poll(
        after((10.0, directory({'f': A, 'n': A}))), 15.0,
        directory({'n': A}, {'f': 'x'}),
    )
    never, _ = poll(
        after((10.0, directory({'n': A}))), 15.0, directory({'n': A}, {'f': 'x'}),
    )

    assert (change.away(known), change.away(never)) == (True, False)


def test_new_member_that_is_unreadable_holds_its_directory_for_a_moment():
    """The targets never had it, and its name may be another at each poll."""
    memory = after((10.0, directory({'n': A})))

    memory, first = poll(memory, 15.0, directory({'n': B}, {'p1': 'stale'}))
    memory, second = poll(memory, 16.0, directory({'n': B}, {'p1': 'stale'}))
    memory, third = poll(memory, 17.0, directory({'n': B}, {'p1': 'stale'}))

    assert (first.action, first.again) == ('doubt', 15.25)
    assert (second.action, third.action) == ('report', 'report')
    assert memory.known_print == 'n=B,p1=unreadable'


@pytest.mark.parametrize('kind', sorted(NO_CONTENT))
def test_member_that_is_no_regular_file_is_no_content(kind):
    """It comes and goes without a change, and holds nothing."""
    memory = after((10.0, directory({'n': A})))

    memory, came = poll(memory, 15.0, directory({'n': A}, {'p1': kind}))
    memory, other = poll(memory, 16.0, directory({'n': A}, {'p2': kind}))
    memory, beside = poll(memory, 17.0, directory({'n': B}, {'p3': kind}))
    memory, settled = poll(memory, 18.0, directory({'n': B}, {'p4': kind}))

    assert (came.action, other.action) == ('none', 'none')
    assert (beside.action, beside.again, settled.action) == ('settle', 18.0, 'report')
    assert memory.known_print == 'n=B'


def test_file_in_place_of_what_was_no_file_is_a_change():
    """It is as new as if nothing had been there."""
    memory = after((10.0, directory({'n': A}, {'f': 'is a FIFO'})))
    assert memory.delivered == 'n=A'

    memory, decision = poll(memory, 15.0, directory({'f': B, 'n': A}))

    assert (decision.action, memory.state) == ('settle', 'settling')


def test_file_that_is_replaced_by_a_fifo_is_unreadable():
    """Its name is the same, and what a target would find there is unknown."""
    memory = after((10.0, directory({'f': A, 'n': A})))

    memory, _ = poll(memory, 15.0, directory({'n': A}, {'f': 'is a FIFO'}))
    memory, _ = poll(memory, 99.0, directory({'n': A}, {'f': 'is a FIFO'}))
    assert memory.delivered == 'f=A,n=A'
    memory, decision = poll(memory, 105.0, directory({'f': B, 'n': A}))

    assert (decision.action, memory.doubts) == ('settle', {})


def test_member_that_is_known_as_unreadable_holds_nothing():
    """It is part of the fingerprint already."""
    memory, _ = poll(Memory(), 10.0, directory({'n': A}, {'f': 'stale'}))
    memory, _ = poll(memory, 10.25, directory({'n': A}, {'f': 'stale'}))

    memory, decision = poll(memory, 15.0, directory({'n': B}, {'f': 'stale'}))

    assert (decision.action, decision.again) == ('settle', 16.0)


def test_change_beside_an_unreadable_path_is_due():
    """A path that cannot be read does not hold the others."""
    memory, _ = poll(Memory(), 10.0, file(A), file(A))

    memory, _ = poll(memory, 15.0, missing(), file(B))
    memory, decision = poll(memory, 16.0, missing(), file(B))

    assert (memory.state, decision.changed) == ('due', ((1, ''),))
    assert memory.known_print == '=A;=B'


def test_path_that_disappears_is_no_change():
    """Its last known state is kept."""
    memory = after((10.0, file(A)))

    memory, decision = poll(memory, 15.0, missing('is not there'))

    assert (decision.action, memory.delivered, memory.known) == ('keep', '=A', KNOWN)


@pytest.mark.parametrize('reading', [directory, glob])
def test_file_that_disappears_in_a_directory_or_glob_is_a_change(reading):
    """Unlike a path that disappears as a whole."""
    memory = after((10.0, reading({'a': A, 'b': B})))

    memory, decision = poll(memory, 15.0, reading({'a': A}), settle=0.0)

    assert (memory.state, decision.changed) == ('due', ((0, 'b'),))


def test_glob_that_matches_nothing_any_more_is_a_change():
    """All its files have disappeared."""
    memory = after((10.0, glob({'a': A})))

    memory, _ = poll(memory, 15.0, glob({}), settle=0.0, grace=0.0)

    assert memory.state == 'due'


@pytest.mark.parametrize('reading', [directory, glob])
def test_directory_that_loses_everything_is_due_after_empty_grace(reading):
    """Rule 5: it is distrusted exactly as a file that becomes empty."""
    memory = after((10.0, reading({'a': A, 'b': B})))

    memory, first = poll(memory, 15.0, reading({}))
    doubtful, _ = poll(memory, 44.9, reading({}))
    waiting = memory.waiting
    memory, third = poll(doubtful, 45.0, reading({}))

    assert (waiting, first.again, doubtful.waiting) == ('doubt', 45.0, 'doubt')
    assert (memory.state, third.changed) == ('due', ((0, 'a'), (0, 'b')))


def test_directory_that_is_back_after_losing_everything_is_unchanged():
    """Rule 5: an unmounted file system that is mounted again is no change."""
    memory = after((10.0, directory({'a': A})), (15.0, directory({})))

    memory, decision = poll(memory, 20.0, directory({'a': A}))

    assert (decision.action, memory.state, memory.doubts) == ('return', 'current', {})


def test_path_whose_kind_changes_and_changes_back_is_watched_on():
    """A directory that was a file for a moment has no trouble afterwards."""
    memory = after(
        (10.0, directory({'a': A})), (15.0, file(B)), (16.0, file(B)),
        (20.0, directory({'a': A})),
    )
    assert memory.troubles == {}

    memory, decision = poll(memory, 25.0, directory({'a': C}), settle=0.0)

    assert (memory.state, decision.changed) == ('due', ((0, 'a'),))


@pytest.mark.parametrize(('reading', 'answer'), [
    (missing('no such file'), True), (missing('not a directory'), True),
    (missing('permission denied'), False), (directory({}), True), (glob({}), True),
    (file(A), False), (directory({}, {'a': 'permission denied'}), False),
])
def test_absent_is_a_path_without_any_file(reading, answer):
    """Rule 10: what cannot be read is not taken for absent."""
    assert is_absent(reading) is answer


@pytest.mark.parametrize(('reading', 'known', 'reason'), [
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
def test_path_is_unreadable_as_a_whole(reading, known, reason):
    """Only if nothing about it is known."""
    assert whole_trouble(reading, known) == reason


@pytest.mark.parametrize(('unreadable', 'summary'), [
    ({}, ''),
    ({'b': 'stale'}, 'b: stale'),
    ({'b': 'stale', 'a': 'gone', 'c': 'x'}, 'a: gone (and 2 more)'),
    ({'b': 'is a socket', 'a': 'is a socket'}, 'a: is a socket'),
    ({'b': 'stale', 'a': 'is a socket'}, 'b: stale'),
])
def test_unreadable_members_are_summarized(unreadable, summary):
    """The first one by name is shown, and the others are counted."""
    assert unreadable_members(directory({}, unreadable)) == summary


def test_unreadable_path_is_reported_at_the_second_poll():
    """The first one asks for another 0.25 s later."""
    memory = after((10.0, file(A)))

    memory, first = poll(memory, 15.0, missing())
    recheck = memory.waiting
    memory, second = poll(memory, 15.25, missing())
    memory, third = poll(memory, 20.0, missing())

    assert (first.failing, first.again, recheck) == ((), 15.25, 'recheck')
    assert (second.failing, second.again, memory.waiting) == ((0,), 0.0, '')
    assert third.failing == ()
    assert memory.troubles[0].reported


def test_recovery_is_not_reported_if_the_trouble_was_not():
    """There is no line about either."""
    memory = after((10.0, file(A)), (15.0, missing()))

    memory, decision = poll(memory, 15.25, file(A))

    assert (decision.recovered, memory.troubles) == ((), {})


def test_recovery_is_reported_once():
    """If the trouble was reported."""
    memory = after((10.0, file(A)), (15.0, missing()), (15.25, missing()))

    memory, first = poll(memory, 20.0, file(A))
    memory, second = poll(memory, 25.0, file(A))

    assert (first.recovered, second.recovered) == ((0,), ())


def test_unreadable_path_is_reported_again_for_another_reason():
    """Each transition is logged."""
    memory = after((10.0, file(A)), (15.0, missing()), (15.25, missing()))

    memory, decision = poll(memory, 20.0, missing('is not there'))

    assert decision.failing == (0,)


def test_next_poll_is_the_earliest_that_is_needed():
    """A recheck may come before the end of --settle, or after it."""
    memory, _ = poll(Memory(), 10.0, file(A), file(A))

    _, long = poll(memory, 15.0, file(B), missing(), settle=9.0)
    _, short = poll(memory, 15.0, file(B), missing(), settle=0.1)

    assert (long.again, short.again) == (15.25, 15.1)


@pytest.mark.parametrize(('memory', 'now', 'answer'), [
    pytest.param(
        Memory('settling', changing_since=1.0, seen_at=61.0, ended_at=61.0),
        61.0, True, id='a new version after a minute',
    ),
    pytest.param(
        Memory('settling', changing_since=1.0, seen_at=60.9, ended_at=60.9),
        60.9, False, id='less than a minute',
    ),
    pytest.param(
        Memory('settling', changing_since=1.0, seen_at=50.0, ended_at=61.0),
        61.0, False, id='the same version',
    ),
    pytest.param(
        Memory('settling', changing_since=0.0, seen_at=61.0, ended_at=61.0),
        61.0, False, id='no change before',
    ),
    pytest.param(
        Memory('due', changing_since=1.0, seen_at=61.0, ended_at=61.0),
        61.0, False, id='due',
    ),
])
def test_version_keeps_changing_after_a_minute_of_new_versions(memory, now, answer):
    """One new version after another for a minute is worth a line."""
    assert change.keeps_changing(memory, now) is answer


def test_advance_makes_the_version_current():
    """It was delivered to all targets, and nothing newer was seen."""
    memory = change.advance(MEMORIES['due'], '=B', 7.0)

    assert (memory.state, memory.delivered) == ('current', '=B')


def test_advance_keeps_a_newer_version_settling():
    """B was delivered while C was seen: C is still due."""
    memory = change.advance(MEMORIES['settling']._replace(seen='=C'), '=B', 7.0)

    assert (memory.state, memory.delivered, memory.seen) == ('settling', '=B', '=C')
    assert memory.left == 7.0


def test_void_forgets_only_the_delivered_version():
    """From the first signal on, no version counts as delivered."""
    assert change.forget(MEMORIES['due']) == MEMORIES['due']._replace(delivered='')


def test_redeliver_makes_the_baseline_due():
    """It is delivered once it has settled."""
    memory = change.redeliver(after((10.0, file(A))))

    memory, decision = poll(memory, 11.0, file(A))

    assert (decision.action, memory.state, decision.changed) == ('report', 'due', ())


def test_last_poll_of_the_delivered_version_is_remembered():
    """Until that version is back."""
    memory = after((10.0, file(A)), (15.0, file(B)), (16.0, file(B)), (20.0, missing()))
    assert memory.left == 10.0

    memory, decision = poll(memory, 25.0, file(A))

    assert (decision.action, memory.left) == ('return', 10.0)


def test_member_of_a_version_that_is_due_holds_it_for_30_s():
    """What is signalled was read just before; then its neighbours are delivered."""
    reading = directory({'n': A}, {'f': 'permission denied'})
    memory = after(
        (10.0, directory({'f': A, 'n': A})), (15.0, directory({'f': B, 'n': A})),
        (16.0, directory({'f': B, 'n': A})),
    )
    assert memory.state == 'due'

    memory, first = poll(memory, 20.0, reading)
    memory, second = poll(memory, 50.0, reading)

    assert (first.action, first.again, second.action) == ('doubt', 20.25, 'report')
    assert memory.known_print == 'f=unreadable,n=A'


def test_member_that_was_unreadable_before_the_change_does_not_hold_it():
    """Neither while the change is due, nor afterwards."""
    unread = {'f/': 'permission denied'}
    memory = after(
        (10.0, directory({'f/x': A, 'n': A})), (15.0, directory({'n': A}, unread)),
        (20.0, directory({'n': B}, unread)), (21.0, directory({'n': B}, unread)),
    )
    assert (memory.state, memory.known_print) == ('due', 'f/x=A,n=B')

    memory, still = poll(memory, 80.0, directory({'n': B}, {'f': 'i/o error'}))
    memory = change.advance(memory, memory.seen, 80.0)
    memory, later = poll(memory, 90.0, directory({'n': B}, unread))

    assert (still.action, memory.state, later.action) == ('report', 'current', 'none')
    assert memory.delivered == 'f/x=A,n=B'


POLLS = st.lists(st.tuples(
    st.sampled_from((file(A), file(B), file(EMPTY), missing())),
    st.sampled_from((0.1, 0.25, 1.0, 5.0, 40.0)),
))


@given(POLLS)
def test_due_is_what_was_seen_twice_in_a_row(polls):
    """In any history, a due version was seen by two polls in a row, --settle apart."""
    memory, now, seen = Memory(), 100.0, [('', 0.0)]
    for reading, pause in polls:
        now += pause
        found = fingerprint([reading.files]) if reading.kind else ''
        if found != seen[-1][0]:
            seen.append((found, now))
        before = memory.state
        memory, _ = poll(memory, now, reading)

        if memory.state == 'due' and before != 'due':
            assert memory.seen == found
            assert now - seen[-1][1] >= 1.0
            assert memory.seen != memory.delivered


# The version of a file in a directory, that of its neighbour, why the directory cannot
# be read, and the time until the next poll.
MEMBERS = st.tuples(
    st.sampled_from((A, B)), st.sampled_from((A, B)),
    st.sampled_from(('', '', 'permission denied', MISSING, FIFO)),
    st.sampled_from((0.25, 1.0, 5.0, 40.0)),
)


def delivering(
        polls: Iterable[tuple[bytes, bytes, str, float]],
) -> tuple[Memory, list[str]]:
    """Return the memory after these polls, and the versions that were delivered."""
    memory, now, done = after((10.0, directory({'f/x': A, 'n': A}))), 10.0, []
    for version, beside, why, pause in polls:
        now += pause
        reading = directory({'f/x': version, 'n': beside})
        if why:
            reading = directory({'n': beside}, {'f/': why})
        memory, _ = poll(memory, now, reading)
        if memory.state == 'due':
            done.append(memory.seen)
            memory = change.advance(memory, memory.seen, now)
    return memory, done


@given(st.lists(MEMBERS), st.sampled_from((A, B)), st.sampled_from((A, B)))
def test_last_version_is_delivered_whatever_could_not_be_read(polls, version, beside):
    """In any history, once all of it can be read again."""
    memory, done = delivering([*polls, *[(version, beside, '', 5.0)] * 2])

    last = fingerprint([{'f/x': version, 'n': beside}])
    assert (memory.state, memory.delivered) == ('current', last)
    assert [last, *done][-1] == last


@given(st.lists(MEMBERS))
def test_same_bytes_are_not_delivered_whatever_could_not_be_read(polls):
    """In any history in which nothing is gone for 30 s, and for as long as it lasts."""
    same = [
        (A, A, '' if why == MISSING else why, pause) for _, _, why, pause in polls
    ]

    memory, done = delivering(same)

    assert (memory.state, done) == ('current', [])


@given(st.lists(MEMBERS))
def test_neighbours_are_delivered_whatever_cannot_be_read(polls):
    """Within a second, also if the rest stays unreadable."""
    same = [(A, beside, 'permission denied', pause) for _, beside, _, pause in polls]

    memory, _ = delivering([*same, *[(A, B, 'permission denied', 1.0)] * 2])

    assert memory.delivered == 'f/x=A,n=B'
