"""The rows of doctor about the files that a watch writes."""
from __future__ import annotations

import os
from collections.abc import Iterator

from pollreload.commands.doctor.rows import Row, split_message
from pollreload.errors import LedgerError
from pollreload.runtime import guard, ledger
from pollreload.settings import Settings
from pollreload.system import ledger_file, ledger_location, status_file


def check_ledger(settings: Settings) -> Row:
    """Check the file that keeps the memory between runs."""
    path = settings.state_file
    if path is None:
        return default_memory(settings)
    try:
        said = ledger.call_limited(ledger_file.ledger_trouble, path)
        trouble, remedy = split_message(said)
    except LedgerError as error:
        return Row(
            'ledger', 'fail', path, str(error),
            'see to the server or the daemon of its mount, or name another file',
        )
    if trouble:
        return Row('ledger', 'fail', path, trouble, remedy)
    try:
        found = ledger.call_limited(ledger_file.peek, path) is not None
    except LedgerError as error:
        return Row(
            'ledger', 'fail', path, str(error),
            'the next run keeps it aside, takes a baseline and notifies no process',
        )
    if ledger.call_limited(ledger_file.busy, path):
        return Row(
            'ledger', 'warn', path, 'another run holds it',
            'a check would exit with 75 as long as it does',
        )
    says = 'can be read and written' if found else 'not there yet; can be written'
    return Row('ledger', 'ok', path, says)


def default_memory(settings: Settings) -> Row:
    """Check the default file that keeps the memory of `check`."""
    try:
        key = ledger_location.key(settings, os.getcwd())
        path = ledger_location.location(key, os.environ, os.geteuid())
    except (LedgerError, OSError) as error:
        return Row('ledger', 'warn', '', f'for check: {error}')
    trouble, remedy = split_message(ledger_file.ledger_trouble(path))
    if trouble:
        says = f'check could not keep its memory: {trouble}'
        return Row('ledger', 'warn', '', says, remedy)
    return Row(
        'ledger', 'ok', '',
        f'check would keep it in {path}; watch keeps none without --state-file',
    )


def check_status_file(settings: Settings) -> Iterator[Row]:
    """Yield the row about --status-file: whether it can be written."""
    path = settings.status_file
    if path is None:
        return
    try:
        trouble, remedy = split_message(
            guard.with_time_limit(lambda: status_file.status_file_trouble(path), path),
        )
    except OSError as error:
        trouble = (error.strerror or str(error)).lower()
        remedy = 'see to the server or the daemon of its mount, or name another file'
    if trouble:
        yield Row('status-file', 'fail', path, trouble, remedy)
    else:
        yield Row('status-file', 'ok', path, 'can be written')
