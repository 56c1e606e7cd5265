"""One HTTP request, and what became of it.

Run in a child, which bears the memory of http.client, and a server that hangs.
"""
from __future__ import annotations

import base64
import errno
import http.client
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

if TYPE_CHECKING:
    import ssl

LARGEST_ANSWER = 1 << 16  # bytes of an answer that are read
MOST_LETTERS = 300  # letters of it that are worth a place in the log
LINES = 3
MONTHS = (
    'Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec',
)
HEADERS, CA = '--url-header-file', '--url-ca'
WORDS = {
    errno.ECONNREFUSED: 'connection refused',
    errno.ECONNRESET: 'connection reset',
    errno.EHOSTUNREACH: 'no route to the host',
    errno.ENETUNREACH: 'no route to the network',
    errno.ETIMEDOUT: 'no answer in time',
}


def perform(
        url: str, method: str, accepted: Sequence[tuple[int, int]], seconds: float,
        header_file: str | None = None, authorities: str | None = None,
) -> tuple[bool, str]:
    """Send a request; return whether its answer is accepted, and a message.

    accepted: the first and last status of each range. seconds: for each wait; an
        answer that trickles can take longer. No redirect is followed, and no
        variable for a proxy is read. The message never contains credentials.
    header_file: more headers, see http_headers. authorities: the certificates that
        are trusted, a PEM file; those of the system if there is none.
    """
    parts = urlsplit(url)
    headers = {'User-Agent': 'pollreload', 'Accept': '*/*'}
    basic = credentials(parts)
    if basic:
        headers['Authorization'] = f'Basic {basic}'
    if header_file is not None:
        from pollreload.system import http_headers
        try:
            given = http_headers.load_headers(header_file)
        except (OSError, ValueError) as error:
            return False, f'was not sent: {unusable(HEADERS, header_file, error)}'
        # Names are the same in any case: that of the file alone is sent.
        names = {name.lower() for name in given}
        headers = {name: headers[name] for name in headers if name.lower() not in names}
        headers.update(given)
    target = (parts.path or '/') + (f'?{parts.query}' if parts.query else '')
    try:
        connection = connected(parts, seconds, authorities)
    except (OSError, ValueError) as error:
        return False, f'was not sent: {unusable(CA, authorities, error)}'
    try:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        sized(answer)
        body, whole = beginning(answer)
    except http.client.RemoteDisconnected:
        return False, 'closed the connection without an answer'
    except http.client.HTTPException:
        return False, 'answered something that is not HTTP'
    except (OSError, UnicodeError) as error:
        return False, f'failed: {failure_reason(error)}'
    finally:
        connection.close()
    says = f'answered {answer.status}'
    if not any(first <= answer.status <= last for first, last in accepted):
        if answer.status in (301, 302, 303, 307, 308):
            return False, f'{says}, a redirect, which is not followed'
        hidden = method == 'HEAD' or header_file is not None
        excerpt = '' if hidden else first_lines(answer, body, parts)
        return False, says + (f': {excerpt}' if excerpt else '')
    if not whole and method != 'HEAD':
        return False, f'{says}, and closed the connection in the middle of it'
    return True, says


def connected(
        parts: SplitResult, seconds: float, authorities: str | None,
) -> http.client.HTTPConnection:
    """Return a connection to the host of a URL, which is not open yet.

    Raises as tls_context() does.
    """
    if parts.scheme != 'https':
        return http.client.HTTPConnection(*host_and_port(parts), timeout=seconds)
    return http.client.HTTPSConnection(
        *host_and_port(parts), timeout=seconds, context=tls_context(authorities),
    )


def tls_context(authorities: str | None) -> ssl.SSLContext:
    """Return a TLS context that trusts a PEM file, or the system if it is None.

    Raises OSError, and ValueError for a file without a certificate.
    """
    import ssl
    try:
        return ssl.create_default_context(cafile=authorities)
    except ssl.SSLError:
        raise ValueError('has no certificate; write them in PEM format') from None


