"""Read what is at the paths; the only place that opens a watched file.

Every function that reads may hang for as long as the file system does; can_hang
tells, without touching it, whether that may be for ever.
"""
from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence

from xxhash import xxh3_128, xxh3_128_digest

from pollreload.change import Sight, Snapshot

CHUNK = 1 << 20  # bytes read at once, and between two questions whether to stop
LOOKS = 5
LINKS = 40  # MAXSYMLINKS, include/linux/namei.h
FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
MOUNTINFO = '/proc/self/mountinfo'

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
SPECIAL = {
    stat.S_IFDIR: 'is a directory',
    stat.S_IFIFO: 'is a FIFO',
    stat.S_IFSOCK: 'is a socket',
    stat.S_IFCHR: 'is a device',
    stat.S_IFBLK: 'is a device',
}
REPLACED = 'kept being replaced while it was read'

# File systems whose reads end without the help of another machine or process.
SAFE = frozenset((
    'ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'bcachefs', 'zfs', 'f2fs',
    'jfs', 'reiserfs', 'nilfs2', 'ubifs', 'jffs2', 'squashfs', 'erofs',
    'cramfs', 'romfs', 'iso9660', 'udf', 'vfat', 'msdos', 'exfat',
    'ntfs3', 'hfsplus', 'overlay', 'aufs', 'tmpfs', 'ramfs', 'rootfs',
    'devtmpfs', 'devpts', 'proc', 'sysfs', 'cgroup', 'cgroup2', 'mqueue',
    'nsfs', 'bpf', 'configfs', 'debugfs', 'tracefs', 'securityfs',
    'selinuxfs', 'smackfs', 'pstore', 'efivarfs', 'hugetlbfs',
    'binfmt_misc', 'fusectl', 'resctrl', 'rpc_pipefs',
))


class Stopped(Exception):
    """Raised inside a look when its stop() became true."""


class Pass:
    """What one pass over all paths is told and gathers; fields only.

    alone: there is one path, so that a plain file needs no care for its set.
    newest: as in Snapshot.
    links: the links that a set of files hangs on -> target, as first read.
    passed: those among them that the path being read depends on.
    owed: what was read since stop was asked, see pause.
    """

    __slots__ = (
        'alone', 'dates', 'ignore', 'links', 'newest', 'owed', 'passed', 'stop',
    )

    def __init__(
            self, ignore: tuple[str, ...], dates: bool, alone: bool,
            stop: Callable[[], bool],
    ) -> None:
        self.ignore = ignore
        self.dates = dates
        self.alone = alone
        self.stop = stop
        self.newest = 0.0
        self.links: dict[str, str] = {}
        self.passed: set[str] = set()
        self.owed = 0


def never() -> bool:
    """Return False: nothing stops the look."""
    return False


def look(
        paths: Sequence[str], ignore: Sequence[str], dates: bool = False,
        stop: Callable[[], bool] = never,
) -> Snapshot | None:
    """Return what one reading of all paths saw, or None where it was stopped.

    ignore: patterns of names that are left out below a directory and in the
        matches of a glob; names that begin with '..' always are.
    dates: whether Snapshot.newest is asked for; it costs some system calls.
    stop: asked for each 1 MiB and for each 64 files.

    Files that are reached through the same link to a directory (a kubelet's
    ..data, the current of a release) come from one target of that link: where
    it moved meanwhile all is read again, and after some times given up.
    """
    try:
        for _ in range(LOOKS):
            this = Pass(tuple(ignore), dates, len(paths) == 1, stop)
            sights = []
            passed = []
            for path in paths:
                this.passed = set()
                sights.append(sight(path, this))
                passed.append(this.passed)
            moved = {
                link for link, target in this.links.items() if points(link) != target
            }
            if not moved:
                return Snapshot(tuple(sights), this.newest)
    except Stopped:
        return None
    torn = Sight('', {}, {'': REPLACED})
    return Snapshot(
        tuple(
            torn if links & moved else seen
            for seen, links in zip(sights, passed, strict=True)
        ),
        this.newest,
    )


