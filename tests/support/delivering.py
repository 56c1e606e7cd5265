"""A watch that delivers by a signal."""
from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.support.sidecar import Sidecar, watch


@contextlib.contextmanager
def watching(name: str, conf: str, *args: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch on a process of a name that has taken its baseline."""
    with watch('--process', name, *args, conf, **rest) as it:
        it.until('baseline')
        yield it


@contextlib.contextmanager
def ended(child: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Have a child, and kill and reap it."""
    with child:
        try:
            yield child
        finally:
            child.kill()
