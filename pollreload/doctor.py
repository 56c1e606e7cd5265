"""pollreload doctor: would it work here? Sends nothing, changes nothing.

A list of checks; each is a function that takes what it needs and returns rows.
"""
from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from pollreload import (
    actions,
    change,
    children,
    contents,
    delivery,
    ledger,
    mounts,
    places,
    procfs,
    report,
    statusfile,
    wiring,
)
from pollreload.errors import LedgerError, UsageError
from pollreload.loop import audience
from pollreload.process import (
    COMM_LENGTH,
    ENDING,
    VERDICTS,
    Choice,
    Process,
    roots,
    short,
)
from pollreload.settings import Plan, Settings, bare, signals

SIGNALS = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGCHLD))
PATIENCE = 3.0  # s that all looks together may take
MOST_MATCHES = 8
OPERATORS = ('|', '||', '&&', '>', '>>', '<', '&')  # of a shell
WIDEST = 64  # letters of a first column that the others are aligned with

# Why a path cannot be read, as contents.REASONS and SPECIAL word it -> what to do.
REMEDIES = {
    'no such file': 'check the spelling; in a sidecar, mount the volume there too',
    'matches nothing': 'check the pattern, and that it is quoted',
    'permission denied': (
        'run as a user or group that may read it (in Kubernetes: fsGroup)'
    ),
    'not a directory': 'check the spelling: a name on the way is a file',
    'too many levels of symbolic links': 'mend the link: it leads to itself',
    'stale file handle': 'mount it again',
}
NAME_ANOTHER = 'name a file, a directory or a quoted glob that can be read'

# The kind of a file system -> what that means for polling, and what to do.
MEANINGS = {
    'nfs': (
        'attributes are cached, so that a swap is seen up to 60 s late',
        'if that is too late, mount it with actimeo=1',
    ),
    'cifs': (
        'attributes are cached, so that a change is seen some seconds late',
        'if that is too late, mount it with actimeo=1',
    ),
    'fuse': (
        'a read can be torn, and can hang; each look is made in a child process',
        'let --validate refuse what is torn',
    ),
    '9p': (
        'the host may be cached, and a read can hang; each look is made in a child '
        'process',
        'if changes are not seen, mount it with cache=none',
    ),
    'virtiofs': (
        'the host may be cached, and a read can hang; each look is made in a child '
        'process',
        'if changes are not seen, set cache=auto or none in virtiofsd',
    ),
}
UNKNOWN_KIND = (
    'not known to be local, so that a read may hang; each look is made in a child '
    'process', '',
)

# The disposition -> what the target does with the signal.
DOES = {
    'caught': 'has a handler for {}',
    'blocked': 'blocks {}, and so has to fetch it (signalfd, sigwait)',
    'ignored': 'ignores {}',
    'default': 'has no handler for {} and would die of it',
    'unknown': 'may or may not handle {}: this kernel does not say',
}
MEND = {
    'ignored': 'name the signal that it reloads on (--signal)',
    'default': (
        'name the signal that it reloads on (--signal); if it waits for this one in '
        'sigwait, --handler-check off'
    ),
}
WHY = {
    'root': 'its parent is no match',
    'roots': 'its parent is no match',
    'oldest': 'the oldest',
    'newest': 'the newest',
    'all': 'as all are',
}


class Row(NamedTuple):
    """What one check found.

    verdict: 'ok', 'warn' (it works, and there is something to know), 'fail', or
        'skip': cannot be checked, because something else failed.
    about: what was checked; says: what was seen; remedy: what to do, or ''.
    """

    check: str
    verdict: str
    about: str
    says: str
    remedy: str = ''


def run(plan: Plan) -> int:
    """Print a row for each check; return 0, or 1 where one fails."""
    with waiting(SIGNALS):
        found = [rows(settings) for settings in plan.watches]
        more = several(plan)
    worst = max(map(status, [*found, more]))
    if plan.watches[0].output != 'text':
        print(json_of(plan, found, more, worst))
        return worst
    wide = width([row for each in [*found, more] for row in each])
    if more:
        print(text(more, wide))
    for settings, each in zip(plan.watches, found, strict=True):
        if plan.config:
            print(f'\n{settings.name}: {audience(settings)}')
        print(text(each, wide))
    return worst


def several(plan: Plan) -> list[Row]:
    """Return the rows about what all watches have in common."""
    found = []
    if plan.config:
        count = len(plan.watches)
        found.append(Row(
            'config', 'ok', plan.config,
            '1 watch' if count == 1 else f'{count} watches',
        ))
    if plan.listen is not None:
        found.append(port(*plan.listen))
    return found


