"""pollreload doctor: check whether a watch would work on this machine.

Each check is a function that takes what it needs and returns rows. Nothing is
sent and nothing changed, except one real delivery with --deliver.
"""
from __future__ import annotations

from pollreload.commands.doctor import pace, request_files
from pollreload.commands.doctor.delivery import delivery_rows
from pollreload.commands.doctor.files import check_ledger, check_status_file
from pollreload.commands.doctor.paths import paths, readings
from pollreload.commands.doctor.processes import other_pollreloads
from pollreload.commands.doctor.programs import check_programs, port, urls
from pollreload.commands.doctor.rows import (
    Row,
    column_width,
    exit_status,
    format_rows,
    json_of,
    split_message,
)
from pollreload.commands.doctor.target import check_target
from pollreload.runtime import interrupt
from pollreload.runtime.describe import receivers
from pollreload.settings import Plan, Settings, sends_signal


def run(plan: Plan, deliver: bool = False) -> int:
    """Print the rows of every check; return 0, or 1 if one fails.

    deliver: also deliver once for each watch of which no check failed.
    """
    shows_text = plan.watches[0].output == 'text'
    with interrupt.signals_blocked():
        found = [all_rows(settings) for settings in plan.watches]
        more = check_each_watch(plan)
        wide = column_width([row for each in [*found, more] for row in each])
        if shows_text and more:
            print(format_rows(more, wide))
        for settings, each in zip(plan.watches, found, strict=True):
            if shows_text:
                if plan.config:
                    print(f'\n{settings.name}: {receivers(settings)}')
                # At once: a delivery and its verification take time.
                print(format_rows(each, wide), flush=True)
            if deliver:
                tried = delivery_rows(settings, each)
                each.extend(tried)
                if shows_text:
                    print(format_rows(tried, wide))
    worst = max(map(exit_status, [*found, more]))
    if not shows_text:
        print(json_of(plan, found, more, worst))
    return worst


def check_each_watch(plan: Plan) -> list[Row]:
    """Return the rows about what all watches have in common."""
    found = []
    if plan.config:
        count = len(plan.watches)
        found.append(Row(
            'config', 'ok', plan.config,
            '1 watch' if count == 1 else f'{count} watches',
        ))
    for note in plan.notes:
        says, remedy = split_message(note.message.removeprefix(f'{note.about} '))
        found.append(Row('variable', 'warn', note.about, says, remedy))
    if plan.listen is not None:
        found.append(port(*plan.listen))
    return found


def all_rows(settings: Settings) -> list[Row]:
    """Return the rows of every check of a watch, in the order of a delivery.

    Raises interrupt.Ended.
    """
    seen = readings(settings)
    return [
        *paths(settings.paths, seen),
        *(check_target(settings) if sends_signal(settings) else ()),
        *other_pollreloads(settings.process, settings.pidfile),
        check_ledger(settings),
        *check_status_file(settings),
        *check_programs(settings),
        *request_files.check_files(settings),
        *urls(settings),
        *pace.check_pace(settings),
    ]
