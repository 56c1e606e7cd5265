"""What a run of `check` prints on stdout, and its exit status."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from pollreload.core.attempt import Target
from pollreload.core.command import condition
from pollreload.core.obstacle import disposition_now, obstacle
from pollreload.core.state import State, World
from pollreload.core.step import awaited
from pollreload.runtime import log
from pollreload.runtime.log import CALM, TALK
from pollreload.runtime.shown import shown
from pollreload.settings import Settings, acts, sends_signal

# The events that are the answer, which is printed on stdout.
ANSWERS = frozenset(('held', 'delivered', 'verified', 'failed', 'would'))
# The results of step.awaited -> a phrase for each.
WAITS = {
    'poll': 'for a poll of the paths to end',
    'recheck': 'to read again what could not be read',
    'settle': 'for the version to settle (--settle)',
    'doubt': 'for what became empty (--empty-grace) or unreadable to be believed',
    'splay': 'for --splay to be over',
    'uptime': 'for the target to be old enough (--min-uptime), or to see what it does '
        'with the signal',
    'validate': 'for --validate',
    'survive': 'to see whether the target lives on (--survive)',
    'verify': 'for --verify or --verify-workers to agree',
    'confirm': 'for a poll that confirms what was verified',
}


class Event(NamedTuple):
    """One event, for --output json.

    again: the last run has printed the same, and nothing has changed since.
    """

    event: str
    message: str
    fields: Mapping[str, object]
    again: bool = False


def wait_phrase(settings: Settings, state: State) -> str:
    """Return a phrase for what is being waited for."""
    what = awaited(state)
    if what != 'act':
        return WAITS[what]
    # Not for a watch that only signals.
    from pollreload.core import actions
    index = min(state.attempt.acted, actions.total(settings) - 1)
    return f'for {actions.loggable(settings, index)}'


def outlook(settings: Settings, state: State, world: World) -> str:
    """Describe what a change would do now: the target, or why there is none."""
    receivers = []
    if sends_signal(settings):
        choice = world.targets()
        if choice.reason:
            return f'held: {choice.says or world.absent()}'
        held = []
        for process in choice.targets:
            now = disposition_now(settings, process, world)
            seen = Target(process, disposition=now)
            kept = obstacle(settings, state, seen, world)
            if kept is None or kept.again:  # a hold that ends by itself
                receivers.append(f'{process} by {settings.signal.name}')
            else:
                held.append(kept.says)
        if not receivers:
            return f'held: {"; ".join(held)}'
        receivers = [' and '.join(receivers)]
    if acts(settings):
        # Not for a watch that only signals.
        from pollreload.core import actions
        receivers += [
            actions.loggable(settings, each) for each in range(actions.total(settings))
        ]
    how = 'delivered to ' if sends_signal(settings) else 'delivered by '
    return how + ', then '.join(receivers) + condition(settings)


def answer_status(state: State) -> int:
    """Return the exit status for a state, not regarding the ledger."""
    version = state.version
    unreadable = any(trouble.whole for trouble in version.troubles.values())
    unknown = version.state == 'blank' or (unreadable and not version.seen)
    if state.reading_since or unknown:
        return 3
    if version.state != 'current':
        return 1
    return 3 if unreadable else 0


def one_stream() -> bool:
    """Return whether stdout and stderr lead to the same file."""
    out, err = os.fstat(1), os.fstat(2)
    return (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino)


def print_answer(
        settings: Settings, state: State, events: list[Event], status: int,
) -> None:
    """Print what was due and the result; no text if nothing was due."""
    if settings.output == 'text':
        # cron mails both streams, and a terminal shows both: once is enough.
        unshown = CALM if settings.verbosity < 0 else TALK
        unshown = frozenset() if settings.verbosity > 0 else unshown
        twice = one_stream() and settings.log_format == 'text'
        for event in events:
            counts = event.event in ANSWERS or event.fields.get('reason') == 'needless'
            if event.again and settings.verbosity <= 0:
                continue
            if counts and (not twice or event.event in unshown):
                name = f'{settings.name}: ' if settings.name else ''
                print(log.printable(f'{event.event}: {name}{event.message}'))
        return
    print(log.json_object({
        **({'watch': settings.name} if settings.name else {}),
        'status': status,
        'content': state.version.state,
        'fingerprint': shown(state, state.version.seen),
        'outcome': state.outcome,
        'events': [
            {'event': event.event, 'message': event.message, **event.fields}
            for event in events
        ],
    }))
