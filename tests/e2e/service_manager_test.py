"""NOTIFY_SOCKET: what a real watch sends to the service manager (sd_notify(3))."""
from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import sidecar, targets
from tests.support.sidecar import watch, write


class Manager:
    """A service manager that keeps what it is sent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name.replace('@', '\0'))
        self.socket.settimeout(targets.DEADLINE)
        self.sent: list[str] = []

    def until(self, line: str) -> str:
        """Return the next datagram with a line that begins so."""
        while True:
            got = self.socket.recv(4096).decode()
            self.sent.append(got)
            if any(each.startswith(line) for each in got.splitlines()):
                return got


@pytest.fixture(params=['path', 'abstract'])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A manager with either kind of socket."""
    abstract = f'@pollreload-test-{os.getpid()}'
    made = Manager(abstract if request.param == 'abstract' else f'{tmp_path}/notify')
    with made.socket:
        yield made


def test_life_of_a_service(manager: Manager, tmp_path: Path) -> None:
    """Ready after the baseline, reloading on SIGHUP, fed by polls, then stopping."""
    conf = tmp_path / 'app.conf'
    variables = {'NOTIFY_SOCKET': manager.name, 'WATCHDOG_USEC': '60000000'}
    mark = tmp_path / 'environment'
    words = (
        '--interval', '250ms', '--settle', '0', '--on-start', 'never', str(conf),
        '--exec', f"sh -c 'env >{mark}.new; mv {mark}.new {mark}'",
    )
    with watch(*words, env=variables) as it:
        manager.until('STATUS=waiting for the first version')
        assert not any('READY' in each for each in manager.sent)
        write(conf, 'first')
        manager.until('READY=1')
        manager.until('WATCHDOG=1')
        write(conf, 'second')
        it.until('delivered')
        it.send(1)
        reloading = manager.until('RELOADING=1').splitlines()
        manager.until('READY=1')
        it.stop()
        manager.until('STOPPING=1')

    assert reloading[1].startswith('MONOTONIC_USEC=')
    assert int(reloading[1].partition('=')[2]) > 0
    names = {line.partition('=')[0] for line in mark.read_text().splitlines()}
    assert 'POLLRELOAD_CHANGED' in names
    assert names.isdisjoint(('NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'))


def test_watchdog_shorter_than_two_polls_ends_the_start(tmp_path: Path) -> None:
    """With one line and the status of a wrong environment, before anything else."""
    variables = {'NOTIFY_SOCKET': f'{tmp_path}/none', 'WATCHDOG_USEC': '9000000'}

    done = subprocess.run(
        [*sidecar.POLLRELOAD, 'watch', '--process', 'none', str(tmp_path)],
        env=sidecar.environment(variables), stderr=subprocess.PIPE, text=True,
        timeout=targets.DEADLINE, check=False,
    )

    assert done.returncode == 2
    assert done.stderr == (
        'pollreload: the watchdog of the service manager waits 9 s (WatchdogSec), '
        'which is less than two polls (--interval 5s)\n'
    )
