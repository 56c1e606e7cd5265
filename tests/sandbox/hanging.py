"""Mounts that hang, and processes that are to end all the same.

The kinds differ in what ends a process that reads. If the daemon is stopped, the
request is still queued, and a signal ends the reader. If the daemon has taken the
request, and waits for a server that is stopped, only the answer ends the reader;
KILL does not.
"""
from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.sandbox.stuck import Mount, mount_with_files
from tests.support.sidecar import Sidecar
from tests.support.targets import DEADLINE

KINDS = {
    'killable': ('sshfs', 'daemon'),
    'taken': ('sshfs', 'server'),
    'bindfs': ('bindfs', 'daemon'),
}


def mount_of_kind(kind: str, place: Path) -> AbstractContextManager[Mount]:
    """Mount a file system of one of KINDS, with the files of changes.lay in it."""
    return mount_with_files(KINDS[kind][0], place)


@contextlib.contextmanager
def hung(made: Mount, kind: str) -> Iterator[None]:
    """Keep a mount from answering for as long as this is open.

    Leave it before waiting for a process that may hang.
    """
    try:
        made.stop(made.server if KINDS[kind][1] == 'server' else made.daemon)
        yield
    finally:
        made.go_on()


def ends(child: subprocess.Popen[bytes]) -> int:
    """Return the exit status of a process.

    It is not read to the end of its stderr, which a child that hangs may still have
    open. Raises AssertionError if it does not end in time.
    """
    try:
        return child.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        raise AssertionError(f'it runs {DEADLINE} s later: {child.args!r}') from None


def stops(sidecar: Sidecar, number: signal.Signals = signal.SIGTERM) -> None:
    """Stop a watch, and wait until it has ended."""
    sidecar.send(number)
    assert ends(sidecar.child) == 0
    sidecar.until('stopped', signal=number.name)
