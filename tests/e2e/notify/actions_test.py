"""--exec and --url: their order, their retries, and their end."""
from __future__ import annotations

import contextlib
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.support import targets
from tests.support.http_peer import accepted, listening
from tests.support.sidecar import Mark, unique, watch, write
from tests.support.targets import DEADLINE
from tests.support.url_server import HANG, OK, Book, Server, answer, events, watching

URL_TIMEOUT = '--url-timeout', '300ms'


def test_all_is_done_in_order_and_once(conf: str, server: Server, book: Book) -> None:
    """Commands, then requests, each as it was given; an idle poll does nothing."""
    args = (
        '--exec', book.note('b'), '--url', server.url('/y'), '--exec', book.note('a'),
        '--url', server.url('/x'),
    )
    with watching(*args, conf) as it:
        write(conf, 'second')
        it.poll()
        it.until('delivered', url=server.url('/x'))
        it.poll()
        status = it.stop()

    assert status == 0
    assert book.read() == ['b', 'a']
    assert server.until(2) == ['POST /y HTTP/1.1', 'POST /x HTTP/1.1']
    assert events(it) == [
        ('baseline', ''), ('changed', ''), ('delivered', 'b'), ('delivered', 'a'),
        ('delivered', 'y'), ('delivered', 'x'), ('stopped', ''),
    ]
    assert [each['message'] for each in it.seen if each['event'] == 'delivered'] == [
        f'--exec {book.directory}/b succeeded; reload not verified',
        f'--exec {book.directory}/a succeeded; reload not verified',
        f'POST {server.url("/y")} answered 200; reload not verified',
        f'POST {server.url("/x")} answered 200; reload not verified',
    ]


def test_started_names_what_is_notified(conf: str, server: Server) -> None:
    """As text, and in fields."""
    env = {'POLLRELOAD_URL': server.url('/x?y')}
    with watch('--exec', 'true -x', conf, env=env) as it:
        started = it.until('started')

    assert started['message'].endswith(
        f'for --exec true, then POST {server.url("/x")}',
    )
    assert (started['process'], started['pidfile'], started['signal']) == (
        None, None, None,
    )
    assert (started['exec'], started['url']) == (['true'], [server.url('/x')])


def test_it_comes_after_the_signal(conf: str, server: Server, book: Book) -> None:
    """When the target lives with nothing pending, and has been verified."""
    name = unique()
    with (
        targets.start('handler', name=name) as target,
        watching(
            '--process', name, '--exec', book.note('a'), '--url', server.url('/x'),
            '--verify', 'true', conf,
        ) as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('delivered', url=server.url('/x'))
        got = target.read()
        it.poll()
        target.signal(signal.SIGUSR1)
        then = target.read()

    assert (got, then) == ('HUP', 'USR1')
    assert events(it)[1:7] == [
        ('changed', ''), ('signalled', ''), ('delivered', ''), ('verified', ''),
        ('delivered', 'a'), ('delivered', 'x'),
    ]
    assert (book.read(), len(server.requests)) == (['a'], 1)


def test_what_ends_is_started_by_a_command(conf: str, book: Book) -> None:
    """--signal TERM: no one waits for a successor that --exec is to start."""
    name = unique()
    with (
        targets.start('default', name=name) as target,
        watching(
            '--process', name, '--signal', 'TERM', '--exec', book.note('a'), conf,
        ) as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('delivered', target_pid=target.pid)
        it.until('delivered', exec=f'{book.directory}/a')
        it.poll()

    assert book.read() == ['a']
    assert it.count('held') == 0


def test_a_failure_stops_the_rest_and_is_tried_again(
        conf: str, server: Server, book: Book,
) -> None:
    """500 twice, with the answer of the server; what succeeded is not repeated."""
    server.answers += [answer('500 No', 'no such job: x\n')] * 2
    args = (
        '--exec', book.note('a'), '--url', server.url('/x'), '--url', server.url('/y'),
    )
    with watching(*args, conf) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', url=server.url('/x'), reason='url')
        status = it.status()
        it.until('delivered', url=server.url('/y'))

    assert failed['message'] == (
        f'POST {server.url("/x")} answered 500: no such job: x'
    )
    assert 'version due' in status
    assert 'failed attempts: 1' in status
    assert it.count('failed') == 1
    assert book.read() == ['a']
    assert server.until(4) == [
        *['POST /x HTTP/1.1'] * 3, 'POST /y HTTP/1.1',
    ]


def test_a_command_that_fails_shows_its_last_output(
        conf: str, server: Server, book: Book,
) -> None:
    """And nothing that follows it is done; HUP tries again at once."""
    again = book.directory / 'again'
    lines = f'echo one; echo two >&2; echo; echo three; echo four; test -e {again}'
    args = ('--exec', book.note('a', lines), '--url', server.url('/x'))
    with watching(*args, conf) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='exec')
        assert server.requests == []
        again.touch()
        it.poll()
        it.until('delivered', url=server.url('/x'))

    assert failed['exec'] == f'{book.directory}/a'
    assert failed['message'] == (
        f'--exec {book.directory}/a failed (exit status 1): two | three | four'
    )


@pytest.mark.parametrize(('command', 'args'), [
    ('/nowhere/at-all', 'cannot begin --exec /nowhere/at-all: /nowhere/at-all: no such '
     'file or directory'),
    ('/etc', 'cannot begin --exec /etc: /etc: permission denied'),
    ("sh -c 'kill -9 $$'", '--exec sh failed (ended by signal 9)'),
    ('sh -c "exit 3"', '--exec sh failed (exit status 3)'),
])
def test_a_command_that_cannot_be_is_a_failure(
        conf: str, command: str, args: str,
) -> None:
    """In one line, and it stays due."""
    with watching('--exec', command, conf) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='exec')
        status = it.status()

    assert failed['message'] == args
    assert 'version due' in status


