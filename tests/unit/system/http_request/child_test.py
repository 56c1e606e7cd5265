"""Requests in a child, as a watch sends them."""
from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from typing import NoReturn

import pytest

from pollreload.runtime import runner
from pollreload.settings import Settings
from pollreload.system import children
from tests.support.http_peer import accepted, closed_port, heard, listening
from tests.support.targets import DEADLINE


@pytest.fixture
def running() -> Iterator[runner.Runner]:
    """What a watch acts with; idle again after the test."""
    it = runner.Runner()
    yield it
    it.cancel()
    assert (it.pid, it.fd, it.answer) == (0, -1, -1)


def over(running: runner.Runner) -> int:
    """Return all that ran() does once the child has ended."""
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    status = running.ran()
    assert status is not None
    return status


@pytest.mark.parametrize(('status', 'code', 'says'), [
    ('204 No Content', 0, 'answered 204'), ('500 No', 1, 'answered 500: why'),
])
def test_a_child_asks(
        running: runner.Runner, status: str, code: int, says: str,
) -> None:
    """It runs until there is an answer, and then 0 is a success."""
    with listening() as listener:
        settings = Settings(url_method='PUT')
        url = f'http://127.0.0.1:{listener.getsockname()[1]}/x'
        assert running.ask(settings, url) == ''
        with accepted(listener) as client:
            assert running.ran() is None
            assert heard(client).startswith(b'PUT /x ')
            client.sendall(f'HTTP/1.1 {status}\r\n\r\nwhy'.encode())
    assert (over(running), running.output()) == (code, says)


def test_a_child_that_is_ended_hangs_up(running: runner.Runner) -> None:
    """TERM need not wait for a server; and nothing is left open."""
    before = os.listdir('/proc/self/fd')
    with listening() as listener:
        url = f'http://127.0.0.1:{listener.getsockname()[1]}/x'
        assert running.ask(Settings(), url) == ''
        with accepted(listener) as client:
            heard(client)
            began = time.monotonic()
            running.cancel()
            assert client.recv(1) == b''
    assert time.monotonic() - began < DEADLINE
    assert os.listdir('/proc/self/fd') == before


def test_a_child_that_dies_is_a_failure(running: runner.Runner) -> None:
    """For want of memory, say."""
    with listening() as listener:
        url = f'http://127.0.0.1:{listener.getsockname()[1]}/x'
        assert running.ask(Settings(), url) == ''
        with accepted(listener) as client:
            heard(client)
            os.kill(running.pid, 9)
    assert over(running) == 1
    assert running.output() == 'failed: a child ended with status -9'


def test_no_child_to_spare_is_said(
        running: runner.Runner, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be begun is tried again, as what fails."""
    def fork(*_: object) -> NoReturn:
        raise OSError(errno.EAGAIN, 'Resource temporarily unavailable')

    monkeypatch.setattr(children, 'fork', fork)

    says = running.ask(Settings(), 'http://127.0.0.1/')

    assert says == 'no child for it: resource temporarily unavailable'


def test_a_request_leaves_nothing_of_itself(running: runner.Runner) -> None:
    """A command after a request is a command, and its arguments are its own."""
    url = f'http://127.0.0.1:{closed_port()}/'
    assert running.ask(Settings(), url) == ''
    assert (over(running), running.output()) == (1, 'failed: connection refused')

    assert running.run(('echo', 'here'), {}) == ''
    assert (over(running), running.output()) == (0, 'here')
