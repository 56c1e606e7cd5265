"""Whether stat alone says that what was read still stands.

A stamp is device, inode, size, mtime and ctime of a file: the kernel sets the
ctime at each write, and nobody can put it back. It is worth something where the
file system is exact (mounts.EXACT), and once the last write is older than the
clock's grain: a later one then has another ctime.
"""
from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, starmap
from operator import attrgetter, eq
from typing import NamedTuple

from pollreload.change import Sight

STAMP = struct.Struct('=QQqqq')
FIELDS = attrgetter('st_ino', 'st_dev', 'st_size', 'st_mtime_ns', 'st_ctime_ns')
WIDTH = STAMP.size
UNSURE = bytes(WIDTH)  # of no file: there is no inode 0
GRAIN = 2.0  # s; ext3's is 1, and others' the tick of the kernel
SCATTER = 0x9e37_79b9_7f4a_7c15  # 2**64 by the golden ratio, odd
PART = 1024  # files between two questions whether to stop
FEW = 64  # files for which nobody asks whether to stop


class Terms(NamedTuple):
    """What a stamp is worth in one look.

    began: when the look began, in seconds of CLOCK_REALTIME.
    inexact: the devices where stat may not show a write.
    turn, rounds: what is read again whatever stat says: one in so many files,
        so that each had its turn after so many looks.
    """

    began: float = 0.0
    inexact: frozenset[int] = frozenset()
    turn: int = 0
    rounds: int = 1


class Trail:
    """What a look passed at one path, in order: directories, and stamps of both.

    known: name -> stamp and digest, as the look before left them.
    prefix: what leads to the files.
    whole: nothing else can show there without a trace in it.
    """

    __slots__ = ('directories', 'files', 'known', 'prefix', 'stamps', 'whole')

    def __init__(self, known: Mapping[str, tuple[bytes, bytes]]) -> None:
        self.known = known
        self.prefix = ''
        self.directories: list[str] = []
        self.stamps: list[bytes] = []
        self.files: list[bytes] = []
        self.whole = True


class Shelf:
    """What the last look saw at one path, for the next one to go by.

    sight: None: there is nothing to go by. prefix: what leads to its files.
    due: turn -> names of the files to be read again then, of so many rounds.
    """

    __slots__ = (
        'directories', 'due', 'files', 'prefix', 'rounds', 'sight', 'stamps',
    )

    def __init__(self) -> None:
        self.sight: Sight | None = None
        self.prefix = ''
        self.directories: Sequence[str] = ()
        self.stamps = b''
        self.files = b''
        self.due: Mapping[int, Sequence[str]] = {}
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
    return (
        UNSURE != stamp == stamped(info)
        and turn(info.st_ino, terms.rounds) != terms.turn
    )


def known(shelf: Shelf) -> dict[str, tuple[bytes, bytes]]:
    """Return name -> stamp and digest of each file on a shelf."""
    if shelf.sight is None:
        return {}
    return {
        name: (shelf.files[at:at + WIDTH], digest)
        for at, (name, digest) in zip(
            range(0, len(shelf.files), WIDTH), shelf.sight.files.items(), strict=True,
        )
    }


def put(shelf: Shelf, sight: Sight, trail: Trail, terms: Terms) -> None:
    """Put what a look saw on the shelf; an empty one if it is not all there is."""
    if not trail.whole or sight.unreadable:
        shelf.sight = None
        return
    # Set last: an exception in between leaves nothing to go by.
    before, shelf.sight = shelf.sight, None
    if (
            before is not None and before.kind == sight.kind
            and before.files == sight.files and all(map(eq, before.files, sight.files))
    ):
        # One copy of all the names is enough.
        sight = before
    shelf.prefix = trail.prefix
    shelf.directories = tuple(trail.directories)
    shelf.stamps = b''.join(trail.stamps)
    shelf.files = b''.join(trail.files)
    due: dict[int, list[str]] = {}
    for at, name in enumerate(sight.files):
        (inode,) = struct.unpack_from('=Q', shelf.files, at * WIDTH)
        due.setdefault(turn(inode, terms.rounds), []).append(name)
    shelf.due = due
    shelf.rounds = terms.rounds
    shelf.sight = sight


def stands(
        shelf: Shelf, terms: Terms, read: Callable[[str], bytes],
        pause: Callable[[int], None],
) -> Sight | None:
    """Return what was seen where all is still as it was, else None.

    read: a path -> its digest, for those whose turn it is; may raise OSError.
    pause: called with a number of files every now and then; may raise.
    """
    sight = shelf.sight
    if sight is None or shelf.rounds != terms.rounds:
        return None
    try:
        if not same(shelf.directories, shelf.stamps, pause):
            return None
        names = map(shelf.prefix.__add__, sight.files)
        if not same(names, shelf.files, pause):
            return None
        for name in shelf.due.get(terms.turn, ()):
            if read(shelf.prefix + name) != sight.files[name]:
                # What stat says there is not to be believed.
                shelf.sight = None
                return None
    except (OSError, struct.error):
        return None
    return sight


def rests(shelf: Shelf, turn: int, rounds: int) -> bool:
    """Return whether all stands as it was, and no file's turn has come.

    False for what may well stand, but takes longer to find out: see stands().
    """
    sight = shelf.sight
    if (
            sight is None or sight.kind == 'glob' or shelf.rounds != rounds
            or turn in shelf.due or len(sight.files) > FEW
    ):
        return False
    names = map(shelf.prefix.__add__, sight.files)
    try:
        for paths, were in (shelf.directories, shelf.stamps), (names, shelf.files):
            if b''.join(starmap(STAMP.pack, map(FIELDS, map(os.stat, paths)))) != were:
                return False
    except (OSError, struct.error):
        return False
    return True


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
