"""Whether the content of a watch has changed, has settled, and is due. Pure."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, assert_never

# XXH3-128 of no bytes at all, as xxhsum -H2 prints it for an empty file.
EMPTY = bytes.fromhex('99aa06d3014798d86001c324468d497f')
# What stands for the digest of a member that cannot be read.
UNREADABLE = b''
# Reasons of a path at which nothing is; the reader has them for ENOENT and ENOTDIR.
MISSING = 'no such file'
NOT_A_DIRECTORY = 'not a directory'
MATCHES_NOTHING = 'matches nothing'
RECHECK = 0.25  # s until trouble is believed: with fsGroup a fresh file is EACCES
MEMBER_GRACE = 30.0  # s until an unreadable member stops blocking its neighbours
RESTLESS = 60.0  # s of change without rest that are worth a line


class Reading(NamedTuple):
    """What one look saw of one path.

    kind: 'file', 'directory' or 'glob'; '' where the path could not be read.
    files: name relative to the path -> XXH3-128 digest (16 bytes). The name
        of a file that is itself the path is ''.
    unreadable: name -> why, for a person ('permission denied'); the name ''
        of a directory, a glob or nothing at all is the path as a whole, and
        files is then empty.
    """

    kind: str
    files: Mapping[str, bytes]
    unreadable: Mapping[str, str]


class Snapshot(NamedTuple):
    """What one look saw: a Sight for each path, in the order of the paths.

    newest: the latest mtime or ctime of the files and of the links on the
        way, in seconds of CLOCK_REALTIME; 0.0 where it was not asked for.
    """

    readings: tuple[Reading, ...]
    newest: float = 0.0


class Known(NamedTuple):
    """The content of one path, as last believed."""

    kind: str
    files: Mapping[str, bytes]


class Trouble(NamedTuple):
    """A path that is not readable: whole, or a member of it; since in seconds."""

    reason: str
    since: float
    whole: bool = True
    reported: bool = False


class Memory(NamedTuple):
    """What is remembered of the content of a watch; times are boot seconds.

    state: 'blank', 'current', 'settling' or 'due'.
    known: what was last believed, for each path; None: not known yet.
    known_print: the fingerprint of all that.
    seen, seen_at: the fingerprint of the last looks in a row, and when the
        first of them ended; '' after a look that could read nothing.
    delivered: the fingerprint that the targets have; '' where that is unknown.
    left: when the last poll began that saw what is delivered, if another version, or
        a path that is away, was seen since; a process that started or was notified
        after that may have read the other.
    absent: a poll saw nothing at one of the paths before the first version was
        read; what appears there later is new, whatever its dates.
    waiting: what it waits for: '', 'recheck', 'settle' or 'doubt'.
    firm: what the last look saw that could read it all, or knew it; altered: when
        that was last another than before.
    restless: since when one new content after another has been seen.
    doubts: (position of the path, name) -> since when it has been empty or
        unreadable, and which: the digest.
    troubles: position of the path -> what is wrong with it.
    read_at, ended_at: when the last reading began and ended.
    """

    state: str = 'blank'
    known: tuple[Known | None, ...] = ()
    known_print: str = ''
    seen: str = ''
    seen_at: float = 0.0
    delivered: str = ''
    left: float = 0.0
    firm: str = ''
    altered: float = 0.0
    restless: float = 0.0
    doubts: Mapping[tuple[int, str], tuple[float, bytes]] = {}
    troubles: Mapping[int, Trouble] = {}
    read_at: float = -1.0
    ended_at: float = -1.0
    absent: bool = False
    waiting: str = ''


class Decision(NamedTuple):
    """What follows from a look.

    action: what the table says.
    again: when to look again, in boot seconds; 0.0: at the next poll.
    changed: the names that differ from what was known, position and name.
    failing, mended: positions whose trouble is to be reported, or is over.
    """

    action: Action
    again: float = 0.0
    changed: tuple[tuple[int, str], ...] = ()
    failing: tuple[int, ...] = ()
    mended: tuple[int, ...] = ()


Action = Literal[
    'wait', 'baseline', 'none', 'keep', 'doubt', 'settle', 'report', 'return',
    'start over',
]
UNCHANGED = Decision('none')
# (state, what a poll saw) -> (next state, action). A poll sees
#   nothing     no path could be read
#   delivered   what the targets have already
#   doubtful    another version, part of which became empty or unreadable lately
#   unsettled   another version, for less than --settle
#   settled     another version, for --settle or longer
# and the actions are
#   wait        nothing is known yet
#   baseline    take the version as what is there; --on-start says whether to deliver
#   none        the targets are up to date
#   keep        no path can be read: keep what is known
#   doubt       poll again when the doubt is over; deliver nothing
#   settle      poll again after --settle
#   report      log which files have changed
#   return      the delivered version is there again
#   start over  the version has to settle again
TABLE: dict[tuple[str, str], tuple[str, Action]] = {
    ('blank', 'nothing'): ('blank', 'wait'),
    # Nothing has been delivered yet; to take it as such would lose a change.
    ('blank', 'delivered'): ('current', 'baseline'),
    ('blank', 'doubtful'): ('blank', 'wait'),
    ('blank', 'unsettled'): ('current', 'baseline'),
    ('blank', 'settled'): ('current', 'baseline'),
    ('current', 'nothing'): ('current', 'keep'),
    ('current', 'delivered'): ('current', 'none'),
    ('current', 'doubtful'): ('settling', 'doubt'),
    ('current', 'unsettled'): ('settling', 'settle'),
    ('current', 'settled'): ('due', 'report'),
    ('settling', 'nothing'): ('settling', 'start over'),
    ('settling', 'delivered'): ('current', 'return'),
    ('settling', 'doubtful'): ('settling', 'doubt'),
    ('settling', 'unsettled'): ('settling', 'settle'),
    ('settling', 'settled'): ('due', 'report'),
    ('due', 'nothing'): ('settling', 'start over'),
    ('due', 'delivered'): ('current', 'return'),
    ('due', 'doubtful'): ('settling', 'doubt'),
    ('due', 'unsettled'): ('settling', 'settle'),
    ('due', 'settled'): ('due', 'report'),
}
Digest = Callable[[Sequence[Mapping[str, bytes] | None]], str]


def trouble(sight: Reading, known: Known | None) -> str:
    """Return why a path as a whole counts as unreadable, or ''."""
    if not sight.kind or (sight.kind != 'file' and '' in sight.unreadable):
        return sight.unreadable.get('', 'cannot be read')
    if sight.files or sight.unreadable:
        # Also of another kind than before: what is there is what counts.
        return ''
    if known is not None and known.kind == 'file':
        # Docker makes such a directory in place of a file that is missing.
        return {
            'directory': 'is an empty directory now, and was a file',
            'glob': MISSING,
        }[sight.kind]
    if known is None and sight.kind == 'glob':
        return MATCHES_NOTHING
    return ''


def absent(reading: Reading) -> bool:
    """Return whether nothing is at a path: not even a file that cannot be read."""
    if reading.files:
        return False
    return not reading.unreadable or reading.unreadable.get('') in (
        MISSING, NOT_A_DIRECTORY,
    )


def summary(sight: Reading) -> str:
    """Return why members of a path are unreadable, the first one by name, or ''."""
    names = sorted(sight.unreadable)
    if not names:
        return ''
    more = f' (and {len(names) - 1} more)' if len(names) > 1 else ''
    return f'{names[0]}: {sight.unreadable[names[0]]}{more}'


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


# What a look says when nothing is forgotten:
#   the content of each path, the last known where it cannot be read;
#   position -> why the path, or a member of it, cannot be read, and whether it
#     is the path as a whole;
#   whether any path could be read;
#   the doubts, as in Memory, and when the last of them is over, 0.0 for none.
Belief = tuple[
    tuple[Known | None, ...], Mapping[int, tuple[str, bool]], bool,
    Mapping[tuple[int, str], tuple[float, bytes]], float,
]


def patience(digest: bytes, was: bytes | None, grace: float, blank: bool) -> float:
    """Return for how many seconds a digest that is not as it was is distrusted."""
    if digest == UNREADABLE and was != UNREADABLE:
        return RECHECK if blank else MEMBER_GRACE
    if digest == EMPTY and was not in (None, EMPTY, UNREADABLE):
        return grace
    return 0.0


def believe(memory: Memory, snapshot: Snapshot, now: float, grace: float) -> Belief:
    """Return a look as it is believed: with what is known, and with doubts."""
    contents: list[Known | None] = []
    reasons: dict[int, tuple[str, bool]] = {}
    doubts: dict[tuple[int, str], tuple[float, bytes]] = {}
    ends = 0.0
    readable = False
    blank = memory.state == 'blank'
    for position, sight in enumerate(snapshot.readings):
        known = memory.known[position] if position < len(memory.known) else None
        reason = trouble(sight, known)
        if reason:
            reasons[position] = reason, True
            contents.append(known)
            continue
        readable = True
        files = sight.files
        if sight.unreadable:
            reasons[position] = summary(sight), False
            files = {**files, **dict.fromkeys(sight.unreadable, UNREADABLE)}
        if known is not None and files == known.files:
            # The common case: one dict is kept, and nothing is in doubt.
            contents.append(known._replace(kind=sight.kind))
            continue
        contents.append(Known(sight.kind, files))
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
                since, before = memory.doubts.get((position, name), (now, digest))
                # What was unreadable and is empty now is a new doubt.
                since = since if before == digest else now
                doubts[position, name] = since, digest
                ends = max(ends, since + seconds)
    return tuple(contents), reasons, readable, doubts, ends


def unread(doubts: Mapping[tuple[int, str], tuple[float, bytes]]) -> bool:
    """Return whether all that was in doubt was so because it could not be read."""
    return bool(doubts) and all(digest == UNREADABLE for _, digest in doubts.values())


def troubled(
        memory: Memory, reasons: Mapping[int, tuple[str, bool]], now: float,
) -> tuple[dict[int, Trouble], tuple[int, ...], tuple[int, ...]]:
    """Return the troubles after a look, those to report now, and those that ended.

    Trouble is believed from the second look on, and reported once until its
    reason changes or it ends.
    """
    troubles: dict[int, Trouble] = {}
    failing: list[int] = []
    for position, (reason, whole) in reasons.items():
        before = memory.troubles.get(position, Trouble(reason, now))
        reported = before.reported and before.reason == reason
        if not reported and now - before.since >= RECHECK:
            failing.append(position)
            reported = True
        troubles[position] = Trouble(reason, before.since, whole, reported)
    mended = [
        position for position, before in memory.troubles.items()
        if before.reported and position not in reasons
    ]
    return troubles, tuple(failing), tuple(mended)


def observe(
        memory: Memory, snapshot: Snapshot, began: float, now: float,
        settle: float, grace: float, digest: Digest, longest: float = 0.0,
) -> tuple[Memory, Decision]:
    """Return what is remembered after a poll that ends now, and what follows.

    began: when it began; between the end of one poll and the beginning of
        another there must be --settle, because a poll may take long.
    settle, grace: --settle and --empty-grace in seconds.
    digest: makes a fingerprint of the files of each path in turn.
    longest: --max-wait in seconds; 0.0 for none.
    """
    if unchanged(memory, snapshot):
        # Almost every poll is so; nothing more is computed, because a sidecar
        # spends its life here.
        return memory._replace(read_at=began, ended_at=now), UNCHANGED
    before, was_away = memory.read_at, away(memory)
    known, reasons, readable, doubts, ends = believe(memory, snapshot, now, grace)
    troubles, failing, mended = troubled(memory, reasons, now)
    memory = memory._replace(
        troubles=troubles, doubts=doubts, read_at=began, ended_at=now,
    )
    if was_away and not away(memory):
        # A target that started before has not read all of it.
        memory = memory._replace(seen_at=now)
    found = memory.known_print
    if known != memory.known or not found:
        found = digest([it.files if it is not None else None for it in known])
    seen_at = memory.seen_at if found == memory.seen else now
    settled_at = seen_at + settle
    if longest:
        settled_at = min(settled_at, (memory.restless or now) + longest)
    if not readable:
        saw = 'nothing'
    elif memory.delivered and found == memory.delivered:
        saw = 'delivered'
    elif now < ends:
        saw = 'doubtful'
    elif settle and began < settled_at:
        saw = 'unsettled'
    else:
        saw = 'settled'
    # A path that cannot be read now is known as it was, and a target may read less.
    firm = f'{found} in part' if away(memory) else found
    if readable and not (now < ends and unread(doubts)) and firm != memory.firm:
        memory = memory._replace(firm=firm, altered=now)
    recheck = any(not it.reported for it in troubles.values())
    state, action = TABLE[memory.state, saw]
    decision = Decision(
        action, now + RECHECK if recheck else 0.0, failing=failing, mended=mended,
    )
    if memory.state == 'current' and (saw != 'delivered' or away(memory)):
        memory = memory._replace(left=memory.left or before)
    memory = memory._replace(state=state, waiting='recheck' if recheck else '')
    match action:
        case 'keep':
            pass
        case 'wait':
            if any(map(absent, snapshot.readings)):
                # Kept in the ledger as a version of which nothing is known yet.
                memory = memory._replace(absent=True, known=known)
        case 'start over':
            memory = memory._replace(seen='', restless=0.0)
        case 'baseline' | 'none' | 'return':
            memory = memory._replace(
                known=known, known_print=found, seen=found, seen_at=seen_at,
                delivered=found, restless=0.0,
            )
        case 'doubt' | 'settle':
            again = ends if action == 'doubt' else settled_at
            memory = memory._replace(
                seen=found, seen_at=seen_at, restless=memory.restless or now,
                waiting=action,
            )
            again = min(again, decision.again or again)
            decision = decision._replace(again=again)
        case 'report':
            decision = decision._replace(changed=differences(memory.known, known))
            memory = memory._replace(
                known=known, known_print=found, seen=found, seen_at=seen_at,
                restless=0.0,
            )
        case _:
            assert_never(action)
    return memory, decision


def away(memory: Memory) -> bool:
    """Return whether a path that is known cannot be read as a whole now."""
    return any(
        trouble.whole and memory.known[position:position + 1] not in ((), (None,))
        for position, trouble in memory.troubles.items()
    )


def quiet(memory: Memory) -> bool:
    """Return whether the targets have this version and no time limit is running."""
    return (
        memory.state == 'current' and bool(memory.delivered)
        and memory.delivered == memory.seen == memory.known_print
        and not (memory.left or memory.restless or memory.doubts or memory.troubles)
    )


def unchanged(memory: Memory, snapshot: Snapshot) -> bool:
    """Return whether a poll read just what the targets have."""
    if not quiet(memory) or len(memory.known) != len(snapshot.readings):
        return False
    readings = zip(memory.known, snapshot.readings, strict=True)
    for known, (kind, files, unreadable) in readings:
        if known != (kind, files) or unreadable:
            return False
    return True


def restless(memory: Memory, now: float) -> bool:
    """Return whether a look saw a new content once more, after a minute of that."""
    return (
        memory.state == 'settling' and memory.seen_at == memory.ended_at
        and memory.restless > 0.0 and now - memory.restless >= RESTLESS
    )


def advance(memory: Memory, fingerprint: str, since: float) -> Memory:
    """Return the memory after every target has a content: the one way it advances.

    since: who started later may have read what is there now instead.
    """
    # While a path is away, a target may have read nothing there.
    left = memory.seen_at if away(memory) else 0.0
    if memory.seen == fingerprint and memory.state == 'due':
        return memory._replace(state='current', delivered=fingerprint, left=left)
    return memory._replace(delivered=fingerprint, left=left or since)


def void(memory: Memory) -> Memory:
    """Return the memory when a signal is about to be sent: nothing is done any more."""
    return memory._replace(delivered='')


def tell_first(memory: Memory) -> Memory:
    """Return the memory where the targets are to be told of what is there."""
    return memory._replace(state='settling', delivered='', left=0.0, waiting='settle')
