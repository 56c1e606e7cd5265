"""The environment of a command, and secrets that are never shown."""
from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.http_peer import closed_port
from tests.support.sidecar import watch, write
from tests.support.url_server import (
    HANG,
    SECRETS,
    Book,
    Server,
    answer,
    assert_no_secret,
    run_pollreload,
    watching,
)


def test_variables_have_one_a_line(
        conf: str, server: Server, book: Book, tmp_path: Path,
) -> None:
    """POLLRELOAD_EXEC and POLLRELOAD_URL; the others as they are."""
    env = {
        'POLLRELOAD_EXEC': f'{book.note("a")}\n\n  {book.note("b")} x:y\n',
        'POLLRELOAD_URL': f'{server.url("/x")}\n{server.url("/y", "us3r:pa55word@")}',
        'POLLRELOAD_URL_METHOD': 'put', 'POLLRELOAD_URL_STATUS': '418',
        'POLLRELOAD_URL_TIMEOUT': '5s', 'POLLRELOAD_FILE': conf,
    }
    server.answers += [answer('418 x')] * 2
    with watching(env=env) as it:
        write(conf, 'second')
        it.poll()
        it.until('delivered', url=server.url('/y'))

    assert book.read() == ['a', 'b']
    assert server.until(2) == ['PUT /x HTTP/1.1', 'PUT /y HTTP/1.1']
    assert f'Authorization: Basic {SECRETS[-1]}' in server.requests[1]
    assert 'Authorization' not in server.requests[0]


def test_the_command_line_wins(conf: str, server: Server) -> None:
    """Over variables of what is secret, too."""
    env = {
        'POLLRELOAD_URL': server.url('/secret', 'us3r:pa55word@'),
        'POLLRELOAD_EXEC': 'false',
    }
    with watching('--url', server.url('/x'), '--exec', 'true', conf, env=env) as it:
        write(conf, 'second')
        it.poll()
        it.until('delivered', url=server.url('/x'))

    assert server.until(1) == ['POST /x HTTP/1.1']


def shown_of(pid: int) -> str:
    """Return all that every list of processes shows of one and all below it."""
    found = ''
    for entry in filter(str.isdecimal, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            with open(f'/proc/{entry}/stat', encoding='utf-8') as stat:
                above = int(stat.read().rpartition(')')[2].split()[1])
            if pid in (int(entry), above):
                with open(f'/proc/{entry}/cmdline', encoding='utf-8') as args:
                    found += args.read()
    return found


@pytest.mark.parametrize('log_format', ['text', 'json'])
def test_no_secret_is_ever_shown(
        conf: str, server: Server, tmp_path: Path, log_format: str,
) -> None:
    """Neither by a log, nor by a list of processes, nor by a file that we write."""
    ledger, status = tmp_path / 'ledger', tmp_path / 'status'
    url = server.url('/x?key=t0ken', 'us3r:pa55word@')
    server.answers += [
        answer('401 Unauthorized', 'not for us3r with pa55word'),
        answer('404 Not Found', 'no /x?key=t0ken'),
        answer('302 Found', '', 'Location: http://us3r:pa55word@127.0.0.1/'),
        answer('400 Bad', f'Authorization: Basic {SECRETS[-1]}'), b'us3r\r\n' * 9,
        HANG,
    ]
    args = (
        '-v', '--state-file', str(ledger), '--status-file', str(status), '--on-start',
        'always', '--url-timeout', '2s', '--log-format', log_format, conf,
    )
    with watch(*args, env={'POLLRELOAD_URL': url}) as it:
        def said(args: str) -> None:
            while args not in it.read()['message']:
                pass

        for failure in ('401', '404', '302', '400'):
            said(f'POST {server.url("/x")} answered {failure}')
            it.send(signal.SIGHUP)
        said('answered something that is not HTTP')
        it.send(signal.SIGHUP)
        server.until(6)
        it.send(signal.SIGUSR1)
        said('under way: act')
        shown = shown_of(it.pid)
        assert 'watch' in shown
        for text in (shown, ledger.read_text(), status.read_text()):
            assert_no_secret(text)
        said('(--url-timeout)')
        it.send(signal.SIGHUP)
        said('answered 200')
        lines = json.dumps(it.seen)

    assert f'Authorization: Basic {SECRETS[-1]}' in server.requests[0]
    assert server.until(7)[-1] == 'POST /x?key=t0ken HTTP/1.1'
    assert_no_secret(lines)


def test_no_secret_is_shown_by_the_other_commands(
        conf: str, server: Server, tmp_path: Path,
) -> None:
    """check, doctor and status, in text and in JSON."""
    status = tmp_path / 'status'
    url = server.url('/x?key=t0ken', 'us3r:pa55word@')
    away = f'http://us3r:pa55word@127.0.0.1:{closed_port()}/y?key=t0ken'
    env = {
        'POLLRELOAD_URL': f'{url}\n{away}', 'XDG_STATE_HOME': str(tmp_path / 'state'),
    }
    with watching('--status-file', str(status), conf, env=env) as it:
        it.poll()
    said = []
    for args in (
        ('check', '-v', '--dry-run', '--on-start', 'always', conf),
        ('check', '-v', '--on-start', 'always', '--output', 'json', conf),
        ('doctor', conf), ('doctor', '--output', 'json', conf),
        ('status', str(status)), ('status', '--output', 'json', str(status)),
    ):
        done = run_pollreload(*args, env=env)
        said.append(done.stdout + done.stderr)
        assert_no_secret(said[-1])

    for each in said:
        assert server.url('/x') in each
