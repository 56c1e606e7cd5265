"""File access with a time limit."""
from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from typing import Any

from pollreload.system import children, mounts, procfs

PATIENCE = 3.0  # s for a pidfile, a ledger or a program to be reached
SPARED = 10.0  # s until what did not answer is asked again: others wait meanwhile
# Paths that do not answer -> the child that waits for them, and until when they are
# spared, boot seconds.
STUCK: dict[tuple[str, ...], tuple[int, float]] = {}


def carefully(function: Callable[[], Any], *paths: str) -> Any:
    """Return what a function returns that reads or writes at some paths.

    Where that may hang it runs in a child, for PATIENCE seconds at most; and not
    at all for SPARED seconds after that, and while that child hangs still.
    Raises OSError, also TimeoutError.
    """
    if not mounts.can_hang(paths):
        return function()
    if paths in STUCK:
        pid, until = STUCK[paths]
        if children.hangs(pid) or procfs.now() < until:
            raise TimeoutError(errno.ETIMEDOUT, 'does not answer')
        del STUCK[paths]
    try:
        return children.within(function, PATIENCE, stopping)
    except children.Stuck as error:
        STUCK[paths] = error.pid, procfs.now() + SPARED
        raise


def ask_anew() -> None:
    """Spare nothing any more of what did not answer, but where it still hangs."""
    STUCK.update({paths: (pid, 0.0) for paths, (pid, _) in STUCK.items()})


def stopping() -> bool:
    """Return whether TERM or INT waits for us; they are blocked while we work."""
    return not signal.sigpending().isdisjoint((signal.SIGTERM, signal.SIGINT))
