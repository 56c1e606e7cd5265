"""Read one directory tree or file of a watch, as far as it may have changed."""
from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

from xxhash import xxh3_128_digest

from pollreload.core.reading import Reading
from pollreload.system.file_digest import (
    NAME_COST,
    Progress,
    describe_error,
    digest_file,
    is_gone,
)
from pollreload.system.globs import matcher, next_patterns, passing
from pollreload.system.path_steps import points, steps
from pollreload.system.stat_cache import UNSURE, Cache, Terms, valid, worth


class Pass:
    """One pass over all paths: what it was given, and what it has found.

    alone: there is one path, so that a plain file needs no care for its set.
    dates, newest: whether dates are asked for, and the latest; as in Snapshot.
    links: the links that a set of files depends on -> target, as first read.
    passed: those among them that the path being read depends on.
    before, known: of that path, the cache of the last poll, and name -> stamp in it.
    cache: the one for the next poll.
    """

    __slots__ = (
        'alone', 'before', 'cache', 'dates', 'ignore', 'known', 'links', 'newest',
        'passed', 'progress', 'terms',
    )

    def __init__(
            self, ignore: tuple[str, ...], dates: bool, alone: bool, terms: Terms,
            progress: Progress,
    ) -> None:
        self.ignore = ignore
        self.dates = dates
        self.alone = alone
        self.terms = terms
        self.progress = progress
        self.newest = 0.0
        self.links: dict[str, str] = {}
        self.passed: set[str] = set()

    def begin(self, before: Cache) -> None:
        """Begin with another path, of which the last poll left a cache."""
        self.passed = set()
        self.before = before
        self.known = before.stamp_of()
        self.cache = Cache()


def read_tree(kind: str, top: str, patterns: tuple[str, ...], this: Pass) -> Reading:
    """Read the files below a directory whose names match the patterns.

    patterns: one for each level; what is below the last is all taken.

    A link to a directory is entered, unless it leads to one that it is in: that would
    have no end. If another link led there before, no further link to a directory is
    entered below it, so that a few links are not billions of paths. The directory is a
    member itself then: its name ends in '/', and its digest is that of the name by
    which it was entered first, where these links are entered.
    There is no recursion: a tree may be 2000 levels deep.
    """
    files: dict[str, bytes] = {}
    unreadable: dict[str, str] = {}
    entered: dict[tuple[tuple[int, int], frozenset[int]], str] = {}
    end = len(patterns)
    inside: frozenset[tuple[int, int]] = frozenset()
    at_first: tuple[str, str] | None = None
    todo = [('', passing(patterns, {0}), False, inside, at_first)]
    record_links(top, this, whole=True)
    this.cache.prefix = os.path.join(top, '')
    while todo:
        below, at, linked, above, repeats = todo.pop()
        path = os.path.join(top, below) or '.'
        try:
            # One descriptor: what stat says must be of the very names that are read.
            with open_directory(path) as fd:
                info = os.fstat(fd)
                trace(path, info, this)
                date(info, this)
                here = (info.st_dev, info.st_ino)
                if linked and here in above:
                    continue
                first = entered.setdefault((here, at), below) if linked else below
                if first != below:
                    repeats = below, first
                names, links = listing(fd, path, this)
                this.cache.listed[path] = hashed_names(names, links)
        except OSError as error:
            if not below:
                return Reading('', {}, {'': describe_error(error)})
            this.cache.complete = False
            if not is_gone(error, path):
                unreadable[below] = describe_error(error)
            continue
        inside = above | {here}
        ahead = []
        for name in names:
            after = at if end in at else next_patterns(patterns, at, name)
            if not after:
                continue
            member = below + name
            path = os.path.join(top, member)
            this.progress.pause(NAME_COST)
            try:
                info = os.stat(path)
                into = stat.S_ISDIR(info.st_mode)
                if into and repeats and name in links:
                    stand_in(*repeats, files, this)
                    continue
                if name in links:
                    record_links(path, this, whole=into)
                if into:
                    onward = passing(patterns, after)
                    ahead.append(
                        (f'{member}/', onward, name in links, inside, repeats),
                    )
                elif end in after:
                    files[member] = digest_member(path, member, info, this)
                elif name in links:
                    # It may be a directory of matches some day, elsewhere.
                    trace(path, info, this)
            except OSError as error:
                this.cache.complete = False
                if not is_gone(error, path):
                    unreadable[member] = describe_error(error)
        todo.extend(reversed(ahead))
    return Reading(kind, files, unreadable)


