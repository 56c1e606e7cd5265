"""A watch that listens for HTTP requests."""
from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.support.sidecar import (
    POLLRELOAD,
    Sidecar,
    environment,
    watch,
)

PATH = 'app.conf'


@contextlib.contextmanager
def listening(port: int, *args: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch that has begun to listen."""
    with watch('--listen', f'127.0.0.1:{port}', *args, **rest) as it:
        it.until('started')
        yield it


@contextlib.contextmanager
def configured(path: str, *args: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch of a config file; what it says comes as lines of text."""
    child = subprocess.Popen(
        (*POLLRELOAD, 'watch', '--config', path, *args), env=environment(),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **rest,
    )
    with Sidecar(child, namespace=False) as it:
        yield it


def said(it: Sidecar, args: str) -> str:
    """Return the next line that contains a text."""
    while args not in (line := it.until('line')['message']):
        pass
    return str(line)
