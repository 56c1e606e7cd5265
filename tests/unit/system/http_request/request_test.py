"""Requests of --url, and the answers to them."""
from __future__ import annotations

import base64
import contextlib
import errno
import http.client
import re
import socket
import struct
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

from pollreload.cli import values
from pollreload.system import children, http_request
from tests.support.http_peer import (
    GOOD,
    accepted,
    answer,
    asked,
    closed_port,
    heard,
    listening,
    saying,
    value,
)
from tests.support.targets import DEADLINE

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'


def seen(url: str, method: str = 'POST', address: str = '127.0.0.1') -> list[str]:
    """Return the lines of the request that a server gets."""
    lines: list[str] = []

    def serve(client: socket.socket) -> None:
        lines.extend(heard(client).decode('ascii').split('\r\n'))
        client.sendall(OK)

    assert asked(serve, url, method, address=address) == (True, 'answered 200')
    return lines


@pytest.mark.parametrize(('path', 'target'), [
    ('', '/'), ('/', '/'), ('/-/reload', '/-/reload'), ('/a?b=c&d', '/a?b=c&d'),
    ('?b', '/?b'), ('/a%20b;c=(d)', '/a%20b;c=(d)'),
])
@pytest.mark.parametrize('method', ['POST', 'GET', 'PUT'])
def test_a_request_is_a_line_and_a_few_headers(
        path: str, target: str, method: str,
) -> None:
    """Nobody's name, no body, and the path as it was written."""
    lines = seen('http://{}' + path, method)

    assert lines[0] == f'{method} {target} HTTP/1.1'
    headers = dict(line.split(': ', 1) for line in lines[1:-2])
    assert re.fullmatch(r'127\.0\.0\.1:\d+', headers.pop('Host'))
    # RFC 9110, 8.6: of a method that may have a body it says that there is none.
    assert headers.pop('Content-Length', '') == ('' if method == 'GET' else '0')
    assert headers == {
        'Accept-Encoding': 'identity', 'User-Agent': 'pollreload', 'Accept': '*/*',
    }


def test_an_ipv6_address_is_reached() -> None:
    """[::1], with a port; and its Host is in brackets (RFC 9112, 3.2)."""
    lines = seen('http://{}/x', address='::1')

    assert any(re.fullmatch(r'Host: \[::1\]:\d+', line) for line in lines)


@pytest.mark.parametrize('host', ['127.0.0.1', '[::1]'])
def test_the_port_of_the_scheme_is_the_default(
        host: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """http.client would look for it in what follows the last colon."""
    with listening(host.strip('[]')) as listener:
        monkeypatch.setattr(http.client, 'HTTP_PORT', listener.getsockname()[1])
        pid, fd = children.fork(
            lambda: http_request.perform(f'http://{host}/x', 'POST', GOOD, DEADLINE),
        )
        with accepted(listener) as client:
            answer('200 OK')(client)
    assert value(pid, fd) == (True, 'answered 200')


@pytest.mark.parametrize(('who', 'sent'), [
    ('user:secret@', b'user:secret'), ('user@', b'user:'), (':secret@', b':secret'),
    ('us%40er:s%3Ae%2Fc%25@', b'us@er:s:e/c%'), ('us:er:x@', b'us:er:x'),
    ('%C3%A9:%E2%82%AC@', '\u00e9:\u20ac'.encode()), ('u:%FF@', b'u:\xff'),
])
def test_credentials_are_sent_as_bytes(who: str, sent: bytes) -> None:
    """As HTTP's Basic has them (RFC 7617), once what is %XX is what it stands for."""
    lines = seen('http://' + who + '{}/x')

    basic = base64.b64encode(sent).decode()
    assert f'Authorization: Basic {basic}' in lines


def test_no_variable_for_a_proxy_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """To reload is a matter between us and the server."""
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'https_proxy'):
        monkeypatch.setenv(name, 'http://127.0.0.1:1')

    assert asked(answer('200 OK')) == (True, 'answered 200')


@pytest.mark.parametrize(('status', 'good'), [
    ('200 OK', True), ('201 Created', True), ('202 Accepted', True),
    ('204 No Content', True), ('299 x', True), ('304 Not Modified', False),
    ('400 Bad Request', False), ('404 Not Found', False), ('401 No', False),
    ('500 Internal Server Error', False), ('503 Busy', False), ('999 x', False),
])
def test_an_answer_is_a_success_or_not(status: str, good: bool) -> None:
    """By its status alone, which is 2xx unless --url-status says otherwise."""
    assert asked(answer(status)) == (good, f'answered {status[:3]}')


