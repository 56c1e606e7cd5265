"""Which processes are the targets, and what becomes of a signal to one."""
from __future__ import annotations

import os

from pollreload.core.process import HARMLESS, Choice, Process, choose, disposition
from pollreload.runtime.guard import stopping
from pollreload.settings import Settings
from pollreload.system import procfs, signal_masks, signals, visibility
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


def targets(settings: Settings) -> Choice:
    """Return the targets, or why there are none."""
    trouble = visibility.trouble()
    if trouble:
        return Choice((), 'proc', trouble)
    if settings.pidfile is None:
        found = procfs.matches(
            settings.process, settings.cmdline, settings.uid, settings.all_namespaces,
        )
    else:
        from pollreload.runtime import pidfile_target
        named = pidfile_target.named(settings, settings.pidfile)
        if isinstance(named, Choice):
            return named
        found = named
    # The shell that runs us may have the same name; it yields to any other process.
    others = tuple(each for each in found if not (
        each.ancestor and disposed(settings, each) in ('default', 'ignored')
    ))
    return choose(others or found, settings.select)


def absent(settings: Settings) -> str:
    """Return why no process matches, with the nearest names: see runtime.hints."""
    from pollreload.runtime import hints
    return hints.absent(settings)


def disposed(settings: Settings, process: Process) -> str:
    """Return the disposition of a process for the signal."""
    return disposition(
        signal_masks.masks(process.pid), settings.signal.number,
        settings.signal.name in HARMLESS, process.init,
    )


def born(process: Process) -> float:
    """Return when a process started, in seconds of CLOCK_REALTIME.

    The earliest that is possible, if the clock was set since: files are dated by
    the clock of their time.
    """
    return CLOCK.born(process.started)[0]


def health(process: Process, number: int) -> str:
    """Return 'gone', 'pending' or 'alive'."""
    if procfs.started(process.pid) != process.started:
        # If not even we are visible (no descriptor is left), nothing is known.
        return 'gone' if procfs.stat('/proc/self') else 'pending'
    masks = signal_masks.masks(process.pid)
    if masks is not None and masks.pending & 1 << (number - 1):
        return 'pending'
    return 'alive'


def send(process: Process, number: int) -> str:
    """Send the signal by the safest way there is; see signals.send().

    Nothing is sent once a stop was asked for: the result would not be seen.
    """
    if stopping():
        return 'gone'
    return signals.send(process.pid, process.started, number, procfs.started)
