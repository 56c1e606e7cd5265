"""Reading a pidfile, and what decides whether it is believed."""
from __future__ import annotations

import os
import stat
from typing import NamedTuple

from pollreload.system import safe_open
from pollreload.system.path_steps import steps

LONGEST_LINE = 4096  # bytes of a first line


class Pidfile(NamedTuple):
    """What a pidfile says. Plain values only, because a child may return them.

    pid: the first number of its first line. owner: the file's uid. written: its
    mtime, in seconds of CLOCK_REALTIME. trouble: why it cannot be used, or ''.
    missing: there is no such file, as before the program has started.
    links: the uids of the links on the way to it; they decide which file is read.
    directories: those on the way, with their uids and whether everybody may
    replace what is in them.
    """

    pid: int = 0
    owner: int = 0
    written: float = 0.0
    trouble: str = ''
    missing: bool = False
    links: tuple[int, ...] = ()
    directories: tuple[tuple[str, int, bool], ...] = ()


def read(path: str) -> Pidfile:
    """Read a pidfile. Raises nothing: trouble is an answer."""
    try:
        fd = safe_open.open_regular(path)
        try:
            status, text = os.fstat(fd), os.read(fd, LONGEST_LINE)
        finally:
            os.close(fd)
        # After that: a link that leads to itself cannot be opened.
        links, directories = passed(path)
    except FileNotFoundError:
        return Pidfile(trouble='does not exist', missing=True)
    except OSError as error:
        return Pidfile(trouble=(error.strerror or '').lower() or str(error))
    pid = first_number(text)
    if not pid:
        return Pidfile(trouble='does not hold a pid')
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return Pidfile(trouble=(
            f'may be written by others (mode {stat.S_IMODE(status.st_mode):04o}), who '
            f'could name any process in it; chmod go-w'
        ))
    return Pidfile(
        pid, status.st_uid, status.st_mtime, links=links, directories=directories,
    )


def first_number(text: bytes) -> int:
    """Return the number that the first line begins with; 0 if there is none.

    PostgreSQL writes more lines, Postfix pads on the left, old daemons leave
    blanks or a NUL after it, and some write the name of the program behind it.
    """
    line, newline, _ = text.partition(b'\n')
    number = b''.join(line.replace(b'\0', b' ').split()[:1])
    if len(text) >= LONGEST_LINE and not newline:
        # The line is cut off, and perhaps its number.
        return 0
    # Not int() alone: it takes 4_1.
    return int(number) if number.isdigit() and len(number) < 10 else 0


def passed(path: str) -> tuple[tuple[int, ...], tuple[tuple[str, int, bool], ...]]:
    """Return the links and the directories on the way to a path; see Pidfile.

    Raises OSError.
    """
    links: list[int] = []
    directories = {'/': os.lstat('/')}
    for step, target, _ in steps(path):
        if target:
            links.append(os.lstat(step).st_uid)
        else:
            directories[step] = os.lstat(step)
    return tuple(links), tuple(
        (
            step, status.st_uid,
            bool(status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX),
        )
        for step, status in directories.items() if stat.S_ISDIR(status.st_mode)
    )
