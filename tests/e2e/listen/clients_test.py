"""Ports that cannot be had, and clients that disturb."""
from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers.harness import free_port, until
from tests.support import targets
from tests.support.listening import configured, listening, said
from tests.support.probe import HEALTHZ, READYZ, status
from tests.support.sidecar import (
    POLLRELOAD,
    environment,
    unique,
    watch,
    write,
)
from tests.support.targets import DEADLINE


class Refusal(NamedTuple):
    """What was said before the first poll."""

    status: int
    lines: list[str]


def refusal(*args: str, **env: str) -> Refusal:
    """Return how a watch ends that does not begin."""
    done = subprocess.run(
        (*POLLRELOAD, 'watch', *args), env=environment(env), check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE,
    )
    assert done.stdout == ''
    return Refusal(done.returncode, done.stderr.splitlines())


REFUSED = {
    'in use': ('127.0.0.1:{port}', 'address already in use'),
    'in use at one address': (':{port}', 'address already in use'),
    'not ours': ('192.0.2.1:9533', 'cannot assign requested address'),
    'no such host': ('nobody.invalid:9533', ''),
    'no host': ('a..b:9533', ''),
    'brackets': ('::1:9533', 'without brackets; write [::1]:9533'),
    'no port': ('localhost', 'has no port'),
    'no port of IPv6': ('[::1]', 'has no port; write'),
    'port 0': (':0', 'no port from 1 to 65535'),
    'port 65536': (':65536', 'no port from 1 to 65535'),
    'a name': (':http', 'no port from 1 to 65535'),
    'a URL': ('http://localhost:9533', 'is a URL; write :9533, or HOST:9533'),
}


@pytest.mark.parametrize(('address', 'says'), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_had_is_refused_before_the_first_poll(
        address: str, says: str, conf: str, port: int, tmp_path: Path,
) -> None:
    """In one line, with exit status 2, that names the option; or the file and key."""
    address = address.format(port=port)
    watched = ('--process', unique(), conf)
    plan = str(tmp_path / 'plan.toml')
    table = f'[[watch]]\nprocess = "{unique()}"\npath = "{conf}"\n'
    write(plan, f'# it is\n\nlisten = "{address}"\n{table}')
    bare = str(tmp_path / 'bare.toml')
    write(bare, table)
    with socket.create_server(('127.0.0.1', port)):
        got = [
            refusal('--listen', address, *watched),
            refusal(*watched, POLLRELOAD_LISTEN=address),
            refusal('--config', bare, '--listen', address),
            refusal('--config', plan),
        ]

    for each in got:
        assert (each.status, len(each.lines)) == (2, 1), each
        assert says in each.lines[0]
        assert each.lines[0].startswith('pollreload: ')
    for each, names in zip(got[:3], (
            ('--listen',), ('POLLRELOAD_LISTEN', '--listen'), ('--listen',),
    ), strict=True):
        assert any(name in each.lines[0] for name in names)
        assert '.toml' not in each.lines[0]
    assert got[3].lines[0].startswith(f'pollreload: {plan}:3: listen: ')


def test_a_config_file_gives_way_to_the_command_line(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """The port that is given beside it is the one."""
    plan, other = tmp_path / 'plan.toml', free_port()
    write(plan, f'listen = "127.0.0.1:{other}"\n[[watch]]\nprocess = "a"\n'
                f'path = "{conf}"\n')
    with configured(str(plan), '--listen', f'127.0.0.1:{port}') as it:
        said(it, 'baseline')

        until(lambda: status(port, READYZ) == 200, 'it is ready')
        assert status(other, READYZ) == 0


@pytest.mark.parametrize('command', ['check', 'smoke', 'digest'])
def test_who_does_not_stay_has_no_port(command: str) -> None:
    """It is an option of those that watch, or would."""
    done = subprocess.run(
        (*POLLRELOAD, command, '--listen', ':9533', 'x'), env=environment(),
        capture_output=True, text=True, check=False, timeout=DEADLINE,
    )

    assert done.returncode == 2
    assert 'no such option' in done.stderr.lower()


def test_whoever_asks_the_loop_goes_on(conf: str, port: int) -> None:
    """Clients that hang, send rubbish or go away, many at once; stderr is the log's."""
    name, over = unique(), threading.Event()
    rubbish = (b'', b'GET /metrics HTTP/1.0\r\n\r\n', b'\0' * 100 + b'\r\n\r\n',
               b'GET /healthz HTTP/1.1\r\nHost: a')

    def bother() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), socket.socket() as caller:
                caller.settimeout(0.05)
                caller.connect(('127.0.0.1', port))
                caller.sendall(rubbish[os.getpid() % 4])
                for args in rubbish:
                    caller.sendall(args)
                caller.recv(100)

    with (
            targets.start('handler', name=name) as target,
            listening(port, '--process', name, conf) as it,
    ):
        it.until('baseline')
        crowd = [threading.Thread(target=bother) for _ in range(4)]
        for each in crowd:
            each.start()
        try:
            for number in range(5):
                write(conf, f'content {number}')
                it.poll()
                it.until('delivered')
                assert target.read() == 'HUP'
        finally:
            over.set()
            for each in crowd:
                each.join()
        ended = it.stop()

    assert ended == 0
    assert {each['event'] for each in it.seen} == {
        'started', 'baseline', 'changed', 'signalled', 'delivered', 'status', 'stopped',
    }


@pytest.mark.parametrize('namespace', [False, True])
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_it_while_clients_hang(
        number: signal.Signals, namespace: bool, conf: str, port: int,
) -> None:
    """It does not wait for their deadline; also as pid 1. The port is free again."""
    program = (
        'import sys\n'
        'from pollreload.monitoring import http\n'
        'from pollreload.__main__ import main\n'
        'http.CLIENT_TIMEOUT = 1e6\n'
        'sys.exit(main())\n'
    )
    args = ('--listen', f'127.0.0.1:{port}', '--process', unique(), conf)
    with watch(
            *args, namespace=namespace, program=(sys.executable, '-c', program),
    ) as it, contextlib.ExitStack() as stack:
        it.until('baseline')
        for _ in range(8):
            stack.enter_context(socket.create_connection(('127.0.0.1', port)))
        assert status(port, HEALTHZ) == 200
        it.send(number)
        it.until('stopped', signal=number.name)
        assert it.wait() == 0

    socket.create_server(('127.0.0.1', port)).close()


def test_what_a_command_leaves_behind_holds_no_port(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """A daemon that an --exec has started lives on, and the next watch has the port."""
    mark = tmp_path / 'pid'
    script = tmp_path / 'daemon'
    script.write_text(
        f'#!/bin/sh\nsetsid sh -c "echo \\$\\$ >{mark}.new; mv {mark}.new {mark}; '
        f'exec sleep 600" </dev/null >/dev/null 2>&1 &\n'
        f'until [ -e {mark} ]; do sleep 0.05; done\n',
    )
    script.chmod(0o755)
    args = ('--exec', str(script), '--on-start', 'always', conf)
    try:
        # What it logs of a command is judged elsewhere.
        with watch(
                '--listen', f':{port}', *args, '--log-format', 'text',
        ) as it:
            said(it, 'delivered: ')
            assert it.stop() == 0
        os.kill(int(mark.read_text()), 0)
        with listening(port, '--process', unique(), conf) as other:
            other.until('baseline')
            other.status()
            assert status(port, READYZ) == 200
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.kill(int(mark.read_text()), signal.SIGKILL)
