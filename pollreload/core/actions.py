"""What is told by a command or a request, after a signal or without one.

Each --exec and then each --url, in the order in which they were given; the first
that fails stops the rest, and is where the next try goes on. As in telling,
nothing here waits.
"""
from __future__ import annotations

from collections.abc import Callable

from pollreload.core import change, context
from pollreload.core.attempt import MOST_SENDS, failed
from pollreload.core.progress import ending
from pollreload.core.state import State, World, finish, hold
from pollreload.core.verification import (
    COMMAND_PAUSE,
    VERIFY_PAUSE,
    exit_words,
    last_lines,
)
from pollreload.settings import Settings, bare, signals


def count(settings: Settings) -> int:
    """Return how many actions there are."""
    return len(settings.exec) + len(settings.url)


def named(settings: Settings, index: int) -> str:
    """Return an action as a log may show it: no arguments, no credentials.

    Several commands of one program are told apart by a number.
    """
    if index < len(settings.exec):
        return f'--exec {program(settings, index)}'
    return f'{settings.url_method} {bare(settings.url[index - len(settings.exec)])}'


def program(settings: Settings, index: int) -> str:
    """Return 'systemctl', or 'systemctl (2 of 3)' where several run that."""
    programs = [command[0] for command in settings.exec]
    name = programs[index]
    if programs.count(name) == 1:
        return name
    return f'{name} ({programs[:index + 1].count(name)} of {programs.count(name)})'


def kind(settings: Settings, index: int) -> str:
    """Return 'exec' or 'url'."""
    return 'exec' if index < len(settings.exec) else 'url'


def fields(settings: Settings, index: int) -> dict[str, object]:
    """Return what the JSON line of an event says of an action."""
    if index < len(settings.exec):
        return {'exec': settings.exec[index][0]}
    return {'url': bare(settings.url[index - len(settings.exec)])}


def agreeing(settings: Settings) -> bool:
    """Return whether --verify comes after the actions: with a signal it came then."""
    return bool(settings.verify) and not signals(settings)


def spent(settings: Settings, state: State, world: World) -> State | None:
    """Return the state held where --verify disagreed too often, else None."""
    if state.attempt.doubted < MOST_SENDS:
        return None
    return hold(
        state, world, 'limit', 'limit',
        f'{named(settings, count(settings) - 1)} succeeded {MOST_SENDS} times for '
        f'this content, and --verify never agreed; held until the content changes',
    )


