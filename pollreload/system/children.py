"""Processes of our own: their groups, their ends, and work that may hang.

Each is the leader of a process group, so that it is ended with all it started.
A child that is forked outlives us if we are killed outright while it hangs:
PR_SET_PDEATHSIG cannot be asked for without ctypes, which costs megabytes.
"""
from __future__ import annotations

import errno
import marshal
import os
import signal
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, NoReturn

# What we block, ignore (Python does: PIPE, XFSZ) or may have inherited as
# ignored; an ignored signal would stay so over exec(2).
CLEARED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTERM,
    signal.SIGUSR1, signal.SIGCHLD, signal.SIGXFSZ,
)
CHILD_PAUSE = 0.01  # s between two checks of a child that is waited for
FAULT = 70  # EX_SOFTWARE, sysexits.h
LOST = 255
MOST_DESCRIPTORS = 1024  # descriptors that are closed without a /proc


# The children that end() has killed and that are not dead yet.
HANGING: set[int] = set()


class Stuck(TimeoutError):
    """A child did not end in time; pid: it may be there until its read ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(errno.ETIMEDOUT, 'does not answer')
        self.pid = pid


def fork(function: Callable[[], Any], deaf: bool = False) -> tuple[int, int]:
    """Run a function in a child; return its pid, and where its value will be.

    function: returns what marshal can write (no NamedTuple: only the plain
        types). If it raises, the child exits with 70: see fault().
    deaf: the child stands in for us: it keeps our signals blocked, and our
        files. Any other has none: it may live on in a read that hangs, and a
        reader of our output, or a run that wants our lock, must not wait for it.
    The descriptor is given to read_value() when poll_child() says 0, else to fault().
    Raises OSError if there can be no child or no memory for its value.
    """
    fd = anonymous_file()
    try:
        pid = os.fork() or run_child(function, fd, deaf)
    except OSError:
        os.close(fd)
        raise
    # The child does so, too: what it forks is never left in our group, and end() finds
    # the group at once.
    os.setpgid(pid, pid)
    return pid, fd


def run_child(function: Callable[[], Any], fd: int, deaf: bool) -> NoReturn:
    """Be the child: run a function, write its value, exit."""
    status = FAULT
    try:
        os.setpgid(0, 0)
        # The dispositions first: a signal may be there once it is unblocked.
        for number in CLEARED:
            signal.signal(number, signal.SIG_DFL)
        if not deaf:
            close_files(fd)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
        found = marshal.dumps(function())
        with open(fd, 'wb', closefd=False) as file:
            file.write(found)
        status = 0
    except BaseException as error:  # noqa: BLE001
        # Whatever it is, it must not unwind into the parent's code.
        said = f'{type(error).__name__}: {error}\n'
        os.write(2 if deaf else fd, f'{"pollreload: " if deaf else ""}{said}'.encode())
    finally:
        os._exit(status)


def close_files(*kept: int) -> None:
    """Close every file but some, and have stdin, stdout and stderr lead nowhere."""
    empty = open_null()
    for fd in range(3):
        os.dup2(empty, fd)
    try:
        # Not os.closerange: where close_range(2) is refused that tries each number.
        numbers = [int(entry) for entry in os.listdir('/proc/self/fd')]
    except OSError:
        numbers = list(range(MOST_DESCRIPTORS))
    for fd in numbers:
        if fd > 2 and fd not in kept:
            with suppress(OSError):
                os.close(fd)


def within(
        function: Callable[[], Any], seconds: float, stop: Callable[[], bool],
) -> Any:
    """Call a function that may hang in a child, and return its value.

    function: as in fork. The one place that waits outside of the loop: for some
    seconds at most, and not if stop() says so.
    Raises OSError: Stuck if it took too long.
    """
    pid, fd = fork(function)
    until = time.monotonic() + seconds
    while (status := poll_child(pid)) is None:
        if stop() or time.monotonic() >= until:
            end(pid)
            break
        time.sleep(CHILD_PAUSE)
    if status == 0:
        return read_value(fd)
    if status is None:
        os.close(fd)
        raise Stuck(pid)
    raise OSError(errno.EIO, fault(status, fd))


def call_in_child(
        function: Callable[[], Any], seconds: float, stop: Callable[[], bool],
) -> tuple[Any, int]:
    """Call a function in a child; return its value, and the descriptor it lives by.

    It lives until we end, or close that descriptor. What the function has opened
    stays open there, and is given back when the kernel ends the child: by KILL,
    for that alone breaks off a close that waits for a server (nfs(5), hard).
    Otherwise as within; the value has to fit into a pipe.
    Raises OSError: TimeoutError if it took too long.
    """
    answer, answers = os.pipe2(os.O_CLOEXEC)
    # Never written to: its end is ours.
    life, alive = os.pipe2(os.O_CLOEXEC)
    pid = os.fork() or run_until_killed(function, answers, life)
    os.setpgid(pid, pid)
    os.close(answers)
    os.close(life)
    os.set_blocking(answer, False)
    until = time.monotonic() + seconds
    while True:
        with suppress(BlockingIOError):
            said = os.read(answer, 4096)
            os.close(answer)
            if said:
                return marshal.loads(said), alive
            os.close(alive)
            end(pid)
            raise OSError(errno.EIO, 'a child ended without an answer')
        if stop() or time.monotonic() >= until:
            os.close(answer)
            os.close(alive)
            end(pid)
            raise TimeoutError(errno.ETIMEDOUT, 'does not answer')
        time.sleep(CHILD_PAUSE)


def run_until_killed(function: Callable[[], Any], answers: int, life: int) -> int:
    """Be the child of call_in_child(): write the value of a function, and wait.

    answers: to write to. life: to read from; it ends with our parent.
    """
    try:
        os.setpgid(0, 0)
        # What it holds on to may hang for ever: then it is not our output.
        close_files(answers, life)
        os.write(answers, marshal.dumps(function()))
        os.read(life, 1)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0


def open_null() -> int:
    """Return a file that reads as empty and accepts everything.

    A bare mount namespace has no /dev/null.
    """
    try:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return anonymous_file()


def anonymous_file() -> int:
    """Return a file without a name: a pipe would fill up and block the child."""
    try:
        return os.memfd_create('pollreload')
    except (OSError, AttributeError):
        # Refused by seccomp; or Python was built with older headers.
        return os.open('/tmp', os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def read_value(fd: int) -> object:
    """Return the value of a child of fork() that exited with 0; closes fd."""
    with open(fd, 'rb') as file:
        file.seek(0)  # the child shares our offset, and left it at the end
        return marshal.load(file)


def fault(status: int, fd: int) -> str:
    """Return why a child of fork() that exited with another status did; closes fd."""
    with open(fd, 'rb') as file:
        file.seek(0)
        said = file.read(1000).decode('utf-8', 'replace').strip()
    return said if status == FAULT and said else f'a child ended with status {status}'


def poll_child(pid: int) -> int | None:
    """Return the exit status of a child, -N for signal N; None while it runs.

    255 for one that has been reaped already. What is left of its process group is
    killed first: once the child is reaped, its number can be another group's.
    """
    try:
        dead = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return LOST
    if dead is None:
        return None
    kill_group(pid)
    _, status = os.waitpid(pid, 0)
    HANGING.discard(pid)
    return os.waitstatus_to_exitcode(status)


def kill_group(pid: int) -> None:
    """Kill a child that has not been reaped, and its whole process group."""
    # ESRCH: no process is left. EPERM: only those that became another user are.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def end(pid: int) -> None:
    """Kill a child and its whole process group, and reap it if it is dead yet.

    In an uninterruptible wait it is not dead yet; reap() buries it later.
    """
    kill_group(pid)
    if poll_child(pid) is None:
        HANGING.add(pid)


def hangs(pid: int) -> bool:
    """Return whether a child that end() has killed is still not dead.

    By its number alone it could be a later child: reap() may have taken it.
    """
    return pid in HANGING and poll_child(pid) is None


def reap(keep: Collection[int]) -> None:
    """Reap the dead children that nothing waits for; call it on SIGCHLD.

    They are those that end() could not wait for and, if we are pid 1, orphans.
    keep: the children whose status is still to be asked for.
    """
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
        while (dead := os.waitid(os.P_ALL, 0, options)) and dead.si_pid not in keep:
            os.waitpid(dead.si_pid, os.WNOHANG)
            HANGING.discard(dead.si_pid)
    except ChildProcessError:
        return
