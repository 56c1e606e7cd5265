"""Starting a command, and reading what it prints."""
from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from pollreload.system import children

LOADED = 0.5  # s in which a program has to be loaded
NOT_RUN = 127  # as the shell says it, POSIX.1-2017, 2.8.2
PIPE_SIZE = 1 << 20  # bytes of a pipe, pipe-max-size of pipe(7)


def spawn(
        command: Sequence[str], environment: Mapping[str, str], output: int = 2,
) -> int:
    """Start a command and return its pid.

    output: the descriptor that it writes to, both its stdout and its stderr.
    It reads /dev/null, and is found by the PATH of its environment.
    Raises FileNotFoundError (also for a missing interpreter of a script),
    PermissionError (also for a directory), and OSError for the rest (ENOEXEC: a
    script without #!; no shell is tried). A program that is not loaded
    within LOADED seconds is running: if it fails later, it exits with 127 and its
    output says why.
    """
    if not command or not command[0]:
        raise FileNotFoundError(2, 'no command')
    report, theirs = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork() or execute(
            command, environment, output, (report, theirs),
        )
    except OSError:
        os.close(report)
        raise
    finally:
        os.close(theirs)
    # The child does so, too; whichever is first, and EACCES after its exec(2).
    with suppress(PermissionError):
        os.setpgid(pid, pid)
    try:
        if not select.select([report], [], [], LOADED)[0]:
            return pid
        said = os.read(report, 4)
    finally:
        os.close(report)
    if said:
        error = int.from_bytes(said, 'little')
        os.waitpid(pid, 0)
        raise OSError(error, os.strerror(error))
    return pid


def execute(
        command: Sequence[str], environment: Mapping[str, str], output: int,
        report: tuple[int, int],
) -> NoReturn:
    """Be the child: become the command, or write the errno and exit with 127.

    report: the pipe for the errno, which exec(2) closes.
    """
    try:
        # So that a parent that does not wait any more is seen.
        os.close(report[0])
        os.setpgid(0, 0)
        for number in children.CLEARED:
            signal.signal(number, signal.SIG_DFL)
        os.dup2(children.open_null(), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(command[0], list(command), environment)
    except OSError as error:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        try:
            os.write(report[1], (error.errno or errno.EINVAL).to_bytes(4, 'little'))
        except BrokenPipeError:
            os.write(2, f'{command[0]}: {error.strerror}\n'.lower().encode())
    finally:
        os._exit(NOT_RUN)


def pipe() -> tuple[int, int]:
    """Return a pipe for what a command prints, to be read without waiting.

    As wide as we are allowed: it is emptied only now and then, and a command
    that prints more waits for that. Raises OSError.
    """
    import fcntl
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(ours, False)
    with suppress(OSError):
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    return ours, theirs


def drain(fd: int, tail: bytes, most: int) -> bytes:
    """Return the last bytes, at most so many, of a tail and what a pipe holds now."""
    try:
        # All of it at once: no pipe is wider.
        return (tail + os.read(fd, PIPE_SIZE))[-most:]
    except BlockingIOError:
        return tail


def program_trouble(command: Sequence[str], path: str) -> str:
    """Return why the program of a command cannot be run, '' if it can.

    path: directories separated by ':', as in PATH.
    """
    program = command[0] if command else ''
    if not program:
        return 'no command'
    places = [''] if '/' in program else [
        (directory or '.') + '/' for directory in path.split(':')
    ]
    files = [place + program for place in places if os.path.exists(place + program)]
    if not files:
        return f'no such program: {program}'
    if any(os.path.isfile(file) and os.access(file, os.X_OK) for file in files):
        return ''
    return f'not executable: {files[0]}'
