"""The command line: parses arguments, runs a command, prints errors on one line."""
from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from pollreload.cli.grouped import Group
from pollreload.cli.options import (
    ACTIONS,
    CONFIG,
    CONTENT,
    DEFAULTS,
    DELIVER,
    DELIVERY,
    DIRECTORY,
    DRY_RUN,
    FILE,
    LISTEN,
    LOG,
    MAX_AGE,
    OUTPUT,
    PATH,
    POLLING,
    SHOWN,
    SIGNAL_TO_SEND,
    STATE,
    TARGET,
    TIMEOUT,
    VERSION,
    WATCH,
)
from pollreload.cli.resolve import make_plan
from pollreload.cli.suggest import unknown_option
from pollreload.errors import UsageError
from pollreload.settings import Plan, Signal, pack

COMPLETE = '_POLLRELOAD_COMPLETE'  # by which a shell asks, as click names it


@click.group(
    cls=Group, params=[VERSION], context_settings={'max_content_width': 100},
)
def pollreload() -> None:
    """Reload a program when its files change: poll, hash, signal.

    Every option can also be set by an environment variable: POLLRELOAD_ and its
    name, as in POLLRELOAD_HANDLER_CHECK. An empty variable counts as unset.
    """


@pollreload.command(
    params=[*WATCH], short_help='Poll until stopped (the sidecar).',
    example="pollreload watch --process nginx --validate 'nginx -t' /etc/nginx",
)
def watch(**given: Any) -> Plan:
    """Poll until stopped (the sidecar).

    PATH is a file, a directory or a quoted glob; in POLLRELOAD_FILE, several are
    separated by ':'. The variables FILE, PROCESS and SIGNAL are read as well, after
    POLLRELOAD_*. TERM and INT stop it, HUP polls now, USR1 logs the status.
    Commands find the names of the changed files in POLLRELOAD_CHANGED, one a line.
    """
    return make_plan(given)


@pollreload.command(
    params=[
        CONFIG, *TARGET, *CONTENT, *DELIVERY, *ACTIONS, STATE, TIMEOUT, DRY_RUN, OUTPUT,
        *LOG,
    ],
    short_help='Poll once, deliver what is due, exit (cron, CI).',
    example='pollreload check -q --process nginx /etc/nginx',
)
def check(**given: Any) -> int:
    """Poll once, deliver what is due, exit (cron, systemd timer, CI).

    Silent if nothing is due, and about what an earlier run printed already, but on a
    terminal or with -v. Exit status: 0 nothing was due, or all was delivered; 1
    something was due and was not delivered; 2 usage; 3 a path could not be read; 4 the
    ledger (its memory, --state-file) is unusable; 75 another run holds it.
    """
    from pollreload.commands.check import run
    return run(make_plan(given))


@pollreload.command(
    params=[
        CONFIG, *TARGET, *POLLING, *CONTENT, *DELIVERY, *ACTIONS, STATE, SHOWN, LISTEN,
        DELIVER, OUTPUT, *LOG,
    ],
    short_help='Check whether it would work here.',
    example='pollreload doctor --process nginx /etc/nginx',
)
def doctor(**given: Any) -> int:
    """Check whether it would work here. Sends nothing, changes nothing.

    Without a process, command or URL it lists the processes and how to notify each.
    With --deliver, and if no check fails, it notifies once for real: it sends the
    signal and runs the commands and requests. Exit status: 0, or 1 if something
    fails.
    """
    deliver = given.pop('deliver')
    if not deliver and not any(
            given[name] for name in ('process', 'pidfile', 'exec', 'url', 'config')
    ):
        from pollreload.commands.doctor import processes
        return processes.run(given['paths'], given['output'])
    from pollreload.commands.doctor.main import run
    return run(make_plan(given), deliver)


@pollreload.command(
    params=[SIGNAL_TO_SEND, OUTPUT],
    short_help='Test this machine: real file, real child, real signal.',
    example='pollreload smoke',
)
def smoke(signal: Signal, output: str) -> int:
    """Test this machine: real file, real child, real signal.

    It starts a target and a watch of its own; doctor checks yours. Exit status:
    0, or 1.
    """
    from pollreload.commands.smoke import run
    return run(signal, output)


@pollreload.command(
    params=[
        click.Argument(('file',), metavar='FILE', type=FILE), MAX_AGE, OUTPUT,
    ],
    short_help='Show the --status-file of a watch (probes).',
    example='pollreload status /run/pollreload/status',
)
def status(file: str, max_age: float | None, output: str) -> int:
    """Show what a watch last wrote to its --status-file FILE (exec probes).

    Exit status: 0, or 1 if the last poll ended longer ago than --max-age or in the
    future, or if there is no such file.
    """
    from pollreload.commands.status import run
    return run(file, max_age, output)


