"""Which files are read again."""
from __future__ import annotations

import functools
import marshal
import os
import time
from typing import Any, cast

import pytest
from xxhash import xxh3_128_digest

from pollreload.core.reading import Reading
from pollreload.system import mounts, stat_cache
from pollreload.system.stat_cache import GRAIN, Cache
from tests.support.cached_polls import (
    LATER,
    PLACES,
    Eye,
    lead,
    never,
    put,
    tick,
    unprivileged_directory,
)

READING = Reading('directory', {'a': b'1' * 16, 'b': b'2' * 16}, {})


def filled(reading: Reading, *stamps: int, before: Cache | None = None) -> Cache:
    """Return a cache that a poll has filled."""
    cache = Cache()
    cache.stamps = list(stamps)
    cache.finish(reading, before or Cache())
    return cache


def test_a_cache_knows_the_stamp_of_each_file() -> None:
    """Each name has its own; an empty cache has none."""
    assert Cache().stamp_of() == {}
    assert filled(READING, 4, 5).stamp_of() == {'a': 4, 'b': 5}


def test_what_was_not_seen_whole_is_never_unchanged() -> None:
    """It is walked through again, by the stamps of what could be read."""
    partial = filled(READING, 4, 5)
    partial.complete = False
    trouble = filled(READING._replace(unreadable={'c': 'why'}), 4, 5)
    for cache in (partial, trouble, Cache()):
        assert stat_cache.unchanged_reading(cache, LATER, never, never, never) is None


def test_names_are_kept_once_and_those_of_the_last_poll_count() -> None:
    """The same names and digests: one copy; another order is another reading."""
    first = filled(READING, 4, 5)
    same = Reading('directory', dict(READING.files), {})
    assert filled(same, 6, 7, before=first).reading is READING

    for other in (
            READING._replace(kind='glob'),
            READING._replace(unreadable={'c': 'why'}),
            READING._replace(files={name: READING.files[name] for name in ('b', 'a')}),
            READING._replace(files={'a': b'1' * 16, 'b': b'1' * 16}),
    ):
        assert filled(other, 6, 7, before=first).reading is other


def test_a_cache_can_go_through_marshal() -> None:
    """A child reads, and the next poll is made by its parent."""
    cache = filled(READING, 2**62, -(2**62))
    cache.prefix = '/d/'
    cache.directories = {'/d/': 3}
    cache.listed = {'/d/': 7}

    plain = marshal.loads(marshal.dumps(cast(Any, cache.plain())))
    again = stat_cache.revive_cache(READING, plain)

    for name in Cache.__slots__:
        assert getattr(again, name) == getattr(cache, name)


