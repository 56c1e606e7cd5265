"""The command or request that is under way for a watch. Pure."""

from typing import NamedTuple

from pollreload.core.state import State, World
from pollreload.settings import Settings

COMMAND_PAUSE = 0.1  # s between two polls of a command


class Ended(NamedTuple):
    """How a command ended; status None: it was ended at its deadline."""

    status: int | None


def command_result(world: World, until: float) -> Ended | None:
    """Return how the command ended, or None while it runs before its deadline."""
    status = world.ran()
    if status is None:
        if world.now() < until:
            return None
        world.cancel()
    return Ended(status)


def poll_again(state: State, world: World, until: float) -> State:
    """Return the state in which the command is polled again soon."""
    return state._replace(next=min(until, world.now() + COMMAND_PAUSE))


def last_lines(said: str, most: int = 300) -> str:
    """Return the end of the output of a command as it is quoted in a message.

    Three lines, because the very last is often only a summary of the others.
    """
    lines = [each.strip() for each in said.splitlines() if each.strip()]
    text = ' | '.join(lines[-3:])
    if len(text) <= most:
        return text
    # Cut at a space if there is one.
    end = text[1 - most:]
    return f'…{end.partition(" ")[2] or end}'


def describe_exit(status: int) -> str:
    """Return 'exit status 3' or 'ended by signal 9'."""
    return f'exit status {status}' if status > 0 else f'ended by signal {-status}'


def condition(settings: Settings) -> str:
    """Return what a dry run does not know, as the end of a message; '' for nothing."""
    if not settings.validate:
        return ''
    command = settings.validate[0]
    return f', if --validate {command} accepts it (a dry run does not run it)'
