"""Polls in a child, and their time limits."""
from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pollreload.core.reading import Reading, Snapshot
from pollreload.runtime.observer import Observer
from pollreload.settings import Settings
from pollreload.system import children, procfs, reader
from tests.support.observer_child import ended
from tests.support.sidecar import write
from tests.support.world import failing


def in_child(function: Callable[[], Any]) -> Any:
    """Return the value of a function from a child."""
    pid, fd = children.fork(function)
    ended(pid)
    assert children.poll_child(pid) == 0
    return children.read_value(fd)


def test_look_where_nothing_can_hang_is_made_at_once(tmp_path: Path) -> None:
    """No child is needed for it."""
    write(tmp_path / 'a', 'x')
    observer = Observer(Settings((str(tmp_path / 'a'), '/nowhere')))
    got = observer.poll(True)

    assert got is not None
    assert [sight.kind for sight in got.readings] == ['file', '']
    assert got.newest > 0.0
    assert observer.pid == 0


@pytest.mark.usefixtures('far')
def test_poll_that_can_hang_is_made_by_a_child(tmp_path: Path) -> None:
    """It is asked for until it has ended, and is the same as one made at once."""
    for name in ('a', 'b'):
        write(tmp_path / name, 'x')
    paths = (str(tmp_path), '/nowhere')
    observer = Observer(Settings(paths))
    first = observer.poll(True)
    ended(observer.pid)
    got = observer.poll(True)

    assert first is None
    assert got == reader.poll(paths, (), True)
    assert observer.pid == 0


@pytest.mark.usefixtures('far')
def test_look_that_goes_on_is_none_and_can_be_ended(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The child is killed, and nothing of it is left."""
    monkeypatch.setattr(reader, 'poll', lambda *_, **__: signal.pause())
    observer = Observer(Settings(('/a',)))
    looks = [observer.poll(False), observer.poll(False)]
    pid = observer.pid
    observer.close()
    observer.close()

    assert looks == [None, None]
    assert observer.pid == 0
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    assert procfs.started(pid) is None


@pytest.mark.usefixtures('far')
def test_child_that_dies_is_a_path_that_cannot_be_read(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing from the world stops the loop: the next poll has another child."""
    monkeypatch.setattr(
        reader, 'poll', lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL),
    )
    observer = Observer(Settings(('/a', '/b')))
    observer.poll(False)
    ended(observer.pid)
    got = observer.poll(False)

    assert got == Snapshot(
        (Reading('', {}, {'': 'a child ended with status -9'}),) * 2,
    )
    assert observer.pid == 0


@pytest.mark.usefixtures('far')
@pytest.mark.parametrize('error', [errno.EAGAIN, errno.ENOMEM])
def test_child_that_cannot_be_had_is_a_path_that_cannot_be_read(
        monkeypatch: pytest.MonkeyPatch, error: int,
) -> None:
    """No process or no memory to spare now."""
    monkeypatch.setattr(os, 'fork', failing(error))
    got = Observer(Settings(('/a',))).poll(False)

    assert got is not None
    assert got.readings[0].unreadable[''].startswith('no child to read it: ')


def test_path_for_which_there_is_no_memory_cannot_be_read(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A directory that has grown too large stops no one."""
    def poll(*_: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(reader, 'poll', poll)
    got = Observer(Settings(('/a',))).poll(False)

    assert got == Snapshot((Reading('', {}, {'': 'not enough memory to read it'}),))


def test_stop_ends_a_poll(tmp_path: Path) -> None:
    """TERM, which is blocked while we work, is seen by the poll all the same."""
    write(tmp_path / 'a', 'x' * (2 << 20))

    def poll() -> object:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        os.kill(os.getpid(), signal.SIGTERM)
        return Observer(Settings((str(tmp_path / 'a'),))).poll(False) is None

    assert in_child(poll) is True
