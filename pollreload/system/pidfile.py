"""Reading a pidfile, and what has to be known to believe it."""
from __future__ import annotations

import os
import stat
from typing import NamedTuple

from pollreload.system import mounts


class Pidfile(NamedTuple):
    """pid: of the process it names; owner: the file's uid; written: its mtime
    in seconds of CLOCK_REALTIME. trouble: why none of that can be used, or ''.
    missing: there is no such file, as before the program has started.
    links: the uids who own the links on the way to it, who decide what is read.
    """

    pid: int = 0
    owner: int = 0
    written: float = 0.0
    trouble: str = ''
    missing: bool = False
    links: tuple[int, ...] = ()


def links(path: str) -> list[str]:
    """Return the links that the kernel follows on the way to a path."""
    return [step for step, target, _ in mounts.steps(path) if target]


def read(path: str) -> Pidfile:
    """Return what a pidfile says. Raises nothing: trouble is an answer."""
    try:
        # Before it is opened: opening a FIFO can hurt its other end.
        regular = stat.S_ISREG(os.stat(path).st_mode)
        # After that, which fails where a link leads to itself.
        owners = tuple(os.lstat(step).st_uid for step in links(path))
        if not regular:
            return Pidfile(trouble='is no regular file')
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            status, text = os.fstat(fd), os.read(fd, 64)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return Pidfile(trouble='does not exist', missing=True)
    except OSError as error:
        return Pidfile(trouble=(error.strerror or str(error)).lower())
    # "41\n", and the trailing blanks of old daemons. Not int(): it takes 4_1.
    number = text.rstrip(b' \t\r\n\0')
    if not (number.isdigit() and len(number) < 10 and int(number) > 0):
        return Pidfile(trouble='does not hold a pid')
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return Pidfile(trouble=(
            f'may be written by others (mode {stat.S_IMODE(status.st_mode):04o}), who '
            f'could name any process in it; chmod go-w'
        ))
    return Pidfile(int(number), status.st_uid, status.st_mtime, links=owners)
