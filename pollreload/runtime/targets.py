"""Which processes are the targets, and the result of a signal to one."""
from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from pollreload.core.attempt import Target
from pollreload.core.process import (
    ENDING,
    HANDLED,
    HARMLESS,
    Choice,
    Process,
    choose,
    disposition,
    handler_below,
)
from pollreload.runtime.guard import stopping
from pollreload.settings import Settings
from pollreload.system import process_table, procfs, signal_masks, signals, visibility
from pollreload.system.wall_clock import CLOCK

CAP_KILL = 5  # include/uapi/linux/capability.h


def us() -> str:
    """Return our effective uid for a message."""
    return f'uid {os.geteuid()}'


def entitle() -> str:
    """Return how to get the permission to signal a process of another user."""
    # As root: Kubernetes has no ambient set, so what `add` names there is only in
    # the bounding set of any other user.
    says = 'run as the same uid, or as root with CAP_KILL'
    if os.geteuid() and visibility.lacks(CAP_KILL):
        says += f', which is not in effect for {us()}'
    return says


def find_targets(settings: Settings, known: Sequence[Target] = ()) -> Choice:
    """Return the targets, or why there are none.

    known: the targets that were notified before. They stay targets while they live
        and handle the signal, whatever they are called by then.
    """
    trouble = visibility.why_hidden()
    if trouble:
        return Choice((), 'proc', trouble)
    if settings.pidfile is None:
        found = process_table.matches(
            settings.process, settings.cmdline, settings.uid, settings.all_namespaces,
        )
    else:
        from pollreload.runtime import pidfile_target
        named = pidfile_target.named_process(settings, settings.pidfile)
        if isinstance(named, Choice):
            return named
        found = named
    # The shell that runs us may have the same name; it yields to any other process.
    others = tuple(each for each in found if not (
        each.ancestor and disposition_of(settings, each) in ('default', 'ignored')
    ))
    renamed = [
        each for each in map(find_again, known)
        if each is not None and each.pid not in {other.pid for other in found}
        and settings.uid in (None, each.uid)
        and disposition_of(settings, each) in HANDLED
    ]
    ends = settings.signal.name in ENDING
    return choose(
        (*(others or found), *renamed), settings.select,
        None if ends else lambda process: disposition_of(settings, process),
        {
            each.name: each.since for each in known
            if each.phase == 'up to date' or each.sends
        },
    )


def find_again(target: Target) -> Process | None:
    """Return a target as it is now; None if it has exited."""
    process = process_table.find(target.process.pid)
    if process is None or not process.alive or process.started != target.name[1]:
        return None
    return process


def has_exited(process: Process) -> bool:
    """Return whether a process has exited; a zombie has.

    If not even this process can be seen (no descriptor to spare), none has.
    """
    if procfs.started(process.pid) == process.started:
        return False
    return procfs.stat('/proc/self') is not None


def handling_descendant(settings: Settings, process: Process) -> Process | None:
    """Return the descendant, of any name, that handles the signal, if exactly one."""
    every = process_table.matches(None, None, None, True)
    return handler_below(process, every, lambda each: disposition_of(settings, each))


def program_id(process: Process) -> str:
    """Return an identifier of a process's program file; '' if it cannot be read."""
    return procfs.program(process.pid)


def absent(settings: Settings) -> str:
    """Return why no process matches, with the nearest names: see runtime.hints."""
    from pollreload.runtime import hints
    return hints.explain_no_match(settings)


def disposition_of(settings: Settings, process: Process) -> str:
    """Return the disposition of a process for the signal."""
    return disposition(
        signal_masks.masks(process.pid), settings.signal.number,
        settings.signal.name in HARMLESS, process.init,
    )


RELOAD_SIGNALS = {
    'HUP': signal.SIGHUP, 'USR1': signal.SIGUSR1, 'USR2': signal.SIGUSR2,
    'WINCH': signal.SIGWINCH,
}


def handled_signals(process: Process) -> tuple[str, ...]:
    """Return the names of RELOAD_SIGNALS that a process handles.

    () also if its masks cannot be read, or are those of a language runtime.
    """
    masks = signal_masks.masks(process.pid)
    return tuple(
        name for name, number in RELOAD_SIGNALS.items()
        if disposition(masks, number, False, process.init) in ('caught', 'blocked')
    )


def birth_time(process: Process) -> float:
    """Return when a process started, in seconds of CLOCK_REALTIME.

    The earliest that is possible, if the clock was set since: files are dated by
    the clock of their time.
    """
    return CLOCK.born(process.started)[0]


def health(process: Process, number: int) -> str:
    """Return 'gone', 'pending' or 'alive'."""
    if procfs.started(process.pid) != process.started:
        # If not even this process is visible (no descriptor is left), nothing is known.
        return 'gone' if procfs.stat('/proc/self') else 'pending'
    masks = signal_masks.masks(process.pid)
    if masks is not None and masks.pending & 1 << (number - 1):
        return 'pending'
    return 'alive'


def send_signal(process: Process, number: int) -> str:
    """Send the signal by the safest way there is; see signals.send().

    Nothing is sent once a stop was asked for: the result would not be seen.
    """
    if stopping():
        return 'gone'
    return signals.send(process.pid, process.started, number, procfs.started)
