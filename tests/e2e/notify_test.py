"""--exec and --url, by the command line: what is done, in turn, and what is said.

A Server is one on the loopback that is told how it answers.
"""
from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import xxhash

from pollreload.cli import main
from pollreload.settings import Plan, Settings
from pollreload.system import ledger_file, status_file
from tests.servers.harness import until
from tests.support import sidecar, targets
from tests.support.sidecar import Mark, Run, Sidecar, check, unique, watch, write
from tests.support.targets import DEADLINE
from tests.unit.system.http_request_test import accepted, closed_port, listening

SECRETS = 'us3r', 'pa55word', 't0ken', 'dXMzcjpwYTU1d29yZA=='
URL_TIMEOUT = '--url-timeout', '300ms'


def answer(status: str, body: str = '', *headers: str) -> bytes:
    """Return a whole answer."""
    length = f'Content-Length: {len(body.encode())}'
    return '\r\n'.join((f'HTTP/1.1 {status}', length, *headers, '', body)).encode()


OK = answer('200 OK')
HANG = b''  # says nothing, and waits for the other end to be closed


class Server:
    """What answers, one request after the other, and keeps what it was asked.

    Said in advance: answers, 200 where there is none left. requests: each up to
    the end of its headers; '' for a connection on which nothing came.
    """

    def __init__(self, address: str = '127.0.0.1') -> None:
        self.listener = listening(address)
        self.listener.settimeout(None)
        self.port = self.listener.getsockname()[1]
        self.answers: collections.deque[bytes] = collections.deque()
        self.requests: list[str] = []
        self.closed = 0  # how many connections the other end has closed meanwhile
        self.news = threading.Condition()
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self) -> Server:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A close alone would not wake who waits in accept(2).
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(DEADLINE)
        self.listener.close()

    def url(self, path: str = '/', who: str = '') -> str:
        """Return the URL of a path here."""
        return f'http://{who}127.0.0.1:{self.port}{path}'

    def serve(self) -> None:
        """Answer until the listener is shut down."""
        while True:
            try:
                client = accepted(self.listener)
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                self.one(client)

    def one(self, client: socket.socket) -> None:
        """Answer one request."""
        got = b''
        while b'\r\n\r\n' not in got:
            read = client.recv(4096)
            got += read
            if not read:
                break
        said = self.answers.popleft() if got and self.answers else OK
        with self.news:
            self.requests.append(got.decode())
            self.news.notify_all()
        client.sendall(said)
        if said == HANG:
            client.recv(1)
            with self.news:
                self.closed += 1
                self.news.notify_all()

    def until(self, asked: int, closed: int = 0) -> list[str]:
        """Return the lines of the requests once there are so many."""
        with self.news:
            assert self.news.wait_for(
                lambda: len(self.requests) >= asked and self.closed >= closed, DEADLINE,
            ), f'not asked {asked} times: {self.requests}'
            return [each.partition('\r\n')[0] for each in self.requests]


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that answers 200 unless it is told otherwise."""
    with Server() as it:
        yield it


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch, with its first content."""
    path = str(tmp_path / 'app.conf')
    write(path, 'first')
    return path


class Book:
    """A file in which each command that note() gives writes a line."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / 'book'
        self.directory = directory

    def note(self, word: str, then: str = '') -> str:
        """Return a command line that writes a word, and does something more."""
        script = self.directory / word
        script.write_text(f'#!/bin/sh\necho {word} >>{self.path}\n{then}\n')
        script.chmod(0o755)
        return str(script)

    def read(self) -> list[str]:
        """Return what was written."""
        return self.path.read_text().split() if self.path.exists() else []


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """An empty book."""
    return Book(tmp_path)


@contextlib.contextmanager
def watching(*words: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch that has taken its baseline."""
    with watch(*words, **rest) as it:
        it.until('baseline')
        yield it


def events(it: Sidecar | Run) -> list[tuple[str, str]]:
    """Return the events that matter, each with the last word of its URL or command."""
    seen = it.seen if isinstance(it, Sidecar) else it.events
    return [
        (each['event'], os.path.basename(str(each.get('exec', each.get('url', '')))))
        for each in seen if each['event'] not in ('started', 'status', 'polled')
    ]


