"""The command digest: print what xxhsum -H2 prints."""
from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import BinaryIO, TextIO

from pollreload.commands.digest_progress import TICK, Progress, on
from pollreload.core.reading import Reading
from pollreload.runtime import interrupt
from pollreload.runtime.log import printable
from pollreload.runtime.observer import Observer
from pollreload.settings import Settings
from pollreload.system import globs

CHILD_POLL = 60.0  # s between two polls of a child that does not end
# Control characters, also as bytes that are no UTF-8; line and paragraph separators;
# and characters that change the direction of text.
CONTROL = re.compile(
    '[\x00-\x1f\x7f-\x9f\udc80-\udc9f\u200e\u200f\u2028-\u202e\u2066-\u2069]',
)


def run(
        paths: Sequence[str], ignore: Sequence[str], out: BinaryIO, err: TextIO,
) -> int:
    """Write a line for each file to out, and return the exit status.

    A line is as xxhsum 0.8.1 writes and checks it: 32 hex digits, two blanks, the
    name; see `line` for names with control characters. The files of a directory
    or a glob come sorted by bytes. What cannot be read is a line on err, and makes
    the status 1. A directory that is a member itself (walk.read_tree) is a line on err
    too. A signal ends the command, even if a file system does not answer.
    """
    return interrupt.end_on_signal(lambda: print_digests(paths, ignore, out, err))


def print_digests(
        paths: Sequence[str], ignore: Sequence[str], out: BinaryIO, err: TextIO,
) -> int:
    """Write the lines; return the exit status. Raises Ended."""
    status = 0
    for path in paths:
        seen = read_path(path, ignore, err)
        top = globs.split(path)[0] if seen.kind == 'glob' else path
        for name in sorted(seen.files, key=os.fsencode):
            file = os.path.join(top, name) if name else path
            if name.endswith('/'):
                err.write(
                    f'pollreload: {printable(file)}: the directories that it links to '
                    f'are listed by other names\n',
                )
                continue
            out.write(digest_line(seen.files[name], file))
        unreadable = dict(seen.unreadable)
        if seen.kind == 'glob' and not seen.files and not unreadable:
            unreadable[''] = 'no file matches'
        for name in sorted(unreadable, key=os.fsencode):
            file = os.path.join(top, name) if name else path
            err.write(f'pollreload: {printable(file)}: {unreadable[name]}\n')
            status = 1
    return status


def digest_line(digest: bytes, name: str) -> bytes:
    """Return the line of one file: the bytes of its name, or an escaped name.

    A line with an escaped name begins with a backslash, as sha256sum and newer
    releases of xxhsum have it.
    """
    mark = ''
    if CONTROL.search(name):
        mark = '\\'
        name = CONTROL.sub(escape, name.replace('\\', r'\\'))
    return os.fsencode(f'{mark}{digest.hex()}  {name}\n')


def escape(match: re.Match[str]) -> str:
    """Return a control character as Python writes it: \\n, \\x1b."""
    value = ord(match[0])
    if value >= 0xdc80:
        value -= 0xdc00  # a byte that is no UTF-8 (surrogateescape)
    return chr(value).encode('unicode_escape').decode('ascii')


def read_path(path: str, ignore: Sequence[str], err: TextIO) -> Reading:
    """Return the reading of a path, however long it takes. Raises Ended on a signal."""
    settings = Settings((path,), ignore=tuple(ignore), max_file_size=None)
    observer = Observer(settings)
    progress = Progress(path, ignore, err) if on(err) else None
    try:
        while (snapshot := observer.poll(False)) is None:
            if progress:
                progress.update(observer.pid)
            interrupt.wait_for_child(TICK if progress else CHILD_POLL)
        if progress:
            progress.finish()
    finally:
        # First, because a terminal that is gone makes the other raise.
        observer.close()
        if progress:
            progress.close()
    return snapshot.readings[0]
