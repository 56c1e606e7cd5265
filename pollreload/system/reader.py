"""Read the files at the paths of a watch.

Each function that reads may hang for as long as the file system does;
mounts.can_hang tells without access to it whether that may be forever.
"""
from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence

from pollreload.core.reading import Reading, Snapshot
from pollreload.system.file_digest import (
    NAME_COST,
    Progress,
    Stopped,
    describe_error,
    is_dev_null,
)
from pollreload.system.globs import matches_itself, split
from pollreload.system.path_steps import points, wildcard
from pollreload.system.safe_open import check_regular
from pollreload.system.stat_cache import Cache, Terms, unchanged_reading
from pollreload.system.walk import (
    Pass,
    digest_member,
    hash_file_again,
    hash_listing,
    read_tree,
    record_links,
)

TERMS = Terms()
ATTEMPTS = 5  # to read a set of files that is replaced during the read
REPLACED = 'kept being replaced while it was read'


def never() -> bool:
    """Return False: nothing stops the poll."""
    return False


def poll(
        paths: Sequence[str], ignore: Sequence[str], dates: bool = False,
        stop: Callable[[], bool] = never, terms: Terms = TERMS,
        caches: list[Cache] | None = None, tally: list[int] | None = None,
        largest: int | None = None,
) -> Snapshot | None:
    """Read all paths once; return the snapshot, or None if it was stopped.

    ignore: patterns of names that are left out below a directory and in the
        matches of a glob; names that begin with '..' always are.
    dates: whether to find Snapshot.newest; it costs some system calls.
    stop, largest, tally: as in Progress.
    caches: one for each path, from the last poll; replaced in place. A file whose
        stat is unchanged by the terms is not read again.

    Files that are reached through the same link to a directory (a kubelet's
    ..data, the current of a release) come from one target of that link: if it
    moved meanwhile everything is read again, for a limited number of times.
    """
    caches = [Cache() for _ in paths] if caches is None else caches
    progress = Progress(stop, [0, 0] if tally is None else tally, largest)
    patterns, alone = tuple(ignore), len(paths) == 1
    try:
        this = Pass(patterns, dates, alone, terms, progress)
        same = [] if dates else unchanged_readings(paths, caches, this)
        if len(same) == len(paths):
            return Snapshot(tuple(same))
        for _ in range(ATTEMPTS):
            this = Pass(patterns, dates, alone, terms, progress)
            readings = []
            passed = []
            found = []
            for path, before in zip(paths, caches, strict=True):
                this.begin(before)
                readings.append(read_path(path, this))
                passed.append(this.passed)
                found.append(this.cache)
            replaced = {
                link for link, target in this.links.items() if points(link) != target
            }
            if not replaced:
                for reading, cache, before in zip(
                        readings, found, caches, strict=True,
                ):
                    cache.finish(reading, before)
                caches[:] = found
                return Snapshot(
                    tuple(cache.reading or Reading('', {}, {}) for cache in found),
                    this.newest,
                )
    except Stopped:
        return None
    torn = Reading('', {}, {'': REPLACED})
    return Snapshot(
        tuple(
            torn if links & replaced else reading
            for reading, links in zip(readings, passed, strict=True)
        ),
        this.newest,
    )


def unchanged_readings(
        paths: Sequence[str], caches: Sequence[Cache], this: Pass,
) -> list[Reading]:
    """Return the readings of the first caches, up to one that may have changed.

    Raises Stopped.
    """
    found: list[Reading] = []
    for path, cache in zip(paths, caches, strict=True):
        if cache.reading and cache.reading.kind == 'glob' and literal(path):
            break
        reading = unchanged_reading(
            cache, this.terms, lambda path: hash_file_again(path, this),
            lambda path: hash_listing(path, this),
            lambda count: this.progress.pause(count * NAME_COST),
        )
        if reading is None:
            break
        found.append(reading)
    return found


def read_path(path: str, this: Pass) -> Reading:
    """Read one path: a file, a directory, or the matches of a glob."""
    if this.dates or not this.alone:
        record_links(path, this, whole=True)
    if wildcard(path) and not literal(path):
        return read_tree('glob', *split(path), this)
    try:
        info = os.stat(path)
        if stat.S_ISDIR(info.st_mode):
            return read_tree('directory', path, (), this)
        if is_dev_null(info) and not os.path.islink(path):
            check_regular(info.st_mode)
        this.progress.pause(NAME_COST)
        this.cache.prefix = path
        return Reading('file', {'': digest_member(path, '', info, this)}, {})
    except OSError as error:
        return Reading('', {}, {'': describe_error(error)})


def literal(path: str) -> bool:
    """Return whether a path that can be read as a glob is the name of a file.

    A file that exists and cannot be read must not be replaced by the other matches.
    A glob that matches its own name (/etc/app/*.conf) stays a glob: such a file is
    one more match.
    """
    return not matches_itself(path) and os.path.lexists(path)
