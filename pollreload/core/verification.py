"""From told to done: survive, verify, confirm.

As in telling, nothing here waits.
"""
from __future__ import annotations

from pollreload.core.attempt import NEXT, Target, failed, record, renewed
from pollreload.core.process import ENDING, Process
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


def ending(settings: Settings) -> bool:
    """Return whether the signal is meant to end the target."""
    return settings.signal.name in ENDING


def checks(settings: Settings) -> bool:
    """Return whether a delivery has to be verified."""
    return settings.verify_workers or bool(settings.verify)


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
    """Return the state after --survive: who is alive with nothing pending."""
    now = world.now()
    in_flight = [
        target for target in state.attempt.targets
        if target.phase in ('sent', 'pending', 'ending')
    ]
    if now < state.until and not any(target.phase == 'ending' for target in in_flight):
        return state._replace(next=state.until, waiting='survive')
    for entry in in_flight:
        seen = 'alive'
        if settings.survive or entry.phase == 'pending':
            seen = world.health(entry.process, settings.signal.number)
        if entry.phase == 'ending':
            state = ended(settings, state, entry, seen, world)
            continue
        process = successor(entry, world) if seen == 'gone' else None
        if seen == 'gone' and process is None and (
                left := left_to_another(settings, state, entry, world)
        ):
            state = left
        elif process is None:
            state = survived(settings, state, entry, seen, world)
        elif (again := proven_at(process, settings, world)) > now:
            return state._replace(until=again, next=again, waiting='survive')
        else:
            state = replaced(settings, state, entry, process, world)
    if any(target.phase == 'ending' for target in state.attempt.targets):
        return state._replace(next=now + END_PAUSE, waiting='survive')
    return next_check(settings, state, world)


def fields(settings: Settings, entry: Target, reason: str = '') -> dict[str, object]:
    """Return what the JSON line of an event says of a target."""
    said: dict[str, object] = {
        'pid': entry.process.pid, 'comm': entry.process.comm,
        'signal': settings.signal.name,
    }
    return {**said, 'reason': reason} if reason else said


def survived(
        settings: Settings, state: State, entry: Target, seen: str, world: World,
) -> State:
    """Return the state after one target was looked at, and say how it is."""
    process, name = entry.process, settings.signal.name
    phase = NEXT[entry.phase, seen]
    state = state._replace(attempt=record(state.attempt, entry._replace(phase=phase)))
    if phase == 'failed' and entry.phase == 'pending':
        # Minutes may have passed: whatever ended it, it need not be the signal.
        world.say(
            'failed', f'{process} ended; whether it had taken {name} is not known',
            **fields(settings, entry, 'ended'),
        )
        return state
    if phase == 'failed':
        world.say(
            'failed', f'{process} died within {settings.survive:g} s of {name}',
            **fields(settings, entry, 'died'),
        )
        return died(state, entry)
    if phase == 'alive':
        unsure = '' if checks(settings) else '; reload not verified'
        if not settings.survive and entry.phase == 'sent':
            unsure += ', and not looked at (--survive 0)'
        world.say(
            'delivered', f'{name} to {process}{unsure}', **fields(settings, entry),
        )
        return state._replace(deaths=0, deadly='', killed='')
    world.say(
        'failed', f'{name} is still pending for {process} after '
        f'{settings.survive:g} s: it is stopped, or blocks the signal',
        **fields(settings, entry, 'pending'),
    )
    return state


def replaced(
        settings: Settings, state: State, entry: Target, process: Process, world: World,
) -> State:
    """Return the state after a target exited and another process took over.

    A program that hands over to a successor looks like one that died of the signal
    and was started again, so this is no proof of a reload.
    """
    unsure = '' if checks(settings) else '; reload not verified'
    world.say(
        'delivered', f'{settings.signal.name} to {entry.process}, which has exited and '
        f'was replaced by {process}{unsure}',
        **fields(settings, entry), successor=process.pid,
    )
    state = state._replace(deaths=0, deadly='', killed='')
    return hand_over(state, entry, process, 'alive')


def ended(
        settings: Settings, state: State, entry: Target, seen: str, world: World,
) -> State:
    """Return the state after looking whether a target ended, as it was told to."""
    process, name = entry.process, settings.signal.name
    phase = 'done' if not settings.survive else NEXT['ending', seen]
    if phase == 'ending' and world.now() - entry.at >= settings.command_timeout:
        phase = 'failed'
        world.say(
            'failed',
            f'{process} still runs {settings.command_timeout:g} s after {name}',
            **fields(settings, entry, 'still running'),
        )
    elif phase == 'done':
        end = ', which ended' if settings.survive else ''
        world.say('delivered', f'{name} to {process}{end}', **fields(settings, entry))
    return state._replace(attempt=record(state.attempt, entry._replace(phase=phase)))


