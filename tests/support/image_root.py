"""The root file system of the image, entered by chroot(2) in a mount namespace.

What an engine adds is tested in pod_test.py.
"""
from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client import parser

from tests.sandbox.harness import DEADLINE, needed
from tests.support.probe import PATHS, ask
from tests.support.scripts import load
from tests.support.sidecar import QUICK, Sidecar

figures = load('image/figures.py')
NOBODY = 4711
# $0 a root, $1 a volume, $2 a uid, $3 chroot(8), for the PATH is that of the inside:
# nothing but /tmp and the volume can be written to.
ENTER = '''
root=$0 volume=$1 uid=$2 chroot=$3
shift 3
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --bind "$volume" "$root/shared"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs "$chroot" --userspec="$uid:$uid" --groups= "$root" "$@"
'''


class Done(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str


class Root:
    """A root file system of others, and a volume that is mounted at /shared."""

    def __init__(self, place: Path, volume: Path) -> None:
        self.place, self.volume = place, volume

    def command(self, *args: str, uid: int = 0) -> list[str]:
        """Return how to run something in it; it is the process that is started."""
        return [
            'unshare', '--mount', 'sh', '-ec', ENTER, str(self.place),
            str(self.volume), str(uid), needed('chroot', 'coreutils'), *args,
        ]

    def run(self, *args: str, uid: int = 0, env: dict[str, str] | None = None) -> Done:
        """Run something in it to its end."""
        done = subprocess.run(
            self.command(*args, uid=uid), stdin=subprocess.DEVNULL, timeout=DEADLINE,
            capture_output=True, text=True, check=False,
            env={'PATH': os.environ['PATH'], **(env or {})},
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def watch(self, *args: str, uid: int = 0) -> Iterator[Sidecar]:
        """Start a watch in it; args: from its program on."""
        with Sidecar(subprocess.Popen(
                self.command(*args, '--interval', '1h', *QUICK, uid=uid),
                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        ), namespace=False) as sidecar:
            sidecar.until('baseline')
            yield sidecar


def probed(port: int) -> dict[str, int]:
    """Return the status of each path; what a scraper gets it can read."""
    answers = {path: ask(port, path) for path in PATHS}
    read = parser.text_string_to_metric_families(answers['/metrics'].body)
    assert 'pollreload_look_duration_seconds' in {family.name for family in read}
    return {path: answer.status for path, answer in answers.items()}
