"""File accesses of a step that may hang."""
from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

import pytest

from pollreload.core.state import State
from pollreload.errors import LedgerBusy, LedgerError, LedgerKept
from pollreload.runtime import guard, ledger, runner
from pollreload.system import (
    ledger_file,
    pidfile,
)
from tests.support.observer_child import ended
from tests.support.world import recalled


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch, far: None) -> None:
    """What is read or written on a file system that can hang does hang."""
    monkeypatch.setattr(guard, 'ACCESS_TIMEOUT', 0.05)
    monkeypatch.setattr(pidfile, 'read', lambda path: signal.pause())
    monkeypatch.setattr(ledger_file, 'read_ledger', lambda path: signal.pause())
    monkeypatch.setattr(ledger_file, 'save', lambda path, kept: signal.pause())
    monkeypatch.setattr(ledger_file, 'lock', lambda path: signal.pause())


@pytest.mark.usefixtures('stuck')
def test_ledger_that_cannot_be_reached_is_an_error_that_names_it(
        tmp_path: Path,
) -> None:
    """Neither to begin with nor to write to is it waited for."""
    path = str(tmp_path / 'memory')
    with pytest.raises(LedgerError, match=path):
        ledger.claim(path)
    with pytest.raises(LedgerError, match=path):
        ledger.store(path, {})


@pytest.mark.usefixtures('far')
def test_ledger_and_program_that_can_be_reached_are_used(tmp_path: Path) -> None:
    """By way of a child, and with the same result."""
    path = str(tmp_path / 'memory')
    ledger.claim(path)
    ledger.store(path, {'key': 'x'})
    running = runner.Runner()
    trouble = running.run(('/bin/true',), {})
    ended(running.pid)

    assert ledger_file.load(path) == {'key': 'x'}
    assert (trouble, running.ran()) == ('', 0)


@pytest.mark.usefixtures('far')
def test_ledger_that_may_hang_is_held_by_a_child(tmp_path: Path) -> None:
    """It holds it for as long as we live, and says who else does."""
    path = str(tmp_path / 'memory')
    pid = os.fork()
    if not pid:
        ledger.claim(path)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    with pytest.raises(LedgerBusy, match=path):
        ledger.claim(path)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    # Let go of once the child has seen that: a lock that waits says when.
    with open(f'{path}.lock', 'rb') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


@pytest.mark.usefixtures('far')
def test_ledger_that_may_hang_is_recalled_by_way_of_a_child(tmp_path: Path) -> None:
    """With what is wrong with it, in its output and its kind."""
    path = tmp_path / 'memory'
    blank = recalled(path)
    path.write_text('{')

    assert blank == State()
    with pytest.raises(LedgerKept, match='corrupt'):
        recalled(path)


def test_ledger_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    """As the ledger itself says it."""
    with pytest.raises(LedgerError, match='no such file or directory'):
        ledger.store(str(tmp_path / 'none' / 'memory'), {})
