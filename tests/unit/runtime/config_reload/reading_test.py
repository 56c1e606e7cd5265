"""Reading a config file again, in a child."""
from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NoReturn

import pytest

from pollreload.runtime.config_reload import Reader
from pollreload.settings import Plan, Settings, pack
from pollreload.system import children
from tests.servers.harness import until
from tests.support.watch_log import Log


def ended(reader: Reader) -> int:
    """Return the status that a reader has in the end."""
    found: list[int] = []

    def ran() -> bool:
        status = reader.ran()
        found.extend([] if status is None else [status])
        return status is not None

    until(ran, 'the child has ended')
    return found[0]


@pytest.mark.parametrize(('again', 'take', 'trouble'), [
    (lambda: pack(Plan((Settings(('/a',), 'x'),), 'c')), '', ''),
    (lambda: pack(Plan((Settings(('/a',), 'x'),), 'c')), 'no port', 'no port'),
    (lambda: 'c:1: no', '', 'c:1: no'),
    (lambda: 1 // 0, '', 'ZeroDivisionError: integer division or modulo by zero'),
    (lambda: os._exit(3), '', 'a child ended with status 3'),
])
def test_a_reading_is_taken_over_or_is_a_failure(
        again: Callable[[], object], take: str, trouble: str,
) -> None:
    """With the reason; and when it last succeeded is known."""
    taken: list[Plan] = []

    def over(plan: Plan) -> str:
        taken.append(plan)
        return take

    reader = Reader(again, over, Log())
    assert reader.run((), {}) == ''
    assert ended(reader) == int(bool(trouble))

    assert reader.trouble == trouble
    assert (reader.taken > 0.0) is not bool(trouble)
    assert (reader.pid, reader.answer) == (0, -1)
    if taken:
        assert taken == [Plan((Settings(('/a',), 'x'),), 'c')]


def test_no_child_to_read_it_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another time there may be one."""
    def fork(*_: object) -> NoReturn:
        raise OSError(errno.EAGAIN, 'Resource temporarily unavailable')

    monkeypatch.setattr(children, 'fork', fork)
    reader = Reader(lambda: '', lambda _: '', Log())

    assert reader.run((), {}) == reader.trouble
    assert reader.trouble == 'no child to read it: Resource temporarily unavailable'


def test_a_reading_that_takes_too_long_is_a_failure() -> None:
    """It is ended; if there is none, there is nothing to say."""
    reader = Reader(lambda: os.read(os.pipe()[0], 1), lambda _: '', Log())
    reader.cancel()
    assert reader.trouble == ''

    reader.run((), {})
    pid = reader.pid
    reader.cancel()

    assert reader.trouble == 'the config file could not be read in time'
    assert (reader.pid, reader.answer) == (0, -1)
    until(lambda: children.poll_child(pid) == children.LOST, 'it has ended')
