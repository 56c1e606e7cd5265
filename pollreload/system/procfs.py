"""The process table, as /proc tells it (proc(5)).

A process may vanish between any two reads, and what belongs to others may be
refused. Neither is an error here: what cannot be read is not there to be told.
"""
from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from pollreload.core.process import Masks, Process, named, script, short

MOST_NAMES = 5
MAPS = 1 << 16  # bytes of maps that are read: the program comes early
ARGUMENTS = 1 << 14  # bytes of a cmdline that are read
CAP_SYS_PTRACE = 19  # include/uapi/linux/capability.h
HIDDEN = "other users' processes are hidden (/proc is mounted with hidepid)"
UNHIDE = 'run as the uid of the target, or mount /proc with hidepid=0'
PTRACEABLE = (b'4', b'ptraceable')  # of hidepid, since Linux 5.8
DEAD = (b'Z', b'X', b'x')
RT_SIGTIMEDWAIT = {'x86_64': b'128', 'aarch64': b'137'}  # asm/unistd.h
EVERY_SIGNAL = (1 << 64) - 1
SIGNALS = {b'SigPnd', b'ShdPnd', b'SigBlk', b'SigIgn', b'SigCgt'}


def content(path: str, most: int = sys.maxsize) -> bytes | None:
    """Return what is in a file, no more than some bytes; None: gone or refused."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        # ENOENT if it exited before, EACCES or EPERM with hidepid=1.
        return None
    try:
        found = b''
        while (more := os.read(fd, min(65536, most - len(found)))):
            found += more
        return found
    except OSError:
        # ESRCH if it exited since the open.
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


def stat(directory: str) -> list[bytes] | None:
    """Return the fields of stat from the third on: 0 is the state, 1 the ppid,
    19 the start time. The name before them may hold spaces and parentheses.
    """
    line = content(f'{directory}/stat')
    return line.rpartition(b')')[2].split() if line else None


def status(directory: str) -> dict[bytes, bytes]:
    """Return the lines of status, name -> value; {} when it is gone."""
    lines = (content(f'{directory}/status') or b'').split(b'\n')
    parts = (line.partition(b':') for line in lines)
    return {name: value.strip() for name, _, value in parts}


def comm(directory: str) -> str | None:
    """Return the name of a process, which may itself hold newlines."""
    line = content(f'{directory}/comm')
    return None if line is None else os.fsdecode(line.removesuffix(b'\n'))


def cmdline(directory: str) -> tuple[str, ...]:
    """Return the arguments; () for a kernel thread and where they are refused.

    No more than ARGUMENTS bytes: any process can have it show gigabytes of its
    memory (PR_SET_MM_MAP, prctl(2)), and a regular expression may take the cube
    of their number.
    """
    line = content(f'{directory}/cmdline', ARGUMENTS) or b''
    return tuple(os.fsdecode(line).rstrip('\0').split('\0')) if line else ()


def living(directory: str, state: bytes) -> str | None:
    """Return the directory of a live thread of a process, None for a zombie.

    A leader that exited while other threads run is state Z, and so it looks
    dead; it still takes signals, and only its threads still have a cmdline.
    """
    if state not in DEAD:
        return directory
    for thread in pids(f'{directory}/task'):
        fields = stat(f'{directory}/task/{thread}')
        if fields and fields[0] not in DEAD:
            return f'{directory}/task/{thread}'
    return None


def own(root: str = '/proc') -> int:
    """Return our pid as this /proc counts; 0 where it does not show us."""
    try:
        return int(os.readlink(f'{root}/self'))
    except (OSError, ValueError):
        return 0


def ancestors(pid: int, root: str = '/proc') -> Iterator[int]:
    """Yield the pids from the parent up."""
    return climb(pid, lambda child: parent(stat(f'{root}/{child}')))


def parent(fields: Sequence[bytes] | None) -> int:
    """Return the ppid of a stat; 0 for none (pid 1, or from outside), or gone."""
    return int(fields[1]) if fields else 0


def climb(pid: int, parent_of: Callable[[int], int]) -> Iterator[int]:
    """Yield the pids from the parent up, each once.

    What was read at different times can be a ring, if pids were reused.
    """
    seen = {0}
    while (pid := parent_of(pid)) not in seen:
        seen.add(pid)
        yield pid


def ours(pid: int, root: str = '/proc') -> bool:
    """Return whether a pid is this process or one of its descendants."""
    us = own(root)
    return pid == us or us in ancestors(pid, root)


def read(
        pid: int, root: str = '/proc', name: str | None = None, uid: int | None = None,
) -> Process | None:
    """Return a live process, None when it is gone or a zombie.

    name, uid: also None where it has another comm, or is of another user. Then its
    arguments, which are for it to choose, are not touched.
    stat is read first: if the pid is reused meanwhile, the rest is another's
    but the start time is not, and who tells it looks at that once more.
    """
    directory = f'{root}/{pid}'
    fields = stat(directory)
    alive = living(directory, fields[0]) if fields else None
    called = comm(directory)
    if fields is None or alive is None or called is None:
        return None
    lines = status(directory)
    numbers = lines.get(b'NSpid', b'').split()
    uids = lines.get(b'Uid', b'').split()
    effective = int(uids[1]) if uids else None
    if (name is not None and called != short(name)) or uid not in (None, effective):
        return None
    # No NSpid line in gVisor: there are no namespaces but the one.
    level = len(status(f'{root}/self').get(b'NSpid', b'').split()) or len(numbers)
    return Process(
        pid=pid,
        ppid=parent(fields),
        started=int(fields[19]),
        comm=called,
        cmdline=cmdline(alive),
        uid=effective,
        nested=len(numbers) > level,
        init=numbers[-1:] == [b'1'] if numbers else pid == 1,
        ancestor=pid in ancestors(own(root), root),
    )


def matches(
        name: str | None, cmdline: str | None, uid: int | None,
        all_namespaces: bool, root: str = '/proc', *, only: int | None = None,
) -> tuple[Process, ...]:
    """Return the live processes that meet every condition, by pid.

    name: None for any; over 15 bytes, process.named() confirms it.
    cmdline: a regular expression, searched in the arguments joined by spaces.
    uid: the effective uid.
    all_namespaces: false leaves out those in pid namespaces below ours.
    only: the one pid to look at, as a pidfile says.
    Never this process, nor one of its descendants: the `nginx -t` that
    validates for us is called nginx.
    """
    return tuple(
        process for pid in (candidates(name, root) if only is None else (only,))
        if (process := read(pid, root, name, uid))
        and (name is None or named(process, name))
        and (all_namespaces or not process.nested)
        and (cmdline is None or found(cmdline, process.cmdline))
        and not ours(pid, root)
    )


def candidates(name: str | None, root: str = '/proc') -> list[int]:
    """Return the pids whose comm is a name, all of them for None, in order.

    The only reading for every process of the machine, and so written out: the
    rest is read for those alone that it finds.
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


