"""From parsed arguments, or a configuration file, to the settings of a watch."""
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
    PACE,
    SIGNAL,
    SIZE,
    UID,
    WATCH,
)
from pollreload.cli.value_types import ValueType
from pollreload.settings import Plan, Settings

if TYPE_CHECKING:
    from pollreload.cli import config_file


def make_settings(given: dict[str, Any]) -> Settings:
    """Return the settings for the parsed arguments of a command. Raises UsageError."""
    from pollreload.cli import variables
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
        made = merge(given)
    except OptionError as error:
        hint = hints.get(error.option)
        name = f'--{error.option} ' if hint is None else ''
        says = f'{error}: {hint}' if hint else str(error)
        for note in variables.variable_warnings('', os.environ) if hint else ():
            says += f'; {note.message}'
        raise click.UsageError(name + says) from error
    if context.get_parameter_source('url') is ParameterSource.COMMANDLINE:
        for letter, what in ('@', 'a user or a password'), ('?', 'a query'):
            if any(letter in each for each in made.url):
                raise click.UsageError(
                    f'--url contains {what}, which every list of processes would '
                    f'show; set POLLRELOAD_URL, or write it in a --config file',
                )
    if made.state_file or made.status_file:
        from pollreload.runtime import file_conflicts
        used = file_conflicts.used_files((made,))
        trouble = file_conflicts.find_conflict(made, *used)
        if trouble:
            raise click.UsageError('--{} {}'.format(*trouble))
    return made


# Options that may be combined with --config: they concern all its watches.
BESIDE = frozenset((
    'config', 'listen', 'log_format', 'verbose', 'quiet', 'timeout', 'dry_run',
    'output',
))


def make_plan(given: dict[str, Any]) -> Plan:
    """Return the plan of a run, with what to warn about. Raises UsageError."""
    from pollreload.cli import variables
    plan = parse_plan(given)
    notes = variables.variable_warnings(plan.watches[0].name, os.environ)
    if click.get_current_context().info_name == 'watch':
        from pollreload.runtime import advice
        notes += advice.path_warnings(plan.watches)
    return plan._replace(notes=notes)


def parse_plan(given: dict[str, Any]) -> Plan:
    """Return the plan of a run, from options or a config file. Raises UsageError."""
    path = given.pop('config')
    if path is None:
        return Plan((make_settings(given),), '', given.get('listen'))
    context = click.get_current_context()
    beside = {}
    for param in context.command.params:
        name = param.name or ''
        source = context.get_parameter_source(name)
        if source is ParameterSource.DEFAULT or name in ('config', 'deliver'):
            continue
        if name in BESIDE:
            beside[name] = given[name]
            continue
        what, advice = 'a PATH' if name == 'paths' else param.opts[0], ''
        if source is not ParameterSource.COMMANDLINE:
            # FILE, PROCESS and SIGNAL may be set for another program.
            variable = str(param.envvar[0] if param.envvar else '')
            if not os.environ.get(variable):
                continue
            what, advice = f'the variable {variable}', 'unset it, and '
        raise click.UsageError(
            f'{what} cannot be combined with --config; {advice}write it in that file',
        )
    from pollreload.cli import config_watches
    return config_watches.plan(path, kinds(WATCH), merge, beside)


def kinds(params: Sequence[click.Parameter]) -> dict[str, config_file.Kind]:
    """Return the type of each key of a config file, by name.

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
            found[name] = config_file.Kind(*option_type(param))
    return found


def option_type(
        param: click.Parameter,
) -> tuple[tuple[type, ...], bool, Callable[..., Any]]:
    """Return the TOML types of an option, whether it repeats, and its parser."""
    if isinstance(param.type, click.Choice):
        choices = tuple(map(str, param.type.choices))
        return (str,), False, lambda text: values.choice(text, choices)
    if not isinstance(param.type, ValueType):
        return (bool,), False, bool
    types: tuple[type, ...] = (str,)
    if param.type in (DURATION, INTERVAL, PACE):
        types = (str, int, float)
    elif param.type in (UID, SIGNAL, SIZE):
        types = (str, int)
    parse = param.type.parse
    return types, param.multiple, lambda value: parse(values.as_written(value))


class OptionError(ValueError):
    """Options that contradict each other; option: the name of the one at fault."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


def merge(given: Mapping[str, Any]) -> Settings:
    """Return the settings for values by parameter name, over the defaults.

    A value of None counts as missing. Raises OptionError.
    """
    given = {name: value for name, value in given.items() if value is not None}
    signals = given.get('process') or given.get('pidfile')
    acts = given.get('exec') or given.get('url')
    if not given.get('paths'):
        raise OptionError('path', 'no path to watch')
    if not (signals or acts):
        raise OptionError('process', 'nothing to notify')
    for name in ('cmdline', 'uid', 'all-namespaces', 'verify-workers'):
        wanted = given.get(name.replace('-', '_'), False) is not False
        if wanted and acts and not signals:
            raise OptionError(name, 'selects a process, and none is named')
    settle = given.get('settle', DEFAULTS.settle)
    if given.get('max_wait', settle) < settle:
        raise OptionError(
            'max-wait', f'is shorter than --settle {settle:g}s, which every version '
            f'has to wait; write {settle:g}s or more',
        )
    ignore = DEFAULTS.ignore
    for pattern in given.get('ignore', ()):
        ignore = (*ignore, pattern) if pattern else ()
    made = Settings(**{
        **{name: value for name, value in given.items() if name in Settings._fields},
        'ignore': ignore,
        'verbosity': given.get('verbose', 0) - given.get('quiet', 0),
    })
    if made.url_header_file is not None or made.url_ca is not None:
        from pollreload.runtime import request_files
        found = request_files.malformed_option(made)
        if found is not None:
            raise OptionError(*found)
    return made
