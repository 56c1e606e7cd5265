"""The commands of a watch."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pollreload.runtime import guard, runner
from pollreload.system import mounts


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file system is one that can hang."""
    monkeypatch.setattr(mounts, 'can_hang', lambda paths: True)


def ended(pid: int) -> None:
    """Wait until a child is dead, and leave it to be reaped."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.usefixtures('far')
def test_a_directory_of_path_that_may_hang_is_tried_by_a_child(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To spawn is to wait for each of them."""
    monkeypatch.setenv('PATH', f'{tmp_path}::/bin')
    tried: list[tuple[str, ...]] = []
    monkeypatch.setattr(runner, 'carefully', lambda _, *paths: tried.append(paths))
    running = runner.Runner()
    trouble = running.run(('true',), {})
    ended(running.pid)

    assert (trouble, running.ran()) == ('', 0)
    assert tried == [(str(tmp_path), '.', '/bin')]
    assert runner.reach(('true',)) == runner.reach(('/nowhere/true',)) == ''


def test_a_fifo_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open it would be to wait for a writer: the next one of PATH is it."""
    os.mkfifo(tmp_path / 'true')
    monkeypatch.setenv('PATH', f'{tmp_path}:/bin')
    running = runner.Runner()

    assert runner.reach((f'{tmp_path}/true',)) == ''
    assert running.run(('true',), {}) == ''
    ended(running.pid)
    assert running.ran() == 0


def test_a_program_with_a_lease_is_not_waited_for(tmp_path: Path) -> None:
    """The kernel would wait for its holder, and the loop for the kernel."""
    path = tmp_path / 'program'
    path.write_bytes(b'#!/bin/true\n')
    path.chmod(0o755)
    holder = subprocess.Popen(
        [sys.executable, '-ISc', 'import fcntl, os, signal, sys\n'
         'signal.signal(signal.SIGIO, signal.SIG_IGN)\n'
         'fd = os.open(sys.argv[1], os.O_RDWR)\n'
         'fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n'
         'print("leased", flush=True)\n'
         'sys.stdin.read()\n', str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b'leased\n'
        trouble = runner.Runner().run((str(path),), {})

    assert trouble == f'{path}: somebody has a lease on it'


@pytest.mark.parametrize(('beginning', 'program'), [
    (b'#!/bin/sh -e\nx', '/bin/sh'), (b'#! /bin/sh', '/bin/sh'), (b'#!\n/bin/sh', ''),
    (b'#!sh\n', './sh'), (b'\x7fELF /bin/sh', ''), (b'', ''), (b'#!/a\0b', '/a'),
])
def test_an_interpreter_is_what_execve_reads(beginning: bytes, program: str) -> None:
    """Of the first line the first word, and not from PATH."""
    assert runner.interpreter(beginning) == program


def test_an_interpreter_is_reached_too(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be on a disk that hangs, whatever the script is on; and so may its own."""
    for name, by in ('a', 'b'), ('b', 'c'), ('loop', 'loop'):
        (tmp_path / name).write_text(f'#!{tmp_path}/{by}\n')
    tried: list[str] = []

    def carefully(function: Callable[[], Any], *paths: str) -> Any:
        tried.extend(path.removeprefix(f'{tmp_path}/') for path in paths)
        return function()

    monkeypatch.setattr(runner, 'carefully', carefully)
    runner.reach_all((f'{tmp_path}/a',))
    runner.reach_all((f'{tmp_path}/loop',))

    assert tried == ['a', 'b', 'c', *['loop'] * runner.INTERPRETERS]


@pytest.mark.usefixtures('far')
def test_program_that_cannot_be_reached_is_not_run(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To start it would be to wait for it."""
    monkeypatch.setattr(guard, 'STUCK', {})
    monkeypatch.setattr(guard, 'PATIENCE', 0.05)
    monkeypatch.setattr(runner, 'reach', lambda path: signal.pause())
    running = runner.Runner()

    assert running.run(('/bin/true',), {}).startswith('/bin/true: ')
    assert running.pid == 0


def test_command_runs_with_additions_and_its_output_is_kept(tmp_path: Path) -> None:
    """The end of what it printed, of each command anew."""
    running = runner.Runner()
    nothing = running.said()
    assert running.run(('sh', '-c', 'echo first; echo $EXTRA >&2; exit 3'),
                     {'EXTRA': 'more'}) == ''
    ended(running.pid)
    status, said = running.ran(), running.said()
    running.run(('sh', '-c', 'seq 1 9999; echo end'), {})
    ended(running.pid)
    running.ran()

    assert nothing == ''
    assert (status, said) == (3, 'first\nmore')
    assert running.said().endswith('9999\nend')
    assert len(running.said()) <= runner.SAID


def test_command_that_runs_has_no_status_yet_and_can_be_cancelled() -> None:
    """With all of its group; to cancel nothing is nothing."""
    running = runner.Runner()
    running.run(('sleep', '600'), {})
    status = running.ran()
    running.cancel()
    running.cancel()

    assert status is None
    assert running.pid == 0


def test_command_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    """Named, and in words."""
    running = runner.Runner()
    directory = str(tmp_path)

    assert running.run(('/nowhere',), {}) == '/nowhere: no such file or directory'
    assert running.run((directory,), {}) == f'{directory}: permission denied'
    assert running.pid == 0
