"""A service outlives its processes: hand-overs, generations, and late exits. Pure.

A program may fork or start a successor and exit when it is signalled (php-fpm,
unicorn), run two generations side by side while the old one drains (Envoy, an nginx
upgrade), or be restarted by a supervisor. A process that starts after the signal
reads the new version, so it is up to date without a signal of its own.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

from pollreload.core import change
from pollreload.core.attempt import (
    PASSED_OVER,
    READ_IT,
    Attempt,
    Target,
    entry_of,
    record,
)
from pollreload.core.baseline import deliver_again
from pollreload.core.obstacle import disposition_now, handler_policy
from pollreload.core.process import HANDLED, UNHANDLED, Process, roots
from pollreload.core.progress import advance_target
from pollreload.core.state import State, World
from pollreload.settings import Settings, sends_signal


def successor(
        settings: Settings, state: State, entry: Target, world: World,
) -> Process | None:
    """Return the process that took over from a target that has exited, or None.

    Of several the oldest: a program starts its workers after itself.
    """
    found = [
        each for each in roots(world.targets().matches)
        if (each.pid, each.started) != entry.name and each.started >= entry.since
        and not left_behind(settings, state, entry, each, world)
        and not (settings.select == 'roots' and of_another(state, entry, each))
    ]
    return min(found, key=lambda each: each.started, default=None)


def left_behind(
        settings: Settings, state: State, entry: Target, process: Process, world: World,
) -> bool:
    """Return whether a process is but a worker of a target that has exited.

    It does not handle the signal, as its parent did. A program that was started again
    may have its handler late, and was not forked from the target, which shows if it can
    be seen where their stacks begin.
    """
    if entry.disposition not in HANDLED or (
            disposition_now(settings, process, world) not in UNHANDLED
    ):
        return False
    known = {each.stack for each in state.older if each.name == entry.name}
    executed = any(known) and world.stack(process) not in {0, *known}
    return not executed and proven_at(process, settings, world) <= world.now()


def of_another(state: State, entry: Target, process: Process) -> bool:
    """Return whether a process has taken over, or will, from another instance.

    The arguments tell the instances of one program apart, and a successor has those of
    its instance, more or less. The ledger does not keep them.
    """
    others = [
        each for each in state.attempt.targets if each.sends and each.name != entry.name
    ]
    if (process.pid, process.started) in {each.name for each in others}:
        return True
    shared = [
        len({*process.cmdline} & {*each.process.cmdline}) for each in (entry, *others)
    ]
    return bool(entry.process.cmdline) and max(shared) > shared[0]


def remaining(
        settings: Settings, state: State, entry: Target, world: World,
) -> Process | None:
    """Return the process that goes on after a target has exited, or None.

    It is older than the signal, which it never got: the old master when the new one of
    an upgrade is withdrawn, or the new one when the old one has drained. A process
    without a handler is a worker that lost its parent, or no service at all.
    """
    if entry.disposition not in HANDLED:
        return None
    notified = {each.name for each in state.attempt.targets if each.sends}
    for each in world.targets().targets:
        if (each.pid, each.started) not in notified and each.started < entry.since and (
                disposition_now(settings, each, world) in HANDLED
        ):
            return each
    return None


def left_to_another(
        settings: Settings, state: State, entry: Target, world: World,
) -> State | None:
    """Return the state after a target exited and an older process goes on, or None."""
    process = remaining(settings, state, entry, world)
    if process is None:
        return None
    state = advance_target(
        settings, state, entry, 'outlived', world,
        f'{entry.process} has exited since {settings.signal.name}, and '
        f'{process} is older than that and was never notified of this version',
        fingerprint=state.version.seen, reason='took over', target_pid=process.pid,
    )
    # It has had no signal, so the round is not done, and the next poll notifies it.
    return add_target(state, Target(process))


def proven_at(process: Process, settings: Settings, world: World) -> float:
    """Return when a successor has lived for --survive, in boot seconds.

    Until then it may be a worker that its dead parent left behind, or a program
    that exits as well.
    """
    return process.started / world.ticks + settings.survive


def hand_over(state: State, entry: Target, process: Process) -> State:
    """Return the state after a successor has taken the place of a target."""
    return add_target(state, entry._replace(process=process, phase='delivered'))


def add_target(state: State, entry: Target) -> State:
    """Return the state with one more target in the round."""
    attempt = record(state.attempt, entry)
    return state._replace(attempt=attempt, round=(*state.round, entry.name))


def follow_targets(settings: Settings, state: State, world: World) -> State:
    """Return the state after checking that the notified targets still live.

    When one has exited, the process that takes over is newer than the version and so
    up to date, or it is older and the version is due again for it. It is due again
    too for a root that was passed over and handles the signal now: it was starting.
    """
    if not state.notified or state.version.state != 'current' or state.stage:
        return state
    gone = [each for each in state.notified if world.gone(each.process)]
    ready = [
        each for each in state.notified
        if each.phase == PASSED_OVER and each not in gone
        # Not what blocks it, maybe only for a moment.
        and disposition_now(settings, each.process, world) in ('caught', 'runtime')
    ]
    if ready:
        # A runtime that catches the signal does not make a wrapper a target.
        chosen = {(each.pid, each.started) for each in world.targets().targets}
        ready = [each for each in ready if each.name in chosen]
    if ready:
        return due_again(settings, state, world, f'{ready[0].process} handles '
                         f'{settings.signal.name} now', ready[0].process, ready)
    if not gone:
        return state
    choice = world.targets()
    if choice.reason in ('pidfile', 'proc'):
        return state  # unknown; the next poll asks again
    left = tuple(each for each in state.notified if each not in gone)
    names = {each.name for each in left}
    # Start times are cut to clock ticks, so times are compared in ticks.
    at = min(each.at for each in gone)
    since = min(min(each.since, int(each.at * world.ticks)) for each in gone)
    if not at:
        at = state.version.seen_at + READ_IT
        since = math.ceil(at * world.ticks)
    others = [
        each for each in choice.targets or roots(choice.matches)
        if (each.pid, each.started) not in names
    ]
    if not (left or others):
        # Between two processes of a service, or with a pidfile that does not name the
        # next one yet; that one may be older than this version.
        return state
    newer = tuple(
        Target(each, phase='up to date', at=at, since=each.started) for each in others
        if each.started >= since
    )
    older = [each for each in others if each.started < since]
    state = state._replace(notified=left + newer)
    if not older:
        return state
    return due_again(
        settings, state, world, f'{gone[0].process} has exited, and {older[0]} is '
        f'older than this version and was never notified of it', older[0],
    )


def due_again(
        settings: Settings, state: State, world: World, why: str, process: Process,
        without: Sequence[Target] = (),
) -> State:
    """Return the state in which the delivered version is due for one more process.

    without: entries of state.notified that are no targets any more.
    """
    world.say(
        'changed', why, fingerprint=state.version.seen, reason='took over',
        target_pid=process.pid,
    )
    have = tuple(
        each for each in state.notified
        if each.phase == 'up to date' and each not in without
    )
    return deliver_again(settings, state._replace(
        attempt=Attempt(state.version.seen, have), hold='',
    ))


def note_older(settings: Settings, state: State, world: World) -> State:
    """Return the state with the roots that are older than the version that waits.

    A program may go to the background long after it has read its files: it forks and
    exits, and its child is younger than the version and has what was there before.
    """
    if not sends_signal(settings) or state.version.state == 'blank':
        return state
    since = (state.version.seen_at + READ_IT) * world.ticks
    older = {each.name: each for each in state.older}
    for each in roots(world.targets().matches):
        if each.started < since:
            now = Target(
                each, disposition=disposition_now(settings, each, world),
                stack=world.stack(each),
            )
            before = older.get(now.name, now)
            # A process that is about to exit does not show them any more.
            older[now.name] = now._replace(
                stack=now.stack or before.stack,
                disposition=before.disposition if now.disposition == 'unknown'
                else now.disposition,
            )
    return state._replace(older=tuple(older.values()))


def forked(settings: Settings, state: State, process: Process, world: World) -> str:
    """Return 'yes' or 'maybe' if a process may have what an older root had read.

    'maybe': it cannot be seen whether it was forked from one, and one that had no
    handler has exited: it was starting, or was restarted.
    """
    stack, found = world.stack(process), ''
    for entry in state.older:
        same = entry_of(state.attempt, entry.process)
        # One that was notified, and did not fail, has read the version.
        if same.phase not in ('untried', 'failed') or (
                entry.name == (process.pid, process.started)
        ):
            continue
        if stack and entry.stack:
            if stack == entry.stack:
                return 'yes'
        elif handler_policy(settings, entry.disposition) == 'hold' and (
                world.gone(entry.process)
        ):
            found = 'maybe'
    return found


def is_superseded(state: State) -> bool:
    """Return whether another version than that of the attempt has settled."""
    version: change.Memory = state.version
    return version.state == 'due' and version.seen != state.attempt.fingerprint
