"""The command line: words in, settings out, one line for what is wrong."""
from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from pollreload.cli.options import (
    ACTIONS,
    CONFIG,
    CONTENT,
    DEFAULTS,
    DELIVERY,
    DIRECTORY,
    DURATION,
    FILE,
    HELP,
    LISTEN,
    LOG,
    OUTPUT,
    PATH,
    POLLING,
    SHOWN,
    STATE,
    TARGET,
    VERSION,
    WATCH,
    option,
    timed,
)
from pollreload.cli.resolve import planned, settings
from pollreload.errors import UsageError
from pollreload.settings import Plan, pack

COMPLETE = '_POLLRELOAD_COMPLETE'  # by which a shell asks, as click names it


class Helped:
    """A command with our --help: click would look for a translation of its own,
    which takes 3 ms of every check. So it would for its --version.
    """

    def get_help_option(self, _: click.Context) -> click.Option:
        """Return the option."""
        return HELP


class Command(Helped, click.Command):
    """See Helped."""


class Group(Helped, click.Group):
    """See Helped."""

    command_class = Command


@click.group(
    cls=Group, params=[VERSION], context_settings={'max_content_width': 100},
)
def pollreload() -> None:
    """Tell a process that its configuration has changed, by polling and hashing.

    Every option can come from the environment: POLLRELOAD_ and its name, as in
    POLLRELOAD_HANDLER_CHECK. An empty variable is an unset one.
    """


@pollreload.command(params=[*WATCH])
def watch(**given: Any) -> Plan:
    """Poll for ever (the sidecar).

    PATH is a file, a directory or a quoted glob; several in POLLRELOAD_FILE are
    separated by ':'. FILE, PROCESS and SIGNAL are read from the environment
    too, after POLLRELOAD_*. TERM and INT stop it, HUP polls now, USR1 logs the
    status.
    """
    return planned(given)


@pollreload.command(params=[
    CONFIG, *TARGET, *CONTENT, *DELIVERY, *ACTIONS, STATE,
    timed('timeout', 'For all of it, one attempt.', DEFAULTS.timeout),
    option('dry-run', 'Say what would be told to whom; tell nobody, write nothing.',
           is_flag=True),
    OUTPUT, *LOG,
])
def check(**given: Any) -> int:
    """Look once, tell what is due, exit (cron, systemd timer, CI).

    Silent when nothing is due. Exit status: 0 nothing was due, or all is done;
    1 something was due and is not done; 2 usage; 3 a path could not be read;
    4 the ledger is unusable; 75 another run holds it.
    """
    from pollreload.commands.check import run
    return run(planned(given).watches)


@pollreload.command(params=[
    CONFIG, *TARGET, *POLLING, *CONTENT, *DELIVERY, *ACTIONS, STATE, SHOWN, LISTEN,
    OUTPUT, *LOG,
])
def doctor(**given: Any) -> int:
    """Would it work here? Sends nothing, changes nothing.

    Exit status: 0, or 1 if something would fail.
    """
    from pollreload.commands.doctor.main import run
    return run(planned(given))


@pollreload.command(params=[
    *TARGET, *POLLING, *CONTENT, *DELIVERY, STATE,
    option('deliver', 'Send one real signal, and prove that the target lives.',
           is_flag=True),
    OUTPUT, *LOG,
])
def smoke(**given: Any) -> int:
    """Prove it on this machine: real file, real child, real signal.

    With a PATH and --process or --pidfile: everything that doctor checks, and
    with --deliver one real signal. Exit status: 0, or 1.
    """
    from pollreload.commands.smoke import run
    named = bool(given['paths'] or given['process'] or given['pidfile'])
    return run(settings(given, needs=named))


@pollreload.command(params=[
    click.Argument(('file',), metavar='FILE', type=FILE),
    option('max-age', 'How old the last look may be; by default 30s, or three '
           'intervals of the watch where that is longer.', type=DURATION), OUTPUT,
])
def status(file: str, max_age: float | None, output: str) -> int:
    """Show what a watch last wrote to its --status-file FILE (exec probes).

    Exit status: 0, or 1 where its last look ended longer ago than --max-age or in
    the future, or there is no such file.
    """
    from pollreload.commands.status import run
    return run(file, max_age, output)


