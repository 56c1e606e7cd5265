"""Read what is at the paths; the only place that opens a watched file.

Every function that reads may hang for as long as the file system does;
mounts.can_hang tells, without touching it, whether that may be for ever.
"""
from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence

from xxhash import xxh3_128, xxh3_128_digest

from pollreload.core.change import EMPTY, Reading, Snapshot
from pollreload.system.globs import (
    advance,
    matcher,
    matches_itself,
    passing,
    split,
)
from pollreload.system.mounts import points, steps, wildcard
from pollreload.system.safe_open import check_regular, open_regular
from pollreload.system.stat_cache import (
    UNSURE,
    Shelf,
    Terms,
    Trail,
    known,
    put,
    stands,
    valid,
    worth,
)

TERMS = Terms()
NEVER = UNSURE, b''  # read so far
CHUNK = 1 << 18  # bytes read at once: they stay in the second cache of a core
LOOKS = 5
NULL = os.makedev(1, 3)  # /dev/null, devices.txt
# The words of strerror differ between C libraries, and EAGAIN's mislead.
REASONS = {
    errno.ENOENT: 'no such file',
    errno.ENOTDIR: 'not a directory',
    errno.EACCES: 'permission denied',
    errno.EIO: 'i/o error',
    errno.ESTALE: 'stale file handle',
    errno.EAGAIN: 'leased by another process',
    errno.ELOOP: 'too many levels of symbolic links',
    errno.ENAMETOOLONG: 'file name too long',
}
REPLACED = 'kept being replaced while it was read'


class Stopped(Exception):
    """Raised inside a look when its stop() became true."""


class Pass:
    """What one pass over all paths is told and gathers; fields only.

    alone: there is one path, so that a plain file needs no care for its set.
    newest: as in Snapshot.
    links: the links that a set of files hangs on -> target, as first read.
    passed: those among them that the path being read depends on.
    terms, trail: what a stamp is worth, and what is found at the path being read.
    owed: what was read since stop was asked, see pause.
    tally: how many files and bytes were read, to be added to.
    """

    __slots__ = (
        'alone', 'dates', 'ignore', 'links', 'newest', 'owed', 'passed', 'stop',
        'tally', 'terms', 'trail',
    )

    def __init__(
            self, ignore: tuple[str, ...], dates: bool, alone: bool,
            stop: Callable[[], bool], terms: Terms, tally: list[int],
    ) -> None:
        self.ignore = ignore
        self.dates = dates
        self.alone = alone
        self.stop = stop
        self.terms = terms
        self.trail = Trail({})
        self.newest = 0.0
        self.links: dict[str, str] = {}
        self.passed: set[str] = set()
        self.owed = 0
        self.tally = tally


def never() -> bool:
    """Return False: nothing stops the look."""
    return False


def look(
        paths: Sequence[str], ignore: Sequence[str], dates: bool = False,
        stop: Callable[[], bool] = never, terms: Terms = TERMS,
        shelves: Sequence[Shelf] = (), tally: list[int] | None = None,
) -> Snapshot | None:
    """Return what one reading of all paths saw, or None where it was stopped.

    ignore: patterns of names that are left out below a directory and in the
        matches of a glob; names that begin with '..' always are.
    dates: whether Snapshot.newest is asked for; it costs some system calls.
    stop: asked for each CHUNK that is read and for each 64 files.
    shelves: one for each path, where the look before left what it saw: what stat
        says to be as it was, by the terms, is then not read again.
    tally: how many files and bytes were read, which is added to.

    Files that are reached through the same link to a directory (a kubelet's
    ..data, the current of a release) come from one target of that link: where
    it moved meanwhile all is read again, and after some times given up.
    """
    shelves = shelves or [Shelf() for _ in paths]
    tally = [0, 0] if tally is None else tally
    try:
        this = Pass(tuple(ignore), dates, len(paths) == 1, stop, terms, tally)
        stood = [] if dates else standing(paths, shelves, this)
        if len(stood) == len(paths):
            return Snapshot(tuple(stood))
        for _ in range(LOOKS):
            this = Pass(tuple(ignore), dates, len(paths) == 1, stop, terms, tally)
            readings = []
            passed = []
            trails = []
            for path, shelf in zip(paths, shelves, strict=True):
                this.passed = set()
                this.trail = Trail(known(shelf))
                readings.append(sight(path, this))
                passed.append(this.passed)
                trails.append(this.trail)
            moved = {
                link for link, target in this.links.items() if points(link) != target
            }
            if not moved:
                for shelf, saw, trail in zip(shelves, readings, trails, strict=True):
                    put(shelf, saw, trail, terms)
                return Snapshot(tuple(readings), this.newest)
    except Stopped:
        return None
    torn = Reading('', {}, {'': REPLACED})
    return Snapshot(
        tuple(
            torn if links & moved else seen
            for seen, links in zip(readings, passed, strict=True)
        ),
        this.newest,
    )