def test_a_command_that_hangs_is_ended_with_its_group(
        conf: str, tmp_path: Path,
) -> None:
    """After --command-timeout."""
    with Mark(tmp_path / 'mark') as mark:
        args = ('--exec', f"sh -c 'exec >{mark.path}; sleep 1000 & wait'")
        with watching(*args, '--command-timeout', '100ms', conf) as it:
            write(conf, 'second')
            it.poll()
            failed = it.until('failed', reason='exec')
            mark.close()
            assert mark.read() == ''

    assert failed['message'] == (
        '--exec sh did not end within 0.1 s (--command-timeout)'
    )


def test_what_a_command_leaves_running_ends_with_it(
        conf: str, tmp_path: Path,
) -> None:
    """It is no way to start a server."""
    with Mark(tmp_path / 'mark') as mark:
        args = ('--exec', f"sh -c 'exec >{mark.path}; echo here; sleep 1000 &'")
        with watching(*args, conf) as it:
            write(conf, 'second')
            it.poll()
            it.until('delivered', exec='sh')
            mark.close()
            said = [mark.read(), mark.read()]

    assert said == ['here', '']


def test_a_server_that_hangs_is_cut_off(conf: str, server: Server) -> None:
    """--url-timeout is for all of it, and the connection is closed."""
    server.answers.append(HANG)
    # Long enough for the request after it to succeed on a busy machine.
    with watching('--url', server.url('/x'), '--url-timeout', '3s', conf) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='url')
        server.until(1, closed=1)
        it.until('delivered')

    assert failed['message'] in (
        f'POST {server.url("/x")} did not end within 3 s (--url-timeout)',
        # Its own clock runs a little later.
        f'POST {server.url("/x")} failed: no answer in time',
    )


def test_a_server_that_trickles_is_cut_off(conf: str) -> None:
    """Each byte comes in time, and the whole does not."""
    with (
        listening() as listener,
        watching(
            '--url', f'http://127.0.0.1:{listener.getsockname()[1]}/', *URL_TIMEOUT,
            conf,
        ) as it,
    ):
        write(conf, 'second')
        it.poll()
        with accepted(listener) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            until = time.monotonic() + DEADLINE
            client.sendall(b'HTTP/1.1 200 OK\r\n')
            client.settimeout(0.02)
            # What was sent to anyone who has hung up is answered by a reset.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while time.monotonic() < until:
                    client.sendall(b'X: y\r\n'[:1])
                    with contextlib.suppress(TimeoutError):
                        if client.recv(1000) == b'':
                            break
            assert time.monotonic() < until
        failed = it.until('failed', reason='url')

    assert 'did not end within 0.3 s (--url-timeout)' in failed['message']


