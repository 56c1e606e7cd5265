"""Which mounts there are, and what a path passes on its way; touches no file.

But for links, and only those on file systems that answer by themselves: what is
asked here is asked before anything is touched that may hang.
"""
from __future__ import annotations

import functools
import os
import select
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

LINKS = 40  # MAXSYMLINKS, include/linux/namei.h
MOUNTINFO = '/proc/self/mountinfo'
BACKING = '/sys/dev/block/7:{}/loop/backing_file'
# File systems of this machine, where stat shows every write: the kernel sets the
# ctime at each, when it begins. (Not at one to a page that is mapped and already
# dirty, on tmpfs to any that is mapped; nor when a write that takes long ends.) An
# overlay is as exact as what lies below it, and that is as good as always local.
EXACT = frozenset((
    'ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'bcachefs', 'zfs', 'f2fs', 'jfs',
    'nilfs2', 'ubifs', 'squashfs', 'erofs', 'overlay', 'tmpfs', 'ramfs', 'rootfs',
))
# Those whose reads end without the help of another machine or process.
SAFE = EXACT | frozenset((
    'reiserfs', 'jffs2', 'cramfs', 'romfs', 'iso9660', 'udf', 'vfat', 'msdos',
    'exfat', 'ntfs3', 'hfsplus', 'aufs', 'devtmpfs', 'devpts', 'proc', 'sysfs',
    'cgroup', 'cgroup2', 'mqueue', 'nsfs', 'bpf', 'configfs', 'debugfs', 'tracefs',
    'securityfs', 'selinuxfs', 'smackfs', 'pstore', 'efivarfs', 'hugetlbfs',
    'binfmt_misc', 'fusectl', 'resctrl', 'rpc_pipefs',
))


class Mount(NamedTuple):
    """A row of mountinfo (proc(5)).

    root: what of its file system is mounted, '/' for all of it. device: as in
    st_dev, though btrfs and overlay give their files others. options: of the
    file system.
    """

    point: str
    root: str
    kind: str
    device: int
    options: str = ''


class Table(NamedTuple):
    """What a look has to know of all mounts.

    risky: the mount points whose reads may hang; away: one of them is neither
        below /proc nor /sys (autofs, lxcfs).
    inexact: the devices where stat may not show a write.
    """

    risky: frozenset[str]
    away: bool
    inexact: frozenset[int]


def rows(path: str) -> Iterator[Mount]:
    """Yield the mounts; the last one on a point is the one that is seen.

    Raises OSError, also for a table that cannot be parsed: without an errno.
    """
    with open(path, 'rb') as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield parse(line)
            except (IndexError, ValueError, OverflowError) as error:
                raise OSError(f'line {number} cannot be parsed') from error


def parse(line: bytes) -> Mount:
    """Return the mount of a line of mountinfo; its type may be missing.

    Raises IndexError, ValueError or OverflowError.
    """
    mount, _, system = line.partition(b' - ')
    fields = mount.split(b' ')
    major, minor = fields[2].split(b':')
    kind, *more = system.split() or (b'unknown',)
    return Mount(
        unescape(fields[4]), unescape(fields[3]), os.fsdecode(kind),
        os.makedev(int(major), int(minor)), unescape(b''.join(more[-1:])),
    )


def unescape(field: bytes) -> str:
    """Return a field of mountinfo; the kernel writes blanks and others as \\ooo.

    Any other backslash stands for itself: 9p prints its options as they were given
    (aname=drvfs;path=C:\\Users).
    """
    if b'\\' in field:
        # Imported only if it is needed: most machines have no such mount.
        import re
        field = re.sub(
            rb'\\([0-3][0-7]{2})', lambda match: bytes((int(match[1], 8),)), field,
        )
    return os.fsdecode(field)


def summed(mounts: Iterator[Mount]) -> Table:
    """Return what a look has to know of these mounts.

    '/' is risky where it is not listed: in a chroot that is no mount point. A
    point that is mounted over counts with all its mounts.
    """
    listed = set()
    risky = set()
    inexact = set()
    lying = []
    for mount in mounts:
        listed.add(mount.point)
        if mount.kind not in SAFE:
            risky.add(mount.point)
        if mount.kind not in EXACT:
            inexact.add(mount.device)
        under = below(mount)
        if under:
            lying.append((mount.point, under))
    risky |= {'/'} - listed
    # An overlay may lie on an overlay.
    for _ in lying:
        risky |= {
            point for point, under in lying
            if any(step in risky for path in under for step, _, _ in steps(path))
        }
    away = any(not point.startswith(('/proc/', '/sys/')) for point in risky)
    return Table(frozenset(risky), away, frozenset(inexact))


def below(mount: Mount) -> list[str]:
    """Return the paths that a mount lies on, as far as they are told, and are ours.

    The layers of an overlay (in a container they are the host's, and say nothing
    here), and the image of a loop device, major 7 (devices.txt).
    """
    if mount.kind == 'overlay':
        return [
            path for option in mount.options.split(',')
            for name, _, value in (option.partition('='),)
            if name in ('lowerdir', 'lowerdir+', 'datadir+', 'upperdir')
            for path in value.split(':')
        ]
    if os.major(mount.device) == 7:
        try:
            with open(BACKING.format(os.minor(mount.device)), 'rb') as file:
                return [os.fsdecode(file.read().rstrip(b'\n'))]
        except OSError:
            return []
    return []


class Watched:
    """The mount table, which is read again only when it has changed.

    The kernel says so by POLLPRI (mounts_poll in fs/proc_namespace.c), once for
    each time the file was opened: a child that was forked must not ask.
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.table: Table | None = None
        self.news = select.poll()
        self.news.register(self.fd, select.POLLPRI)
        # Opened before it is read: no change is lost between.
        self.read()

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # os is no more by the time the interpreter ends.
        close(self.fd)

    def read(self) -> Table:
        """Return the table as it is now. Raises OSError."""
        # The news is gone once it was told: what fails now is still to be read.
        self.table = None
        self.table = summed(rows(self.path))
        return self.table

    def now(self) -> Table:
        """Return the table: the same object as long as nothing has changed."""
        news = self.news.poll(0)
        return self.read() if news or self.table is None else self.table


@functools.lru_cache(maxsize=1)
def watched(path: str) -> Watched:
    """Return the table of this process, opened once. Raises OSError."""
    return Watched(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def table() -> Table | None:
    """Return the mount table as it is now; None if it cannot be read or parsed."""
    try:
        return watched(MOUNTINFO).now()
    except OSError:
        return None


def can_hang(paths: Sequence[str]) -> bool:
    """Return whether a look at the paths may hang for ever; never hangs itself.

    Every mount that a path passes must be of a type in SAFE, for a name is
    looked up on each; links are read only on those. A directory or a glob may
    hold a link or a mount to anywhere, so there no other mount may be, but for
    those below /proc and /sys (autofs, lxcfs).

    Not covered: an overlay whose layers only the host can see, a block device
    that is not of this machine, and what is mounted or linked between this and
    the look.
    """
    known = table()
    return known is None or '/' in known.risky or any(
        any(step in known.risky or magic(step) for step, _, _ in steps(path))
        or (known.away and (wildcard(path) or os.path.isdir(path)))
        for path in paths
    )


def wildcard(path: str) -> bool:
    """Return whether a path can be read as a glob."""
    return any(letter in path for letter in '*?[')


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


def points(link: str) -> str:
    """Return where a link points; '' if it is none."""
    try:
        return os.readlink(link)
    except (OSError, ValueError):  # ValueError: a NUL, from a table of the kernel
        return ''


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
