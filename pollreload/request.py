"""One HTTP request, and what became of it.

Run in a child, which bears the memory of http.client, and a server that hangs.
"""
from __future__ import annotations

import base64
import errno
import http.client
import socket
from collections.abc import Sequence
from urllib.parse import SplitResult, unquote, urlsplit

LARGEST = 1 << 16  # bytes of an answer that are read
MOST = 300  # letters of it that are worth a place in the log
LINES = 3

WORDS = {
    errno.ECONNREFUSED: 'connection refused',
    errno.ECONNRESET: 'connection reset',
    errno.EHOSTUNREACH: 'no route to the host',
    errno.ENETUNREACH: 'no route to the network',
    errno.ETIMEDOUT: 'no answer in time',
}


def send(
        url: str, method: str, accepted: Sequence[tuple[int, int]], seconds: float,
) -> tuple[bool, str]:
    """Return whether the answer is one of those that are accepted, and words for it.

    accepted: the first and last status of each range. seconds: for each wait; an
        answer that trickles can take longer. No redirect is followed, and no
        variable for a proxy is read. The words never say who asked.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or '', parts.port
    kind: type[http.client.HTTPConnection] = http.client.HTTPConnection
    if parts.scheme == 'https':
        kind = http.client.HTTPSConnection
    headers = {'User-Agent': 'pollreload', 'Accept': '*/*'}
    secrets = credentials(parts)
    if secrets:
        headers['Authorization'] = f'Basic {secrets[0]}'
    target = (parts.path or '/') + (f'?{parts.query}' if parts.query else '')
    connection = kind(host, port, timeout=seconds)
    try:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        body = answer.read(LARGEST)
        rest = answer.length if len(body) < LARGEST else 0
    except http.client.RemoteDisconnected:
        return False, 'closed the connection without an answer'
    except http.client.HTTPException:
        return False, 'answered something that is not HTTP'
    except OSError as error:
        return False, f'failed: {reason(error)}'
    finally:
        connection.close()
    says = f'answered {answer.status}'
    if not any(first <= answer.status <= last for first, last in accepted):
        if answer.status in (301, 302, 303, 307, 308):
            return False, f'{says}, a redirect, which is not followed'
        told = '' if method == 'HEAD' else shown(answer, body, secrets)
        return False, says + (f': {told}' if told else '')
    if rest and method != 'HEAD':
        return False, f'{says}, and closed the connection in the middle of it'
    return True, says


def reach(url: str, seconds: float) -> str:
    """Return why no connection to the host of a URL can be had, or ''."""
    parts = urlsplit(url)
    port = parts.port or http.client.HTTP_PORT
    if parts.scheme == 'https':
        port = parts.port or http.client.HTTPS_PORT
    try:
        socket.create_connection((parts.hostname or '', port), seconds).close()
    except OSError as error:
        return reason(error)
    return ''


def credentials(parts: SplitResult) -> list[str]:
    """Return what of a URL nobody may see, first what HTTP's Basic sends."""
    if parts.username is None and parts.password is None:
        return []
    user, password = unquote(parts.username or ''), unquote(parts.password or '')
    basic = base64.b64encode(f'{user}:{password}'.encode()).decode()
    return [basic, *filter(None, (password, parts.password, user))]


def shown(
        answer: http.client.HTTPResponse, body: bytes, secrets: Sequence[str],
) -> str:
    """Return the first lines of an answer that says what is wrong."""
    text = body.decode('utf-8', 'replace')
    if 'html' in answer.headers.get('Content-Type', '') or any(
            secret in text for secret in secrets
    ):
        return ''
    lines = [each.strip() for each in text.splitlines() if each.strip()]
    return ' | '.join(lines[:LINES])[:MOST]


def reason(error: OSError) -> str:
    """Return for a person why there was no answer."""
    if isinstance(error, TimeoutError):
        return WORDS[errno.ETIMEDOUT]
    # What ssl and getaddrinfo raise has a number of its own.
    verified = getattr(error, 'verify_message', '')
    if verified:
        return f'certificate not verified: {verified}'
    return WORDS.get(error.errno or 0) or (error.strerror or str(error)).lower()
