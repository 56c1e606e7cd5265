"""Values of --exec and --url that are refused."""
from __future__ import annotations

import contextlib
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from pollreload.cli import main
from pollreload.settings import Plan, Settings
from pollreload.system import status_file
from tests.servers.harness import until
from tests.support.http_peer import closed_port, listening
from tests.support.sidecar import watch, write
from tests.support.url_server import (
    Server,
    answer,
    assert_no_secret,
    run_pollreload,
    watching,
)


@pytest.mark.parametrize(('url', 'says'), [
    ('host/pa55word', 'has no scheme'),
    ('//host/pa55word', 'has no scheme'),
    ('http:/host/pa55word', 'has no scheme'),
    ('us3r:pa55word@host/', 'has no scheme'),
    ('ftp://us3r:pa55word@host/', 'ftp:// is not supported'),
    ('unix:///run/pa55word.sock', 'unix:// is not supported'),
    ('http://', 'names no host'),
    ('http:///pa55word', 'names no host'),
    ('http://:80/pa55word', 'names no host'),
    ('http://us3r:pa55word@/', 'names no host'),
    ('http://host:0/pa55word', 'names no host, or port 0'),
    ('http://host:65536/pa55word', 'has no port from 1 to 65535'),
    ('http://host:pa55word/', 'has no port from 1 to 65535'),
    ('http://host:-1/pa55word', 'has no port from 1 to 65535'),
    ('http://us3r:pa55/word@host/', 'has no port from 1 to 65535'),
    ('http://us3r:pa55[word]@host/', 'has a [ or ] before its host; write %5B or %5D'),
    ('http://us3r:5/pa55word@host/', 'has an @ after its host; write %40'),
    ('http://us3r:5?pa55word@host/', 'has an @ after its host; write %40'),
    ('http://host/?to=pa55word@host', 'has an @ after its host; write %40'),
    ('http://::1/pa55word', 'has an IPv6 address without brackets; write [::1]'),
    ('http://::1:81/pa55word', 'has an IPv6 address without brackets'),
    ('http://us3r:pa55word@fe80::1/', 'has an IPv6 address without brackets'),
    ('http://[::1/pa55word', 'no address in []'),
    ('http://[pa55word]/', 'no address in []'),
    ('http://host/pa55 word', 'contains a character that a URL cannot; write it as '
     '%XX'),
    ('http://host/pa55word\n', 'contains a character that a URL cannot'),
    ('http://host/\tpa55word', 'contains a character that a URL cannot'),
    ('http://host/\x7fpa55word', 'contains a character that a URL cannot'),
    ('http://h\u00f6st/pa55word', 'contains a character that a URL cannot'),
    ('http://host/pa55word\r\nX-Y: z', 'contains a character that a URL cannot'),
    (' http://host/pa55word', 'contains a character that a URL cannot'),
    ('http://host/#pa55word', 'has a #, which is never sent'),
    ('http://host/pa55word#', 'has a #, which is never sent'),
    ('', 'has no scheme'),
    pytest.param(
        'http://host/' + 'pa55word' * 250, 'is longer than 2000 characters', id='long',
    ),
])
@pytest.mark.parametrize('command', ['watch', 'check', 'doctor'])
def test_a_url_that_is_none_is_one_line(
        url: str, says: str, command: str, capsys: pytest.CaptureFixture[str],
) -> None:
    """With 2, and without the URL: it may be a secret."""
    status = main.main((command, '--url', url, 'app.conf'))

    line = capsys.readouterr().err
    assert status == 2
    assert re.fullmatch(r'pollreload: [^\n]*--url[^\n]*\n', line)
    assert says in line
    assert 'pa55' not in line
    assert 'us3r' not in line


