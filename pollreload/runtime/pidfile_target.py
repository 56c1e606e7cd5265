"""The target that a pidfile names, if there is enough evidence that it means it.

A number in a file is weak evidence: it may be old, of another pid namespace, or
chosen by somebody else. --process or --cmdline beside --pidfile is strong evidence.
"""
from __future__ import annotations

import os
import re
import shlex

from pollreload.core.process import Choice, Process, script
from pollreload.runtime.guard import with_time_limit
from pollreload.settings import Settings
from pollreload.system import pidfile, process_table, procfs, visibility
from pollreload.system.pidfile import Pidfile
from pollreload.system.wall_clock import CLOCK

SLACK = 1.0  # s: coarse time stamps, and start times cut to clock ticks
PIDFILE_DELAY = 600.0  # s after its start in which a program writes its pidfile
# What a pidfile meant once in this run it still means when it is written again.
BELIEVED: set[tuple[str, int, int]] = set()


def named_process(settings: Settings, path: str) -> tuple[Process, ...] | Choice:
    """Return the process that a pidfile names, () if it fails a condition.

    A Choice says why the file is of no use, or names nothing that can be seen.
    """
    try:
        file = Pidfile(*with_time_limit(lambda: tuple(pidfile.read(path)), path))
    except OSError as error:
        file = Pidfile(trouble=str(error.strerror))
    if file.missing:
        return Choice((), 'no target', f'there is no {path}')
    if file.trouble:
        return Choice((), 'pidfile', f'{path} {file.trouble}')
    if file.pid == process_table.own_pid():
        return Choice((), 'pidfile', (
            f'{path} names pid {file.pid}, which is pollreload itself: it was written '
            f'in another pid namespace; {visibility.SHARE}'
        ))
    if procfs.started(file.pid) is None and not visibility.hidden():
        says = f'{path} names pid {file.pid}, {explain_hidden(file.pid)}'
        return Choice((), 'no target', says)
    found = process_table.matches(
        settings.process, settings.cmdline, settings.uid, True, only=file.pid,
    )
    process = process_table.find(file.pid)
    if not found and process:
        says = f'{path} names {process}, {mismatch(settings, process)}'
        return Choice((), 'no target', says)
    for process in found:
        if process.nested and not settings.all_namespaces:
            return Choice((), 'no target', (
                f'{path} names {process}, which runs in another pid namespace (a '
                f'container); add --all-namespaces to signal it there'
            ))
        if says := doubt(settings, path, file, process):
            return Choice((), 'pidfile', f'{path} {says}')
        BELIEVED.add((path, process.pid, process.started))
    return found


def explain_hidden(pid: int) -> str:
    """Return why the process of a pid cannot be seen, and what to do."""
    for inner in visibility.inner_pids(pid):
        if process := process_table.find(inner):
            return (
                f'which does not run here; in its own pid namespace that is {process}: '
                f'use --process {process.comm} --all-namespaces'
            )
    if visibility.alone(process_table.others()):
        return (
            f'which does not run here, and no other program is visible: it runs in '
            f'another pid namespace; {visibility.SHARE}'
        )
    return (
        'which does not run; start the program, or remove the file; if it runs in '
        'another container, share the pid namespace (shareProcessNamespace: true)'
    )


def mismatch(settings: Settings, process: Process) -> str:
    """Return why a process that a pidfile names is not the target."""
    if process_table.ours(process.pid):
        return (
            'which was started below pollreload, which never signals its own children; '
            'exec the program instead: pollreload watch ... & exec PROGRAM'
        )
    conditions = ' '.join(
        f'--{name} {value}' for name, value in (
            ('process', settings.process), ('cmdline', settings.cmdline),
            ('uid', settings.uid),
        ) if value is not None
    )
    share = visibility.alone(process_table.others())
    return f'which does not meet {conditions}' + f'; {visibility.SHARE}' * share


