"""What a watch is told to do, and how the words of a person become values."""
from typing import NamedTuple

IGNORED = (
    '*~', '.*.sw?', '.*.swpx', '4913', '.#*', '#*#', '*.tmp', '*.orig',
    '*.rej', '*.bak', '.nfs*', '.fuse_hidden*', '.git', '.hg', '.svn',
    '.bzr', 'CVS', '.DS_Store', 'lost+found', '.snapshot', '.dpkg-*',
    '*.dpkg-*', '*.ucf-*', '*.rpmsave', '*.rpmnew', '*.rpmorig', '__pycache__',
)


class Settings(NamedTuple):
    """Everything one watch is told; durations are seconds.

    name: that of one watch of several, '' where it is the only one.
    beside: files below our paths that the others of those write.
    min_uptime: None stands for 1 s, or 10 s where the disposition is unknown.
    signal: a number of this machine's; signal_name: 'SIGHUP'.
    validate, verify: split commands; empty for none. exec: several of them.
    url_status: the answers that are a success, each the first and last of a range.
    """

    paths: tuple[str, ...] = ()
    process: str | None = None
    pidfile: str | None = None
    cmdline: str | None = None
    uid: int | None = None
    all_namespaces: bool = False
    select: str = 'root'
    signal: int = 1
    signal_name: str = 'SIGHUP'
    interval: float = 5.0
    rehash: float = 60.0
    settle: float = 1.0
    empty_grace: float = 30.0
    ignore: tuple[str, ...] = IGNORED
    handler_check: str = 'enforce'
    min_uptime: float | None = None
    survive: float = 1.0
    validate: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    verify_workers: bool = False
    command_timeout: float = 30.0
    splay: float = 0.0
    exec: tuple[tuple[str, ...], ...] = ()
    url: tuple[str, ...] = ()
    url_method: str = 'POST'
    url_status: tuple[tuple[int, int], ...] = ((200, 299),)
    url_timeout: float = 10.0
    on_start: str = 'auto'
    state_file: str | None = None
    status_file: str | None = None
    timeout: float = 60.0
    dry_run: bool = False
    deliver: bool = False
    output: str = 'text'
    log_format: str = 'text'
    verbosity: int = 0
    name: str = ''
    beside: tuple[str, ...] = ()


class Plan(NamedTuple):
    """What pollreload is told to do.

    config: the file that says so, '' for none. listen: host and port to be asked
        at; the host is '' for all addresses. where: what says so.
    """

    watches: tuple[Settings, ...]
    config: str = ''
    listen: tuple[str, int] | None = None
    where: str = '--listen'


def signals(settings: Settings) -> bool:
    """Return whether a process is to be signalled."""
    return bool(settings.process or settings.pidfile)


def acts(settings: Settings) -> bool:
    """Return whether something else is to be done, after a signal or without one."""
    return bool(settings.exec or settings.url)


def bare(url: str) -> str:
    """Return a URL as a log may show it: without who asks, and without a query.

    url: as cli.url has let it pass, with no other '@' than the one before a host.
    """
    scheme, _, rest = url.partition('://')
    place = rest.partition('?')[0].rpartition('@')[2]
    return f'{scheme}://{place}'