# In turn


def test_all_is_done_in_order_and_once(conf: str, server: Server, book: Book) -> None:
    """Commands, then requests, each as it was given; an idle poll does nothing."""
    words = (
        '--exec', book.note('b'), '--url', server.url('/y'), '--exec', book.note('a'),
        '--url', server.url('/x'),
    )
    with watching(*words, conf) as it:
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


def test_what_is_started_says_who_is_told(conf: str, server: Server) -> None:
    """In words, and in fields."""
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
    """--signal TERM: nobody waits for a successor that --exec is to start."""
    name = unique()
    with (
        targets.start('default', name=name) as target,
        watching(
            '--process', name, '--signal', 'TERM', '--exec', book.note('a'), conf,
        ) as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('delivered', pid=target.pid)
        it.until('delivered', exec=f'{book.directory}/a')
        it.poll()

    assert book.read() == ['a']
    assert it.count('held') == 0


def test_a_failure_stops_the_rest_and_is_tried_again(
        conf: str, server: Server, book: Book,
) -> None:
    """500 twice, with the words of the server; what succeeded is not repeated."""
    server.answers += [answer('500 No', 'no such job: x\n')] * 2
    words = (
        '--exec', book.note('a'), '--url', server.url('/x'), '--url', server.url('/y'),
    )
    with watching(*words, conf) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', url=server.url('/x'), reason='url')
        status = it.status()
        it.until('delivered', url=server.url('/y'))

    assert failed['message'] == (
        f'POST {server.url("/x")} answered 500: no such job: x'
    )
    assert 'content due' in status
    assert 'failed attempts: 1' in status
    assert it.count('failed') == 1
    assert book.read() == ['a']
    assert server.until(4) == [
        *['POST /x HTTP/1.1'] * 3, 'POST /y HTTP/1.1',
    ]


def test_a_command_that_fails_shows_its_last_words(
        conf: str, server: Server, book: Book,
) -> None:
    """And nothing that follows it is done; HUP tries again at once."""
    again = book.directory / 'again'
    lines = f'echo one; echo two >&2; echo; echo three; echo four; test -e {again}'
    words = ('--exec', book.note('a', lines), '--url', server.url('/x'))
    with watching(*words, conf) as it:
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


@pytest.mark.parametrize(('command', 'words'), [
    ('/nowhere/at-all', 'cannot begin --exec /nowhere/at-all: /nowhere/at-all: no such '
     'file or directory'),
    ('/etc', 'cannot begin --exec /etc: /etc: permission denied'),
    ("sh -c 'kill -9 $$'", '--exec sh failed (ended by signal 9)'),
    ('sh -c "exit 3"', '--exec sh failed (exit status 3)'),
])
def test_a_command_that_cannot_be_is_a_failure(
        conf: str, command: str, words: str,
) -> None:
    """In one line, and it stays due."""
    with watching('--exec', command, conf) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='exec')
        status = it.status()

    assert failed['message'] == words
    assert 'content due' in status


def test_a_command_that_hangs_is_ended_with_its_group(
        conf: str, tmp_path: Path,
) -> None:
    """After --command-timeout."""
    with Mark(tmp_path / 'mark') as mark:
        words = ('--exec', f"sh -c 'exec >{mark.path}; sleep 1000 & wait'")
        with watching(*words, '--command-timeout', '100ms', conf) as it:
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
        words = ('--exec', f"sh -c 'exec >{mark.path}; echo here; sleep 1000 &'")
        with watching(*words, conf) as it:
            write(conf, 'second')
            it.poll()
            it.until('delivered', exec='sh')
            mark.close()
            said = [mark.read(), mark.read()]

    assert said == ['here', '']


