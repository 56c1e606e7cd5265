"""The fixtures of the tests beside this file."""
from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from pollreload.system import (
    process_table,
    procfs,
)


@pytest.fixture(autouse=True)
def childless() -> Iterator[None]:
    """End what a test leaves: the child that holds a ledger lives as long as we do."""
    yield
    for pid in procfs.pids('/proc'):
        if process_table.parent(procfs.stat(f'/proc/{pid}')) == os.getpid():
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


@pytest.fixture(autouse=True)
def apart(elsewhere: None) -> None:
    """Every test here is independent of the mounts of this machine."""
