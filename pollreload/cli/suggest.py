"""Suggestions for names that do not exist."""
from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import click

# Names of one thing: of the option here, and as users of other tools write it.
SYNONYMS = (
    ('cmdline', 'args', 'arguments', 'match', 'pattern', 'regex'),
    ('dry-run', 'dryrun', 'no-act', 'noop', 'simulate'),
    ('exec', 'cmd', 'command', 'hook', 'run', 'script'),
    ('ignore', 'exclude', 'skip'),
    ('interval', 'every', 'frequency', 'period', 'poll', 'polling', 'sleep'),
    ('listen', 'address', 'bind', 'metrics', 'port'),
    ('output', 'log-format', 'format', 'json'),
    (
        'path', 'file', 'config-dir', 'dir', 'directory', 'files', 'folder', 'paths',
        'volume-dir', 'watch-dir', 'watched-dir',
    ),
    ('pidfile', 'pid', 'pid-file'),
    ('process', 'comm', 'container', 'name', 'proc', 'program', 'service'),
    ('settle', 'debounce', 'delay'),
    ('state-file', 'ledger', 'memory'),
    ('uid', 'owner', 'user', 'user-id', 'userid', 'username'),
    ('url', 'endpoint', 'reload-url', 'webhook', 'webhook-url'),
    ('validate', 'check', 'config-test', 'configtest', 'test'),
    ('verbose', 'debug', 'log-level', 'loglevel'),
)
# What is so without an option, by the options that other tools have for it.
WITHOUT = {
    'a watch runs in the foreground, and a service manager starts it': (
        'background', 'daemon', 'daemonize', 'detach', 'foreground',
    ),
    'directories are watched with all that is below them': ('recurse', 'recursive'),
}
ONCE = 'one-shot', 'once', 'oneshot', 'run-once', 'single'
COMMAND_OPTIONS = '--validate', '--verify', '--exec'
OF_COMMAND = 'if it belongs to a command, quote the whole command'
# What users write for a command that there is not -> the command.
MEANT = {
    'check': ('once', 'reload', 'run-once'),
    'doctor': ('diagnose', 'ls', 'list', 'ps', 'validate', 'verify'),
    'smoke': ('self-test', 'selftest', 'test'),
    'watch': ('daemon', 'monitor', 'poll', 'run', 'serve', 'sidecar', 'start'),
}


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that was probably meant, or ''.

    A synonym comes first, then what is wrong in one letter or two, then a name of
    which one is the beginning or the end of the other, then a close spelling.
    """
    known = [*known]
    name = name.lower().replace('_', '-')
    if name in known:
        return name
    for names in SYNONYMS:
        if name in names and (same := [each for each in names if each in known]):
            return same[0]
    if almost := close_spelling(name, known, 0.9):
        return almost
    for parts in (
            [each for each in known if each.startswith(f'{name}-')],
            [each for each in known if name.startswith(f'{each}-')],
            [each for each in known if each.endswith(f'-{name}')],
            [each for each in known if name.endswith(f'-{each}')],
    ):
        if len(parts) == 1:
            return parts[0]
    return close_spelling(name, known)


def close_spelling(name: str, known: Collection[str], cutoff: float = 0.75) -> str:
    """Return the known name that is spelled almost like a name, or ''."""
    # Imported only for a wrong name: it is a fiftieth of the time of a check.
    import difflib
    found = difflib.get_close_matches(name, known, 1, cutoff)
    return found[0] if found else ''


def how_to_quote(arguments: Sequence[str], option: str) -> str:
    """Return how to quote the command that an option belongs to, or ''.

    The command follows --validate, --verify or --exec, without quotes.
    """
    for place, argument in enumerate(arguments):
        if argument.startswith(option):
            for start in range(place - 1, -1, -1):
                name, equals, first = arguments[start].partition('=')
                if name in COMMAND_OPTIONS and (equals or start < place - 1):
                    begun = [first] if equals else []
                    command = ' '.join((*begun, *arguments[start + 1:place + 1]))
                    return f": {name} '{command} ...'"
    return ''


def unknown_command(name: str, commands: Collection[str]) -> str:
    """Return the line about a command that there is not."""
    synonyms = [each for each, others in MEANT.items() if name in others]
    near = synonyms[0] if synonyms else close_spelling(name, commands)
    does = f'did you mean {near}?' if near else f'write one of {", ".join(commands)}'
    return f'no such command {name!r}; {does}'


def unknown_option(
        error: click.NoSuchOption, commands: Mapping[str, click.Command],
        arguments: Sequence[str] = (),
) -> str:
    """Return the line about an option that a command does not have.

    commands: all commands by name. arguments: those of the command line.
    """
    command = error.ctx.command if error.ctx else None
    written = error.option_name
    how = how_to_quote(arguments, written)
    if how:
        advice = option_meant(written.removeprefix('--'), command, commands)
        advice = f'{OF_COMMAND}{how}{advice and f"; else {advice}"}'
    else:
        written = one_dash(written, arguments)
        advice = (
            before_command(written, command, commands, arguments)
            or option_meant(written.lstrip('-'), command, commands)
        )
    path = error.ctx.command_path if error.ctx else 'pollreload'
    return f'no such option {written!r}; {advice or f"see {path} --help"}'


def one_dash(option: str, arguments: Sequence[str]) -> str:
    """Return an option as it was written: click takes '-process' for '-p'."""
    for argument in arguments if len(option) == 2 else ():
        name = argument.partition('=')[0]
        if re.fullmatch('-[a-z][a-z-]{2,}', name) and option[1] in name:
            return name
    return option


def before_command(
        option: str, command: click.Command | None,
        commands: Mapping[str, click.Command], arguments: Sequence[str],
) -> str:
    """Return where to write an option that stands before the command, or ''."""
    having = [
        name for name, each in commands.items()
        if any(option in param.opts for param in each.params)
    ]
    if command in commands.values() or not having:
        return ''
    meant = next((each for each in arguments if each in having), having[0])
    return f'write it after the command: pollreload {meant} {option}'


def option_meant(
        written: str, command: click.Command | None,
        commands: Mapping[str, click.Command],
) -> str:
    """Return what to write instead of an option, without its dashes, or ''."""
    if len(written) < 2 or written.startswith('-'):
        return ''
    if written in option_names(command):
        return f'did you mean --{written}?'
    if place := near_argument(written, command):
        return f'write the {place} without an option'
    if written in ONCE:
        return (
            'check polls once without it' if command is commands['check']
            else 'use pollreload check to poll once'
        )
    for says, names in WITHOUT.items():
        if written in names:
            return f'leave it out: {says}'
    if written == 'version':
        return 'write pollreload --version'
    others = {name: {*option_names(each)} for name, each in commands.items()}
    having = [name for name, theirs in others.items() if written in theirs]
    if having:
        return f'pollreload {having[0]} has it'
    if near := nearest(written, option_names(command)):
        return f'did you mean --{near}?'
    for name, theirs in others.items():
        if near := nearest(written, sorted(theirs)):
            return f'did you mean --{near}, which pollreload {name} has?'
    return ''


def near_argument(written: str, command: click.Command | None) -> str:
    """Return how --help writes the argument that was meant by an option, or ''."""
    for param in command.params if command else ():
        if isinstance(param, click.Argument):
            place = (param.metavar or '').rstrip('.').strip('[]')
            near = nearest(written, [*option_names(command), place.lower()])
            return place if near == place.lower() else ''
    return ''


def option_names(command: click.Command | None) -> Iterator[str]:
    """Yield the names of the options of a command."""
    for param in command.params if command else ():
        if isinstance(param, click.Option):
            yield param.opts[-1].removeprefix('--')
