"""The progress bar of digest: on a terminal, after a second."""
from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, TextIO

from pollreload.core.reading import Reading
from pollreload.runtime import guard
from pollreload.runtime.log import printable
from pollreload.system import children, globs, procfs, reader

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

DELAY = 1.0  # s until a bar is shown
TICK = 0.2  # s between two changes of a bar
SIZING = 10.0  # s that the sizes of all files may take
LONGEST_LABEL = 30  # letters of a path beside a bar


class Progress:
    """A bar that shows how far the child is that reads a path.

    err: the terminal; the cursor that click hides on it comes back with close().
    """

    def __init__(self, path: str, ignore: Sequence[str], err: TextIO) -> None:
        self.path, self.ignore, self.err = path, ignore, err
        self.since = procfs.now()
        self.total = -1
        self.bar: ProgressBar[int] | None = None
        self.stack = ExitStack()

    def update(self, pid: int) -> None:
        """Show what a child has read by now, if it is time for that."""
        if procfs.now() < self.since + DELAY:
            return
        if self.total < 0:
            self.total = total(self.path, self.ignore)
        done = bytes_read(pid)
        if not self.total or done is None:
            return
        if self.bar is None:
            import click
            label = printable(self.path)[-LONGEST_LABEL:]
            self.bar = self.stack.enter_context(
                click.progressbar(length=self.total, label=label, file=self.err),
            )
        self.bar.update(min(done, self.total) - self.bar.pos)

    def finish(self) -> None:
        """Show that all is read."""
        if self.bar is not None:
            self.bar.update(self.total - self.bar.pos)

    def close(self) -> None:
        """End the bar, if there is one."""
        self.stack.close()


def on(err: TextIO) -> bool:
    """Return whether a bar can be shown: on a terminal that moves its cursor."""
    return err.isatty() and os.environ.get('TERM', 'dumb') != 'dumb'


def total(path: str, ignore: Sequence[str]) -> int:
    """Return the bytes of all files at a path; 0 if that cannot be known soon."""
    try:
        return int(children.within(
            lambda: total_size(path, ignore), SIZING, guard.stopping,
        ))
    except OSError:
        return 0


def total_size(path: str, ignore: Sequence[str]) -> int:
    """Return the bytes of all files that a poll of a path would read."""
    # With this limit every file that is not empty is left unread.
    snapshot = reader.poll((path,), ignore, largest=0)
    found = snapshot.readings[0] if snapshot else Reading('', {}, {})
    top = globs.split(path)[0] if found.kind == 'glob' else path
    total = 0
    for name in found.unreadable:
        with suppress(OSError):
            total += os.stat(os.path.join(top, name) if name else path).st_size
    return total


def bytes_read(pid: int) -> int | None:
    """Return how many bytes a child has read so far, proc_pid_io(5)."""
    fields = (procfs.read_file(f'/proc/{pid}/io') or b'').split()
    return int(fields[1]) if fields[:1] == [b'rchar:'] else None
