"""pollreload doctor: would it work here? Sends nothing, changes nothing.

A list of checks; each is a function that takes what it needs and returns rows.
"""
from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from pollreload.commands.doctor.files import memory, shown
from pollreload.commands.doctor.paths import SIGNALS, paths, readings
from pollreload.commands.doctor.programs import commands, port, urls
from pollreload.commands.doctor.rows import Row, json_of, status, text, width
from pollreload.commands.doctor.target import target
from pollreload.runtime.describe import audience
from pollreload.settings import Plan, Settings, signals


def run(plan: Plan) -> int:
    """Print a row for each check; return 0, or 1 where one fails."""
    with waiting(SIGNALS):
        found = [rows(settings) for settings in plan.watches]
        more = several(plan)
    worst = max(map(status, [*found, more]))
    if plan.watches[0].output != 'text':
        print(json_of(plan, found, more, worst))
        return worst
    wide = width([row for each in [*found, more] for row in each])
    if more:
        print(text(more, wide))
    for settings, each in zip(plan.watches, found, strict=True):
        if plan.config:
            print(f'\n{settings.name}: {audience(settings)}')
        print(text(each, wide))
    return worst


def several(plan: Plan) -> list[Row]:
    """Return the rows about what all watches have in common."""
    found = []
    if plan.config:
        count = len(plan.watches)
        found.append(Row(
            'config', 'ok', plan.config,
            '1 watch' if count == 1 else f'{count} watches',
        ))
    if plan.listen is not None:
        found.append(port(*plan.listen))
    return found


@contextmanager
def waiting(signals: frozenset[signal.Signals]) -> Iterator[None]:
    """Keep signals for whoever waits for them: SIGCHLD and those that ask to end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def rows(settings: Settings) -> list[Row]:
    """Return the rows of every check, in the order of a delivery."""
    seen = readings(settings)
    return [
        *paths(settings.paths, seen),
        *(target(settings) if signals(settings) else ()),
        memory(settings),
        *shown(settings),
        *commands(settings),
        *urls(settings),
    ]
