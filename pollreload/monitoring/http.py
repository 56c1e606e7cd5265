"""The HTTP port of a watch: /metrics, /healthz and /readyz.

It answers from a thread, so that a loop that stands still is seen to. What it
shows is for who can reach the port, and holds no content and no credentials.
"""
from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pollreload.errors import UsageError
from pollreload.monitoring.metrics import Metrics, Record, label
from pollreload.runtime.config_reload import Reader
from pollreload.runtime.watch import Begins, Watch
from pollreload.settings import Plan, Settings

PLAIN = 'text/plain; charset=utf-8'
PATIENCE = 5.0  # s for a client to ask, and to read
PAUSE = 0.2  # s for a descriptor to be spared
MOST = 16  # clients at a time; who comes then is not answered


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    timeout = PATIENCE
    server_version = 'pollreload'
    sys_version = ''
    server: Server

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition('?')[0]
        metrics = self.server.metrics
        if path == '/metrics':
            try:
                body, kind = metrics.text(self.headers.get('Accept', ''))
            except Exception as error:  # noqa: BLE001  # Prometheus shows it
                fault = type(error).__name__
                says = f'a fault in pollreload ({fault}); please report it\n'
                self.reply(500, says.encode())
            else:
                self.reply(200, body, kind)
        elif path == '/healthz':
            self.reply(*healthy(metrics.records()))
        elif path == '/readyz':
            self.reply(*ready(metrics.records()))
        else:
            self.reply(404, b'there are /metrics, /healthz and /readyz\n')

    do_HEAD = do_GET

    def reply(self, status: int, body: bytes, kind: str = PLAIN) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a probe comes every few seconds."""


def healthy(records: Sequence[Record]) -> tuple[int, bytes]:
    """Return the status and the body of /healthz."""
    return verdict({
        each.name: (each.alive(), f'last look {each.age():.1f} s ago')
        for each in records
    })


def ready(records: Sequence[Record]) -> tuple[int, bytes]:
    """Return the status and the body of /readyz."""
    return verdict({
        each.name: (each.ready(), 'baseline taken' if each.ready() else 'no baseline')
        for each in records
    })


def verdict(found: Mapping[str, tuple[bool, str]]) -> tuple[int, bytes]:
    """Return 200 where all is well, else 503, and a line for each watch."""
    well = all(good for good, _ in found.values())
    lines = [f'{name}: {says}\n' for name, (_, says) in found.items()]
    return 200 if well else 503, ''.join(lines).encode('utf-8', 'backslashreplace')


class Server(ThreadingHTTPServer):
    """Takes connections, some at a time, and answers each in a thread."""

    daemon_threads = True

    def __init__(self, bound: socket.socket, metrics: Metrics) -> None:
        super().__init__(bound.getsockname()[:2], Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.metrics = metrics
        self.free = threading.BoundedSemaphore(MOST)

    def get_request(self) -> Any:
        """Take a connection. Raises OSError, which is passed over."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                # Who waits is still there: without a pause we would ask for ever.
                time.sleep(PAUSE)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer, or hang up where too many wait already."""
        if not self.free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one client; who sends a byte a second must not keep others out."""
        late = threading.Timer(PATIENCE, hang_up, (request,))
        late.daemon = True
        try:
            late.start()
            super().process_request_thread(request, client_address)
        except RuntimeError:
            # No thread is to be had for who would look to the time.
            self.shutdown_request(request)
        finally:
            late.cancel()
            self.free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is no event of ours."""


def hang_up(request: socket.socket) -> None:
    """End a conversation that is going on in another thread."""
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def bound(host: str, port: int, where: str) -> socket.socket:
    """Return a socket that listens; host: '' for all addresses, of IPv4 too.

    where: what says so, for an error. Raises UsageError.
    """
    try:
        return listening(host, port)
    except UnicodeError as error:
        says = 'no host can have that name'
        raise UsageError(f'{where} {host}:{port}: {says}') from error
    except OSError as error:
        host = f'[{host}]' if ':' in host else host
        # create_server adds what it was asked to do, and getaddrinfo has its own.
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


def start(server: Server) -> None:
    """Answer from now on, in a thread that ends with us."""
    # It need not look up every half second whether it is to end: it never is.
    threading.Thread(target=server.serve_forever, args=(3600.0,), daemon=True).start()


class Scraped:
    """Begins watches that have a record; the port is open from the start.

    Raises UsageError where it cannot be, or prometheus_client is not there.
    """

    def __init__(self, plan: Plan, begin: Begins) -> None:
        assert plan.listen is not None
        self.begin = begin
        self.watches: Sequence[Watch] = ()
        self.reader: Reader | None = None
        self.began = time.time()
        metrics = Metrics(self.records, self.config)
        self.server = Server(bound(*plan.listen, plan.where), metrics)

    def __call__(self, settings: Settings, before: Watch | None = None, /) -> Watch:
        """Begin a watch, or go on with one: then its record goes on too."""
        record = before.record if before else None
        if record is None:
            record = Record()
        record.name, record.settings = label(settings), settings
        watch = self.begin(settings, before, record.hears)
        record.tallies.append(watch.observer.tally)
        watch.around = watch.around._replace(unsaid=record.unsaid)
        watch.after.append(record.after)
        watch.record = record
        return watch

    def follow(self, watches: Sequence[Watch], reader: Reader | None) -> None:
        """Answer from now on, of these watches as they come and go.

        reader: of the config file, where there is one.
        """
        self.watches, self.reader = watches, reader
        start(self.server)

    def records(self) -> list[Record]:
        """Return the records of the watches that there are now."""
        return [each.record for each in [*self.watches] if each.record is not None]

    def config(self) -> tuple[bool, float] | None:
        """Return whether the config file was taken over, and when it last was."""
        if self.reader is None:
            return None
        return not self.reader.trouble, self.reader.taken or self.began
