"""Clients that are slow, or many."""
from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from types import SimpleNamespace
from typing import NoReturn

import pytest

from pollreload.errors import UsageError
from pollreload.monitoring import http as http_module
from pollreload.monitoring.metrics import Metrics
from tests.servers.harness import free_port, until
from tests.support.http_server import Served, record
from tests.support.probe import PATHS
from tests.support.targets import DEADLINE


def test_a_client_that_hangs_up_is_no_event(
        served: Served, capfd: pytest.CaptureFixture[str],
) -> None:
    """Before it has asked, in the middle of it, and before it has read."""
    served.records = [record(f'watch-{number}') for number in range(500)]
    for part in (b'', b'GET /met', b'GET /metrics HTTP/1.0\r\n\r\n'):
        caller = served.call()
        # An RST, by which the other side cannot even read on.
        caller.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0',
        )
        caller.sendall(part)
        caller.close()

    assert served.answers()
    until(lambda: not served.server.clients, 'all clients have gone')
    assert capfd.readouterr().err == ''


@pytest.mark.usefixtures('impatient')
def test_who_says_nothing_is_hung_up_on(served: Served) -> None:
    """And gives its place to another."""
    with contextlib.ExitStack() as stack:
        callers = [
            stack.enter_context(served.call()) for _ in range(http_module.CLIENTS)
        ]
        until(served.full, 'all places are taken')

        until(served.answers, 'a probe is answered')

        assert [caller.recv(1) for caller in callers] == [b''] * http_module.CLIENTS


@pytest.mark.usefixtures('impatient')
def test_who_sends_a_byte_now_and_then_is_hung_up_on(served: Served) -> None:
    """However short the time between them: it is all of a request that has to come."""
    over = threading.Event()

    def trickle(caller: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not over.wait(0.02):
                caller.sendall(b'a')

    with contextlib.ExitStack() as stack:
        callers = [
            stack.enter_context(served.call()) for _ in range(http_module.CLIENTS)
        ]
        for caller in callers:
            caller.sendall(b'GET /')
        until(served.full, 'all places are taken')
        senders = [
            threading.Thread(target=trickle, args=(each,)) for each in callers
        ]
        for each in senders:
            each.start()
        try:
            until(served.answers, 'a probe is answered')
        finally:
            over.set()
            for each in senders:
                each.join()


@pytest.mark.usefixtures('impatient')
def test_who_does_not_read_is_hung_up_on(served: Served) -> None:
    """Though it has asked rightly."""
    served.records = [record(f'watch-{number}') for number in range(3000)]
    with contextlib.closing(socket.socket()) as caller:
        # The rest of the answer fits into nothing that the kernel keeps for us.
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.connect(('127.0.0.1', served.port))
        caller.sendall(b'GET /metrics HTTP/1.0\r\n\r\n')
        until(lambda: bool(served.server.clients), 'the client is accepted')
        until(lambda: not served.server.clients, 'the client is dropped')


def test_who_comes_when_all_places_are_taken_is_hung_up_on(served: Served) -> None:
    """At once, and the others are not disturbed."""
    with contextlib.ExitStack() as stack:
        callers = [
            stack.enter_context(served.call()) for _ in range(http_module.CLIENTS)
        ]
        until(served.full, 'all places are taken')

        late = served.send(b'GET /healthz HTTP/1.0\r\n\r\n')

        for caller in callers:
            caller.sendall(b'GET /readyz HTTP/1.0\r\n\r\n')
            assert b' 200 ' in caller.recv(4096)
    assert late == b''
    until(served.answers, 'a probe is answered')


def test_many_at_once_are_all_answered(served: Served) -> None:
    """As many as there are places, each its own answer."""
    gate = threading.Barrier(http_module.CLIENTS)
    got: list[int] = []

    def ask(path: str) -> None:
        gate.wait(DEADLINE)
        got.append(served.ask(path).status)

    paths = itertools.islice(itertools.cycle(PATHS), http_module.CLIENTS)
    askers = [threading.Thread(target=ask, args=(path,)) for path in paths]
    for each in askers:
        each.start()
    for each in askers:
        each.join()

    assert got == [200] * http_module.CLIENTS


def test_answer_to_a_client_that_has_shut_down_its_sending_side(
        served: Served,
) -> None:
    """As `printf ... | nc` does."""
    with served.call() as caller:
        caller.sendall(b'GET /healthz HTTP/1.0\r\n\r\n')
        caller.shutdown(socket.SHUT_WR)

        assert b' 200 ' in caller.recv(4096)


def test_answer_survives_what_a_client_sends_after_its_request(served: Served) -> None:
    """To close the connection at once would reset it, and the answer might be lost."""
    with served.call() as caller:
        caller.sendall(b'POST /metrics HTTP/1.1\r\n\r\n')
        caller.sendall(b'a' * 1000)
        got = caller.recv(4096)
        caller.sendall(b'a' * 1000)

        assert got.startswith(b'HTTP/1.1 501 ')
        assert b''.join(iter(lambda: caller.recv(4096), b'')).count(b'HTTP') == 0


def test_a_client_without_data_is_waited_for(served: Served) -> None:
    """poll(2) may report data that is not there when it is read (select(2))."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = http_module.Server(ours, served.metrics)
        server.clients[theirs.fileno()] = http_module.Client(theirs)

        server.serve_client(theirs.fileno())

        assert [*server.clients] == [theirs.fileno()]


def test_without_a_thread_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may have reached its limit of threads."""
    def start(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(http_module, '_thread', SimpleNamespace(start_new_thread=start))
    with http_module.listening_socket('127.0.0.1', free_port(), '--listen') as listener:
        server = http_module.Server(listener, Metrics(list, lambda: None))
        with pytest.raises(UsageError, match="can't start new thread"):
            server.start()


def test_one_step_follows_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread of the server only ends with the process."""
    steps: list[str] = []

    def step() -> None:
        steps.append('step')
        if len(steps) == 3:
            raise SystemExit  # what ends a process ends the thread

    with http_module.listening_socket('127.0.0.1', free_port(), '--listen') as listener:
        server = http_module.Server(listener, Metrics(list, lambda: None))
        monkeypatch.setattr(server, 'step', step)
        with pytest.raises(SystemExit):
            server.serve()

    assert len(steps) == 3
