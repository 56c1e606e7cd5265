"""What stat(2) proves about files that a poll has read.

A stamp is a hash of a file's device, inode, size, mtime and ctime: the kernel sets
the ctime at each write, and no process can put it back. A stamp is worth something
on an exact file system (mounts.EXACT), once the last write is older than the grain
of the clock (a later write then has another ctime), and once two reads agreed: a
writer that stat does not show may have been halfway through at the first.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from operator import attrgetter, eq
from typing import NamedTuple

from pollreload.core.reading import Reading

FIELDS = attrgetter('st_ino', 'st_dev', 'st_size', 'st_mtime_ns', 'st_ctime_ns')
UNSURE = -1  # no stamp: hash() never returns it
GRAIN = 2.0  # s; ext3's is 1, and others' the tick of the kernel
PART = 1024  # files between two questions whether to stop


class Terms(NamedTuple):
    """The conditions in one poll under which a stamp is valid.

    began: when the poll began, in seconds of CLOCK_REALTIME.
    inexact: the devices on which stat may not show a write.
    due: the parts that are read again whatever stat says, of so many parts.
    """

    began: float = 0.0
    inexact: frozenset[int] = frozenset()
    due: frozenset[int] = frozenset((0,))
    parts: int = 1


class Cache:
    """The results of a poll at one path, for the next poll.

    reading: None if nothing is known.
    prefix: of the names of its files, which makes paths of them.
    stamps: of the files, in their order.
    directories: path -> stamp of whatever else shows a change.
    listed: directory -> hash of the names in it.
    complete: nothing can change there without a change of a stamp.
    """

    __slots__ = ('complete', 'directories', 'listed', 'prefix', 'reading', 'stamps')

    def __init__(self) -> None:
        self.reading: Reading | None = None
        self.prefix = ''
        self.stamps: list[int] = []
        self.directories: dict[str, int] = {}
        self.listed: dict[str, int] = {}
        self.complete = True

    def stamp_of(self) -> dict[str, int]:
        """Return name -> stamp of each file."""
        if self.reading is None:
            return {}
        return dict(zip(self.reading.files, self.stamps, strict=True))

    def finish(self, reading: Reading, before: Cache) -> None:
        """Set the reading that belongs to these stamps, after another one."""
        old = before.reading
        if old == reading and all(map(eq, old.files, reading.files)):
            # One copy of all the names is enough; theirs is the order of the stamps.
            reading = old
        self.complete = self.complete and not reading.unreadable
        self.reading = reading

    def plain(self) -> tuple[object, ...]:
        """Return the cache, without its reading, as marshal can write it."""
        return (
            self.prefix, self.stamps, self.directories, self.listed, self.complete,
        )


def revive_cache(reading: Reading, plain: tuple[object, ...]) -> Cache:
    """Return the cache that plain() took apart."""
    cache = Cache()
    fields = ('prefix', 'stamps', 'directories', 'listed', 'complete')
    for name, value in zip(fields, plain, strict=True):
        setattr(cache, name, value)
    cache.reading = reading
    return cache


def stamp(info: os.stat_result) -> int:
    """Return the stamp of a file."""
    return hash(FIELDS(info))


def worth(info: os.stat_result, terms: Terms) -> int:
    """Return the stamp of a file that is read now; UNSURE if it proves nothing."""
    if (
            max(info.st_mtime, info.st_ctime) > terms.began - GRAIN
            or info.st_dev in terms.inexact
    ):
        return UNSURE
    return stamp(info)


def part_of(prefix: str, name: str, parts: int) -> int:
    """Return in which part of so many a name is read again, whatever stat says."""
    return (hash(prefix) + hash(name)) % parts


def due(prefix: str, names: Iterable[str], terms: Terms) -> Iterator[str]:
    """Yield the names that are read again in this poll, whatever stat says."""
    # As part_of() has it. In one expression: 10,000 names take a twentieth of the time
    # of their stat(2).
    first, parts, now = hash(prefix), terms.parts, terms.due
    return (name for name in names if (first + hash(name)) % parts in now)


def valid(before: int, info: os.stat_result, prefix: str, name: str, terms: Terms,
          ) -> bool:
    """Return whether a file is as its stamp says, and need not be read again."""
    return (
        before != UNSURE and before == stamp(info)
        and part_of(prefix, name, terms.parts) not in terms.due
    )


def unchanged_reading(
        cache: Cache, terms: Terms, read: Callable[[str], bytes],
        listing: Callable[[str], int], pause: Callable[[int], None],
) -> Reading | None:
    """Return the reading of the last poll if nothing changed, else None.

    read: a path -> its digest, for the files that are due; may raise OSError.
    listing: a directory -> the hash of the names in it, in the same way.
    pause: called with a number of files every now and then; may raise.
    """
    reading = cache.reading
    if reading is None or not cache.complete:
        return None
    prefix = cache.prefix
    try:
        if not all_match(cache, reading.files, pause):
            return None
        if (
                all(read(prefix + name) == reading.files[name]
                    for name in due(prefix, reading.files, terms))
                and all(listing(path) == cache.listed[path]
                        for path in due('', cache.listed, terms))
        ):
            return reading
        # Here stat cannot be believed: everything is read again.
        cache.reading = None
    except OSError:
        pass
    return None


def all_match(
        cache: Cache, names: Collection[str], pause: Callable[[int], None],
) -> bool:
    """Return whether no directory and no file of a cache has another stamp.

    names: of the files. pause: as in unchanged_reading(). Raises OSError.
    """
    found = cache.directories
    if len(names) < PART:
        paths = chain(found, map(cache.prefix.__add__, names))
        return stamps_match(paths, [*found.values(), *cache.stamps], pause)
    # Of 10,000 files a tenth of the CPU is saved if stat(2) begins at the directory
    # that all are below. A descriptor for each directory saves little more.
    top = os.open(cache.prefix or '.', os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return (
            stamps_match(found, found.values(), pause)
            and stamps_match(names, cache.stamps, pause, top)
        )
    finally:
        os.close(top)


def stamps_match(
        paths: Iterable[str], stamps: Iterable[int], pause: Callable[[int], None],
        top: int | None = None,
) -> bool:
    """Return whether stat says of each path what its stamp says. Raises OSError.

    top: the descriptor of the directory that the paths begin at.
    """
    # A loop, and no chain of map(): 10,000 files take as long, because stat(2) takes
    # nearly all of it, and one file takes less after a sleep.
    for count, (path, before) in enumerate(zip(paths, stamps, strict=True), 1):
        if hash(FIELDS(os.stat(path, dir_fd=top))) != before:
            return False
        if count % PART == 0:
            pause(PART)
    return True
