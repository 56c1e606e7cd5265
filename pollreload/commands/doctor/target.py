"""The rows of doctor about the target of the signal."""
from __future__ import annotations

import shlex
from collections.abc import Iterator

from pollreload.commands.doctor.rows import Row, split_message
from pollreload.core.process import (
    COMM_LENGTH,
    ENDING,
    Choice,
    Process,
    roots,
    short,
    verdict,
)
from pollreload.core.sending import DENIED
from pollreload.runtime import targets
from pollreload.settings import Settings
from pollreload.system import process_table, procfs, signals, visibility

MOST_MATCHES = 8
# The disposition -> what the target does with the signal.
DOES = {
    'caught': 'has a handler for {}',
    'blocked': 'blocks {}; if it does for 3 s, it has to fetch it (signalfd, sigwait)',
    'ignored': 'ignores {}',
    'default': 'has no handler for {} and would die of it',
    'unknown': 'may or may not handle {}: this kernel does not say',
    'runtime': (
        'catches {} in its runtime (Go, JVM, Ruby, PHP, a shell); it dies if the '
        'program does not handle it'
    ),
}
REMEDIES = {
    'ignored': 'name the signal that it reloads on (--signal)',
    'default': (
        'name the signal that it reloads on (--signal); if it waits for this one in '
        'sigwait, --handler-check off'
    ),
}
WHY = {
    'root': 'its parent is no match',
    'roots': 'its parent is no match',
    'oldest': 'the oldest',
    'newest': 'the newest',
    'all': 'as all are',
}


def check_target(settings: Settings) -> Iterator[Row]:
    """Yield the rows about the target."""
    choice = targets.find_targets(settings)
    yield check_visibility()
    yield from explain_cut_names(settings)
    yield from list_matches(settings, choice)
    yield from ancestors(settings, choice)
    yield from nested(settings, choice)
    yield from dispositions(settings, choice)
    yield from workers(settings, choice)
    yield from permissions(choice)
    yield system_call()


def check_visibility() -> Row:
    """Check whether other processes are visible at all."""
    trouble, remedy = split_message(visibility.why_hidden())
    if trouble:
        return Row('proc', 'fail', '', trouble, remedy)
    others = process_table.others()
    if hidden := visibility.hidden():
        return Row('proc', 'warn', '', visibility.HIDDEN, hidden)
    if visibility.alone(others):
        return Row(
            'proc', 'warn', '', 'no process is visible but our own',
            visibility.SHARE,
        )
    count = len(others)
    says = '1 other process is' if count == 1 else f'{count} other processes are'
    return Row('proc', 'ok', '', f'{says} visible')


def explain_cut_names(settings: Settings) -> Iterator[Row]:
    """Explain how a name is matched that the kernel truncates."""
    name = settings.process
    if name is None or short(name) == name:
        return
    yield Row(
        'name', 'ok', name, f'over {COMM_LENGTH} bytes: matched as {short(name)!r}, '
        f'then confirmed by the program or the script that it runs',
    )


def list_matches(settings: Settings, choice: Choice) -> Iterator[Row]:
    """List the processes that match, the chosen target, or why there is none."""
    if choice.reason == 'proc':
        yield Row('process', 'skip', '', 'target unknown: /proc does not show it')
        return
    if choice.reason:
        says, remedy = split_message(choice.says or targets.absent(settings))
        yield Row('process', 'fail', '', says, remedy)
    top = roots(choice.matches)
    others = tuple(each for each in choice.matches if each not in choice.targets)
    for process in (*choice.targets, *others)[:MOST_MATCHES]:
        if process in choice.targets:
            why = WHY[settings.select]
            if len(choice.matches) == 1:
                why = 'the only match'
            if settings.pidfile is not None:
                why = f'named by {settings.pidfile}'
            role = f'chosen: {why}'
        elif process in top:
            role = 'its parent is no match'
        else:
            role = f'below pid {process.ppid}, which matches too'
        yield Row('process', 'ok', str(process), f'{user_and_age(process)}; {role}')
    more = len(choice.matches) - MOST_MATCHES
    if more > 0:
        yield Row('process', 'ok', '', f'{more} more match')


def user_and_age(process: Process) -> str:
    """Return the user of a process and its age."""
    seconds = max(0.0, procfs.now() - process.started / procfs.ticks())
    inner = ', in a nested pid namespace' if process.nested else ''
    return f'{user(process)}, up {format_age(seconds)}{inner}'


def user(process: Process) -> str:
    """Return 'uid 33', or 'uid unknown'."""
    return 'uid unknown' if process.uid is None else f'uid {process.uid}'


def format_age(seconds: float) -> str:
    """Return '12 s', '3 min', '5 h' or '40 d'."""
    for unit, size, most in (('s', 1, 120), ('min', 60, 7200), ('h', 3600, 172800)):
        if seconds < most:
            return f'{int(seconds // size)} {unit}'
    return f'{int(seconds // 86400)} d'


