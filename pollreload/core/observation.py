"""Poll when it is due, and log what the files did. Pure."""
from __future__ import annotations

from collections.abc import Sequence

from pollreload.core import change
from pollreload.core.attempt import Attempt
from pollreload.core.baseline import baseline, handle_return
from pollreload.core.belief import all_unreadable
from pollreload.core.reading import (
    MISSING,
    Known,
    Reading,
    Snapshot,
    counted,
    differences,
)
from pollreload.core.state import NO_NAMES, State, World, hold
from pollreload.settings import Settings, runs_commands, sends_signal

STALL = 5.0  # s that a poll may take before that is worth a line
STALL_AGAIN = 60.0  # s until it is worth another
NOTHING = Attempt()
MOST_NAMES = 5  # in one line
WILDCARDS = frozenset('*?[')
NAMED = 'file', 'directory'  # the kinds of what is at the path itself


def wake(state: State) -> float:
    """Return when the next step is due at the latest, in boot seconds."""
    if state.reading_since:
        at = state.reading_since + STALL
        if state.stalled:
            at = state.stalled + STALL_AGAIN
    else:
        at = state.next_reading
    return min(at, state.next) if state.next else at


def poll(settings: Settings, state: State, world: World) -> State:
    """Return the state after a poll, if one is due and comes to its end."""
    now = world.now()
    if not state.reading_since and now < state.next_reading:
        return state
    began = state.reading_since or now
    snapshot = world.read(state.dates or state.version.state == 'blank')
    now = world.now()
    if snapshot is None:
        return stall(settings, state._replace(reading_since=began), world)
    if any(map(turned_into_glob, state.version.known, snapshot.readings)):
        snapshot = by_exact_name(state.version.known, snapshot)
    if settings.on_missing == 'notify':
        snapshot = counted(snapshot)
    version, decision = change.observe(
        state.version, snapshot, began, now, settings.settle, settings.empty_grace,
        world.digest, settings.max_wait,
    )
    idle = decision is change.UNCHANGED
    # Only -v shows it; in a sidecar that logs no more, nearly every poll is idle.
    if settings.verbosity > 0 or not idle:
        world.say(
            'polled', f'saw {version.seen or "nothing"} in {now - began:.3f} s',
            fingerprint=version.seen,
        )
    if state.stalled and not all(
            place in version.troubles and version.troubles[place].whole
            for place in range(len(settings.paths))
    ):
        world.say(
            'readable', f'a poll ended after {now - began:.0f} s', seconds=now - began,
        )
    if version.left and not (state.version.left or sends_signal(settings)) and (
            version.state == state.version.state == 'current'
    ):
        # There is no process that can have started while a path was away.
        version = version._replace(left=0.0)
    old, changing = state.version, state.changing
    poll_at = next_poll(state.poll_at, began, settings.interval, world)
    # Asked for during this poll, which may have read too early.
    asked = state.next_reading if state.next_reading > began else poll_at
    state = state._replace(
        version=version, reading_since=0.0, stalled=0.0, poll_at=poll_at, dates=False,
        dated=snapshot.newest, dated_at=now if state.dates else state.dated_at,
        next_reading=min(poll_at, asked, decision.again or poll_at),
        changing=snapshot.readings if version.state == 'settling' else (),
    )
    if idle:
        return cleared(state)
    report_troubles(settings, state, snapshot, decision, world)
    if decision.action == 'baseline':
        return baseline(settings, state, snapshot, world)
    if (
            decision.action in ('none', 'return') and version.left
            and not change.away(version)
    ):
        unread = all_unreadable(old.doubts) and not change.away(old)
        return handle_return(settings, state, world, unread)
    if version.state == 'due' and decision.changed:
        since = old.changing_since or version.seen_at
        state = report_change(settings, state, decision, since, world)
    return hold_unsettled(settings, state, snapshot, changing, world)


def turned_into_glob(known: Known | None, reading: Reading) -> bool:
    """Return whether a path was read as a glob, and was known by its exact name."""
    return reading.kind == 'glob' and known is not None and known.kind in NAMED


def by_exact_name(known: Sequence[Known | None], snapshot: Snapshot) -> Snapshot:
    """Return a snapshot in which no path has turned into a glob.

    Nothing is at such a path (app[1].conf) now; what it matches is another file.
    """
    return snapshot._replace(readings=tuple(
        Reading('', {}, {'': MISSING}) if turned_into_glob(before, reading) else reading
        for before, reading in zip(known, snapshot.readings, strict=True)
    ))