def sight(path: str, this: Pass) -> Sight:
    """Return what is at one path: a file, a directory, or what a glob matches."""
    if this.dates or not this.alone:
        follow(path, this, whole=True)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        # Only what is not there by this very name is a glob: what is there and
        # cannot be read must not turn into its neighbours.
        if wildcard(path):
            return tree('glob', *split(path), this)
        return Sight('', {}, {'': reason(error)})
    if stat.S_ISDIR(mode):
        return tree('directory', path, (), this)
    pause(this, CHUNK // 64)
    try:
        return Sight('file', {'': read(path, mode, this)}, {})
    except OSError as error:
        return Sight('', {}, {'': reason(error)})


def tree(kind: str, top: str, patterns: tuple[str, ...], this: Pass) -> Sight:
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
    while todo:
        below, at, linked, above = todo.pop()
        path = os.path.join(top, below) or '.'
        try:
            info = os.stat(path)
            here = (info.st_dev, info.st_ino)
            if linked and (here in above or (here, at) in entered):
                continue
            names, links = listing(path, this)
        except OSError as error:
            if not below:
                return Sight('', {}, {'': reason(error)})
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
                mode = os.stat(path).st_mode
                into = stat.S_ISDIR(mode)
                if name in links:
                    follow(path, this, whole=into)
                if into:
                    onward = passing(patterns, after)
                    ahead.append((f'{member}/', onward, name in links, inside))
                elif end in after:
                    files[member] = read(path, mode, this)
            except OSError as error:
                # What cannot be a match must not alarm, unless it may be a
                # directory of matches that cannot be reached now.
                if not vanished(error, path, end not in after):
                    unreadable[member] = reason(error)
        todo.extend(reversed(ahead))
    return Sight(kind, files, unreadable)


def listing(path: str, this: Pass) -> tuple[list[str], set[str]]:
    """Return the names in a directory, sorted, and which of them are links.

    Raises OSError.
    """
    # A kubelet moves ..data first and then adds and removes names: known before
    # the names are, a move shows.
    link = f'{path}/..data'
    note(link, points(link), this)
    ignored = matcher(this.ignore)
    names = []
    links = set()
    with os.scandir(path) as entries:
        for entry in entries:
            if not (entry.name.startswith('..') or ignored(entry.name)):
                names.append(entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
    names.sort()
    return names, links


def read(path: str, mode: int, this: Pass) -> bytes:
    """Return the digest of a regular file.

    mode: what stat just said; nothing else is opened, for to open a FIFO or a
        device can hurt whoever is at its other end.
    Raises OSError, without an errno where it is no regular file.
    """
    regular(mode)
    file = os.open(path, FLAGS)
    try:
        info = os.fstat(file)
        regular(info.st_mode)
        digest = hashed(file, info.st_size, this)
    finally:
        os.close(file)
    if this.dates:
        this.newest = max(this.newest, info.st_mtime, info.st_ctime)
    return digest


def hashed(file: int, size: int, this: Pass) -> bytes:
    """Return the digest of what is read from a file up to its end.

    size: what fstat says. FUSE, proc and sysfs say another than they give, so
        that only a read which returns just that much has met the end.
    Raises OSError.
    """
    content = os.read(file, size + 1) if size <= CHUNK else b''
    pause(this, len(content))
    if len(content) == size:
        return xxh3_128_digest(content)
    digest = xxh3_128(content)
    buffer = memoryview(bytearray(CHUNK))
    while count := os.readv(file, (buffer,)):
        digest.update(buffer[:count])
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


def regular(mode: int) -> None:
    """Raise OSError for anything but a regular file."""
    if not stat.S_ISREG(mode):
        raise OSError(SPECIAL.get(stat.S_IFMT(mode), 'is not a regular file'))


def reason(error: OSError) -> str:
    """Return for a person why something could not be read."""
    if error.errno is None:
        return str(error)
    return REASONS.get(error.errno) or os.strerror(error.errno).lower()


def vanished(error: OSError, path: str, dangling: bool = False) -> bool:
    """Return whether an error only says that a name is gone by now.

    dangling: whether a link that is there, and leads nowhere, counts as gone.
    """
    if error.errno not in (errno.ENOENT, errno.ENOTDIR):
        return False
    return dangling or not os.path.lexists(path)


def wildcard(path: str) -> bool:
    """Return whether a path can be read as a glob."""
    return any(letter in path for letter in '*?[')


def split(path: str) -> tuple[str, tuple[str, ...]]:
    """Return the directory that a glob starts from, with a slash, and its patterns."""
    parts = path.split('/')
    literal = next(index for index, part in enumerate(parts) if wildcard(part))
    return ''.join(f'{part}/' for part in parts[:literal]), tuple(parts[literal:])


def advance(patterns: Sequence[str], at: frozenset[int], name: str) -> frozenset[int]:
    """Return which patterns come next after a name, of those that came before it.

    len(patterns) stands for a match of them all.
    """
    after = set()
    for index in at:
        if patterns[index] != '**':
            if matcher((patterns[index],), hidden=False)(name):
                after.add(index + 1)
        elif not name.startswith('.'):
            after.add(index)
    return frozenset(after)


def passing(patterns: Sequence[str], at: set[int] | frozenset[int]) -> frozenset[int]:
    """Return which patterns may come next in a directory: '**' may match nothing.

    So may the empty one after a last slash, which asks for a directory.
    """
    after = set(at)
    for index, pattern in enumerate(patterns):
        if index in after and pattern in ('', '**'):
            after.add(index + 1)
    return frozenset((len(patterns),)) if len(patterns) in after else frozenset(after)


@functools.lru_cache(maxsize=64)
def matcher(
        patterns: tuple[str, ...], hidden: bool = True,
) -> Callable[[str], object]:
    """Return a function that tells whether a name matches one of the patterns.

    hidden: whether a wildcard matches a first dot.
    """
    # Not at the top of the module: a watch on one plain file needs neither.
    import fnmatch
    import re
    if not patterns:
        return lambda name: False
    return re.compile('|'.join(
        ('' if hidden or pattern.startswith('.') else r'(?!\.)')
        + fnmatch.translate(pattern)
        for pattern in patterns
    )).match


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


def points(link: str) -> str:
    """Return where a link points; '' where it is none."""
    try:
        return os.readlink(link)
    except OSError:
        return ''


def latest(link: str) -> float:
    """Return when a link was made, in seconds of CLOCK_REALTIME; 0.0 if it is gone."""
    try:
        info = os.lstat(link)
    except OSError:
        return 0.0
    return max(info.st_mtime, info.st_ctime)


def steps(path: str) -> Iterator[tuple[str, str, bool]]:
    """Yield every name that the kernel passes on the way to a path.

    Each is an absolute name, where it points if it is a link, else '', and
    whether it is the last of the path or of the target of a last link. The
    names above it are no links (path_resolution(7)). Each is first yielded as
    if it were no link, and only touched when the next one is asked for.
    """
    if not path.startswith('/'):
        try:
            path = os.path.join(os.getcwd(), path)
        except FileNotFoundError:
            return  # and so is every file below it
    rest = parted(path)
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
            rest.extend(parted(target))
        else:
            at = step


def parted(path: str) -> list[str]:
    """Return the names of a path, the last one first."""
    return [part for part in reversed(path.split('/')) if part not in ('', '.')]


def magic(step: str) -> bool:
    """Return whether a name is a /proc/PID/root or cwd.

    These do not lead where readlink says, but into the mounts of that process
    (proc(5)); a proc may be mounted anywhere, so the name decides.
    """
    above, _, name = step.rpartition('/')
    return name in ('root', 'cwd') and above.rpartition('/')[2].isdecimal()


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


def can_hang(paths: Sequence[str]) -> bool:
    """Return whether a look at the paths may hang for ever; never hangs itself.

    Every mount that a path passes must be of a type in SAFE, for a name is
    looked up on each; links are read only on those. A directory or a glob may
    hold a link or a mount to anywhere, so there no other mount may be, but for
    those below /proc and /sys (autofs, lxcfs).

    Not covered: an overlay, a loop or a block device that itself lies on a file
    system which can hang, and what is mounted or linked between this and the look.
    """
    try:
        risky = hanging()
    except OSError:
        return True
    away = any(not point.startswith(('/proc/', '/sys/')) for point in risky)
    return '/' in risky or any(
        any(step in risky or magic(step) for step, _, _ in steps(path))
        or (away and (wildcard(path) or os.path.isdir(path)))
        for path in paths
    )


def hanging() -> set[str]:
    """Return the mount points whose reads may hang, from mountinfo (proc(5)).

    '/' is among them where it is not listed: in a chroot that is no mount point.
    A point that is mounted over counts with all its mounts.
    Raises OSError.
    """
    listed = set()
    risky = set()
    for point, _, kind in mounts():
        listed.add(point)
        if kind not in SAFE:
            risky.add(point)
    return risky if '/' in listed else risky | {'/'}


def mounts() -> Iterator[tuple[str, str, str]]:
    """Yield mount point, root and type of each mount in mountinfo (proc(5)).

    The root is what of its file system is mounted, '/' for all of it. The last
    mount on a point is the one that is seen. Raises OSError.
    """
    with open(MOUNTINFO, 'rb') as lines:
        for line in lines:
            mount, _, kind = line.partition(b' - ')
            fields = mount.split(b' ')
            yield unescaped(fields[4]), unescaped(fields[3]), os.fsdecode(
                kind.partition(b' ')[0],
            )


def unescaped(field: bytes) -> str:
    """Return a name in mountinfo: octal for blank, tab, newline and backslash."""
    return os.fsdecode(field.decode('unicode_escape').encode('latin-1'))
