"""An HTTP server for one request, in a thread of a test."""
from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pollreload.system import children, http_request
from tests.servers.harness import needed
from tests.support.targets import DEADLINE

GOOD = ((200, 299),)
Serve = Callable[[socket.socket], object]
NEW_KEY = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes')


def listening(address: str = '127.0.0.1') -> socket.socket:
    """Return a socket that listens on a free port."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    listener = socket.create_server((address, 0), family=family)
    listener.settimeout(DEADLINE)
    return listener


def accepted(listener: socket.socket) -> socket.socket:
    """Return the next connection."""
    client, _ = listener.accept()
    client.settimeout(DEADLINE)
    return client


def heard(client: socket.socket) -> bytes:
    """Return a request up to the end of its headers."""
    got = b''
    while b'\r\n\r\n' not in got:
        read = client.recv(4096)
        assert read, f'closed after {got!r}'
        got += read
    return got


def saying(answer: bytes) -> Serve:
    """Return a server that reads the request and gives an answer."""
    def serve(client: socket.socket) -> None:
        heard(client)
        # It may have heard enough before the end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(answer)

    return serve


def answer(status: str, body: bytes = b'', *headers: str) -> Serve:
    """Return a server that gives a whole answer."""
    lines = [f'HTTP/1.1 {status}', f'Content-Length: {len(body)}', *headers, '', '']
    return saying('\r\n'.join(lines).encode() + body)


def asked(
        serve: Serve, url: str = 'http://{}/', method: str = 'POST',
        good: tuple[tuple[int, int], ...] = GOOD, seconds: float = DEADLINE,
        address: str = '127.0.0.1', headers: str | None = None,
        authorities: str | None = None,
) -> tuple[bool, str]:
    """Return the outcome of a request to a server that serves once.

    url: with {} for the host and the port.
    """
    got: tuple[bool, str] = served(serve, lambda host: http_request.perform(
        url.format(host), method, good, seconds, headers, authorities,
    ), address)
    return got


def served(
        serve: Serve, client: Callable[[str], object], address: str = '127.0.0.1',
) -> Any:
    """Return the value of a client, in a child, of a server that serves once.

    client: takes the host and the port of the server.
    """
    with listening(address) as listener:
        port = listener.getsockname()[1]
        host = f'[{address}]:{port}' if ':' in address else f'{address}:{port}'
        pid, fd = children.fork(lambda: client(host))
        with accepted(listener) as connection:
            serve(connection)
    return value(pid, fd)


def value(pid: int, fd: int) -> Any:
    """Return the value of a child."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    status = children.poll_child(pid)
    assert status == 0, children.fault(status or 0, fd)
    return children.read_value(fd)


def closed_port() -> int:
    """Return a port on which no one listens."""
    with listening() as listener:
        return int(listener.getsockname()[1])


class Identity:
    """A key, its certificate, and a server's context with them."""

    def __init__(self, directory: Path, name: str) -> None:
        self.certificate = str(directory / 'certificate')
        key = str(directory / 'key')
        subprocess.run((
            needed('openssl', 'openssl'), 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
            'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out',
            self.certificate, '-days', '2', '-subj', '/CN=test', '-addext',
            f'subjectAltName={name}', '-addext',
            # What Python 3.13 asks of a certificate authority.
            'keyUsage=digitalSignature,keyCertSign',
        ), check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)

    def serving(self, serve: Serve) -> Serve:
        """Return a server that speaks TLS with this identity."""
        return secured(self.context, serve)


def secured(context: ssl.SSLContext, serve: Serve) -> Serve:
    """Return a server that speaks TLS, as far as the client goes on with it."""
    def secure(client: socket.socket) -> None:
        try:
            inner = context.wrap_socket(client, server_side=True)
        except (ssl.SSLError, ConnectionResetError):
            return  # it does not trust us
        with inner:
            serve(inner)

    return secure


class Authority:
    """A private certificate authority.

    certificate: its PEM file. days: until it expires; at least 1.
    """

    def __init__(self, directory: Path, days: int = 2) -> None:
        self.directory = directory
        self.certificate, self.key = str(directory / 'ca'), str(directory / 'ca.key')
        self.openssl(
            'req', '-x509', *NEW_KEY, '-keyout', self.key, '-out', self.certificate,
            '-days', str(days), '-subj', '/CN=test authority', '-addext',
            'keyUsage=keyCertSign',
        )

    def openssl(self, *words: str) -> None:
        """Run openssl."""
        subprocess.run(
            (needed('openssl', 'openssl'), *words), check=True, capture_output=True,
        )

    def context(self, name: str = 'IP:127.0.0.1', days: int = 2) -> ssl.SSLContext:
        """Return the context of a server whose certificate the authority signed.

        days: until it expires; one of a negative number has expired.
        """
        base = str(self.directory / f'leaf{days}{name.replace(":", "-")}')
        with open(f'{base}.ext', 'w', encoding='ascii') as file:
            file.write(
                f'subjectAltName={name}\nkeyUsage=digitalSignature\n'
                'authorityKeyIdentifier=keyid\n',
            )
        self.openssl(
            'req', *NEW_KEY, '-keyout', f'{base}.key', '-out', f'{base}.csr', '-subj',
            '/CN=test server',
        )
        self.openssl(
            'x509', '-req', '-in', f'{base}.csr', '-CA', self.certificate, '-CAkey',
            self.key, '-CAcreateserial', '-days', str(days), '-extfile', f'{base}.ext',
            '-out', base,
        )
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(base, f'{base}.key')
        return made
