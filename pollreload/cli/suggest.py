"""Suggestions for names that do not exist."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

# What users of other tools write -> what it is called here.
OPTION_ALIASES = {
    'command': 'exec', 'cmd': 'exec', 'container': 'process', 'file': 'path',
    'files': 'path', 'name': 'process', 'once': '', 'period': 'interval',
    'pid-file': 'pidfile', 'pid': 'pidfile', 'proc': 'process', 'user': 'uid',
    'webhook-url': 'url',
}


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that was probably meant, or ''.

    An alias that other tools use comes before a spelling that is merely close.
    """
    known = [*known]
    name = name.lower().replace('_', '-')
    if name in known:
        return name
    if name in OPTION_ALIASES:
        return OPTION_ALIASES[name] if OPTION_ALIASES[name] in known else ''
    # Imported only for a wrong name: it is a fiftieth of the time of a check.
    import difflib
    found = difflib.get_close_matches(name, known, 1, cutoff=0.75)
    return found[0] if found else ''


COMMAND_OPTIONS = '--validate', '--verify', '--exec'


def quoted(arguments: Sequence[str], option: str) -> str:
    """Return how to quote the command that a short option belongs to.

    The command follows --validate, --verify or --exec, without quotes.
    """
    for place, argument in enumerate(arguments):
        if argument.startswith(option):
            before = arguments[:place]
            for start in range(len(before) - 2, -1, -1):
                if before[start] in COMMAND_OPTIONS:
                    command = ' '.join((*before[start + 1:], argument))
                    return f": {before[start]} '{command} ...'"
    return ''


def unknown_option(
        error: click.NoSuchOption, options_of_watch: Sequence[click.Parameter],
        arguments: Sequence[str] = (),
) -> str:
    """Return the line about an option that a command does not have."""
    written = error.option_name.removeprefix('--')
    command = error.ctx.command if error.ctx else None
    name = command.name if command else ''
    known = [
        param.opts[-1].removeprefix('--') for param in command.params
        if isinstance(param, click.Option)
    ] if command else []
    line = f'no such option {error.option_name!r}'
    if len(written) < 2 or written.startswith('-'):
        how = quoted(arguments, error.option_name)
        return f'{line}; if it belongs to a command, quote the whole command{how}'
    if written == 'once' and name == 'watch':
        return f'{line}; use pollreload check to poll once'
    if any(f'--{written}' in param.opts for param in options_of_watch):
        return f'{line} of {name}; pollreload watch has it'
    near = nearest(written, [*known, 'path'])
    if near == 'path':
        return f'{line}; write the PATH without an option'
    return f'{line}; did you mean --{near}?' if near else f'{line}; see --help'