def found(pattern: str, arguments: Iterable[str]) -> bool:
    """Return whether a regular expression is in the joined arguments."""
    import re
    import warnings
    with warnings.catch_warnings():
        # What it says of an odd pattern is for who writes programs.
        warnings.simplefilter('ignore')
        return re.search(pattern, ' '.join(arguments)) is not None


def started(pid: int, root: str = '/proc') -> int | None:
    """Return the start time of a live process in ticks; None: gone or a zombie."""
    fields = stat(f'{root}/{pid}')
    if fields is None or living(f'{root}/{pid}', fields[0]) is None:
        return None
    return int(fields[19])


def masks(pid: int, root: str = '/proc') -> Masks | None:
    """Return the signal masks of a live process, over all of its threads.

    None if it has exited, and if status has no Sig* lines (gVisor): the zeros in
    stat there are no evidence.
    """
    directory = f'{root}/{pid}/task'
    threads = [
        ({name: int(lines[name], 16) for name in SIGNALS}, waits_in(thread))
        for thread in (f'{directory}/{number}' for number in pids(directory))
        if (lines := status(thread)).keys() >= SIGNALS
        # A leader that exited blocks nothing and takes nothing any more.
        and lines.get(b'State', b'')[:1] not in DEAD
    ]
    if not threads:
        return None
    blocked, some, pending, awaited = -1, 0, 0, 0
    for thread, function in threads:
        blocked &= thread[b'SigBlk']
        some |= thread[b'SigBlk']
        pending |= thread[b'SigPnd'] | thread[b'ShdPnd']
        if 'sigtimedwait' in function:
            awaited |= ~thread[b'SigBlk'] & EVERY_SIGNAL
    if not any(function for _, function in threads):
        # A server that leaves its signals to one thread blocks them in the others.
        awaited = some & ~blocked
    first = threads[0][0]
    return Masks(first[b'SigCgt'], first[b'SigIgn'], blocked, pending, awaited)


