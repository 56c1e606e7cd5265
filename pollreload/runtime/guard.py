"""File access with a time limit."""
from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from typing import Any

from pollreload.system import children, mounts, procfs

ACCESS_TIMEOUT = 3.0  # s for a pidfile, a ledger or a program to be reached
SPARED = 10.0  # s until a path that did not answer is accessed again
# Paths that do not answer -> the child that waits for them, and the time before which
# they are not accessed again, boot seconds.
STUCK: dict[tuple[str, ...], tuple[int, float]] = {}


def with_time_limit(function: Callable[[], Any], *paths: str) -> Any:
    """Call a function that reads or writes at some paths, with a time limit.

    If a path may hang, the function runs in a child for ACCESS_TIMEOUT seconds at most.
    After a timeout it is not called for SPARED seconds, nor while that child hangs.
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
        return children.within(function, ACCESS_TIMEOUT, stopping)
    except children.Stuck as error:
        STUCK[paths] = error.pid, procfs.now() + SPARED
        raise


def forget_timeouts() -> None:
    """Allow access to paths that did not answer, unless their child still hangs."""
    STUCK.update({paths: (pid, 0.0) for paths, (pid, _) in STUCK.items()})


def stopping() -> bool:
    """Return whether TERM or INT is pending; both are blocked outside of the sleep."""
    return not signal.sigpending().isdisjoint((signal.SIGTERM, signal.SIGINT))
