"""Which processes /proc shows us: pid namespaces, hidepid and capabilities."""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from pollreload.core.process import Process
from pollreload.system import process_table, procfs

CAP_SYS_PTRACE = 19  # include/uapi/linux/capability.h
HIDDEN = "other users' processes are hidden (/proc is mounted with hidepid)"
UNHIDE = 'run as the uid of the target, or mount /proc with hidepid=0'
PTRACEABLE = (b'4', b'ptraceable')  # of hidepid, since Linux 5.8
SHARE = 'in Kubernetes set shareProcessNamespace: true'


def pid_namespace(root: str = '/proc') -> str:
    """Return our pid namespace, 'pid:[4026531836]'; '' if it cannot be read."""
    try:
        return os.readlink(f'{root}/self/ns/pid')
    except OSError:
        return ''


def why_hidden(root: str = '/proc') -> str:
    """Return why this /proc does not show our processes, '' if it does."""
    if not os.path.lexists(f'{root}/self'):
        return f'{root} is not mounted'
    levels = procfs.numbers(procfs.status(f'{root}/self'), b'NSpid')
    # Our own pid could be the same number in both, so the levels count too.
    if process_table.own_pid(root) != os.getpid() or len(levels) > 1:
        return f'{root} is of another pid namespace; mount a new one there'
    return ''


def lacks(capability: int, root: str = '/proc') -> bool:
    """Return whether we could have a capability (capabilities(7)), and have not.

    It is in our bounding set and not effective, as for any user but root.
    """
    lines = procfs.status(f'{root}/self')
    bounding, effective = (
        sum(procfs.numbers(lines, name, 16)) for name in (b'CapBnd', b'CapEff')
    )
    return bool(bounding & ~effective & 1 << capability)


def alone(processes: Iterable[Process], root: str = '/proc') -> bool:
    """Return whether we descend from all of these processes.

    If they are all that are visible (process_table.others), this is a container that
    does not share its pid namespace.
    """
    above = set(process_table.ancestors(process_table.own_pid(root), root))
    return all(process.pid in above for process in processes)


def inner_pids(number: int, root: str = '/proc') -> Iterator[int]:
    """Yield the pids here of processes with this pid in a nested namespace."""
    level = len(procfs.numbers(procfs.status(f'{root}/self'), b'NSpid'))
    for pid in sorted(procfs.pids(root)):
        levels = procfs.numbers(procfs.status(f'{root}/{pid}'), b'NSpid')
        nested = len(levels) > level and levels[-1] == number
        if nested and not process_table.ours(pid, root):
            yield pid


def hidden(root: str = '/proc') -> str:
    """Return how to see the processes that /proc hides; '' if it hides none.

    All are shown to a process that has CAP_SYS_PTRACE, or is in the group of gid=,
    0 if none is given; but hidepid=ptraceable ignores the group
    (has_pid_permissions in fs/proc/base.c). The mounts are in /proc/self/mountinfo:
    the mount point is the fifth field, the type and the options of the file system
    come after ' - '.
    """
    effective = sum(procfs.numbers(procfs.status(f'{root}/self'), b'CapEff', 16))
    if effective & 1 << CAP_SYS_PTRACE:
        return ''
    remedy = ''
    for line in (procfs.read_file(f'{root}/self/mountinfo') or b'').split(b'\n'):
        mount, _, system = line.partition(b' - ')
        if mount.split()[4:5] == [b'/proc'] and system.startswith(b'proc '):
            # The last mount on a directory is the visible one.
            remedy = unhide(system.split()[-1])
    return remedy


def unhide(options: bytes) -> str:
    """Return how to see what a proc with these mount options hides; '': nothing."""
    values = dict(option.partition(b'=')[::2] for option in options.split(b','))
    level = values.get(b'hidepid', b'0')
    if level in PTRACEABLE:
        return UNHIDE
    ours = (str(group).encode() for group in (os.getegid(), *os.getgroups()))
    if level in (b'0', b'off') or values.get(b'gid', b'0') in ours:
        return ''
    return f'{UNHIDE}, or gid= one of ours'
