"""The rows of pollreload doctor, for the tests of its parts."""
from __future__ import annotations

import os
from typing import Any, cast

from pollreload.commands.doctor import main as doctor
from pollreload.commands.doctor.rows import Row
from pollreload.runtime import interrupt
from pollreload.settings import Settings
from pollreload.system import children

NOBODY = 65534  # the uid of no user of this machine
SOMEBODY = 65533  # the uid of another


def put(path: str, text: str) -> None:
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def rows(**given: object) -> list[Row]:
    """Return the rows of a doctor that does not descend from the targets of a test."""
    pid, fd = children.fork(lambda: [tuple(row) for row in own_rows(**given)])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return [Row(*row) for row in cast(Any, children.read_value(fd))]


def own_rows(**given: Any) -> list[Row]:
    with interrupt.signals_blocked():
        return doctor.all_rows(Settings(**given))


def rows_of(found: list[Row], check: str) -> list[Row]:
    return [row for row in found if row.check == check]


def row_of(found: list[Row], check: str) -> Row:
    row, = rows_of(found, check)
    return row


def tree(top: str) -> list[tuple[str, float, float]]:
    """Return each path below a directory, with its mtime and ctime."""
    return sorted(
        (path, os.lstat(path).st_mtime, os.lstat(path).st_ctime)
        for directory, names, files in os.walk(top)
        for path in (directory, *(f'{directory}/{name}' for name in names + files))
    )
