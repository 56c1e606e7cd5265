"""The modules that a watch has imported by its end."""
from __future__ import annotations

import os
import subprocess
import sys

import xxhash

from tests.support import sidecar
from tests.support.sidecar import Sidecar

PROGRAM = (
    'import atexit, os, sys\n'
    'say = lambda: os.write(2, " ".join(sys.modules).encode() + b"\\n")\n'
    'atexit.register(say)\n'
    'from pollreload.__main__ import main\n'
    'sys.exit(main())\n'
)


def started(*args: str) -> Sidecar:
    """Start a watch that prints its modules when it ends.

    args: all of them, quick or not. It runs without site, whose .pth files may
    import anything.
    """
    packages = os.path.dirname(os.path.dirname(os.path.abspath(xxhash.__file__)))
    return Sidecar(subprocess.Popen(
        (sys.executable, '-S', '-c', PROGRAM, 'watch', *args),
        env=sidecar.environment({'PYTHONPATH': f'{sidecar.ROOT}:{packages}'}, False),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ), False)


def printed(it: Sidecar) -> set[str]:
    """End a watch that started() began, and return its modules."""
    assert it.stop() == 0
    return {*it.seen[-1]['message'].split()}
