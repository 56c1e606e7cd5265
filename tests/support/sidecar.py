"""pollreload as its users run it: a process of its own, on real files and targets.

watch() starts a watch, which says in JSON what it does; until() reads that. It
polls when poll() asks for it, and otherwise as good as never: what did not
happen is proved by order, for the status that poll() asks for comes after all
that the poll did. check() runs one check to its end.
"""
from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tests.support.targets import DEADLINE, only_child

ROOT = os.path.abspath(os.path.join(__file__, '../../..'))
POLLRELOAD = (sys.executable, '-m', 'pollreload')
# Act at once, and only when asked to; what a test is about comes after these.
QUICK = (
    '--settle', '0', '--survive', '100ms', '--min-uptime', '0', '--on-start', 'never',
    '--log-format', 'json',
)
# These change what coverage measures of a child, and cost memory.
MEASURING = ('COVERAGE_PROCESS_START', 'COVERAGE_PROCESS_CONFIG')
NUMBERS = itertools.count()

Event = dict[str, Any]


class Run(NamedTuple):
    """What came of a check: its exit status (-N for signal N), stdout, and events."""

    status: int
    out: str
    events: list[Event]

    def named(self, *names: str) -> list[Event]:
        """Return the events of some names."""
        return [event for event in self.events if event['event'] in names]


class Sidecar:
    """A watch that runs: its pid, and all that it has said so far.

    found: how much of that until() has been through.
    """

    def __init__(self, child: subprocess.Popen[bytes], namespace: bool) -> None:
        self.child = child
        self.unread = b''
        self.seen: list[Event] = []
        self.found = 0
        self.hangups: list[Event] = []
        self.pid = child.pid
        if namespace:
            self.until('started')
            self.pid = only_child(child.pid)

    def __enter__(self) -> Sidecar:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        # Where all is well it ends by itself, so that what it ran is measured.
        if error is None and self.child.poll() is None:
            self.send(signal.SIGTERM)
            self.child.wait(DEADLINE)
        self.end()

    def read(self, deadline: float = DEADLINE) -> Event:
        """Return the next event; {} when there will be no more.

        Raises AssertionError when there is none for the deadline, in seconds.
        """
        assert self.child.stderr is not None
        fd = self.child.stderr.fileno()
        until = time.monotonic() + deadline
        while b'\n' not in self.unread:
            left = max(0.0, until - time.monotonic())
            readable, _, _ = select.select([fd], [], [], left)
            assert readable, f'no event for {deadline} s, after {self.seen}'
            read = os.read(fd, 65536)
            if not read:
                return {}
            self.unread += read
        return self.take() or self.read(deadline)

    def take(self) -> Event:
        """Return the next event of what is unread; {} if it is an answer to SIGHUP."""
        line, _, self.unread = self.unread.partition(b'\n')
        got = event(line)
        if got['event'] == 'polling' or ' polling: ' in got['message']:
            # The answer to SIGHUP, which only its own test cares about.
            self.hangups.append(got)
            return {}
        self.seen.append(got)
        return got

    def drain(self) -> None:
        """Read all that it has said by now, and wait for nothing."""
        assert self.child.stderr is not None
        fd = self.child.stderr.fileno()
        while select.select([fd], [], [], 0)[0] and (read := os.read(fd, 65536)):
            self.unread += read
        while b'\n' in self.unread:
            self.take()

    def until(self, name: str, **fields: object) -> Event:
        """Return the next event of a name, with such fields, since that of the last
        until; see read.
        """
        while True:
            for got in self.seen[self.found:]:
                self.found += 1
                if got['event'] == name and fields.items() <= got.items():
                    return got
            assert self.read(), f'it ended without {name} {fields}: {self.seen}'

    def poll(self) -> list[Event]:
        """Let it poll now, and return the events up to the end of that."""
        before = len(self.seen)
        self.send(signal.SIGHUP)
        self.status()
        return self.seen[before:-1]

    def status(self) -> str:
        """Return its status; whatever it did before that is in .seen."""
        self.send(signal.SIGUSR1)
        while got := self.read():
            if got['event'] == 'status':
                return str(got['message'])
        raise AssertionError(f'it ended without a status: {self.seen}')

    def count(self, name: str, **fields: object) -> int:
        """Return how many events there were of a name, with such fields."""
        return sum(
            event['event'] == name and fields.items() <= event.items()
            for event in self.seen
        )

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; return its exit status once no one has its stderr.

        Raises AssertionError when that takes too long, or what it has started
        lives on.
        """
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        """Return its exit status once it has ended, and no one has its stderr."""
        while self.read():
            pass
        return self.child.wait(DEADLINE)

    def end(self) -> None:
        """Kill it, if it still runs, and reap it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.child.kill()
        self.child.wait(DEADLINE)
        for pipe in (self.child.stdout, self.child.stderr):
            if pipe is not None:
                pipe.close()


