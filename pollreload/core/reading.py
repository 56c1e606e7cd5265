"""What a poll read at each path, and how far that is believed. Pure."""

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
RECHECK = 0.25  # s until trouble is believed: with fsGroup a fresh file is EACCES
MEMBER_GRACE = 30.0  # s until an unreadable member stops blocking its neighbours


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
    """A path that is not readable: whole, or a member of it; since in seconds."""

    reason: str
    since: float
    whole: bool = True
    reported: bool = False


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


# (position of the path, name) -> since when it has been empty or unreadable, and which:
# the digest.
Doubts = Mapping[tuple[int, str], tuple[float, bytes]]


class Belief(NamedTuple):
    """What a poll saw as it is believed, with what was known before.

    known: each path as it was read, or as it was known if it cannot be read.
    reasons: position -> why the path, or a member of it, cannot be read, and whether
        it is the path as a whole.
    readable: whether any path could be read.
    doubts: what is distrusted; ends: when the last doubt is over, 0.0 for none.
    """

    known: tuple[Known | None, ...]
    reasons: Mapping[int, tuple[str, bool]]
    readable: bool
    doubts: Doubts
    ends: float


def unreadable_files(reading: Reading, known: Known | None) -> dict[str, bytes]:
    """Return the members that cannot be read and count all the same.

    What is no regular file has no content, so that it comes and goes without a
    change, unless it took the place of a file.
    """
    was = known.files if known is not None else {}
    return {
        name: UNREADABLE for name, reason in reading.unreadable.items()
        if reason not in NO_CONTENT or name in was
    }


def patience(digest: bytes, was: bytes | None, grace: float, blank: bool) -> float:
    """Return for how many seconds a digest that is not as it was is distrusted."""
    if digest == UNREADABLE and was != UNREADABLE:
        # What could never be read is no part of what the targets have.
        return RECHECK if blank or was is None else MEMBER_GRACE
    if digest == EMPTY and was not in (None, EMPTY, UNREADABLE):
        return grace
    return 0.0


def believe(
        before: Sequence[Known | None], doubted: Doubts, snapshot: Snapshot, now: float,
        grace: float, blank: bool,
) -> Belief:
    """Return the belief that follows from a poll.

    before, doubted: what was known, and the doubts, after the last poll.
    grace: --empty-grace in seconds. blank: nothing was known of any path.
    """
    found: list[Known | None] = []
    reasons: dict[int, tuple[str, bool]] = {}
    doubts: dict[tuple[int, str], tuple[float, bytes]] = {}
    ends = 0.0
    readable = False
    for position, reading in enumerate(snapshot.readings):
        known = before[position] if position < len(before) else None
        reason = whole_trouble(reading, known)
        if reason:
            reasons[position] = reason, True
            found.append(known)
            continue
        readable = True
        files = reading.files
        if reading.unreadable:
            reasons[position] = unreadable_members(reading), False
            files = {**files, **unreadable_files(reading, known)}
        if known is not None and files == known.files:
            # The common case: one dict is kept, and nothing is in doubt.
            found.append(known._replace(kind=reading.kind))
            continue
        found.append(Known(reading.kind, files))
        was = known.files if known is not None else {}
        waits = [
            (name, digest, patience(digest, was.get(name), grace, blank))
            for name, digest in files.items()
        ]
        if was and not files:
            # All of it at once: more often an unmounted file system than a deletion.
            waits.append(('', EMPTY, grace))
        for name, digest, seconds in waits:
            if seconds:
                since, was_so = doubted.get((position, name), (now, digest))
                # What was unreadable and is empty now is a new doubt.
                since = since if was_so == digest else now
                doubts[position, name] = since, digest
                ends = max(ends, since + seconds)
    return Belief(tuple(found), reasons, readable, doubts, ends)


def all_unreadable(doubts: Doubts) -> bool:
    """Return whether there are doubts, and each is about an unreadable file."""
    return bool(doubts) and all(digest == UNREADABLE for _, digest in doubts.values())


def troubled(
        known: Mapping[int, Trouble], reasons: Mapping[int, tuple[str, bool]],
        now: float,
) -> tuple[dict[int, Trouble], tuple[int, ...], tuple[int, ...]]:
    """Return the troubles after a poll, those to report now, and those that ended.

    Trouble is believed from the second poll on, and reported once until its
    reason changes or it ends. known: the troubles before.
    """
    troubles: dict[int, Trouble] = {}
    failing: list[int] = []
    for position, (reason, whole) in reasons.items():
        before = known.get(position, Trouble(reason, now))
        reported = before.reported and before.reason == reason
        if not reported and now - before.since >= RECHECK:
            failing.append(position)
            reported = True
        troubles[position] = Trouble(reason, before.since, whole, reported)
    recovered = [
        position for position, before in known.items()
        if before.reported and position not in reasons
    ]
    return troubles, tuple(failing), tuple(recovered)
