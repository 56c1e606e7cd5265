"""The fixtures of the tests beside this file."""
from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from pollreload.runtime import guard
from pollreload.system import (
    mounts,
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
def elsewhere(
        request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Whatever else is mounted on this machine (gvfs, lxcfs) is no matter here, nor
    what did not answer in another test.
    """
    monkeypatch.setattr(guard, 'STUCK', {})
    if 'mounted' not in request.fixturenames:
        kinds = {mount.kind for mount in mounts.rows(mounts.MOUNTINFO)}
        monkeypatch.setattr(mounts, 'SAFE', mounts.SAFE | kinds)
        mounts.watched.cache_clear()
    yield
    mounts.watched.cache_clear()
