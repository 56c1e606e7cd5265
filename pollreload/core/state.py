"""What one watch knows, and the world that it learns it from. Pure."""
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from pollreload.core import change
from pollreload.core.attempt import (
    MOST_SENDS,
    PASSED_OVER,
    Attempt,
    Member,
    Target,
    after_failure,
)
from pollreload.core.process import Choice, Masks, Process
from pollreload.core.reading import Digest, Reading, Snapshot
from pollreload.core.stage import Stage

HOUR = 3600.0  # s until a hold is logged again
# Names of files, and how many more there are.
Names = tuple[tuple[str, ...], int]
NO_NAMES: Names = ((), 0)


class Say(Protocol):
    """Logs one event; extra keywords become fields of the JSON line."""

    def __call__(self, event: str, message: str, /, **fields: object) -> None: ...


class Pace(NamedTuple):
    """How fast new versions are delivered; times are boot seconds.

    followed: how many deliveries in a row were each followed by a change.
    active_at: when something was last sent or run. until: no delivery of a new
        version before this; 0.0: not decided yet.
    files: what changed last; before: what the delivery before was about.
    logged_at: when the feedback loop was logged.
    since: when the first version since active_at was seen, settled or not; 0.0: none
        was, or the delivered one is back.
    delivered_at: when a version was last delivered; not if no target needed it.
    outrun_at: when it was logged that --validate is slower than the changes.
    """

    followed: int = 0
    active_at: float = 0.0
    until: float = 0.0
    files: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    logged_at: float = 0.0
    since: float = 0.0
    delivered_at: float = 0.0
    outrun_at: float = 0.0


class State(NamedTuple):
    """All that one watch knows; times are boot seconds.

    deaths, deadly: targets in a row that died of the signal, and the
        disposition of the last. killed: the program that it ran (World.program).
    poll_at: the next poll; next_reading: the next reading, at the latest then.
    reading_since: when the reading under way began, 0.0: none is; stalled: when that
        was last logged.
    stage: what is under way, if anything.
    round: the targets (pid, start time) that were chosen together.
    fresh: what is delivered next needs a poll that began at or after this.
    hold, held_at: the key of the reason that was logged last (hold()), and when.
    next: when to come back, besides the next poll; 0.0: no such time.
    waiting: what a delivery waits for: 'splay', 'uptime', 'poll' or 'act'; '' if
        only another version or target can help.
    outcome: how the last attempt ended: '', 'done', 'needless' or 'failed'.
    newest: the date of the baseline if no target was there, in seconds
        of CLOCK_REALTIME; 0.0: that question is answered.
    dates: the next poll finds the newest date; dated: what it was then, in
        seconds of CLOCK_REALTIME; dated_at: when that poll ended.
    changing: the readings of the last poll, if it found what has not settled.
    saved: what the ledger holds already.
    pace: how fast new versions are delivered.
    key: by which fingerprints are hashed before they are shown.
    notified: the targets that have the delivered version; and, PASSED_OVER, the roots
        that were passed over for one of them.
    passed: the roots without a handler that are passed over, since passed_at.
    blocking: the targets (pid, start time) that block the signal without a handler for
        it; how often that was seen in their sleep, and when last, boot seconds.
    older: the roots that were there while the version that is seen now waited for its
        delivery, and may have read another one (core.succession.note_older).
    previous: the fingerprint of the last version that was up to date.
    changed: for commands: what changed between that one and the version of the
        attempt; later: what changed since the attempt began.
    reported: digests of the lines that the last check printed and need not repeat.
    """

    version: change.Memory = change.Memory()
    attempt: Attempt = Attempt()
    deaths: int = 0
    deadly: str = ''
    killed: str = ''
    poll_at: float = 0.0
    next_reading: float = 0.0
    reading_since: float = 0.0
    stalled: float = 0.0
    stage: Stage | None = None
    round: tuple[tuple[int, int], ...] = ()
    fresh: float = 0.0
    hold: str = ''
    held_at: float = 0.0
    next: float = 0.0
    waiting: str = ''
    outcome: str = ''
    newest: float = 0.0
    dates: bool = False
    dated: float = 0.0
    dated_at: float = 0.0
    changing: tuple[Reading, ...] = ()
    saved: object = None
    pace: Pace = Pace()
    key: str = ''
    notified: tuple[Target, ...] = ()
    passed: tuple[Process, ...] = ()
    passed_at: float = 0.0
    blocking: tuple[tuple[tuple[int, int], tuple[int, float]], ...] = ()
    older: tuple[Target, ...] = ()
    previous: str = ''
    changed: Names = NO_NAMES
    later: Names = NO_NAMES
    reported: tuple[str, ...] = ()


def ignore_failure(_: str) -> None:
    """Ignore a failure: no metrics are kept."""