@pytest.mark.parametrize('log_format', ['text', 'json'])
def test_what_a_server_says_stays_on_its_line(
        conf: str, server: Server, log_format: str,
) -> None:
    """It must not forge a log line, or reach the terminal raw."""
    server.answers.append(answer('500 No', 'a\r2026 \x1b[31mdelivered: \x9b'))
    with watch(
            '--url', server.url('/x'), '--log-format', log_format, '--on-start',
            'always', conf,
    ) as it:
        while not any('answered 500' in each['message'] for each in it.seen):
            it.read()
        message = it.seen[-1]['message']

    shown = 'a | 2026 \x1b[31mdelivered: \x9b'
    if log_format == 'text':
        shown = r'a | 2026 \x1b[31mdelivered: \xc2\x9b'
        assert message.isprintable()
    assert message.endswith(f'POST {server.url("/x")} answered 500: {shown}')


def test_redirects_lead_nowhere(conf: str, server: Server) -> None:
    """And are said to be one, for the URL is then to be fixed."""
    with Server() as elsewhere:
        server.answers.append(answer('302 Found', '', f'Location: {elsewhere.url()}'))
        with watching('--url', server.url('/x'), conf) as it:
            write(conf, 'second')
            it.poll()
            failed = it.until('failed', reason='url')

    assert failed['message'].endswith('answered 302, a redirect, which is not followed')
    assert elsewhere.requests == []


@pytest.mark.parametrize(('args', 'line'), [
    (('--url-method', 'get'), 'GET /x HTTP/1.1'),
    (('--url-method', 'PUT', '--url-status', '404'), 'PUT /x HTTP/1.1'),
    (('--url-status', '200,3xx,404'), 'POST /x HTTP/1.1'),
])
def test_method_and_status_are_what_is_asked_for(
        conf: str, server: Server, args: tuple[str, ...], line: str,
) -> None:
    """Of every --url."""
    server.answers.append(answer('404 Not Found') if '404' in args[-1] else OK)
    with watching('--url', server.url('/x'), *args, conf) as it:
        write(conf, 'second')
        it.poll()
        it.until('delivered')

    assert server.requests[0].startswith(line)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_while_a_request_hangs(
        conf: str, server: Server, number: int,
) -> None:
    """And hangs up."""
    server.answers.append(HANG)
    with watching('--url', server.url('/x'), '--url-timeout', '1h', conf) as it:
        write(conf, 'second')
        it.poll()
        server.until(1)
        status = it.stop(number)
        server.until(1, closed=1)

    assert status == 0


def test_it_ends_at_once_while_a_command_hangs(conf: str, tmp_path: Path) -> None:
    """With all that it has started."""
    with Mark(tmp_path / 'mark') as mark:
        args = ('--exec', f"sh -c 'exec >{mark.path}; echo here; sleep 1000 & wait'")
        with watching(*args, '--command-timeout', '1h', conf) as it:
            write(conf, 'second')
            it.poll()
            assert mark.read() == 'here'
            status = it.stop()
        mark.close()
        assert mark.read() == ''

    assert status == 0


def test_signals_are_answered_while_a_request_hangs(conf: str, server: Server) -> None:
    """USR1 says what is under way, and the content is looked at all the time."""
    server.answers.append(HANG)
    with watching('--url', server.url('/x'), '--url-timeout', '1h', conf) as it:
        write(conf, 'second')
        it.poll()
        server.until(1)
        status = it.status()
        write(conf, 'third')
        it.poll()
        changed = it.until('changed')
        changed = it.until('changed')

    assert 'under way: act' in status
    assert changed['files'] == [conf]
