"""What the self-test works with: a directory, a target process, a real watch."""
from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import IO, NamedTuple

from pollreload.settings import Signal

STEP_TIMEOUT = 5.0  # s that any one thing may take before it counts as not happening
POLL = ('--interval', '200ms', '--settle', '100ms', '--survive', '250ms', '-v')
SHARED = '/dev/shm'  # shm_overview(7)
# The target. The handler in C writes to its wake-up descriptor at once; one in
# Python would run later. It reads a command before the signals and answers after
# them: whoever sends a signal and then a command reads about both in that order.
TARGET_PROGRAM = '''
import ctypes, os, select, signal, sys
number, name = int(sys.argv[1]), sys.argv[2]
libc = ctypes.CDLL(None)
libc.prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
libc.prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
signals, writer = os.pipe()
os.set_blocking(signals, False)
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
signal.signal(number, lambda *_: None)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
os.write(1, b'ready\\n')
command = None
while command != b'':
    ready = select.select([signals, 0], [], [])[0]
    command = os.read(0, 64) if 0 in ready else None
    try:
        os.write(1, b'signal\\n' * len(os.read(signals, 64)))
    except BlockingIOError:
        pass
    if command == b'drop\\n':
        signal.signal(number, signal.SIG_DFL)
    if command:
        os.write(1, b'here\\n')
'''


class Failed(Exception):
    """A step failed; the message says what was seen."""


class Child:
    """A child process, and the lines that it writes to one pipe.

    lines: all that were read so far.
    """

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        self.process = process
        self.pipe = pipe
        self.unread = b''
        self.lines: list[str] = []

    def read_line(self, deadline: float) -> str | None:
        """Return the next line; '' at the end of file, None at the deadline.

        deadline: by time.monotonic().
        """
        fd = self.pipe.fileno()
        while b'\n' not in self.unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([fd], [], [], left)[0]:
                return None
            read = os.read(fd, 65536)
            if not read:
                return ''
            self.unread += read
        line, _, self.unread = self.unread.partition(b'\n')
        self.lines.append(line.decode('utf-8', 'backslashreplace'))
        return self.lines[-1]

    def write_line(self, text: str) -> None:
        """Write a line to its stdin; a process that died ignores it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(text.encode() + b'\n')
        except BrokenPipeError:
            # What is read from it next shows the death.
            pass


class Setup(NamedTuple):
    """What the steps work with.

    directory: a volume as a kubelet writes it. target, watch: the processes.
    """

    directory: str
    target: Child
    watch: Child


def prepare(signal: Signal, stack: ExitStack, log: list[str]) -> Setup:
    """Start a target and a watch on a file; the stack ends and removes all of it.

    log: receives the lines that the watch logs. Raises Failed.
    """
    directory = make_directory()
    stack.callback(shutil.rmtree, directory)
    publish(directory, 'the first version\n')
    os.symlink('..data/app.conf', f'{directory}/app.conf')
    name = f'smoke-{os.getpid()}'
    target = start_process(stack, [
        *interpreter(), '-I', '-S', '-c', TARGET_PROGRAM, str(signal.number), name,
    ], dict(os.environ))
    expect(target, 'ready', 'the target is not ready')
    watch = start_process(stack, [
        *interpreter(), '-m', 'pollreload', 'watch', f'{directory}/app.conf',
        '--process', name, '--signal', str(signal.number), *POLL,
        '--min-uptime', '0', '--on-start', 'never', '--log-format', 'json',
    ], child_environment(), stderr=True)
    watch.lines = log
    return Setup(directory, target, watch)


def make_directory() -> str:
    """Return a new directory. Raises Failed if there is no place for one."""
    try:
        return tempfile.mkdtemp(prefix='pollreload-')
    except OSError:
        # Every container has this one, even if its root is read-only.
        try:
            return tempfile.mkdtemp(prefix='pollreload-', dir=SHARED)
        except OSError:
            raise Failed(
                'no directory is writable; mount a tmpfs (in Kubernetes an emptyDir) '
                'at /tmp, or set TMPDIR',
            ) from None


def interpreter() -> list[str]:
    """Return the arguments that start this interpreter again, as it was started.

    A copy made by install-to runs below a dynamic loader of its own, which Python
    does not list among its arguments, and with flags that isolate it from an
    environment meant for another Python.
    """
    with open('/proc/self/cmdline', 'rb') as file:
        arguments = [os.fsdecode(each) for each in file.read().split(b'\0')[:-1]]
    loader = arguments[:len(arguments) - len(sys.orig_argv)]
    isolated = ['-I', '-S', '-X', 'utf8'] if sys.flags.isolated else []
    return [*loader, sys.executable, *isolated]


def child_environment() -> dict[str, str]:
    """Return an environment in which `-m pollreload` is this very pollreload.

    It has none of the variables that set options.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    kept = {
        name: value for name, value in os.environ.items()
        if not (name.startswith('POLLRELOAD_') or name in ('FILE', 'PROCESS', 'SIGNAL'))
    }
    search = [os.path.dirname(package), *filter(None, [kept.get('PYTHONPATH')])]
    return {**kept, 'PYTHONPATH': os.pathsep.join(search)}


def start_process(
        stack: ExitStack, command: list[str], environ: dict[str, str],
        stderr: bool = False,
) -> Child:
    """Start a process; the stack kills it and waits for it.

    stderr: read its stderr, and not its stdout.
    """
    process = subprocess.Popen(
        command, env=environ, bufsize=0, stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL if stderr else subprocess.PIPE,
        stderr=subprocess.PIPE if stderr else None,
    )
    # Last in, first out: it is killed before it is waited for.
    stack.enter_context(process)
    stack.callback(process.kill)
    pipe = process.stderr if stderr else process.stdout
    assert pipe is not None
    return Child(process, pipe)


def publish(directory: str, text: str) -> None:
    """Write a version as a kubelet does: a new directory, then ..data moves."""
    new = tempfile.mkdtemp(prefix='..2026_', dir=directory)
    with open(f'{new}/app.conf', 'w', encoding='ascii') as file:
        file.write(text)
    os.symlink(os.path.basename(new), f'{directory}/..data_tmp')
    os.rename(f'{directory}/..data_tmp', f'{directory}/..data')


def expect(child: Child, line: str, failure: str) -> None:
    """Read the next line of a child, which has to be this one. Raises Failed."""
    read = child.read_line(time.monotonic() + STEP_TIMEOUT)
    if read is None:
        raise Failed(f'{failure} after {STEP_TIMEOUT:g} s')
    if read != line:
        seen = 'it ended' if not read else f'it wrote {read!r}'
        raise Failed(f'{failure}: {seen}')
