"""The settings of a watch, and the plan of a whole run.

Settings are complete and checked: what they come from (a command line, the
environment, a configuration file) is the business of pollreload.cli.
"""
# Without postponed annotations: typing compiles each annotation of a NamedTuple
# that is a string, which costs a fiftieth of the time that a check takes.
from collections.abc import Sequence
from typing import Any, NamedTuple

# Names that no program reads as its configuration: temporary files and copies of
# editors, rsync, sed, package managers, version control and file systems.
IGNORED = (
    '*~', '.*.sw?', '.*.swpx', '4913', '.#*', '#*#', '.*.kate-swp', '.goutputstream-*',
    '*___jb_tmp___', '*___jb_old___', '.*.XXXXXX', '.~tmp~', '.rsync-partial',
    'sedXXXXXX', '.ansible_tmp*', '*.filepart', '*.tmp', '*.orig', '*.rej', '*.bak',
    '.dpkg-*', '*.dpkg-*', '*.ucf-*', '*.rpmsave', '*.rpmnew', '*.rpmorig',
    '*.apk-new', '*.pacnew', '*.pacsave', '.git', '.hg', '.svn', '.bzr', 'CVS',
    '.nfs*', '.fuse_hidden*', '.DS_Store', 'lost+found', '.snapshot', '__pycache__',
)


class Signal(NamedTuple):
    """A signal: its number on this machine (signal(7)) and its name, 'SIGHUP'."""

    number: int
    name: str


class Settings(NamedTuple):
    """The settings of one watch; durations are in seconds.

    name: '' if it is the only watch of the process.
    min_uptime: None means 1 s, or 10 s if the disposition is unknown.
    max_wait, min_interval: 0.0 means that there is no limit.
    validate, verify: the arguments of a command; empty for none.
    exec: several commands.
    url_status: the statuses that are a success, as (first, last) ranges.
    """

    paths: tuple[str, ...] = ()
    process: str | None = None
    pidfile: str | None = None
    cmdline: str | None = None
    uid: int | None = None
    all_namespaces: bool = False
    select: str = 'root'
    signal: Signal = Signal(1, 'SIGHUP')
    interval: float = 5.0
    rehash: float = 60.0
    settle: float = 1.0
    empty_grace: float = 30.0
    on_missing: str = 'hold'
    max_file_size: int | None = 1 << 32
    ignore: tuple[str, ...] = IGNORED
    handler_check: str = 'enforce'
    min_uptime: float | None = None
    survive: float = 1.0
    validate: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    verify_workers: bool = False
    command_timeout: float = 30.0
    splay: float = 0.0
    max_wait: float = 0.0
    min_interval: float = 0.0
    exec: tuple[tuple[str, ...], ...] = ()
    url: tuple[str, ...] = ()
    url_method: str = 'POST'
    url_status: tuple[tuple[int, int], ...] = ((200, 299),)
    url_timeout: float = 10.0
    url_header_file: str | None = None
    url_ca: str | None = None
    on_start: str = 'auto'
    state_file: str | None = None
    status_file: str | None = None
    timeout: float = 60.0
    dry_run: bool = False
    output: str = 'text'
    log_format: str = 'text'
    verbosity: int = 0
    name: str = ''


class Note(NamedTuple):
    """Something to warn about when a watch starts.

    watch: its name; reason: two words at most, for the log and the metrics.
    about: the path or the variable. message: what is so, and what to do.
    """

    watch: str
    reason: str
    about: str
    message: str


class Plan(NamedTuple):
    """All that one run does.

    config: the path of the configuration file, '' for none.
    listen: host and port of the HTTP server; a host of '' means all addresses.
    where: the option, or the line of the file, that listen comes from.
    notes: what to warn about at the start of its watches.
    """

    watches: tuple[Settings, ...]
    config: str = ''
    listen: tuple[str, int] | None = None
    where: str = '--listen'
    notes: tuple[Note, ...] = ()


def pack(plan: Plan) -> tuple[object, ...]:
    """Return a plan as plain tuples, which marshal can write."""
    watches = tuple(
        tuple(tuple(each) if isinstance(each, Signal) else each for each in watch)
        for watch in plan.watches
    )
    notes = tuple(tuple(note) for note in plan.notes)
    return (watches, *plan[1:-1], notes)


def unpack(packed: Sequence[Any]) -> Plan:
    """Return the plan that pack() made plain."""
    plan = Plan(*packed)
    made = (Settings(*watch) for watch in plan.watches)
    return plan._replace(
        watches=tuple(each._replace(signal=Signal(*each.signal)) for each in made),
        notes=tuple(Note(*note) for note in plan.notes),
    )


def sends_signal(settings: Settings) -> bool:
    """Return whether a process is signalled."""
    return bool(settings.process or settings.pidfile)


def conditions(settings: Settings) -> str:
    """Return the options that a process has to meet: '--process a --uid 0'."""
    return ' '.join(
        f'--{name} {value}' for name, value in (
            ('process', settings.process), ('pidfile', settings.pidfile),
            ('cmdline', settings.cmdline), ('uid', settings.uid),
        ) if value is not None
    )


def acts(settings: Settings) -> bool:
    """Return whether commands are run or requests sent."""
    return bool(settings.exec or settings.url)


def runs_commands(settings: Settings) -> bool:
    """Return whether any command is run."""
    return bool(settings.exec or settings.validate or settings.verify)


def bare(url: str) -> str:
    """Return a URL as a log may show it: without credentials and query.

    url: as cli.values.url accepts it, so its only '@' is the one before the host.
    """
    scheme, _, rest = url.partition('://')
    location = rest.partition('?')[0].rpartition('@')[2]
    return f'{scheme}://{location}'