@pytest.mark.parametrize(('text', 'status', 'good'), [
    ('2xx', 302, False), ('3xx', 302, True), ('200,204', 204, True),
    ('200,204', 201, False), ('200-202', 202, True), ('404', 404, True),
    ('404', 200, False), ('5XX, 200', 599, True),
])
def test_url_status_says_what_is_a_success(text: str, status: int, good: bool) -> None:
    """A class, a status, a range, and several of them."""
    got = asked(answer(f'{status} x'), good=values.statuses(text))

    assert got[0] == good
    assert got[1].startswith(f'answered {status}')


@pytest.mark.parametrize('status', [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    """Whoever sends us elsewhere does not decide where our credentials go."""
    with listening() as elsewhere:
        port = elsewhere.getsockname()[1]
        got = asked(answer(
            f'{status} Moved', b'', f'Location: http://127.0.0.1:{port}/',
        ), 'http://user:secret@{}/')
        elsewhere.setblocking(False)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()

    assert got == (False, f'answered {status}, a redirect, which is not followed')


def test_an_answer_may_be_announced() -> None:
    """100 Continue is no answer (RFC 9110, 15.2.1)."""
    said = b'HTTP/1.1 100 Continue\r\n\r\n' + OK

    assert asked(saying(said)) == (True, 'answered 200')


@pytest.mark.parametrize(('said', 'text'), [
    pytest.param(b'hello\r\n', 'not HTTP', id='http 0.9'),
    pytest.param(b'<html>hello</html>', 'not HTTP', id='a page alone'),
    pytest.param(b'SSH-2.0-OpenSSH_9.2p1\r\n', 'not HTTP', id='ssh'),
    pytest.param(b'\r\n\r\n', 'not HTTP', id='empty lines'),
    pytest.param(b'HTTP/1.1 2', 'not HTTP', id='half a status'),
    pytest.param(b'HTTP/1.1 two hundred\r\n\r\n', 'not HTTP', id='no number'),
    pytest.param(b'HTTP/9.9 200 OK\r\n\r\n', 'not HTTP', id='another version'),
    pytest.param(b'\x15\x03\x01\x00\x02\x02\x16', 'not HTTP', id='tls'),
    pytest.param(
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n',
        'not HTTP', id='a chunk below 0',
    ),
    pytest.param(
        b'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello', 'not HTTP',
        id='a length below 0',
    ),
    pytest.param(
        b'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello', 'not HTTP',
        id='a length that is none',
    ),
    pytest.param(bytes(range(256)) * 4, 'not HTTP', id='garbage'),
    pytest.param(b'HTTP/1.1 200 ' + b'x' * 70_000, 'not HTTP', id='a long line'),
    pytest.param(
        b'HTTP/1.1 200 OK\r\n' + b'a: b\r\n' * 200 + b'\r\n', 'not HTTP', id='headers',
    ),
])
def test_what_is_not_http_is_said(said: bytes, text: str) -> None:
    """As text, and not in a traceback."""
    assert asked(saying(said)) == (False, f'answered something that is {text}')


def test_no_answer_at_all() -> None:
    """Closed at once, and reset."""
    def reset(client: socket.socket) -> None:
        heard(client)
        # Not closed, but reset (socket(7)).
        linger = struct.pack('ii', 1, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    assert asked(heard) == (False, 'closed the connection without an answer')
    assert asked(reset) == (False, 'failed: connection reset')


@pytest.mark.parametrize(('headers', 'body', 'whole'), [
    pytest.param('Content-Length: 4', b'1234', True, id='as long as it says'),
    pytest.param('Content-Length: 4', b'123456', True, id='longer'),
    pytest.param('Content-Length: 9', b'1234', False, id='shorter'),
    pytest.param('Content-Length: 9', b'', False, id='nothing of it'),
    pytest.param('Content-Length: 4, 4', b'1234', True, id='a length twice'),
    pytest.param('X: y', b'1234', True, id='no length'),
    pytest.param(
        'Transfer-Encoding: chunked', b'4\r\n1234\r\n0\r\n\r\n', True, id='chunked',
    ),
    pytest.param(
        'Transfer-Encoding: chunked', b'9\r\n1234', False, id='half a chunk',
    ),
    pytest.param('Transfer-Encoding: chunked', b'4\r\n1234', False, id='no last chunk'),
    pytest.param('Transfer-Encoding: chunked', b'', False, id='no chunk'),
    pytest.param('Transfer-Encoding: chunked', b'z\r\n1234', False, id='no chunks'),
])
@pytest.mark.parametrize('status', [200, 500])
def test_an_answer_that_ends_too_early(
        headers: str, body: bytes, whole: bool, status: int,
) -> None:
    """A server that dies in the middle of it has not done what it was asked to."""
    good, text = asked(
        saying(f'HTTP/1.1 {status} x\r\n{headers}\r\n\r\n'.encode() + body),
    )

    if status == 500:
        assert not good
        assert re.fullmatch('answered 500(: [1-6]+)?', text)
    else:
        broken = '' if whole else ', and closed the connection in the middle of it'
        assert (good, text) == (whole, f'answered 200{broken}')


@pytest.mark.parametrize('status', [200, 500])
def test_an_endless_answer_is_not_read_to_its_end(status: int) -> None:
    """The first 64 kB are enough."""
    def serve(client: socket.socket) -> None:
        heard(client)
        client.sendall(f'HTTP/1.1 {status} x\r\n\r\n'.encode())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:
                client.sendall(b'x' * 100_000)

    good, text = asked(serve)

    assert good == (status == 200)
    assert len(text) < http_request.MOST_LETTERS + 20


def test_head_has_no_body() -> None:
    """Whatever length it says that there would be."""
    def head(status: str) -> tuple[bool, str]:
        said = f'HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\n'
        return asked(saying(said.encode()), method='HEAD')

    assert head('200 OK') == (True, 'answered 200')
    assert head('500 No') == (False, 'answered 500')


@pytest.mark.parametrize('before', [
    pytest.param(b'', id='before its headers'),
    pytest.param(b'HTTP/1.1 200 OK\r\nContent-', id='in its headers'),
    pytest.param(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123', id='in its body'),
])
def test_a_server_that_hangs_is_given_up(before: bytes) -> None:
    """After --url-timeout without a byte."""
    def serve(client: socket.socket) -> None:
        heard(client)
        client.sendall(before)
        # Until the other end is closed.
        assert client.recv(1) == b''

    assert asked(serve, seconds=0.2) == (False, 'failed: no answer in time')


def test_a_server_that_trickles_is_heard() -> None:
    """Byte by byte; the time limit for all of it is up to the caller."""
    def serve(client: socket.socket) -> None:
        heard(client)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for each in b'HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nwhy':
            client.sendall(bytes([each]))

    assert asked(serve) == (False, 'answered 500: why')


@pytest.mark.parametrize(('host', 'text'), [
    pytest.param('127.0.0.1:{}', 'connection refused', id='nobody listens'),
    pytest.param('no-such-host.invalid:{}', '.*name.*', id='a name that nobody has'),
    pytest.param('a..b:{}', 'no such host', id='a name that nobody can have'),
    pytest.param('a' * 64 + ':{}', 'no such host', id='a name that is too long'),
])
def test_no_connection_is_said(host: str, text: str) -> None:
    """As the system names them, and the same by a check without a request."""
    url = f'http://user:secret@{host.format(closed_port())}/'

    good, says = http_request.perform(url, 'POST', GOOD, DEADLINE)
    reach = http_request.reach(url, DEADLINE)

    assert not good
    assert re.fullmatch(f'failed: {text}', says)
    assert says == f'failed: {reach}'


@pytest.mark.parametrize(('error', 'text'), [
    (OSError(errno.EHOSTUNREACH, 'No route to host'), 'no route to the host'),
    (OSError(errno.ENETUNREACH, 'Network is unreachable'), 'no route to the network'),
    (TimeoutError('timed out'), 'no answer in time'),
    (TimeoutError(errno.ETIMEDOUT, 'Connection timed out'), 'no answer in time'),
    (OSError(errno.EACCES, 'Permission denied'), 'permission denied'),
    (OSError('Tunnel'), 'tunnel'),
    (socket.gaierror(-3, 'Temporary failure'), 'temporary failure'),
])
def test_reasons_for_a_user(
        error: OSError, text: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each in short, without a number."""
    def connect(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(socket, 'create_connection', connect)

    assert http_request.reach('http://host/', 1.0) == text
    assert http_request.perform('http://host/', 'POST', GOOD, 1.0) == (
        False, f'failed: {text}',
    )


def test_reach_connects_and_sends_nothing() -> None:
    """As doctor asks for it."""
    with listening() as listener:
        port = listener.getsockname()[1]
        assert http_request.reach(f'http://127.0.0.1:{port}/x', DEADLINE) == ''
        with accepted(listener) as client:
            assert client.recv(1) == b''


@pytest.mark.parametrize(('url', 'port'), [
    ('http://h/', 80), ('https://h/', 443), ('https://h:80/', 80),
])
def test_port_is_that_of_the_scheme_if_there_is_none(url: str, port: int) -> None:
    """Port 80 for http, 443 for https."""
    assert http_request.host_and_port(urlsplit(url)) == ('h', port)
