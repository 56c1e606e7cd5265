"""The file that shows what a watch last saw, for who has no port to ask it at.

Replaced after each look that ended, by a rename: a reader sees the one before or
this one. It is no memory, so nothing waits for the disk.
"""
from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping

from pollreload.errors import StatusError

VERSION = 1
LARGEST = 1 << 20  # bytes; what is longer is not ours


def write(path: str, shown: Mapping[str, object]) -> None:
    """Replace the file (0644, for the probe of another user). Raises OSError."""
    new = f'{path}.{os.getpid()}.new'
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(new, flags, 0o644), 'w', encoding='ascii') as file:
            json.dump({'version': VERSION, **shown}, file)
            file.write('\n')
        os.rename(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


def read(path: str) -> dict[str, object]:
    """Return what was written. Raises StatusError, in words for a person."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        with open(os.open(path, flags), 'rb') as file:
            text = file.read(LARGEST)
    except OSError as error:
        raise StatusError(f'{path}: {(error.strerror or "").lower()}') from error
    try:
        shown = json.loads(text)
        version = shown['version']
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StatusError(f'{path} is not the status file of a watch') from error
    if version != VERSION:
        raise StatusError(f'{path} is of another version of pollreload ({version!r})')
    return dict(shown)
