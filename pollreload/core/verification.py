"""From told to done: survive, verify, confirm.

As in telling, nothing here waits.
"""
from __future__ import annotations

from pollreload.core.attempt import IN_FLIGHT, Target, failed, renewed
from pollreload.core.process import Process
from pollreload.core.progress import advance, checks, turned
from pollreload.core.state import State, World, finish
from pollreload.core.succession import (
    hand_over,
    left_to_another,
    proven_at,
    successor,
    superseded,
)
from pollreload.settings import Settings, acts

COMMAND_PAUSE = 0.1  # s between two looks at a command and what it prints
VERIFY_PAUSE = 0.25  # s between two tries of a verification
END_PAUSE = 0.1  # s between two looks at a target that is to end


def last_lines(said: str, most: int = 300) -> str:
    """Return the end of what a command printed, for a message.

    Three lines: the very last is often but the sum of the others.
    """
    lines = [each.strip() for each in said.splitlines() if each.strip()]
    text = ' | '.join(lines[-3:])
    if len(text) <= most:
        return text
    # Not within a word, unless it is one word.
    end = text[1 - most:]
    return f'…{end.partition(" ")[2] or end}'


def exit_words(status: int) -> str:
    """Return 'exit status 3' or 'ended by signal 9'."""
    return f'exit status {status}' if status > 0 else f'ended by signal {-status}'


def surviving(settings: Settings, state: State, world: World) -> State:
    """Return the state after --survive: which targets live, with nothing pending."""
    now = world.now()
    in_flight = [each for each in state.attempt.targets if each.phase in IN_FLIGHT]
    if now < state.until and not any(each.phase == 'terminating' for each in in_flight):
        return state._replace(next=state.until, waiting='survive')
    for entry in in_flight:
        event = observed(settings, entry, world)
        process = None
        if event == 'gone' and entry.phase != 'terminating':
            process = successor(entry, world)
            left = None if process else left_to_another(settings, state, entry, world)
            if left is not None:
                state = left
                continue
        if process is None:
            state = advance(settings, state, entry, event, world)
        elif (again := proven_at(process, settings, world)) > now:
            return state._replace(until=again, next=again, waiting='survive')
        else:
            state = replaced(settings, state, entry, process, world)
    if any(each.phase == 'terminating' for each in state.attempt.targets):
        return state._replace(next=now + END_PAUSE, waiting='survive')
    return next_check(settings, state, world)


def observed(settings: Settings, entry: Target, world: World) -> str:
    """Return the event of attempt.TABLE that is observed of a target in flight."""
    if not settings.survive and entry.phase != 'pending':
        return 'unobserved'
    seen = world.health(entry.process, settings.signal.number)
    late = world.now() - entry.at >= settings.command_timeout
    if entry.phase == 'terminating' and seen != 'gone' and late:
        return 'overdue'
    return seen


def replaced(
        settings: Settings, state: State, entry: Target, process: Process, world: World,
) -> State:
    """Return the state after a target exited and another process took over.

    A program that hands over to a successor looks like one that died of the signal
    and was started again, so this is no proof of a reload.
    """
    state = advance(
        settings, state, entry, 'succeeded', world,
        f', which has exited and was replaced by {process}', successor=process.pid,
    )
    return hand_over(state, entry, process)


def next_check(settings: Settings, state: State, world: World) -> State:
    """Return the state at the verification of the next target, or at the end of all."""
    now = world.now()
    alive = any(target.phase == 'delivered' for target in state.attempt.targets)
    if checks(settings) and alive:
        until = now + settings.command_timeout
        return verifying(settings, state._replace(
            stage='verify', until=until, retry=now, running=False, grown=False,
        ), world)
    if any(target.phase == 'verified' for target in state.attempt.targets):
        return state._replace(
            stage='confirm', confirm=now, next_reading=now, waiting='look',
        )
    return conclude(settings, turned(state, 'delivered', 'unverified'), world)


