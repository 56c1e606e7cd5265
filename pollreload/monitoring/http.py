"""The HTTP server of a watch: /metrics, /healthz and /readyz.

One thread answers all clients, so that a loop that hangs is noticed. It uses
neither http.server nor a thread for each client: both cost megabytes. What it
answers holds neither the contents of a file nor credentials.
"""
from __future__ import annotations

import _thread
import errno
import os
import select
import socket
import time
from collections.abc import Mapping, Sequence

from pollreload.errors import REPORT, UsageError
from pollreload.monitoring import metrics as metrics_module
from pollreload.monitoring.metrics import Metrics
from pollreload.monitoring.record import Record

TEXT_TYPE = 'text/plain; charset=utf-8'
CLIENT_TIMEOUT = 5.0  # s for a client to ask, and to read the answer
ACCEPT_PAUSE = 0.2  # s until a descriptor may be free again
CLIENTS = 16  # clients at a time; the connection of any other is closed at once
LONGEST_REQUEST = 16384  # bytes of a request with its headers
READ_SIZE = 65536  # bytes of a read
STATUS_TEXTS = {
    200: 'OK', 400: 'Bad Request', 404: 'Not Found', 431: 'Header Fields Too Large',
    500: 'Internal Server Error', 501: 'Not Implemented', 503: 'Service Unavailable',
    505: 'HTTP Version Not Supported',
}

Answer = tuple[int, str, str]  # status, body, content type


