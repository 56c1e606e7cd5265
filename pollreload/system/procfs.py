"""The process table, read from /proc (proc(5)).

A process may exit between any two reads, and the files of other users may be
refused. A line that cannot be parsed is treated in the same way: gVisor, WSL and
9p print their own variants. None of that raises; what cannot be read is missing.
"""

import os
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

MAPS = 1 << 16  # bytes of maps that are read: the program is mapped early
ARGUMENTS = 1 << 14  # bytes of cmdline that are read
DEAD = (b'Z', b'X', b'x')
PF_KTHREAD = 0x00200000  # include/linux/sched.h
MASK_FIELDS = frozenset((b'SigPnd', b'ShdPnd', b'SigBlk', b'SigIgn', b'SigCgt'))


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


def stat_fields(directory: str) -> list[bytes]:
    """Return the fields of stat from the third, state, on; [] if it has exited.

    As in proc(5). The name may contain spaces and parentheses, so they are counted from
    the last parenthesis.
    """
    line = read_file(f'{directory}/stat') or b''
    return line.rpartition(b')')[2].split()


def stat(directory: str) -> Stat | None:
    """Return the stat of a process or thread; None if it has exited."""
    fields = stat_fields(directory)
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


def started(pid: int, root: str = '/proc') -> int | None:
    """Return the start time of a live process in ticks; None: gone or a zombie."""
    fields = stat(f'{root}/{pid}')
    if fields is None or live_thread(f'{root}/{pid}', fields.state) is None:
        return None
    return fields.started


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


def stack_start(pid: int, since: int, root: str = '/proc') -> int:
    """Return the address at which the stack of a process begins (startstack, proc(5)).

    since: its start time in ticks. 0: it has exited, or we may not see that
    (PTRACE_MODE_READ_FSCREDS, ptrace(2)). execve(2) chooses the address at random, and
    fork(2) keeps it.
    """
    fields = stat_fields(f'{root}/{pid}')
    try:
        return int(fields[25]) if int(fields[19]) == since else 0
    except (IndexError, ValueError):
        return 0


def boot(root: str = '/proc') -> str:
    """Return the id of this boot; '' if it cannot be read.

    gVisor makes up a new one for each container of a sandbox. They share the
    boot time instead, which on Linux moves with the clock.
    """
    if status(f'{root}/self').keys() >= MASK_FIELDS:
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