@pytest.mark.parametrize(('variable', 'says'), [
    ('http://host/\nus3r:pa55word@host', 'has no scheme'),
    ('http://us3r:pa55 word@host/', 'contains a character that a URL cannot'),
    ('http://us3r:pa55word@host:x/', 'has no port'),
])
def test_a_variable_that_is_none_is_one_line(
        variable: str, says: str, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same: it may have any number of lines, and one of them is wrong."""
    monkeypatch.setenv('POLLRELOAD_URL', variable)

    status = main.main(('watch', 'app.conf'))

    line = capsys.readouterr().err
    assert status == 2
    assert re.fullmatch(r'pollreload: [^\n]*POLLRELOAD_URL[^\n]*\n', line)
    assert says in line
    assert 'pa55' not in line
    assert 'us3r' not in line


@pytest.mark.parametrize('who', ['us3r:pa55word@', 'us3r@', ':pa55word@', '@'])
@pytest.mark.parametrize('command', ['watch', 'check', 'doctor'])
def test_credentials_on_a_command_line_are_refused(
        who: str, command: str, capsys: pytest.CaptureFixture[str],
) -> None:
    """For every user of the machine could read them there."""
    status = main.main((command, f'--url=http://{who}host/', 'app.conf'))

    line = capsys.readouterr().err
    assert status == 2
    assert re.fullmatch(r'pollreload: [^\n]*POLLRELOAD_URL[^\n]*\n', line)
    assert 'every list of processes would show' in line
    assert 'us3r' not in line
    assert 'pa55' not in line


@pytest.mark.parametrize('command', ['watch', 'check', 'doctor'])
@pytest.mark.parametrize('query', ['?t0ken', '/x?key=t0ken', '/?'])
def test_a_query_on_a_command_line_is_refused(
        query: str, command: str, capsys: pytest.CaptureFixture[str],
) -> None:
    """It may be a secret; any of several is too much."""
    status = main.main((
        command, '--url=http://host/', f'--url=http://host{query}', 'app.conf',
    ))

    line = capsys.readouterr().err
    assert status == 2
    assert re.fullmatch(r'pollreload: [^\n]*POLLRELOAD_URL[^\n]*\n', line)
    assert 'contains a query, which every list of processes would show' in line
    assert 't0ken' not in line


def test_a_query_in_a_variable_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No one else can read it there."""
    url = 'http://me:pa55word@host/x?key=t0ken'
    monkeypatch.setenv('POLLRELOAD_URL', url)

    plan = main.main(('watch', 'app.conf'))

    assert isinstance(plan, Plan)
    assert plan.watches[0].url == (url,)


@pytest.mark.parametrize(('args', 'says'), [
    (('--url-method', 'PO ST'), "'PO ST' is not a method; write POST, PUT or GET"),
    (('--url-method', 'POST\r\nX: y'), 'is not a method'),
    (('--url-method', ''), 'is not a method'),
    (('--url-method', 'x' * 40), 'is not a method'),
    (('--url-status', 'ok'), "'ok' is not a status; write 2xx, 204 or 200-299"),
    (('--url-status', '600'), 'is not a status'),
    (('--url-status', '2x'), 'is not a status'),
    (('--url-status', '299-200'), 'is not a status'),
    (('--url-status', '200,'), 'is not a status'),
    (('--url-status', ''), 'is not a status'),
    (('--url-timeout', 'soon'), "'soon' is not a duration"),
    (('--exec', ''), 'is empty'),
    (('--exec', '""'), 'is empty'),
    (('--exec', 'sh -c "x'), 'cannot be split into arguments'),
    (('--cmdline', 'x'), '--cmdline selects a process, and none is named'),
    (('--uid', '0'), '--uid selects a process, and none is named'),
    (('--all-namespaces',), '--all-namespaces selects a process'),
    (('--verify-workers',), '--verify-workers selects a process'),
])
def test_other_arguments_that_mean_nothing_are_one_line(
        args: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str],
) -> None:
    """With 2, before anything is watched."""
    status = main.main(('watch', '--url', 'http://host/', *args, 'app.conf'))

    line = capsys.readouterr().err
    assert status == 2
    assert re.fullmatch(r'pollreload: [^\n]*\n', line)
    assert says in line


