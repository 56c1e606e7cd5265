"""The options of every command: names, types, defaults and help texts."""
from __future__ import annotations

import signal
from typing import Any

import click

from pollreload.cli import candidates, values
from pollreload.cli.value_types import LinesType, ValueType
from pollreload.cli.values import duration
from pollreload.settings import Settings

NUMBERS = {
    each.name: int(each) for each in signal.Signals if not each.name.startswith('SIGRT')
}
REAL_TIME = int(signal.SIGRTMIN), int(signal.SIGRTMAX)
DEFAULTS = Settings()

# The sections of --help, in this order, each with a sentence about it.
GROUPS = {
    'What to watch': 'The files whose contents count.',
    'What to notify': 'The process, and the commands and requests.',
    'When': 'How often to poll, and how long to wait.',
    'Checks': 'What has to hold before a notification, and after it.',
    'Files and output': 'What pollreload itself reads, writes and prints.',
}


DURATION = ValueType('DURATION', duration)
INTERVAL = ValueType('DURATION', values.interval)
PACE = ValueType('DURATION', values.pace)
SIZE = ValueType('SIZE', values.size)
COMMAND = ValueType('CMD', values.command)
PATH = ValueType('PATH', values.path, 'file')
FILE = ValueType('FILE', values.path, 'file')
DIRECTORY = ValueType('DIR', values.path, 'dir')
NAME = ValueType('NAME', values.process_name, offers=candidates.process_names)
SIGNAL = ValueType(
    'NAME', lambda text: values.signal(text, NUMBERS, *REAL_TIME),
    offers=candidates.signal_names,
)
REGEX = ValueType('REGEX', values.regex)
UID = ValueType('UID', values.uid, offers=candidates.users)
GLOB = ValueType('GLOB', values.pattern)
COMMANDS = LinesType('CMD', values.command)
URLS = LinesType('URL', values.url)