class Client:
    """One connection: first its request is read, then the answer is sent.

    until: when it is closed at the latest, seconds of CLOCK_MONOTONIC.
    asked: the request as far as it was received. left: what is still to be sent,
        None before the request is complete.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.until = time.monotonic() + CLIENT_TIMEOUT
        self.asked = b''
        self.left: memoryview | None = None

    def events(self) -> int:
        """Return what to wait for, as poll(2) names it."""
        return select.POLLOUT if self.left else select.POLLIN

    def proceed(self, metrics: Metrics) -> bool:
        """Read or send what is possible now; return whether to go on.

        Raises OSError if the client has gone.
        """
        if not self.left:
            got = self.connection.recv(READ_SIZE)
            if self.left is not None:
                # All is sent. To close while bytes arrive would reset the
                # connection, and the client might lose the answer.
                return bool(got)
            self.asked += got
            if not is_complete(self.asked):
                return bool(got)
            self.left = memoryview(respond(self.asked, metrics))
        self.left = self.left[self.connection.send(self.left):]
        if not self.left:
            self.connection.shutdown(socket.SHUT_WR)
        return True


class Server:
    """Answers on a listening socket, in a thread that ends with the process."""

    def __init__(self, listener: socket.socket, metrics: Metrics) -> None:
        listener.setblocking(False)
        self.listener = listener
        self.metrics = metrics
        self.clients: dict[int, Client] = {}

    def start(self) -> None:
        """Answer from now on. Raises UsageError if there can be no thread."""
        try:
            _thread.start_new_thread(self.serve, ())
        except RuntimeError as error:
            raise UsageError(f'--listen: {error}') from error

    def serve(self) -> None:
        """Answer for ever."""
        while True:
            self.step()

    def step(self) -> None:
        """Wait for clients, and serve those that are ready."""
        waiting = select.poll()
        waiting.register(self.listener, select.POLLIN)
        for number, client in self.clients.items():
            waiting.register(number, client.events())
        left = min(
            (client.until - time.monotonic() for client in self.clients.values()),
            default=None,
        )
        ready = waiting.poll(None if left is None else max(0.0, left) * 1000)
        for number, _ in ready:
            if number in self.clients:
                self.serve_client(number)
            else:
                self.accept()
        now = time.monotonic()
        for number in [n for n, each in self.clients.items() if each.until <= now]:
            self.drop(number)

    def accept(self) -> None:
        """Accept a connection, and close it if there are too many."""
        try:
            connection, _ = self.listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                # The client still waits: without a pause we would try for ever.
                time.sleep(ACCEPT_PAUSE)
            return
        if len(self.clients) >= CLIENTS:
            connection.close()
            return
        self.clients[connection.fileno()] = Client(connection)

    def serve_client(self, number: int) -> None:
        """Go on with one client, which may have gone."""
        try:
            if self.clients[number].proceed(self.metrics):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.drop(number)

    def drop(self, number: int) -> None:
        """Close the connection of a client."""
        self.clients.pop(number).connection.close()


def is_complete(asked: bytes) -> bool:
    """Return whether a request can be answered: it has ended, or is too long."""
    return b'\r\n\r\n' in asked or b'\n\n' in asked or len(asked) > LONGEST_REQUEST


def respond(asked: bytes, metrics: Metrics) -> bytes:
    """Return the answer to a request, with its headers (RFC 9112)."""
    line = asked.partition(b'\n')[0].strip().decode('latin-1')
    method, _, rest = line.partition(' ')
    target, _, version = rest.partition(' ')
    status, text, kind = answer_request(method, target, version, len(asked), metrics)
    body = text.encode('utf-8', 'backslashreplace')
    head = (
        f'HTTP/1.1 {status} {STATUS_TEXTS[status]}\r\nServer: pollreload\r\n'
        f'Date: {time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())}\r\n'
        f'Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n'
        f'Connection: close\r\n\r\n'
    ).encode('ascii')
    if method == 'HEAD':
        return head
    # HTTP/0.9 has no headers.
    return head + body if version or status != 200 else body


def answer_request(
        method: str, target: str, version: str, size: int, metrics: Metrics,
) -> Answer:
    """Return the answer to a request line.

    size: the bytes of the request.
    """
    if size > LONGEST_REQUEST:
        return 431, f'a request has at most {LONGEST_REQUEST} bytes\n', TEXT_TYPE
    if not target or (version and not version.startswith('HTTP/')):
        return 400, 'not an HTTP request\n', TEXT_TYPE
    if version and version not in ('HTTP/1.0', 'HTTP/1.1'):
        return 505, 'use HTTP/1.1\n', TEXT_TYPE
    if method not in ('GET', 'HEAD'):
        return 501, 'only GET and HEAD are answered\n', TEXT_TYPE
    try:
        return page(target.partition('?')[0], metrics)
    except Exception as error:  # noqa: BLE001  # Prometheus shows it
        fault = type(error).__name__
        return 500, f'a fault in pollreload ({fault}); {REPORT}\n', TEXT_TYPE


def page(path: str, metrics: Metrics) -> Answer:
    """Return what is shown at a path."""
    if path == '/metrics':
        return 200, metrics.text(), metrics_module.TYPE
    if path == '/healthz':
        return healthy(metrics.records())
    if path == '/readyz':
        return ready(metrics.records())
    return 404, 'there are /metrics, /healthz and /readyz\n', TEXT_TYPE


def healthy(records: Sequence[Record]) -> Answer:
    """Return the answer of /healthz."""
    return health_answer({
        each.name: (each.alive(), f'last poll {each.age():.1f} s ago')
        for each in records
    })


def ready(records: Sequence[Record]) -> Answer:
    """Return the answer of /readyz."""
    return health_answer({
        each.name: (each.ready(), 'baseline taken' if each.ready() else 'no baseline')
        for each in records
    })


def health_answer(found: Mapping[str, tuple[bool, str]]) -> Answer:
    """Return 200 if all watches are well, else 503, and a line for each watch."""
    well = all(good for good, _ in found.values())
    lines = [f'{name}: {says}\n' for name, (_, says) in found.items()]
    return 200 if well else 503, ''.join(lines), TEXT_TYPE


def listening_socket(host: str, port: int, where: str) -> socket.socket:
    """Return a socket that listens; host: '' for all addresses, of IPv4 too.

    where: the option or the line that gives the address, for an error.
    Raises UsageError.
    """
    try:
        return listening(host, port)
    except UnicodeError as error:
        says = 'no host can have that name'
        raise UsageError(f'{where} {host}:{port}: {says}') from error
    except OSError as error:
        host = f'[{host}]' if ':' in host else host
        # create_server appends what it tried to do, and getaddrinfo has its own.
        number = error.errno or 0
        says = os.strerror(number) if number > 0 else str(error.strerror)
        raise UsageError(f'{where} {host}:{port}: {says.lower()}') from error


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises OSError."""
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(
            ('', port), family=socket.AF_INET6, dualstack_ipv6=True,
        )
    family, _, _, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE,
    )[0]
    return socket.create_server(address, family=family)
