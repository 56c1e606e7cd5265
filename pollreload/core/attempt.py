"""Which targets were notified of a version, with what result. Pure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pollreload.core.process import Process

MOST_SENDS = 3  # to one target for one version
MOST_DEATHS = 3  # of targets in a row; a handler or an operator resets them
READ_IT = 10.0  # s after a version was seen, a process that starts reads it
LONGEST_BACKOFF = 60.0  # s


# A process or a child of it: pid, start time in clock ticks, arguments.
Member = tuple[int, int, str]


class Target(NamedTuple):
    """One target of an attempt.

    phase: as in TABLE; PASSED_OVER for a root that is no target.
    at: when it was last signalled, boot seconds.
    since: the clock tick (since boot) just before that.
    family: the target and its children just before that, for --verify-workers.
    program: what identifies the file that it ran then (World.program).
    stack: of one in State.older, where its stack begins (World.stack).
    """

    process: Process
    sends: int = 0
    phase: str = 'untried'
    at: float = 0.0
    since: int = 0
    disposition: str = 'unknown'
    program: str = ''
    family: tuple[Member, ...] = ()
    stack: int = 0

    @property
    def name(self) -> tuple[int, int]:
        """Pid and start time, which together name a process."""
        return self.process.pid, self.process.started


class Attempt(NamedTuple):
    """All that was done for one version.

    fingerprint: of that version.
    targets: every target that was notified of it, or need not be.
    tries: how many failed; again: not before this time, boot seconds.
    validated: --validate accepted this version.
    acted: how many of --exec and --url have succeeded; acted_at: when the first
        began, boot seconds; 0.0: none has.
    doubted: how often all of them had, and --verify did not agree.
    rounds: how often all were notified while another version was there for a moment.
    unvalidated: since when each version was replaced before --validate ended and it
        was notified, boot seconds; 0.0: this one need not be validated yet.
    valid: the fingerprint of the last of those versions that was valid; '' for none.
    late: this version is delivered although a newer one is there (--max-wait).
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
    unvalidated: float = 0.0
    valid: str = ''
    late: bool = False


Action = Literal[
    'none', 'report signal', 'report needless', 'report delivery', 'report end',
    'report successor', 'report other generation', 'report pending', 'report death',
    'report exit', 'report verification', 'report no verification', 'report change',
    'report newer version',
]
# The phase of a target and an event -> the phase that follows and what to do then
# (core.progress). A pair that is missing cannot happen. The events:
#   marked          the ledger says that a signal is about to be sent
#   signalled       it was sent; asked to end: so was one that is meant to end it
#   up to date      it started late enough to have read the version
#   gone            dead, a zombie, or another process has the pid
#   pending         alive, and the signal still waits in the kernel
#   alive           alive, and nothing waits
#   unobserved      not checked, because of --survive 0
#   succeeded       gone, and another process took over
#   outlived        gone, and an older process of the service goes on
#   verified        --verify and --verify-workers agreed; not verified: they did not
#   unverified      no verification is asked for
#   confirmed       a poll after that saw the same version; changed: another one
#   superseded      a newer version settled during the verification
#   restarted       pollreload ended, and a new run goes on with its ledger
TABLE: dict[tuple[str, str], tuple[str, Action]] = {
    ('untried', 'marked'): ('failed', 'none'),
    ('untried', 'up to date'): ('up to date', 'report needless'),
    ('untried', 'restarted'): ('untried', 'none'),
    # Until the signal is out it counts as a failure: a run may end just here.
    ('failed', 'marked'): ('failed', 'none'),
    ('failed', 'signalled'): ('sent', 'report signal'),
    ('failed', 'asked to end'): ('terminating', 'report signal'),
    ('failed', 'up to date'): ('up to date', 'report needless'),
    ('failed', 'restarted'): ('failed', 'none'),
    ('sent', 'gone'): ('failed', 'report death'),
    ('sent', 'pending'): ('pending', 'report pending'),
    ('sent', 'alive'): ('delivered', 'report delivery'),
    ('sent', 'unobserved'): ('delivered', 'report delivery'),
    ('sent', 'succeeded'): ('up to date', 'report successor'),
    ('sent', 'outlived'): ('up to date', 'report other generation'),
    # What came of the signal is unknown: not pending and alive means delivered.
    ('sent', 'restarted'): ('pending', 'none'),
    # Stopped or busy: another signal would merge with the one that waits, or
    # follow it at once. Minutes may pass, so the signal need not be what ends it.
    ('pending', 'gone'): ('failed', 'report exit'),
    ('pending', 'pending'): ('pending', 'report pending'),
    ('pending', 'alive'): ('delivered', 'report delivery'),
    ('pending', 'succeeded'): ('up to date', 'report exit'),
    ('pending', 'outlived'): ('up to date', 'report other generation'),
    ('pending', 'up to date'): ('up to date', 'report needless'),
    ('pending', 'restarted'): ('pending', 'none'),
    # TERM, INT, QUIT and KILL are meant to end it: the end is the success, however
    # long it takes. A second one makes many a program quit by force.
    ('terminating', 'gone'): ('up to date', 'report end'),
    ('terminating', 'unobserved'): ('up to date', 'report end'),
    ('terminating', 'pending'): ('terminating', 'none'),
    ('terminating', 'alive'): ('terminating', 'none'),
    ('terminating', 'restarted'): ('terminating', 'none'),
    ('delivered', 'unverified'): ('up to date', 'none'),
    ('delivered', 'verified'): ('verified', 'none'),
    ('delivered', 'not verified'): ('failed', 'report no verification'),
    ('delivered', 'superseded'): ('failed', 'report newer version'),
    ('delivered', 'gone'): ('failed', 'report death'),
    ('delivered', 'succeeded'): ('up to date', 'report successor'),
    ('delivered', 'outlived'): ('up to date', 'report other generation'),
    ('delivered', 'restarted'): ('pending', 'none'),
    ('verified', 'confirmed'): ('up to date', 'report verification'),
    ('verified', 'changed'): ('failed', 'report change'),
    ('verified', 'superseded'): ('failed', 'report newer version'),
    ('verified', 'restarted'): ('pending', 'none'),
    ('up to date', 'restarted'): ('up to date', 'none'),
}
# Of the roots in State.notified for which a descendant was notified.
PASSED_OVER = 'passed over'
IN_FLIGHT = ('sent', 'pending', 'terminating')


