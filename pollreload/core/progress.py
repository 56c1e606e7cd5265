"""Move a target from phase to phase by the table of core.attempt, and log it. Pure."""
from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from pollreload.core.attempt import TABLE, Action, Target, after_event, record
from pollreload.core.process import ENDING
from pollreload.core.state import State, World
from pollreload.settings import Settings


def ends_target(settings: Settings) -> bool:
    """Return whether the signal is meant to end the target."""
    return settings.signal.name in ENDING


def runs_on(settings: Settings, entry: Target, world: World) -> bool:
    """Return whether a target that was asked to end has not for a long time."""
    limit = max(settings.survive, settings.command_timeout)
    return entry.phase == 'terminating' and world.now() >= entry.at + limit and (
        not world.gone(entry.process)
    )


def checks(settings: Settings) -> bool:
    """Return whether a delivery has to be verified."""
    return settings.verify_workers or bool(settings.verify)


def fields_of(settings: Settings, entry: Target, reason: str = '') -> dict[str, object]:
    """Return the fields that describe a target in the JSON line of an event."""
    said: dict[str, object] = {
        'target_pid': entry.process.pid, 'comm': entry.process.comm,
        'signal': settings.signal.name,
    }
    return {**said, 'reason': reason} if reason else said


def advance_target(
        settings: Settings, state: State, entry: Target, event: str, world: World,
        message: str = '', **more: object,
) -> State:
    """Return the state after an event of one target, and log what it means.

    message: what only the caller knows; more: fields of the JSON line.
    """
    action = TABLE[entry.phase, event][1]
    state = state._replace(attempt=record(state.attempt, after_event(entry, event)))
    report(settings, entry, action, world, message, more)
    if action in ('report delivery', 'report successor'):
        return state._replace(deaths=0, deadly='', killed='')
    if action == 'report death':
        return state._replace(
            deaths=state.deaths + 1, deadly=entry.disposition, killed=entry.program,
        )
    return state


def report(
        settings: Settings, entry: Target, action: Action, world: World,
        message: str, more: Mapping[str, object],
) -> None:
    """Log what happened to a target; entry: as it was before.

    message, more: as in advance.
    """
    process, name = entry.process, settings.signal.name
    unsure = '' if checks(settings) else '; reload not verified'

    def failed(reason: str, says: str) -> None:
        world.say('failed', says, **fields_of(settings, entry, reason))

    def delivered(says: str) -> None:
        said = f'{name} to {process}{says}'
        world.say('delivered', said, **fields_of(settings, entry), **more)

    match action:
        case 'none':
            pass
        case 'report signal':
            said = f'{name} to {process}{message}'
            world.say('signalled', said, **fields_of(settings, entry), **more)
        case 'report needless':
            world.say(
                'baseline', f'{process} started after this version was there and has '
                f'read it; no {name} is needed',
                target_pid=process.pid, reason='needless',
            )
        case 'report delivery':
            if not settings.survive and entry.phase == 'sent':
                unsure += ', and not checked (--survive 0)'
            delivered(unsure)
        case 'report end':
            delivered(', which ended' if settings.survive else '')
        case 'report successor':
            delivered(f', which{message}{unsure}')
        case 'report other generation':
            world.say('changed', message, **more)
        case 'report pending':
            failed(
                'pending', f'{name} is still pending for {process} after '
                f'{settings.survive:g} s: it is stopped, or blocks the signal',
            )
        case 'report death' if entry.phase == 'sent':
            failed('died', f'{process} died within {settings.survive:g} s of {name}')
        case 'report death':
            failed('died', f'{process} died while its reload was being verified')
        case 'report exit':
            failed(
                'ended', f'{process}{message or " ended"}; it is unknown whether it '
                f'had taken {name}',
            )
        case 'report verification':
            # A program that is restarted after its death has not reloaded.
            took_over = entry.process.started >= entry.since
            how = 'took over' if took_over else 'reloaded'
            said = f'{process} {how} after {name}'
            world.say('verified', said, **fields_of(settings, entry))
        case 'report no verification':
            failed('not verified', message)
        case 'report change':
            failed(
                'changed meanwhile', f'the files changed while {process} was being '
                f'verified, which proves nothing about the new version',
            )
        case 'report newer version':
            failed(
                'changed meanwhile', f'a newer version is there, so {process} is not '
                f'verified any longer',
            )
        case _:
            assert_never(action)


def advance_phase(state: State, phase: str, event: str) -> State:
    """Return the state after an event of every target in a phase, not logged."""
    return state._replace(attempt=state.attempt._replace(targets=tuple(
        after_event(target, event) if target.phase == phase else target
        for target in state.attempt.targets
    )))