def port(host: str, number: int) -> Row:
    """Say whether --listen could be had."""
    from pollreload import endpoint, metrics
    about = f'{f"[{host}]" if ":" in host else host}:{number}'
    try:
        metrics.client()
    except UsageError as error:
        says, remedy = parted(str(error))
        return Row('listen', 'fail', about, says, remedy)
    try:
        endpoint.bound(host, number, '').close()
    except UsageError as error:
        in_use = os.strerror(errno.EADDRINUSE).lower() in str(error)
        return Row(
            'listen', 'warn' if in_use else 'fail', about,
            str(error).rpartition(': ')[2],
            'by a watch that runs already, or choose another port' if in_use
            else 'name an address of this machine, or none',
        )
    return Row('listen', 'ok', about, 'can be listened at')


def json_of(
        plan: Plan, found: Sequence[Sequence[Row]], more: Sequence[Row], worst: int,
) -> str:
    """Return rows as one JSON object, those of a config file watch by watch."""
    if not plan.config:
        return json([*more, *found[0]])
    return report.json_object({
        'status': worst, 'rows': [row._asdict() for row in more], 'watches': [
            {
                'watch': settings.name, 'status': status(each),
                'rows': [row._asdict() for row in each],
            } for settings, each in zip(plan.watches, found, strict=True)
        ],
    })


