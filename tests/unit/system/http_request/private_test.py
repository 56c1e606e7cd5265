"""Requests with headers from a file, and to a server with a private authority."""
from __future__ import annotations

import calendar
import os
import socket
import time
from pathlib import Path

import pytest

from pollreload.system import http_headers, http_request
from tests.support.http_peer import (
    GOOD,
    Authority,
    answer,
    asked,
    heard,
    secured,
    served,
)
from tests.support.targets import DEADLINE

DAY = 86400.0
TOKEN = 't0ken-that-is-secret'


@pytest.fixture(scope='module')
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private certificate authority."""
    return Authority(tmp_path_factory.mktemp('authority'))


def test_private_authority_is_trusted(authority: Authority) -> None:
    """Its PEM file is given by --url-ca; without it the server is refused."""
    serve = secured(authority.context(), answer('200 OK'))

    refused = asked(serve, 'https://{}/')
    taken = asked(serve, 'https://{}/', authorities=authority.certificate)

    assert not refused[0]
    assert refused[1].startswith('failed: certificate not verified: ')
    assert taken == (True, 'answered 200')


def test_system_is_not_trusted_besides(
        authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With --url-ca no other authority counts, not even that of SSL_CERT_FILE."""
    other = Authority(tmp_path)
    monkeypatch.setenv('SSL_CERT_FILE', other.certificate)
    serve = secured(other.context(), answer('200 OK'))

    good, says = asked(serve, 'https://{}/', authorities=authority.certificate)

    assert not good
    assert says.startswith('failed: certificate not verified: ')


@pytest.mark.parametrize(('name', 'days', 'reason'), [
    ('IP:127.0.0.1', -1, 'certificate has expired'),
    ('DNS:other.example', 2, "IP address mismatch, certificate is not valid for "
                             "'127.0.0.1'"),
])
def test_certificate_of_a_trusted_authority_is_refused(
        authority: Authority, name: str, days: int, reason: str,
) -> None:
    """It has expired, or is that of another host."""
    serve = secured(authority.context(name, days), answer('200 OK'))

    good, says = asked(serve, 'https://{}/', authorities=authority.certificate)

    assert (good, says.rstrip('.')) == (
        False, f'failed: certificate not verified: {reason}',
    )


def test_reach_verifies_the_certificate(authority: Authority, tmp_path: Path) -> None:
    """As a request does; nothing is sent over the connection."""
    (tmp_path / 'bad').write_text('x')
    got = []

    def serve(client: socket.socket) -> None:
        try:
            got.append(client.recv(1))
        except ConnectionResetError:
            # By a client that refuses the certificate, or closes at once.
            got.append(b'')

    def reached(authorities: str | None) -> object:
        return served(secured(authority.context(), serve), lambda host: (
            http_request.reach(f'https://{host}/', DEADLINE, authorities)
        ))

    assert reached(authority.certificate) == ''
    assert got == [b'']
    assert str(reached(None)).startswith('certificate not verified: ')
    assert set(got) == {b''}
    assert http_request.reach('https://h/', 1.0, f'{tmp_path}/bad') == (
        f'--url-ca {tmp_path}/bad has no certificate; write them in PEM format'
    )


def test_authorities_expire_in_order(authority: Authority, tmp_path: Path) -> None:
    """Of a file with several; a leaf certificate is no authority."""
    other = Authority(tmp_path, 90)
    both = tmp_path / 'both'
    both.write_text(
        Path(other.certificate).read_text() + Path(authority.certificate).read_text(),
    )
    days = [
        (time.time() - calendar.timegm(time.strptime(each, '%Y-%m-%d %H:%M:%S'))) / -DAY
        for each in http_request.expiries(str(both))
    ]

    assert days == [pytest.approx(2, abs=0.1), pytest.approx(90, abs=0.1)]


