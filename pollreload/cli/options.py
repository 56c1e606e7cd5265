"""Options."""
from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import Any

import click

from pollreload.cli import values
from pollreload.cli.values import duration
from pollreload.settings import Settings

NUMBERS = {
    each.name: int(each) for each in signal.Signals if not each.name.startswith('SIGRT')
}
REAL_TIME = int(signal.SIGRTMIN), int(signal.SIGRTMAX)
DEFAULTS = Settings()


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
SIGNAL = Words('NAME', lambda text: values.signal(text, NUMBERS, *REAL_TIME))
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
WATCH = [
    CONFIG, *target(sidecar=True), *POLLING, *CONTENT, *DELIVERY, *ACTIONS, STATE,
    SHOWN, LISTEN, *LOG,
]


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