class Mark:
    """A FIFO that the commands of a test write to, to say that they run."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        os.mkfifo(path)
        self.path = os.fspath(path)
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        # As long as we could write there is no end of it.
        self.writer = os.open(path, os.O_WRONLY)
        self.unread = b''

    def __enter__(self) -> Mark:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        os.close(self.reader)

    def close(self) -> None:
        """Have an end once every command that has it open is gone."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def read(self) -> str:
        """Return the next line; '' where every command that has it open is gone."""
        while b'\n' not in self.unread:
            readable, _, _ = select.select([self.reader], [], [], DEADLINE)
            assert readable, f'nobody wrote to {self.path} for {DEADLINE} s'
            read = os.read(self.reader, 4096)
            if not read:
                return ''
            self.unread += read
        line, _, self.unread = self.unread.partition(b'\n')
        return line.decode()


def event(line: bytes) -> Event:
    """Return an event; what is no JSON, as one that is called 'line'."""
    text = line.decode('utf-8', 'backslashreplace')
    try:
        got = json.loads(text)
    except ValueError:
        return {'event': 'line', 'message': text}
    assert isinstance(got, dict), text
    return got


def environment(
        additions: Mapping[str, str] | None = None, measured: bool = True,
) -> dict[str, str]:
    """Return an environment in which pollreload can be run from any directory.

    Nothing that is meant for a pollreload is left in it.
    """
    own = ('FILE', 'PROCESS', 'SIGNAL', *(() if measured else MEASURING))
    kept = {
        name: value for name, value in os.environ.items()
        if not name.startswith('POLLRELOAD_') and name not in own
    }
    return {**kept, 'PYTHONPATH': ROOT, **(additions or {})}


def quick(*args: str, first: Sequence[str] = ()) -> tuple[str, ...]:
    """Return a command line with the options of QUICK that it does not give itself.

    first: more such options, as pairs.
    """
    options = (*first, *QUICK)
    return (*(
        word for pair in zip(options[::2], options[1::2], strict=True)
        for word in pair if pair[0] not in args
    ), *args)


def watch(
        *args: str, env: Mapping[str, str] | None = None, under: Sequence[str] = (),
        namespace: bool = False, measured: bool = True,
        program: Sequence[str] = POLLRELOAD, **rest: Any,
) -> Sidecar:
    """Start a watch; end it with .end() or `with`.

    args: more of the command line, which take precedence.
    env: additions to the environment.
    under: a command to run it by.
    namespace: it is pid 1 of a new pid namespace with its own /proc.
    program: runs pollreload.
    rest: for subprocess.Popen.
    """
    if namespace:
        options = ('--pid', '--fork', '--mount-proc', '--kill-child')
        under = ('unshare', *options, *under)
    args = quick(*args, first=('--interval', '1h'))
    command = (*under, *program, 'watch', *args)
    pipes: dict[str, Any] = {'stdin': subprocess.DEVNULL, 'stderr': subprocess.PIPE}
    return Sidecar(subprocess.Popen(
        command, env=environment(env, measured), **{**pipes, **rest},
    ), namespace)


def check(
        *args: str, env: Mapping[str, str] | None = None, under: Sequence[str] = (),
        **rest: Any,
) -> Run:
    """Run a check to its end; as watch."""
    done = subprocess.run(
        (*under, *POLLRELOAD, 'check', *quick(*args)), env=environment(env),
        stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE, check=False,
        **rest,
    )
    return Run(
        done.returncode, done.stdout.decode(),
        [event(line) for line in done.stderr.splitlines()],
    )


def write(path: str | os.PathLike[str], text: str) -> None:
    """Replace a file as a careful writer does: a poll sees the old or the new."""
    new = f'{os.fspath(path)}.tmp'
    with open(new, 'w', encoding='utf-8') as file:
        file.write(text)
    os.rename(new, path)


def unique(prefix: str = 'e2e') -> str:
    """Return a name that no other process on this machine has, of at most 15 bytes."""
    return f'{prefix}{os.getpid()}-{next(NUMBERS)}'[-15:]
