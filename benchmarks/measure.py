"""What processes cost: CPU, memory, system calls, reads; as the kernel counts.

CPU is in seconds and to the nanosecond, from schedstat of each thread, or from
wait4(2), which has the children too. Memory is VmRSS, in bytes.
"""
from __future__ import annotations

import contextlib
import itertools
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PATIENCE = 60.0
CALL = re.compile(rb'\d+ +(?:[\d.]+ )?(\w+)\(')


class Started(NamedTuple):
    """A process group of ours: its leader, and whoever it started."""

    child: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.child.pid

    def pids(self) -> list[int]:
        """Return the pids of the group that live now."""
        return [pid for pid in numbers('/proc') if group(pid) == self.pid]

    def end(self) -> float:
        """Kill the group; return the CPU of the leader and all it waited for."""
        if self.child.returncode is not None:
            return 0.0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.reaped()

    def reaped(self) -> float:
        """Wait for its end; return the CPU of the leader and all it waited for."""
        _, status, usage = os.wait4(self.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return usage.ru_utime + usage.ru_stime


def environment(additions: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return ours without what pollreload reads, and with additions."""
    own = ('FILE', 'PROCESS', 'SIGNAL', 'PYTHONPATH', 'PYTHONDONTWRITEBYTECODE')
    return {**{
        name: value for name, value in os.environ.items()
        if not name.startswith('POLLRELOAD_') and name not in own
    }, **(additions or {})}


def start(
        command: Sequence[str], additions: Mapping[str, str] | None = None,
        said: str | os.PathLike[str] = os.devnull, pipes: bool = False,
        words: bytes = b'',
) -> Started:
    """Start a command in a group of its own; said: the file its stderr goes to.

    pipes: its stdin and stdout are pipes. words: all that is on its stdin.
    """
    kind = subprocess.PIPE if pipes or words else subprocess.DEVNULL
    with open(said, 'ab') as log:
        child = subprocess.Popen(
            command, stdin=kind, stdout=subprocess.PIPE if pipes else log, stderr=log,
            env=environment(additions), start_new_session=True, cwd='/',
        )
    if words:
        assert child.stdin is not None
        child.stdin.write(words)
        child.stdin.close()
    return Started(child)


@contextlib.contextmanager
def running(*all_of: Started) -> Iterator[None]:
    """End these processes at the end of the block."""
    try:
        yield
    finally:
        for each in all_of:
            each.end()


def ran(command: Sequence[str], additions: Mapping[str, str] | None = None) -> float:
    """Run a command to its end; return its CPU. Raises OSError if it fails."""
    begun = start(command, additions)
    cpu = begun.reaped()
    if begun.child.returncode:
        raise OSError(f'{" ".join(command)} ended with {begun.child.returncode}')
    return cpu


def printed(command: Sequence[str]) -> tuple[float, str]:
    """Run a command to its end; return its CPU and what it printed."""
    begun = start(command, pipes=True)
    assert begun.child.stdout is not None
    said = begun.child.stdout.read().decode()
    return begun.reaped(), said


def numbers(directory: str) -> list[int]:
    """Return the names in a directory that are numbers."""
    try:
        return [int(name) for name in os.listdir(directory) if name.isdecimal()]
    except OSError:
        return []


def text(path: str) -> str:
    """Return what is in a file of /proc; '' when it is gone."""
    try:
        return Path(path).read_text('utf-8', 'replace')
    except OSError:
        return ''


def group(pid: int) -> int:
    """Return the process group of a process; 0 when it is gone."""
    fields = text(f'/proc/{pid}/stat').rpartition(')')[2].split()
    return int(fields[2]) if fields else 0


def cpu(pids: Sequence[int]) -> float:
    """Return the CPU that the threads of processes have had so far."""
    total = 0
    for pid in pids:
        for thread in numbers(f'/proc/{pid}/task'):
            fields = text(f'/proc/{pid}/task/{thread}/schedstat').split()
            total += int(fields[0]) if fields else 0
    return total / 1e9


def resident(pids: Sequence[int]) -> int:
    """Return the resident memory of processes."""
    lines = (text(f'/proc/{pid}/status') for pid in pids)
    found = (re.search(r'^VmRSS:\s+(\d+) kB', line, re.MULTILINE) for line in lines)
    return sum(int(each[1]) * 1024 for each in found if each)


def asked(pid: int) -> int:
    """Return the memory that a process has asked the kernel for (VmData), in bytes."""
    found = re.search(r'^VmData:\s+(\d+) kB', text(f'/proc/{pid}/status'), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(numbers(f'/proc/{pid}/fd'))


def bytes_read(pid: int) -> int:
    """Return how many bytes a process has asked read(2) and its kin for so far."""
    found = re.search(r'^rchar: (\d+)', text(f'/proc/{pid}/io'), re.MULTILINE)
    return int(found[1]) if found else 0


def traced(pids: Mapping[str, Sequence[int]], seconds: float) -> dict[str, list[str]]:
    """Return the system calls that groups of processes make, their names in order.

    All are traced for the same time, one strace(1) for each.
    """
    program = shutil.which('strace')
    assert program
    calls = {}
    with tempfile.TemporaryDirectory() as directory:
        tracers = {}
        for at, (name, some) in enumerate(pids.items()):
            words = [word for pid in some for word in ('-p', str(pid))]
            command = [program, '-f', '-o', f'{directory}/{at}', *words]
            tracers[name] = at, start(command)
        time.sleep(seconds)
        for _, tracer in tracers.values():
            # It lets go of them on INT, and would leave them stopped on KILL.
            os.kill(tracer.pid, signal.SIGINT)
            tracer.reaped()
        for name, (at, _) in tracers.items():
            calls[name] = names(f'{directory}/{at}')
    return calls


def names(trace: str | os.PathLike[str]) -> list[str]:
    """Return the names of the system calls in what strace -f -o wrote, in order."""
    with open(trace, 'rb') as lines:
        return [each[1].decode() for each in map(CALL.match, lines) if each]


def rounds(calls: Sequence[str], sleep: str) -> list[list[str]]:
    """Return the calls of each poll that is there as a whole, its sleep the last."""
    ends = [at for at, call in enumerate(calls) if call == sleep]
    return [
        list(calls[before + 1:after + 1]) for before, after in itertools.pairwise(ends)
    ]


class Target:
    """A program that is told, and says when.

    name: its comm, that no other process has. told: its times, in seconds of
    CLOCK_MONOTONIC.
    """

    def __init__(self, python: str, script: Path, name: str) -> None:
        self.name = name
        self.started = start([python, str(script), name], pipes=True)
        self.unread = b''
        self.told: list[float] = []
        assert self.line(PATIENCE) == b'ready'

    @property
    def pid(self) -> int:
        return self.started.pid

    def line(self, seconds: float) -> bytes:
        """Return the next line; b'' where there is none within some seconds."""
        assert self.started.child.stdout is not None
        fd = self.started.child.stdout.fileno()
        until = time.monotonic() + seconds
        while b'\n' not in self.unread:
            left = max(0.0, until - time.monotonic())
            if not select.select([fd], [], [], left)[0]:
                return b''
            read = os.read(fd, 65536)
            if not read:
                return b''
            self.unread += read
        line, _, self.unread = self.unread.partition(b'\n')
        return line

    def wait(self, seconds: float) -> float | None:
        """Return when it was told next; None where it is not within some seconds."""
        line = self.line(seconds)
        if line:
            self.told.append(int(line) / 1e9)
            return self.told[-1]
        return None

    def end(self) -> None:
        """End it."""
        self.started.end()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f'not within {PATIENCE:g} s: {what}')
        time.sleep(0.02)


def median(values: Sequence[float]) -> float:
    """Return the median; 0.0 of nothing."""
    return statistics.median(values) if values else 0.0


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median ratio, of those that were measured one beside the other."""
    return median([one / other for one, other in zip(ours, theirs, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
