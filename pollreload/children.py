"""Processes of our own: commands, and work that may hang.

Each is the leader of a process group, so that it is ended with all it started.
A child that is forked outlives us if we are killed outright while it hangs:
PR_SET_PDEATHSIG cannot be asked for without ctypes, which costs megabytes.
"""
from __future__ import annotations

import contextlib
import errno
import marshal
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

# What we block, ignore (Python does: PIPE, XFSZ) or may have inherited as
# ignored; an ignored signal would stay so over exec(2).
CLEARED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTERM,
    signal.SIGUSR1, signal.SIGCHLD, signal.SIGXFSZ,
)
WIDTH = 1 << 20  # bytes of a pipe, pipe-max-size of pipe(7)
PAUSE = 0.01  # s between two looks at a child that is waited for
FAULT = 70  # EX_SOFTWARE, sysexits.h
LOST = 255


def spawn(
        command: Sequence[str], environment: Mapping[str, str], output: int = 2,
) -> int:
    """Start a command and return its pid.

    output: the descriptor that it writes to, both its stdout and its stderr.
    It reads /dev/null, and is found by our own PATH.
    Raises FileNotFoundError (also for a missing interpreter of a script),
    PermissionError (also for a directory), and OSError for the rest (ENOEXEC:
    a script without #!, for no shell is tried).
    """
    if not command or not command[0]:
        raise FileNotFoundError(2, 'no command')
    return os.posix_spawnp(
        command[0], list(command), environment,
        file_actions=(
            (os.POSIX_SPAWN_OPEN, 0, '/dev/null', os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ),
        setpgroup=0,
        setsigmask=(),
        setsigdef=CLEARED,
    )


def fork(function: Callable[[], Any], deaf: bool = False) -> tuple[int, int]:
    """Run a function in a child; return its pid, and where its value will be.

    function: returns what marshal can write (no NamedTuple: only the plain
        types). If it raises, the child says so on stderr and exits with 70.
    deaf: the child keeps our signals blocked.
    The descriptor is given to value() when ended() says 0, else closed.
    Raises OSError where there can be no child or no memory for its value.
    """
    fd = memory()
    try:
        pid = os.fork() or run(function, fd, deaf)
    except OSError:
        os.close(fd)
        raise
    # Here and not in the child, so that end() finds the group at once.
    os.setpgid(pid, pid)
    return pid, fd


def run(function: Callable[[], Any], fd: int, deaf: bool) -> NoReturn:
    """Be the child: run a function, write its value, exit."""
    status = FAULT
    try:
        # The dispositions first: a signal may be there once it is unblocked.
        for number in CLEARED:
            signal.signal(number, signal.SIG_DFL)
        if not deaf:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
        with open(fd, 'wb', closefd=False) as file:
            marshal.dump(function(), file)
        status = 0
    except BaseException as error:  # noqa: BLE001
        # Whatever it is, it must not unwind into the parent's code.
        os.write(2, f'pollreload: {type(error).__name__}: {error}\n'.encode())
    finally:
        os._exit(status)


def within(
        function: Callable[[], Any], seconds: float, stop: Callable[[], bool],
) -> Any:
    """Return what a function returns in a child, for work that may hang.

    function: as in fork. The one place that waits outside of the loop: for some
    seconds at most, and not if stop() says so.
    Raises OSError: TimeoutError where it took too long.
    """
    pid, fd = fork(function)
    until = time.monotonic() + seconds
    while (status := ended(pid)) is None:
        if stop() or time.monotonic() >= until:
            end(pid)
            break
        time.sleep(PAUSE)
    if status == 0:
        return value(fd)
    os.close(fd)
    if status is None:
        raise TimeoutError(errno.ETIMEDOUT, 'does not answer')
    raise OSError(errno.EIO, f'a child ended with status {status}')


def memory() -> int:
    """Return a file without a name: a pipe would fill up and block the child."""
    try:
        return os.memfd_create('pollreload')
    except (OSError, AttributeError):
        # Refused by seccomp; or Python was built with older headers.
        return os.open('/tmp', os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def pipe() -> tuple[int, int]:
    """Return a pipe for what a command prints, to be read without waiting.

    As wide as we are allowed: it is emptied now and then only, and a command
    that prints more meanwhile waits for that. Raises OSError.
    """
    import fcntl
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(ours, False)
    with contextlib.suppress(OSError):
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, WIDTH)
    return ours, theirs


def drained(fd: int, tail: bytes, most: int) -> bytes:
    """Return the last bytes, at most so many, of a tail and what a pipe holds now."""
    try:
        # All of it at once, for no pipe is wider.
        return (tail + os.read(fd, WIDTH))[-most:]
    except BlockingIOError:
        return tail


def value(fd: int) -> object:
    """Return what a child of fork() that exited with 0 returned; closes fd."""
    with open(fd, 'rb') as file:
        file.seek(0)  # the child shares our offset, and left it at the end
        return marshal.load(file)


def ended(pid: int) -> int | None:
    """Return the exit status of a child, -N for signal N; None while it runs.

    255 for one that somebody else has reaped.
    """
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return LOST
    return os.waitstatus_to_exitcode(status) if reaped else None


def end(pid: int) -> None:
    """Kill a child and its whole process group, and reap it if it is dead yet.

    In an uninterruptible wait it is not dead yet; reap() buries it later.
    """
    # ESRCH: no one is left. EPERM: only those that became another user are.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    ended(pid)


def reap(keep: Collection[int]) -> None:
    """Reap the dead children that nobody waits for; to be called on SIGCHLD.

    They are those that end() could not wait for and, where we are pid 1, the
    orphans of others. keep: the children whose status is still to be asked for.
    """
    nobody = os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
        while (dead := os.waitid(os.P_ALL, 0, nobody)) and dead.si_pid not in keep:
            os.waitpid(dead.si_pid, os.WNOHANG)
    except ChildProcessError:
        return


def missing(command: Sequence[str], path: str) -> str:
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