def standing(
        paths: Sequence[str], shelves: Sequence[Shelf], this: Pass,
) -> list[Reading]:
    """Return what was seen on the first shelves, as far as it is still as it was.

    Raises Stopped.
    """
    stood = []
    for path, shelf in zip(paths, shelves, strict=True):
        if shelf.sight and shelf.sight.kind == 'glob' and literal(path):
            break
        seen = stands(
            shelf, this.terms, lambda path: reread(path, this),
            lambda path: relisted(path, this),
            lambda count: pause(this, count * (CHUNK // 64)),
        )
        if seen is None:
            break
        stood.append(seen)
    return stood


def sight(path: str, this: Pass) -> Reading:
    """Return what is at one path: a file, a directory, or what a glob matches."""
    if this.dates or not this.alone:
        follow(path, this, whole=True)
    if wildcard(path) and not literal(path):
        return tree('glob', *split(path), this)
    try:
        info = os.stat(path)
        if stat.S_ISDIR(info.st_mode):
            return tree('directory', path, (), this)
        if masked(info) and not os.path.islink(path):
            check_regular(info.st_mode)
        pause(this, CHUNK // 64)
        this.trail.prefix = path
        if this.dates:
            this.newest = max(this.newest, moved(os.path.dirname(path) or '.', info))
        return Reading('file', {'': digest(path, '', info, this)}, {})
    except OSError as error:
        return Reading('', {}, {'': reason(error)})


def literal(path: str) -> bool:
    """Return whether a path that can be read as a glob is the name of a file.

    What is there and cannot be read must not turn into its neighbours. A glob that
    matches its own name (/etc/app/*.conf) stays one: such a file is another match.
    """
    return not matches_itself(path) and os.path.lexists(path)


def tree(kind: str, top: str, patterns: tuple[str, ...], this: Pass) -> Reading:
    """Return what is below a directory, where its names match the patterns.

    patterns: one for each level; what is below the last is all taken.

    A link to a directory is entered once, and not if it leads to a directory
    that it is in. There is no recursion: a tree may be 2000 levels deep.
    """
    files: dict[str, bytes] = {}
    unreadable: dict[str, str] = {}
    entered = set()
    end = len(patterns)
    inside: frozenset[tuple[int, int]] = frozenset()
    todo = [('', passing(patterns, {0}), False, inside)]
    follow(top, this, whole=True)
    this.trail.prefix = os.path.join(top, '')
    while todo:
        below, at, linked, above = todo.pop()
        path = os.path.join(top, below) or '.'
        try:
            # One descriptor: what stat says must be of the very names that are read.
            with directory(path) as fd:
                info = os.fstat(fd)
                trace(path, info, this)
                date(info, this)
                here = (info.st_dev, info.st_ino)
                if linked and (here in above or (here, at) in entered):
                    continue
                names, links = listing(fd, path, this)
                this.trail.listed[path] = hashed_names(names, links)
        except OSError as error:
            if not below:
                return Reading('', {}, {'': reason(error)})
            this.trail.whole = False
            if not vanished(error, path):
                unreadable[below] = reason(error)
            continue
        if linked:
            entered.add((here, at))
        inside = above | {here}
        ahead = []
        for name in names:
            after = at if end in at else advance(patterns, at, name)
            if not after:
                continue
            member = below + name
            path = os.path.join(top, member)
            pause(this, CHUNK // 64)
            try:
                info = os.stat(path)
                into = stat.S_ISDIR(info.st_mode)
                if name in links:
                    follow(path, this, whole=into)
                if into:
                    onward = passing(patterns, after)
                    ahead.append((f'{member}/', onward, name in links, inside))
                elif end in after:
                    files[member] = digest(path, member, info, this)
                elif name in links:
                    # It may be a directory of matches some day, elsewhere.
                    trace(path, info, this)
            except OSError as error:
                this.trail.whole = False
                if not vanished(error, path):
                    unreadable[member] = reason(error)
        todo.extend(reversed(ahead))
    return Reading(kind, files, unreadable)


@contextlib.contextmanager
def directory(path: str) -> Iterator[int]:
    """Open a directory. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def trace(path: str, info: os.stat_result, this: Pass) -> None:
    """Leave a trace of something that is no file, but would show if it changed."""
    this.trail.directories.append(path)
    this.trail.stamps.append(worth(info, this.terms))


def listing(fd: int, path: str, this: Pass) -> tuple[list[str], set[str]]:
    """Return the names in a directory, sorted, and which of them are links.

    fd: the directory, open. Raises OSError.
    """
    # A kubelet moves ..data first and then adds and removes names: known before
    # the names are, a move shows.
    link = f'{path}/..data'
    note(link, points(link), this)
    ignored = matcher(this.ignore)
    # A name that is removed and made anew meanwhile may come twice (readdir(3p)).
    names = set()
    links = set()
    with os.scandir(fd) as entries:
        for entry in entries:
            if not (entry.name.startswith('..') or ignored(entry.name)):
                names.add(entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
    return sorted(names), links


def hashed_names(names: Sequence[str], links: set[str]) -> int:
    """Return a hash, good for this process, of what listing() found."""
    return hash((tuple(names), frozenset(links)))


def relisted(path: str, this: Pass) -> int:
    """Return hashed_names() of a directory as it is now. Raises OSError."""
    with directory(path) as fd:
        return hashed_names(*listing(fd, path, this))


def digest(path: str, name: str, info: os.stat_result, this: Pass) -> bytes:
    """Return the digest of a file, which is read unless its stamp still stands.

    name: that the shelf has for it. info: what stat just said.
    Raises OSError, without an errno where it is no regular file.
    """
    stamp, was = this.trail.known.get(name, NEVER)
    if valid(stamp, info, this.terms):
        date(info, this)
        value = was
    else:
        stamp, value = read(path, info, this)
        if value != was and this.trail.known:
            # Once is no settled content: who wrote it where stat does not tell may
            # be in the midst of it.
            stamp = UNSURE
    this.trail.files.append(stamp)
    return value


def reread(path: str, this: Pass) -> bytes:
    """Return the digest of a file of which stat just said that it is as it was.

    Raises OSError.
    """
    file = open_regular(path)
    try:
        return hashed(file, os.fstat(file).st_size, this)
    finally:
        os.close(file)


def read(path: str, info: os.stat_result, this: Pass) -> tuple[bytes, bytes]:
    """Return the stamp and the digest of a regular file.

    info: what stat just said. /dev/null is an empty file: a link to it masks a
        snippet (systemd.unit(5), firejail(1)).
    Raises OSError: NotRegular, without an errno, if it is no regular file.
    """
    if masked(info):
        return UNSURE, EMPTY
    check_regular(info.st_mode)
    file = open_regular(path)
    try:
        info = os.fstat(file)
        digest = hashed(file, info.st_size, this)
    finally:
        os.close(file)
    date(info, this)
    return worth(info, this.terms), digest


def masked(info: os.stat_result) -> bool:
    """Return whether a file is /dev/null, by that name or another."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == NULL


def date(info: os.stat_result, this: Pass) -> None:
    """Note when a file or directory was changed, if the caller asks for dates.

    A rename sets the ctime of the directory that is renamed, and of no file in it.
    """
    if this.dates:
        this.newest = max(this.newest, info.st_mtime, info.st_ctime)


def moved(directory: str, file: os.stat_result) -> float:
    """Return when the directory of a file was renamed; 0.0 if that cannot be known.

    A new name in a directory sets its mtime and its ctime, a rename only its ctime.
    A directory of another file system counts for nothing: that of a file that is
    mounted by itself comes from the image of the container.
    """
    info = os.stat(directory)
    if info.st_dev != file.st_dev or info.st_ctime_ns <= info.st_mtime_ns:
        return 0.0
    return info.st_ctime


def hashed(file: int, size: int, this: Pass) -> bytes:
    """Return the digest of what is read from a file up to its end.

    size: what fstat says. FUSE, proc and sysfs say another than they give, so
        that only a read which returns just that much has met the end.
    Raises OSError.
    """
    content = os.read(file, size + 1) if size <= CHUNK else b''
    this.tally[0] += 1
    this.tally[1] += len(content)
    pause(this, len(content))
    if len(content) == size:
        return xxh3_128_digest(content)
    digest = xxh3_128(content)
    buffer = memoryview(bytearray(CHUNK))
    while count := os.readv(file, (buffer,)):
        digest.update(buffer[:count])
        this.tally[1] += count
        pause(this, count)
    return digest.digest()


def pause(this: Pass, count: int) -> None:
    """Ask now and then whether to stop, for it costs a system call.

    count: bytes that were read; a name counts as CHUNK / 64.
    Raises Stopped.
    """
    this.owed += count
    if this.owed >= CHUNK:
        this.owed = 0
        if this.stop():
            raise Stopped


def reason(error: OSError) -> str:
    """Return for a person why something could not be read."""
    if error.errno is None:
        return str(error)
    return REASONS.get(error.errno) or os.strerror(error.errno).lower()


def vanished(error: OSError, path: str) -> bool:
    """Return whether an error only says that a file is gone, or a link dangles."""
    if error.errno not in (errno.ENOENT, errno.ENOTDIR):
        return False
    return os.path.islink(path) or not os.path.lexists(path)


def follow(path: str, this: Pass, whole: bool) -> None:
    """Note the links on the way to a path: their dates, and where they point.

    whole: more than one file is read there, so that its own link counts too.
    """
    for step, target, last in steps(path):
        if target and this.dates:
            this.newest = max(this.newest, latest(step))
        if whole or not last:
            note(step, target, this)


def note(link: str, target: str, this: Pass) -> None:
    """Note where a link pointed, if it is one, before anything is read through it."""
    if target:
        this.links.setdefault(link, target)
        this.passed.add(link)


def latest(link: str) -> float:
    """Return when a link was made, in seconds of CLOCK_REALTIME; 0.0 if it is gone."""
    try:
        info = os.lstat(link)
    except OSError:
        return 0.0
    return max(info.st_mtime, info.st_ctime)


def fingerprint(files: Sequence[Mapping[str, bytes] | None]) -> str:
    """Return 32 hex digits for the files of each path: names and digests.

    files: name -> digest, b'' for a member that cannot be read; None for a
        path of which nothing is known.
    """
    digest = xxh3_128()
    for members in files:
        # Every piece is led by its length, so that no two contents that
        # differ are the same bytes.
        digest.update(b'-;' if members is None else b'%d;' % len(members))
        for name, value in sorted(
                (os.fsencode(name), value) for name, value in (members or {}).items()
        ):
            digest.update(b'%d;%b%d;%b' % (len(name), name, len(value), value))
    return digest.hexdigest()