def doubt(settings: Settings, path: str, file: Pidfile, process: Process) -> str:
    """Return why a pidfile is not believed about a process, or ''."""
    trusted = (0, os.geteuid(), process.uid)
    if file.owner not in trusted:
        return (
            f'belongs to uid {file.owner}, and {process} to uid {process.uid}; a '
            f'pidfile must belong to root, to us or to its process'
        )
    for link in file.links:
        if link not in trusted:
            return (
                f'is reached by a link of uid {link}, and {process} belongs to uid '
                f'{process.uid}; such a link must belong to root, to us or to its '
                f'process'
            )
    earliest, latest = CLOCK.born(process.started)
    old = file.written < earliest - SLACK
    if settings.process is not None or settings.cmdline is not None:
        return worker_doubt(settings, process) if old else ''
    for directory, owner, everybody in file.directories:
        if everybody or owner not in trusted:
            by = 'everybody' if everybody else f'uid {owner}'
            return (
                f'is in {directory}, where {by} can put another file in its place and '
                f'so name any process; {confirm(process)}'
            )
    if (path, process.pid, process.started) in BELIEVED:
        return ''
    if old:
        return (
            f'is older than {process}, so it was written about another one, unless the '
            f'clock was set since; restart the program, or {confirm(process)}'
        )
    fields = procfs.stat(f'/proc/{process.pid}')
    if fields and fields.kernel:
        return f'names {process}, a thread of the kernel, so it is of no program here'
    if says := foreign_pid(path, file, process):
        return f'names {process}, {says}; {confirm(process)}'
    if file.written > latest + PIDFILE_DELAY and not is_related(path, process):
        return (
            f'was written long after {process} had started, so it may mean a process '
            f'of another pid namespace, unless the clock was set; {confirm(process)}'
        )
    return ''


def confirm(process: Process) -> str:
    """Return how to confirm the process that a pidfile names."""
    says = f'if that is the program, add --process {shlex.quote(process.comm)}'
    if visibility.alone(process_table.others()):
        says += f'; if the program is in another container, {visibility.SHARE}'
    return says


def worker_doubt(settings: Settings, process: Process) -> str:
    """Return why an old pidfile is not believed about a worker, or ''.

    Its number was probably that of another process before.
    """
    masters = process_table.matches(
        settings.process, settings.cmdline, settings.uid, settings.all_namespaces,
    )
    if all(master.pid != process.ppid for master in masters):
        return ''
    return (
        f'is older than {process}, a child of another process that matches, unless the '
        f'clock was set since; remove it, or restart the program'
    )


def foreign_pid(path: str, file: Pidfile, process: Process) -> str:
    """Return why a number probably means a process of another pid namespace, or ''.

    On a host with containers many of their processes have the number of a service by
    chance. One that started after the file was written is not meant by it, and no
    other is if the file and the process here have a name in common.
    """
    if process.pid == 1:
        return 'and every pid namespace has a pid 1'
    if process.ancestor:
        return 'which pollreload was started by'
    for inner in visibility.inner_pids(process.pid):
        other = process_table.find(inner)
        if other and CLOCK.born(other.started)[0] <= file.written + SLACK and not (
                is_related(path, process)
        ):
            return f'but {other} has that number in its own pid namespace'
    return ''


def is_related(path: str, process: Process) -> bool:
    """Return whether a pidfile has something in common with a process.

    Its path stands in the arguments, or part of it is part of the name of the process
    or of its program.
    """
    if any(path in argument for argument in process.cmdline):
        return True
    own = ' '.join((process.comm, *process.cmdline[:1], *script(process.cmdline)))
    ours = '/'.join(path.split('/')[-2:])
    return not parts(own).isdisjoint(parts(ours) - {'pid', 'run', 'var', 'tmp'})


def parts(text: str) -> set[str]:
    """Return the parts of a text that are three letters or more."""
    return set(re.findall('[a-z]{3,}', text.lower()))
