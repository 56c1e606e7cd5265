"""Notify by a command or a request, after a signal or without one. Pure.

Each --exec and then each --url, in the order in which they were given; the first
that fails stops the rest, and the next try begins with it. Nothing here
waits.
"""
from __future__ import annotations

from pollreload.core import change, context
from pollreload.core.attempt import MOST_SENDS, after_failure
from pollreload.core.command import (
    command_result,
    condition,
    describe_exit,
    last_lines,
    poll_again,
)
from pollreload.core.progress import ends_target
from pollreload.core.stage import Acting
from pollreload.core.state import State, World, finish, hold
from pollreload.core.verification import verify
from pollreload.settings import Settings, bare, sends_signal


def total(settings: Settings) -> int:
    """Return how many actions there are."""
    return len(settings.exec) + len(settings.url)


def loggable(settings: Settings, index: int) -> str:
    """Return an action as a log may show it: no arguments, no credentials.

    Several commands of one program get a number each.
    """
    if index < len(settings.exec):
        return f'--exec {program_name(settings, index)}'
    return f'{settings.url_method} {bare(settings.url[index - len(settings.exec)])}'


def last(settings: Settings) -> str:
    """Return the last action as a log may show it."""
    return loggable(settings, total(settings) - 1)


def program_name(settings: Settings, index: int) -> str:
    """Return 'systemctl', or 'systemctl (2 of 3)' where several run that."""
    programs = [command[0] for command in settings.exec]
    name = programs[index]
    if programs.count(name) == 1:
        return name
    return f'{name} ({programs[:index + 1].count(name)} of {programs.count(name)})'


def action_kind(settings: Settings, index: int) -> str:
    """Return 'exec' or 'url'."""
    return 'exec' if index < len(settings.exec) else 'url'


def action_fields(settings: Settings, index: int) -> dict[str, object]:
    """Return the fields that describe an action in the JSON line of an event."""
    if index < len(settings.exec):
        return {'exec': settings.exec[index][0]}
    return {'url': bare(settings.url[index - len(settings.exec)])}


def verified_after_actions(settings: Settings) -> bool:
    """Return whether --verify comes after the actions: with a signal it came then."""
    return bool(settings.verify) and not sends_signal(settings)


def hold_disagreement(settings: Settings, state: State, world: World) -> State | None:
    """Return the state held where --verify disagreed too often, else None."""
    if state.attempt.doubted < MOST_SENDS:
        return None
    return hold(
        state, world, 'limit', 'limit',
        f'{last(settings)} succeeded {MOST_SENDS} times for '
        f'this version, and --verify never agreed; held until the files change',
    )


def start_next(settings: Settings, state: State, world: World) -> State:
    """Return the state with the next action under way, or finished after the last."""
    index, now = state.attempt.acted, world.now()
    if settings.dry_run:
        for each in range(index, total(settings)):
            world.say(
                'would', f'do {loggable(settings, each)}{condition(settings)}',
                **action_fields(settings, each),
            )
        return state
    if index >= total(settings):
        if verified_after_actions(settings):
            return verify(settings, state, world)
        return finish(state, world)
    # As with a signal: the mark is on disk before the action can have an effect.
    marked = state._replace(
        version=change.forget(state.version),
        attempt=state.attempt._replace(acted_at=state.attempt.acted_at or now),
    )
    if not world.save(marked):
        return hold(
            state, world, 'ledger', 'ledger',
            'the ledger cannot be written, so nothing is done',
        )
    if index < len(settings.exec):
        trouble = world.run(
            settings.exec[index],
            context.environment(settings, state, notified(settings, state, world)),
        )
        most = settings.command_timeout
    else:
        trouble = world.ask(settings.url[index - len(settings.exec)])
        most = settings.url_timeout
    if trouble:
        says = f'cannot begin {loggable(settings, index)}: {trouble}'
        return lost(settings, marked, world, says)
    stage = Acting(world.now() + most)
    return poll_again(marked._replace(stage=stage), world, stage.until)


def notified(settings: Settings, state: State, world: World) -> list[int]:
    """Return the pids of the targets that were notified and live."""
    if not sends_signal(settings) or ends_target(settings):
        return []
    return [
        each.process.pid for each in state.attempt.targets
        if each.phase == 'up to date' and not world.gone(each.process)
    ]


def poll_action(
        settings: Settings, state: State, stage: Acting, world: World,
) -> State:
    """Return the state after polling the action that runs."""
    end = command_result(world, stage.until)
    if end is None:
        return poll_again(state, world, stage.until)
    index = state.attempt.acted
    what, is_url = loggable(settings, index), action_kind(settings, index) == 'url'
    if end.status is None:
        most = settings.url_timeout if is_url else settings.command_timeout
        option = '--url-timeout' if is_url else '--command-timeout'
        says = f'{what} did not end within {most:g} s ({option})'
        return lost(settings, state, world, says, '' if is_url else world.output())
    if end.status and is_url:
        return lost(settings, state, world, f'{what} {world.output()}')
    if end.status:
        says = f'{what} failed ({describe_exit(end.status)})'
        return lost(settings, state, world, says, world.output())
    unsure = '' if verified_after_actions(settings) else '; reload not verified'
    world.say(
        'delivered', f'{what} {world.output() if is_url else "succeeded"}{unsure}',
        **action_fields(settings, index),
    )
    attempt = state.attempt._replace(acted=index + 1, tries=0)
    # The next action gets the version that is there by then.
    return state._replace(
        stage=None, attempt=attempt, hold='', next=world.now(), waiting='act',
    )


def lost(
        settings: Settings, state: State, world: World, says: str, said: str = '',
) -> State:
    """Return the state after an action failed; why is said once.

    said: what it printed; its last lines are worth a place in the log.
    """
    index = state.attempt.acted
    attempt = after_failure(state.attempt, world.now(), world.jitter())
    end = last_lines(said)
    return hold(
        state._replace(stage=None, attempt=attempt, outcome='failed'), world,
        says, action_kind(settings, index), f'{says}: {end}' if end else says,
        attempt.again, '', event='failed', **action_fields(settings, index),
    )
