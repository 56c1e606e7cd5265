"""What to do about the paths of a watch: doctor says it, and `watch` at its start.

Nothing here can be seen from one poll to the next: a mount of one file never
changes, and a missing path may be missing for a good reason.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pollreload.runtime import guard
from pollreload.settings import Note, Settings
from pollreload.system import mounts
from pollreload.system.globs import matcher
from pollreload.system.path_steps import wildcard

FORBIDDEN = 'run as a user or group that may read it (in Kubernetes: fsGroup)'
MOST_TRIED = 100  # files of a directory; a poll reports the others
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
    """Return the warnings about the paths and targets of a run at its start."""
    found = [*about_paths(watches)]
    for settings in watches:
        if settings.url_header_file is not None or settings.url_ca is not None:
            from pollreload.runtime import request_files
            found += request_files.request_warnings(settings)
        if settings.process is not None:
            from pollreload.runtime import hints
            if says := hints.alias_hint(settings.process):
                found.append(Note(settings.name, 'no target', settings.process, says))
    return tuple(found)


def about_paths(watches: Sequence[Settings]) -> tuple[Note, ...]:
    """Return the warnings about the paths of some watches."""
    try:
        table = mount_points()
    except OSError:
        # Every read happens in a child then; doctor says so.
        table = {}
    return tuple(
        Note(settings.name, each.reason, path, f'{path}: {each.says}; {each.remedy}')
        for settings in watches for path in settings.paths
        for each in advice(path, table, settings)
    )


def mount_points() -> dict[str, tuple[str, str]]:
    """Return mount point -> root and type, for mounts.find_mount. Raises OSError."""
    table = {'/': ('/', 'unknown')}
    for mount in mounts.read_mounts(mounts.MOUNTINFO):
        table[mount.point] = mount.root, mount.kind
    return table


def advice(
        path: str, table: dict[str, tuple[str, str]], settings: Settings,
) -> Iterator[Advice]:
    """Yield what there is to know about a path of a watch before it is read."""
    try:
        is_file, refused, remedy = guard.with_time_limit(
            lambda: examine_path(path, settings), path,
        )
    except OSError:
        # It does not answer, which a poll reports.
        return
    if table and (found := mount_advice(mounts.find_mount(path, table), is_file)):
        yield found
    if refused is not None:
        yield Advice(
            'permission denied', False,
            f'{refused}permission denied as uid {os.geteuid()}', FORBIDDEN,
        )
    elif remedy:
        says = 'matches nothing' if wildcard(path) else 'no such file'
        yield Advice('no such file', False, says, remedy)


def mount_advice(at: mounts.Place, is_file: bool) -> Advice | None:
    """Describe how the mount of a path affects changes, None if it does not."""
    if mounts.is_subpath(at.root):
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


def examine_path(path: str, settings: Settings) -> tuple[bool, str | None, str]:
    """Return whether a path is a file, what may not be read, and what to do.

    The second is '' for the path itself, 'NAME: ' for a file in a directory, None if
    all may be read; of a directory the first files are tried. The last is '' if the
    path exists, or is like no other. No file is opened.
    """
    if wildcard(path):
        return False, None, probable_path(path)
    try:
        is_directory = os.path.isdir(path)
        os.stat(path)
    except PermissionError:
        return False, '', ''
    except OSError:
        return False, None, probable_path(path) or quoting_hint(path, settings)
    if not is_directory:
        return os.path.isfile(path), None if may_read(path) else '', ''
    if not (may_read(path) and os.access(path, os.X_OK, effective_ids=True)):
        return False, '', ''
    for name in sorted(os.listdir(path))[:MOST_TRIED]:
        counts = not name.startswith('..') and not matcher(settings.ignore)(name)
        below = os.path.join(path, name)
        if counts and os.path.exists(below) and not may_read(below):
            return False, f'{name}: ', ''
    return False, None, ''


def may_read(path: str) -> bool:
    """Return whether we may read a path."""
    return os.access(path, os.R_OK, effective_ids=True)


def quoting_hint(path: str, settings: Settings) -> str:
    """Return how to quote the command that a path may be an argument of, or ''."""
    for option, command in (
            ('validate', settings.validate),
            *(('exec', each) for each in settings.exec), ('verify', settings.verify),
    ):
        if len(command) == 1 and '/' not in path:
            return (
                f"if it belongs to a command, quote the whole command: --{option} "
                f"'{command[0]} {path} ...'"
            )
    return ''


def probable_path(path: str) -> str:
    """Return what was probably meant by a missing path, '' if unknown."""
    bare = bare_path(path).rstrip('/')
    if bare != path and bare and os.path.lexists(bare):
        return f'did you mean {bare}?'
    for separator in SEPARATORS:
        parts = [bare_path(part) for part in path.split(separator)]
        if parts[1:] and any(part and os.path.exists(part) for part in parts):
            return (
                "several paths are separate arguments, or separated by ':' in a "
                'variable'
            )
    if path.startswith('~') or re.search(r'\$[\w{(]|\{.*[,.].*\}', path):
        return 'only a shell replaces ~, $NAME and {a,b}; write the path itself'
    near = nearest_path(path)
    return f'did you mean {near}?' if near else ''


def bare_path(path: str) -> str:
    """Return a path without what surrounds it in other files and tools."""
    return path.strip(' \t\r\n"\'[]').removeprefix('file://')


def nearest_path(path: str) -> str:
    """Return the path that exists and is spelled most like a missing one, or ''.

    Only one name on the way may be wrong. Of a glob, the names before its first
    wildcard count, and the ending of its last name.
    """
    import difflib
    names = path.split('/')
    for place, name in enumerate(names):
        above = '/'.join(names[:place])
        if not wildcard(name) and (
                not name or os.path.lexists('/'.join(names[:place + 1]))
        ):
            continue
        try:
            listed = os.listdir(f'{above}/' if place else '.')
        except OSError:
            return ''
        if wildcard(name):
            near = other_ending(name, listed) if name is names[-1] else ''
            return '/'.join([*names[:place], near]) if near else ''
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


def other_ending(pattern: str, listed: Sequence[str]) -> str:
    """Return a pattern that matches no name with an ending that does, or ''."""
    import difflib
    import fnmatch
    stem, ending = os.path.splitext(pattern)
    if wildcard(ending) or fnmatch.filter(listed, pattern):
        return ''
    endings = {os.path.splitext(each)[1] for each in listed}
    for near in difflib.get_close_matches(ending, sorted(endings), 3, 0.75):
        if fnmatch.filter(listed, f'{stem}{near}'):
            return f'{stem}{near}'
    return ''
