"""Resolve."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from pollreload.cli import values
from pollreload.cli.options import (
    DEFAULTS,
    DURATION,
    INTERVAL,
    SIGNAL,
    UID,
    WATCH,
    Words,
)
from pollreload.settings import Plan, Settings

if TYPE_CHECKING:
    from pollreload.cli import config_file


def settings(given: dict[str, Any], needs: bool = True) -> Settings:
    """Return the settings for what was given; the rest is the default.

    needs: whether a path and a process must be named. Raises UsageError.
    """
    context = click.get_current_context()
    sidecar = context.info_name == 'watch'
    hints = {
        'path': 'name one or more PATHs, or set '
        + ('FILE, PROCESS and SIGNAL' if sidecar else 'POLLRELOAD_FILE'),
        'process': 'name a process with --process NAME'
        + (' (or PROCESS)' if sidecar else '') + ', or --pidfile FILE'
        + (', or use --exec or --url' if 'exec' in given else ''),
    }
    try:
        made = settled(given, needs)
    except Wrong as error:
        hint = hints.get(error.option)
        name = f'--{error.option} ' if hint is None else ''
        says = f'{error}: {hint}' if hint else str(error)
        raise click.UsageError(name + says) from error
    if context.get_parameter_source('url') is ParameterSource.COMMANDLINE:
        for letter, what in ('@', 'a name or a password'), ('?', 'a query'):
            if any(letter in each for each in made.url):
                raise click.UsageError(
                    f'--url has {what} in it, which every list of processes would '
                    f'show; set POLLRELOAD_URL, or write it in a --config file',
                )
    if made.state_file or made.status_file:
        from pollreload.runtime import file_conflicts
        trouble = file_conflicts.overwritten(made, *file_conflicts.touched((made,)))
        if trouble:
            raise click.UsageError('--{} {}'.format(*trouble))
    return made


# What a command line says beside a config file, of all its watches together.
BESIDE = frozenset((
    'config', 'listen', 'log_format', 'verbose', 'quiet', 'timeout', 'dry_run',
    'output',
))


def planned(given: dict[str, Any]) -> Plan:
    """Return what is given, by options or in a config file. Raises UsageError."""
    path = given.pop('config')
    if path is None:
        return Plan((settings(given),), '', given.get('listen'))
    context = click.get_current_context()
    beside = {}
    for param in context.command.params:
        name = param.name or ''
        source = context.get_parameter_source(name)
        if source is ParameterSource.DEFAULT or name == 'config':
            continue
        if name in BESIDE:
            beside[name] = given[name]
            continue
        what, also = 'a PATH' if name == 'paths' else param.opts[0], ''
        if source is not ParameterSource.COMMANDLINE:
            # The short names of the well-known sidecar may be there for another reason.
            variable = str(param.envvar[0] if param.envvar else '')
            if not os.environ.get(variable):
                continue
            what, also = f'the variable {variable}', 'unset it, and '
        raise click.UsageError(
            f'{what} cannot be used beside --config; {also}write it in that file',
        )
    from pollreload.cli import config_watches
    return config_watches.plan(path, kinds(WATCH), settled, beside)


def kinds(params: Sequence[click.Parameter]) -> dict[str, config_file.Kind]:
    """Return what each option may be in a config file.

    params: those of `watch`.
    """
    from pollreload.cli import config_file
    found = {
        'name': config_file.Kind((str,), False, values.watch_name),
        'path': config_file.Kind((str,), True, values.path),
    }
    for param in params:
        name = param.opts[0].removeprefix('--')
        if name not in ('paths', '-v', '-q', 'config'):
            found[name] = config_file.Kind(*kind(param))
    return found


def kind(param: click.Parameter) -> tuple[tuple[type, ...], bool, Callable[..., Any]]:
    """Return the types of an option in TOML, if there are several, and its reader."""
    if isinstance(param.type, click.Choice):
        choices = tuple(map(str, param.type.choices))
        return (str,), False, lambda word: values.choice(word, choices)
    if not isinstance(param.type, Words):
        return (bool,), False, bool
    types: tuple[type, ...] = (str,)
    if param.type in (DURATION, INTERVAL):
        types = (str, int, float)
    elif param.type in (UID, SIGNAL):
        types = (str, int)
    read = param.type.read
    return types, param.multiple, lambda value: read(values.plain(value))


class Wrong(ValueError):
    """What was given does not go together; option: which of it."""

    def __init__(self, option: str, says: str) -> None:
        super().__init__(says)
        self.option = option


def settled(given: Mapping[str, Any], needs: bool = True) -> Settings:
    """Return the settings for what was given, by the names of parameters.

    What is None or missing is the default. Raises Wrong.
    """
    given = {name: value for name, value in given.items() if value is not None}
    signals = given.get('process') or given.get('pidfile')
    acts = given.get('exec') or given.get('url')
    if needs and not given.get('paths'):
        raise Wrong('path', 'no path to watch')
    if needs and not (signals or acts):
        raise Wrong('process', 'nobody to tell')
    for name in ('cmdline', 'uid', 'all-namespaces', 'verify-workers'):
        wanted = given.get(name.replace('-', '_'), False) is not False
        if wanted and acts and not signals:
            raise Wrong(name, 'is about a process, and none is named')
    ignore = DEFAULTS.ignore
    for pattern in given.get('ignore', ()):
        ignore = (*ignore, pattern) if pattern else ()
    return Settings(**{
        **{name: value for name, value in given.items() if name in Settings._fields},
        'ignore': ignore,
        'verbosity': given.get('verbose', 0) - given.get('quiet', 0),
    })