def stand_in(name: str, first: str, files: dict[str, bytes], this: Pass) -> None:
    """Make a directory that was entered by another name before a member itself."""
    if name not in files:
        files[name] = xxh3_128_digest(os.fsencode(first))
        this.cache.stamps.append(this.cache.directories[this.cache.prefix + name])


@contextlib.contextmanager
def open_directory(path: str) -> Iterator[int]:
    """Open a directory. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def trace(path: str, info: os.stat_result, this: Pass) -> None:
    """Keep the stamp of something that is no file, but shows a change."""
    once = path not in this.before.directories
    this.cache.directories[path] = UNSURE if once else worth(info, this.terms)


def listing(fd: int, path: str, this: Pass) -> tuple[list[str], set[str]]:
    """Return the names in a directory, sorted, and which of them are links.

    fd: the directory, open. Raises OSError.
    """
    # A kubelet moves ..data first and then adds and removes names: known before
    # the names are, a move shows.
    link = f'{path}/..data'
    record_link(link, points(link), this)
    ignored = matcher(this.ignore)
    # A name that is removed and created again may be returned twice (readdir(3p)).
    names = set()
    links = set()
    with os.scandir(fd) as entries:
        for entry in entries:
            this.progress.pause(NAME_COST)
            if not (entry.name.startswith('..') or ignored(entry.name)):
                names.add(entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
    return sorted(names), links


def hashed_names(names: Sequence[str], links: set[str]) -> int:
    """Return a hash, good for this process, of what listing() found."""
    return hash((tuple(names), frozenset(links)))


def hash_listing(path: str, this: Pass) -> int:
    """Return hashed_names() of a directory as it is now. Raises OSError."""
    with open_directory(path) as fd:
        return hashed_names(*listing(fd, path, this))


def digest_member(path: str, name: str, info: os.stat_result, this: Pass) -> bytes:
    """Return the digest of a file, which is read unless its stamp is still valid.

    name: of the file in the cache. info: what stat just said.
    Raises OSError, without an errno if it is no regular file.
    """
    before = this.before.reading.files.get(name, b'') if this.before.reading else b''
    stamp = this.known.get(name, UNSURE)
    if valid(stamp, info, this.cache.prefix, name, this.terms):
        date(info, this)
        value = before
    else:
        opened, value = digest_file(path, info, this.progress)
        stamp = UNSURE
        if opened:
            date(opened, this)
            # One read proves nothing: a writer that stat does not show may have been
            # halfway through.
            stamp = worth(opened, this.terms) if value == before else UNSURE
    this.cache.stamps.append(stamp)
    return value


def hash_file_again(path: str, this: Pass) -> bytes:
    """Return the digest of a file that stat says is as it was. Raises OSError."""
    return digest_file(path, os.stat(path), this.progress)[1]


def date(info: os.stat_result, this: Pass) -> None:
    """Note when a file or directory was changed, if the caller asks for dates.

    A rename sets the ctime of the directory that is renamed, and of no file in it.
    """
    if this.dates:
        this.newest = max(this.newest, info.st_mtime, info.st_ctime)


def renamed_at(directory: str, file: os.stat_result) -> float:
    """Return when a directory above a file was renamed; 0.0 if that cannot be known.

    A new name in a directory sets its mtime and its ctime, a rename only its ctime.
    A directory of another file system counts for nothing: that of a file that is
    mounted by itself comes from the image of the container.
    """
    try:
        info = os.stat(directory)
    except OSError:
        return 0.0
    if info.st_dev != file.st_dev or info.st_ctime_ns <= info.st_mtime_ns:
        return 0.0
    return info.st_ctime


def record_links(path: str, this: Pass, whole: bool) -> None:
    """Record the targets of the links on the way to a path, and the dates of that way.

    These are, if dates are asked for, when a link was made or a directory renamed.
    whole: more than one file is read there, so that its own link counts too.
    """
    info = None
    if this.dates:
        with contextlib.suppress(OSError):
            info = os.stat(path or '.')
    for step, target, last in steps(path):
        if info:
            date = link_date(step) if target else renamed_at(step, info)
            this.newest = max(this.newest, date)
        if whole or not last:
            record_link(step, target, this)


def record_link(link: str, target: str, this: Pass) -> None:
    """Record the target of a link before anything is read through it."""
    if target:
        this.links.setdefault(link, target)
        this.passed.add(link)


def link_date(link: str) -> float:
    """Return when a link was made, in seconds of CLOCK_REALTIME; 0.0 if it is gone."""
    try:
        info = os.lstat(link)
    except OSError:
        return 0.0
    return max(info.st_mtime, info.st_ctime)
