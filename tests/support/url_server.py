"""A server for --url, and a ledger that a test reads."""
from __future__ import annotations

import collections
import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support import sidecar
from tests.support.http_peer import accepted, listening
from tests.support.sidecar import Run, Sidecar, watch
from tests.support.targets import DEADLINE

SECRETS = 'us3r', 'pa55word', 't0ken', 'dXMzcjpwYTU1d29yZA=='


def answer(status: str, body: str = '', *headers: str) -> bytes:
    """Return a whole answer."""
    length = f'Content-Length: {len(body.encode())}'
    return '\r\n'.join((f'HTTP/1.1 {status}', length, *headers, '', body)).encode()


OK = answer('200 OK')
HANG = b''  # says nothing, and waits for the other end to be closed


class Server:
    """What answers, one request after the other, and keeps what it was asked.

    Said in advance: answers, 200 if there is none left.
    requests: each up to the end of its headers; '' for a connection on which nothing
        came.
    """

    def __init__(self, address: str = '127.0.0.1') -> None:
        self.listener = listening(address)
        self.listener.settimeout(None)
        self.port = self.listener.getsockname()[1]
        self.answers: collections.deque[bytes] = collections.deque()
        self.requests: list[str] = []
        self.closed = 0  # how many connections the other end has closed in the meantime
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
        """Return all that was written."""
        return self.path.read_text().split() if self.path.exists() else []


@contextlib.contextmanager
def watching(*args: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch that has taken its baseline."""
    with watch(*args, **rest) as it:
        it.until('baseline')
        yield it


def events(it: Sidecar | Run) -> list[tuple[str, str]]:
    """Return the events that matter, each with the last word of its URL or command."""
    seen = it.seen if isinstance(it, Sidecar) else it.events
    return [
        (each['event'], os.path.basename(str(each.get('exec', each.get('url', '')))))
        for each in seen if each['event'] not in ('started', 'status', 'polled')
    ]


def assert_no_secret(text: str) -> None:
    """Fail if one of the secrets is in a text."""
    assert text
    assert [each for each in SECRETS if each in text] == []


def run_pollreload(
        *args: str, env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        (*sidecar.POLLRELOAD, *args), env=sidecar.environment(env), text=True,
        capture_output=True, timeout=DEADLINE, check=False,
        stdin=subprocess.DEVNULL,
    )