def after_event(entry: Target, event: str) -> Target:
    """Return a target in the phase that follows on an event."""
    return entry._replace(phase=TABLE[entry.phase, event][0])


def entry_of(attempt: Attempt, process: Process) -> Target:
    """Return the entry of a target, a new one if it was not notified yet."""
    for target in attempt.targets:
        if target.name == (process.pid, process.started):
            return target._replace(process=process)
    return Target(process)


def record(attempt: Attempt, entry: Target) -> Attempt:
    """Return the attempt with one target's entry replaced or added."""
    others = tuple(target for target in attempt.targets if target.name != entry.name)
    return attempt._replace(targets=(*others, entry))


def without_mark(attempt: Attempt, entry: Target) -> Attempt:
    """Return the attempt after a signal did not go out, as it was before the mark."""
    others = tuple(target for target in attempt.targets if target.name != entry.name)
    return attempt._replace(targets=(*others, entry) if entry.sends else others)


def needless(process: Process, matches: Sequence[Process]) -> bool:
    """Return whether a target that started late enough has read the version.

    Only a root reads its configuration at its start; a worker may have been forked with
    the old one in memory.
    """
    return all(match.pid != process.ppid for match in matches)


def renewed(target: Target, family: Sequence[Member]) -> bool:
    """Return whether a target has replaced its workers since the signal.

    A new child alone proves nothing: PostgreSQL starts one for each connection. So
    half of its children must also have exited or changed their arguments, as a worker
    of nginx does that is shutting down; the others may be helpers that stay, or may
    still be busy. Or the target must have re-executed itself with other arguments,
    as HAProxy does, whose old workers stay as long as their connections. If it had
    none, a new child shows nothing.

    family: as it is now. That of before is unknown after a restart of pollreload.
    """
    pid = target.process.pid
    if not any(each[0] != pid and each[1] >= target.since for each in family):
        return False
    before = [each for each in target.family if each[0] != pid]
    kept = [each for each in before if each in family]
    executed = any(each[0] == pid and each not in family for each in target.family)
    alone = bool(target.family) and not before
    return executed or (not alone and 2 * len(kept) <= len(before))


def backoff(tries: int, jitter: float) -> float:
    """Return how long to wait after a number of failures, in seconds.

    jitter: in [0, 1). Half of the time is fixed, so that it is never zero.
    """
    longest = min(LONGEST_BACKOFF, float(2 ** min(tries, 10)))
    return longest * (0.5 + jitter / 2)


def not_outrun(attempt: Attempt) -> Attempt:
    """Return the attempt when it is not the changes that --validate waits for."""
    return attempt._replace(unvalidated=0.0, valid='')


def after_failure(attempt: Attempt, now: float, jitter: float) -> Attempt:
    """Return the attempt after a failure: it is tried again after the backoff."""
    tries = attempt.tries + 1
    return attempt._replace(tries=tries, again=now + backoff(tries - 1, jitter))


def breaker_is_open(deaths: int, deadly: str, disposition: str) -> bool:
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
