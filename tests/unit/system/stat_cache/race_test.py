"""Changes between the system calls of a poll."""
from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Sequence

import pytest
from xxhash import xxh3_128_digest

from tests.support.cached_polls import (
    Eye,
    Meddler,
    first,
    publish,
    put,
    repoint,
    tick,
    volume,
)


def whole(at: str) -> Sequence[str]:
    """The same by its directory and a glob."""
    volume(at)
    return (f'{at}/v', f'{at}/v/[ab]')


def release(at: str) -> Sequence[str]:
    """Make two releases, and a link to a link to one of them."""
    for name in ('one/a', 'one/b', 'two/a'):
        put(f'{at}/{name}', name[:3])
    put(f'{at}/two/b', 'two')
    os.symlink('one', f'{at}/current')
    os.mkdir(f'{at}/etc')
    os.symlink('../current', f'{at}/etc/app')
    return (f'{at}/etc', f'{at}/etc/app', f'{at}/etc/app/b')


def swapped(at: str) -> None:
    publish(f'{at}/v', '2', ('a', 'b', 'c/d'))


def switched(at: str) -> None:
    repoint(f'{at}/current', 'two')


def rewritten(at: str) -> None:
    put(f'{at}/one/a', 'new')


def added(at: str) -> None:
    put(f'{at}/one/n', 'new')


def removed(at: str) -> None:
    os.remove(f'{at}/one/b')


def replaced(at: str) -> None:
    os.remove(f'{at}/one/a')
    put(f'{at}/one/a/a', 'one')


def settled(eye: Eye, at: str) -> None:
    """All is on the shelves."""
    eye.look()
    eye.look()


def stirred(eye: Eye, at: str) -> None:
    """All is on the shelves, and one directory of each is not as it was."""
    settled(eye, at)
    tick()
    for name in ('v', 'one'):
        if os.path.isdir(f'{at}/{name}'):
            put(f'{at}/{name}/other', 'x')


@pytest.mark.parametrize('before', [settled, stirred, first])
@pytest.mark.parametrize(('lay', 'act'), [
    (volume, swapped), (whole, swapped), (release, switched), (release, rewritten),
    (release, added), (release, removed), (release, replaced),
])
def test_a_change_between_any_two_system_calls_of_a_poll_is_not_lost(
        at: str, before: Callable[[Eye, str], None],
        lay: Callable[[str], Sequence[str]], act: Callable[[str], None],
) -> None:
    """The next poll sees it, and a set is never torn in the meantime."""
    for number in itertools.count(1):
        base = f'{at}/{number}'
        os.mkdir(base)
        eye = Eye(*lay(base), rounds=2)
        before(eye, base)
        meddler = Meddler({number: functools.partial(act, base)})
        seen = meddler.look(eye)
        if lay is volume:
            assert len({tuple(sight.files.values()) for sight in seen.readings}) == 1
        elif lay is whole:
            assert all(
                len({
                    value for name, value in sight.files.items() if name != 'other'
                }) == 1
                for sight in seen.readings
            )
        assert eye.look() == eye.plain(), number
        if len(meddler.calls) < number:
            break
    assert number > 3


def fewer(at: str) -> Sequence[str]:
    """Make two releases; what the other one has, this one has too."""
    for name in ('one/a', 'one/b', 'two/a'):
        put(f'{at}/{name}', name[:3])
    os.symlink('one', f'{at}/current')
    return (f'{at}/current',)


def test_a_link_that_moves_and_moves_back_within_a_poll_leaves_no_trace(
        at: str,
) -> None:
    """The next poll may not go by names of the one and stamps of the other."""
    for one, more in itertools.product(range(1, 30), range(1, 4)):
        base = f'{at}/{one}-{more}'
        os.mkdir(base)
        eye = Eye(*fewer(base))
        meddler = Meddler({
            one: functools.partial(repoint, f'{base}/current', 'two'),
            one + more: functools.partial(repoint, f'{base}/current', 'one'),
        })
        meddler.look(eye)
        if len(meddler.calls) < one:
            break
        if len(meddler.calls) < one + more:
            repoint(f'{base}/current', 'one')
        assert eye.look() == eye.plain(), (one, more)


def test_a_swap_between_two_paths_that_stand_is_seen_at_both(at: str) -> None:
    """The first stood still when it was asked for, and is read again all the same."""
    paths = volume(at)
    eye = Eye(*paths)
    settled(eye, at)
    meddler = Meddler({2: functools.partial(swapped, at)})

    seen = meddler.look(eye)

    assert meddler.calls[:2] == [('stat', paths[0]), ('stat', paths[1])]
    assert seen == eye.plain()
    assert {tuple(sight.files.values()) for sight in seen.readings} == {
        (xxh3_128_digest(b'2'),),
    }
