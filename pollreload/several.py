"""From a config file to watches: names, and what two of them must not share."""
from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from pollreload import config, contents, ledger, report, wiring
from pollreload.errors import UsageError
from pollreload.mounts import wildcard
from pollreload.settings import Plan, Settings

COMMON = ('listen', 'log-format')
ALONE = ('name', 'path', 'state-file', 'status-file')
LARGEST = 1 << 16  # bytes; a file of watches is not that long


def plan(
        path: str, kinds: Mapping[str, config.Kind],
        settle: Callable[[Mapping[str, Any]], Settings], given: Mapping[str, Any],
) -> Plan:
    """Return what a config file says.

    kinds: as in config.read. settle: what is given by the names of parameters ->
        settings; raises ValueError with an attribute `option`.
    given: what a command line says besides.
    Raises UsageError with file, line and key.
    """
    text = content(path)
    common, tables = config.read(path, text, kinds, COMMON, ALONE)
    where = config.Text(path, config.decoded(text))
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
        shared(where, path, at, made, watches)
        watches.append(made)
    watches = [each._replace(beside=beside(each, watches)) for each in watches]
    listen: Any = given.get('listen')
    if listen is None and 'listen' in common:
        says = f'{where.path}:{where.line("listen")}: listen:'
        return Plan(tuple(watches), path, cast(Any, common['listen']), says)
    return Plan(tuple(watches), path, listen)


def beside(settings: Settings, watches: Sequence[Settings]) -> tuple[str, ...]:
    """Return what other watches write below the paths of one: no content of it.

    Else each would see what the other notes of it, and neither would settle.
    """
    tops = [os.path.join(os.path.abspath(top(path)), '') for path in settings.paths]
    return tuple(
        file for other in watches if other is not settings
        for file in (other.state_file, other.status_file)
        if file and any(os.path.abspath(file).startswith(top) for top in tops)
    )


def top(path: str) -> str:
    """Return a path up to where it is a glob."""
    return contents.split(path)[0] if wildcard(path) else path


def content(path: str) -> bytes:
    """Return what a config file holds. Raises UsageError."""
    try:
        text = wiring.carefully(lambda: opened(path), path)
    except OSError as error:
        stuck = isinstance(error, TimeoutError)
        says = 'does not answer' if stuck else contents.reason(error)
        raise UsageError(f'{report.printable(path)}: {says} (--config)') from error
    if len(text) > LARGEST:
        path = report.printable(path)
        raise UsageError(f'{path}: is longer than {LARGEST >> 10} KiB (--config)')
    return cast(bytes, text)


def opened(path: str) -> bytes:
    """Return the first bytes of a file. Raises OSError."""
    # To open a FIFO or a device can hurt whoever is at its other end.
    contents.regular(os.stat(path).st_mode)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with open(os.open(path, flags), 'rb') as file:
        return file.read(LARGEST + 1)


def misfit(where: config.Text, table: config.Table, error: ValueError) -> UsageError:
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
        where: config.Text, path: str, at: tuple[str, int], made: Settings,
        others: Sequence[Settings],
) -> None:
    """Raise UsageError for what no two watches may have in common."""
    mine = {
        option: os.path.abspath(file) for option, file in (
            ('state-file', made.state_file), ('status-file', made.status_file),
        ) if file
    }
    for option, file in mine.items():
        if file == os.path.abspath(path):
            raise where.wrong('is this very file', *at, option)
    if len({*mine.values()}) < len(mine):
        raise where.wrong('is the state-file too', *at, 'status-file')
    here = wiring.directory()
    for number, other in enumerate(others):
        theirs = {
            os.path.abspath(file) for file in (other.state_file, other.status_file)
            if file
        }
        same = [option for option, file in mine.items() if file in theirs]
        told = ledger.key(made, here) == ledger.key(other, here)
        if not (same or told or made.name == other.name):
            continue
        of = f'that of watch {other.name!r} (line {where.line("watch", number)})'
        if told:
            raise where.wrong(
                f'what it watches and whom it tells is {of}; leave one out', *at,
            )
        if same:
            raise where.wrong(f'is {of} too; two would overwrite it', *at, same[0])
        raise where.wrong(f'{made.name!r} is {of} too', *at, 'name')
