"""The HTTP server of a watch in the process of a test."""
from __future__ import annotations

import contextlib
import http.client
import socket
import threading

from pollreload.core import change
from pollreload.core.state import State
from pollreload.monitoring import http as http_module
from pollreload.monitoring.metrics import Metrics
from pollreload.monitoring.record import Record
from pollreload.settings import Settings
from tests.servers.harness import free_port
from tests.support.probe import Answer, ask
from tests.support.targets import DEADLINE

READY = State(version=change.Memory(state='current'))


class Served:
    """A server on a port of the loopback, and the records that it shows."""

    def __init__(self) -> None:
        self.records = [record('web')]
        self.port = free_port()
        self.metrics = Metrics(lambda: self.records, lambda: None)
        self.listener = http_module.listening_socket('127.0.0.1', self.port, '--listen')
        self.server = http_module.Server(self.listener, self.metrics)
        self.over = False
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        """Serve until the end of the test."""
        while not self.over:
            self.server.step()

    def ask(
            self, path: str, method: str = 'GET', **headers: str,
    ) -> Answer:
        """Return the answer to a request."""
        return ask(self.port, path, method, **headers)

    def call(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(('127.0.0.1', self.port), DEADLINE)

    def send(self, request: bytes) -> bytes:
        """Return all that is answered to some bytes, b'' if nothing is."""
        with self.call() as caller:
            caller.sendall(request)
            with contextlib.suppress(ConnectionResetError):
                return b''.join(iter(lambda: caller.recv(65536), b''))
            return b''

    def answers(self) -> bool:
        """Return whether a probe succeeds."""
        try:
            return self.ask('/healthz').status == 200
        except (OSError, http.client.HTTPException):
            return False

    def full(self) -> bool:
        """Return whether there are as many clients as there can be."""
        return len(self.server.clients) == http_module.CLIENTS

    def end(self) -> None:
        """Stop the server, and wait until its thread has ended."""
        self.over = True
        with contextlib.suppress(OSError):
            self.call().close()  # wakes it
        self.thread.join(DEADLINE)
        for number in [*self.server.clients]:
            self.server.drop(number)
        self.listener.close()


def record(name: str, **settings: float) -> Record:
    """Return the record of a watch that has its baseline and polled right now."""
    it = Record(Settings(name=name, **settings))  # type: ignore[arg-type]
    it.after(READY)
    return it
