"""The command line: words in, settings out, one line for what is wrong."""
from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from pollreload import values
from pollreload.errors import UsageError
from pollreload.settings import (
    Plan,
    Settings,
    duration,
    signal_name,
    signal_number,
)

if TYPE_CHECKING:
    from pollreload import config

NUMBERS = {
    each.name: int(each) for each in signal.Signals if not each.name.startswith('SIGRT')
}
REAL_TIME = int(signal.SIGRTMIN), int(signal.SIGRTMAX)
DEFAULTS = Settings()
COMPLETE = '_POLLRELOAD_COMPLETE'  # by which a shell asks, as click names it


class Words(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since 8.2
    """A kind of value: a name for --help and a function that may raise ValueError.

    completes: what a shell completes it as: 'file', 'dir' or '' for nothing.
    """

    envvar_list_splitter = ':'

    def __init__(
            self, name: str, read: Callable[[str], object], completes: str = '',
    ) -> None:
        self.name = name
        self.read = read
        self.completes = completes

    def convert(
            self, value: Any, param: click.Parameter | None, ctx: click.Context | None,
    ) -> Any:
        """Return the value that a word stands for; a default is a value already."""
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
            self, ctx: click.Context, param: click.Parameter, incomplete: str,
    ) -> list[Any]:
        """Return what the shell is to complete by itself, if it is to."""
        from click.shell_completion import CompletionItem
        # click writes UTF-8, and fish alone reads it: the others know the word.
        word = incomplete.encode('utf-8', 'replace').decode()
        return [CompletionItem(word, self.completes)] if self.completes else []


class Lines(Words):
    """Words of which several come on lines of one variable."""

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """Return the lines that are not empty."""
        return [line for line in rv.splitlines() if line.strip()]


DURATION = Words('DURATION', duration)
INTERVAL = Words('DURATION', values.interval)
COMMAND = Words('CMD', values.command)
PATH = Words('PATH', values.path, 'file')
FILE = Words('FILE', values.path, 'file')
DIRECTORY = Words('DIR', values.path, 'dir')
NAME = Words('NAME', values.process_name)
SIGNAL = Words('NAME', lambda text: signal_number(text, NUMBERS, *REAL_TIME))
REGEX = Words('REGEX', values.regex)
UID = Words('UID', values.uid)
GLOB = Words('GLOB', str)
COMMANDS = Lines('CMD', values.command)
URLS = Lines('URL', values.url)


def variables(name: str, sidecar: bool = False) -> list[str]:
    """Return the variables an option is read from, the strongest first.

    sidecar: also the name that the well-known inotify sidecar has for it.
    """
    variable = name.upper().replace('-', '_')
    return [f'POLLRELOAD_{variable}', variable][:1 + sidecar]


def option(
        name: str, help: str, *short: str, sidecar: bool = False, **rest: Any,
) -> click.Option:
    """Return an option that can also come from the environment."""
    return click.Option(
        (*short, f'--{name}'), help=help, envvar=variables(name, sidecar), **rest,
    )


def seconds(value: float) -> str:
    """Return a default as a person would write it: '5s', '250ms'."""
    return f'{value:g}s' if value >= 1 or not value else f'{value * 1000:g}ms'


def timed(name: str, help: str, default: float, kind: Words = DURATION) -> click.Option:
    """Return an option whose value is a duration."""
    return option(name, help, type=kind, default=seconds(default), show_default=True)


def target(sidecar: bool = False) -> list[click.Parameter]:
    """Return the paths, and the options that say whom to tell, and how.

    sidecar: with the short names of the environment.
    """
    return [
        click.Argument(
            ('paths',), nargs=-1, required=False, metavar='[PATH]...', type=PATH,
            envvar=variables('file', sidecar),
        ),
        option('process', 'The process to tell, named as in /proc/PID/comm.',
               type=NAME, sidecar=sidecar),
        option('pidfile', 'Take the pid from a file.', type=FILE),
        option('cmdline', 'Only a process whose arguments match.', type=REGEX),
        option('uid', 'Only a process of this user.', type=UID),
        option('all-namespaces', 'Also processes of nested pid namespaces.',
               is_flag=True),
        option(
            'select', 'Of several matches: the one whose parent is none (root), all '
            'such (roots), the oldest, the newest, or all.',
            type=click.Choice(('root', 'roots', 'oldest', 'newest', 'all')),
            default='root', show_default=True,
        ),
        option('signal', 'The signal to send.', type=SIGNAL, default='HUP',
               show_default=True, sidecar=sidecar),
    ]


