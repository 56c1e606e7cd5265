"""The process table, read from /proc (proc(5)).

A process may exit between any two reads, and the files of other users may be
refused. A line that cannot be parsed is treated in the same way: gVisor, WSL and
9p print their own variants. None of that raises; what cannot be read is missing.
"""
from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from pollreload.core.process import Process, named, short

MAPS = 1 << 16  # bytes of maps that are read: the program is mapped early
ARGUMENTS = 1 << 14  # bytes of cmdline that are read
DEAD = (b'Z', b'X', b'x')
PF_KTHREAD = 0x00200000  # include/linux/sched.h
SIGNALS = frozenset((b'SigPnd', b'ShdPnd', b'SigBlk', b'SigIgn', b'SigCgt'))


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that are used.

    started: clock ticks since boot. kernel: it is a thread of the kernel.
    """

    state: bytes
    ppid: int
    started: int
    kernel: bool = False


def read_file(path: str, most: int = sys.maxsize) -> bytes | None:
    """Return the bytes of a file, at most so many; None if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # ENOENT if the process has exited, EACCES or EPERM with hidepid=1.
        return None
    try:
        read = b''
        while (more := os.read(fd, min(65536, most - len(read)))):
            read += more
        return read
    except OSError:
        # ESRCH if the process has exited since the open.
        return None
    finally:
        os.close(fd)


def entries(directory: str) -> list[str]:
    """Return the names in /proc, or in a task directory, that are numbers."""
    try:
        return [name for name in os.listdir(directory) if name.isdecimal()]
    except OSError:
        return []


def pids(directory: str) -> list[int]:
    """Return the numbers in /proc, or in a task directory."""
    return [int(entry) for entry in entries(directory)]


def stat(directory: str) -> Stat | None:
    """Return the stat of a process or thread; None if it has exited.

    The name in it may contain spaces and parentheses, so fields are counted from
    the last parenthesis.
    """
    line = read_file(f'{directory}/stat') or b''
    fields = line.rpartition(b')')[2].split()
    try:
        return Stat(
            fields[0], int(fields[1]), int(fields[19]),
            bool(int(fields[6]) & PF_KTHREAD),
        )
    except (IndexError, ValueError):
        return None


def status(directory: str) -> dict[bytes, bytes]:
    """Return the lines of status, name to value; {} if the process has exited."""
    lines = (read_file(f'{directory}/status') or b'').split(b'\n')
    parts = (line.partition(b':') for line in lines)
    return {name: value.strip() for name, _, value in parts}


def numbers(lines: Mapping[bytes, bytes], name: bytes, base: int = 10) -> list[int]:
    """Return the numbers in a line of status; [] if it is missing or is no numbers."""
    try:
        return [int(number, base) for number in lines.get(name, b'').split()]
    except ValueError:
        return []


def comm(directory: str) -> str | None:
    """Return the name of a process, which may itself contain newlines."""
    line = read_file(f'{directory}/comm')
    return None if line is None else os.fsdecode(line.removesuffix(b'\n'))


def cmdline(directory: str) -> tuple[str, ...]:
    """Return the arguments; () for a kernel thread or if they may not be read.

    At most ARGUMENTS bytes: any process can make it show gigabytes of its memory
    (PR_SET_MM_MAP, prctl(2)), and a regular expression may take the cube of their
    number.
    """
    line = read_file(f'{directory}/cmdline', ARGUMENTS) or b''
    return tuple(os.fsdecode(line).rstrip('\0').split('\0')) if line else ()


def live_thread(directory: str, state: bytes) -> str | None:
    """Return the directory of a live thread of a process, None for a zombie.

    A leader that exited before its other threads is in state Z and appears dead;
    it still receives signals, and only its threads still have a cmdline.
    """
    if state not in DEAD:
        return directory
    for number in pids(f'{directory}/task'):
        thread = stat(f'{directory}/task/{number}')
        if thread and thread.state not in DEAD:
            return f'{directory}/task/{number}'
    return None