class Option(click.Option):
    """An option of pollreload.

    group: the section of --help that shows it.
    """

    def __init__(self, *args: Any, group: str, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.group = group


def envvars(name: str, sidecar: bool = False) -> list[str]:
    """Return the environment variables of an option, in order of precedence.

    sidecar: also the short name that the well-known inotify sidecar uses.
    """
    variable = name.upper().replace('-', '_')
    return [f'POLLRELOAD_{variable}', variable][:1 + sidecar]


def option(
        group: str, name: str, help: str, *short: str, sidecar: bool = False,
        **rest: Any,
) -> Option:
    """Return an option that can also be set by an environment variable."""
    return Option(
        (*short, f'--{name}'), group=group, help=help, envvar=envvars(name, sidecar),
        **rest,
    )


def seconds(value: float) -> str:
    """Return a duration as a user would write it: '5s', '250ms'."""
    return f'{value:g}s' if value >= 1 or not value else f'{value * 1000:g}ms'


def timed(
        group: str, name: str, help: str, default: float, kind: ValueType = DURATION,
) -> Option:
    """Return an option whose value is a duration."""
    return option(
        group, name, help, type=kind, default=seconds(default), show_default=True,
    )


WHAT, NOTIFY, WHEN, CHECKS, FILES = GROUPS


def target_options(sidecar: bool = False) -> list[click.Parameter]:
    """Return the PATH argument and the options that select the process.

    sidecar: also read them from the short variables FILE, PROCESS and SIGNAL.
    """
    return [
        click.Argument(
            ('paths',), nargs=-1, required=False, metavar='[PATH]...', type=PATH,
            envvar=envvars('file', sidecar),
        ),
        option(NOTIFY, 'process', 'Name of the process, as in /proc/PID/comm.',
               type=NAME, sidecar=sidecar),
        option(NOTIFY, 'pidfile', 'Read the pid of the process from this file.',
               type=FILE),
        option(NOTIFY, 'cmdline', 'Only a process whose arguments match.', type=REGEX),
        option(NOTIFY, 'uid', 'Only a process of this user.', type=UID),
        option(NOTIFY, 'all-namespaces', 'Also processes in nested pid namespaces.',
               is_flag=True),
        option(
            NOTIFY, 'select', 'If several match: the one whose parent does not match '
            '(root), all of these (roots), the oldest, the newest, or all.',
            type=click.Choice(('root', 'roots', 'oldest', 'newest', 'all')),
            default='root', show_default=True,
        ),
        signal_to_send(sidecar),
    ]


def signal_to_send(sidecar: bool = False) -> click.Parameter:
    """Return the option that names the signal; sidecar: see target_options()."""
    return option(NOTIFY, 'signal', 'Signal to send.', type=SIGNAL, default='HUP',
                  show_default=True, sidecar=sidecar)


TARGET = target_options()
SIGNAL_TO_SEND = signal_to_send()
CONTENT = [
    timed(WHEN, 'settle', 'A version counts once two polls this far apart saw it.',
          DEFAULTS.settle),
    timed(WHEN, 'empty-grace', 'How long to distrust a file or directory that became '
          'empty.', DEFAULTS.empty_grace),
    option(
        WHAT, 'on-missing', 'A PATH that is deleted: keep its version (hold), or take '
        'deletion and creation as changes (notify).',
        type=click.Choice(('hold', 'notify')), default='hold', show_default=True,
    ),
    option(
        WHAT, 'ignore', 'Skip names below a directory, in addition to temporary and '
        'backup files; an empty GLOB clears the list so far.', type=GLOB, multiple=True,
    ),
    option(WHAT, 'max-file-size', 'A larger file is unreadable.', type=SIZE,
           default='4GiB', show_default=True),
]
DELIVERY = [
    option(
        CHECKS, 'handler-check', 'Hold a signal that the target ignores or would die '
        'of.', type=click.Choice(('enforce', 'warn', 'off')), default='enforce',
        show_default=True,
    ),
    option(WHEN, 'min-uptime', 'Do not signal a younger target; by default 1s, or 10s '
           'if it is unknown what the signal would do to it.', type=DURATION),
    timed(CHECKS, 'survive', 'How long the target has to live after the signal.',
          DEFAULTS.survive),
    option(CHECKS, 'validate', 'Run before notifying; a failure holds the version.',
           type=COMMAND),
    option(CHECKS, 'verify', 'Run after notifying until it succeeds; POLLRELOAD_PID '
           'is set.', type=COMMAND),
    option(CHECKS, 'verify-workers', 'After the signal, the target has to start a new '
           'child.', is_flag=True),
    timed(CHECKS, 'command-timeout', 'Limit for each --validate, --exec and --verify.',
          DEFAULTS.command_timeout, PACE),
    timed(WHEN, 'splay', 'Wait up to this long before notifying, fixed for each host.',
          DEFAULTS.splay),
    option(
        WHEN, 'on-start', 'Without a memory: always notify once, never, or only if '
        'the files are newer than the target (auto).',
        type=click.Choice(('auto', 'always', 'never')), default='auto',
        show_default=True,
    ),
]
ACTIONS = [
    option(NOTIFY, 'exec', 'Run after the signal, or instead of one; several run in '
           'order.', type=COMMANDS, multiple=True),
    option(NOTIFY, 'url', 'Send a request after these, or instead; several are sent '
           'in order.', type=URLS, multiple=True),
    option(NOTIFY, 'url-method', 'Method of the request.',
           type=ValueType('NAME', values.url_method), default='POST',
           show_default=True),
    option(NOTIFY, 'url-status', 'Statuses that mean success: 2xx, 204 or 200-299, '
           'separated by commas.', type=ValueType('STATUS', values.statuses),
           default='2xx', show_default=True),
    timed(NOTIFY, 'url-timeout', 'Limit for the whole response.', DEFAULTS.url_timeout,
          PACE),
    option(NOTIFY, 'url-header-file', 'Send the headers in this file, read for each '
           'request.', type=FILE),
    option(NOTIFY, 'url-ca', 'Trust only the certificate authorities in this PEM file.',
           type=FILE),
]
DELIVER = option(
    CHECKS, 'deliver', 'Notify once for real, and check that the target lives.',
    is_flag=True,
)
POLLING = [
    timed(WHEN, 'interval', 'Time between polls, from start to start.',
          DEFAULTS.interval, INTERVAL),
    timed(WHEN, 'rehash', 'Also read files that stat reports unchanged, this often.',
          DEFAULTS.rehash),
    option(WHEN, 'max-wait', 'Deliver a version that does not settle, or the last '
           'valid one, at the latest after this.', type=PACE),
    option(WHEN, 'min-interval', 'Wait at least this long after a delivery; then the '
           'last version is delivered.', type=PACE),
]
CONFIG = option(
    FILES, 'config', 'Read the watches from a TOML file, one [[watch]] each.',
    type=FILE,
)
LISTEN = option(
    FILES, 'listen', 'Serve /metrics, /healthz and /readyz at [HOST]:PORT; without '
    'HOST on all addresses.', type=ValueType('ADDRESS', values.address),
)
STATE = option(FILES, 'state-file', 'Keep the memory between runs in this file.',
               type=FILE)
SHOWN = option(FILES, 'status-file', 'Write the result of each poll to this file.',
               type=FILE)
OUTPUT = option(
    FILES, 'output', 'Format on stdout.', type=click.Choice(('text', 'json')),
    default='text', show_default=True,
)
LOG = [
    option(FILES, 'log-format', 'Format on stderr.',
           type=click.Choice(('text', 'json', 'logfmt')), default='text',
           show_default=True),
    option(FILES, 'verbose', 'Log more.', '-v', count=True),
    option(FILES, 'quiet', 'Log only problems.', '-q', count=True),
]
TIMEOUT = timed(WHEN, 'timeout', 'Limit for the whole run, one attempt.',
                DEFAULTS.timeout)
DRY_RUN = option(
    FILES, 'dry-run', 'Print what would be notified; send and write nothing.',
    is_flag=True,
)
MAX_AGE = option(
    WHEN, 'max-age', 'How old the last poll may be; by default 30s, or three intervals '
    'of the watch if that is longer.', type=DURATION,
)
WATCH = [
    CONFIG, *target_options(sidecar=True), *POLLING, *CONTENT, *DELIVERY, *ACTIONS,
    STATE, SHOWN, LISTEN, *LOG,
]


def show_help(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the help of a command and exit."""
    if wanted and not context.resilient_parsing:
        click.echo(context.get_help())
        context.exit()


def show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version and exit."""
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version
        click.echo(f'pollreload {version("pollreload")}')
        context.exit()


HELP = Option(
    ('-h', '--help'), group=FILES, help='Show this message and exit.', is_flag=True,
    is_eager=True, expose_value=False, callback=show_help,
)
VERSION = Option(
    ('--version',), group=FILES, help='Show the version and exit.', is_flag=True,
    is_eager=True, expose_value=False, callback=show_version,
)
