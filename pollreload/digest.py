"""The command digest: print what xxhsum -H2 prints."""
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO, TextIO

from pollreload import contents


def run(
        paths: Sequence[str], ignore: Sequence[str], out: BinaryIO, err: TextIO,
) -> int:
    """Write a line for each file to out, and return the exit status.

    A line is as xxhsum 0.8.1 writes and checks it: 32 hex digits, two blanks,
    the bytes of the name as they are. The files of a directory or a glob come
    sorted by those bytes. What cannot be read is a line on err, and status 1.
    """
    status = 0
    for path in paths:
        snapshot = contents.look((path,), ignore)
        assert snapshot is not None  # nothing stops it
        seen = snapshot.sights[0]
        top = contents.split(path)[0] if seen.kind == 'glob' else path
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
