"""Sending a signal to one process, and to no other that took its pid."""
from __future__ import annotations

import errno
import os
import signal as signals
from collections.abc import Callable


def send(
        pid: int, started: int, signal: int,
        started_of: Callable[[int], int | None],
) -> str:
    """Send a signal to the process of a pid and a start time; return how it went.

    started_of: the start time of a live process in ticks; None for a zombie,
        to which both calls below would succeed.
    Returns 'pidfd' or 'kill', by which it was sent; 'gone' (exited, or the
    pid is another's by now); 'refused' (EPERM); 'denied' (EACCES, by a security
    module); 'full' (EAGAIN: no room in the queue of a real-time signal,
    sigqueue(3)); 'foreign' (/proc shows another pid namespace, so that nothing
    read there is about this pid).
    """
    if pid <= 0:
        # kill(2) takes 0 and less for whole groups.
        return 'gone'
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return 'gone'
    except (OSError, AttributeError):
        # ENOSYS before Linux 5.3, EPERM from an old seccomp profile; no such
        # function if Python was built with older headers.
        return kill(pid, started, signal, started_of)
    try:
        shown = pidfd_pid(fd)
        if shown not in (None, pid, -1):
            return 'foreign'
        # Only now: from here on the descriptor stands for one process.
        if started_of(pid) != started:
            return 'gone'
        signals.pidfd_send_signal(fd, signal)
    except ProcessLookupError:
        return 'gone'
    except (OSError, AttributeError):
        # Refused by seccomp, or by the kernel: kill(2) shows which.
        return kill(pid, started, signal, started_of)
    finally:
        os.close(fd)
    return 'pidfd'


def kill(
        pid: int, started: int, signal: int,
        started_of: Callable[[int], int | None],
) -> str:
    """Send by kill(2), right after comparing the start time; returns as send."""
    if started_of(pid) != started:
        return 'gone'
    try:
        os.kill(pid, signal)
    except ProcessLookupError:
        return 'gone'
    except PermissionError as error:
        # The kernel says EPERM for another uid, a security module says EACCES.
        return 'denied' if error.errno == errno.EACCES else 'refused'
    except BlockingIOError:
        return 'full'
    return 'kill'


def pidfd_pid(fd: int) -> int | None:
    """Return the pid that /proc gives a pidfd; -1 when it was reaped.

    None if there is no such file or line (/proc not mounted, gVisor); 0, or
    another pid than was opened, if /proc is of another namespace.
    """
    try:
        with open(f'/proc/self/fdinfo/{fd}', 'rb') as lines:
            said = [line[4:] for line in lines if line.startswith(b'Pid:')]
    except OSError:
        return None
    try:
        return int(said[0])
    except (IndexError, ValueError):
        return None


def permitted(pid: int) -> str:
    """Return '' if we may signal a process, else 'refused' or 'denied'; see send.

    A process that is gone refuses nothing.
    """
    try:
        os.kill(pid, 0)
    except PermissionError as error:
        return 'denied' if error.errno == errno.EACCES else 'refused'
    except ProcessLookupError:
        return ''
    return ''


def has_pidfd() -> bool:
    """Return whether signals can be sent by pidfd here; tried on ourselves."""
    try:
        fd = os.pidfd_open(os.getpid())
    except (OSError, AttributeError):
        return False
    try:
        signals.pidfd_send_signal(fd, 0)
    except (OSError, AttributeError):
        return False
    finally:
        os.close(fd)
    return True
