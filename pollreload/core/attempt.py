"""Who has been told of a content, how it went, and when to try again. Pure."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pollreload.core.process import Process

MOST_SENDS = 3  # to one target for one content
MOST_DEATHS = 3  # of targets in a row, until something changes for the better
READ_IT = 10.0  # s: who starts this long after the content was seen reads that
LONGEST_BACKOFF = 60.0  # s


# A process or a child of it: pid, start time in clock ticks, arguments.
Member = tuple[int, int, str]


class Target(NamedTuple):
    """One target of an attempt.

    phase: 'failed' (or never sent to), 'sent', 'pending' (sent, and the
        signal waits in the kernel), 'ending' (sent, and meant to end it),
        'alive' (delivered, to be verified), 'verified' (to be confirmed),
        'done'.
    at: when it was last signalled, boot seconds.
    since: the clock tick (since boot) just before that.
    family: the target and its children just before that, for --verify-workers.
    program: what identifies the file that it ran then (World.program).
    """

    process: Process
    sends: int = 0
    phase: str = 'failed'
    at: float = 0.0
    since: int = 0
    disposition: str = 'unknown'
    program: str = ''
    family: tuple[Member, ...] = ()

    @property
    def name(self) -> tuple[int, int]:
        """Pid and start time, which together name a process."""
        return self.process.pid, self.process.started


class Attempt(NamedTuple):
    """All that was done for one content.

    fingerprint: of that content.
    targets: every target that was notified of it, or need not be.
    tries: how many failed; again: not before this time, boot seconds.
    validated: --validate agreed to this content.
    acted: how many of --exec and --url have succeeded; acted_at: when the first
        began, boot seconds; 0.0: none has.
    doubted: how often all of them had, and --verify did not agree.
    rounds: how often all was told while something else was there for a moment.
    """

    fingerprint: str = ''
    targets: tuple[Target, ...] = ()
    tries: int = 0
    again: float = 0.0
    validated: bool = False
    acted: int = 0
    acted_at: float = 0.0
    doubted: int = 0
    rounds: int = 0


# The phase of a target in flight and what is seen of it once --survive is over -> the
# phase that follows. Seen is
#   gone      dead, a zombie, or another process has the pid
#   pending   alive, and the signal still waits in the kernel
#   alive     alive, and nothing waits
NEXT: dict[tuple[str, str], str] = {
    ('sent', 'gone'): 'failed',
    ('sent', 'pending'): 'pending',
    ('sent', 'alive'): 'alive',
    # Told before, and stopped or busy since: another signal would merge with
    # the one that waits, or come on top of it once it is taken.
    ('pending', 'gone'): 'failed',
    ('pending', 'pending'): 'pending',
    ('pending', 'alive'): 'alive',
    # TERM, INT, QUIT and KILL are meant to end it: the end is the success.
    ('ending', 'gone'): 'done',
    ('ending', 'pending'): 'ending',
    ('ending', 'alive'): 'ending',
}


def of(attempt: Attempt, process: Process) -> Target:
    """Return what was done for a target of this content, also when nothing was."""
    for target in attempt.targets:
        if target.name == (process.pid, process.started):
            return target._replace(process=process)
    return Target(process)


def record(attempt: Attempt, entry: Target) -> Attempt:
    """Return the attempt with one target's entry replaced or added."""
    others = tuple(target for target in attempt.targets if target.name != entry.name)
    return attempt._replace(targets=(*others, entry))


def unmarked(attempt: Attempt, entry: Target) -> Attempt:
    """Return the attempt after a signal did not go out, as it was before the mark."""
    others = tuple(target for target in attempt.targets if target.name != entry.name)
    return attempt._replace(targets=(*others, entry) if entry.sends else others)


def needless(process: Process, matches: Sequence[Process]) -> bool:
    """Return whether a target that started late enough has read the content.

    Only a root reads its configuration at its start; a worker may have been
    forked with the old one in memory.
    """
    return all(match.pid != process.ppid for match in matches)


def renewed(target: Target, family: Sequence[Member]) -> bool:
    """Return whether a target has replaced its workers since the signal.

    A new child alone proves nothing: PostgreSQL starts one for each connection. So
    half of its children must also have exited or changed their arguments, as a worker
    of nginx does that is shutting down; the others may be helpers that stay, or may
    still be busy. Or the target must have re-executed itself with other arguments,
    as HAProxy does, whose old workers stay as long as their connections.

    family: as it is now.
    """
    pid = target.process.pid
    if not any(each[0] != pid and each[1] >= target.since for each in family):
        return False
    before = [each for each in target.family if each[0] != pid]
    kept = [each for each in before if each in family]
    executed = any(each[0] == pid and each not in family for each in target.family)
    return executed or 2 * len(kept) <= len(before)


def backoff(tries: int, jitter: float) -> float:
    """Return how long to wait after a number of failures, in seconds.

    jitter: in [0, 1). Half of the time is fixed, so that it never is none.
    """
    longest = min(LONGEST_BACKOFF, float(2 ** min(tries, 10)))
    return longest * (0.5 + jitter / 2)


def failed(attempt: Attempt, now: float, jitter: float) -> Attempt:
    """Return the attempt after a failure: to be tried again, later and later."""
    tries = attempt.tries + 1
    return attempt._replace(tries=tries, again=now + backoff(tries - 1, jitter))


def broken(deaths: int, deadly: str, disposition: str) -> bool:
    """Return whether the breaker keeps a signal back.

    deaths: targets in a row that died of the signal; deadly: the disposition
        of the last one. A handler is better news only if that one had none.
    One death is enough if a language runtime catches every signal: then only
    the death shows that the program does not handle this one.
    """
    if deadly == 'runtime':
        return deaths > 0
    better = disposition == 'caught' and deadly != 'caught'
    return deaths >= MOST_DEATHS and not better
