"""A program that writes down each version that it reads: the target of the driver.

The journal has one JSON line for each reading: when, by which pid, why ('started' or
'notified'), and the version as text, 'NAME=TEXT NAME=TEXT'. The same file is the
--verify command (the process has read what is there), the --validate command (no
text begins with 'bad') and the --exec command.

    handler      reads the files when it is signalled
    slow         the same, a moment after the signal
    re-executes  reads, and executes itself with the signal blocked: same pid
    hands over   reads, starts a successor, and exits once that runs
    renames      reads, and has another comm from then on
    workers      reads, and replaces two workers of its name that have no handler
    ends         the signal is TERM: reads, and exits

    act          is no process: the command of --exec, which reads

Each also re-executes itself on USR2, and exits when its lifeline, a pipe, is closed.
"""
from __future__ import annotations

import errno
import glob
import json
import os
import select
import signal
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tests.support.targets import PR_SET_NAME, awaken, handle, prctl, workers

SCRIPT = os.path.abspath(__file__)
SIGNALS = signal.SIGHUP, signal.SIGUSR2
COMMAND = 0  # stands for the pid of what has none
LONGEST = 10  # characters of a text that are shown
ENDED = '.tmp', '~'


class Record(NamedTuple):
    """One line of the journal."""

    at: float
    pid: int
    why: str
    version: str


def names(directory: str, below: str = '') -> Iterator[str]:
    """Yield the names of the files below a directory that pollreload does not ignore.

    Raises OSError.
    """
    for name in sorted(os.listdir(os.path.join(directory, below))):
        if name.startswith('.') or name.endswith(ENDED):
            continue
        path = os.path.join(below, name)
        if os.path.isdir(os.path.join(directory, path)):
            yield from names(directory, path)
        else:
            yield path


def text(path: str) -> str | None:
    """Return the shortened text of a file, or an error; None if there is no file."""
    try:
        if os.path.realpath(path) == '/dev/null':
            return ''
        if not stat.S_ISREG(os.stat(path).st_mode):
            return '!kind'
        with open(path, encoding='utf-8') as file:
            found = file.read()
    except OSError as error:
        return None if error.errno == errno.ENOENT else f'!{error.strerror}'
    more = f'+{len(found)}' if len(found) > LONGEST else ''
    return found[:LONGEST] + more


def version(paths: Sequence[str]) -> str:
    """Return the version of all files at some paths, as the target reads it now."""
    said = []
    for path in paths:
        if os.path.isdir(path):
            try:
                found = [f'{path}/{name}' for name in names(path)]
            except OSError:
                found = [f'{path}/!']
        elif glob.has_magic(path):
            found = sorted(
                each for each in glob.glob(path) if not each.endswith(ENDED)
            )
        else:
            found = [path]
        for each in found:
            read = text(each)
            if read is not None:
                said.append(f'{os.path.relpath(each, os.path.dirname(path))}={read}')
    return ' '.join(said)


def records(journal: str) -> list[Record]:
    """Return the lines of a journal."""
    with open(journal, encoding='utf-8') as file:
        return [Record(*json.loads(line)) for line in file]


# From here on: what runs in the target.


class Program(NamedTuple):
    """The command line of a target."""

    kind: str
    journal: str
    pidfile: str
    lifeline: int
    paths: tuple[str, ...]


def record(journal: str, paths: Sequence[str], why: str, pid: int) -> None:
    """Read the files and add a line to the journal, in one write."""
    line = json.dumps((time.time(), pid, why, version(paths))) + '\n'
    fd = os.open(journal, os.O_WRONLY | os.O_APPEND)
    os.write(fd, line.encode())
    os.close(fd)


def execute(children: Sequence[int] = ()) -> None:
    """Execute the program again; a signal waits until it has its handler back."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    end(children)
    os.execv(sys.orig_argv[0], sys.orig_argv)


def end(children: Sequence[int]) -> None:
    """Kill workers and reap them."""
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def hand_over() -> None:
    """Start a successor and exit once it runs."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.set_inheritable(writer, True)
        os.environ['READY'] = str(writer)
        execute()
    os.close(writer)
    os.read(reader, 1)
    os._exit(0)


def ready(program: Program) -> None:
    """Write the pidfile, and let the predecessor know that the program runs."""
    new = f'{program.pidfile}.{os.getpid()}'
    with open(new, 'w', encoding='ascii') as file:
        file.write(f'{os.getpid()}\n')
    os.rename(new, program.pidfile)
    predecessor = os.environ.pop('READY', '')
    if predecessor:
        os.close(int(predecessor))


def reload(program: Program, old: Sequence[int]) -> list[int]:
    """Do what the kind does on the signal; return the workers that it has then."""
    if program.kind == 'slow':
        time.sleep(0.05)
    started = workers(2) if program.kind == 'workers' else []
    record(program.journal, program.paths, 'notified', os.getpid())
    match program.kind:
        case 're-executes':
            execute()
        case 'hands over':
            hand_over()
        case 'renames':
            prctl(PR_SET_NAME, b'renamed')
        case 'ends':
            os._exit(0)
    end(old)
    return started


def serve(program: Program) -> None:
    """Be a target until the lifeline is closed."""
    reader = awaken()
    number = signal.SIGTERM if program.kind == 'ends' else signal.SIGHUP
    handle((number, signal.SIGUSR2))
    record(program.journal, program.paths, 'started', os.getpid())
    ready(program)
    children = workers(2) if program.kind == 'workers' else []
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    while program.lifeline not in select.select([reader, program.lifeline], [], [])[0]:
        if os.read(reader, 1)[0] == signal.SIGUSR2:
            execute(children)
        children = reload(program, children)


def main(kind: str, *rest: Any) -> int:
    """Be a target, or one of the commands; return the exit status."""
    if kind == 'validate':
        return int('=bad' in version(rest))
    if kind == 'act':
        journal, *paths = rest
        record(journal, paths, 'notified', COMMAND)
        return 0
    if kind == 'verify':
        journal, *paths = rest
        pid = int(os.environ.get('POLLRELOAD_PID', COMMAND))
        read = [each.version for each in records(journal) if each.pid == pid]
        return int(not read or read[-1] != version(paths))
    journal, pidfile, lifeline, *paths = rest
    serve(Program(kind, journal, pidfile, int(lifeline), tuple(paths)))
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