@pytest.mark.parametrize(('text', 'date'), [
    ('Jan  5 09:34:43 2028 GMT', '2028-01-05 09:34:43'),
    ('Dec 31 23:59:59 2049 GMT', '2049-12-31 23:59:59'),
])
def test_dates_can_be_compared(
        monkeypatch: pytest.MonkeyPatch, text: str, date: str,
) -> None:
    """As OpenSSL writes them they cannot."""
    class Context:
        def get_ca_certs(self) -> list[dict[str, str]]:
            return [{'notAfter': text}]

    monkeypatch.setattr(http_request, 'tls_context', lambda path: Context())

    assert http_request.expiries('ca') == [date]


@pytest.mark.parametrize('name', ['Authorization', 'authorization'])
def test_headers_are_sent_and_never_shown(tmp_path: Path, name: str) -> None:
    """A server that repeats the token in its answer does not bring it into the log."""
    file = tmp_path / 'headers'
    file.write_text(f'{name}: Bearer {TOKEN}\n\nX-One:\ttwo \nuser-agent: x\n')
    got = []

    def serve(client: socket.socket) -> None:
        got.append(heard(client).decode())
        client.sendall(
            f'HTTP/1.1 403 No\r\nContent-Length: {len(TOKEN)}\r\n\r\n{TOKEN}'.encode(),
        )

    outcome = asked(serve, 'http://user:password@{}/', headers=str(file))

    assert outcome == (False, 'answered 403')
    lines = got[0].split('\r\n')
    assert f'{name}: Bearer {TOKEN}' in lines
    assert 'X-One: two' in lines
    for own in 'authorization', 'user-agent':
        assert sum(each.lower().startswith(own) for each in lines) == 1


@pytest.mark.parametrize(('text', 'reason'), [
    ('', "has no header; write one 'NAME: VALUE' a line"),
    (f'{TOKEN}\n', "line 1 is not a header; write one 'NAME: VALUE' a line"),
    (f'A: b\nAuthorization:\n{TOKEN}', 'line 2 is not a header'),
    (f'A: b\nBad Name: {TOKEN}', 'line 2 is not a header'),
    (f'A: {TOKEN}\x00', 'line 1 is not a header'),
    (f'A: {TOKEN}é', 'line 1 is not a header'),
    (f'A: b\rB: {TOKEN}', 'line 1 is not a header'),
    (f'A: b\n\na: {TOKEN}', 'line 3 repeats a header'),
    (f'content-LENGTH: 4{TOKEN}', 'line 1 has a header that pollreload sets itself'),
    ('A: ' + 'a' * http_headers.LARGEST_HEADERS, 'is larger than 65536 bytes'),
])
def test_malformed_file_is_refused_without_a_word_of_it(
        tmp_path: Path, text: str, reason: str,
) -> None:
    """The line number is enough to find what is wrong."""
    file = tmp_path / 'headers'
    file.write_bytes(text.encode())

    with pytest.raises(ValueError, match=reason) as raised:
        http_headers.load_headers(str(file))

    assert TOKEN not in str(raised.value)


def test_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """A FIFO would hang, and a directory has no text."""
    os.mkfifo(tmp_path / 'fifo')

    for path in f'{tmp_path}/fifo', str(tmp_path):
        with pytest.raises(ValueError, match='is not a regular file'):
            http_headers.load_headers(path)


@pytest.mark.parametrize(('option', 'text', 'says'), [
    ('--url-header-file', None, ': no such file or directory'),
    ('--url-header-file', 'x',
     " line 1 is not a header; write one 'NAME: VALUE' a line"),
    ('--url-ca', None, ': no such file or directory'),
    ('--url-ca', 'x', ' has no certificate; write them in PEM format'),
])
def test_request_without_its_file_is_not_sent(
        tmp_path: Path, option: str, text: str | None, says: str,
) -> None:
    """The message names the option and the file."""
    path = str(tmp_path / 'file')
    if text is not None:
        (tmp_path / 'file').write_text(text)
    headers, authorities = (path, None) if option != '--url-ca' else (None, path)

    outcome = http_request.perform(
        'https://127.0.0.1:9/', 'POST', GOOD, 1.0, headers, authorities,
    )

    assert outcome == (False, f'was not sent: {option} {path}{says}')
