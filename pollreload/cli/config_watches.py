"""From a config file to watches: names, and what two of them must not share."""
from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from pollreload.cli import config_file
from pollreload.errors import UsageError
from pollreload.runtime import guard, ledger, log
from pollreload.runtime.file_conflicts import (
    Files,
    known,
    overwritten,
    touched,
    written,
)
from pollreload.settings import Plan, Settings
from pollreload.system import ledger_file, reader

COMMON = ('listen', 'log-format')
ALONE = ('name', 'path', 'state-file', 'status-file')
LARGEST = 1 << 16  # bytes; a file of watches is not that long


def plan(
        path: str, kinds: Mapping[str, config_file.Kind],
        settle: Callable[[Mapping[str, Any]], Settings], given: Mapping[str, Any],
) -> Plan:
    """Return what a config file says.

    kinds: as in config.read. settle: what is given by the names of parameters ->
        settings; raises ValueError with an attribute `option`.
    given: what a command line says besides.
    Raises UsageError with file, line and key.
    """
    text = content(path)
    common, tables = config_file.read(path, text, kinds, COMMON, ALONE)
    where = config_file.Text(path, config_file.decoded(text))
    written = {str(table.given['name']) for table in tables if 'name' in table.given}
    watches: list[Settings] = []
    for table in tables:
        words = {
            name.replace('-', '_'): value
            for name, value in {**common, **table.given}.items()
        }
        words['paths'] = words.pop('path', ())
        at = ('watch', table.number)
        try:
            made = settle({**words, **given})
        except ValueError as error:
            raise misfit(where, table, error) from None
        made = made._replace(name=made.name or default_name(made, watches, written))
        shared(where, at, made, watches)
        watches.append(made)
    files = touched(watches)
    alone(where, path, watches, files)
    watches = [
        each._replace(beside=beside(number, watches, files))
        for number, each in enumerate(watches)
    ]
    listen: Any = given.get('listen')
    if listen is None and 'listen' in common:
        says = f'{where.path}:{where.line("listen")}: listen:'
        return Plan(tuple(watches), path, cast(Any, common['listen']), says)
    return Plan(tuple(watches), path, listen)


def alone(
        where: config_file.Text, path: str, watches: Sequence[Settings],
        files: Sequence[Files],
) -> None:
    """Raise UsageError for a file that a watch writes and that has another use."""
    (itself,) = known((path,))
    watching = {
        name: number for number, each in enumerate(files) for name in each.watched
    }
    writing: dict[str, int] = {}
    for number, (settings, mine) in enumerate(zip(watches, files, strict=True)):
        trouble = overwritten(settings, mine)
        if trouble:
            raise where.wrong(trouble[1], 'watch', number, trouble[0])
        for option, names in mine.written.items():
            at = 'watch', number, option
            if names & itself:
                raise where.wrong('is this very file', *at)
            for name in names & {*watching}:
                other = identified(where, watches, watching[name])
                raise where.wrong(
                    f'is a path that {other} watches; it would be overwritten', *at,
                )
            for name in names & {*writing}:
                other = identified(where, watches, writing[name])
                raise where.wrong(
                    f'is that of {other} too; two would overwrite it', *at,
                )
        for names in mine.written.values():
            writing.update(dict.fromkeys(names, number))


def identified(
        where: config_file.Text, watches: Sequence[Settings], number: int,
) -> str:
    """Return which watch that is, for a message about another."""
    return f'watch {watches[number].name!r} (line {where.line("watch", number)})'


def beside(
        number: int, watches: Sequence[Settings], files: Sequence[Files],
) -> tuple[str, ...]:
    """Return what other watches write below the paths of one: no content of it.

    Else each would see what the other notes of it, and neither would settle.
    """
    tops = tuple(os.path.join(top, '') for top in files[number].tops)
    return tuple(
        written(watches[other])[option]
        for other, theirs in enumerate(files) if other != number
        for option, names in theirs.written.items()
        if any(name.startswith(tops) for name in names)
    )


def content(path: str) -> bytes:
    """Return what a config file holds. Raises UsageError."""
    try:
        text = guard.carefully(lambda: opened(path), path)
    except OSError as error:
        stuck = isinstance(error, TimeoutError)
        says = 'does not answer' if stuck else reader.reason(error)
        raise UsageError(f'{log.printable(path)}: {says} (--config)') from error
    if len(text) > LARGEST:
        path = log.printable(path)
        raise UsageError(f'{path}: is longer than {LARGEST >> 10} KiB (--config)')
    return cast(bytes, text)


def opened(path: str) -> bytes:
    """Return the first bytes of a file. Raises OSError."""
    # To open a FIFO or a device can hurt whoever is at its other end.
    reader.regular(os.stat(path).st_mode)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with open(os.open(path, flags), 'rb') as file:
        return file.read(LARGEST + 1)


def misfit(
        where: config_file.Text, table: config_file.Table, error: ValueError,
) -> UsageError:
    """Return the error about options of one watch that do not go together."""
    option = getattr(error, 'option', '')
    hints = {
        'path': 'write path = "/etc/app", or a list of them',
        'process': 'write process = "nginx", pidfile, exec or url',
    }
    if option in hints and option not in table.given:
        return where.wrong(f'{error}; {hints[option]}', 'watch', table.number)
    at: tuple[str | int, ...] = ('watch', table.number, option)
    if option not in table.own:
        at = (option,)
    return where.wrong(str(error), *at)


def default_name(
        made: Settings, others: Sequence[Settings], written: Collection[str],
) -> str:
    """Return a name that no other watch has, after who is told.

    written: those that are given in the file.
    """
    who = made.process or os.path.basename(made.pidfile or '')
    who = who.removesuffix('.pid') or f'watch-{len(others) + 1}'
    taken = {*written, *(other.name for other in others)}
    name, number = who, 2
    while name in taken:
        name, number = f'{who}-{number}', number + 1
    return name


def shared(
        where: config_file.Text, at: tuple[str, int], made: Settings,
        others: Sequence[Settings],
) -> None:
    """Raise UsageError for what makes two watches one."""
    here = ledger.directory()
    for number, other in enumerate(others):
        told = ledger_file.key(made, here) == ledger_file.key(other, here)
        if not (told or made.name == other.name):
            continue
        of = f'that of {identified(where, others, number)}'
        if told:
            raise where.wrong(
                f'what it watches and whom it tells is {of}; leave one out', *at,
            )
        raise where.wrong(f'{made.name!r} is {of} too', *at, 'name')