def next_check(settings: Settings, state: State, world: World) -> State:
    """Return the state at the verification of the next target, or at the end of all."""
    now = world.now()
    alive = any(target.phase == 'alive' for target in state.attempt.targets)
    if checks(settings) and alive:
        until = now + settings.command_timeout
        return verifying(settings, state._replace(
            stage='verify', until=until, retry=now, running=False, grown=False,
        ), world)
    if any(target.phase == 'verified' for target in state.attempt.targets):
        return state._replace(
            stage='confirm', confirm=now, next_reading=now, waiting='look',
        )
    return conclude(settings, turned(state, 'alive', 'done'), world)


def turned(state: State, before: str, after: str) -> State:
    """Return the state with every target of one phase in another."""
    return state._replace(attempt=state.attempt._replace(targets=tuple(
        target._replace(phase=after) if target.phase == before else target
        for target in state.attempt.targets
    )))


def conclude(settings: Settings, state: State, world: World) -> State:
    """Return the state after a round: done where every target of it is."""
    targets = [target for target in state.attempt.targets if target.name in state.round]
    state = state._replace(stage='')
    done = {target.name for target in targets if target.phase == 'done'}
    if done == set(state.round):
        if acts(settings):
            # By way of who is there by now: a late one is told before the rest is.
            return state._replace(next=world.now(), waiting='act')
        return finish(state, world)
    if any(target.sends and target.phase != 'done' for target in targets):
        again = failed(state.attempt, world.now(), world.jitter())
        state = state._replace(attempt=again, outcome='failed')
    # What of it is not done is chosen anew at the next poll, which is also
    # when the reason for a hold is logged.
    return state._replace(next=world.now(), waiting='poll')


def verifying(settings: Settings, state: State, world: World) -> State:
    """Return the state after asking whether the reload of one target is to be seen."""
    now = world.now()
    entry = next(target for target in state.attempt.targets if target.phase == 'alive')
    process = entry.process
    if superseded(state):
        if state.running:
            world.cancel()
        world.say(
            'failed', f'a newer version is there, so {process} is not verified any '
            f'longer', **fields(settings, entry, 'changed meanwhile'),
        )
        state = turned(state, 'alive', 'failed')
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
        world.say(
            'failed', f'{process} died while its reload was being verified',
            **fields(settings, entry, 'died'),
        )
        return checked(settings, died(state, entry), entry, 'failed', world)
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
        world.say(
            'failed', f'{process} was told, but {settings.command_timeout:g} s later '
            f'{lack}', **fields(settings, entry, 'not verified'),
        )
        return checked(settings, state, entry, 'failed', world)
    if not grown or now < state.retry:
        again = now + VERIFY_PAUSE if not grown else state.retry
        return state._replace(next=min(again, state.until), waiting='verify')
    trouble = world.run(settings.verify, {'POLLRELOAD_PID': str(process.pid)})
    if trouble:
        world.say(
            'failed', f'cannot run --verify: {trouble}',
            **fields(settings, entry, 'not verified'),
        )
        return checked(settings, state, entry, 'failed', world)
    return state._replace(running=True, next=now + COMMAND_PAUSE, waiting='command')


def died(state: State, entry: Target) -> State:
    """Return the state after a target died of the signal, for the breaker."""
    return state._replace(
        deaths=state.deaths + 1, deadly=entry.disposition, killed=entry.program,
    )


def checked(
        settings: Settings, state: State, entry: Target, phase: str, world: World,
) -> State:
    """Return the state after the verification of one target came to an end."""
    entry = entry._replace(phase=phase)
    state = state._replace(attempt=record(state.attempt, entry))
    return next_check(settings, state, world)


def confirming(settings: Settings, state: State, world: World) -> State:
    """Return the state after a last look: what was verified is still what is there."""
    seen = state.version.seen
    if state.reading_since or state.version.read_at < state.confirm or not seen:
        return state._replace(waiting='look')
    for entry in state.attempt.targets:
        if entry.phase == 'verified' and seen == state.attempt.fingerprint:
            # A program that is restarted after its death has not reloaded.
            took_over = entry.process.started >= entry.since
            how = 'took over' if took_over else 'reloaded'
            world.say(
                'verified', f'{entry.process} {how} after {settings.signal.name}',
                **fields(settings, entry),
            )
        elif entry.phase == 'verified':
            world.say(
                'failed', f'the content changed while {entry.process} was being '
                f'verified, which proves nothing of the new one',
                **fields(settings, entry, 'changed meanwhile'),
            )
    after = 'done' if seen == state.attempt.fingerprint else 'failed'
    return conclude(settings, turned(state, 'verified', after), world)
