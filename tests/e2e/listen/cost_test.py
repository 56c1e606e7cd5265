"""What --listen costs."""
from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.servers.harness import needed
from tests.support import loaded_modules, sidecar
from tests.support.listening import listening
from tests.support.probe import HEALTHZ, METRICS, PATHS, status
from tests.support.sidecar import (
    POLLRELOAD,
    environment,
    unique,
)
from tests.support.system_calls import idle_poll
from tests.support.targets import DEADLINE

CI = os.environ.get('CI')


def modules(*args: str) -> set[str]:
    """Return all that a watch has imported at its end, after a change was delivered."""
    with loaded_modules.started(*sidecar.QUICK, *args, '--interval', '1h') as it:
        it.until('baseline')
        it.poll()
        return loaded_modules.printed(it)


def test_no_one_else_pays_for_it(conf: str, port: int) -> None:
    """A plain watch imports nothing of it, nor of HTTP, sockets and threads."""
    args = ('--process', unique(), conf)
    plain = modules(*args)
    listens = modules('--listen', f'127.0.0.1:{port}', *args)

    ours = {'pollreload.monitoring.metrics', 'pollreload.monitoring.http', 'socket'}
    costly = {
        'prometheus_client', 'http.server', 'socketserver', 'threading', 'email',
        'ssl', 'importlib.metadata', 'urllib',
    }
    assert 'pollreload.commands.watch' in plain
    assert plain.isdisjoint(ours | costly)
    assert listens > ours
    assert listens.isdisjoint(costly | {
        'click', 'pollreload.cli.main', 'pollreload.cli.config_file',
    })


def test_an_idle_poll_is_the_same_with_a_port(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """The thread that answers costs the loop no system call, and waits by itself."""
    args = ('--process', unique(), conf)
    plain = idle_poll(tmp_path / 'plain', *args)
    listens = idle_poll(
        tmp_path / 'listens', '--listen', f'127.0.0.1:{port}', *args,
    )

    assert listens == plain
    assert len(plain) <= 5


def test_without_a_client_it_costs_nothing(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """While there is no client nothing of it wakes up, over more than a second."""
    strace = needed('strace', 'strace')
    trace = tmp_path / 'trace'
    args = ('-v', '--interval', '20ms', '--process', unique(), conf)
    with listening(port, *args) as it:
        it.until('baseline')
        assert status(port, HEALTHZ) == 200
        tasks = f'/proc/{it.pid}/task'
        assert len(os.listdir(tasks)) == 2
        with subprocess.Popen(
            (strace, '-f', '-o', str(trace), '-p', str(it.pid)),
            stderr=subprocess.PIPE, text=True,
        ) as tracer:
            try:
                assert tracer.stderr is not None
                assert 'attached' in tracer.stderr.readline()
                for _ in range(60):
                    it.until('polled')
            finally:
                tracer.terminate()
        it.stop()
    lines = trace.read_text().splitlines()
    others = [line for line in lines if not line.startswith(f'{it.pid} ')]

    assert len(lines) > 120
    # What it was waiting in when it was attached to, and that it was let go.
    assert len(others) <= 2, others


@pytest.mark.skipif(shutil.which('promtool') is None and not CI, reason='no promtool')
def test_promtool_has_nothing_to_say(conf: str, port: int) -> None:
    """Of names, types and help; and curl gets what it asks for."""
    with listening(port, '--process', unique(), conf) as it:
        it.until('baseline')
        got = subprocess.run(
            (needed('curl', 'curl'), '-sf', f'http://127.0.0.1:{port}{METRICS}'),
            capture_output=True, check=True, timeout=DEADLINE,
        )
    done = subprocess.run(
        (needed('promtool', 'prometheus'), 'check', 'metrics'), input=got.stdout,
        capture_output=True, check=False, timeout=DEADLINE,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b'', b'')


def words_of(help_of: Sequence[str]) -> str:
    """Return all that a command says of itself, in one line."""
    done = subprocess.run(
        (*POLLRELOAD, *help_of, '--help'), env=environment(), capture_output=True,
        text=True, check=True, timeout=DEADLINE,
    )
    return ' '.join(done.stdout.split())


def test_help_says_where_it_answers() -> None:
    """All three paths."""
    says = words_of(('watch',))

    assert '--listen ADDRESS' in says
    for path in PATHS:
        assert path in says
