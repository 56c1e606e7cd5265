"""What /proc shows of one process."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pollreload.system import procfs

PRINTS_ITS_CHILD = '''
import os, signal
child = os.fork()
if child:
    print(child, flush=True)
while True:
    signal.pause()
'''


def stack_of(pid: int) -> int:
    """Return where the stack of a live process begins."""
    started = procfs.started(pid)
    assert started is not None
    return procfs.stack_start(pid, started)


def test_stack_begins_where_that_of_the_parent_does_only_after_fork() -> None:
    """Two that were started by execve(2) have different ones."""
    command = sys.executable, '-c', PRINTS_ITS_CHILD
    children = [
        subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)
    ]
    forked = []
    try:
        for each in children:
            assert each.stdout is not None
            forked.append(int(each.stdout.readline()))
        stacks = [
            (stack_of(each.pid), stack_of(pid))
            for each, pid in zip(children, forked, strict=True)
        ]
    finally:
        for pid in forked:
            os.kill(pid, signal.SIGKILL)
        for each in children:
            each.kill()
            each.wait()
            assert each.stdout is not None
            each.stdout.close()

    (first, first_child), (second, second_child) = stacks
    assert first == first_child > 0
    assert second == second_child > 0
    assert first != second


def test_stack_of_another_process_with_that_pid_is_unknown() -> None:
    """A pid is only a slot."""
    started = procfs.started(os.getpid())
    assert started is not None

    assert procfs.stack_start(os.getpid(), started) > 0
    assert procfs.stack_start(os.getpid(), started + 1) == 0


@pytest.mark.parametrize('line', [None, '', '7 (a) S 1', f'7 (a) S{" x" * 40}'])
def test_stack_is_unknown_without_the_field(tmp_path: Path, line: str | None) -> None:
    """The process has exited, or the line is another one than proc(5) describes."""
    if line is not None:
        (tmp_path / '7').mkdir()
        (tmp_path / '7/stat').write_text(line)

    assert procfs.stack_start(7, 0, str(tmp_path)) == 0
