"""Clients that keep asking a server while it reloads, and count what fails."""
from __future__ import annotations

import http.client
import threading
from collections.abc import Callable

from tests.servers.harness import DEADLINE

PAUSE = 0.005  # s between two requests of one client
TIMEOUT = DEADLINE  # s until a request counts as failed


def get(port: int, path: str = '/') -> str:
    """Return the body of one request on a connection of its own.

    Raises OSError, also for what is no answer in HTTP.
    """
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=TIMEOUT)
    try:
        return request(connection, path, {'Connection': 'close'})
    finally:
        connection.close()


def request(
        connection: http.client.HTTPConnection, path: str, headers: dict[str, str],
) -> str:
    """Return the body of one request. Raises OSError for every failure."""
    try:
        connection.request('GET', path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
    except http.client.HTTPException as error:
        if isinstance(error, OSError):
            raise
        raise OSError(repr(error)) from error
    if answer.status != 200:
        raise OSError(f'{answer.status} {answer.reason}')
    return body.strip()


class Kept:
    """Ask again and again on one connection, which the server may close at will.

    A server that ends a worker closes the connections that are idle then, and a request
    may cross that on its way. As every client does, it is then sent again on a new
    connection (RFC 9112, 9.3.1): once, only on a connection that was used before, and
    only if no byte of an answer came. Anything else is a failure.
    reopened: how often that was.
    """

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection('127.0.0.1', port, timeout=TIMEOUT)
        self.reopened = 0

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __call__(self) -> str:
        """Return the body of one request. Raises OSError."""
        used = self.connection.sock is not None
        try:
            return request(self.connection, '/', {})
        except (BrokenPipeError, ConnectionResetError):
            # RemoteDisconnected is one of these: closed without a byte.
            self.connection.close()
            if not used:
                raise
        self.reopened += 1
        return request(self.connection, '/', {})


class Load:
    """Clients, each a function that asks once, each in a thread of its own.

    answers: how many each has got;
    failures: what went wrong, as text.
    """

    def __init__(self, *clients: Callable[[], str]) -> None:
        self.answers = [0] * len(clients)
        self.failures: list[str] = []
        self.stopping = threading.Event()
        self.news = threading.Condition()
        self.threads = [
            threading.Thread(target=self.keep_asking, args=(number, client))
            for number, client in enumerate(clients)
        ]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(DEADLINE)

    def keep_asking(self, number: int, client: Callable[[], str]) -> None:
        """Ask until stopped."""
        while not self.stopping.wait(PAUSE):
            failure = ''
            try:
                client()
            except OSError as error:
                failure = repr(error)
            with self.news:
                self.answers[number] += 1
                if failure:
                    self.failures.append(failure)
                self.news.notify()

    def more(self, count: int = 10) -> None:
        """Wait until every client has asked some more times."""
        with self.news:
            goals = [answers + count for answers in self.answers]
            assert self.news.wait_for(lambda: all(
                answers >= goal
                for answers, goal in zip(self.answers, goals, strict=True)
            ), DEADLINE), f'a client hangs: {self.answers}'
