"""Where a path is: its mount, what laid it out, and which other names it has."""
from __future__ import annotations

import os
from typing import NamedTuple

from pollreload.mounts import SAFE, magic, steps


class Place(NamedTuple):
    """Where a path is, as far as can be told without touching what may hang.

    root, kind: of its mount, see mounts.
    itself: the path is the mount point; kubelet: a ..data link leads to it.
    """

    root: str
    kind: str
    itself: bool
    kubelet: bool


def place(path: str, mounts: dict[str, tuple[str, str]]) -> Place:
    """Return where a path is. Touches no file that may hang.

    mounts: mount point -> root and type; one for '/' must be among them.
    """
    last, final, kubelet = '/', False, False
    for step, target, end in steps(path):
        if magic(step):
            return Place('/', 'mounts of another process', False, kubelet)
        if target:
            kubelet = kubelet or step.endswith('/..data')
            continue
        last, final = step, end
        if mounts[point_of(step, mounts)][1] not in SAFE:
            # The next step would read a link there.
            break
    else:
        kubelet = kubelet or os.path.islink(f'{path}/..data')
    point = point_of(last, mounts)
    root, kind = mounts[point]
    return Place(root, kind, final and point == last, kubelet)


def names(path: str) -> frozenset[str]:
    """Return every name that a file goes by: who shares one with another is the same.

    That of the entry in its directory, which a rename replaces, and that of what a
    link there leads to, which is read. Both without a link on the way, so that this
    may hang.
    """
    directory, name = os.path.split(path)
    entry = os.path.join(os.path.realpath(directory), name)
    return frozenset((entry, os.path.realpath(path)))


def point_of(name: str, mounts: dict[str, tuple[str, str]]) -> str:
    """Return the mount point that a resolved name is on."""
    while name not in mounts:
        name = name.rpartition('/')[0] or '/'
    return name


def frozen(root: str) -> bool:
    """Return whether the root of a mount is a piece of a kubelet's volume.

    A subPath is resolved once, when the container starts: the mount is of what
    lay behind ..data then, a directory such as ..2026_01_31_12_00_00.123456789
    (atomic_writer.go), or is kept below volume-subpaths (subpath_linux.go).
    """
    parts = root.split('/')
    return 'volume-subpaths' in parts or any(
        part.startswith('..20') for part in parts
    )