@pollreload.command()
@click.argument('paths', nargs=-1, required=True, metavar='PATH...', type=PATH)
def digest(paths: tuple[str, ...]) -> int:
    """Print XXH3-128 digests as `xxhsum -H2` does, for `xxhsum -c`."""
    from pollreload.commands.digest import run
    return run(paths, DEFAULTS.ignore, sys.stdout.buffer, sys.stderr)


@pollreload.command('install-to')
@click.argument('directory', metavar='DIR', type=DIRECTORY)
def install_to(directory: str) -> int:
    """Copy what is in the image into DIR, for an initContainer.

    DIR is a volume, and any other image that mounts it runs DIR/pollreload, or
    without a shell: DIR/lib/pollreload --library-path DIR/lib DIR/lib/python3
    -ISXutf8 -m pollreload. Exit status: 0, or 1.
    """
    from pollreload.commands.install_to import run
    return run(directory, sys.stdout, sys.stderr)


def main(words: Sequence[str]) -> int | Plan:
    """Run a command; return its exit status, or what a watch is to do.

    A watch is run by the caller, which need not have click in its memory.
    """
    if os.environ.get(COMPLETE):
        return completed(os.environ[COMPLETE])
    try:
        got = pollreload.main(words, 'pollreload', standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        line = worded(error)
        print(f'pollreload: {line[:1].lower()}{line[1:]}', file=sys.stderr)
        return 2
    except click.Abort:
        return 130
    except SystemExit as error:
        if error.code != 1:
            raise
        # What click makes of a reader of our output that went away.
        raise BrokenPipeError(errno.EPIPE, 'broken pipe') from error
    return got if isinstance(got, (int, Plan)) else 0


def worded(error: click.ClickException) -> str:
    """Return what is wrong on one line, by the variable that it came from if any."""
    if isinstance(error, click.BadParameter) and error.ctx and error.param:
        name = error.param.name or ''
        if error.ctx.get_parameter_source(name) is ParameterSource.ENVIRONMENT:
            variables = error.param.envvar or ()
            error.param_hint = next(each for each in variables if os.environ.get(each))
            if isinstance(error.param.type, click.types.BoolParamType):
                # click lists a dozen words, the first of them empty.
                error = click.BadParameter(
                    'write 1 for yes or 0 for no', param_hint=error.param_hint,
                )
    return ' '.join(error.format_message().split())


def completed(asked: str) -> int:
    """Print what a shell asks for: its function, or how to complete a line.

    Here and not in click's main, which would end us in the middle.
    """
    from click.shell_completion import shell_complete
    try:
        status = shell_complete(pollreload, {}, 'pollreload', COMPLETE, asked)
    except (KeyError, ValueError, IndexError):
        # No COMP_WORDS, or a COMP_CWORD that is no number: no shell has set them.
        status = 1
    if status:
        print(
            f'pollreload: {COMPLETE} is for shells, and none asks by {asked!r}; unset '
            f'it, or use bash_source, zsh_source or fish_source', file=sys.stderr,
        )
    return 2 if status else 0


def parsed(words: Sequence[str]) -> int | tuple[object, ...]:
    """Return what main does, as plain types that marshal can write."""
    try:
        got = main(words)
    except UsageError as error:
        print(f'pollreload: {error}', file=sys.stderr)
        got = error.status
    sys.stdout.flush()
    sys.stderr.flush()
    return pack(got) if isinstance(got, Plan) else got


def reread(words: Sequence[str]) -> str | tuple[object, ...]:
    """Return the plan that a watch would begin with now, or why it would not."""
    try:
        got = pollreload.main(words, 'pollreload', standalone_mode=False)
    except click.ClickException as error:
        return worded(error)
    except UsageError as error:
        return str(error)
    return pack(got)