def waits_in(thread: str) -> str:
    """Return the kernel function that a thread sleeps in; '' if that is not known.

    wchan is '0' for a thread that runs, for every thread of a process that we may
    not trace (proc_pid_wchan in fs/proc/base.c), and since Linux 6.12 for a moment
    after a thread fell asleep; the number of the system call is shown then.
    """
    function = content(f'{thread}/wchan', 64) or b'0'
    if function != b'0':
        return os.fsdecode(function)
    number = (content(f'{thread}/syscall', 64) or b'').partition(b' ')[0]
    return 'sigtimedwait' if number == RT_SIGTIMEDWAIT.get(os.uname().machine) else ''


def new_child(pid: int, since: int, root: str = '/proc') -> int | None:
    """Return a live child of pid that started at since (ticks) or after.

    By stat of every process: task/*/children is not built into every kernel.
    """
    for child in pids(root):
        fields = stat(f'{root}/{child}')
        if (
                fields and parent(fields) == pid and int(fields[19]) >= since
                and living(f'{root}/{child}', fields[0])
        ):
            return child
    return None


def program(pid: int, root: str = '/proc') -> str:
    """Return what identifies the program file of a process: path, device, inode.

    '' if we may not read that. The file itself is not touched: it may be on a
    file system that does not answer.
    """
    try:
        path = os.fsencode(os.readlink(f'{root}/{pid}/exe'))
    except OSError:
        return ''
    for line in (content(f'{root}/{pid}/maps', MAPS) or b'').split(b'\n'):
        # address, permissions, offset, device, inode, path
        fields = line.split(maxsplit=5)
        if fields[5:] == [path]:
            return os.fsdecode(b' '.join((path, *fields[3:5])))
    return ''


def boot(root: str = '/proc') -> str:
    """Return the id of this boot; '' where it cannot be read.

    gVisor makes up a new one for each container of a sandbox. What they share
    there is the time it was booted at, which on Linux moves with the clock.
    """
    if status(f'{root}/self').keys() >= SIGNALS:
        return os.fsdecode(content(f'{root}/sys/kernel/random/boot_id') or b'').strip()
    for line in (content(f'{root}/stat') or b'').splitlines():
        if line.startswith(b'btime '):
            return os.fsdecode(line)
    return ''


def bounded(number: int, root: str = '/proc') -> bool:
    """Return whether we could have a capability (capabilities(7)), and have not.

    It is in our bounding set and not effective, as for any user but root.
    """
    lines = status(f'{root}/self')
    bit = 1 << number
    return bool(
        int(lines.get(b'CapBnd', b'0'), 16) & bit
        and not int(lines.get(b'CapEff', b'0'), 16) & bit
    )


def pid_namespace(root: str = '/proc') -> str:
    """Return the pid namespace we are in, 'pid:[4026531836]'; '' if unknown."""
    try:
        return os.readlink(f'{root}/self/ns/pid')
    except OSError:
        return ''


def ticks() -> int:
    """Return how many clock ticks, the unit of start times, make a second."""
    return os.sysconf('SC_CLK_TCK')


