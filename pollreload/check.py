"""pollreload check: look once, tell what is due, exit."""
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from pollreload import children, ledger, memory, procfs, report
from pollreload.errors import LedgerBusy, LedgerError, LedgerKept
from pollreload.process import Process
from pollreload.settings import Settings
from pollreload.state import Say, State, World
from pollreload.tick import awaited, step, wake
from pollreload.wiring import (
    CALM,
    TALK,
    Eyes,
    Hands,
    answering,
    claim,
    ended,
    logger,
    recall,
    store,
    whereabouts,
    world,
)

# What of the events is the answer, and goes to stdout too.
ANSWERS = frozenset(('held', 'delivered', 'verified', 'failed', 'would'))


class Event(NamedTuple):
    """One event, for --output json."""

    event: str
    message: str
    fields: Mapping[str, object]


def run(settings: Settings) -> int:
    """Run once; return the exit status.

    Raises LedgerBusy where another run holds the ledger, LedgerError where it
    cannot be had.
    """
    try:
        return answering(lambda: once(settings))
    except (LedgerBusy, LedgerError) as error:
        if settings.output == 'json':
            failure = Event('failed', str(error), {'reason': 'ledger'})
            answer(settings, State(), [failure], error.status)
        raise


def once(settings: Settings) -> int:
    """Return the exit status of one run."""
    here = whereabouts(settings)
    path = settings.state_file or ledger.location(here.key, os.environ, os.geteuid())
    log = logger(settings, TALK, patient=True)
    events: list[Event] = []
    status = 0

    def say(event: str, message: str, /, **fields: object) -> None:
        events.append(Event(event, message, fields))
        log(event, message, **fields)

    if not settings.dry_run:
        claim(path)
    state = State()
    try:
        state = recall(settings, path, here)
    except LedgerKept as error:
        say('failed', f'{error}; taking a baseline, telling nobody', reason='ledger')
        settings = settings._replace(on_start='never')
        status = LedgerError.status

    def save(state: State) -> bool:
        nonlocal status
        if settings.dry_run:
            return True
        try:
            store(path, memory.dump(state, here))
        except LedgerError as error:
            if not status:
                say('failed', str(error), reason='ledger')
            status = LedgerError.status
            return False
        return True

    eyes, hands = Eyes(settings._replace(state_file=path)), Hands()
    around = world(settings, eyes, hands, say, save)
    if settings.dry_run:
        settings = settings._replace(validate=())

        def would(process: Process, number: int) -> str:
            say('would', f'send {settings.signal_name} to {process}', pid=process.pid)
            return 'gone'

        around = around._replace(send=would)
    try:
        state = attempt(settings, state, around, eyes, hands, say)
    finally:
        eyes.close()
        hands.cancel()
    status = status or verdict(state)
    answer(settings, state, events, status)
    return status


def attempt(
        settings: Settings, state: State, around: World, eyes: Eyes, hands: Hands,
        say: Say,
) -> State:
    """Return the state after one attempt, which --timeout may have cut short."""
    deadline = procfs.now() + settings.timeout
    while True:
        state = step(settings, state, around)
        now, what = procfs.now(), awaited(state)
        if not what:
            return state
        if now >= deadline:
            say(
                'failed', f'not done within {settings.timeout:g} s (--timeout), '
                f'still waiting: {what}', reason='timeout',
            )
            return state
        left = max(0.0, min(wake(state), deadline) - now)
        ended(left)
        children.reap({eyes.pid, hands.pid})


def verdict(state: State) -> int:
    """Return the exit status that a state stands for, the ledger apart."""
    content = state.content
    unreadable = any(trouble.whole for trouble in content.troubles.values())
    if state.looking or content.state == 'blank' or (unreadable and not content.seen):
        return 3
    if content.state != 'done':
        return 1
    return 3 if unreadable else 0


def one_stream() -> bool:
    """Return whether stdout and stderr lead to one place."""
    out, err = os.fstat(1), os.fstat(2)
    return (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino)


def answer(settings: Settings, state: State, events: list[Event], status: int) -> None:
    """Print what was due and what came of it; nothing in text where nothing was."""
    if settings.output == 'text':
        # cron mails both streams, and a terminal shows both: once is enough.
        unlogged = CALM if settings.verbosity < 0 else TALK
        unlogged = frozenset() if settings.verbosity > 0 else unlogged
        twice = one_stream() and settings.log_format == 'text'
        for event in events:
            told = event.event in ANSWERS or event.fields.get('reason') == 'needless'
            if told and (not twice or event.event in unlogged):
                print(report.printable(f'{event.event}: {event.message}'))
        return
    print(report.json_object({
        'status': status,
        'content': state.content.state,
        'fingerprint': state.content.seen,
        'outcome': state.outcome,
        'events': [
            {'event': event.event, 'message': event.message, **event.fields}
            for event in events
        ],
    }))
