"""Resolve paths name by name, as the kernel does (path_resolution(7))."""
from __future__ import annotations

import os
from collections.abc import Iterator

LINKS = 40  # MAXSYMLINKS, include/linux/namei.h


def wildcard(path: str) -> bool:
    """Return whether a path can be read as a glob."""
    return any(letter in path for letter in '*?[')


def steps(path: str) -> Iterator[tuple[str, str, bool]]:
    """Yield each name that the kernel passes while it resolves a path.

    Yields (absolute name, target if it is a link or '', whether it is the last of
    the path or of the target of a last link). The names above it are not links
    (path_resolution(7)). Each is first yielded as if it were not a link, and is
    accessed only when the next one is requested.
    """
    if not path.startswith('/'):
        try:
            path = os.path.join(os.getcwd(), path)
        except FileNotFoundError:
            return  # and so is every file below it
    rest = path_parts(path)
    at = ''
    followed = 0
    while rest and followed < LINKS:
        part = rest.pop()
        if part == '..':
            at = at.rpartition('/')[0]
            continue
        step = f'{at}/{part}'
        yield step, '', not rest
        target = '' if magic(step) else points(step)
        if target:
            followed += 1
            yield step, target, not rest
            at = '' if target.startswith('/') else at
            rest.extend(path_parts(target))
        else:
            at = step


def path_parts(path: str) -> list[str]:
    """Return the names of a path, the last one first."""
    return [part for part in reversed(path.split('/')) if part not in ('', '.')]


def magic(step: str) -> bool:
    """Return whether a name is a /proc/PID/root or cwd.

    These lead into the mounts of that process instead of the target that readlink
    returns (proc(5)); proc may be mounted anywhere, so the name decides.
    """
    above, _, name = step.rpartition('/')
    return name in ('root', 'cwd') and above.rpartition('/')[2].isdecimal()


def points(link: str) -> str:
    """Return the target of a link, or '' if the path is not a link."""
    try:
        return os.readlink(link)
    except (OSError, ValueError):  # ValueError: a NUL, from a table of the kernel
        return ''


def all_names(path: str) -> frozenset[str]:
    """Return the names of a file without links; equal files share a name.

    One is that of the entry in its directory, which a rename replaces; the other
    is the file that a link there leads to, which is read. May hang.
    """
    directory, name = os.path.split(path)
    entry = os.path.join(os.path.realpath(directory), name)
    return frozenset((entry, os.path.realpath(path)))