def start(settings: Settings, state: State, world: World) -> State:
    """Return the state with the next action under way; done where none is left."""
    index, now = state.attempt.acted, world.now()
    if settings.dry_run:
        for each in range(index, count(settings)):
            world.say(
                'would', f'do {named(settings, each)}', **fields(settings, each),
            )
        return state
    if index >= count(settings):
        if agreeing(settings):
            return agree(settings, state, world)
        return finish(state, world)
    # As with a signal: the mark is on disk before anybody can have half of it.
    marked = state._replace(
        version=change.void(state.version),
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
        says = f'cannot begin {named(settings, index)}: {trouble}'
        return lost(settings, marked, world, says)
    return marked._replace(
        stage='act', until=now + most, next=now + COMMAND_PAUSE, waiting='command',
    )


def notified(settings: Settings, state: State, world: World) -> list[int]:
    """Return the pids of the targets that were notified and live."""
    if not signals(settings) or ending(settings):
        return []
    return [
        each.process.pid for each in state.attempt.targets
        if each.phase == 'up to date' and not world.gone(each.process)
    ]


def acting(settings: Settings, state: State, world: World) -> State:
    """Return the state after asking how an action gets on."""
    status, now = world.ran(), world.now()
    if status is None and now < state.until:
        again = min(state.until, now + COMMAND_PAUSE)
        return state._replace(next=again, waiting='command')
    index = state.attempt.acted
    what, is_url = named(settings, index), kind(settings, index) == 'url'
    if status is None:
        world.cancel()
        most = settings.url_timeout if is_url else settings.command_timeout
        option = '--url-timeout' if is_url else '--command-timeout'
        says = f'{what} did not end within {most:g} s ({option})'
        return lost(settings, state, world, says, '' if is_url else world.said())
    if status and is_url:
        return lost(settings, state, world, f'{what} {world.said()}')
    if status:
        says = f'{what} failed ({exit_words(status)})'
        return lost(settings, state, world, says, world.said())
    unsure = '' if agreeing(settings) else '; reload not verified'
    world.say(
        'delivered', f'{what} {world.said() if is_url else "succeeded"}{unsure}',
        **fields(settings, index),
    )
    attempt = state.attempt._replace(acted=index + 1, tries=0)
    # The next one is told of what is there by then.
    return state._replace(
        stage='', attempt=attempt, hold='', next=now, waiting='act',
    )


def lost(
        settings: Settings, state: State, world: World, says: str, said: str = '',
) -> State:
    """Return the state after an action failed; why is said once.

    said: what it printed; its last lines are worth a place in the log.
    """
    index = state.attempt.acted
    attempt = failed(state.attempt, world.now(), world.jitter())
    last = last_lines(said)
    return hold(
        state._replace(stage='', attempt=attempt, outcome='failed'), world,
        says, kind(settings, index), f'{says}: {last}' if last else says,
        attempt.again, 'backoff', event='failed', **fields(settings, index),
    )


def agree(settings: Settings, state: State, world: World) -> State:
    """Return the state with --verify to be asked until it agrees."""
    now = world.now()
    return agree_now(settings, state._replace(
        stage='agree', until=now + settings.command_timeout, retry=now, running=False,
    ), world)


def agree_now(settings: Settings, state: State, world: World) -> State:
    """Return the state after asking whether the reload is to be seen."""
    now = world.now()
    if state.running:
        status = world.ran()
        if status is None and now < state.until:
            again = min(state.until, now + COMMAND_PAUSE)
            return state._replace(next=again, waiting='command')
        if status is None:
            world.cancel()
        state = state._replace(running=False, retry=now + VERIFY_PAUSE)
        if status == 0:
            return state._replace(
                stage='agreed', confirm=now, next_reading=now, waiting='look',
            )
    if now >= state.until:
        last = last_lines(world.said())
        return doubted(
            state, world, f'all was done, but {settings.command_timeout:g} s later '
            f'--verify {settings.verify[0]} does not agree'
            + (f': {last}' if last else ''),
        )
    if now < state.retry:
        return state._replace(next=min(state.retry, state.until), waiting='verify')
    trouble = world.run(
        settings.verify, context.environment(settings, state, ()),
    )
    if trouble:
        return doubted(state, world, f'cannot run --verify: {trouble}')
    return state._replace(running=True, next=now + COMMAND_PAUSE, waiting='command')


def agreed(settings: Settings, state: State, world: World) -> State:
    """Return the state after a last look: what was verified is still what is there."""
    seen = state.version.seen
    if state.reading_since or state.version.read_at < state.confirm or not seen:
        return state._replace(waiting='look')
    what = named(settings, count(settings) - 1)
    if seen == state.attempt.fingerprint and state.version.state != 'due':
        # It could not be read meanwhile, and has to settle once more.
        return state._replace(waiting='look')
    if seen != state.attempt.fingerprint:
        return doubted(
            state, world, f'the content changed while {what} was being verified, '
            f'which proves nothing of the new one', 'changed meanwhile',
        )
    world.say('verified', f'reloaded after {what}')
    return finish(state, world)


def doubted(
        state: State, world: World, says: str, reason: str = 'not verified',
) -> State:
    """Return the state in which all is to be done once more."""
    world.say('failed', says, reason=reason)
    attempt = failed(state.attempt, world.now(), world.jitter())
    attempt = attempt._replace(acted=0, doubted=attempt.doubted + 1)
    return state._replace(
        stage='', attempt=attempt, outcome='failed', next=world.now(), waiting='poll',
    )


STAGES: dict[str, Callable[[Settings, State, World], State]] = {
    'act': acting,
    'agree': agree_now,
    'agreed': agreed,
}
