"""The command digest: print what xxhsum -H2 prints."""
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO, TextIO

from pollreload.core import change
from pollreload.runtime import interrupt
from pollreload.runtime.observer import Observer
from pollreload.settings import Settings
from pollreload.system import globs

PATIENCE = 60.0  # s between two looks at a child that does not end


def run(
        paths: Sequence[str], ignore: Sequence[str], out: BinaryIO, err: TextIO,
) -> int:
    """Write a line for each file to out, and return the exit status.

    A line is as xxhsum 0.8.1 writes and checks it: 32 hex digits, two blanks,
    the bytes of the name as they are. The files of a directory or a glob come
    sorted by those bytes. What cannot be read is a line on err, and status 1.
    A signal ends us also where a file system does not answer.
    """
    return interrupt.answering(lambda: printed(paths, ignore, out, err))


def printed(
        paths: Sequence[str], ignore: Sequence[str], out: BinaryIO, err: TextIO,
) -> int:
    """Write the lines; return the exit status. Raises Ended."""
    status = 0
    for path in paths:
        seen = sight(path, ignore)
        top = globs.split(path)[0] if seen.kind == 'glob' else path
        for name in sorted(seen.files, key=os.fsencode):
            shown = os.fsencode(os.path.join(top, name) if name else path)
            out.write(seen.files[name].hex().encode() + b'  ' + shown + b'\n')
        unreadable = dict(seen.unreadable)
        if seen.kind == 'glob' and not seen.files and not unreadable:
            unreadable[''] = 'no file matches'
        for name in sorted(unreadable, key=os.fsencode):
            shown_as = os.path.join(top, name) if name else path
            err.write(f'pollreload: {shown_as}: {unreadable[name]}\n')
            status = 1
    return status


def sight(path: str, ignore: Sequence[str]) -> change.Reading:
    """Return what is at a path, however long that takes. Raises Ended on a signal."""
    observer = Observer(Settings((path,), ignore=tuple(ignore)))
    try:
        while (snapshot := observer.look(False)) is None:
            interrupt.ended(PATIENCE)
    finally:
        observer.close()
    return snapshot.readings[0]
