"""How far what a poll read is believed, if a part of it cannot be read. Pure."""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from pollreload.core.reading import (
    EMPTY,
    MISSING,
    NO_CONTENT,
    NOT_A_DIRECTORY,
    UNREADABLE,
    Known,
    Reading,
    Snapshot,
    Trouble,
    unreadable_members,
    whole_trouble,
)

RECHECK = 0.25  # s until trouble is believed: with fsGroup a fresh file is EACCES
MEMBER_GRACE = 30.0  # s until an unreadable member stops blocking its neighbours

# (position of the path, name) -> since when it has been empty or unreadable, and which:
# the digest.
Doubts = Mapping[tuple[int, str], tuple[float, bytes]]


class Cause(NamedTuple):
    """Why a path, or a member of it, cannot be read; as in Trouble."""

    reason: str
    whole: bool
    kept: frozenset[str] = frozenset()


class Belief(NamedTuple):
    """What a poll saw as it is believed, with what was known before.

    known: each path as it was read, or as it was known if it cannot be read.
    reasons: position -> why the path, or a member of it, cannot be read.
    readable: whether any path could be read.
    doubts: what is distrusted; ends: when the last doubt is over, 0.0 for none.
    """

    known: tuple[Known | None, ...]
    reasons: Mapping[int, Cause]
    readable: bool
    doubts: Doubts
    ends: float


def top_of(name: str, tops: Container[str]) -> str:
    """Return which of these names a file is at or below, or ''."""
    while name and name not in tops:
        name = name.rpartition('/')[0]
    return name


class Unread(NamedTuple):
    """What the members of a path count as that cannot be read.

    files: name -> digest. kept: the names at and below which it is as it was known.
    waits: the names that are distrusted, and for how many seconds.
    """

    files: Mapping[str, bytes]
    kept: frozenset[str]
    waits: Sequence[tuple[str, float]]


def unreadable_files(
        reading: Reading, was: Mapping[str, bytes], kept: Container[str],
        delivered: bool, blank: bool,
) -> Unread:
    """Return what the members of a path count as that cannot be read.

    was: what was known of the path. kept: as in Unread, after the last poll.
    delivered: whether the targets have what is known. blank: nothing is known.

    What the targets have at and below a name is kept, as it is for a whole path. A file
    that is gone, though its volume should have it, is a change after a while, and so is
    one of a version that is due. What was never read is part of the version as
    unreadable, unless it is no regular file: that has no content.
    """
    tops = {name.rstrip('/'): name for name in reading.unreadable}
    known: dict[str, dict[str, bytes]] = {}
    for file, digest in was.items():
        if top := top_of(file, tops):
            known.setdefault(top, {})[file] = digest
    files: dict[str, bytes] = {}
    keeps = set()
    waits: list[tuple[str, float]] = []
    for top, name in tops.items():
        below, reason = known.get(top, {}), reading.unreadable[name]
        read = any(digest != UNREADABLE for digest in below.values())
        if read and (
                reason in (MISSING, NOT_A_DIRECTORY) or not (delivered or top in kept)
        ):
            files[name] = UNREADABLE
            waits.append((name, RECHECK if blank else MEMBER_GRACE))
        elif read:
            files.update(below)
            keeps.add(top)
            waits.append((name, RECHECK))
        elif below:
            files.update(below)
        elif reason not in NO_CONTENT:
            files[name] = UNREADABLE
            waits.append((name, RECHECK))
    return Unread(files, frozenset(keeps), waits)


def believe(
        before: Sequence[Known | None], doubted: Doubts,
        troubles: Mapping[int, Trouble], snapshot: Snapshot, now: float, grace: float,
        delivered: bool, blank: bool,
) -> Belief:
    """Return the belief that follows from a poll.

    before, doubted, troubles: what was known, and what was wrong, after the last poll.
    grace: --empty-grace in seconds. delivered: whether the targets have what was known.
    blank: nothing was known of any path.
    """
    found: list[Known | None] = []
    reasons: dict[int, Cause] = {}
    doubts: dict[tuple[int, str], tuple[float, bytes]] = {}
    ends = 0.0
    readable = False
    for position, reading in enumerate(snapshot.readings):
        known = before[position] if position < len(before) else None
        reason = whole_trouble(reading, known)
        if reason:
            reasons[position] = Cause(reason, whole=True)
            found.append(known)
            continue
        readable = True
        was = known.files if known is not None else {}
        files = reading.files
        waits: list[tuple[str, bytes, float]] = []
        if reading.unreadable:
            kept = troubles[position].kept if position in troubles else frozenset()
            unread = unreadable_files(reading, was, kept, delivered, blank)
            files = {**files, **unread.files}
            waits = [(name, UNREADABLE, seconds) for name, seconds in unread.waits]
            reasons[position] = Cause(unreadable_members(reading), False, unread.kept)
        if known is not None and files == known.files:
            # The common case: one dict is kept, and nothing is in doubt.
            found.append(known._replace(kind=reading.kind))
            continue
        found.append(Known(reading.kind, files))
        if grace:
            waits += [
                (name, EMPTY, grace) for name, digest in files.items()
                if digest == EMPTY and was.get(name) not in (None, EMPTY, UNREADABLE)
            ]
            if was and not files:
                # All of it at once: more often an unmounted file system than a
                # deletion.
                waits.append(('', EMPTY, grace))
        for name, digest, seconds in waits:
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
        known: Mapping[int, Trouble], reasons: Mapping[int, Cause], now: float,
) -> tuple[dict[int, Trouble], tuple[int, ...], tuple[int, ...]]:
    """Return the troubles after a poll, those to report now, and those that ended.

    Trouble is believed from the second poll on, and reported once until its
    reason changes or it ends. known: the troubles before.
    """
    troubles: dict[int, Trouble] = {}
    failing: list[int] = []
    for position, (reason, whole, kept) in reasons.items():
        before = known.get(position, Trouble(reason, now))
        reported = before.reported and before.reason == reason
        if not reported and now - before.since >= RECHECK:
            failing.append(position)
            reported = True
        troubles[position] = Trouble(reason, before.since, whole, reported, kept)
    recovered = [
        position for position, before in known.items()
        if before.reported and position not in reasons
    ]
    return troubles, tuple(failing), tuple(recovered)
