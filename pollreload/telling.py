"""From due to told: choose, hold or validate, and send.

Every function takes what is known and the world, and returns what is known
then. None of them waits: what has to be waited for is a time to come back at,
or a child whose end wakes the loop.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from pollreload import change
from pollreload.attempt import (
    MOST_SENDS, Attempt, Told, broken, failed, needless, of, record,
)
from pollreload.outcome import ending, surviving
from pollreload.process import HARMLESS, VERDICTS, disposition
from pollreload.settings import Settings
from pollreload.state import State, World, finish, hold


def begin(state: State, world: World) -> State:
    """Return the state with an attempt at a content that is due for the first time."""
    return state._replace(attempt=Attempt(
        state.content.seen, state.content.seen_at, again=world.now() + world.splay,
    ), hold='', outcome='')


def tell(settings: Settings, state: State, world: World) -> State:
    """Return the state after the due content was told, held, or found needless."""
    now = world.now()
    choice = world.targets()
    if choice.reason:
        return hold(state, world, choice.reason, choice.reason, choice.says)
    todo: list[Told] = []
    for process in choice.targets:
        entry = of(state.attempt, process)
        if entry.phase != 'done' and needless(
                process, state.attempt.since, world.ticks, choice.matches,
        ):
            entry = entry._replace(phase='done')
            state = state._replace(attempt=record(state.attempt, entry))
            world.say(
                'baseline', f'{process} started after this content was there and has '
                f'read it; no {settings.signal_name} is needed',
                pid=process.pid, reason='needless',
            )
        if entry.phase != 'done':
            todo.append(entry)
    if not todo:
        return finish(state, 'needless')
    ready: list[Told] = []
    kept: list[Obstacle] = []
    for entry in todo:
        entry = entry._replace(disposition=disposition(
            world.masks(entry.process.pid), settings.signal,
            settings.signal_name in HARMLESS, entry.process.init,
        ))
        if entry.phase == 'pending' and world.health(
                entry.process, settings.signal,
        ) != 'pending':
            # The signal of the last time was taken at last, or died with it.
            return state._replace(
                stage='survive', until=now, next=now, waiting='survive',
                round=tuple((each.pid, each.started) for each in choice.targets),
            )
        held = obstacle(settings, state, entry, world)
        if held is None:
            ready.append(entry)
        else:
            kept.append(held)
    if not ready:
        first = min(kept, key=lambda held: held.again or math.inf)
        return hold(
            state, world, ' '.join(held.key for held in kept), first.reason,
            '; '.join(dict.fromkeys(held.says for held in kept)),
            first.again, 'uptime' if first.again else 'poll',
        )
    if now < state.attempt.again:
        waiting = 'backoff' if state.attempt.tries else 'splay'
        return state._replace(next=state.attempt.again, waiting=waiting)
    if settings.validate and not state.attempt.validated:
        return start_validation(settings, state, world)
    state = state._replace(
        round=tuple((each.pid, each.started) for each in choice.targets),
    )
    return send(settings, state, ready, world)


class Obstacle(NamedTuple):
    """What keeps a signal from a target.

    key: tells one from another; reason: in two words; says: for a person.
    again: when it ends by itself, boot seconds; 0.0: not known.
    """

    key: str
    reason: str
    says: str
    again: float = 0.0


def obstacle(
        settings: Settings, state: State, entry: Told, world: World,
) -> Obstacle | None:
    """Return what keeps the signal from one target now, or None."""
    process, name = entry.process, settings.signal_name
    if entry.phase == 'pending':
        return Obstacle(
            f'pending {process.pid}', 'pending',
            f'{name} still waits for {process}, which is stopped or blocks it; '
            f'it is not sent again on top of that',
        )
    if entry.sends >= MOST_SENDS:
        return Obstacle(
            f'limit {process.pid}', 'limit',
            f'{process} was sent {name} {entry.sends} times for this content in vain; '
            f'held until the content or the process changes',
        )
    uptime = settings.min_uptime
    if uptime is None:
        uptime = 10.0 if entry.disposition == 'unknown' else 1.0
    old_enough = process.started / world.ticks + uptime
    if world.now() < old_enough:
        return Obstacle(
            f'too young {process.pid}', 'too young',
            f'{process} is younger than {uptime:g} s (--min-uptime)', old_enough,
        )
    mode = 'ending' if ending(settings) else settings.handler_check
    if VERDICTS[mode, entry.disposition] == 'hold':
        would = 'ignores' if entry.disposition == 'ignored' else 'would die of'
        return Obstacle(
            f'no handler {process.pid}', 'no handler',
            f'{process} {would} {name}, for it has no handler; held until it has one '
            f'(if it waits for the signal in sigwait, use --handler-check off)',
        )
    if broken(state.deaths, state.deadly, entry.disposition):
        return Obstacle(
            'breaker', 'breaker',
            f'{state.deaths} targets in a row died of {name}; nothing more is sent '
            f'until one has a handler, or pollreload watch itself gets SIGHUP',
        )
    return None


def start_validation(settings: Settings, state: State, world: World) -> State:
    """Return the state with --validate running, or held where it cannot be started."""
    trouble = world.run(settings.validate, {})
    if trouble:
        return invalid(settings, state, world, f'cannot run --validate: {trouble}')
    return state._replace(
        stage='validate', until=world.now() + settings.command_timeout,
        next=world.now() + settings.command_timeout, waiting='command',
    )


def invalid(settings: Settings, state: State, world: World, says: str) -> State:
    """Return the state held because the content is not valid."""
    state = state._replace(
        stage='', attempt=failed(state.attempt, world.now(), world.jitter()),
        outcome='failed',
    )
    return hold(
        state, world, f'validation {says}', 'validation failed', says,
        state.attempt.again, 'backoff',
    )


def validating(settings: Settings, state: State, world: World) -> State:
    """Return the state after asking how --validate gets on."""
    command = settings.validate[0]
    if state.content.seen != state.attempt.fingerprint:
        # It runs on a content that is not there any more.
        world.cancel()
        return state._replace(stage='')
    status = world.ran()
    if status is None and world.now() < state.until:
        return state._replace(next=state.until, waiting='command')
    if status is None:
        world.cancel()
        says = f'--validate {command} did not end within {settings.command_timeout:g} s'
        return invalid(settings, state, world, says)
    if status:
        says = f'--validate {command} refused the new content ({exit_words(status)})'
        return invalid(settings, state, world, says)
    now = world.now()
    return state._replace(
        stage='', attempt=state.attempt._replace(validated=True), confirm=now,
        look_at=now,
    )


def exit_words(status: int) -> str:
    """Return 'exit status 3' or 'ended by signal 9'."""
    return f'exit status {status}' if status > 0 else f'ended by signal {-status}'


def send(settings: Settings, state: State, ready: Sequence[Told], world: World) -> State:
    """Return the state after the signal went to each target that can take it."""
    before, name = state, settings.signal_name
    marked = state.attempt
    for entry in ready:
        marked = record(marked, entry._replace(sends=entry.sends + 1, phase='failed'))
    # The mark is on disk before the signal is out: should this be the end of
    # us, the next run knows that the targets may have half of a content.
    state = state._replace(attempt=marked, content=change.void(state.content))
    if not world.save(state):
        return hold(
            before, world, 'ledger', 'ledger',
            'the ledger cannot be written, so nothing is sent', waiting='poll',
        )
    sent, refused = False, False
    for entry in ready:
        process, now = entry.process, world.now()
        since = int(now * world.ticks)
        how = world.send(process, settings.signal)
        if how in ('pidfd', 'kill'):
            sent = True
            phase = 'ending' if ending(settings) else 'sent'
            state = state._replace(attempt=record(state.attempt, entry._replace(
                sends=entry.sends + 1, phase=phase, at=now, since=since,
            )), hold='')
            warns = VERDICTS.get((settings.handler_check, entry.disposition)) == 'warn'
            world.say(
                'signalled', f'{name} to {process}' + (
                    f', which has no handler for it ({entry.disposition})'
                    if warns and not ending(settings) else ''
                ), pid=process.pid, comm=process.comm, signal=name, how=how,
                disposition=entry.disposition,
            )
            continue
        state = state._replace(attempt=record(state.attempt, entry))
        if how == 'refused':
            refused = True
            world.say(
                'failed', f'not permitted to send {name} to {process.comm} '
                f'(pid {process.pid}, uid {process.uid}) as {world.us}; '
                f'run as the same uid or add CAP_KILL',
                pid=process.pid, reason='not permitted',
            )
        elif how == 'full':
            refused = True
            world.say(
                'failed', f'the queue of {process} is full of {name}',
                pid=process.pid, reason='queue full',
            )
        elif how == 'foreign':
            state = hold(
                state, world, 'proc', 'proc',
                '/proc belongs to another pid namespace; mount this one\'s',
            )
    if refused:
        state = state._replace(
            attempt=failed(state.attempt, world.now(), world.jitter()), outcome='failed',
        )
    if not sent:
        # Nobody was told, so what was done before still is.
        content = state.content._replace(done=before.content.done)
        again = state.attempt.again if refused else 0.0
        return state._replace(
            content=content, next=again, waiting='backoff' if refused else 'poll',
        )
    until = world.now() + settings.survive
    state = state._replace(stage='survive', until=until, next=until, waiting='survive')
    return state if settings.survive else surviving(settings, state, world)
