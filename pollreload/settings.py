"""What a watch is told to do, and how the words of a person become values."""
# Without postponed annotations: typing compiles each of a NamedTuple's that is text,
# and that takes a fiftieth of a check.
from collections.abc import Mapping
from typing import NamedTuple

IGNORED = (
    '*~', '.*.sw?', '.*.swpx', '4913', '.#*', '#*#', '*.tmp', '*.orig',
    '*.rej', '*.bak', '.nfs*', '.fuse_hidden*', '.git', '.hg', '.svn',
    '.bzr', 'CVS', '.DS_Store', 'lost+found', '.snapshot', '.dpkg-*',
    '*.dpkg-*', '*.ucf-*', '*.rpmsave', '*.rpmnew', '*.rpmorig', '__pycache__',
)

# In the order in which they are tried: 'ms' ends with 's'.
SECONDS = {'ms': 0.001, 's': 1.0, 'm': 60.0, 'h': 3600.0, '': 1.0}


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


def duration(text: str) -> float:
    """Return the seconds that '250ms', '5s', '2m', '1h' or '5' means.

    Raises ValueError with what is accepted.
    """
    word = text.strip()
    unit = next(unit for unit in SECONDS if word.endswith(unit))
    number = word.removesuffix(unit).rstrip()
    digits = number.replace('.', '', 1)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise ValueError(
            f'{text!r} is not a duration; write 250ms, 5s, 2m, 1h or plain seconds',
        )
    seconds = float(number) * SECONDS[unit]
    if seconds > 31_536_000:
        raise ValueError(f'{text!r} is longer than a year')
    return seconds


def signal_number(text: str, numbers: Mapping[str, int], first: int, last: int) -> int:
    """Return the number of 'HUP', 'sighup', '1' or 'RTMIN+3'.

    numbers: this machine's names, with SIG, to numbers (they differ by
        architecture, signal(7)); first, last: SIGRTMIN and SIGRTMAX.
    Raises ValueError with what is accepted.
    """
    name = text.strip().upper().removeprefix('SIG')
    step = name[5:].removeprefix('+')
    if name.isascii() and name.isdigit() and len(name) < 4:
        number = int(name)
    elif name[:5] in ('RTMIN', 'RTMAX') and real_time(step):
        number = (first if name[:5] == 'RTMIN' else last) + int(step)
        number = number if first <= number <= last else 0
    else:
        number = {'RTMIN': first, 'RTMAX': last}.get(name, numbers.get(f'SIG{name}', 0))
    if not (number in numbers.values() or first <= number <= last):
        raise ValueError(
            f'{text!r} is not a signal here; write a name or number such as '
            f'HUP, SIGHUP, 1 or RTMIN+3',
        )
    return number


def real_time(step: str) -> bool:
    """Return whether text is a small number, perhaps with a minus."""
    digits = step.removeprefix('-')
    return digits.isascii() and digits.isdigit() and len(digits) < 4


def signal_name(number: int, numbers: Mapping[str, int], first: int, last: int) -> str:
    """Return 'SIGHUP' for 1, 'SIGRTMIN+3' for the third after SIGRTMIN."""
    if first <= number <= last:
        return f'SIGRTMIN+{number - first}' if number > first else 'SIGRTMIN'
    names = sorted(name for name, value in numbers.items() if value == number)
    return names[0] if names else f'signal {number}'
