"""The processes that can be seen, and how to notify each: doctor without a target."""
from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pollreload.commands.doctor import paths
from pollreload.commands.doctor.rows import (
    Row,
    column_width,
    exit_status,
    format_rows,
    json_rows,
)
from pollreload.commands.doctor.target import check_visibility
from pollreload.core.process import Process, roots
from pollreload.runtime import hints, interrupt, log, targets
from pollreload.settings import Settings
from pollreload.system import process_table

HEADER = ('PID', 'UID', 'HANDLES', 'NAME', 'TO NOTIFY IT')
# The signal that most programs reload on comes first; WINCH ends workers.
RELOADING = ('HUP', 'USR2', 'USR1')
# The doubts that core.process.disposition() may have -> what they mean.
DOUBTS = {
    'runtime': 'its language runtime catches every signal; it dies of one that the '
        'program itself does not handle',
    'unknown': 'the kernel does not show what it handles',
}


class Seen(NamedTuple):
    """A process and how to notify it.

    handles: see targets.handled_signals. doubt: 'runtime' or 'unknown' if the kernel
        does not show what it handles.
    command: the arguments of pollreload; empty if it handles no signal to reload on.
    above: the pid of the process that is notified instead, 0 for none.
    """

    process: Process
    handles: tuple[str, ...]
    doubt: str = ''
    command: tuple[str, ...] = ()
    above: int = 0


def run(names: Sequence[str], output: str) -> int:
    """Print the processes; return 0, or 1 if a path or this /proc cannot be read.

    names: the paths to check, and to name in the commands.
    """
    with interrupt.signals_blocked():
        rows = [*paths.paths(names, paths.readings(Settings(tuple(names))))]
    row = check_visibility()
    found = [] if row.verdict == 'fail' else [*visible_processes(names or ('PATH',))]
    # A word without a slash may be a process, where an option was forgotten.
    running = {each.process.comm for each in found}
    rows = [
        each._replace(remedy=f'did you mean --process {shlex.quote(each.about)}?')
        if each.verdict == 'fail' and each.about in running else each
        for each in rows
    ]
    rows.append(row)
    if output == 'json':
        print(log.json_object({
            **json_rows(rows), 'processes': [process_json(each) for each in found],
        }))
    else:
        print(format_rows(rows, column_width(rows)))
        for line in aligned_columns([HEADER, *(columns(each) for each in found)]):
            print(log.printable(line))
        for doubt, meaning in DOUBTS.items():
            if any(each.doubt == doubt for each in found):
                print(f'{doubt}: {meaning}')
    return exit_status(rows)


def visible_processes(paths: Sequence[str]) -> Iterator[Seen]:
    """Yield each process, by pid; neither ours nor another pollreload."""
    every = [
        process for each in process_table.others()
        if not hints.is_pollreload(each)
        and (process := process_table.find(each.pid)) is not None
    ]
    called: dict[str, list[Process]] = {}
    for process in every:
        called.setdefault(process.comm, []).append(process)
    tops = {comm: roots(tuple(same)) for comm, same in called.items()}
    for process in every:
        top = tops[process.comm]
        disposition = targets.disposition_of(Settings(), process)
        doubt = disposition if disposition in DOUBTS else ''
        found = Seen(process, targets.handled_signals(process), doubt)
        if process not in top:
            yield found._replace(above=process.ppid)
            continue
        signal = next(
            (name for name in RELOADING if doubt or name in found.handles), '',
        )
        if not signal:
            yield found
            continue
        options = narrowed(process, top)
        if options is None and doubt:
            # A command that signals all that look like it would be a bad guess.
            yield found
            continue
        yield found._replace(command=(
            'pollreload', 'watch', '--process', process.comm,
            *(('--select', 'roots') if options is None else options),
            *(() if signal == 'HUP' else ('--signal', signal)), *paths,
        ))


def narrowed(process: Process, top: Sequence[Process]) -> tuple[str, ...] | None:
    """Return the options that tell a process from others of its name.

    None if there are none: the others run the same command as the same user.
    """
    if len(top) == 1:
        return ()
    if [each.uid for each in top].count(process.uid) == 1 and process.uid is not None:
        return '--uid', str(process.uid)
    arguments = ' '.join(process.cmdline)
    if [' '.join(each.cmdline) for each in top].count(arguments) == 1:
        return '--cmdline', f'^{re.escape(arguments)}$'
    return None


def columns(each: Seen) -> tuple[str, ...]:
    """Return the columns of the table."""
    process = each.process
    how = 'unknown, and others look like it; one of them by --pidfile'
    if each.command:
        how = shlex.join(each.command)
    elif not each.doubt:
        how = 'handles none to reload on'
    if each.above:
        how = f'by its parent, pid {each.above}'
    uid = '?' if process.uid is None else str(process.uid)
    handles = each.doubt or ' '.join(each.handles) or '-'
    return str(process.pid), uid, handles, process.comm, how


def aligned_columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield lines of aligned columns; the last one is as long as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield '  '.join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()


def process_json(each: Seen) -> dict[str, object]:
    """Return a process for --output json."""
    return {
        'pid': each.process.pid, 'comm': each.process.comm, 'uid': each.process.uid,
        'handles': None if each.doubt else each.handles, 'doubt': each.doubt,
        'command': each.command or None,
        'parent': each.above or None,
    }


def other_pollreloads(name: str | None, pidfile: str | None) -> Iterator[Row]:
    """Yield a row for each other pollreload that names the same target."""
    for process in process_table.others():
        same = hints.is_pollreload(process) and 'watch' in process.cmdline and any(
            value is not None and has_value(process.cmdline, option, value)
            for option, value in (('--process', name), ('--pidfile', pidfile))
        )
        if same:
            yield Row(
                'watch', 'warn', str(process),
                'another pollreload notifies the same target',
                'stop one, unless they watch different files',
            )


def has_value(arguments: Sequence[str], option: str, value: str) -> bool:
    """Return whether an option has a value among some arguments."""
    return f'{option}={value}' in arguments or (option, value) in [
        *itertools.pairwise(arguments),
    ]
