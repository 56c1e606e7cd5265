"""Whether stat alone says that what was read still stands.

A stamp is device, inode, size, mtime and ctime of a file: the kernel sets the
ctime at each write, and nobody can put it back. It is worth something where the
file system is exact (mounts.EXACT), once the last write is older than the clock's
grain (a later one then has another ctime), and once two looks have read the same:
who writes where stat does not tell may be in the midst of it.
"""
from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, starmap
from operator import attrgetter, eq
from typing import NamedTuple

from pollreload.core.change import Reading

STAMP = struct.Struct('=QQqqq')
FIELDS = attrgetter('st_ino', 'st_dev', 'st_size', 'st_mtime_ns', 'st_ctime_ns')
WIDTH = STAMP.size
UNSURE = bytes(WIDTH)  # of no file: there is no inode 0
GRAIN = 2.0  # s; ext3's is 1, and others' the tick of the kernel
SCATTER = 0x9e37_79b9_7f4a_7c15  # 2**64 by the golden ratio, odd
PART = 1024  # files between two questions whether to stop


class Terms(NamedTuple):
    """What a stamp is worth in one look.

    began: when the look began, in seconds of CLOCK_REALTIME.
    inexact: the devices where stat may not show a write.
    turns, rounds: what is read again whatever stat says: turns are numbered, and
        after so many rounds each file and each directory has had its own.
    """

    began: float = 0.0
    inexact: frozenset[int] = frozenset()
    turns: range = range(1)
    rounds: int = 1


class Trail:
    """What a look passed at one path, in order: directories, and stamps of both.

    known: name -> stamp and digest, as the look before left them.
    prefix: what leads to the files.
    listed: directory -> the hash of the names in it.
    whole: nothing else can show there without a trace in it.
    """

    __slots__ = (
        'directories', 'files', 'known', 'listed', 'prefix', 'stamps', 'whole',
    )

    def __init__(self, known: Mapping[str, tuple[bytes, bytes]]) -> None:
        self.known = known
        self.prefix = ''
        self.directories: list[str] = []
        self.stamps: list[bytes] = []
        self.files: list[bytes] = []
        self.listed: dict[str, int] = {}
        self.whole = True


class Due(NamedTuple):
    """What is to be read at one turn: names of files, directory -> hash of names."""

    files: list[str]
    listed: dict[str, int]


class Shelf:
    """What the last look saw at one path, for the next one to go by.

    sight: None: there is nothing to go by. prefix: what leads to its files.
    whole: as in Trail: else the stamps still say which files need not be read.
    once: all of it was read once only, so that no stamp is to be believed yet.
    due: turn -> what is to be read again then, of so many rounds.
    """

    __slots__ = (
        'directories', 'due', 'files', 'once', 'prefix', 'rounds', 'sight', 'stamps',
        'whole',
    )

    def __init__(self) -> None:
        self.sight: Reading | None = None
        self.whole = False
        self.once = False
        self.prefix = ''
        self.directories: Sequence[str] = ()
        self.stamps = b''
        self.files = b''
        self.due: Mapping[int, Due] = {}
        self.rounds = 0


def worth(info: os.stat_result, terms: Terms) -> bytes:
    """Return the stamp of what is read now; UNSURE where it proves nothing."""
    if (
            max(info.st_mtime, info.st_ctime) > terms.began - GRAIN
            or info.st_dev in terms.inexact
    ):
        return UNSURE
    return stamped(info)


def stamped(info: os.stat_result) -> bytes:
    """Return a stamp; UNSURE for a date that does not fit in 64 bits of ns."""
    try:
        return STAMP.pack(*FIELDS(info))
    except struct.error:
        return UNSURE


def turn(inode: int, rounds: int) -> int:
    """Return which of so many turns a file has.

    Inodes come in strides (a block of them to a directory), which would make some
    polls read far more than others: so they are scattered (Fibonacci hashing).
    """
    return (inode * SCATTER >> 32 & 0xffff_ffff) % rounds


