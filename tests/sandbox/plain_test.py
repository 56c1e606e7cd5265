"""The control: where nothing is in the way, all is delivered, and inotify says so too.
"""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.sandbox import changes
from tests.sandbox.harness import APP, Lines, inotifywait, silent, walk
from tests.support.sidecar import unique, watch


def test_every_kind_of_change_is_delivered_once(tmp_path: Path) -> None:
    """On a file system of this machine, within two polls; the walk can see both."""
    files = [str(tmp_path / name) for name in (changes.PLAIN, changes.LINKED)]
    changes.lay(str(tmp_path), changes.text(0))
    name = unique('app')
    with (
            subprocess.Popen(
                [sys.executable, str(APP), name, *files], stdout=subprocess.PIPE,
            ) as app,
            inotifywait(tmp_path) as events,
    ):
        assert app.stdout is not None
        lines = Lines(app.stdout.fileno())
        lines.until('ready')
        args = ('--process', name, '--interval', '100ms', *files)
        with watch(*args) as sidecar:
            sidecar.until('baseline')
            walk(tmp_path, lines.read, 5.0)
            sidecar.poll()
            assert sidecar.count('signalled') == len(changes.KINDS)
        app.terminate()
        assert lines.read() == ''
        assert not silent(events)
