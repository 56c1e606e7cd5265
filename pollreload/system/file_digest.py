"""The digest of one file: the only place that reads a watched file."""
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from xxhash import xxh3_128, xxh3_128_digest

from pollreload.core.reading import EMPTY
from pollreload.system.safe_open import check_regular, open_regular

CHUNK = 1 << 20  # bytes read at once: twice as many take the same CPU
RWF_DONTCACHE = 0x80  # linux/fs.h, since Linux 6.14; not in os
NAME_COST = CHUNK // 64  # a name counts as so many bytes, see Progress
NULL = os.makedev(1, 3)  # /dev/null, devices.txt
SIZE_UNITS = ('bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')
# The texts of strerror differ between C libraries, and that of EAGAIN misleads.
ERRNO_REASONS = {
    errno.ENOENT: 'no such file',
    errno.ENOTDIR: 'not a directory',
    errno.EACCES: 'permission denied',
    errno.EIO: 'i/o error',
    errno.ESTALE: 'stale file handle',
    errno.EAGAIN: 'leased by another process',
    errno.ELOOP: 'too many levels of symbolic links',
    errno.ENAMETOOLONG: 'file name too long',
}


class Stopped(Exception):
    """Raised inside a poll when its stop() became true."""


class TooLarge(OSError):
    """A file has more bytes than --max-file-size allows."""


class Progress:
    """What one poll has read, and what limits it.

    stop: whether the poll is to end; asked for each CHUNK and for each 64 names.
    largest: bytes of a file that is still read; None for no limit.
    tally: how many files and bytes were read, which is added to.
    """

    __slots__ = ('largest', 'owed', 'stop', 'tally')

    def __init__(
            self, stop: Callable[[], bool], tally: list[int], largest: int | None,
    ) -> None:
        self.stop = stop
        self.tally = tally
        self.largest = largest
        self.owed = 0

    def pause(self, count: int) -> None:
        """Ask now and then whether to stop, because that costs a system call.

        count: bytes that were read. Raises Stopped.
        """
        self.owed += count
        if self.owed >= CHUNK:
            self.owed = 0
            if self.stop():
                raise Stopped

    def check_size(self, size: int) -> None:
        """Raise TooLarge for a file with so many bytes, if there is such a limit."""
        if self.largest is not None and size > self.largest:
            limit = format_size(self.largest)
            raise TooLarge(f'is larger than --max-file-size {limit}')


def format_size(size: int) -> str:
    """Return a number of bytes as the option takes it: '4GiB', '1000'."""
    power = 0
    while size and size % 1024 == 0 and power < len(SIZE_UNITS) - 1:
        size, power = size // 1024, power + 1
    return f'{size}{SIZE_UNITS[power] if power else ""}'


def digest_file(
        path: str, info: os.stat_result, progress: Progress,
) -> tuple[os.stat_result | None, bytes]:
    """Return the stat and the digest of a regular file.

    info: what stat just said. /dev/null is an empty file, without a stat: a link to
        it masks a snippet (systemd.unit(5), firejail(1)).
    Raises OSError: NotRegular or TooLarge, without an errno, or from a system call.
    """
    if is_dev_null(info):
        return None, EMPTY
    check_regular(info.st_mode)
    file = open_regular(path)
    try:
        info = os.fstat(file)
        return info, hash_file(file, info.st_size, progress)
    finally:
        os.close(file)


def is_dev_null(info: os.stat_result) -> bool:
    """Return whether a file is /dev/null, by that name or another."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == NULL


def hash_file(file: int, size: int, progress: Progress) -> bytes:
    """Return the digest of a file, which is read up to its end.

    size: what fstat says. FUSE, proc and sysfs say another than they give, so that
        only a read which returns just that much has met the end.
    Raises OSError.
    """
    progress.check_size(size)
    data = os.read(file, size + 1) if size <= CHUNK else b''
    progress.tally[0] += 1
    progress.tally[1] += len(data)
    progress.pause(len(data))
    if len(data) == size:
        return xxh3_128_digest(data)
    digest = xxh3_128(data)
    total = len(data)
    # Only for big files. A buffer that begins at a page saves a fifth of the CPU: the
    # kernel copies whole pages, and bytearray begins some bytes after one.
    from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
    buffer = memoryview(mmap(-1, CHUNK, MAP_PRIVATE | MAP_ANONYMOUS))
    while count := read_past_cache(file, buffer):
        digest.update(buffer[:count])
        total += count
        progress.tally[1] += count
        progress.check_size(total)
        progress.pause(count)
    return digest.digest()


def read_past_cache(file: int, buffer: memoryview) -> int:
    """Read on into a buffer and return the number of bytes; 0 at the end.

    What was not in the page cache is not kept there: the pages of the other
    processes are worth more. preadv2(2) refuses that before Linux 6.14, and on some
    file systems; a C library without it is NotImplementedError. Raises OSError.
    """
    # POSIX_FADV_DONTNEED would also drop what was cached before, and RWF_NOWAIT
    # cannot tell one from the other: it begins to read ahead.
    try:
        return os.preadv(file, (buffer,), -1, RWF_DONTCACHE)
    except (OSError, NotImplementedError):
        return os.readv(file, (buffer,))


def describe_error(error: OSError) -> str:
    """Describe why a file could not be read."""
    if error.errno is None:
        return str(error)
    return ERRNO_REASONS.get(error.errno) or os.strerror(error.errno).lower()


def is_gone(error: OSError, path: str) -> bool:
    """Return whether an error only says that a file is gone, or a link dangles."""
    if error.errno not in (errno.ENOENT, errno.ENOTDIR):
        return False
    try:
        # A link into ..data that leads nowhere shows a volume that is being swapped.
        return not os.readlink(path).startswith('..data/')
    except OSError:
        return not os.path.lexists(path)
