"""What keeps a signal from a target. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from pollreload.core.attempt import (
    MOST_SENDS,
    Target,
    breaker_is_open,
)
from pollreload.core.process import HARMLESS, Process, disposition, verdict
from pollreload.core.progress import ends_target
from pollreload.core.state import State, World, notified_targets
from pollreload.settings import Settings

# A program that fetches the signal (signalfd) blocks it all the time. fork, vfork and
# posix_spawn block every signal for a moment in one that does not handle it and would
# die of it right after that. On a busy machine the moment is long, but such a program
# does not sleep in it.
BLOCKS = 60  # how often a target must be seen asleep and blocking, and never unblocking
BLOCKS_AGAIN = 0.05  # s from one look to the next
AWAKE = 2.0  # s of a target that is not seen asleep until only polls look at it


# Dispositions that do not show whether a program that just started has its handler yet.
UNPROVEN = frozenset(('runtime', 'unknown'))


class Obstacle(NamedTuple):
    """What keeps a signal from a target.

    key: differs for each; reason: as in the JSON line; says: the message.
    again: when it ends by itself, boot seconds; 0.0: not known.
    """

    key: str
    reason: str
    says: str
    again: float = 0.0


def obstacle(
        settings: Settings, state: State, entry: Target, world: World,
) -> Obstacle | None:
    """Return the obstacle that keeps the signal from one target now, or None."""
    process, name = entry.process, settings.signal.name
    if entry.phase == 'pending':
        return Obstacle(
            f'pending {process.pid}', 'pending',
            f'{name} still waits for {process}, which is stopped or blocks it; '
            f'it is not sent again on top of that',
        )
    if entry.sends >= MOST_SENDS:
        return Obstacle(
            f'limit {process.pid}', 'limit',
            f'{process} was sent {name} {entry.sends} times for this version '
            f'without success; held until the files or the process change',
        )
    uptime = settings.min_uptime
    if uptime is None:
        uptime = 10.0 if entry.disposition in UNPROVEN else 1.0
    old_enough = process.started / world.ticks + uptime
    if world.now() < old_enough:
        return Obstacle(
            f'too young {process.pid}', 'too young',
            f'{process} is younger than {uptime:g} s (--min-uptime)', old_enough,
        )
    if handler_policy(settings, entry.disposition) == 'hold':
        return Obstacle(
            f'no handler {process.pid}', 'no handler',
            no_handler(process, name, entry.disposition, world),
        )
    seen, last = dict(state.blocking).get(entry.name, (BLOCKS, 0.0))
    if seen < BLOCKS and handler_policy(settings, 'default') == 'hold':
        now = world.now()
        return Obstacle(
            f'blocks {process.pid}', 'no handler',
            f'{process} blocks {name}, maybe only while it starts a child (if it '
            f'fetches {name}, use --handler-check off)',
            now + BLOCKS_AGAIN if now - last < AWAKE else 0.0,
        )
    if breaker_is_open(state.deaths, state.deadly, entry.disposition) and (
            not state.killed or entry.program in ('', state.killed)
    ):
        if state.deadly == 'runtime':
            return Obstacle(
                'breaker', 'breaker',
                f'the runtime of {process.comm} catches {name}, and the program does '
                f'not handle it: it died of it; held until another program file runs, '
                f'or pollreload watch itself gets SIGHUP',
            )
        return Obstacle(
            'breaker', 'breaker',
            f'{state.deaths} targets in a row died of {name}; nothing more is sent '
            f'until one has a handler, or pollreload watch itself gets SIGHUP',
        )
    return None


def note_blocking(
        settings: Settings, state: State, targets: Sequence[Target], world: World,
) -> State:
    """Return the state after seeing once more which targets block the signal.

    targets: with their dispositions of now. One that took such a signal before and
    lived is believed at once.
    """
    before = dict(state.blocking)
    believed = {
        each.name for each in notified_targets(state) if each.disposition == 'blocked'
    }
    blocking = []
    for each in targets:
        if each.disposition == 'blocked' and each.name not in believed:
            seen, last = before.get(each.name, (0, world.now()))
            if blocks_asleep(settings, each.process, world):
                seen, last = seen + 1, world.now()
            blocking.append((each.name, (seen, last)))
    return state._replace(blocking=tuple(blocking))


def blocks_asleep(settings: Settings, process: Process, world: World) -> bool:
    """Return whether a process blocks the signal, and not just to start a child."""
    masks = world.masks(process.pid)
    bit = 1 << (settings.signal.number - 1)
    return masks is not None and masks.asleep and bool(masks.blocked & bit)


def no_handler(process: Process, name: str, disposition: str, world: World) -> str:
    """Return the message about a target that does not handle the signal."""
    fate = 'ignores' if disposition == 'ignored' else 'has no handler and would die of'
    child = world.below(process)
    if child is not None:
        return (
            f'{process} {fate} {name}; its child {child} handles {name}: '
            f'--process {child.comm}'
        )
    if disposition == 'ignored':
        return (
            f'{process} ignores {name}; held until it has a handler or is restarted '
            f'(--handler-check off sends it all the same)'
        )
    return (
        f'{process} would die of {name}, because it has no handler; held until it has '
        f'one or is restarted (if it waits for {name} in sigwait, use --handler-check '
        f'off)'
    )


def disposition_now(settings: Settings, process: Process, world: World) -> str:
    """Return the disposition of a target for the signal, as it is now."""
    return disposition(
        world.masks(process.pid), settings.signal.number,
        settings.signal.name in HARMLESS, process.init,
    )


def handler_policy(settings: Settings, disposition: str) -> str:
    """Return 'send', 'hold' or 'warn'; a signal that is to end it is not checked."""
    check = 'off' if ends_target(settings) else settings.handler_check
    return verdict(check, disposition)
