"""What to do about the paths of a watch: doctor says it, and `watch` at its start.

Nothing here can be seen from one poll to the next: a mount of one file never
changes, and a missing path may be missing for a good reason.
"""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pollreload.runtime import guard
from pollreload.settings import Note, Settings
from pollreload.system import mounts
from pollreload.system.path_steps import wildcard

FORBIDDEN = 'run as a user or group that may read it (in Kubernetes: fsGroup)'
SEPARATORS = ',;: '  # of several paths, as users of other tools write them


class Advice(NamedTuple):
    """One thing to know about a path.

    reason: as in the log and the metrics. certain: changes are certainly missed.
    says: what is so; remedy: what to do.
    """

    reason: str
    certain: bool
    says: str
    remedy: str


def path_warnings(watches: Sequence[Settings]) -> tuple[Note, ...]:
    """Return the warnings about the paths of a run at its start."""
    try:
        table = mount_points()
    except OSError:
        # Every read happens in a child then; doctor says so.
        table = {}
    found = [
        Note(settings.name, each.reason, path, f'{path}: {each.says}; {each.remedy}')
        for settings in watches for path in settings.paths
        for each in advice(path, table)
    ]
    for settings in watches:
        if settings.url_header_file is not None or settings.url_ca is not None:
            from pollreload.runtime import request_files
            found += request_files.request_warnings(settings)
    return tuple(found)


def mount_points() -> dict[str, tuple[str, str]]:
    """Return mount point -> root and type, for mounts.find_mount. Raises OSError."""
    table = {'/': ('/', 'unknown')}
    for mount in mounts.read_mounts(mounts.MOUNTINFO):
        table[mount.point] = mount.root, mount.kind
    return table


def advice(path: str, table: dict[str, tuple[str, str]]) -> Iterator[Advice]:
    """Yield what there is to know about a path before it is read."""
    try:
        is_file, refused, remedy = guard.carefully(lambda: examined(path), path)
    except OSError:
        # It does not answer, which a poll reports.
        return
    if table and (found := mount_advice(mounts.find_mount(path, table), is_file)):
        yield found
    if refused:
        yield Advice(
            'permission denied', False, f'permission denied as uid {os.geteuid()}',
            FORBIDDEN,
        )
    elif remedy:
        yield Advice('no such file', False, 'no such file', remedy)


def mount_advice(at: mounts.Place, is_file: bool) -> Advice | None:
    """Describe how the mount of a path affects changes, None if it does not."""
    if mounts.frozen(at.root):
        return Advice(
            'subpath', True, 'a Kubernetes subPath mount, which never gets an update',
            'mount the whole volume as a directory, without subPath',
        )
    if at.itself and is_file:
        return Advice(
            'one-file mount', False, 'a mount of this one file: if it is replaced by '
            'a rename, or is a Kubernetes subPath, the new file never shows here',
            'mount its directory; in Kubernetes the whole volume, without subPath',
        )
    return None


def examined(path: str) -> tuple[bool, bool, str]:
    """Return whether a path is a file, whether we may not read it, and probable_path().

    A file is not opened.
    """
    if wildcard(path):
        return False, False, probable_path(path)
    try:
        is_directory = os.path.isdir(path)
        os.stat(path)
    except PermissionError:
        return False, True, ''
    except OSError:
        return False, False, probable_path(path)
    wanted = os.R_OK | os.X_OK if is_directory else os.R_OK
    allowed = os.access(path, wanted, effective_ids=True)
    return os.path.isfile(path), not allowed, ''


def probable_path(path: str) -> str:
    """Return the path that was probably meant by a missing one, '' if unknown."""
    for separator in SEPARATORS:
        parts = [part.strip() for part in path.split(separator)]
        if parts[1:] and any(part and os.path.exists(part) for part in parts):
            return (
                "several paths are separate arguments, or separated by ':' in a "
                'variable'
            )
    near = nearest_path(path)
    return f'did you mean {near}?' if near else ''


def nearest_path(path: str) -> str:
    """Return the path that exists and is spelled most like a missing one, or ''.

    Only one name on the way may be wrong. Of a glob, the names before its first
    wildcard count.
    """
    import difflib
    names = path.split('/')
    for place, name in enumerate(names):
        above = '/'.join(names[:place])
        if wildcard(name):
            return ''
        if not name or os.path.lexists('/'.join(names[:place + 1])):
            continue
        try:
            listed = os.listdir(f'{above}/' if place else '.')
        except OSError:
            return ''
        # Most names in /etc share an ending, which is no likeness.
        stem, ending = os.path.splitext(name)
        stems = [each.removesuffix(ending) for each in listed if each.endswith(ending)]
        for near in (
                *difflib.get_close_matches(name, listed, 3, 0.85),
                *(f'{each}{ending}' for each in difflib.get_close_matches(stem, stems)),
        ):
            found = '/'.join([*names[:place], near, *names[place + 1:]])
            if wildcard(found) or os.path.lexists(found):
                return found
        return ''
    return ''
