"""Whether the version of a watch has changed, has settled, and is due. Pure."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, assert_never

from pollreload.core.belief import RECHECK, all_unreadable, believe, troubled
from pollreload.core.reading import (
    Digest,
    Known,
    Snapshot,
    Trouble,
    differences,
    is_absent,
)

LOG_AFTER = 60.0  # s of changes in a row, or of validation, before a line is logged
Action = Literal[
    'wait', 'baseline', 'none', 'keep', 'doubt', 'settle', 'report', 'return',
    'start over',
]


class Memory(NamedTuple):
    """What is remembered of the files of a watch; times are boot seconds.

    state: 'blank', 'current', 'settling' or 'due'.
    known: what was last believed, for each path; None: not known yet.
    known_print: the fingerprint of all that.
    seen, seen_at: the fingerprint of the last polls in a row, and when the
        first of them ended; '' after a poll that could read nothing.
    delivered: the fingerprint that the targets have; '' if that is unknown.
    left: when the last poll began that saw what is delivered, if another version, or
        a path that is away, was seen since; a process that started or was notified
        after that may have read the other.
    absent: a poll saw nothing at one of the paths before the first version was
        read; what appears there later is new, whatever its dates.
    waiting: what it waits for: '', 'recheck', 'settle' or 'doubt'.
    firm: what the last poll saw that could read it all, or knew it; altered: when
        that was last another than before.
    changing_since: since when one version after another has been seen, later by the
        time in which they were in doubt.
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
    changing_since: float = 0.0
    doubts: Mapping[tuple[int, str], tuple[float, bytes]] = {}
    troubles: Mapping[int, Trouble] = {}
    read_at: float = -1.0
    ended_at: float = -1.0
    absent: bool = False
    waiting: str = ''


class Decision(NamedTuple):
    """What follows from a poll.

    action: what the table says.
    again: when to poll again, in boot seconds; 0.0: at the next poll.
    changed: the names that differ from what was known, position and name.
    failing, recovered: positions whose trouble is reported now, or is over.
    """

    action: Action
    again: float = 0.0
    changed: tuple[tuple[int, str], ...] = ()
    failing: tuple[int, ...] = ()
    recovered: tuple[int, ...] = ()


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


def observe(
        memory: Memory, snapshot: Snapshot, began: float, now: float,
        settle: float, grace: float, digest: Digest, longest: float = 0.0,
) -> tuple[Memory, Decision]:
    """Return the memory after a poll that ends now, and the decision.

    began: when it began; between the end of one poll and the beginning of
        another there must be --settle, because a poll may take long.
    settle, grace: --settle and --empty-grace in seconds.
    digest: computes the fingerprint of the files of each path in turn.
    longest: --max-wait in seconds; 0.0 for none.
    """
    if unchanged(memory, snapshot):
        # Most polls of a sidecar end here, so nothing more is computed.
        return memory._replace(read_at=began, ended_at=now), UNCHANGED
    if memory.waiting == 'doubt':
        # What was distrusted is no version that waits for --max-wait.
        changing = memory.changing_since + now - memory.ended_at
        memory = memory._replace(changing_since=changing)
    before, was_away = memory.read_at, away(memory)
    known, reasons, readable, doubts, ends = believe(
        memory.known, memory.doubts, memory.troubles, snapshot, now, grace,
        memory.known_print == memory.delivered, memory.state == 'blank',
    )
    troubles, failing, recovered = troubled(memory.troubles, reasons, now)
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
        settled_at = min(settled_at, (memory.changing_since or now) + longest)
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
    # What cannot be read now is known as it was, and a target may read less.
    firm = f'{found} in part' if away(memory) else found
    if readable and not (now < ends and all_unreadable(doubts)) and firm != memory.firm:
        memory = memory._replace(firm=firm, altered=now)
    recheck = any(not it.reported for it in troubles.values())
    state, action = TABLE[memory.state, saw]
    decision = Decision(
        action, now + RECHECK if recheck else 0.0, failing=failing, recovered=recovered,
    )
    if memory.state == 'current' and (saw != 'delivered' or away(memory)):
        memory = memory._replace(left=memory.left or before)
    memory = memory._replace(state=state, waiting='recheck' if recheck else '')
    match action:
        case 'wait' if any(map(is_absent, snapshot.readings)):
            # Kept in the ledger as a version of which nothing is known yet.
            memory = memory._replace(absent=True, known=known)
        case 'keep' | 'wait':
            pass
        case 'start over':
            memory = memory._replace(seen='', changing_since=0.0)
        case 'baseline' | 'none' | 'return':
            memory = memory._replace(
                known=known, known_print=found, seen=found, seen_at=seen_at,
                delivered=found, changing_since=0.0,
            )
        case 'doubt' | 'settle':
            again = ends if action == 'doubt' else settled_at
            memory = memory._replace(
                seen=found, seen_at=seen_at, waiting=action,
                changing_since=memory.changing_since or now,
            )
            again = min(again, decision.again or again)
            decision = decision._replace(again=again)
        case 'report':
            decision = decision._replace(changed=differences(memory.known, known))
            memory = memory._replace(
                known=known, known_print=found, seen=found, seen_at=seen_at,
                changing_since=0.0,
            )
        case _:
            assert_never(action)
    return memory, decision


def away(memory: Memory) -> bool:
    """Return whether a path or a member that is known cannot be read now."""
    return any(
        bool(trouble.kept) or (
            trouble.whole and memory.known[position:position + 1] not in ((), (None,))
        ) for position, trouble in memory.troubles.items()
    )


def up_to_date(memory: Memory) -> bool:
    """Return whether the targets have this version and no time limit is running."""
    return (
        memory.state == 'current' and bool(memory.delivered)
        and memory.delivered == memory.seen == memory.known_print
        and not (memory.left or memory.changing_since)
        and not (memory.doubts or memory.troubles)
    )


def unchanged(memory: Memory, snapshot: Snapshot) -> bool:
    """Return whether a poll read just what the targets have."""
    if not up_to_date(memory) or len(memory.known) != len(snapshot.readings):
        return False
    readings = zip(memory.known, snapshot.readings, strict=True)
    for known, (kind, files, unreadable) in readings:
        if known != (kind, files) or unreadable:
            return False
    return True


def keeps_changing(memory: Memory, now: float) -> bool:
    """Return whether a poll saw yet another version, after a minute of changes."""
    return (
        memory.state == 'settling' and memory.seen_at == memory.ended_at
        and memory.changing_since > 0.0 and now - memory.changing_since >= LOG_AFTER
    )


def advance(memory: Memory, fingerprint: str, since: float) -> Memory:
    """Return the memory after every target has a version: the one way it advances.

    since: a process that started later may have read what is there now instead.
    """
    # While a path is away, a target may have read nothing there.
    left = memory.seen_at if away(memory) else 0.0
    if memory.seen == fingerprint and memory.state == 'due':
        return memory._replace(state='current', delivered=fingerprint, left=left)
    return memory._replace(delivered=fingerprint, left=left or since)


def forget(memory: Memory) -> Memory:
    """Return the memory before a signal is sent: no version counts as delivered."""
    return memory._replace(delivered='')


def redeliver(memory: Memory) -> Memory:
    """Return the memory in which the current version is not delivered yet."""
    return memory._replace(state='settling', delivered='', left=0.0, waiting='settle')
