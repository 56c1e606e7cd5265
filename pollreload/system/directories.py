"""Make the directories that a file of ours needs, and check that it can be written."""
from __future__ import annotations

import contextlib
import os


def make(directory: str, mode: int) -> None:
    """Make a directory and those above it, all with a mode. Raises OSError.

    os.makedirs gives the mode only to the last one.
    """
    if os.path.isdir(directory):
        return
    make(os.path.dirname(directory), mode)
    # Another run may be as quick; what else is in the way shows on opening.
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, mode)


def write_trouble(path: str) -> str:
    """Return why a file cannot be created or replaced at a path, '' if it can.

    Creates nothing; of the directories that are missing, only the one above
    matters. What only shows in the doing (a full disk) is not seen. Raises OSError.
    """
    directory = os.path.dirname(os.path.abspath(path))
    while not os.path.lexists(directory):
        directory = os.path.dirname(directory)
    if not os.path.isdir(directory):
        return f'{directory} is not a directory'
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        return f'{directory} is on a read-only file system'
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return f'no permission to write in {directory}'
    return ''
