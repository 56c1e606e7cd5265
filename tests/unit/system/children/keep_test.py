"""Children that keep what they have opened."""
from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pollreload.system import children
from pollreload.system import command as command_of
from tests.support.commands import wait


def test_a_kept_child_keeps_what_it_has_opened(tmp_path: Path) -> None:
    """Until we end, however that is; its value comes at once."""
    lock = tmp_path / 'lock'
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        def locked() -> str:
            fcntl.flock(os.open(lock, os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
            return 'locked'
        os.write(tell, children.call_in_child(locked, 20.0, lambda: False)[0].encode())
        signal.pause()
    said = os.read(told, 9)
    with open(lock, 'rb') as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        # This waits for as long as the child lives.
        fcntl.flock(file, fcntl.LOCK_EX)

    assert said == b'locked'


@pytest.mark.parametrize('stop', [True, False])
def test_a_child_that_hangs_is_not_kept(stop: bool) -> None:
    """It is killed when the time is over, or when we are to stop."""
    seconds = 20.0 if stop else 0.05
    with pytest.raises(TimeoutError):
        children.call_in_child(signal.pause, seconds, lambda: stop)


def test_a_child_that_fails_is_not_kept(capfd: pytest.CaptureFixture[str]) -> None:
    """What it cannot answer is our error, and it is gone."""
    with pytest.raises(OSError, match='ended without an answer'):
        children.call_in_child(lambda: 1 // 0, 20.0, lambda: False)


@pytest.mark.parametrize('function', [lambda: 'x', lambda: 1 // 0])
def test_a_kept_child_ends_by_kill(
        monkeypatch: pytest.MonkeyPatch, function: Callable[[], Any],
) -> None:
    """Nothing else breaks off a close that waits for a server."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, 'kill', lambda *args: sent.append(args))
    monkeypatch.setattr(children, 'close_files', lambda *kept: None)
    life, alive = os.pipe()
    answer, answers = os.pipe()
    os.close(alive)
    with contextlib.suppress(ZeroDivisionError):
        children.run_until_killed(function, answers, life)
    for fd in (life, answer, answers):
        os.close(fd)

    assert sent == [(os.getpid(), signal.SIGKILL)]


def test_a_kept_child_does_not_keep_our_output() -> None:
    """Who reads it to its end must not wait for the child."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(theirs, 1)
        children.call_in_child(lambda: 'x', 20.0, lambda: False)
        os.write(1, b'said')
        # Neither one is to end: only what they have open counts.
        os.close(theirs)
        os.close(1)
        signal.pause()
    os.close(theirs)
    said = os.read(ours, 9)
    end = os.read(ours, 9)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(ours)

    assert (said, end) == (b'said', b'')


def test_files_are_closed_without_a_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is not mounted, by their numbers."""
    def listdir(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, 'listdir', listdir)
    ours, theirs = os.pipe()
    pid, fd = children.fork(lambda: 'x')
    os.close(theirs)
    assert os.read(ours, 1) == b''
    os.close(ours)

    assert wait(pid) == 0
    assert children.read_value(fd) == 'x'


def test_group_is_killed_before_its_leader_is_reaped(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Afterwards the number of the group can be that of another one."""
    calls = []
    for name in ('killpg', 'waitpid'):
        real = getattr(os, name)

        def call(*given: int, name: str = name, real: Any = real) -> Any:
            calls.append(name)
            return real(*given)

        monkeypatch.setattr(os, name, call)
    pid = command_of.spawn(['sh', '-c', 'sleep 1000 & exit 3'], dict(os.environ))
    status = wait(pid)
    again = children.poll_child(pid)

    assert (status, again) == (3, children.LOST)
    assert calls == ['killpg', 'waitpid']


def test_child_that_hangs_is_known_until_it_is_reaped(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A later child may have its number, and is not waited for in its place."""
    monkeypatch.setattr(children, 'HANGING', set())
    monkeypatch.setattr(children, 'kill_group', lambda pid: None)
    pids = [command_of.spawn(['sleep', '1000'], dict(os.environ)) for _ in range(2)]
    for pid in pids:
        children.end(pid)
    hang = [children.hangs(pid) for pid in pids]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    asked = children.hangs(pids[0])
    children.reap(())

    assert hang == [True, True]
    assert not asked
    assert set() == children.HANGING
    assert [children.hangs(pid) for pid in pids] == [False, False]


def test_nowhere_is_a_file_without_a_dev_null(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare mount namespace has none: what is read is empty, and all is accepted."""
    monkeypatch.setattr(os, 'devnull', '/nowhere/null')
    fd = children.open_null()
    try:
        assert os.read(fd, 10) == b''
        assert os.write(fd, b'x') == 1
    finally:
        os.close(fd)
