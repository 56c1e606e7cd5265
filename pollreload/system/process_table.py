"""Find processes and read their relations from /proc.

Built on procfs, with its rule: a process may exit between any two reads, so a process
that cannot be read is missing.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from pollreload.core.process import Process, goes_by, short
from pollreload.system.procfs import (
    Stat,
    cmdline,
    comm,
    entries,
    live_thread,
    numbers,
    pids,
    stat,
    status,
)


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


def find(
        pid: int, root: str = '/proc', name: str | None = None, uid: int | None = None,
) -> Process | None:
    """Return a live process, None if it has exited or is a zombie.

    Also None for a thread of the kernel, which takes no signal.

    name, uid: also None if it has another comm, or runs as another user. Then its
        arguments, which it chooses itself, are not read.
    stat is read first: if the pid is reused in between, the rest is of the new
    process but the start time is not, and it is compared again before a signal.
    """
    directory = f'{root}/{pid}'
    fields = stat(directory)
    alive = live_thread(directory, fields.state) if fields else None
    called = comm(directory)
    if fields is None or fields.kernel or alive is None or called is None:
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

    name: None for any; over 15 bytes, process.goes_by() confirms it.
    cmdline: a regular expression, searched in the arguments joined by spaces.
    uid: see runs_as().
    all_namespaces: false leaves out those in pid namespaces below ours.
    only: the only pid to consider, from a pidfile.
    Never this process, nor one of its descendants: the `nginx -t` that
    validates for us is called nginx.
    """
    return tuple(
        process for pid in (candidates(name, root) if only is None else (only,))
        if (process := find(pid, root, name, uid))
        and (name is None or goes_by(process, name))
        and (all_namespaces or not process.nested)
        and (cmdline is None or arguments_match(cmdline, process.cmdline))
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


def arguments_match(pattern: str, arguments: Iterable[str]) -> bool:
    """Return whether a regular expression matches within the joined arguments."""
    import re
    import warnings
    with warnings.catch_warnings():
        # Its warnings about odd patterns are meant for programmers.
        warnings.simplefilter('ignore')
        return re.search(pattern, ' '.join(arguments)) is not None


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