class World(NamedTuple):
    """What a poll needs of the world, as functions; tests pass others.

    now: seconds since boot (CLOCK_BOOTTIME). jitter: a random number in [0, 1).
    read: starts a reading or asks for its end; None: not ended yet. Its argument
        is whether to find the newest date.
    absent: the message for the case that no process meets the conditions.
    born: a process -> its start in seconds of CLOCK_REALTIME.
    family: the members of a process and its children; itself first.
    health: 'gone', 'pending' or 'alive', of a process and a signal.
    gone: whether a process has exited; cheaper than health.
    below: the descendant of a process, whatever its name, that handles the signal,
        if there is exactly one. program: what identifies the file a process runs.
    stack: where the stack of a process begins; 0: unknown. execve(2) chooses it at
        random, so two processes share it only if one is forked from the other.
    send: 'pidfd' or 'kill' if it was sent, else 'gone', 'refused', 'denied',
        'foreign' or 'full'.
    run: starts a command with additions to its environment; '' or why not.
    ask: starts a request to a URL, in the same way.
    ran: the exit status of that command, None while it runs; of a request 0 or 1.
    cancel: ends that command and its group. output: the end of what it printed, or
        what became of the request.
    save: writes the ledger, if there is one; False if it could not.
    ticks: clock ticks a second. splay: seconds, fixed for this host.
    us: our uid, for messages; entitle: what would permit us to signal another.
    unlogged: called with the reason of a failure that is not logged again.
    """

    now: Callable[[], float]
    jitter: Callable[[], float]
    read: Callable[[bool], Snapshot | None]
    digest: Digest
    targets: Callable[[], Choice]
    absent: Callable[[], str]
    born: Callable[[Process], float]
    masks: Callable[[int], Masks | None]
    health: Callable[[Process, int], str]
    gone: Callable[[Process], bool]
    below: Callable[[Process], Process | None]
    program: Callable[[Process], str]
    stack: Callable[[Process], int]
    send: Callable[[Process, int], str]
    family: Callable[[int], tuple[Member, ...]]
    run: Callable[[Sequence[str], Mapping[str, str]], str]
    ask: Callable[[str], str]
    ran: Callable[[], int | None]
    cancel: Callable[[], None]
    output: Callable[[], str]
    save: Callable[[State], bool]
    say: Say
    ticks: int
    splay: float
    us: str
    entitle: Callable[[], str]
    unlogged: Callable[[str], None] = ignore_failure


def hold(
        state: State, world: World, key: str, reason: str,
        message: str | Callable[[], str],
        again: float = 0.0, waiting: str = '', event: str = 'held',
        **fields: object,
) -> State:
    """Return the state held for a reason, which is logged once an hour.

    key: the reason and whom it is about; another key is another line.
    message: a function if it is expensive.
    again: when to come back, boot seconds; 0.0: at the next poll.
    """
    now = world.now()
    if key != state.hold or now - state.held_at >= HOUR:
        says = message if isinstance(message, str) else message()
        world.say(event, says, reason=reason, **fields)
        state = state._replace(hold=key, held_at=now)
    elif event == 'failed':
        world.unlogged(reason)
    return state._replace(next=again, waiting=waiting)


def notified_targets(state: State) -> tuple[Target, ...]:
    """Return the targets that were notified, of this version or of one before.

    They stay targets while they live, whatever they are called by then (rule 13).
    """
    found = {each.name: each for each in state.notified}
    found.update((each.name, each) for each in state.attempt.targets if each.sends)
    return tuple(found.values())


def finish(state: State, world: World) -> State:
    """Return the state after every target has the version: memory advances last."""
    attempt, version = state.attempt, state.version
    at = [
        target.at for target in attempt.targets
        if target.sends and target.name in state.round
    ]
    if attempt.acted_at:
        at.append(attempt.acted_at)
    since = min(at, default=version.read_at)
    if at:
        state = state._replace(pace=state.pace._replace(delivered_at=world.now()))
    back = version.seen == attempt.fingerprint and version.altered > since
    again = at and back and attempt.rounds + 1 < MOST_SENDS
    if again and not change.away(version):
        # A target may have read a version that was there for a moment, or half of one.
        world.say(
            'failed', 'the files were different for a moment during the delivery, '
            'and may have been read then; they are delivered once more',
            reason='changed meanwhile',
        )
        repeated = Attempt(
            attempt.fingerprint, rounds=attempt.rounds + 1, tries=attempt.rounds,
        )
        return state._replace(
            version=change.forget(version), stage=None, hold='',
            notified=notified_targets(state),
            attempt=after_failure(repeated, world.now(), world.jitter()),
            next=world.now(),
            outcome='failed',
        )
    if version.seen != attempt.fingerprint:
        # Also a target that was notified then may have read what is there now, which
        # counts if this version comes back (core.baseline.handle_return).
        since -= 1 / world.ticks
    return state._replace(
        version=change.advance(version, attempt.fingerprint, since),
        attempt=Attempt(), stage=None, hold='', next=0.0, waiting='', newest=0.0,
        changed=NO_NAMES,
        notified=(
            *(
                target for target in attempt.targets
                # One that has exited since is followed as well.
                if target.phase == 'up to date'
            ),
            *(Target(process, phase=PASSED_OVER) for process in state.passed),
        ),
        outcome='done' if at else 'needless',
    )
