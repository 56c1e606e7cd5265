"""What the tests of every sandbox have in common: where its tools are, and the walk.

Tools that Debian 12 has no package for, or that are used without being
installed, are fetched once into TOOLS by the scripts beside this.
"""
from __future__ import annotations

import contextlib
import datetime
import functools
import itertools
import os
import select
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.sandbox import changes
from tests.servers.harness import missing
from tests.support.sidecar import Event, Sidecar

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / '.venv' / 'sandbox'
APP = ROOT / 'tests' / 'sandbox' / 'app.py'
IMAGE = 'get-image.sh'
DEADLINE = 60.0


class Lines:
    """What a process says, line by line: its pipe is read up to a deadline."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.unread = b''
        self.seen: list[str] = []

    def read(self, deadline: float = DEADLINE) -> str:
        """Return the next line; '' when there will be no more.

        Raises AssertionError when there is none for the deadline, in seconds.
        """
        until = time.monotonic() + deadline
        while b'\n' not in self.unread:
            left = max(0.0, until - time.monotonic())
            readable, _, _ = select.select([self.fd], [], [], left)
            assert readable, f'nothing for {deadline} s, after {self.seen}'
            read = os.read(self.fd, 65536)
            if not read:
                return ''
            self.unread += read
        line, _, self.unread = self.unread.partition(b'\n')
        self.seen.append(line.decode('utf-8', 'backslashreplace').strip())
        return self.seen[-1]

    def until(self, word: str, deadline: float = DEADLINE) -> str:
        """Return the next line that has a word in it; see read."""
        end = time.monotonic() + deadline
        while word not in (line := self.read(max(0.0, end - time.monotonic()))):
            assert line, f'it ended without {word!r}: {self.seen}'
        return line


def needed(program: str, package: str) -> str:
    """Return the path of a program; skip the test, or fail it in CI, without it."""
    places = f'{os.environ.get("PATH", "")}:/usr/sbin:/sbin'
    path = shutil.which(program, path=places)
    if path is None:
        missing(f'{program} is not here: apt-get install {package}')
    return path


def fetched(name: str, script: str) -> Path:
    """Return the path of what a script beside this puts into TOOLS."""
    path, command = TOOLS / name, ['sh', str(ROOT / 'tests' / 'sandbox' / script)]
    if not path.exists():
        done = subprocess.run(
            [*command, '--packages'], stdout=subprocess.PIPE, check=True, text=True,
        )
        missing(f'{name} is not here: sh tests/sandbox/{script}, as root, gets it '
                f'from Debian: {done.stdout.strip()}')
    if script == IMAGE and not fresh():
        missing(f'{name} is of other sources than these: sh tests/sandbox/{script}')
    return path


@functools.cache
def fresh() -> bool:
    """Whether the image was built from the sources that are here."""
    return not subprocess.call(
        ['sh', str(ROOT / 'tests' / 'sandbox' / IMAGE), '--check'],
        stderr=subprocess.DEVNULL,
    )


def walk(
        directory: Path, next_line: Callable[[float], str],
        bounds: float | dict[str, float],
        change: Callable[[str, str, str], None] | None = None,
) -> dict[str, float]:
    """Change the files in all five ways, each once the one before was delivered.

    directory: as it is reached from outside.
    next_line: bound in seconds -> the next line of the notified app; raises
        AssertionError when none comes.
    bounds: what the environment allows for each kind, in seconds. Returns kind ->
        seconds from the change to the app's line. Raises AssertionError for a line too
        early, too late, twice, or of another text.
    """
    took = {}
    for number, kind in enumerate(changes.KINDS, 1):
        text = changes.text(number)
        bound = bounds if isinstance(bounds, float) else bounds[kind]
        began = time.monotonic()
        if change is None:
            changes.KINDS[kind](str(directory), text)
        else:
            change(str(directory), kind, text)
        line = next_line(bound)
        took[kind] = time.monotonic() - began
        said = line.split(' | ')
        assert said[0] == 'reloaded', line
        assert text.strip() in said[1:], f'{kind}: {line}'
    return took


class Polls:
    """The polls that it takes a watch to deliver each change; it has to log them (-v).

    A bound in polls holds on a machine that does much else; one in seconds has to
    allow for that; their distance is checked over all of them.
    """

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self.counts: list[int] = []
        self.changed = 0.0

    def change(self, directory: str, kind: str, text: str) -> None:
        """Change a file, as walk does it."""
        self.changed = time.time()
        changes.KINDS[kind](directory, text)

    def counting_lines(self, read: Callable[[float], str]) -> Callable[[float], str]:
        """Return a function that reads the next line of the app and counts the polls.
        """
        def counting(bound: float) -> str:
            line = read(bound)
            self.sidecar.until('signalled')
            until = self.sidecar.seen[:self.sidecar.found]
            # By the clock, because its output arrives through other programs.
            after = [at for at in polled(until) if at > self.changed]
            self.counts.append(len(after))
            # The next version is delivered when this delivery is complete.
            self.sidecar.until('delivered')
            return line

        return counting

    def assert_prompt(self, interval: float) -> None:
        """Assert that each change was delivered by the poll that settles it, and that
        the polls are as far apart as was asked for, in seconds, or closer.

        A change may come in the midst of a poll, which is then one more.
        """
        assert self.counts
        assert max(self.counts) <= 3, self.counts
        apart = [
            after - before
            for before, after in itertools.pairwise(polled(self.sidecar.seen))
        ]
        # A busy machine delays some of them; 5 s, the default, would be 2.5 here.
        assert statistics.mean(apart) < 5 * interval, apart


def polled(seen: Sequence[Event]) -> list[float]:
    """Return when looks ended, in seconds since the epoch."""
    return [
        datetime.datetime.fromisoformat(event['time']).timestamp()
        for event in seen if event['event'] == 'polled'
    ]


@contextlib.contextmanager
def inotifywait(
        directory: Path, under: Sequence[str] = (), events: str = '',
) -> Iterator[Lines]:
    """Have inotifywait watch a directory, and give what it says of it.

    Started when this returns.
    under: a command to run it by.
    events: only these, with commas between: anyone who reads there makes events too.
    """
    program = needed('inotifywait', 'inotify-tools')
    only = ('--event', events) if events else ()
    child = subprocess.Popen(
        [*under, program, '--monitor', '--recursive', *only, str(directory)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        Lines(child.stderr.fileno()).until('Watches established')
        yield Lines(child.stdout.fileno())
    finally:
        child.send_signal(signal.SIGTERM)
        child.communicate()


def silent(lines: Lines) -> bool:
    """Whether a pipe has nothing to say right now, and never had."""
    readable, _, _ = select.select([lines.fd], [], [], 0)
    return not readable and not lines.seen and not lines.unread