def own_pid(root: str = '/proc') -> int:
    """Return our pid in the numbers of this /proc; 0 if it does not show us."""
    try:
        return int(os.readlink(f'{root}/self'))
    except (OSError, ValueError):
        return 0


def ancestors(pid: int, root: str = '/proc') -> Iterator[int]:
    """Yield the pids from the parent up."""
    return climb(pid, lambda child: parent(stat(f'{root}/{child}')))


def parent(fields: Stat | None) -> int:
    """Return the ppid; 0 if the parent is not visible, or the process is gone."""
    return fields.ppid if fields else 0


def climb(pid: int, parent_of: Callable[[int], int]) -> Iterator[int]:
    """Yield the pids from the parent up, each once.

    The table is read at different times, so reused pids can form a ring.
    """
    seen = {0}
    while (pid := parent_of(pid)) not in seen:
        seen.add(pid)
        yield pid


def ours(pid: int, root: str = '/proc') -> bool:
    """Return whether a pid is this process or one of its descendants."""
    us = own_pid(root)
    return pid == us or us in ancestors(pid, root)


def runs_as(uids: list[int], uid: int) -> bool:
    """Return whether a process with these uids runs as a user.

    uids: real, effective, saved (and file system) uid. A setuid program that
    another user started has the effective uid and keeps the real uid of that user;
    root may have any of them, because it can change them at any time.
    """
    return uids[1:2] == [uid] and all(each in (0, uid) for each in uids[:3])


def read(
        pid: int, root: str = '/proc', name: str | None = None, uid: int | None = None,
) -> Process | None:
    """Return a live process, None if it has exited or is a zombie.

    name, uid: also None if it has another comm, or runs as another user. Then its
        arguments, which it chooses itself, are not read.
    stat is read first: if the pid is reused in between, the rest is of the new
    process but the start time is not, and it is compared again before a signal.
    """
    directory = f'{root}/{pid}'
    fields = stat(directory)
    alive = live_thread(directory, fields.state) if fields else None
    called = comm(directory)
    if fields is None or alive is None or called is None:
        return None
    lines = status(directory)
    levels = numbers(lines, b'NSpid')
    uids = numbers(lines, b'Uid')
    if name is not None and called != short(name):
        return None
    if uid is not None and not runs_as(uids, uid):
        return None
    # gVisor has no NSpid line: there is only one namespace.
    level = len(numbers(status(f'{root}/self'), b'NSpid')) or len(levels)
    return Process(
        pid=pid,
        ppid=fields.ppid,
        started=fields.started,
        comm=called,
        cmdline=cmdline(alive),
        uid=uids[1] if uids[1:] else None,
        nested=len(levels) > level,
        init=levels[-1:] == [1] if levels else pid == 1,
        ancestor=pid in ancestors(own_pid(root), root),
    )


def matches(
        name: str | None, cmdline: str | None, uid: int | None,
        all_namespaces: bool, root: str = '/proc', *, only: int | None = None,
) -> tuple[Process, ...]:
    """Return the live processes that meet every condition, by pid.

    name: None for any; over 15 bytes, process.named() confirms it.
    cmdline: a regular expression, searched in the arguments joined by spaces.
    uid: see runs_as().
    all_namespaces: false leaves out those in pid namespaces below ours.
    only: the only pid to consider, from a pidfile.
    Never this process, nor one of its descendants: the `nginx -t` that
    validates for us is called nginx.
    """
    return tuple(
        process for pid in (candidates(name, root) if only is None else (only,))
        if (process := read(pid, root, name, uid))
        and (name is None or named(process, name))
        and (all_namespaces or not process.nested)
        and (cmdline is None or searched(cmdline, process.cmdline))
        and not ours(pid, root)
    )


