"""One step of one watch: poll, decide, deliver. The world comes in as functions."""
from __future__ import annotations

from typing import assert_never

from pollreload.core import change, feedback
from pollreload.core.attempt import not_outrun
from pollreload.core.baseline import compare_first_target
from pollreload.core.observation import poll
from pollreload.core.signalling import notify
from pollreload.core.stage import (
    Acting,
    Confirming,
    Surviving,
    Validating,
    Verifying,
    word,
)
from pollreload.core.state import Pace, State, World
from pollreload.core.succession import follow_targets, note_older
from pollreload.core.validation import apply_max_wait, begin_attempt, poll_validation
from pollreload.core.verification import (
    poll_confirmation,
    poll_survival,
    poll_verification,
)
from pollreload.settings import Settings

FRESH = 0.25  # s for which a poll is recent enough to deliver what it saw


def resume(settings: Settings, state: State, world: World) -> State:
    """Return the state after the next step of the stage under way, if there is one."""
    match state.stage:
        case None:
            return state
        case Validating() as stage:
            return poll_validation(settings, state, stage, world)
        case Surviving() as stage:
            return poll_survival(settings, state, stage, world)
        case Verifying() as stage:
            return poll_verification(settings, state, stage, world)
        case Confirming() as stage:
            return poll_confirmation(settings, state, stage, world)
        case Acting() as stage:
            # Not for a watch that only signals.
            from pollreload.core import actions
            return actions.poll_action(settings, state, stage, world)
        case unknown:
            assert_never(unknown)


def step(settings: Settings, state: State, world: World) -> State:
    """Return the state after everything that can be done now.

    To be called again when a child has ended, when a signal asks for it, and at
    wake(state) at the latest.
    """
    state = poll(settings, state, world)
    state = compare_first_target(settings, state, world)
    state = feedback.note_activity(state, deliver(settings, state, world), world)
    done = state.version.delivered
    if done and done != state.previous:
        state = state._replace(previous=done)
    state = follow_targets(settings, state, world)
    return save_changes(state, world)


def awaited(state: State) -> str:
    """Return the name of the current wait; '' if only a poll can help."""
    if state.reading_since:
        return 'poll'
    if state.stage:
        return word(state.stage)
    return state.waiting or state.version.waiting


def status_line(state: State, now: float) -> str:
    """Return the status line."""
    version = state.version
    delivered = version.delivered[:12] or 'unknown'
    parts = [f'version {version.state}', f'seen {version.seen[:12] or "nothing"}',
             f'delivered {delivered}']
    if state.reading_since:
        parts.append(f'reading for {now - state.reading_since:.1f} s')
    if state.stage:
        parts.append(f'under way: {word(state.stage)}')
    if state.hold:
        parts.append(f'held: {state.hold}')
    if state.attempt.tries:
        parts.append(f'failed attempts: {state.attempt.tries}')
    return ', '.join(parts)


def poll_now(state: State, now: float) -> State:
    """Return the state after SIGHUP: poll at the next step, and forget failures."""
    attempt = state.attempt._replace(again=min(state.attempt.again, now))
    return state._replace(
        next_reading=now, attempt=attempt, deaths=0, deadly='', killed='',
        hold='', pace=Pace(),
    )


def deliver(settings: Settings, state: State, world: World) -> State:
    """Return the state after all that can be done now for what is due."""
    polled = state.waiting == 'poll'
    if state.next or state.waiting:
        state = state._replace(next=0.0, waiting='')
    state = resume(settings, state, world)
    if state.stage:
        return state
    if state.version.state == 'current':
        return state._replace(older=()) if state.older else state
    state = note_older(settings, state, world)
    if settings.max_wait:
        state = apply_max_wait(settings, state, world)
    late = state.attempt.late
    if state.version.state != 'due' and not late:
        return state
    if state.attempt.fingerprint != state.version.seen and not late:
        state = feedback.set_pace(settings, state, world)
        if feedback.waits(settings, state, world.now()):
            return state
        state = begin_attempt(settings, feedback.begin_delivery(state), world)
    if state.reading_since or state.version.read_at < state.fresh:
        # Nothing is delivered while a poll hangs, or before the one asked for.
        return state._replace(waiting='poll')
    now = world.now()
    if not polled and now >= max(state.attempt.again, state.version.ended_at + FRESH):
        # After a wait: what settled then may be gone by now. One poll is enough,
        # however long it takes to get here on a busy machine.
        return state._replace(fresh=now, next_reading=now, waiting='poll')
    state = notify(settings, state, world)
    if not state.attempt.validated or state.waiting == 'poll':
        return state
    # It was delivered before a newer one replaced it. If a late one is held, the
    # newer version counts again.
    late = late and (bool(state.stage) or state.waiting == 'act')
    attempt = not_outrun(state.attempt)
    return state._replace(attempt=attempt._replace(late=late))


def save_changes(state: State, world: World) -> State:
    """Return the state after writing it to the ledger if what is kept has changed."""
    now = saved_part(state)
    blank = state.version.state == 'blank'
    if now == state.saved or (blank and not state.version.absent):
        return state
    return state._replace(saved=now) if world.save(state) else state


def logged_troubles(version: change.Memory) -> object:
    """Return the troubles that were logged."""
    return [
        (position, each.reason, each.kept)
        for position, each in version.troubles.items() if each.reported
    ]


def saved_part(state: State) -> object:
    """Return the part of a state whose change is written to the ledger."""
    version = state.version
    return (
        version.delivered, version.known_print, version.seen, version.left,
        version.doubts, version.absent, logged_troubles(version),
        state.attempt, state.deaths, state.newest, state.notified, state.older,
        state.previous, state.changed, state.later, state.reported,
    )
