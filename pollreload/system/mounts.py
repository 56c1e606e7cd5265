"""Read the mount table and find out whether a path may hang.

This accesses no file, except links on file systems that need no other machine or
process to answer: it is called before any access that may hang.
"""

import functools
import os
import select
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pollreload.system.path_steps import magic, steps, wildcard

MOUNTINFO = '/proc/self/mountinfo'
BACKING = '/sys/dev/block/7:{}/loop/backing_file'
# Local file systems on which stat shows every write: the kernel sets the ctime when
# a write begins. (Not for a write to a mapped page that is already dirty, on tmpfs
# to any mapped page; nor when a long write ends.) An overlay is as exact as its
# layers, which are nearly always local.
EXACT = frozenset((
    'ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'bcachefs', 'zfs', 'f2fs', 'jfs',
    'nilfs2', 'ubifs', 'squashfs', 'erofs', 'overlay', 'tmpfs', 'ramfs', 'rootfs',
))
# File systems whose reads end without the help of another machine or process.
SAFE = EXACT | frozenset((
    'reiserfs', 'jffs2', 'cramfs', 'romfs', 'iso9660', 'udf', 'vfat', 'msdos',
    'exfat', 'ntfs3', 'hfsplus', 'aufs', 'devtmpfs', 'devpts', 'proc', 'sysfs',
    'cgroup', 'cgroup2', 'mqueue', 'nsfs', 'bpf', 'configfs', 'debugfs', 'tracefs',
    'securityfs', 'selinuxfs', 'smackfs', 'pstore', 'efivarfs', 'hugetlbfs',
    'binfmt_misc', 'fusectl', 'resctrl', 'rpc_pipefs',
))


class Mount(NamedTuple):
    """A row of mountinfo (proc(5)).

    root: the mounted part of its file system, '/' for all of it. device: as in
    st_dev, although files on btrfs and overlay have others. options: of the file
    system.
    """

    point: str
    root: str
    kind: str
    device: int
    options: str = ''


class Table(NamedTuple):
    """A summary of all mounts.

    risky: the mount points whose reads may hang; away: one of them is neither
        below /proc nor /sys (autofs, lxcfs).
    inexact: the devices on which stat may not show a write.
    """

    risky: frozenset[str]
    away: bool
    inexact: frozenset[int]


def read_mounts(path: str) -> Iterator[Mount]:
    """Yield the mounts; the last one on a mount point is the visible one.

    Raises OSError; without an errno if the table cannot be parsed.
    """
    with open(path, 'rb') as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield parse_mount(line)
            except (IndexError, ValueError, OverflowError) as error:
                raise OSError(f'line {number} cannot be parsed') from error


def parse_mount(line: bytes) -> Mount:
    """Parse a line of mountinfo; its type may be missing.

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
    """Decode a field of mountinfo; the kernel writes blanks and others as \\ooo.

    Any other backslash stands for itself: 9p prints its options unescaped
    (aname=drvfs;path=C:\\Users).
    """
    if b'\\' in field:
        # Imported only if it is needed: most machines have no such mount.
        import re
        field = re.sub(
            rb'\\([0-3][0-7]{2})', lambda match: bytes((int(match[1], 8),)), field,
        )
    return os.fsdecode(field)


def summarize_mounts(mounts: Iterator[Mount]) -> Table:
    """Summarize mounts.

    '/' is risky if it is not listed: in a chroot that is not a mount point. A mount
    point with several mounts counts with all of them.
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
        under = underlying_paths(mount)
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


def underlying_paths(mount: Mount) -> list[str]:
    """Return the paths that hold the files of a mount, as far as they are known.

    These are the layers of an overlay (in a container they are paths of the host,
    which mean nothing here) and the image of a loop device, major 7 (devices.txt).
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

    The kernel reports a change by POLLPRI (mounts_poll in fs/proc_namespace.c), once
    for each open file: a forked child must not poll it.
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.table: Table | None = None
        self.news = select.poll()
        self.news.register(self.fd, select.POLLPRI)
        # Opened before it is read, so that no change in between is lost.
        self.read()

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # The module os may be gone when the interpreter ends.
        close(self.fd)

    def read(self) -> Table:
        """Read the table. Raises OSError."""
        # POLLPRI is reported once: after a failure the table must be read again.
        self.table = None
        self.table = summarize_mounts(read_mounts(self.path))
        return self.table

    def now(self) -> Table:
        """Return the table: the same object as long as nothing has changed."""
        news = self.news.poll(0)
        return self.read() if news or self.table is None else self.table


@functools.lru_cache(maxsize=1)
def open_mount_table(path: str) -> Watched:
    """Return the table of this process, opened once. Raises OSError."""
    return Watched(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def mount_table() -> Table | None:
    """Return the mount table as it is now; None if it cannot be read or parsed."""
    try:
        return open_mount_table(MOUNTINFO).now()
    except OSError:
        return None


def can_hang(paths: Sequence[str]) -> bool:
    """Return whether reading the paths may hang forever; never hangs itself.

    Every mount on the way to a path must be of a type in SAFE, because names are
    looked up on each; links are read only on those. A directory or a glob may hold
    a link or a mount to anywhere, so all other mounts must be safe, except those
    below /proc and /sys (autofs, lxcfs).

    Not covered: an overlay whose layers only the host can see, a block device of
    another machine, and a mount or link made between this call and the read.
    """
    known = mount_table()
    return known is None or '/' in known.risky or any(
        any(step in known.risky or magic(step) for step, _, _ in steps(path))
        or (known.away and (wildcard(path) or os.path.isdir(path)))
        for path in paths
    )


class Place(NamedTuple):
    """The mount of a path, found without access to a file that may hang.

    root, kind: of its mount, see Mount.
    itself: the path is the mount point; kubelet: a ..data link leads to it.
    """

    root: str
    kind: str
    itself: bool
    kubelet: bool


def find_mount(path: str, mounts: dict[str, tuple[str, str]]) -> Place:
    """Find the mount of a path without access to a file that may hang.

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


def point_of(name: str, mounts: dict[str, tuple[str, str]]) -> str:
    """Return the mount point that a resolved name is on."""
    while name not in mounts:
        name = name.rpartition('/')[0] or '/'
    return name


def is_subpath(root: str) -> bool:
    """Return whether the root of a mount is part of a kubelet's volume (subPath).

    A subPath is resolved once, when the container starts: the mount shows the
    target of ..data at that time, a directory such as
    ..2026_01_31_12_00_00.123456789 (atomic_writer.go), or a directory below
    volume-subpaths (subpath_linux.go).
    """
    parts = root.split('/')
    return 'volume-subpaths' in parts or any(
        part.startswith('..20') for part in parts
    )
