"""When the next version may be delivered: --min-interval, and feedback loops.

Deliveries slow down when each of them causes the next change. Pure.
"""
from __future__ import annotations

from pollreload.core.state import Pace, State, World, hold
from pollreload.settings import Settings

SOON = 5.0  # s after a delivery, and a poll to see it
MOST_FOLLOWED = 3  # deliveries in a row, each followed by a change of the same files
SHORTEST = 2.0  # s between deliveries, doubled each time
LONGEST_DELAY = 300.0  # s


def delay(followed: int) -> float:
    """Return how long to wait after a delivery, in seconds."""
    if followed < MOST_FOLLOWED:
        return 0.0
    return min(LONGEST_DELAY, SHORTEST * 2.0 ** min(followed - MOST_FOLLOWED, 10))


def set_pace(settings: Settings, state: State, world: World) -> State:
    """Return the state with the time before which a new version is not delivered.

    It is decided once for each delivery; a newer version does not move
    it, so the last version always arrives. But one that comes too late to be caused
    by that delivery ends the wait: changes come without deliveries.
    """
    pace, now = state.pace, world.now()
    last = pace.active_at + settings.interval + SOON
    soon = pace.active_at > 0.0 and state.version.seen_at <= last
    if pace.until and not soon:
        # The line is not repeated if the changes look like a loop again.
        pace = pace._replace(followed=0, until=now)
    elif not pace.until:
        # A reload that causes the next one rewrites the same files each time.
        soon = soon and pace.files == pace.before
        followed = pace.followed + 1 if soon else 0
        pace = pace._replace(
            followed=followed, until=pace.active_at + delay(followed) if soon else now,
            logged_at=pace.logged_at if soon else 0.0,
        )
    state = state._replace(pace=pace)
    spaced = spaced_until(settings, pace)
    if now < spaced and spaced >= pace.until:
        return hold(
            state, world, 'min interval', 'min interval',
            f'{changed_files(settings, pace)} changed '
            f'{now - pace.delivered_at:.0f} s after the last delivery; the version '
            f'that is there in {spaced - now:.0f} s is delivered then (--min-interval)',
            again=spaced, files=pace.files,
        )
    if now >= pace.until:
        return state
    wait = delay(pace.followed)
    if pace.logged_at:
        # One line for the whole loop, again after an hour.
        state = state._replace(hold='feedback loop', held_at=pace.logged_at)
    what = 'deliveries or validations' if settings.validate else 'deliveries'
    state = hold(
        state, world, 'feedback loop', 'feedback loop',
        f'the last {pace.followed} {what} were each followed by a change of '
        f'{changed_files(settings, pace)} within seconds: a reload '
        f'or a command seems to cause the next; deliveries wait {wait:g} s and longer, '
        f'up to {LONGEST_DELAY:g} s, until that ends',
        again=pace.until, files=pace.files,
    )
    return state._replace(pace=pace._replace(logged_at=state.held_at))


def first_seen(state: State) -> float:
    """Return since when there have been versions that were not notified yet.

    In boot seconds: the first was seen then, since anything was sent or run other
    than --validate for a version that was replaced meanwhile.
    """
    pace = state.pace
    if state.attempt.unvalidated:
        return state.attempt.unvalidated
    return pace.since if pace.since > pace.active_at else state.version.seen_at


def changed_files(settings: Settings, pace: Pace) -> str:
    """Return the files that changed last as text, or the paths if none is known."""
    return ', '.join(pace.files) or ' '.join(settings.paths)


def spaced_until(settings: Settings, pace: Pace) -> float:
    """Return the time before which --min-interval allows no delivery; 0.0 for none."""
    if not settings.min_interval or not pace.delivered_at:
        return 0.0
    return pace.delivered_at + settings.min_interval


def waits(settings: Settings, state: State, now: float) -> bool:
    """Return whether the version that is due has to wait, as set_pace() decided."""
    return now < max(state.pace.until, spaced_until(settings, state.pace))


def begin_delivery(state: State) -> State:
    """Return the state when the delivery of a new version begins."""
    pace = state.pace
    return state._replace(pace=pace._replace(until=0.0, before=pace.files))


def note_activity(before: State, state: State, world: World) -> State:
    """Return the state after a step, with the time of its last activity.

    before: the state before that step. Activity is a command that runs, a signal,
    or an action: anything that can cause a change.
    """
    if not state.stage and not before.stage and (
            before.version.delivered == state.version.delivered
    ):
        return state
    return state._replace(pace=state.pace._replace(active_at=world.now()))
