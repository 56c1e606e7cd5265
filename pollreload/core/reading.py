"""What a poll read at each path. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

# XXH3-128 of no bytes at all, as xxhsum -H2 prints it for an empty file.
EMPTY = bytes.fromhex('99aa06d3014798d86001c324468d497f')
# What stands for the digest of a member that cannot be read.
UNREADABLE = b''
# Why nothing is at a path: the reasons of the reader for ENOENT and ENOTDIR.
MISSING = 'no such file'
NOT_A_DIRECTORY = 'not a directory'
MATCHES_NOTHING = 'matches nothing'
# Why something is never opened: the reasons of the reader for what has no content.
FIFO = 'is a FIFO'
SOCKET = 'is a socket'
DEVICE = 'is a device'
NO_CONTENT = frozenset((FIFO, SOCKET, DEVICE))


class Reading(NamedTuple):
    """What one poll read at one path.

    kind: 'file', 'directory' or 'glob'; '' if the path could not be read, and
        'missing' if its absence counts, see counted().
    files: name relative to the path -> XXH3-128 digest (16 bytes). The name
        of a file that is itself the path is ''.
    unreadable: name -> why ('permission denied'); the name ''
        of a directory, a glob or nothing at all is the path as a whole, and
        files is then empty.
    """

    kind: str
    files: Mapping[str, bytes]
    unreadable: Mapping[str, str]


class Snapshot(NamedTuple):
    """What one poll read: a Reading for each path, in the order of the paths.

    newest: the latest mtime or ctime of the files and of the links on the
        way, in seconds of CLOCK_REALTIME; 0.0 if it was not asked for.
    """

    readings: tuple[Reading, ...]
    newest: float = 0.0


class Known(NamedTuple):
    """The files of one path, as last believed."""

    kind: str
    files: Mapping[str, bytes]


class Trouble(NamedTuple):
    """A path that is not readable: whole, or a member of it; since in seconds.

    kept: the names at and below which what is known counts as it was.
    """

    reason: str
    since: float
    whole: bool = True
    reported: bool = False
    kept: frozenset[str] = frozenset()


Digest = Callable[[Sequence[Mapping[str, bytes] | None]], str]


def whole_trouble(reading: Reading, known: Known | None) -> str:
    """Return why a path as a whole counts as unreadable, or ''."""
    if not reading.kind or (reading.kind != 'file' and '' in reading.unreadable):
        return reading.unreadable.get('', 'cannot be read')
    if reading.files or reading.unreadable or reading.kind == 'missing':
        # It may be of another kind than before: only what is there now counts.
        return ''
    if known is not None and known.kind == 'file':
        # Docker makes such a directory in place of a file that is missing.
        return {
            'directory': 'is an empty directory now, and was a file',
            'glob': MISSING,
        }[reading.kind]
    if known is None and reading.kind == 'glob':
        return MATCHES_NOTHING
    return ''


def counted(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot in which a path that is missing is a path without files.

    So its deletion and its creation are changes (--on-missing notify).
    """
    return snapshot._replace(readings=tuple(
        Reading(each.kind or 'missing', {}, {})
        if each.unreadable.get('') in (MISSING, NOT_A_DIRECTORY) and not each.files
        else each for each in snapshot.readings
    ))


def is_absent(reading: Reading) -> bool:
    """Return whether nothing is at a path: not even a file that cannot be read."""
    if reading.files:
        return False
    return not reading.unreadable or reading.unreadable.get('') in (
        MISSING, NOT_A_DIRECTORY,
    )


def unreadable_members(reading: Reading) -> str:
    """Return why members of a path are unreadable, the first one by name, or ''.

    Of what is no regular file only one is shown, and only if there is nothing else: a
    server may make a socket for each of its workers.
    """
    special = sorted(
        name for name, reason in reading.unreadable.items() if reason in NO_CONTENT
    )
    names = sorted(reading.unreadable.keys() - special) or special[:1]
    if not names:
        return ''
    more = f' (and {len(names) - 1} more)' if len(names) > 1 else ''
    return f'{names[0]}: {reading.unreadable[names[0]]}{more}'


def differences(
        before: Sequence[Known | Reading | None],
        after: Sequence[Known | Reading | None],
) -> tuple[tuple[int, str], ...]:
    """Return the position and name of each file that came, went or changed."""
    found: list[tuple[int, str]] = []
    for position, known in enumerate(after):
        old = before[position] if position < len(before) else None
        was: Mapping[str, bytes] = old.files if old is not None else {}
        now: Mapping[str, bytes] = known.files if known is not None else {}
        found += [
            (position, name)
            for name in sorted(was.keys() | now.keys())
            if was.get(name) != now.get(name)
        ]
    return tuple(found)