def expiries(authorities: str) -> list[str]:
    """Return when the authorities in a PEM file expire, in order, UTC.

    Each as '2027-01-31 12:00:00'. Raises as tls_context() does.
    """
    found = []
    for each in tls_context(authorities).get_ca_certs():
        # 'Jan 31 12:00:00 2027 GMT'; ssl itself would import calendar to read it.
        month, day, time, year, _ = str(each['notAfter']).split()
        found.append(f'{year}-{MONTHS.index(month) + 1:02}-{int(day):02} {time}')
    return sorted(found)


def unusable(option: str, path: str | None, error: OSError | ValueError) -> str:
    """Return a message that says which file cannot be used, and why."""
    if isinstance(error, ValueError):
        return f'{option} {path} {error}'
    return f'{option} {path}: {str(error.strerror).lower()}'


def reach(url: str, seconds: float, authorities: str | None = None) -> str:
    """Return why no connection to the host of a URL can be had, or ''.

    For https its certificate is verified; authorities: as in perform(). No request is
    sent.
    """
    try:
        connection = connected(urlsplit(url), seconds, authorities)
    except (OSError, ValueError) as error:
        return unusable(CA, authorities, error)
    try:
        connection.connect()
    except (OSError, UnicodeError) as error:
        return failure_reason(error)
    finally:
        connection.close()
    return ''


def host_and_port(parts: SplitResult) -> tuple[str, int]:
    """Return host and port: with none http.client would look for it in an IPv6."""
    port = http.client.HTTPS_PORT if parts.scheme == 'https' else http.client.HTTP_PORT
    return parts.hostname or '', parts.port or port


def beginning(answer: http.client.HTTPResponse) -> tuple[bytes, bool]:
    """Return the first bytes of an answer, and whether it goes on or is whole."""
    try:
        body = answer.read(LARGEST_ANSWER)
    except http.client.IncompleteRead as error:
        return error.partial, False
    except ValueError as error:
        # A chunk of a size below 0.
        raise http.client.HTTPException(str(error)) from error
    return body, len(body) == LARGEST_ANSWER or not answer.length


def sized(answer: http.client.HTTPResponse) -> None:
    """Raise HTTPException for a length that is none, which http.client ignores."""
    length = answer.headers.get('Content-Length', '0')
    # '5, 5' is allowed (RFC 9110, 8.6).
    if not re.fullmatch('[0-9 ,]+', length):
        raise http.client.HTTPException(length)


def credentials(parts: SplitResult) -> str:
    """Return the credentials of a URL for HTTP Basic (RFC 7617), '' for none."""
    if parts.username is None and parts.password is None:
        return ''
    user, password = (
        unquote_to_bytes(each or '') for each in (parts.username, parts.password)
    )
    return base64.b64encode(user + b':' + password).decode()


def first_lines(
        answer: http.client.HTTPResponse, body: bytes, parts: SplitResult,
) -> str:
    """Return the first lines of an answer that says what is wrong.

    Nothing if the URL contains what may be a secret: an answer can repeat that in
    any form.
    """
    is_page = 'html' in answer.headers.get('Content-Type', '').lower()
    if is_page or parts.query or '@' in parts.netloc:
        return ''
    text = body.decode('utf-8', 'replace')
    lines = [each.strip() for each in text.splitlines() if each.strip()]
    return ' | '.join(lines[:LINES])[:MOST_LETTERS]


def failure_reason(error: OSError | UnicodeError) -> str:
    """Return a message that says why there was no answer."""
    if isinstance(error, UnicodeError):
        return 'no such host'
    if isinstance(error, TimeoutError):
        return WORDS[errno.ETIMEDOUT]
    # What ssl and getaddrinfo raise has a number of its own.
    verified = getattr(error, 'verify_message', '')
    if verified:
        return f'certificate not verified: {verified}'
    return WORDS.get(error.errno or 0) or (error.strerror or str(error)).lower()