def hold_unsettled(
        settings: Settings, state: State, snapshot: Snapshot,
        before: Sequence[Reading], world: World,
) -> State:
    """Return the state held for what keeps the version from settling, if anything.

    before: what the last poll saw, if that had not settled either.
    """
    version = state.version
    if version.state == 'current' and not state.stage:
        return cleared(state)
    emptied = [
        (position, name) for position, name in sorted(version.doubts)
        if name not in snapshot.readings[position].unreadable
    ]
    if version.state == 'settling' and emptied:
        position, name = emptied[0]
        gone = not name and snapshot.readings[position].kind == 'missing'
        return hold(
            state, world, 'empty', 'became empty',
            f'{member_path(settings, position, name, snapshot.readings)} '
            f'{"is missing" if gone else "became empty"}; that is believed after '
            f'{settings.empty_grace:g} s (--empty-grace)',
        )
    if change.keeps_changing(version, world.now()):
        stirred = differences(before, snapshot.readings)
        names = [member_path(settings, *each, snapshot.readings) for each in stirred]
        below = any(name for _, name in stirred)
        hint = '; leave out what is no configuration (--ignore)' if below else ''
        return hold(
            state, world, 'still changing', 'still changing',
            f'{some(names or settings.paths)} has not settled for '
            f'{world.now() - version.changing_since:.0f} s, and is not delivered '
            f'until it has{hint}',
            files=names[:MOST_NAMES],
        )
    return state


def cleared(state: State) -> State:
    """Return the state without an attempt, if nothing is due and nothing under way."""
    names = state.changed != NO_NAMES or state.later != NO_NAMES
    if state.stage or not (state.hold or state.attempt != NOTHING or names):
        return state
    return state._replace(
        hold='', attempt=NOTHING, changed=NO_NAMES, later=NO_NAMES,
        pace=state.pace._replace(since=0.0),
    )


def member_path(
        settings: Settings, position: int, name: str,
        readings: Sequence[Known | Reading | None],
) -> str:
    """Return the path of a file that was read at one of the paths of a watch.

    readings: what was read at each path; a name below a glob is relative to the
        directory before its first wildcard.
    """
    path, reading = settings.paths[position], readings[position]
    if not name:
        return path
    if reading is not None and reading.kind == 'glob':
        parts = path.split('/')
        first = next(at for at, part in enumerate(parts) if WILDCARDS & {*part})
        return '/'.join([*parts[:first], name])
    return f'{path.rstrip("/")}/{name}'


def some(names: Sequence[str]) -> str:
    """Return some names as text, and how many more there are."""
    more = f' and {len(names) - MOST_NAMES} more' if len(names) > MOST_NAMES else ''
    return ', '.join(names[:MOST_NAMES]) + more


def next_poll(poll_at: float, began: float, interval: float, world: World) -> float:
    """Return the next time on the grid of polls, start to start.

    The first poll is at once, the second after a random part of the interval,
    so that a fleet that starts together does not poll together.
    """
    if not poll_at:
        return began + interval * world.jitter()
    if began < poll_at:
        return poll_at
    return poll_at + interval * ((began - poll_at) // interval + 1)


def stall(settings: Settings, state: State, world: World) -> State:
    """Return the state while a poll goes on, and log it if it takes too long."""
    now = world.now()
    took = now - state.reading_since
    if now >= wake(state._replace(next=0.0)):
        world.say(
            'stalled', f'reading {" ".join(settings.paths)} has not ended for '
            f'{took:.0f} s; nothing is delivered until it ends', seconds=took,
        )
        state = state._replace(stalled=now)
    return state


def report_troubles(
        settings: Settings, state: State, snapshot: Snapshot, decision: change.Decision,
        world: World,
) -> None:
    """Log the paths that cannot be read now, and those that can again."""
    for position in decision.failing:
        path, reason = settings.paths[position], state.version.troubles[position].reason
        world.say('unreadable', f'{path}: {reason}', path=path, reason=reason)
    for position in decision.recovered:
        path = settings.paths[position]
        says = 'can be read again'
        if snapshot.readings[position].kind == 'missing':
            says = 'is missing, which counts as a change (--on-missing notify)'
        world.say('readable', f'{path} {says}', path=path)


def report_change(
        settings: Settings, state: State, decision: change.Decision, since: float,
        world: World,
) -> State:
    """Log the files that are new, gone or different once that has settled.

    since: when the first of the versions was seen that did not settle, boot seconds.
    """
    names = [
        member_path(settings, *each, state.version.known) for each in decision.changed
    ]
    world.say(
        'changed', some(names),
        fingerprint=state.version.seen, files=names[:MOST_NAMES], count=len(names),
    )
    pace = state.pace
    pace = pace._replace(
        files=tuple(names[:MOST_NAMES]),
        since=pace.since if pace.since > pace.active_at else since,
    )
    if runs_commands(settings):
        from pollreload.core import context
        state = context.note_changes(state, names)
    return state._replace(pace=pace)
