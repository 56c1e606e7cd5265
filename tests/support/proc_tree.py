"""A /proc made of plain files, and children that see the real one."""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pollreload.system import children


def plant(
        root: Path, pid: int, comm: str = 'app', *, state: str = 'S', ppid: int = 1,
        started: int = 100, cmdline: Sequence[str] = (), lines: Sequence[str] = (),
        masks: dict[str, int] | None = None, flags: int = 0,
) -> Path:
    """Put a process, or as a path below task a thread, into a tree; return where."""
    place = root / str(pid)
    place.mkdir(parents=True)
    (place / 'comm').write_text(f'{comm}\n')
    numbers = ' '.join(str(number) for number in (*range(5, 9), flags, *range(10, 22)))
    (place / 'stat').write_text(
        f'{pid} ({comm}) {state} {ppid} {numbers} {started} 23 24\n',
    )
    (place / 'cmdline').write_text(''.join(f'{word}\0' for word in cmdline))
    signals = [f'{name}:\t{mask:016x}' for name, mask in (masks or {}).items()]
    (place / 'status').write_text(
        '\n'.join(['Name:\tx', f'State:\t{state} (x)', *lines, *signals, '']),
    )
    return place


def tree(place: Path) -> str:
    """Plant a /proc in which we are pid 50, a child of 40 and a grandchild of 1."""
    plant(place, 1, 'init', ppid=0)
    plant(place, 40, 'shell', ppid=1)
    plant(place, 50, 'pollreload', ppid=40, lines=['NSpid:\t50'])
    (place / 'self').symlink_to('50')
    (place / 'meminfo').write_text('')
    return str(place)


def beside(function: Callable[[], Any]) -> Any:
    """Return the value of a function from a child, which is no parent of targets."""
    pid, fd = children.fork(function)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert children.poll_child(pid) == 0
    return children.read_value(fd)


def as_nobody(function: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that gives up root first; for beside()."""
    def run() -> Any:
        os.setuid(65534)
        return function()
    return run


def as_child(function: Callable[[], int]) -> int:
    """Run a function in a child; return its value, -N if it died of signal N."""
    pid = os.fork()
    if not pid:
        try:
            os._exit(function())
        finally:
            os._exit(255)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