def valid(stamp: bytes, info: os.stat_result, terms: Terms) -> bool:
    """Return whether a file is as its stamp says, and its turn is another."""
    return UNSURE != stamp == stamped(info) and (
        (turn(info.st_ino, terms.rounds) - terms.turns.start) % terms.rounds
        >= len(terms.turns)
    )


def known(shelf: Shelf) -> dict[str, tuple[bytes, bytes]]:
    """Return name -> stamp and digest of each file on a shelf."""
    if shelf.sight is None:
        return {}
    return {
        name: (UNSURE if shelf.once else shelf.files[at:at + WIDTH], digest)
        for at, (name, digest) in zip(
            range(0, len(shelf.files), WIDTH), shelf.sight.files.items(), strict=True,
        )
    }


def put(shelf: Shelf, sight: Reading, trail: Trail, terms: Terms) -> None:
    """Put what a look saw on the shelf."""
    # Set last: an exception in between leaves nothing to go by.
    before, shelf.sight = shelf.sight, None
    if (
            before is not None and before == sight
            and all(map(eq, before.files, sight.files))
    ):
        # One copy of all the names is enough; theirs is the order of the stamps.
        sight = before
    shelf.prefix = trail.prefix
    shelf.directories = tuple(trail.directories)
    shelf.stamps = b''.join(trail.stamps)
    shelf.files = b''.join(trail.files)
    due: dict[int, Due] = {}
    for at, name in enumerate(sight.files):
        its = due.setdefault(turned(shelf.files, at, terms), Due([], {}))
        its.files.append(name)
    for at, path in enumerate(shelf.directories):
        if path in trail.listed:
            its = due.setdefault(turned(shelf.stamps, at, terms), Due([], {}))
            its.listed[path] = trail.listed[path]
    shelf.due = due
    shelf.rounds = terms.rounds
    shelf.whole = trail.whole and not sight.unreadable
    shelf.once = not trail.known
    shelf.sight = sight


def turned(stamps: bytes, at: int, terms: Terms) -> int:
    """Return the turn of what the stamp at a place is of."""
    (inode,) = struct.unpack_from('=Q', stamps, at * WIDTH)
    return turn(inode, terms.rounds)


def stands(
        shelf: Shelf, terms: Terms, read: Callable[[str], bytes],
        listing: Callable[[str], int], pause: Callable[[int], None],
) -> Reading | None:
    """Return what was seen where all is still as it was, else None.

    read: a path -> its digest, for those whose turn it is; may raise OSError.
    listing: a directory -> the hash of the names in it, in the same way.
    pause: called with a number of files every now and then; may raise.
    """
    sight = shelf.sight
    if sight is None or not shelf.whole or shelf.rounds != terms.rounds:
        return None
    # What was read once is read again, here: it takes no memory for all their names.
    turns = shelf.due if shelf.once else {
        number % terms.rounds for number in terms.turns
    }
    try:
        if not same(shelf.directories, shelf.stamps, pause):
            return None
        names = map(shelf.prefix.__add__, sight.files)
        if not same(names, shelf.files, pause):
            return None
        for number in turns:
            due = shelf.due.get(number)
            if due is not None and not (
                    all(read(shelf.prefix + name) == sight.files[name]
                        for name in due.files)
                    and all(listing(path) == was for path, was in due.listed.items())
            ):
                # What stat says there is not to be believed.
                shelf.sight = None
                return None
    except (OSError, struct.error):
        return None
    shelf.once = False
    return sight


def same(paths: Iterable[str], stamps: bytes, pause: Callable[[int], None]) -> bool:
    """Return whether stat says of each path what its stamp says.

    Raises OSError, and struct.error for a date that does not fit.
    """
    # Nothing here is a step of Python for each file: 10,000 take as long as
    # their stat(2) does, within a fifth.
    stats = map(os.stat, paths)
    at = 0
    while part := b''.join(starmap(STAMP.pack, map(FIELDS, islice(stats, PART)))):
        if part != stamps[at:at + len(part)]:
            return False
        at += len(part)
        pause(len(part) // WIDTH)
    return at == len(stamps)
