"""The status file of a watch, for probes that have no port to ask.

Replaced after each poll by a rename: a reader sees the old one or the new one. It is
no ledger, so nothing waits for the disk.
"""
from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping

from pollreload.errors import StatusError
from pollreload.system import directories, safe_open

STATUS_FORMAT = 1
LARGEST_STATUS = 1 << 20  # bytes; what is longer is not ours
ELSEWHERE = 'name another with --status-file'


def write(path: str, shown: Mapping[str, object]) -> None:
    """Replace the file (0644: a probe may be another user).

    A directory that is missing is made (0755). Raises OSError, also if there is
    something else than a regular file: a rename would replace /dev/null, too.
    """
    if trouble := other_kind(path):
        raise OSError(errno.EEXIST, trouble)
    new = f'{path}.{os.getpid()}.new'
    # O_EXCL: a FIFO that somebody has put there would hold us up.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        directories.make(os.path.dirname(os.path.abspath(path)), 0o755)
        # Also what another run of this pid left there, when it was killed.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        with open(os.open(new, flags, 0o644), 'w', encoding='ascii') as file:
            json.dump({'version': STATUS_FORMAT, **shown}, file)
            file.write('\n')
        os.rename(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


def other_kind(path: str) -> str:
    """Return what is there instead of a regular file, and what to do; else ''.

    If it cannot be seen, the write says why.
    """
    try:
        safe_open.check_regular(os.lstat(path).st_mode)
    except safe_open.NotRegular as error:
        return f'{error}; {ELSEWHERE}'
    except OSError:
        pass
    return ''


def refuse_constant(word: str) -> None:
    """Refuse NaN and Infinity, which only Python accepts as JSON. Raises ValueError."""
    raise ValueError(word)


def status_file_trouble(path: str) -> str:
    """Return '' or why the file could not be written; creates nothing.

    Raises OSError.
    """
    if trouble := other_kind(path):
        return trouble
    says = directories.write_trouble(path)
    return f'{says}; {ELSEWHERE}' if says else ''


def read(path: str) -> dict[str, object]:
    """Read a status file. Raises StatusError with a message for the user."""
    try:
        with open(safe_open.open_regular(path), 'rb') as file:
            text = file.read(LARGEST_STATUS)
    except FileNotFoundError as error:
        says = f'there is no {path}; does a watch with --status-file {path} run?'
        raise StatusError(says) from error
    except OSError as error:
        says = (error.strerror or '').lower() or str(error)
        raise StatusError(f'{path}: {says}') from error
    try:
        shown = json.loads(text, parse_constant=refuse_constant)
        version = shown['version']
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StatusError(f'{path} is not the status file of a watch') from error
    if version != STATUS_FORMAT:
        raise StatusError(f'{path} is of another version of pollreload ({version!r})')
    return dict(shown)