def nested(settings: Settings, choice: Choice) -> Iterator[Row]:
    """List the processes that do not match only because of their pid namespace."""
    if settings.all_namespaces or settings.pidfile or choice.reason == 'proc':
        return
    inner = [
        process for process in process_table.matches(
            settings.process, settings.cmdline, settings.uid, True,
        ) if process.nested
    ]
    for process in inner[:MOST_MATCHES]:
        yield Row(
            'process', 'ok' if choice.targets else 'warn', str(process),
            f'{user_and_age(process)}; left out', '--all-namespaces takes it too',
        )


def dispositions(settings: Settings, choice: Choice) -> Iterator[Row]:
    """Describe what each target would do with the signal, and the result."""
    name, mode = settings.signal.name, settings.handler_check
    if not choice.targets:
        yield Row('handler', 'skip', name, 'no target')
    for process in choice.targets[:MOST_MATCHES]:
        if name in ENDING:
            yield Row(
                'handler', 'ok', str(process),
                f'not checked: {name} is meant to end it, and its end is the success',
            )
            continue
        is_so = targets.disposition_of(settings, process)
        says = DOES[is_so].format(name)
        if verdict(mode, is_so) == 'hold':
            yield Row(
                'handler', 'fail', str(process),
                f'{says}; it is held{handled_instead(settings, process)}',
                remedy(settings, process, is_so),
            )
        elif is_so in ('ignored', 'default'):
            yield Row(
                'handler', 'warn', str(process),
                f'{says}; it is sent all the same (--handler-check {mode})',
            )
        elif is_so in ('unknown', 'runtime'):
            yield Row(
                'handler', 'warn', str(process), f'{says}; it is sent',
                f'try it: --deliver sends one {name} and checks that it lives',
            )
        else:
            yield Row('handler', 'ok', str(process), says)


def workers(settings: Settings, choice: Choice) -> Iterator[Row]:
    """Yield a row about the workers of each target, for --verify-workers."""
    if not settings.verify_workers:
        return
    for process in choice.targets[:MOST_MATCHES]:
        count = len(process_table.family(process.pid)) - 1
        if count > 0:
            children = f'{count} child process{"" if count == 1 else "es"}'
            yield Row(
                'verify-workers', 'ok', str(process),
                f'has {children}; at least half of them have to be replaced',
            )
        else:
            yield Row(
                'verify-workers', 'warn', str(process),
                'has no child process now, and none means no proof of a reload',
                'leave out --verify-workers if it has no workers',
            )


def handled_instead(settings: Settings, process: Process) -> str:
    """Return a phrase about the signals that a process handles instead, or ''."""
    handled = targets.handled_signals(process)
    name = settings.signal.name.removeprefix('SIG')
    return f'; it handles {" and ".join(handled)}, not {name}' if handled else ''


def remedy(settings: Settings, process: Process, disposition: str) -> str:
    """Return the remedy for a process that does not handle the signal."""
    child = targets.handling_descendant(settings, process)
    if child is not None:
        return (
            f'its child {child} handles {settings.signal.name}: '
            f'--process {shlex.quote(child.comm)}'
        )
    return REMEDIES[disposition]


def ancestors(settings: Settings, choice: Choice) -> Iterator[Row]:
    """Yield a row for each target that started pollreload, if that could be a loop."""
    for process in choice.targets:
        if process.ancestor and settings.state_file is None:
            yield Row(
                'ancestor', 'fail', str(process),
                'it started pollreload and may start it again on each signal; not '
                'notified at the start, so a change in between is lost',
                'keep the memory over a restart: --state-file FILE',
            )


def permissions(choice: Choice) -> Iterator[Row]:
    """Yield a row about the permission to signal each target (signal 0, kill(2))."""
    if not choice.targets:
        yield Row('permission', 'skip', '', 'no target')
    for process in choice.targets[:MOST_MATCHES]:
        refused = signals.permitted(process.pid)
        if not refused:
            yield Row(
                'permission', 'ok', str(process),
                f'we ({targets.us()}) may signal it ({user(process)})',
            )
        else:
            yield Row(
                'permission', 'fail', str(process),
                f'we ({targets.us()}) may not signal it ({user(process)})',
                DENIED if refused == 'denied' else targets.entitle(),
            )


def system_call() -> Row:
    """Return the row about the system call by which signals are sent."""
    if signals.has_pidfd():
        return Row('delivery', 'ok', '', 'by pidfd, which no other process can get')
    return Row(
        'delivery', 'warn', '',
        'by kill(2), right after a check of the start time: pidfd is refused here',
        'use a newer kernel, or a seccomp profile that allows pidfd_open',
    )
