"""Which process is the target, and what it would do with the signal. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

COMM_LENGTH = 15  # TASK_COMM_LEN less the NUL, include/linux/sched.h


class Process(NamedTuple):
    """One row of the process table.

    started: clock ticks since boot (field 22 of stat, proc(5)). A pid is only
        a slot; pid and start time together name a process.
    cmdline: the arguments, as far as they can be read.
    uid: the effective uid; None if status does not say.
    nested: in a child of our pid namespace (NSpid longer than our own).
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
    asleep: a thread sleeps, and none waits for a disk or for the child of a vfork (D).
        What is blocked then is not blocked just to start a child.
    """

    caught: int
    ignored: int
    blocked: int
    pending: int
    awaited: int = 0
    asleep: bool = True


class Choice(NamedTuple):
    """The targets, or the reason why there are none.

    reason: of the hold: '', 'no target', 'ambiguous', 'pidfile', 'proc'.
    says: the message of the hold; '' for 'no target', because that message needs
        the whole process table.
    matches: all that matched, chosen or not.
    passed: roots that were passed over, because a descendant handles the signal.
    """

    targets: tuple[Process, ...] = ()
    reason: str = ''
    says: str = ''
    matches: tuple[Process, ...] = ()
    passed: tuple[Process, ...] = ()


# What the default action of a signal is other than to end the process,
# signal(7). CONT has no effect on what is not stopped.
HARMLESS = frozenset(('SIGCHLD', 'SIGCLD', 'SIGURG', 'SIGWINCH', 'SIGCONT'))
ENDING = frozenset(('SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGKILL'))


def disposition(masks: Masks | None, signal: int, harmless: bool, init: bool) -> str:
    """Return 'caught', 'runtime', 'blocked', 'ignored', 'default' or 'unknown'.

    masks: None if the kernel prints none (gVisor): missing evidence is
        unknown, never default.
    init: pid 1 of a namespace is spared every signal that it has no handler
        for (sig_task_ignored in kernel/signal.c), so default means ignored.
    """
    if masks is None:
        return 'unknown'
    bit = 1 << (signal - 1)
    if masks.caught & bit:
        return 'runtime' if runtime(masks.caught) else 'caught'
    if masks.awaited & bit:
        # A signal that was blocked before the wait is never ignored nor fatal
        # (sig_ignored in kernel/signal.c); whether it was cannot be read.
        return 'unknown'
    if masks.ignored & bit:
        return 'ignored'
    if masks.blocked & bit:
        return 'blocked'
    return 'ignored' if harmless or init else 'default'


# The masks of caught signals of programs that handle none themselves. A program that
# handles a signal does so by its runtime and has the same mask, which does not show
# whether it does. Go installs a handler for every signal but KILL, STOP and the two
# that libc reserves (runtime/sigtab_linux_generic.go), without libc for these too, and
# may leave HUP, INT or others that were ignored at its start. HotSpot catches ILL,
# BUS, FPE, SEGV, PIPE, XFSZ, a signal to suspend threads (62, 58 or 12), and QUIT for
# its thread dump and HUP, INT and TERM for its shutdown hooks, but for -Xrs
# (os/posix/signals_posix.cpp). With a trap for EXIT, bash catches all that would end it
# (initialize_terminating_signals in sig.c), but for INT and QUIT if they were ignored
# at its start, and ends all the same if it has no trap for the signal.
GO = 0xfffffffc7fc1fefe
GO_MAY_LACK = (1 << 0) | (1 << 1) | (1 << 31) | (1 << 32) | (1 << 33)
# The others catch just these, with or without INT and QUIT, and what libc reserves for
# itself; one more is a handler of the program. Ruby (default handlers in signal.c) and
# zsh end of HUP, if the program has no trap for it, PHP of all of them
# (Zend/zend_signal.c); ksh is as bash with a trap for EXIT.
EXACTLY = frozenset((0x42017e49, 0x04004a01, 0x08010001, 0x7fc3faf9))
NOT_COMPARED = (1 << 1) | (1 << 2) | (1 << 31) | (1 << 32)
HOTSPOT = (1 << 2) | (1 << 3) | (1 << 6) | (1 << 7) | (1 << 10) | (1 << 12) | (1 << 24)
SUSPENDS = (1 << 61) | (1 << 57) | (1 << 11)
BASH = 0x43817ef8


def runtime(caught: int) -> bool:
    """Return whether a mask of caught signals is that of a language runtime."""
    go = GO & ~GO_MAY_LACK
    if caught & ~NOT_COMPARED in EXACTLY:
        return True
    return caught & go == go or caught & BASH == BASH or (
        caught & HOTSPOT == HOTSPOT and bool(caught & SUSPENDS)
    )


# What --handler-check makes of a disposition: hold the signal, or send it with a
# warning. In every other case it is sent.
VERDICTS: dict[tuple[str, str], str] = {
    ('enforce', 'ignored'): 'hold',
    ('enforce', 'default'): 'hold',
    ('warn', 'ignored'): 'warn',
    ('warn', 'default'): 'warn',
}


def verdict(mode: str, disposition: str) -> str:
    """Return 'send', 'hold' or 'warn' for a mode of --handler-check."""
    return VERDICTS.get((mode, disposition), 'send')


def short(name: str) -> str:
    """Return the name as the kernel keeps it in comm: its first 15 bytes."""
    return name.encode('utf-8', 'surrogateescape')[:COMM_LENGTH].decode(
        'utf-8', 'surrogateescape',
    )


def goes_by(process: Process, name: str) -> bool:
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


HANDLED = frozenset(('caught', 'runtime', 'blocked'))
UNHANDLED = frozenset(('ignored', 'default'))
Disposition = Callable[[Process], str]


def handler_below(
        root: Process, matches: Sequence[Process], disposed: Disposition,
) -> Process | None:
    """Return the topmost descendant that handles the signal, if exactly one does.

    The search does not go below a process that handles it: those are its workers.
    """
    found: list[Process] = []
    layer = {root.pid}
    while layer:
        children = [each for each in matches if each.ppid in layer]
        handling = [each for each in children if disposed(each) in HANDLED]
        found += handling
        layer = {each.pid for each in children} - {each.pid for each in handling}
    return found[0] if len(found) == 1 else None


def choose(
        matches: Sequence[Process], select: str, disposed: Disposition | None = None,
        known: Mapping[tuple[int, int], int] | None = None,
) -> Choice:
    """Return the targets among the live processes that meet every condition.

    disposed: what a process does with the signal; None: that does not matter. A
        root that ignores it or may die of it is passed over for the one descendant
        that handles it, see instead_of().
    known: pid and start time of the processes that were notified before -> the
        clock tick of their last notification. They and their successors make up
        one service, so several roots among them are no ambiguity.
    """
    found = tuple(sorted(matches, key=lambda process: (process.started, process.pid)))
    if not found:
        return Choice((), 'no target')
    if select == 'all':
        return Choice(found, matches=found)
    if select == 'oldest':
        return Choice(found[:1], matches=found)
    if select == 'newest':
        return Choice(found[-1:], matches=found)
    top, passed = topmost(found, disposed)
    if select == 'roots' or len(top) == 1 or generations(top, known or {}):
        return Choice(top, matches=found, passed=passed)
    said = (
        f'{len(top)} processes match and none is the parent of the others '
        f'({listed(top)}); narrow it with --cmdline, --uid or --pidfile, '
        f'or use --select roots'
    )
    return Choice((), 'ambiguous', said, found)


def instead_of(
        root: Process, matches: Sequence[Process], disposed: Disposition,
) -> Process | None:
    """Return the descendant that gets the signal instead of a root, or None.

    A root whose runtime catches every signal may be a wrapper that dies of it: a bash
    script with a trap for EXIT. It is one if a descendant has a handler of its own.
    """
    fate = disposed(root)
    if fate not in UNHANDLED and fate != 'runtime':
        return None
    below = handler_below(root, matches, disposed)
    if below is not None and fate == 'runtime' and disposed(below) == 'runtime':
        return None
    return below


def topmost(
        matches: Sequence[Process], disposed: Disposition | None,
) -> tuple[tuple[Process, ...], tuple[Process, ...]]:
    """Return the topmost matches that handle the signal, and the roots passed over."""
    top: list[Process] = []
    passed: list[Process] = []
    for root in roots(matches):
        below = None
        if disposed is not None:
            below = instead_of(root, matches, disposed)
        top.append(root if below is None else below)
        if below is not None:
            passed.append(root)
    return tuple(top), tuple(passed)


def generations(
        top: Sequence[Process], known: Mapping[tuple[int, int], int],
) -> bool:
    """Return whether several roots are the generations of one service."""
    ticks = [
        known[each.pid, each.started] for each in top
        if (each.pid, each.started) in known
    ]
    return bool(ticks) and all(
        (each.pid, each.started) in known or each.started >= min(ticks) for each in top
    )
