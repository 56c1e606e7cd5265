"""What is logged of an answer; no secret is."""
from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

import pytest

from pollreload.cli import values
from pollreload.settings import bare
from tests.support.http_peer import Identity, answer, asked


@pytest.mark.parametrize(('body', 'shown'), [
    pytest.param(b'no such job', 'no such job', id='a line'),
    pytest.param(b'\n one\r\n\n  two \nthree\nfour\n', 'one | two | three', id='some'),
    pytest.param(b'', '', id='nothing'),
    pytest.param(b' \n\t\n', '', id='blanks'),
    pytest.param(b'x' * 1000, 'x' * 300, id='a long one'),
    pytest.param(b'\xff\xfe', '\ufffd\ufffd', id='no UTF-8'),
    pytest.param('\u20ac'.encode(), '\u20ac', id='UTF-8'),
])
def test_the_first_lines_of_a_failure_are_shown(body: bytes, shown: str) -> None:
    """They say what is wrong; of a success nothing has to be said."""
    args = 'answered 500' + (f': {shown}' if shown else '')

    assert asked(answer('500 No', body)) == (False, args)
    assert asked(answer('200 OK', body)) == (True, 'answered 200')


@pytest.mark.parametrize('kind', [
    'text/html', 'Text/HTML; charset=utf-8', 'application/xhtml+xml',
])
def test_html_is_not_shown(kind: str) -> None:
    """It begins with nothing of use."""
    serve = answer('500 No', b'<!doctype html><title>x', f'Content-Type: {kind}')

    assert asked(serve) == (False, 'answered 500')


@pytest.mark.parametrize('repeated', [
    'us%40er', 'us@er', 's%3Acret', 's:cret', 'dXNAZXI6czpjcmV0', 'to%6ben', 'token',
    'key=to%6ben&q', 'Basic dXNAZXI6czpjcmV0', 'us@er:s:cret',
])
def test_what_an_answer_repeats_of_pollreload_is_not_shown(repeated: str) -> None:
    """Neither who asks, as it was written or sent, nor what follows the '?'."""
    body = f'who is {repeated}?\n'.encode()
    good, args = asked(
        answer('401 Unauthorized', body),
        'http://us%40er:s%3Acret@{}/x?key=to%6ben&q',
    )

    assert (good, args) == (False, 'answered 401')


@pytest.mark.parametrize('url', [
    'http://user:secret@{}/x', 'http://user@{}/x', 'http://:secret@{}/x',
    'http://{}/x?token', 'http://{}/x?key=token',
])
def test_nothing_is_shown_to_anyone_who_has_a_secret(url: str) -> None:
    """An answer could repeat it in any form: turned about, in quotes, in part."""
    assert asked(answer('500 No', b'terces'), url) == (False, 'answered 500')
    assert asked(answer('500 No', b'terces'), 'http://{}/x') == (
        False, 'answered 500: terces',
    )


def test_bare_shows_where_and_not_who() -> None:
    """What a log shows of a URL is no more than one needs to find it."""
    assert bare('https://us%40er:s%3Acret@host:81/a/b?key=token') \
        == 'https://host:81/a/b'
    assert bare('http://[::1]:81') == 'http://[::1]:81'


def test_a_certificate_is_verified(
        identity: Identity, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that no one vouches for is refused; SSL_CERT_FILE names who does."""
    serve = identity.serving(answer('200 OK'))
    refused = asked(serve, 'https://user:secret@{}/')

    monkeypatch.setenv('SSL_CERT_FILE', identity.certificate)
    taken = asked(serve, 'https://user:secret@{}/')

    says = r'failed: certificate not verified: self.signed certificate'
    assert not refused[0]
    assert re.fullmatch(says, refused[1])
    assert taken == (True, 'answered 200')


def test_a_certificate_is_for_a_name(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That of another host is refused."""
    other = Identity(tmp_path, 'DNS:other.example')
    monkeypatch.setenv('SSL_CERT_FILE', other.certificate)

    good, says = asked(other.serving(answer('200 OK')), 'https://{}/')

    assert not good
    assert says.startswith('failed: certificate not verified: ')
    assert '127.0.0.1' in says


def test_one_who_speaks_no_tls_is_one_line() -> None:
    """And one who speaks nothing else."""
    def plain(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n')

    good, says = asked(plain, 'https://{}/')

    assert not good
    assert says.startswith('failed: ')
    assert '\n' not in says


def test_https_needs_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python was built without, that is said before anything is watched."""
    monkeypatch.setitem(sys.modules, 'ssl', None)

    with pytest.raises(ValueError, match='this Python has no OpenSSL'):
        values.url('https://host/')
    assert values.url('http://host/') == 'http://host/'
