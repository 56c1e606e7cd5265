"""The rows of doctor about options that set the pace and contradict each other.

What can never work is refused before: --max-wait below --settle.
"""
from __future__ import annotations

from collections.abc import Iterator

from pollreload.commands.doctor.rows import Row
from pollreload.settings import Settings


def check_pace(settings: Settings) -> Iterator[Row]:
    """Yield a row for each option that makes --max-wait longer than it says."""
    limit, spacing = settings.max_wait, settings.min_interval
    longer = [
        (option, value, says, remedy) for option, value, says, remedy in (
            ('--interval', settings.interval,
             'begins only when a poll has seen the change', 'shorter than --max-wait'),
            ('--min-interval', spacing,
             'after a delivery a version waits longer than that',
             'shorter, or --max-wait longer'),
            ('--splay', settings.splay,
             'a delivery may wait longer than that before its notification',
             'shorter, or --max-wait longer'),
        ) if limit and value > limit
    ]
    for option, value, says, remedy in longer:
        yield Row(
            'max-wait', 'warn', f'{limit:g} s', f'{says} ({option} is {value:g} s)',
            f'make {option} {remedy}',
        )
    if limit and not longer:
        yield Row(
            'max-wait', 'ok', f'{limit:g} s', 'delivers a version that does not settle',
        )
    if spacing:
        yield Row(
            'min-interval', 'ok', f'{spacing:g} s',
            'changes until then are delivered as one',
        )