def test_a_poll_that_is_stopped_leaves_the_caches_as_they_were(
        at: str, reads: list[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It can be, also where nothing is read; the next one goes on as if it had not
    been.
    """
    monkeypatch.setattr(stat_cache, 'PART', 16)
    for number in range(200):
        put(f'{at}/d/{number}', '')
    eye = Eye(f'{at}/d')
    eye.settle()
    turn = eye.turn
    reads.clear()
    asked = []

    def stop() -> bool:
        asked.append(0)
        return len(asked) == 3

    assert eye.look(stop=stop) is None
    assert len(asked) == 3
    assert eye.turn == turn
    assert eye.look() == eye.plain()
    assert len(reads) == 200  # those of the plain one

    tick()
    put(f'{at}/d/new', '')
    assert eye.look(stop=lambda: True) is None
    assert eye.look() == eye.plain()


def test_a_young_file_is_read_until_it_is_older_than_the_grain(
        at: str, reads: list[str],
) -> None:
    """A second write within the grain could have the same date."""
    put(f'{at}/f')
    eye = Eye(f'{at}/f')
    for _ in range(3):
        eye.look(ago=GRAIN)
    assert len(reads) == 3

    eye.look()
    assert len(reads) == 4
    eye.look()
    eye.look(ago=GRAIN)
    assert len(reads) == 4


def test_a_file_of_the_future_is_always_read(at: str, reads: list[str]) -> None:
    """It is unknown which clock wrote that."""
    put(f'{at}/f')
    os.utime(f'{at}/f', (time.time() + 3600.0,) * 2)
    eye = Eye(f'{at}/f')
    for _ in range(3):
        eye.look()
    assert len(reads) == 3


def test_on_an_inexact_device_each_poll_reads(at: str, reads: list[str]) -> None:
    """Files, and the names in a directory."""
    put(f'{at}/d/f')
    here = frozenset((os.stat(at).st_dev,))
    eye = Eye(f'{at}/d')
    for _ in range(3):
        eye.look(inexact=here)
    assert len(reads) == 3

    eye.look()
    eye.look()
    assert len(reads) == 4


def test_the_file_systems_of_the_kernel_itself_are_inexact() -> None:
    """A file in /proc is another at each read, and stat says nothing of it."""
    known = mounts.mount_table()
    assert known is not None
    eye = Eye('/proc/sys/kernel/random/uuid')
    seen = {
        sight.files[''] for _ in range(5)
        for sight in (eye.look(inexact=known.inexact) or eye.plain()).readings
    }

    assert len(seen) == 5


def test_a_young_neighbour_does_not_make_the_old_ones_be_read(
        at: str, reads: list[str],
) -> None:
    """Only what is young, and what is due."""
    for number in range(20):
        put(f'{at}/d/{number}')
    eye = Eye(f'{at}/d')
    eye.settle()
    reads.clear()
    tick()
    put(f'{at}/d/new')
    for _ in range(3):
        assert eye.look(ago=60.0) is not None

    assert reads == [f'{at}/d/new'] * 3


@pytest.mark.parametrize('odd', ['circle', 'fifo', 'directory'])
def test_what_cannot_be_read_does_not_make_its_neighbours_be_read(
        at: str, reads: list[str], odd: str,
) -> None:
    """A link in a circle or a FIFO in a directory of large files."""
    for number in range(20):
        put(f'{at}/d/{number}')
    if odd == 'circle':
        os.symlink('odd', f'{at}/d/odd')
    elif odd == 'fifo':
        os.mkfifo(f'{at}/d/odd')
    else:
        os.symlink('odd/', f'{at}/d/odd')
    eye = Eye(f'{at}/d')
    eye.settle()
    reads.clear()
    for _ in range(3):
        seen = eye.look()
        assert seen is not None
        assert list(seen.readings[0].unreadable) == ['odd']

    assert {os.path.basename(path) for path in reads} <= {'odd'}
    lead(eye, lambda: put(f'{at}/d/7', 'y'))
    lead(eye, lambda: os.remove(f'{at}/d/odd'))
    assert eye.unchanged()


def test_what_was_read_once_is_read_again(at: str, reads: list[str]) -> None:
    """The first time and after each change, however old stat says that it is."""
    for name in ('a', 'b'):
        put(f'{at}/d/{name}')
    eye = Eye(f'{at}/d')
    for _ in range(4):
        eye.look()
    assert sorted(map(os.path.basename, reads)) == ['a', 'a', 'b', 'b']

    tick()
    put(f'{at}/d/b', 'y')
    reads.clear()
    for _ in range(4):
        eye.look()
    assert list(map(os.path.basename, reads)) == ['b', 'b']


def test_a_writer_that_stat_does_not_show_is_read_until_it_rests(
        at: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By mmap, or in one write(2) that takes long: its first half is no version."""
    put(f'{at}/f', '0')
    eye = Eye(f'{at}/f', rounds=3)
    eye.settle()
    was = os.stat(f'{at}/f')
    monkeypatch.setattr(os, 'stat', lambda path, **_: was)
    monkeypatch.setattr(os, 'fstat', lambda file: was)
    seen = []
    for step in range(1, 9):
        with open(f'{at}/f', 'r+', encoding='utf-8') as file:
            file.write(f'{min(step, 6)}')
        got = eye.look()
        assert got is not None
        seen.append(got.readings[0].files[''])
    digests = [xxh3_128_digest(b'%d' % number) for number in range(7)]

    # From its turn on each poll reads, up to the first two that agree.
    first = next(at for at, digest in enumerate(seen) if digest != digests[0])
    assert first < 3
    assert seen[first:6] == digests[first + 1:7]
    assert seen[6:] == [digests[6]] * 2


def test_one_that_is_always_young_does_not_keep_the_others_from_being_known(
        at: str, reads: list[str],
) -> None:
    """From the first poll on: a log among files of which nothing was known before."""
    for name in ('a', 'b', 'log'):
        put(f'{at}/d/{name}')
    os.utime(f'{at}/d/log', (time.time() + 3600.0,) * 2)  # of the future: never old
    eye = Eye(f'{at}/d')
    for _ in range(5):
        assert eye.look() == eye.plain()
    assert [reads.count(f'{at}/d/{name}') for name in ('a', 'b', 'log')] == [7, 7, 10]


def test_a_rewrite_of_the_same_size_with_its_mtime_put_back_is_seen(
        at: str,
) -> None:
    """By the ctime, which no one can put back."""
    put(f'{at}/f', '1')
    before = os.stat(f'{at}/f')
    seen = lead(Eye(f'{at}/f'), lambda: put(f'{at}/f', '2'))

    after = os.stat(f'{at}/f')
    assert (before.st_ino, before.st_size, before.st_mtime_ns) == (
        after.st_ino, after.st_size, after.st_mtime_ns,
    )
    assert seen[0].readings[0].files == {'': xxh3_128_digest(b'2')}


def test_a_file_that_was_made_elsewhere_long_ago_is_seen_when_it_is_moved_in(
        at: str,
) -> None:
    """A rename sets the ctime, and it is another inode."""
    put(f'{at}/d/f', '1')
    put(f'{at}/new', '2')
    info = os.stat(f'{at}/d/f')
    os.utime(f'{at}/new', ns=(info.st_atime_ns, info.st_mtime_ns))
    lead(Eye(f'{at}/d'), lambda: os.replace(f'{at}/new', f'{at}/d/f'))


def test_an_inode_that_is_used_again_is_another_file(at: str) -> None:
    """The same number, size and mtime: its ctime is later."""
    put(f'{at}/d/f', '1')

    def reuse() -> None:
        info = os.stat(f'{at}/d/f')
        os.remove(f'{at}/d/f')
        put(f'{at}/d/f', '2')
        os.utime(f'{at}/d/f', ns=(info.st_atime_ns, info.st_mtime_ns))

    for _ in range(5):
        lead(Eye(f'{at}/d', f'{at}/d/f'), reuse)


def test_two_files_that_change_names_are_seen(at: str) -> None:
    """Their digests go with them."""
    put(f'{at}/d/a', '1')
    put(f'{at}/d/b', '2')
    os.link(f'{at}/d/a', f'{at}/d/c')

    def exchange() -> None:
        os.rename(f'{at}/d/a', f'{at}/d/t')
        os.rename(f'{at}/d/b', f'{at}/d/a')
        os.rename(f'{at}/d/t', f'{at}/d/b')

    lead(Eye(f'{at}/d', f'{at}/d/a', f'{at}/d/b'), exchange)


def test_a_write_by_another_name_of_a_file_is_seen(at: str) -> None:
    """A hard link, in a directory that no one watches."""
    put(f'{at}/d/a', '1')
    os.link(f'{at}/d/a', f'{at}/other')
    lead(Eye(f'{at}/d', f'{at}/d/a'), lambda: put(f'{at}/other', '2'))


def test_what_cannot_be_read_is_looked_at_each_time(at: str) -> None:
    """A FIFO that becomes a file, a directory that becomes readable."""
    put(f'{at}/d/a')
    os.mkfifo(f'{at}/d/p')
    eye = Eye(f'{at}/d', f'{at}/d/p')

    def become() -> None:
        os.remove(f'{at}/d/p')
        put(f'{at}/d/p')

    assert eye.look() == eye.plain()
    lead(eye, become)
    lead(eye, lambda: os.mkfifo(f'{at}/d/q'))


def test_a_file_that_becomes_unreadable_is_seen_and_its_return_too() -> None:
    """By its mode, by that of its directory, by that of one above."""
    with unprivileged_directory(PLACES[-1]) as base:
        put(f'{base}/up/d/f')
        eye = Eye(f'{base}/up/d', f'{base}/up/d/f', f'{base}/up/d/*')
        for path in ('up/d/f', 'up/d', 'up'):
            lead(eye, functools.partial(os.chmod, f'{base}/{path}', 0))
            seen = eye.plain().readings[0]
            assert seen.unreadable
            lead(eye, functools.partial(os.chmod, f'{base}/{path}', 0o755))
            assert not eye.plain().readings[0].unreadable