@pollreload.command(
    short_help='Print digests of files.', example='pollreload digest /etc/nginx',
)
@click.argument('paths', nargs=-1, required=True, metavar='PATH...', type=PATH)
def digest(paths: tuple[str, ...]) -> int:
    """Print XXH3-128 digests in the format of `xxhsum -H2`, for `xxhsum -c`."""
    from pollreload.commands.digest import run
    return run(paths, DEFAULTS.ignore, sys.stdout.buffer, sys.stderr)


@pollreload.command(
    'install-to', short_help='Copy the program of the image into a volume.',
    example='pollreload install-to /shared',
)
@click.argument('directory', metavar='DIR', type=DIRECTORY)
def install_to(directory: str) -> int:
    """Copy the program of this image into DIR, for an initContainer.

    DIR is a volume, and any other image that mounts it runs DIR/pollreload, or
    without a shell: DIR/lib/pollreload --library-path DIR/lib DIR/lib/python3
    -ISXutf8 -m pollreload. Exit status: 0, or 1.
    """
    from pollreload.commands.install_to import run
    return run(directory, sys.stdout, sys.stderr)


def main(arguments: Sequence[str]) -> int | Plan:
    """Run a command; return its exit status, or the plan of a watch.

    The caller runs the watch, without click in its memory.
    """
    if os.environ.get(COMPLETE):
        return complete(os.environ[COMPLETE])
    try:
        result = pollreload.main(arguments, 'pollreload', standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        line = error_line(error, arguments)
        print(f'pollreload: {line[:1].lower()}{line[1:]}', file=sys.stderr)
        return 2
    except click.Abort:
        return 130
    except SystemExit as error:
        if error.code != 1:
            raise
        # click exits with 1 if the reader of our output has gone away.
        raise BrokenPipeError(errno.EPIPE, 'broken pipe') from error
    return result if isinstance(result, (int, Plan)) else 0


def error_line(
        error: click.ClickException, arguments: Sequence[str] = (),
) -> str:
    """Return an error on one line; it names the variable that a value came from."""
    if isinstance(error, click.NoSuchOption):
        return unknown_option(error, pollreload.commands, arguments)
    if isinstance(error, click.BadParameter) and error.ctx and error.param:
        name = error.param.name or ''
        if error.ctx.get_parameter_source(name) is ParameterSource.ENVIRONMENT:
            variables = error.param.envvar or ()
            error.param_hint = next(each for each in variables if os.environ.get(each))
            if is_flag(error.param):
                # click lists a dozen spellings, the first of them empty, and calls
                # a flag that may be repeated an integer range.
                error = click.BadParameter(
                    'write 1 for yes or 0 for no', param_hint=error.param_hint,
                )
    line = ' '.join(error.format_message().split()).removesuffix('.')
    if isinstance(error, click.MissingParameter) and error.ctx:
        line += f'; see {error.ctx.command_path} --help'
    return line


def is_flag(param: click.Parameter) -> bool:
    """Return whether a parameter is an option without a value."""
    return isinstance(param, click.Option) and bool(param.is_flag or param.count)


def complete(instruction: str) -> int:
    """Print what a shell asks for: its completion script, or completions.

    Not in click's main(), which would exit here.
    """
    from click.shell_completion import shell_complete
    try:
        status = shell_complete(pollreload, {}, 'pollreload', COMPLETE, instruction)
    except (KeyError, ValueError, IndexError):
        # No COMP_WORDS, or a COMP_CWORD that is no number: not set by a shell.
        status = 1
    if status:
        print(
            f'pollreload: {COMPLETE} is for shells, and none sets {instruction!r}; '
            f'unset '
            f'it, or use bash_source, zsh_source or fish_source', file=sys.stderr,
        )
    return 2 if status else 0


def run_packed(arguments: Sequence[str]) -> int | tuple[object, ...]:
    """Do what main() does, and return plain types that marshal can write."""
    try:
        result = main(arguments)
    except UsageError as error:
        print(f'pollreload: {error}', file=sys.stderr)
        result = error.status
    sys.stdout.flush()
    sys.stderr.flush()
    return pack(result) if isinstance(result, Plan) else result


def packed_plan(arguments: Sequence[str]) -> str | tuple[object, ...]:
    """Return the packed plan that these arguments stand for now, or the error."""
    try:
        result = pollreload.main(arguments, 'pollreload', standalone_mode=False)
    except click.ClickException as error:
        return error_line(error)
    except UsageError as error:
        return str(error)
    return pack(result)
