"""Errors that the kernel returns, and saved ledgers, for the tests of the edges."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pollreload.core.state import State
from pollreload.runtime import ledger
from pollreload.settings import Settings


def failing(error: int) -> Callable[..., NoReturn]:
    """Return a function that the kernel refuses."""
    def call(*_: object, **__: object) -> NoReturn:
        raise OSError(error, os.strerror(error))
    return call


def recalled(path: Path, paths: tuple[str, ...] = ('/a',), **rest: Any) -> State:
    """Return all that a run recalls from a ledger."""
    settings = Settings(paths, 'x', state_file=str(path), **rest)
    return ledger.recall(settings, str(path), ledger.whereabouts(settings))
