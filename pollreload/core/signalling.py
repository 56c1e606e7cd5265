"""From due to signalled: choose the targets, hold or validate, and send. Pure.

Each function takes the state and the world, and returns the next state. None of them
waits: the state names the time of the next step, or a child whose end wakes the loop.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

from pollreload.core import change
from pollreload.core.attempt import (
    READ_IT,
    Target,
    entry_of,
    needless,
    not_outrun,
)
from pollreload.core.obstacle import (
    Obstacle,
    disposition_now,
    handler_policy,
    note_blocking,
    obstacle,
)
from pollreload.core.process import Choice, Process
from pollreload.core.progress import advance_target, ends_target, runs_on
from pollreload.core.sending import send_to_each
from pollreload.core.stage import Surviving
from pollreload.core.state import State, World, finish, hold
from pollreload.core.succession import forked
from pollreload.core.validation import start_validation
from pollreload.settings import Settings, acts, sends_signal


def notify(settings: Settings, state: State, world: World) -> State:
    """Return the state after the due version was delivered, held or found needless."""
    if not sends_signal(settings):
        return continue_after_targets(settings, state, world)
    now, choice = world.now(), world.targets()
    asked = [
        target.name for target in state.attempt.targets
        if target.phase == 'terminating' and not runs_on(settings, target, world)
    ]
    if asked:
        # It has ended after all; or an earlier run asked it to end, and stopped before
        # it had ended.
        also = tuple((each.pid, each.started) for each in choice.targets)
        return state._replace(
            stage=Surviving(now), next=now,
            round=(*asked, *(name for name in also if name not in asked)),
        )
    if choice.reason == 'no target' and acts(settings) and all_gone(settings, state):
        return continue_after_targets(settings, state, world)
    if choice.reason:
        says = choice.says or world.absent
        # Another pid is another line; what comes after '; ' may differ at each poll.
        key = ': '.join(filter(None, (choice.reason, choice.says.partition('; ')[0])))
        state = state._replace(attempt=not_outrun(state.attempt))
        return hold(state, world, key, choice.reason, says)
    state = note_passed_over(state, choice, world)
    if state.passed and now < state.passed_at + PASS_OVER:
        again = state.passed_at + PASS_OVER
        return state._replace(next=again, waiting='uptime')
    spared = up_to_date_targets(settings, state, choice, world)
    if spared and state.dated_at != state.version.ended_at:
        # A version that came and went between two polls shows in the dates.
        return state._replace(dates=True, fresh=now, next_reading=now, waiting='poll')
    state = mark_up_to_date(settings, state, spared, world)
    todo = [
        entry for process in choice.targets
        if (entry := entry_of(state.attempt, process)).phase != 'up to date'
    ]
    state = state._replace(
        round=tuple((each.pid, each.started) for each in choice.targets),
    )
    if not todo:
        return continue_after_targets(settings, state, world)
    taken = [
        entry.at for entry in todo
        if entry.phase == 'pending'
        and world.health(entry.process, settings.signal.number) != 'pending'
    ]
    if taken:
        # The signal of the last time was taken at last, or died with its target; or an
        # earlier run sent it, and stopped before the end of --survive.
        until = max(now, *(at + settings.survive for at in taken))
        return state._replace(stage=Surviving(until), next=until)
    ready: list[Target] = []
    kept: list[Obstacle] = []
    todo = [with_disposition(settings, entry, world) for entry in todo]
    state = note_blocking(settings, state, todo, world)
    for seen in todo:
        held = end_awaited(settings, seen, world) or obstacle(
            settings, state, seen, world,
        )
        if held is None:
            ready.append(seen)
        else:
            kept.append(held)
    if not ready:
        return hold_for_obstacles(state, kept, world)
    waits = precondition(settings, state, world)
    if waits is not None:
        return waits
    if not settings.dry_run:
        return send_to_each(settings, state, ready, world)
    for entry in ready:
        world.send(entry.process, settings.signal.number)
    return continue_after_targets(settings, state, world) if acts(settings) else state


def end_awaited(settings: Settings, entry: Target, world: World) -> Obstacle | None:
    """Return the obstacle at a target that was asked to end and still runs, or None."""
    if entry.phase != 'terminating':
        return None
    name, process = settings.signal.name, entry.process
    return Obstacle(
        f'still running {process.pid}', 'still running',
        f'{process} still runs {world.now() - entry.at:.0f} s after {name}, and is not '
        f'sent it again; held until it ends or the files change',
    )


def with_disposition(settings: Settings, entry: Target, world: World) -> Target:
    """Return a target with what it would do with the signal now."""
    now = disposition_now(settings, entry.process, world)
    program = world.program(entry.process) if now == 'runtime' else entry.program
    return entry._replace(disposition=now, program=program)


def note_passed_over(state: State, choice: Choice, world: World) -> State:
    """Return the state with the roots that are passed over, and since when."""
    names = [(each.pid, each.started) for each in choice.passed]
    if names == [(each.pid, each.started) for each in state.passed]:
        return state
    return state._replace(passed=choice.passed, passed_at=world.now())


def precondition(settings: Settings, state: State, world: World) -> State | None:
    """Return the state that waits for the backoff or --validate, or None."""
    now = world.now()
    if now < state.attempt.again:
        return wait_for_retry(settings, state, world)
    if settings.validate and not (state.attempt.validated or settings.dry_run):
        return start_validation(settings, state, world)
    return None


def all_gone(settings: Settings, state: State) -> bool:
    """Return whether every target that was asked to end has ended."""
    targets = state.attempt.targets
    ended = bool(targets) and all(it.phase == 'up to date' for it in targets)
    return ends_target(settings) and ended


def continue_after_targets(settings: Settings, state: State, world: World) -> State:
    """Return the state after the next action, once every target has the version."""
    if not acts(settings):
        return finish(state, world)
    # Not for a watch that only signals.
    from pollreload.core import actions
    return (
        actions.hold_disagreement(settings, state, world)
        or precondition(settings, state, world)
        or actions.start_next(settings, state, world)
    )


def up_to_date_targets(
        settings: Settings, state: State, choice: Choice, world: World,
) -> tuple[Process, ...]:
    """Return the targets that started late enough to have read this version.

    Whether the date of the files agrees is left to mark_up_to_date().
    """
    version = state.version
    if change.away(version):
        return ()
    since = version.seen_at
    # A successor started after the signal, so it read the version that was there.
    ends = [
        target.since / world.ticks for target in state.attempt.targets
        if target.sends and (ends_target(settings) or target.phase == 'up to date')
        and world.gone(target.process)
    ] if state.attempt.targets else []
    since = max(since, min(ends)) if ends else since + READ_IT
    return tuple(
        process for process in choice.targets
        if entry_of(state.attempt, process).phase != 'up to date'
        and needless(process, choice.matches)
        and process.started / world.ticks <= version.read_at
        and started_with_version(settings, state, process, since, world)
    )


def started_with_version(
        settings: Settings, state: State, process: Process, since: float, world: World,
) -> bool:
    """Return whether a target started late enough to have read this version.

    since: when, if a signal can reach it, which is sent in doubt; boot seconds. One
    that has had no handler for some time gets none: a restart by hand, which may come
    before the poll that sees the version, is how it reads the files.
    """
    started = process.started / world.ticks
    seen = state.version.left or state.version.seen_at
    if started < min(since, seen):
        return False
    origin = forked(settings, state, process, world)
    if started >= since and not origin:
        return True
    return started >= seen and origin != 'yes' and (
        world.now() >= started + READ_IT
    ) and handler_policy(settings, disposition_now(settings, process, world)) == 'hold'


def mark_up_to_date(
        settings: Settings, state: State, processes: Sequence[Process], world: World,
) -> State:
    """Return the state with those targets up to date, unless a date contradicts."""
    version = state.version
    for process in processes:
        if state.dated + 1 / world.ticks > world.born(process):
            continue
        if process.started / world.ticks < version.seen_at:
            # Only a date shows that it started after the change. An older one, as
            # after a deletion, is not that of the change.
            before = Process(0, 0, int(version.left * world.ticks), '')
            if state.dated < world.born(before):
                continue
        entry = entry_of(state.attempt, process)
        state = advance_target(settings, state, entry, 'up to date', world)
    return state


def hold_for_obstacles(state: State, kept: Sequence[Obstacle], world: World) -> State:
    """Return the state held because of an obstacle at every target."""
    first = min(kept, key=lambda held: held.again or math.inf)
    if 0.0 < first.again - world.now() < BRIEF:
        return state._replace(next=first.again, waiting='uptime')
    state = state._replace(attempt=not_outrun(state.attempt))
    return hold(
        state, world, ' '.join(held.key for held in kept), first.reason,
        '; '.join(dict.fromkeys(held.says for held in kept)),
        first.again, 'uptime' if first.again else '',
    )


BRIEF = 1.0  # s of a hold that is not worth a line
# s for which a root must be without a handler before its descendant gets the signal:
# the root may be starting or re-executing itself (HAProxy), the descendant a worker.
PASS_OVER = 2.0


def wait_for_retry(settings: Settings, state: State, world: World) -> State:
    """Return the state held until --splay or the backoff is over."""
    again = state.attempt.again
    if not state.attempt.tries:
        return state._replace(next=again, waiting='splay')
    if state.hold:
        # The reason was logged, and will be again.
        return state._replace(next=again)
    what = settings.signal.name if sends_signal(settings) else 'it'
    return hold(
        state, world, 'backoff', 'backoff',
        f'{what} is tried again in {again - world.now():.0f} s '
        f'(failures so far: {state.attempt.tries})', again,
    )