def now() -> float:
    """Return the seconds since boot, by the clock that start times are read from."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def trouble(root: str = '/proc') -> str:
    """Return '' or why this /proc says nothing about our processes, for a person."""
    if not os.path.lexists(f'{root}/self'):
        return f'{root} is not mounted'
    numbers = status(f'{root}/self').get(b'NSpid', b'').split()
    # Our own pid could be the same number in both, so the levels count too.
    if own(root) != os.getpid() or len(numbers) > 1:
        return f'{root} is of another pid namespace; mount a new one there'
    return ''


def others(root: str = '/proc') -> list[Process]:
    """Return the live processes that are not ours, by pid.

    Three files are read for each, so only what those say is in the rows.
    """
    table = {pid: stat(f'{root}/{pid}') for pid in sorted(pids(root))}
    us = own(root)
    rows = []
    for pid, fields in table.items():
        directory = f'{root}/{pid}'
        alive = living(directory, fields[0]) if fields else None
        name = comm(directory)
        ours = pid == us or us in climb(pid, lambda child: parent(table.get(child)))
        if fields and alive and name is not None and not ours:
            rows.append(Process(
                pid, parent(fields), int(fields[19]), name, cmdline(alive),
            ))
    return rows


def names(root: str = '/proc') -> dict[str, int]:
    """Return how many live processes have each comm, ours left out."""
    counts: dict[str, int] = {}
    for process in others(root):
        counts[process.comm] = counts.get(process.comm, 0) + 1
    return counts


def alone(root: str = '/proc') -> bool:
    """Return whether no process is visible but ours and those we descend from.

    So it is in a container that does not share its pid namespace.
    """
    return secluded(others(root), root)


def secluded(processes: Iterable[Process], root: str = '/proc') -> bool:
    """Return whether we descend from every one of some processes."""
    above = set(ancestors(own(root), root))
    return all(process.pid in above for process in processes)


def absent(name: str, root: str = '/proc') -> str:
    """Return the words for when no process matches, with the names that are near.

    It reads the whole process table.
    """
    if remedy := hidden(root):
        return f'{HIDDEN}, so {name!r} may be one of them; {remedy}'
    seen = others(root)
    count = sum(named(process, name) for process in seen)
    if count:
        who, meets = (
            ('the process', 'does not meet') if count == 1
            else (f'none of the {count} processes', 'meets')
        )
        says = f'{who} called {name!r} {meets} every other condition'
    else:
        says = f'no process is called {name!r}'
        below = [
            pid for pid in candidates(name, root)
            if pid != own(root) and ours(pid, root)
        ]
        if below:
            return (
                f'{name} (pid {below[0]}) was started below pollreload, which tells no '
                f'child of its own; start them the other way round: '
                f'pollreload watch ... & exec {name}'
            )
        near = [repr(comm) for comm in nearest(name, seen)]
        if near:
            listed = ' and '.join(filter(None, (', '.join(near[:-1]), near[-1])))
            says += f'; there {"are" if near[1:] else "is"} {listed}'
    if secluded(seen, root):
        says += '; in Kubernetes set shareProcessNamespace: true'
    return says


def nearest(name: str, processes: Sequence[Process]) -> list[str]:
    """Return the comms most like a name, or all where there are but a few."""
    import difflib
    every = list(dict.fromkeys(process.comm for process in processes))
    lower = name.lower()
    near = [
        # Those whose program or script has the name: 'MainThread', 'java'.
        *(process.comm for process in processes if name in programs(process)),
        *(comm for comm in every if lower in comm.lower()),
        *(comm for comm in every if comm and lower.startswith(comm.lower())),
        *difflib.get_close_matches(name, every, MOST_NAMES),
        *(every if len(every) <= MOST_NAMES else ()),
    ]
    return list(dict.fromkeys(near))[:MOST_NAMES]


def programs(process: Process) -> list[str]:
    """Return the basenames of argv[0] and of the script that it may run."""
    arguments = (*process.cmdline[:1], *script(process.cmdline))
    return [argument.rpartition('/')[2] for argument in arguments]


def hidden(root: str = '/proc') -> str:
    """Return what to do where /proc is mounted so that it hides what is not ours;
    '' where it hides nothing.

    All is shown to who has CAP_SYS_PTRACE, or is in the group of gid=, 0 where
    none is named; but hidepid=ptraceable asks for no group (has_pid_permissions
    in fs/proc/base.c). The mounts are in /proc/self/mountinfo: the mount point
    is the fifth field, the type and the options of the file system come after
    ' - '.
    """
    effective = int(status(f'{root}/self').get(b'CapEff', b'0'), 16)
    remedy = ''
    for line in (content(f'{root}/self/mountinfo') or b'').split(b'\n'):
        mount, _, system = line.partition(b' - ')
        if mount.split()[4:5] == [b'/proc'] and system.startswith(b'proc '):
            # The last mount on a place is the one that is seen.
            options = dict(
                option.partition(b'=')[::2]
                for option in system.split()[-1].split(b',')
            )
            level = options.get(b'hidepid', b'0')
            group = int(options.get(b'gid', b'0'))
            if level in PTRACEABLE:
                remedy = UNHIDE
            elif level in (b'0', b'off') or group in (os.getegid(), *os.getgroups()):
                remedy = ''
            else:
                remedy = f'{UNHIDE}, or gid= one of ours'
    return '' if effective & 1 << CAP_SYS_PTRACE else remedy
