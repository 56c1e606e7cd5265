"""What a process does with its signals, read from /proc (proc(5))."""
from __future__ import annotations

import os
import sys

from pollreload.core.process import Masks
from pollreload.system import procfs

RT_SIGTIMEDWAIT = {'x86_64': b'128', 'aarch64': b'137'}  # asm/unistd.h
EVERY_SIGNAL = (1 << 64) - 1


def masks(pid: int, root: str = '/proc') -> Masks | None:
    """Return the signal masks of a live process, over all of its threads.

    None if it has exited, and if status has no Sig* lines (gVisor): the zeros in
    stat there are no evidence.
    """
    directory = f'{root}/{pid}/task'
    numbers = sorted(procfs.pids(directory), key=lambda number: (number != pid, number))
    threads = [
        (*thread, place, waits_in(place))
        for place in (f'{directory}/{number}' for number in numbers)
        for thread in thread_masks(place)
    ]
    if not threads:
        return None
    blocked, some, pending, accepted, awaited = -1, 0, 0, 0, 0
    states = {state for _, state, _, _ in threads}
    for thread, _, place, function in threads:
        blocked &= thread.blocked
        some |= thread.blocked
        pending |= thread.pending
        # The first thread that does not block a signal gets it (complete_signal in
        # kernel/signal.c).
        accepts = ~thread.blocked & ~accepted & EVERY_SIGNAL
        accepted |= accepts
        if 'sigtimedwait' in function:
            awaited |= accepts & awaited_signals(place)
    if not any(function for _, _, _, function in threads):
        # A server that leaves its signals to one thread blocks them in the others.
        awaited = some & ~blocked
    return threads[0][0]._replace(
        blocked=blocked, pending=pending, awaited=awaited,
        asleep=b'S' in states and b'D' not in states,
    )


def thread_masks(directory: str) -> tuple[tuple[Masks, bytes], ...]:
    """Return the masks and the state of a thread; () if it is dead or shows none.

    A leader that exited before its other threads blocks and receives nothing.
    """
    lines = procfs.status(directory)
    state = lines.get(b'State', b'')[:1]
    if state in procfs.DEAD:
        return ()
    found = {name: procfs.numbers(lines, name, 16) for name in procfs.MASK_FIELDS}
    if not all(len(mask) == 1 for mask in found.values()):
        return ()
    shown = Masks(
        found[b'SigCgt'][0], found[b'SigIgn'][0], found[b'SigBlk'][0],
        found[b'SigPnd'][0] | found[b'ShdPnd'][0],
    )
    return ((shown, state),)


def waits_in(thread: str) -> str:
    """Return the kernel function that a thread sleeps in; '' if that is not known.

    wchan is '0' for a thread that runs, for every thread of a process we may not
    trace (proc_pid_wchan in fs/proc/base.c), and since Linux 6.12 for a moment
    after a thread fell asleep; the number of the system call is shown then.
    """
    function = procfs.read_file(f'{thread}/wchan', 64) or b'0'
    if function != b'0':
        return os.fsdecode(function)
    return 'sigtimedwait' if sigtimedwait_arguments(thread) else ''


def sigtimedwait_arguments(thread: str) -> list[bytes]:
    """Return the arguments of rt_sigtimedwait(2) that a thread is in; [] if it is not.

    syscall is empty for a process we may not trace, and 'running' for a thread that
    does not sleep (proc(5)).
    """
    number, *arguments = (procfs.read_file(f'{thread}/syscall') or b'').split() or [b'']
    return arguments if number == RT_SIGTIMEDWAIT.get(os.uname().machine) else []


def awaited_signals(thread: str) -> int:
    """Return the mask of the signals that a thread in sigwait(3) waits for.

    The first argument points to it. All if it cannot be read.
    """
    try:
        address = int(sigtimedwait_arguments(thread)[0], 16)
        with open(f'{thread}/mem', 'rb', buffering=0) as memory:
            memory.seek(address)
            return int.from_bytes(memory.read(8), sys.byteorder) or EVERY_SIGNAL
    except (IndexError, ValueError, OSError, OverflowError):
        return EVERY_SIGNAL