def conclude(settings: Settings, state: State, world: World) -> State:
    """Return the state after a round: done where every target of it is."""
    targets = [target for target in state.attempt.targets if target.name in state.round]
    state = state._replace(stage='')
    done = {target.name for target in targets if target.phase == 'up to date'}
    if done == set(state.round):
        if acts(settings):
            # By way of who is there by now: a late one is told before the rest is.
            return state._replace(next=world.now(), waiting='act')
        return finish(state, world)
    if any(target.sends and target.phase != 'up to date' for target in targets):
        again = failed(state.attempt, world.now(), world.jitter())
        state = state._replace(attempt=again, outcome='failed')
    # What of it is not done is chosen anew at the next poll, which is also
    # when the reason for a hold is logged.
    return state._replace(next=world.now(), waiting='poll')


def verifying(settings: Settings, state: State, world: World) -> State:
    """Return the state after asking whether the reload of one target is to be seen."""
    now = world.now()
    entry = next(
        each for each in state.attempt.targets if each.phase == 'delivered'
    )
    process = entry.process
    if superseded(state):
        if state.running:
            world.cancel()
        state = advance(settings, state, entry, 'superseded', world)
        state = turned(state, 'delivered', 'superseded')
        return state._replace(
            stage='', running=False, outcome='failed', next=now, waiting='poll',
        )
    if state.running:
        status = world.ran()
        if status is None and now < state.until:
            again = min(state.until, now + COMMAND_PAUSE)
            return state._replace(next=again, waiting='command')
        if status is None:
            world.cancel()
        state = state._replace(running=False, retry=now + VERIFY_PAUSE)
        if status == 0:
            return checked(settings, state, entry, 'verified', world)
    if world.health(process, settings.signal.number) == 'gone':
        other = successor(entry, world)
        if other is not None:
            state = replaced(settings, state, entry, other, world)
            return next_check(settings, state, world)
        left = left_to_another(settings, state, entry, world)
        if left is not None:
            return next_check(settings, left, world)
        return checked(settings, state, entry, 'gone', world)
    grown = state.grown or not settings.verify_workers or (
        renewed(entry, world.family(process.pid))
    )
    state = state._replace(grown=grown)
    if grown and not settings.verify:
        return checked(settings, state, entry, 'verified', world)
    if now >= state.until:
        lack = 'it has not replaced its workers (--verify-workers)'
        if grown:
            last = last_lines(world.said())
            lack = f'--verify {settings.verify[0]} does not agree'
            lack += f': {last}' if last else ''
        return checked(
            settings, state, entry, 'not verified', world, f'{process} was told, but '
            f'{settings.command_timeout:g} s later {lack}',
        )
    if not grown or now < state.retry:
        again = now + VERIFY_PAUSE if not grown else state.retry
        return state._replace(next=min(again, state.until), waiting='verify')
    from pollreload.core import context
    trouble = world.run(
        settings.verify, context.environment(settings, state, (process.pid,)),
    )
    if trouble:
        says = f'cannot run --verify: {trouble}'
        return checked(settings, state, entry, 'not verified', world, says)
    return state._replace(running=True, next=now + COMMAND_PAUSE, waiting='command')


def checked(
        settings: Settings, state: State, entry: Target, event: str, world: World,
        message: str = '',
) -> State:
    """Return the state after the verification of one target came to an end."""
    state = advance(settings, state, entry, event, world, message)
    return next_check(settings, state, world)


def confirming(settings: Settings, state: State, world: World) -> State:
    """Return the state after another poll: is the verified version still there?"""
    seen = state.version.seen
    if state.reading_since or state.version.read_at < state.confirm or not seen:
        return state._replace(waiting='look')
    event = 'confirmed' if seen == state.attempt.fingerprint else 'changed'
    for entry in state.attempt.targets:
        if entry.phase == 'verified':
            state = advance(settings, state, entry, event, world)
    return conclude(settings, state, world)
