"""Processes that a search finds."""
from __future__ import annotations

from typing import Any

from pollreload.system import process_table
from tests.support.proc_tree import beside


def found(*conditions: Any) -> set[int]:
    """Return the pids that match, seen from beside."""
    return set(beside(
        lambda: [each.pid for each in process_table.matches(*conditions)],
    ))
