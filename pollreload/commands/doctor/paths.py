"""The rows of doctor about the paths of a watch and their mounts."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

from pollreload.commands.doctor.rows import Row
from pollreload.core.reading import (
    NO_CONTENT,
    Reading,
    counted,
    unreadable_members,
    whole_trouble,
)
from pollreload.runtime import advice, guard, interrupt, targets
from pollreload.runtime.observer import Observer
from pollreload.settings import Settings
from pollreload.system import mounts, procfs
from pollreload.system.file_digest import describe_error

READ_TIMEOUT = 3.0  # s that all reads together may take
# Why a path cannot be read, as contents.REASONS and SPECIAL word it -> what to do.
REMEDIES = {
    'no such file': 'check the spelling; in a sidecar, mount the volume there too',
    'matches nothing': 'check the pattern, and that it is quoted',
    'permission denied': advice.FORBIDDEN,
    'not a directory': 'check the spelling: a name on the way is a file',
    'too many levels of symbolic links': 'fix the link: it leads to itself',
    'stale file handle': 'mount it again',
}
TOO_LARGE = 'raise --max-file-size, or name a smaller file'
NAME_ANOTHER = 'name a file, a directory or a quoted glob that can be read'
UNSEEN = 'changes of it are not seen; make it readable, or leave it out by --ignore'
NO_FILE = 'it is no file, and no change when it comes or goes; --ignore leaves it out'
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
        'a read can be torn, and can hang; each poll runs in a child process',
        'let --validate refuse what is torn',
    ),
    '9p': (
        'the host may be cached, and a read can hang; each poll is made in a child '
        'process',
        'if changes are not seen, mount it with cache=none',
    ),
    'virtiofs': (
        'the host may be cached, and a read can hang; each poll is made in a child '
        'process',
        'if changes are not seen, set cache=auto or none in virtiofsd',
    ),
}
UNKNOWN_KIND = (
    'not known to be local, so that a read may hang; each poll is made in a child '
    'process', '',
)


def readings(settings: Settings) -> list[Reading | None]:
    """Return the reading of each path; None for one that does not answer in time.

    Raises interrupt.Ended; the caller has blocked those signals.
    """
    observers = [
        Observer(settings._replace(paths=(path,))) for path in settings.paths
    ]
    seen: dict[int, Reading] = {}
    deadline = procfs.now() + READ_TIMEOUT
    try:
        while True:
            for place, each in enumerate(observers):
                snapshot = None if place in seen else each.poll(False)
                if snapshot is not None:
                    if settings.on_missing == 'notify':
                        snapshot = counted(snapshot)
                    seen[place] = snapshot.readings[0]
            left = deadline - procfs.now()
            if len(seen) == len(observers) or left <= 0:
                return [seen.get(place) for place in range(len(observers))]
            interrupt.wait_for_child(left)
    finally:
        for each in observers:
            each.close()


def paths(
        names: Sequence[str], seen: Sequence[Reading | None],
) -> Iterator[Row]:
    """Yield rows about each path: whether it can be read, and its file system."""
    try:
        table = advice.mount_points()
    except OSError as error:
        table = {}
        yield Row(
            'mounts', 'warn', mounts.MOUNTINFO,
            f'not readable ({describe_error(error)}), so that any read may hang; '
            f'each poll runs in a child process',
        )
    for path, sight in zip(names, seen, strict=True):
        at = mounts.find_mount(path, table) if table else None
        yield readable(path, sight, at)
        if at is not None:
            yield from describe_mount(path, sight, at)


def readable(path: str, sight: Reading | None, at: mounts.Place | None) -> Row:
    """Return the row about a path: whether it can be read, and how many files it has.
    """
    if sight is None:
        return Row(
            'path', 'fail', path, f'does not answer within {READ_TIMEOUT:g} s',
            'see to the server or the daemon of its mount; watch would log '
            '`stalled` and tell nobody meanwhile',
        )
    trouble = whole_trouble(sight, None)
    if trouble:
        who = f' as {targets.us()}' if trouble == 'permission denied' else ''
        remedy = REMEDIES.get(trouble, NAME_ANOTHER)
        if '--max-file-size' in trouble:
            remedy = TOO_LARGE
        if trouble in ('no such file', 'matches nothing', 'not a directory'):
            remedy = suggested_path(path) or remedy
        return Row('path', 'fail', path, trouble + who, remedy)
    if sight.kind == 'missing':
        return Row(
            'path', 'warn', path, 'is missing, which counts (--on-missing notify)',
            suggested_path(path) or 'check the spelling, if it should exist already',
        )
    count = len(sight.files)
    says = '1 file' if count == 1 else f'{count} files'
    if at is not None:
        says += f', {at.kind}' + (', laid out by a kubelet' if at.kubelet else '')
    if sight.unreadable:
        no_files = NO_CONTENT.issuperset(sight.unreadable.values())
        return Row(
            'path', 'warn', path, f'{says}; not readable: {unreadable_members(sight)}',
            NO_FILE if no_files else UNSEEN,
        )
    if not count:
        return Row(
            'path', 'warn', path, f'{says}: nothing in it counts',
            'names of --ignore, and those that begin with .., are left out',
        )
    return Row('path', 'ok', path, says)


def suggested_path(path: str) -> str:
    """Return the path that was probably meant, '' if that is unknown."""
    try:
        return str(guard.with_time_limit(lambda: advice.probable_path(path), path))
    except OSError:
        return ''


def describe_mount(path: str, sight: Reading | None, at: mounts.Place) -> Iterator[Row]:
    """Describe the mount of a path, if it matters."""
    found = advice.mount_advice(at, sight is not None and sight.kind == 'file')
    if found:
        verdict = 'fail' if found.certain else 'warn'
        yield Row('mount', verdict, path, found.says, found.remedy)
    if at.kind not in mounts.SAFE:
        family = 'nfs' if at.kind.startswith('nfs') else at.kind.partition('.')[0]
        family = {'fuseblk': 'fuse', 'smb3': 'cifs'}.get(family, family)
        says, remedy = MEANINGS.get(family, UNKNOWN_KIND)
        yield Row('mount', 'warn', path, f'{at.kind}: {says}', remedy)
