"""What needs a mount: it is done in a child, in mounts of its own."""
from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pollreload.system import children, mounts
from tests.servers.harness import missing, needed

CLONE_NEWNS = 0x20000


def apart(function: Callable[[], Any]) -> Any:
    """Return the value of a function in a child with mounts of its own.

    They end with it. Skips, or fails in CI, if we may not mount.
    """
    if os.geteuid():
        missing('only root may mount')
    needed('mount', 'mount')

    def alone() -> Any:
        # os.unshare came with Python 3.12.
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
            return False, 'unshare(2): ' + os.strerror(ctypes.get_errno())
        done = subprocess.run(
            ('mount', '--make-rprivate', '/'), capture_output=True, check=False,
        )
        if done.returncode:
            return False, done.stderr.decode()
        # What is open is about the mounts of our parent.
        mounts.open_mount_table.cache_clear()
        try:
            return True, function()
        except AssertionError as error:
            return True, f'failed: {error}'

    pid, fd = children.fork(alone)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    status = children.poll_child(pid)
    assert status == 0, f'the child ended with status {status}'
    value: Any = children.read_value(fd)
    can, got = value
    if not can:
        missing(f'no mounts of our own: {got}')
    return got


def mount(kind: str, at: Path | str, *args: str, what: str = 'none') -> str:
    """Mount something; return '' or why it cannot be.

    kind: '' where arguments say it (--bind).
    """
    typed = ('-t', kind) if kind else ()
    done = subprocess.run(
        ('mount', *typed, *args, what, str(at)), capture_output=True, check=False,
    )
    return done.stderr.decode().strip() if done.returncode else ''


def unmount(at: Path | str) -> None:
    """Unmount it."""
    subprocess.run(('umount', str(at)), capture_output=True, check=True)
