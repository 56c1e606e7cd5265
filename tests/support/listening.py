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
def listening(port: int, *words: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch that has begun to listen."""
    with watch('--listen', f'127.0.0.1:{port}', *words, **rest) as it:
        it.until('started')
        yield it


@contextlib.contextmanager
def configured(path: str, *words: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch of a config file; what it says comes as lines of text."""
    child = subprocess.Popen(
        (*POLLRELOAD, 'watch', '--config', path, *words), env=environment(),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **rest,
    )
    with Sidecar(child, namespace=False) as it:
        yield it


def said(it: Sidecar, words: str) -> str:
    """Return the next line with some words in it."""
    while words not in (line := it.until('line')['message']):
        pass
    return str(line)