@contextmanager
def waiting(signals: frozenset[signal.Signals]) -> Iterator[None]:
    """Keep signals for whoever waits for them: SIGCHLD and those that ask to end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def status(found: Sequence[Row]) -> int:
    """Return the exit status that rows stand for."""
    return int(any(row.verdict == 'fail' for row in found))


def json(found: Sequence[Row]) -> str:
    """Return rows as one JSON object."""
    return report.json_object({
        'status': status(found), 'rows': [row._asdict() for row in found],
    })


def first(row: Row) -> str:
    """Return the first column of a row: what was checked."""
    return report.printable(f'{row.check} {row.about}'.rstrip())


def width(found: Sequence[Row]) -> int:
    """Return how wide the first column is; what is longer than WIDEST sticks out."""
    widths = [len(first(row)) for row in found]
    return max((each for each in widths if each <= WIDEST), default=0)


def text(found: Sequence[Row], width: int) -> str:
    """Return rows as lines, with a first column of a width."""
    return '\n'.join(
        f'{row.verdict:4}  {first(row):{width}}  ' + report.printable(
            row.says + (f' -- {row.remedy}' if row.remedy else ''),
        ) for row in found
    )


def rows(settings: Settings) -> list[Row]:
    """Return the rows of every check, in the order of a delivery."""
    seen = sights(settings)
    return [
        *paths(settings.paths, seen),
        *(target(settings) if signals(settings) else ()),
        memory(settings),
        *shown(settings),
        *commands(settings),
        *urls(settings),
    ]


def target(settings: Settings) -> Iterator[Row]:
    """Give the rows about the process to be signalled."""
    choice = wiring.targets(settings)
    yield table()
    yield from names(settings)
    yield from processes(settings, choice)
    yield from nested(settings, choice)
    yield from dispositions(settings, choice)
    yield from permissions(choice)
    yield way()


def sights(settings: Settings) -> list[change.Sight | None]:
    """Return what is seen of each path; None where it does not answer in time.

    Raises SystemExit on TERM and INT, which the caller has blocked.
    """
    eyes = [
        wiring.Eyes(settings._replace(paths=(path,))) for path in settings.paths
    ]
    seen: dict[int, change.Sight] = {}
    deadline = procfs.now() + PATIENCE
    try:
        while True:
            for place, each in enumerate(eyes):
                snapshot = None if place in seen else each.look(False)
                if snapshot is not None:
                    seen[place] = snapshot.sights[0]
            left = deadline - procfs.now()
            if len(seen) == len(eyes) or left <= 0:
                return [seen.get(place) for place in range(len(eyes))]
            got = signal.sigtimedwait(SIGNALS, left)
            if got is not None and got.si_signo != signal.SIGCHLD:
                raise SystemExit(128 + got.si_signo)
    finally:
        for each in eyes:
            each.close()


def paths(
        names: Sequence[str], seen: Sequence[change.Sight | None],
) -> Iterator[Row]:
    """Say of each path whether it can be read, and what its file system means."""
    try:
        table = {'/': ('/', 'unknown')}
        for mount in mounts.rows(mounts.MOUNTINFO):
            table[mount.point] = mount.root, mount.kind
    except OSError as error:
        table = {}
        yield Row(
            'mounts', 'warn', mounts.MOUNTINFO,
            f'not readable ({contents.reason(error)}), so that any read may hang; '
            f'each look is made in a child process',
        )
    for path, sight in zip(names, seen, strict=True):
        at = places.place(path, table) if table else None
        yield readable(path, sight, at)
        if at is not None:
            yield from mounted(path, sight, at)


def readable(path: str, sight: change.Sight | None, at: places.Place | None) -> Row:
    """Say whether a path can be read, how many files that are, and where."""
    if sight is None:
        return Row(
            'path', 'fail', path, f'does not answer within {PATIENCE:g} s',
            'see to the server or the daemon of its mount; watch would log '
            '`stalled` and tell nobody meanwhile',
        )
    trouble = change.trouble(sight, None)
    if trouble:
        who = f' as {wiring.us()}' if trouble == 'permission denied' else ''
        return Row(
            'path', 'fail', path, trouble + who, REMEDIES.get(trouble, NAME_ANOTHER),
        )
    count = len(sight.files)
    says = '1 file' if count == 1 else f'{count} files'
    if at is not None:
        says += f', {at.kind}' + (', laid out by a kubelet' if at.kubelet else '')
    if sight.unreadable:
        return Row(
            'path', 'warn', path, f'{says}; not readable: {change.summary(sight)}',
            'changes of it are not seen; make it readable, or leave it out by --ignore',
        )
    if not count:
        return Row(
            'path', 'warn', path, f'{says}: nothing in it counts',
            'names of --ignore, and those that begin with .., are left out',
        )
    return Row('path', 'ok', path, says)


def mounted(path: str, sight: change.Sight | None, at: places.Place) -> Iterator[Row]:
    """Say what there is to know about the mount of a path, if anything."""
    if places.frozen(at.root):
        yield Row(
            'mount', 'fail', path, 'a Kubernetes subPath mount, which never gets an '
            'update', 'mount the whole volume as a directory, without subPath',
        )
    elif at.itself and sight is not None and sight.kind == 'file':
        yield Row(
            'mount', 'warn', path, 'a mount of this one file: where it is replaced by '
            'a rename, or is a Kubernetes subPath, the new one never shows here',
            'mount its directory; in Kubernetes the whole volume, without subPath',
        )
    if at.kind not in mounts.SAFE:
        family = 'nfs' if at.kind.startswith('nfs') else at.kind.partition('.')[0]
        family = {'fuseblk': 'fuse', 'smb3': 'cifs'}.get(family, family)
        says, remedy = MEANINGS.get(family, UNKNOWN_KIND)
        yield Row('mount', 'warn', path, f'{at.kind}: {says}', remedy)


def table() -> Row:
    """Say whether other processes are to be seen at all."""
    trouble, remedy = parted(procfs.trouble())
    if trouble:
        return Row('proc', 'fail', '', trouble, remedy)
    others = procfs.others()
    if hidden := procfs.hidden():
        return Row('proc', 'warn', '', procfs.HIDDEN, hidden)
    if procfs.secluded(others):
        return Row(
            'proc', 'warn', '', 'no process is visible but our own',
            'in Kubernetes set shareProcessNamespace: true',
        )
    count = len(others)
    says = '1 other process is' if count == 1 else f'{count} other processes are'
    return Row('proc', 'ok', '', f'{says} visible')


def names(settings: Settings) -> Iterator[Row]:
    """Say how a name is matched that the kernel cuts."""
    name = settings.process
    if name is None or short(name) == name:
        return
    yield Row(
        'name', 'ok', name, f'over {COMM_LENGTH} bytes: matched as {short(name)!r}, '
        f'then confirmed by the program or the script that it runs',
    )


def processes(settings: Settings, choice: Choice) -> Iterator[Row]:
    """Say which processes match, who is chosen and why, or why nobody is."""
    if choice.reason == 'proc':
        yield Row('process', 'skip', '', 'who is to be told: /proc does not say')
        return
    if choice.reason:
        says, remedy = parted(choice.says or wiring.absent(settings))
        yield Row('process', 'fail', '', says, remedy)
    top = roots(choice.matches)
    others = tuple(each for each in choice.matches if each not in choice.targets)
    for process in (*choice.targets, *others)[:MOST_MATCHES]:
        if process in choice.targets:
            why = WHY[settings.select]
            if len(choice.matches) == 1:
                why = 'the only match'
            if settings.pidfile is not None:
                why = f'named by {settings.pidfile}'
            role = f'chosen: {why}'
        elif process in top:
            role = 'its parent is no match'
        else:
            role = f'below pid {process.ppid}, which matches too'
        yield Row('process', 'ok', str(process), f'{described(process)}; {role}')
    more = len(choice.matches) - MOST_MATCHES
    if more > 0:
        yield Row('process', 'ok', '', f'{more} more match')


def parted(words: str) -> tuple[str, str]:
    """Return what was seen and what to do, of a message that says both."""
    says, _, remedy = words.partition('; ')
    return says, remedy


def described(process: Process) -> str:
    """Return whose a process is and since when it runs."""
    seconds = max(0.0, procfs.now() - process.started / procfs.ticks())
    inner = ', in a nested pid namespace' if process.nested else ''
    return f'{user(process)}, up {age(seconds)}{inner}'


def user(process: Process) -> str:
    """Return 'uid 33', or that it is not known."""
    return 'uid unknown' if process.uid is None else f'uid {process.uid}'


def age(seconds: float) -> str:
    """Return '12 s', '3 min', '5 h' or '40 d'."""
    for unit, size, most in (('s', 1, 120), ('min', 60, 7200), ('h', 3600, 172800)):
        if seconds < most:
            return f'{int(seconds // size)} {unit}'
    return f'{int(seconds // 86400)} d'


def nested(settings: Settings, choice: Choice) -> Iterator[Row]:
    """Say who would match too, but for being in a pid namespace below ours."""
    if settings.all_namespaces or settings.pidfile or choice.reason == 'proc':
        return
    inner = [
        process for process in procfs.matches(
            settings.process, settings.cmdline, settings.uid, True,
        ) if process.nested
    ]
    for process in inner[:MOST_MATCHES]:
        yield Row(
            'process', 'ok' if choice.targets else 'warn', str(process),
            f'{described(process)}; left out', '--all-namespaces takes it too',
        )


def dispositions(settings: Settings, choice: Choice) -> Iterator[Row]:
    """Say what each target would do with the signal, and what is made of that."""
    name, mode = settings.signal_name, settings.handler_check
    if not choice.targets:
        yield Row('handler', 'skip', name, 'no target')
    for process in choice.targets[:MOST_MATCHES]:
        if name in ENDING:
            yield Row(
                'handler', 'ok', str(process),
                f'not checked: {name} is meant to end it, and its end is the success',
            )
            continue
        is_so = wiring.disposed(settings, process)
        says = DOES[is_so].format(name)
        if VERDICTS[mode, is_so] == 'hold':
            yield Row(
                'handler', 'fail', str(process), f'{says}; it is held',
                MEND[is_so],
            )
        elif is_so in ('ignored', 'default'):
            yield Row(
                'handler', 'warn', str(process),
                f'{says}; it is sent all the same (--handler-check {mode})',
            )
        elif is_so == 'unknown':
            yield Row(
                'handler', 'warn', str(process), f'{says}; it is sent',
                f'try it: smoke --deliver looks whether it lives on after {name}',
            )
        else:
            yield Row('handler', 'ok', str(process), says)


def permissions(choice: Choice) -> Iterator[Row]:
    """Say whether we may signal each target (signal 0 is none, kill(2))."""
    if not choice.targets:
        yield Row('permission', 'skip', '', 'no target')
    for process in choice.targets[:MOST_MATCHES]:
        if delivery.permitted(process.pid):
            yield Row(
                'permission', 'ok', str(process),
                f'we ({wiring.us()}) may signal it ({user(process)})',
            )
        else:
            yield Row(
                'permission', 'fail', str(process),
                f'we ({wiring.us()}) may not signal it ({user(process)})',
                wiring.entitle(),
            )


def way() -> Row:
    """Say by which system call signals are sent."""
    if delivery.has_pidfd():
        return Row('delivery', 'ok', '', 'by pidfd, which no other process can get')
    return Row(
        'delivery', 'warn', '',
        'by kill(2), right after a look at the start time, for pidfd is refused here',
        'use a newer kernel, or a seccomp profile that allows pidfd_open',
    )


def memory(settings: Settings) -> Row:
    """Say where the memory between runs is kept, and whether it can be."""
    path = settings.state_file
    if path is None:
        return default_memory(settings)
    try:
        trouble, remedy = parted(wiring.kept(ledger.writable, path))
    except LedgerError as error:
        return Row(
            'ledger', 'fail', path, str(error),
            'see to the server or the daemon of its mount, or name another file',
        )
    if trouble:
        return Row('ledger', 'fail', path, trouble, remedy)
    try:
        found = wiring.kept(ledger.peek, path) is not None
    except LedgerError as error:
        return Row(
            'ledger', 'fail', path, str(error),
            'the next run keeps it aside, takes a baseline and tells nobody',
        )
    if wiring.kept(ledger.busy, path):
        return Row(
            'ledger', 'warn', path, 'another run holds it',
            'a check would exit with 75 as long as it does',
        )
    says = 'can be read and written' if found else 'not there yet; can be written'
    return Row('ledger', 'ok', path, says)


def default_memory(settings: Settings) -> Row:
    """Say where check keeps its memory by default, and whether it can."""
    try:
        key = ledger.key(settings, os.getcwd())
        path = ledger.location(key, os.environ, os.geteuid())
    except (LedgerError, OSError) as error:
        return Row('ledger', 'warn', '', f'for check: {error}')
    trouble, remedy = parted(ledger.writable(path))
    if trouble:
        says = f'check could not keep its memory: {trouble}'
        return Row('ledger', 'warn', '', says, remedy)
    return Row(
        'ledger', 'ok', '',
        f'check would keep it in {path}; watch keeps none without --state-file',
    )


def shown(settings: Settings) -> Iterator[Row]:
    """Say whether --status-file can be written."""
    path = settings.status_file
    if path is None:
        return
    try:
        trouble, remedy = parted(
            wiring.carefully(lambda: statusfile.writable(path), path),
        )
    except OSError as error:
        trouble = (error.strerror or str(error)).lower()
        remedy = 'see to the server or the daemon of its mount, or name another file'
    if trouble:
        yield Row('status-file', 'fail', path, trouble, remedy)
    else:
        yield Row('status-file', 'ok', path, 'can be written')


def commands(settings: Settings) -> Iterator[Row]:
    """Say whether the programs of --validate, --exec and --verify are found."""
    for option, command, name in (
            ('validate', settings.validate, ''),
            *(
                ('exec', command, actions.program(settings, place))
                for place, command in enumerate(settings.exec)
            ),
            ('verify', settings.verify, ''),
    ):
        if not command:
            continue
        about = name or command[0]
        trouble = lacking(command)
        if trouble:
            yield Row(
                option, 'fail', about, trouble,
                'install it where pollreload runs, or name it by its full path',
            )
        elif meant := shell(command):
            yield Row(
                option, 'warn', about, f'found; {meant} is one of its arguments, '
                f'for no shell runs it',
                f"if a shell is meant, --{option} \"sh -c '...'\"",
            )
        else:
            yield Row(option, 'ok', about, 'found')


def shell(command: Sequence[str]) -> str:
    """Return what of a command only a shell would understand, or ''.

    Not the words of a shell itself, and no more than the operator: a word that ends
    with one may be a secret.
    """
    if command[0].endswith('sh'):
        return ''
    for word in command[1:]:
        if word in OPERATORS:
            return word
        if word.endswith(';'):
            return ';'
    return ''


def urls(settings: Settings) -> Iterator[Row]:
    """Say whether somebody listens where --url asks; nothing is sent."""
    for url in settings.url:
        trouble = unreached(url)
        if trouble:
            yield Row(
                'url', 'fail', bare(url), trouble,
                'start the server, or mend the URL; it is tried again until it answers',
            )
        else:
            yield Row('url', 'ok', bare(url), 'takes connections; nothing was sent')


def unreached(url: str) -> str:
    """Return why no connection to the host of a URL can be had, or ''."""
    def reach() -> str:
        from pollreload import request
        return request.reach(url, PATIENCE)

    try:
        return str(children.within(reach, PATIENCE, wiring.stopping))
    except OSError as error:
        return f'{error.strerror}'


def lacking(command: Sequence[str]) -> str:
    """Return why a program cannot be run, or ''."""
    search = os.environ.get('PATH', os.defpath)
    try:
        return str(wiring.carefully(
            lambda: children.missing(command, search), *wiring.searched(command),
        ))
    except OSError as error:
        return f'{command[0]} {error.strerror}'
