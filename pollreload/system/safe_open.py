"""Open a regular file that its owner may replace at any moment.

Opening a FIFO lets its writer go on, and opening a device can act on it
(/dev/watchdog0 resets the machine), even with O_NONBLOCK. A check with stat(2)
before open(2) is not enough: the name can be made to lead elsewhere in between.
O_PATH takes hold of a file without opening it (open(2)), and /proc/self/fd then
opens that very file (proc(5)).
"""
from __future__ import annotations

import errno
import os
import stat

from pollreload.core.reading import DEVICE, FIFO, SOCKET

FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
DESCRIPTORS = '/proc/self/fd'
SPECIAL = {
    stat.S_IFDIR: 'is a directory',
    stat.S_IFLNK: 'is a symbolic link',
    stat.S_IFIFO: FIFO,
    stat.S_IFSOCK: SOCKET,
    stat.S_IFCHR: DEVICE,
    stat.S_IFBLK: DEVICE,
}


class NotRegular(OSError):
    """A path is something else than a regular file; its text says what."""


def open_regular(path: str, follow: bool = True) -> int:
    """Open a regular file for reading and return the descriptor.

    follow: whether the last name of the path may be a symbolic link.
    Raises OSError: NotRegular, without an errno, if it is no regular file.
    """
    try:
        return open_once(path, follow)
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
    # An NFS client has noticed at open(2) that the server has another file by this
    # name by now, which the next lookup finds.
    return open_once(path, follow)


def open_once(path: str, follow: bool) -> int:
    """Do what open_regular does, once. Raises OSError."""
    links = 0 if follow else os.O_NOFOLLOW
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC | links)
    try:
        check_regular(os.fstat(handle).st_mode)
        return os.open(f'{DESCRIPTORS}/{handle}', FLAGS)
    except FileNotFoundError:
        if os.path.isdir(DESCRIPTORS):
            raise
        # Without a /proc there is only the name.
        return os.open(path, FLAGS | links)
    finally:
        os.close(handle)


def check_regular(mode: int) -> None:
    """Raise NotRegular for the st_mode of anything but a regular file."""
    if not stat.S_ISREG(mode):
        raise NotRegular(SPECIAL.get(stat.S_IFMT(mode), 'is not a regular file'))
