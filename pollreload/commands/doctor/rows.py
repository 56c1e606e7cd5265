"""A row of doctor, and how rows are printed."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pollreload.runtime import log
from pollreload.settings import Plan

WIDEST = 64  # letters of a first column that the others are aligned with


class Row(NamedTuple):
    """What one check found.

    verdict: 'ok', 'warn' (it works, and there is something to know), 'fail', or
        'skip': cannot be checked, because something else failed.
    about: what was checked; says: what was seen; remedy: what to do, or ''.
    """

    check: str
    verdict: str
    about: str
    says: str
    remedy: str = ''


def json_of(
        plan: Plan, found: Sequence[Sequence[Row]], more: Sequence[Row], worst: int,
) -> str:
    """Return rows as one JSON object, those of a config file watch by watch."""
    if not plan.config:
        return json([*more, *found[0]])
    return log.json_object({
        'status': worst, 'rows': [row._asdict() for row in more], 'watches': [
            {
                'watch': settings.name, 'status': exit_status(each),
                'rows': [row._asdict() for row in each],
            } for settings, each in zip(plan.watches, found, strict=True)
        ],
    })


def exit_status(found: Sequence[Row]) -> int:
    """Return the exit status that rows stand for."""
    return int(any(row.verdict == 'fail' for row in found))


def json(found: Sequence[Row]) -> str:
    """Return rows as one JSON object."""
    return log.json_object(json_rows(found))


def json_rows(found: Sequence[Row]) -> dict[str, object]:
    """Return the exit status and the rows, for a JSON object."""
    return {'status': exit_status(found), 'rows': [row._asdict() for row in found]}


def first(row: Row) -> str:
    """Return the first column of a row: what was checked."""
    return log.printable(f'{row.check} {row.about}'.rstrip())


def column_width(found: Sequence[Row]) -> int:
    """Return how wide the first column is; what is longer than WIDEST sticks out."""
    widths = [len(first(row)) for row in found]
    return max((each for each in widths if each <= WIDEST), default=0)


def format_rows(found: Sequence[Row], width: int) -> str:
    """Return rows as lines, with a first column of a width."""
    return '\n'.join(
        f'{row.verdict:4}  {first(row):{width}}  ' + log.printable(
            row.says + (f' -- {row.remedy}' if row.remedy else ''),
        ) for row in found
    )


def split_message(words: str) -> tuple[str, str]:
    """Split a message into what was seen and what to do."""
    says, _, remedy = words.partition('; ')
    return says, remedy
