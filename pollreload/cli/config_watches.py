"""From a configuration file to a plan: names, and conflicts between watches."""
from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from pollreload.cli import config_file
from pollreload.errors import UsageError
from pollreload.runtime import guard, ledger, log
from pollreload.runtime.file_conflicts import (
    Files,
    find_conflict,
    names_of_each,
    used_files,
)
from pollreload.settings import Plan, Settings
from pollreload.system import file_digest, ledger_location, safe_open

COMMON = ('listen', 'log-format')
ALONE = ('name', 'path', 'state-file', 'status-file')
LARGEST_CONFIG = 1 << 16  # bytes; no configuration file is longer


def plan(
        path: str, kinds: Mapping[str, config_file.Kind],
        merge: Callable[[Mapping[str, Any]], Settings], given: Mapping[str, Any],
) -> Plan:
    """Return the plan that a configuration file describes.

    kinds: as in config_file.read_config. merge: values by parameter name -> settings;
        raises ValueError with an attribute `option`.
    given: values from the command line, for all watches.
    Raises UsageError with file, line and key.
    """
    text = read_bytes(path)
    common, tables = config_file.read_config(path, text, kinds, COMMON, ALONE)
    source = config_file.Source(path, config_file.decoded(text))
    written = {str(table.given['name']) for table in tables if 'name' in table.given}
    watches: list[Settings] = []
    for table in tables:
        values = {
            name.replace('-', '_'): value
            for name, value in {**common, **table.given}.items()
        }
        values['paths'] = values.pop('path', ())
        at = ('watch', table.number)
        try:
            made = merge({**values, **given})
        except ValueError as error:
            raise conflict_error(source, table, error) from None
        made = made._replace(name=made.name or default_name(made, watches, written))
        check_distinct(source, at, made, watches)
        watches.append(made)
    files = used_files(watches)
    check_written_files(source, path, watches, files)
    listen: Any = given.get('listen')
    if listen is None and 'listen' in common:
        where = f'{source.path}:{source.line("listen")}: listen:'
        return Plan(tuple(watches), path, cast(Any, common['listen']), where)
    return Plan(tuple(watches), path, listen)


def check_written_files(
        source: config_file.Source, path: str, watches: Sequence[Settings],
        files: Sequence[Files],
) -> None:
    """Raise UsageError if a file that a watch writes is used for something else."""
    (itself,) = names_of_each((path,))
    watching = {
        name: number for number, each in enumerate(files) for name in each.watched
    }
    needing = {
        name: (number, option) for number, each in enumerate(files)
        for option, names in each.needed.items() for name in names
    }
    writing: dict[str, int] = {}
    for number, (settings, mine) in enumerate(zip(watches, files, strict=True)):
        trouble = find_conflict(settings, mine)
        if trouble:
            raise source.error(trouble[1], 'watch', number, trouble[0])
        for option, names in mine.written.items():
            at = 'watch', number, option
            if names & itself:
                raise source.error('is this very file', *at)
            for name in names & {*watching}:
                other = identified(source, watches, watching[name])
                raise source.error(
                    f'is a path that {other} watches; it would be overwritten', *at,
                )
            for name in names & {*needing}:
                other = identified(source, watches, needing[name][0])
                raise source.error(
                    f'is the {needing[name][1]} of {other}; it would be overwritten',
                    *at,
                )
            for other_number, theirs in enumerate(files):
                if theirs.reads(names):
                    other = identified(source, watches, other_number)
                    raise source.error(
                        f'is below a path that {other} watches; put it elsewhere, or '
                        f'leave it out there with ignore', *at,
                    )
            for name in names & {*writing}:
                other = identified(source, watches, writing[name])
                raise source.error(
                    f'is that of {other} too; two would overwrite it', *at,
                )
        for names in mine.written.values():
            writing.update(dict.fromkeys(names, number))


def identified(
        source: config_file.Source, watches: Sequence[Settings], number: int,
) -> str:
    """Return the name and line of a watch, for a message about another."""
    return f'watch {watches[number].name!r} (line {source.line("watch", number)})'


def read_bytes(path: str) -> bytes:
    """Return the bytes of a configuration file. Raises UsageError."""
    try:
        text = guard.with_time_limit(lambda: first_bytes(path), path)
    except OSError as error:
        stuck = isinstance(error, TimeoutError)
        reason = 'does not answer' if stuck else file_digest.describe_error(error)
        raise UsageError(f'{log.printable(path)}: {reason} (--config)') from error
    if len(text) > LARGEST_CONFIG:
        path = log.printable(path)
        raise UsageError(
            f'{path}: is longer than {LARGEST_CONFIG >> 10} KiB (--config)',
        )
    return cast(bytes, text)


def first_bytes(path: str) -> bytes:
    """Return the first bytes of a file. Raises OSError."""
    with open(safe_open.open_regular(path), 'rb') as file:
        return file.read(LARGEST_CONFIG + 1)


def conflict_error(
        source: config_file.Source, table: config_file.Table, error: ValueError,
) -> UsageError:
    """Return the error about options of one watch that contradict each other."""
    option = getattr(error, 'option', '')
    hints = {
        'path': 'write path = "/etc/app", or a list of them',
        'process': 'write process = "nginx", pidfile, exec or url',
    }
    if option in hints and option not in table.given:
        return source.error(f'{error}; {hints[option]}', 'watch', table.number)
    at: tuple[str | int, ...] = ('watch', table.number, option)
    if option not in table.own:
        at = (option,)
    return source.error(str(error), *at)


def default_name(
        made: Settings, others: Sequence[Settings], written: Collection[str],
) -> str:
    """Return a name that no other watch has, taken from the target.

    written: the names that are given in the file.
    """
    target = made.process or os.path.basename(made.pidfile or '')
    target = target.removesuffix('.pid') or f'watch-{len(others) + 1}'
    taken = {*written, *(other.name for other in others)}
    name, number = target, 2
    while name in taken:
        name, number = f'{target}-{number}', number + 1
    return name


def check_distinct(
        source: config_file.Source, at: tuple[str, int], made: Settings,
        others: Sequence[Settings],
) -> None:
    """Raise UsageError if two watches have the same name, or the same job."""
    here = ledger.working_directory()
    for number, other in enumerate(others):
        same = ledger_location.key(made, here) == ledger_location.key(other, here)
        if not (same or made.name == other.name):
            continue
        of = f'that of {identified(source, others, number)}'
        if same:
            raise source.error(
                f'its paths and its target are {of}; leave one out', *at,
            )
        raise source.error(f'{made.name!r} is {of} too', *at, 'name')
