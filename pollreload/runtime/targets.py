"""Targets."""
from __future__ import annotations

import os
import time
from collections.abc import Sequence

from pollreload.core.process import HARMLESS, Choice, Process, choose, disposition
from pollreload.runtime.guard import carefully, stopping
from pollreload.settings import Settings
from pollreload.system import procfs, signals

CAP_KILL = 5  # include/uapi/linux/capability.h


def us() -> str:
    """Return who we are, for a message about permissions."""
    return f'uid {os.geteuid()}'


def entitle() -> str:
    """Return what would permit us to signal a process of another user."""
    # As root, for Kubernetes has no ambient set: what `add` names there does not
    # reach who is not root, in whose bounding set alone it is then.
    says = 'run as the same uid, or as root with CAP_KILL'
    if os.geteuid() and procfs.bounded(CAP_KILL):
        says += f', which is not in effect for {us()}'
    return says


def targets(settings: Settings) -> Choice:
    """Return whom to tell, or why nobody can be told."""
    trouble = procfs.trouble()
    if trouble:
        return Choice((), 'proc', trouble)
    if settings.pidfile is None:
        found = procfs.matches(
            settings.process, settings.cmdline, settings.uid, settings.all_namespaces,
        )
    else:
        from pollreload.system import pidfile
        name = settings.pidfile
        try:
            said = pidfile.Pidfile(*carefully(lambda: tuple(pidfile.read(name)), name))
        except OSError as error:
            said = pidfile.Pidfile(trouble=str(error.strerror))
        found = procfs.matches(
            settings.process, settings.cmdline, settings.uid, settings.all_namespaces,
            only=said.pid,
        )
        if said.missing:
            return Choice((), 'no target', f'there is no {settings.pidfile}')
        doubt = said.trouble or doubted(said.owner, said.written, found, said.links)
        if doubt:
            return Choice((), 'pidfile', f'{settings.pidfile} {doubt}')
        if procfs.started(said.pid) is None and not procfs.hidden():
            return Choice(
                (), 'no target', f'{settings.pidfile} names pid {said.pid}, which does '
                f'not run; start the program, or remove the file',
            )
    # The shell that runs us may go by the name; it yields to any other that does.
    others = tuple(each for each in found if not (
        each.ancestor and disposed(settings, each) in ('default', 'ignored')
    ))
    return choose(others or found, settings.select)


def doubted(
        owner: int, written: float, found: Sequence[Process], links: Sequence[int] = (),
) -> str:
    """Return why a pidfile cannot be believed about the process it names, or ''.

    owner: its uid; written: its mtime, in seconds of CLOCK_REALTIME. links: the
    uids of the links that lead to it: their owners can have them lead elsewhere.
    """
    for process in found:
        if owner not in (0, os.geteuid(), process.uid):
            return (
                f'belongs to uid {owner}, and {process} to uid {process.uid}; a '
                f'pidfile must belong to root, to us or to its process'
            )
        for link in links:
            if link not in (0, os.geteuid(), process.uid):
                return (
                    f'is reached by a link of uid {link}, and {process} belongs to uid '
                    f'{process.uid}; such a link must belong to root, to us or to its '
                    f'process'
                )
        # 1 s: coarse time stamps, and start times cut to clock ticks.
        if written < born(process) - 1.0:
            return (
                f'is older than {process}, so it was written about another one; '
                f'remove it, or restart the program'
            )
    return ''


def absent(settings: Settings) -> str:
    """Return the words for when no process meets the conditions."""
    conditions = ' '.join(
        f'--{name} {value}' for name, value in (
            ('pidfile', settings.pidfile), ('cmdline', settings.cmdline),
            ('uid', settings.uid),
        ) if value is not None
    )
    if settings.process is None:
        if remedy := procfs.hidden():
            return f'{procfs.HIDDEN}, so one may meet {conditions}; {remedy}'
        return f'no process meets {conditions}'
    # One that was started below us meets none of them, and is said to be there.
    if conditions and not all(map(procfs.ours, procfs.candidates(settings.process))):
        return f'no process called {settings.process!r} meets {conditions}'
    return procfs.absent(settings.process)


def disposed(settings: Settings, process: Process) -> str:
    """Return the disposition of a process for the signal."""
    return disposition(
        procfs.masks(process.pid), settings.signal.number,
        settings.signal.name in HARMLESS, process.init,
    )


def born(process: Process) -> float:
    """Return when a process started, in seconds of CLOCK_REALTIME."""
    return time.time() - procfs.now() + process.started / procfs.ticks()


def health(process: Process, number: int) -> str:
    """Return 'gone', 'pending' or 'alive'."""
    if procfs.started(process.pid) != process.started:
        # Where we do not even see ourselves (no descriptor to spare) nobody is gone.
        return 'gone' if procfs.stat('/proc/self') else 'pending'
    masks = procfs.masks(process.pid)
    if masks is not None and masks.pending & 1 << (number - 1):
        return 'pending'
    return 'alive'


def send(process: Process, number: int) -> str:
    """Send the signal by the safest way there is; see delivery.send.

    Where a stop was asked for, nothing is: nobody would see what came of it.
    """
    if stopping():
        return 'gone'
    return signals.send(process.pid, process.started, number, procfs.started)