def test_a_server_that_hangs_is_cut_off(conf: str, server: Server) -> None:
    """--url-timeout is for all of it, and the connection is closed."""
    server.answers.append(HANG)
    with watching('--url', server.url('/x'), *URL_TIMEOUT, conf) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='url')
        server.until(1, closed=1)
        it.until('delivered')

    assert failed['message'] in (
        f'POST {server.url("/x")} did not end within 0.3 s (--url-timeout)',
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
            # What was sent to who has hung up is answered by a reset.
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
    """And are said to be one, for the URL is then to be mended."""
    with Server() as elsewhere:
        server.answers.append(answer('302 Found', '', f'Location: {elsewhere.url()}'))
        with watching('--url', server.url('/x'), conf) as it:
            write(conf, 'second')
            it.poll()
            failed = it.until('failed', reason='url')

    assert failed['message'].endswith('answered 302, a redirect, which is not followed')
    assert elsewhere.requests == []


@pytest.mark.parametrize(('words', 'line'), [
    (('--url-method', 'get'), 'GET /x HTTP/1.1'),
    (('--url-method', 'PUT', '--url-status', '404'), 'PUT /x HTTP/1.1'),
    (('--url-status', '200,3xx,404'), 'POST /x HTTP/1.1'),
])
def test_method_and_status_are_what_is_asked_for(
        conf: str, server: Server, words: tuple[str, ...], line: str,
) -> None:
    """Of every --url."""
    server.answers.append(answer('404 Not Found') if '404' in words[-1] else OK)
    with watching('--url', server.url('/x'), *words, conf) as it:
        write(conf, 'second')
        it.poll()
        it.until('delivered')

    assert server.requests[0].startswith(line)


# The end


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
        words = ('--exec', f"sh -c 'exec >{mark.path}; echo here; sleep 1000 & wait'")
        with watching(*words, '--command-timeout', '1h', conf) as it:
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


# What is remembered


def test_a_restart_goes_on_where_it_was(
        conf: str, server: Server, book: Book, tmp_path: Path,
) -> None:
    """TERM after the first of two: only the second is done by who comes next."""
    server.answers.append(answer('500 No'))
    words = (
        '--state-file', str(tmp_path / 'ledger'), '--exec', book.note('a'), '--url',
        server.url('/x'), '--on-start', 'auto', conf,
    )
    with watch(*words) as it:
        it.until('failed', reason='url')
        assert it.stop() == 0
    with watch(*words) as it:
        it.until('delivered', url=server.url('/x'))
        write(conf, 'second')
        it.poll()
        it.until('delivered', url=server.url('/x'))
        it.stop()
    with watch(*words) as it:
        it.until('started')
        it.poll()
        it.poll()
        idle = events(it)

    assert book.read() == ['a', 'a']
    assert len(server.requests) == 3
    assert idle == []


def test_a_run_that_is_killed_leaves_the_mark(
        conf: str, server: Server, book: Book, tmp_path: Path,
) -> None:
    """KILL while a request hangs: nobody knows what came of it, so it is sent again."""
    server.answers.append(HANG)
    path = str(tmp_path / 'ledger')
    words = (
        '--state-file', path, '--exec', book.note('a'), '--url', server.url('/x'),
        '--url-timeout', '1h', conf,
    )
    with watching(*words) as it:
        write(conf, 'second')
        it.poll()
        server.until(1)
        kept = ledger_file.peek(path)
        child = targets.only_child(it.pid)
        it.send(signal.SIGKILL)
        it.wait()
        # The child of who is killed outright lives on until there is an answer.
        os.kill(child, signal.SIGKILL)
    with watch(*words) as it:
        it.until('delivered', url=server.url('/x'))

    assert kept is not None
    attempt: Any = kept['attempt']
    assert (kept['done'], attempt['acted']) == ('', 1)
    assert book.read() == ['a']
    assert len(server.requests) == 2


def test_the_mark_is_there_before_anything_is_begun(
        conf: str, tmp_path: Path,
) -> None:
    """A command can see it: what was done is not done any more."""
    path, seen = str(tmp_path / 'ledger'), tmp_path / 'seen'
    words = ('--state-file', path, '--exec', f'cp {path} {seen}')
    with watching(*words, conf) as it:
        it.poll()
        before = ledger_file.peek(path)
        write(conf, 'second')
        it.poll()
        it.until('delivered')
    marked = json.loads(seen.read_text())

    assert before is not None
    assert before['done']
    assert (marked['done'], marked['attempt']['acted']) == ('', 0)
    assert marked['attempt']['fingerprint'] == marked['seen'] != before['done']


def test_what_was_half_told_is_told_again_when_it_goes_back(
        conf: str, server: Server, book: Book,
) -> None:
    """Rule 2: the second failed half way, and the first is there again."""
    server.answers.append(answer('500 No'))
    words = ('--exec', book.note('a'), '--url', server.url('/x'))
    with watching(*words, conf) as it:
        write(conf, 'second')
        it.poll()
        it.until('failed', reason='url')
        write(conf, 'first')
        it.poll()
        it.until('delivered', url=server.url('/x'))

    assert book.read() == ['a', 'a']


def test_without_a_process_it_is_done_at_the_start(
        conf: str, server: Server, tmp_path: Path,
) -> None:
    """Once, for it is not known what is in use; with a ledger, that is known."""
    words = (
        '--state-file', str(tmp_path / 'ledger'), '--url', server.url('/x'),
        '--on-start', 'auto', conf,
    )
    with watch(*words) as it:
        baseline = it.until('baseline')
        it.until('delivered')
        it.poll()
    with watch(*words) as it:
        it.until('started')
        it.poll()

    assert baseline['message'].endswith(
        '; to be told once, for it is not known what is in use',
    )
    assert len(server.requests) == 1


def test_verify_comes_last_and_says_so(
        conf: str, server: Server, book: Book, tmp_path: Path,
) -> None:
    """Without a process: asked until it agrees, with no pid in its environment."""
    words = (
        '--exec', book.note('a'), '--url', server.url('/x'), '--verify',
        book.note('v', f'echo ${{POLLRELOAD_PID-none}} >>{book.path}\n'
                       f'mkdir {tmp_path}/first 2>/dev/null && exit 1\nexit 0'),
    )
    with watching(*words, conf) as it:
        write(conf, 'second')
        it.poll()
        verified = it.until('verified')
        it.stop()

    assert verified['message'] == f'reloaded after POST {server.url("/x")}'
    assert {*verified} == {'time', 'event', 'message'}
    assert book.read() == ['a', 'v', 'none', 'v', 'none']
    assert 'not verified' not in str(it.seen)


def test_command_finds_what_changed_in_its_environment(
        tmp_path: Path, book: Book,
) -> None:
    """A shell loop over the names meets each file once, also one with a newline."""
    below = tmp_path / 'conf.d'
    below.mkdir()
    (below / 'one').write_text('first')
    loop = (
        f'[ -n "$POLLRELOAD_CHANGED" ] || exit 0\n'
        f'printf "%s\\n" "$POLLRELOAD_CHANGED" | while IFS= read -r name; do\n'
        f'test -f "$name" && echo "${{name#{below}/}}" >>{book.path}; done\n'
        f'echo "$POLLRELOAD_CHANGED_MORE" "${{POLLRELOAD_PID-none}}" '
        f'"[$POLLRELOAD_WATCH]" >>{book.path}\n'
        f'echo "$POLLRELOAD_PREVIOUS" "$POLLRELOAD_FINGERPRINT" >>{book.path}\n'
    )
    outer = {'POLLRELOAD_PID': '1', 'POLLRELOAD_CHANGED': '/outer'}
    with watching('--exec', book.note('ran', loop), str(below), env=outer) as it:
        (before,) = (each for each in it.seen if each['event'] == 'baseline')
        (below / 'one').write_text('second')
        (below / 'two words').write_text('new')
        (below / 'new\nline').write_text('new')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')
        it.stop()

    assert book.read() == [
        'ran', 'one', 'two', 'words', '1', 'none', '[]',
        before['fingerprint'], changed['fingerprint'],
    ]


def test_verify_that_disagrees_has_all_done_again(
        conf: str, server: Server, book: Book,
) -> None:
    """Three times in all, and then it is held until the content changes."""
    words = (
        '--exec', book.note('a'), '--url', server.url('/x'), '--verify', 'false',
        '--command-timeout', '1s', conf,
    )
    with watching(*words) as it:
        write(conf, 'second')
        it.poll()
        for _ in range(3):
            failed = it.until('failed', reason='not verified')
            it.poll()
        held = it.until('held', reason='limit')
        it.poll()

    assert failed['message'] == (
        'all was done, but 1 s later --verify false does not agree'
    )
    assert held['message'] == (
        f'POST {server.url("/x")} succeeded 3 times for this content, and --verify '
        f'never agreed; held until the content changes'
    )
    assert book.read() == ['a'] * 3
    assert len(server.requests) == 3


# check


def test_check_does_it_and_is_silent_then(
        conf: str, server: Server, book: Book, tmp_path: Path,
) -> None:
    """0 where all is done; what it did is its answer, what is not due is none."""
    words = (
        '--state-file', str(tmp_path / 'ledger'), '--exec', book.note('a'), '--url',
        server.url('/x'), conf,
    )
    first = check(*words)
    write(conf, 'second')
    second = check(*words)
    third = check(*words)

    assert (first.status, second.status, third.status) == (0, 0, 0)
    assert (first.out, third.out, third.events) == ('', '', [])
    assert second.out.splitlines() == [
        f'delivered: --exec {book.directory}/a succeeded; reload not verified',
        f'delivered: POST {server.url("/x")} answered 200; reload not verified',
    ]
    assert book.read() == ['a']


def test_check_goes_on_where_the_last_one_failed(
        conf: str, server: Server, book: Book, tmp_path: Path,
) -> None:
    """1 while it is not done; each run is one try."""
    server.answers += [answer('500 No', 'why')] * 2
    words = (
        '--state-file', str(tmp_path / 'ledger'), '--exec', book.note('a'), '--url',
        server.url('/x'), '--output', 'json', conf,
    )
    check(*words)
    write(conf, 'second')
    runs = [check(*words) for _ in range(4)]

    assert [each.status for each in runs] == [1, 1, 0, 0]
    assert book.read() == ['a']
    said = json.loads(runs[0].out)
    assert said['status'] == 1
    assert said['events'][-1] == {
        'event': 'failed', 'message': f'POST {server.url("/x")} answered 500: why',
        'reason': 'url', 'url': server.url('/x'),
    }


def test_check_ends_in_time(conf: str, server: Server, tmp_path: Path) -> None:
    """--timeout is for all of it; what is under way is ended, and stays due."""
    server.answers.append(HANG)
    words = ('--state-file', str(tmp_path / 'ledger'), '--url', server.url('/x'), conf)
    check(*words)
    write(conf, 'second')

    got = check(*words, '--timeout', '500ms')
    server.until(1, closed=1)
    again = check(*words)

    assert (got.status, again.status) == (1, 0)
    assert got.named('failed')[0]['message'] == (
        f'not done within 0.5 s (--timeout), still waiting for POST {server.url("/x")}'
    )


@pytest.mark.parametrize('process', [True, False])
def test_dry_run_says_all_that_it_would_do(
        conf: str, server: Server, book: Book, tmp_path: Path, process: bool,
) -> None:
    """Who would be told, and what would be done besides; nothing is, nor written."""
    name = unique()
    path = tmp_path / 'ledger'
    words = (
        *(('--process', name) if process else ()), '--state-file', str(path), '--exec',
        book.note('a'), conf,
    )
    env = {'POLLRELOAD_URL': server.url('/x?y=z')}
    with targets.start('handler', name=name) as target:
        check(*words, env=env)
        write(conf, 'second')
        before = path.read_bytes()
        got = check(*words, '--dry-run', env=env)
        target.signal(signal.SIGUSR1)
        assert target.read() == 'USR1'

    signalled = [f'would: send SIGHUP to {name} (pid {target.pid})'] * process
    assert got.out.splitlines() == [
        *signalled, f'would: do --exec {book.directory}/a',
        f'would: do POST {server.url("/x")}',
    ]
    assert got.status == 1
    assert (book.read(), server.requests, path.read_bytes()) == ([], [], before)


def test_each_has_a_ledger_of_its_own(
        conf: str, server: Server, tmp_path: Path,
) -> None:
    """What is done is part of what is remembered; who asks is not."""
    env = {'XDG_STATE_HOME': str(tmp_path / 'state')}
    for words in (
        ('--exec', 'true'), ('--exec', 'true 1'), ('--url', server.url('/x')),
        ('--url', server.url('/x'), '--url-method', 'PUT'),
        ('--url', server.url('/x'), '--exec', 'true'),
        ('--process', unique(), '--exec', 'true'),
    ):
        assert check('-v', *words, conf, env=env).named('baseline')
        assert not check('-v', *words, conf, env=env).named('baseline')
    secret = {**env, 'POLLRELOAD_URL': server.url('/x', 'us3r:pa55word@')}

    assert not check('-v', conf, env=secret).named('baseline')


# The environment


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


# Secrets


def shown_of(pid: int) -> str:
    """Return what every list of processes shows of one and all below it."""
    found = ''
    for entry in filter(str.isdecimal, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            with open(f'/proc/{entry}/stat', encoding='utf-8') as stat:
                above = int(stat.read().rpartition(')')[2].split()[1])
            if pid in (int(entry), above):
                with open(f'/proc/{entry}/cmdline', encoding='utf-8') as words:
                    found += words.read()
    return found


def assert_no_secret(text: str) -> None:
    """Fail where one of the secrets is in a text."""
    assert text
    assert [each for each in SECRETS if each in text] == []


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
    words = (
        '-v', '--state-file', str(ledger), '--status-file', str(status), '--on-start',
        'always', '--url-timeout', '2s', '--log-format', log_format, conf,
    )
    with watch(*words, env={'POLLRELOAD_URL': url}) as it:
        def said(words: str) -> None:
            while words not in it.read()['message']:
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
    for words in (
        ('check', '-v', '--dry-run', '--on-start', 'always', conf),
        ('check', '-v', '--on-start', 'always', '--output', 'json', conf),
        ('doctor', conf), ('doctor', '--output', 'json', conf),
        ('status', str(status)), ('status', '--output', 'json', str(status)),
    ):
        done = run(*words, env=env)
        said.append(done.stdout + done.stderr)
        assert_no_secret(said[-1])

    for each in said:
        assert server.url('/x') in each


def run(
        *words: str, env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        (*sidecar.POLLRELOAD, *words), env=sidecar.environment(env), text=True,
        capture_output=True, timeout=DEADLINE, check=False,
        stdin=subprocess.DEVNULL,
    )


# What is refused


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
    """Nobody else can read it there."""
    url = 'http://me:pa55word@host/x?key=t0ken'
    monkeypatch.setenv('POLLRELOAD_URL', url)

    plan = main.main(('watch', 'app.conf'))

    assert isinstance(plan, Plan)
    assert plan.watches[0].url == (url,)


@pytest.mark.parametrize(('words', 'says'), [
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
def test_other_words_that_mean_nothing_are_one_line(
        words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str],
) -> None:
    """With 2, before anything is watched."""
    status = main.main(('watch', '--url', 'http://host/', *words, 'app.conf'))

    line = capsys.readouterr().err
    assert status == 2
    assert re.fullmatch(r'pollreload: [^\n]*\n', line)
    assert says in line


def test_nobody_to_tell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what else there is besides a process."""
    for command in ('watch', 'check', 'doctor'):
        assert main.main((command, 'app.conf')) == 2
        line = capsys.readouterr().err
        assert line.count('\n') == 1
        assert 'or use --exec or --url' in line


def test_a_watch_that_is_refused_ends_with_2() -> None:
    """By the child that reads the words, too."""
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


# doctor and status


def test_doctor_says_whether_it_would_work(
        conf: str, server: Server, tmp_path: Path,
) -> None:
    """A row for each; it connects, and sends nothing."""
    away = closed_port()
    env = {
        'XDG_STATE_HOME': str(tmp_path / 'state'),
        'POLLRELOAD_URL': f'{server.url("/x?y")}\nhttp://127.0.0.1:{away}/',
    }
    done = run(
        'doctor', '--exec', 'true', '--exec', 'no-such-program', '--output', 'json',
        conf, env=env,
    )
    said = json.loads(done.stdout)
    rows = {
        (row['check'], row['about']): (row['verdict'], row['says'])
        for row in said['rows']
    }

    assert (done.returncode, said['status']) == (1, 1)
    assert rows['exec', 'true'] == ('ok', 'found')
    assert rows['exec', 'no-such-program'] == (
        'fail', 'no such program: no-such-program',
    )
    assert rows['url', server.url('/x')] == (
        'ok', 'takes connections; nothing was sent',
    )
    assert rows['url', f'http://127.0.0.1:{away}/'] == ('fail', 'connection refused')
    # Nothing is said of a process that nobody has named.
    assert {check for check, _ in rows} == {'path', 'ledger', 'exec', 'url'}
    server.until(1)
    assert server.requests == ['']


def test_doctor_is_content_where_all_is_well(conf: str, server: Server) -> None:
    """0."""
    done = run('doctor', '--exec', 'true', '--url', server.url('/x'), conf)

    assert done.returncode == 0
    assert 'fail' not in done.stdout


def test_doctor_does_not_wait_for_a_host_that_says_nothing(
        conf: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A few seconds at most."""
    from pollreload.commands.doctor import paths, programs
    monkeypatch.setattr(paths, 'PATIENCE', 0.2)
    with listening() as listener:
        # Once as many wait as there is room for, the next one gets no answer.
        listener.listen(0)
        where = listener.getsockname()
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(where)
            got = programs.unreached(f'http://127.0.0.1:{where[1]}/')

    assert got in ('no answer in time', 'does not answer')


def test_status_shows_who_is_told(conf: str, server: Server, tmp_path: Path) -> None:
    """Where there is no process, no word of one."""
    path = str(tmp_path / 'status')
    with watching(
            '--status-file', path, '--exec', 'true 1', conf,
            env={'POLLRELOAD_URL': server.url('/x?y')},
    ) as it:
        it.poll()
        shown = status_file.read(path)
    done = run('status', path)
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


# Nothing of it where it is not asked for


def modules(
        conf: str, words: tuple[str, ...], told: Callable[[], object],
) -> set[str]:
    """Return what a watch has imported that has told of a change."""
    # Without site, whose .pth files may import anything.
    packages = os.path.dirname(os.path.dirname(os.path.abspath(xxhash.__file__)))
    program = (
        'import atexit, os, sys\n'
        'say = lambda: os.write(2, " ".join(sys.modules).encode() + b"\\n")\n'
        'atexit.register(say)\n'
        'from pollreload.__main__ import main\n'
        'sys.exit(main())\n'
    )
    words = sidecar.quick(*words, '--interval', '1h', '--log-format', 'text', conf)
    command = (sys.executable, '-S', '-c', program, 'watch', *words)
    env = sidecar.environment({'PYTHONPATH': f'{sidecar.ROOT}:{packages}'}, False)
    with Sidecar(subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ), False) as it:
        while ' baseline: ' not in it.read()['message']:
            pass
        write(conf, 'second')
        it.send(signal.SIGHUP)
        while ' delivered: ' not in it.read()['message']:
            pass
        told()
        it.stop()
    return set(it.seen[-1]['message'].split())


NETWORK = {
    'http', 'http.client', 'urllib', 'urllib.parse', 'ssl', '_ssl', 'socket',
    '_socket', 'email', 'base64', 'pollreload.system.http_request',
}


def test_a_watch_that_only_signals_has_nothing_of_it(conf: str) -> None:
    """Its memory is part of its quality."""
    name = unique()
    with targets.start('handler', name=name) as target:
        found = modules(conf, ('--process', name), target.read)

    assert 'pollreload.commands.watch' in found
    assert found.isdisjoint({*NETWORK, 'pollreload.core.actions'})


def test_a_watch_that_asks_has_a_child_that_knows_how(
        conf: str, server: Server,
) -> None:
    """What speaks HTTP is imported by that child, and ends with it."""
    words = ('--exec', 'true', '--url', server.url('/x'))
    found = modules(conf, words, lambda: server.until(1))

    assert 'pollreload.core.actions' in found
    assert found.isdisjoint(NETWORK)