def test_no_process_to_notify_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what else there is besides a process."""
    for command in ('watch', 'check'):
        assert main.main((command, 'app.conf')) == 2
        line = capsys.readouterr().err
        assert line.count('\n') == 1
        assert 'or use --exec or --url' in line


def test_a_watch_that_is_refused_ends_with_2() -> None:
    """By the child that reads the arguments, too."""
    with watch('--url', 'http://us3r:pa55word@host/', 'app.conf') as it:
        status = it.wait()

    assert status == 2
    assert len(it.seen) == 1
    assert_no_secret(it.seen[0]['message'])


def test_a_process_with_more_to_do_may_have_conditions() -> None:
    """What is about a process is refused only without one."""
    got = main.main((
        'watch', '--process', 'app', '--exec', 'true', '--cmdline', 'x', '--uid', '0',
        '--verify-workers', '--url-status', '204', 'app.conf',
    ))

    assert isinstance(got, Plan)
    assert got.watches[0] == Settings(
        paths=('app.conf',), process='app', exec=(('true',),), cmdline='x', uid=0,
        verify_workers=True, url_status=((204, 204),),
    )


def test_doctor_says_whether_it_would_work(
        conf: str, server: Server, tmp_path: Path,
) -> None:
    """A row for each; it connects, and sends nothing."""
    away = closed_port()
    env = {
        'XDG_STATE_HOME': str(tmp_path / 'state'),
        'POLLRELOAD_URL': f'{server.url("/x?y")}\nhttp://127.0.0.1:{away}/',
    }
    done = run_pollreload(
        'doctor', '--exec', 'true', '--exec', 'no-such-program', '--output', 'json',
        conf, env=env,
    )
    said = json.loads(done.stdout)
    rows = {
        (row['check'], row['about']): (row['verdict'], row['says'])
        for row in said['rows']
    }

    assert (done.returncode, said['status']) == (1, 1)
    assert rows['exec', 'true'] == ('ok', 'found, not run')
    assert rows['exec', 'no-such-program'] == (
        'fail', 'no such program: no-such-program',
    )
    assert rows['url', server.url('/x')] == (
        'ok', 'takes connections; nothing was sent',
    )
    assert rows['url', f'http://127.0.0.1:{away}/'] == ('fail', 'connection refused')
    # Nothing is said of a process that no one has named.
    assert {check for check, _ in rows} == {'path', 'ledger', 'exec', 'url'}
    server.until(1)
    assert server.requests == ['']


def test_doctor_is_content_where_all_is_well(conf: str, server: Server) -> None:
    """0."""
    done = run_pollreload('doctor', '--exec', 'true', '--url', server.url('/x'), conf)

    assert done.returncode == 0
    assert 'fail' not in done.stdout


def test_doctor_does_not_wait_for_a_host_that_says_nothing(
        conf: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A few seconds at most."""
    from pollreload.commands.doctor import paths, programs
    monkeypatch.setattr(paths, 'READ_TIMEOUT', 0.2)
    with listening() as listener:
        # Once as many wait as there is room for, the next one gets no answer.
        listener.listen(0)
        where = listener.getsockname()
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(where)
            got = programs.connection_error(f'http://127.0.0.1:{where[1]}/', None)

    assert got in ('no answer in time', 'does not answer')


def test_status_shows_who_is_notified(
        conf: str, server: Server, tmp_path: Path,
) -> None:
    """If there is no process, no mention of one."""
    path = str(tmp_path / 'status')
    with watching(
            '--status-file', path, '--exec', 'true 1', conf,
            env={'POLLRELOAD_URL': server.url('/x?y')},
    ) as it:
        it.poll()
        shown = status_file.read(path)
    done = run_pollreload('status', path)
    rows = [line.split(None, 1) for line in done.stdout.splitlines()]

    assert (shown['exec'], shown['url']) == (['true'], [server.url('/x')])
    assert (shown['process'], shown['pidfile'], shown['signal']) == (None, None, None)
    assert ['exec', 'true'] in rows
    assert ['url', server.url('/x')] in rows
    assert 'None' not in done.stdout


def test_the_status_file_shows_what_failed(
        conf: str, server: Server, tmp_path: Path,
) -> None:
    """How often in a row, and what it is held for."""
    path = tmp_path / 'status'
    server.answers += [answer('500 No', 'why')] * 9
    with watching('--status-file', str(path), '--url', server.url('/x'), conf) as it:
        write(conf, 'second')
        it.poll()
        it.until('failed')
        until(lambda: status_file.read(str(path))['tries'] == 1, 'the first failure')
        shown: Any = status_file.read(str(path))

    assert shown['content'] == 'due'
    assert shown['held'].endswith(f'POST {server.url("/x")} answered 500: why')