TARGET = target()
CONTENT = [
    timed('settle', 'Act on a content that is seen twice, this far apart.',
          DEFAULTS.settle),
    timed('empty-grace', 'How long a file that became empty is distrusted.',
          DEFAULTS.empty_grace),
    option(
        'ignore', 'Leave out names below a directory, besides the usual litter; an '
        'empty GLOB forgets those before it.', type=GLOB, multiple=True,
    ),
]
DELIVERY = [
    option(
        'handler-check', 'Hold a signal that the target would die of or ignores.',
        type=click.Choice(('enforce', 'warn', 'off')), default='enforce',
        show_default=True,
    ),
    option('min-uptime', 'Spare a target that is younger; by default 1s, or 10s where '
           'the disposition is unknown.', type=DURATION),
    timed('survive', 'Watch the target this long after the signal.', DEFAULTS.survive),
    option('validate', 'Run before telling; non-zero holds.', type=COMMAND),
    option('verify', 'Run after, until it agrees; POLLRELOAD_PID is set.',
           type=COMMAND),
    option('verify-workers', 'After: the target has a new child.', is_flag=True),
    timed('command-timeout', 'For --validate, --exec and --verify each.',
          DEFAULTS.command_timeout),
    timed('splay', 'Wait up to this long before telling, fixed for this host.',
          DEFAULTS.splay),
    option(
        'on-start', 'Without a memory: tell once, never, or if the content is newer '
        'than the target.', type=click.Choice(('auto', 'always', 'never')),
        default='auto', show_default=True,
    ),
]
ACTIONS = [
    option('exec', 'Run this after the signal, or without one; several in order.',
           type=COMMANDS, multiple=True),
    option('url', 'Send a request after that, or this alone; several in order.',
           type=URLS, multiple=True),
    option('url-method', 'Its method.', type=Words('NAME', values.method),
           default='POST', show_default=True),
    option('url-status', 'The answers that are a success: 2xx, 204 or 200-299, and '
           'more with a comma.', type=Words('STATUS', values.statuses), default='2xx',
           show_default=True),
    timed('url-timeout', 'How long all of the answer may take.', DEFAULTS.url_timeout),
]
POLLING = [
    timed('interval', 'Time between polls, start to start.', DEFAULTS.interval,
          INTERVAL),
    timed('rehash', 'Read again after this long also what stat says is unchanged.',
          DEFAULTS.rehash),
]
CONFIG = option('config', 'Take the watches from a TOML file, [[watch]] by [[watch]].',
                type=FILE)
LISTEN = option(
    'listen', 'Answer /metrics, /healthz and /readyz here, [HOST]:PORT; without a HOST '
    'at all addresses.', type=Words('ADDRESS', values.address),
)
STATE = option('state-file', 'Keep the memory between runs here.', type=FILE)
SHOWN = option('status-file', 'Show here, after each look, what was seen.', type=FILE)
OUTPUT = option(
    'output', 'What to print on stdout.', type=click.Choice(('text', 'json')),
    default='text', show_default=True,
)
LOG = [
    option('log-format', 'Lines on stderr.', type=click.Choice(('text', 'json')),
           default='text', show_default=True),
    option('verbose', 'Log more.', '-v', count=True),
    option('quiet', 'Log only what is wrong.', '-q', count=True),
]


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
        from pollreload import files
        trouble = files.overwritten(made, *files.touched((made,)))
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
    from pollreload import several
    return several.plan(path, kinds(), settled, beside)


def kinds() -> dict[str, config.Kind]:
    """Return what each option may be in a config file."""
    from pollreload import config
    found = {
        'name': config.Kind((str,), False, values.watch_name),
        'path': config.Kind((str,), True, values.path),
    }
    for param in watch.params:
        name = param.opts[0].removeprefix('--')
        if name not in ('paths', '-v', '-q', 'config'):
            found[name] = config.Kind(*kind(param))
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
    number = given.get('signal', DEFAULTS.signal)
    return Settings(**{
        **{name: value for name, value in given.items() if name in Settings._fields},
        'ignore': ignore,
        'signal_name': signal_name(number, NUMBERS, *REAL_TIME),
        'verbosity': given.get('verbose', 0) - given.get('quiet', 0),
    })


def show_help(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the help of a command and exit, if that is what is wanted."""
    if wanted and not context.resilient_parsing:
        click.echo(context.get_help())
        context.exit()


def show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version and exit, if that is what is wanted."""
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version
        click.echo(f'pollreload {version("pollreload")}')
        context.exit()


HELP = click.Option(
    ('-h', '--help'), help='Show this message and exit.', is_flag=True,
    is_eager=True, expose_value=False, callback=show_help,
)


VERSION = click.Option(
    ('--version',), help='Show the version and exit.', is_flag=True,
    is_eager=True, expose_value=False, callback=show_version,
)


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


@pollreload.command(params=[
    CONFIG, *target(sidecar=True), *POLLING, *CONTENT, *DELIVERY, *ACTIONS, STATE,
    SHOWN, LISTEN, *LOG,
])
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
    from pollreload.check import run
    return run(planned(given).watches)


@pollreload.command(params=[
    CONFIG, *TARGET, *POLLING, *CONTENT, *DELIVERY, *ACTIONS, STATE, SHOWN, LISTEN,
    OUTPUT, *LOG,
])
def doctor(**given: Any) -> int:
    """Would it work here? Sends nothing, changes nothing.

    Exit status: 0, or 1 if something would fail.
    """
    from pollreload.doctor import run
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
    from pollreload.smoke import run
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
    from pollreload.status import run
    return run(file, max_age, output)


@pollreload.command()
@click.argument('paths', nargs=-1, required=True, metavar='PATH...', type=PATH)
def digest(paths: tuple[str, ...]) -> int:
    """Print XXH3-128 digests as `xxhsum -H2` does, for `xxhsum -c`."""
    from pollreload.digest import run
    return run(paths, DEFAULTS.ignore, sys.stdout.buffer, sys.stderr)


@pollreload.command('install-to')
@click.argument('directory', metavar='DIR', type=DIRECTORY)
def install_to(directory: str) -> int:
    """Copy what is in the image into DIR, for an initContainer.

    DIR is a volume, and any other image that mounts it runs DIR/pollreload, or
    without a shell: DIR/lib/pollreload --library-path DIR/lib DIR/lib/python3
    -ISXutf8 -m pollreload. Exit status: 0, or 1.
    """
    from pollreload.install import run
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
    return flat(got) if isinstance(got, Plan) else got


def flat(plan: Plan) -> tuple[object, ...]:
    """Return a plan as plain types."""
    return (tuple(map(tuple, plan.watches)), *plan[1:])


def reread(words: Sequence[str]) -> str | tuple[object, ...]:
    """Return the plan that a watch would begin with now, or why it would not."""
    try:
        got = pollreload.main(words, 'pollreload', standalone_mode=False)
    except click.ClickException as error:
        return worded(error)
    except UsageError as error:
        return str(error)
    return flat(got)
