"""Which process to tell, and what it would do with the signal. Pure."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

COMM_LENGTH = 15  # TASK_COMM_LEN less the NUL, include/linux/sched.h


class Process(NamedTuple):
    """One row of the process table.

    started: clock ticks since boot (field 22 of stat, proc(5)). A pid is only
        a slot; pid and start time together name a process.
    cmdline: the arguments, as far as they can be read.
    uid: the effective uid; None where status does not say.
    nested: in a pid namespace below ours (NSpid longer than our own).
    init: pid 1 of its innermost pid namespace (last number of NSpid is 1).
    alive: false for a zombie without another live thread.
    ancestor: one of the processes that pollreload descends from.
    """

    pid: int
    ppid: int
    started: int
    comm: str
    cmdline: tuple[str, ...] = ()
    uid: int | None = None
    nested: bool = False
    init: bool = False
    alive: bool = True
    ancestor: bool = False

    def __str__(self) -> str:
        return f'{self.comm} (pid {self.pid})'


class Masks(NamedTuple):
    """The signal masks of /proc/PID/status as integers, bit N-1 for signal N.

    blocked: what every thread blocks (task/*/status).
    pending: what is pending for the process or for any thread.
    awaited: what a thread may be waiting for in sigwait(3). The kernel unblocks
        that for as long as it waits, so its own mask says nothing about it.
    """

    caught: int
    ignored: int
    blocked: int
    pending: int
    awaited: int = 0


class Choice(NamedTuple):
    """targets: whom to tell, none where there is a reason not to.

    reason: a word for the hold: '', 'no target', 'ambiguous', 'pidfile', 'proc'.
    says: the reason for a person; '' for 'no target', where the words cost a
        reading of the whole process table.
    matches: all that matched, chosen or not.
    """

    targets: tuple[Process, ...] = ()
    reason: str = ''
    says: str = ''
    matches: tuple[Process, ...] = ()


# What the default action of a signal is other than to end the process,
# signal(7). CONT has no effect on what is not stopped.
HARMLESS = frozenset(('SIGCHLD', 'SIGCLD', 'SIGURG', 'SIGWINCH', 'SIGCONT'))
ENDING = frozenset(('SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGKILL'))


def disposition(masks: Masks | None, signal: int, harmless: bool, init: bool) -> str:
    """Return 'caught', 'blocked', 'ignored', 'default' or 'unknown'.

    masks: None where the kernel prints none (gVisor): missing evidence is
        unknown, never default.
    init: pid 1 of a namespace is spared every signal that it has no handler
        for (sig_task_ignored in kernel/signal.c), so default means ignored.
    """
    if masks is None:
        return 'unknown'
    bit = 1 << (signal - 1)
    if masks.caught & bit:
        return 'caught'
    if masks.awaited & bit:
        # A signal that was blocked before the wait is never ignored nor fatal
        # (sig_ignored in kernel/signal.c); whether it was cannot be read.
        return 'unknown'
    if masks.ignored & bit:
        return 'ignored'
    if masks.blocked & bit:
        return 'blocked'
    return 'ignored' if harmless or init else 'default'


# What --handler-check makes of a disposition: send, hold, or send with a word
# of warning. 'ending' stands for TERM, INT, QUIT and KILL, meant to end it.
VERDICTS: dict[tuple[str, str], str] = {
    ('enforce', 'caught'): 'send',
    ('enforce', 'blocked'): 'send',
    ('enforce', 'ignored'): 'hold',
    ('enforce', 'default'): 'hold',
    ('enforce', 'unknown'): 'send',
    ('warn', 'caught'): 'send',
    ('warn', 'blocked'): 'send',
    ('warn', 'ignored'): 'warn',
    ('warn', 'default'): 'warn',
    ('warn', 'unknown'): 'send',
    ('off', 'caught'): 'send',
    ('off', 'blocked'): 'send',
    ('off', 'ignored'): 'send',
    ('off', 'default'): 'send',
    ('off', 'unknown'): 'send',
    ('ending', 'caught'): 'send',
    ('ending', 'blocked'): 'send',
    ('ending', 'ignored'): 'send',
    ('ending', 'default'): 'send',
    ('ending', 'unknown'): 'send',
}


def short(name: str) -> str:
    """Return the name as the kernel keeps it in comm: its first 15 bytes."""
    return name.encode('utf-8', 'surrogateescape')[:COMM_LENGTH].decode(
        'utf-8', 'surrogateescape',
    )


def named(process: Process, name: str) -> bool:
    """Return whether a process goes by a name.

    A name over 15 bytes does not fit into comm; it is confirmed by the
    basename of argv[0], or of the script that an interpreter runs.
    """
    if process.comm != short(name):
        return False
    if process.comm == name:
        return True
    return any(
        argument.rpartition('/')[2] == name
        for argument in (*process.cmdline[:1], *script(process.cmdline))
    )


def script(cmdline: Sequence[str]) -> tuple[str, ...]:
    """Return the file that an interpreter runs: its first argument but options."""
    return tuple(
        argument for argument in cmdline[1:] if not argument.startswith('-')
    )[:1]


def roots(matches: Sequence[Process]) -> tuple[Process, ...]:
    """Return the matches whose parent is no match: the masters."""
    pids = {process.pid for process in matches}
    return tuple(process for process in matches if process.ppid not in pids)


def listed(processes: Sequence[Process], most: int = 8) -> str:
    """Return 'pids 41, 97, 203' for a message."""
    pids = [str(process.pid) for process in processes]
    more = f' and {len(pids) - most} more' if len(pids) > most else ''
    return ('pid ' if len(pids) == 1 else 'pids ') + ', '.join(pids[:most]) + more


def choose(matches: Sequence[Process], select: str) -> Choice:
    """Return whom to tell among the live processes that meet every condition."""
    found = tuple(sorted(matches, key=lambda process: (process.started, process.pid)))
    top = roots(found)
    if not found:
        return Choice((), 'no target')
    if select == 'all':
        return Choice(found, matches=found)
    if select == 'roots':
        return Choice(top, matches=found)
    if select == 'oldest':
        return Choice(found[:1], matches=found)
    if select == 'newest':
        return Choice(found[-1:], matches=found)
    if len(top) == 1:
        return Choice(top, matches=found)
    said = (
        f'{len(top)} processes match and none is the parent of the others '
        f'({listed(top)}); narrow it with --cmdline, --uid or --pidfile, '
        f'or use --select roots'
    )
    return Choice((), 'ambiguous', said, found)