def candidates(name: str | None, root: str = '/proc') -> list[int]:
    """Return the pids whose comm is a name, all of them for None, in order.

    The only read that is done for every process of the machine, and therefore
    written out: everything else is read only for those that it returns.
    """
    if name is None:
        return sorted(pids(root))
    wanted = os.fsencode(short(name)) + b'\n'
    # One byte more than the name: a longer comm must not look the same.
    most = len(wanted) + 1
    same = []
    for entry in entries(root):
        try:
            fd = os.open(f'{root}/{entry}/comm', os.O_RDONLY)
        except OSError:
            continue
        try:
            if os.read(fd, most) == wanted:
                same.append(int(entry))
        except OSError:
            continue
        finally:
            os.close(fd)
    return sorted(same)


def searched(pattern: str, arguments: Iterable[str]) -> bool:
    """Return whether a regular expression matches within the joined arguments."""
    import re
    import warnings
    with warnings.catch_warnings():
        # Its warnings about odd patterns are meant for programmers.
        warnings.simplefilter('ignore')
        return re.search(pattern, ' '.join(arguments)) is not None


def started(pid: int, root: str = '/proc') -> int | None:
    """Return the start time of a live process in ticks; None: gone or a zombie."""
    fields = stat(f'{root}/{pid}')
    if fields is None or live_thread(f'{root}/{pid}', fields.state) is None:
        return None
    return fields.started


def family(pid: int, root: str = '/proc') -> tuple[tuple[int, int, str], ...]:
    """Return (pid, start time in ticks, arguments) of a process and its children.

    Only live ones; () if the process has exited. By stat of every process, because
    task/*/children is not built into every kernel.
    """
    found = []
    for each in (pid, *pids(root)):
        directory = f'{root}/{each}'
        fields = stat(directory)
        if fields and (each == pid) != (fields.ppid == pid) and (
                live_thread(directory, fields.state)
        ):
            found.append((each, fields.started, ' '.join(cmdline(directory))))
    return tuple(dict.fromkeys(found))


def program(pid: int, root: str = '/proc') -> str:
    """Return path, device and inode of the program file of a process.

    '' if we may not read that. The file itself is not touched: it may be on a
    file system that does not answer.
    """
    try:
        path = os.fsencode(os.readlink(f'{root}/{pid}/exe'))
    except OSError:
        return ''
    for line in (read_file(f'{root}/{pid}/maps', MAPS) or b'').split(b'\n'):
        # address, permissions, offset, device, inode, path
        fields = line.split(maxsplit=5)
        if fields[5:] == [path]:
            return os.fsdecode(b' '.join((path, *fields[3:5])))
    return ''


def boot(root: str = '/proc') -> str:
    """Return the id of this boot; '' if it cannot be read.

    gVisor makes up a new one for each container of a sandbox. They share the
    boot time instead, which on Linux moves with the clock.
    """
    if status(f'{root}/self').keys() >= SIGNALS:
        return os.fsdecode(
            read_file(f'{root}/sys/kernel/random/boot_id') or b'',
        ).strip()
    for line in (read_file(f'{root}/stat') or b'').splitlines():
        if line.startswith(b'btime '):
            return os.fsdecode(line)
    return ''


def ticks() -> int:
    """Return how many clock ticks, the unit of start times, are in a second."""
    return os.sysconf('SC_CLK_TCK')


def now() -> float:
    """Return the seconds since boot, by the clock of the start times."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def others(root: str = '/proc') -> list[Process]:
    """Return the live processes that are not ours, by pid; no kernel threads.

    Three files are read for each, so only what those show is in the rows.
    """
    table = {pid: stat(f'{root}/{pid}') for pid in sorted(pids(root))}
    us = own_pid(root)
    rows = []
    for pid, fields in table.items():
        if fields is None or fields.kernel:
            continue
        directory = f'{root}/{pid}'
        alive = live_thread(directory, fields.state)
        name = comm(directory)
        ours = pid == us or us in climb(pid, lambda child: parent(table.get(child)))
        if alive and name is not None and not ours:
            rows.append(Process(
                pid, fields.ppid, fields.started, name, cmdline(alive),
            ))
    return rows
