"""The edges as a step gets them: observer, runner, targets and their messages."""
from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pollreload.core import change, ledger_format
from pollreload.core.state import State
from pollreload.errors import LedgerBusy, LedgerError, LedgerKept
from pollreload.runtime import guard, ledger, log, runner, world
from pollreload.runtime.observer import Observer
from pollreload.settings import Settings
from pollreload.system import (
    children,
    ledger_file,
    mounts,
    pidfile,
    process_table,
    procfs,
    visibility,
)


@pytest.fixture(autouse=True)
def childless() -> Iterator[None]:
    """End what a test leaves: the child that holds a ledger lives as long as we do."""
    yield
    for pid in procfs.pids('/proc'):
        if process_table.parent(procfs.stat(f'/proc/{pid}')) == os.getpid():
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def failing(error: int) -> Callable[..., NoReturn]:
    """Return a function that the kernel refuses."""
    def call(*_: object, **__: object) -> NoReturn:
        raise OSError(error, os.strerror(error))
    return call


def beside(function: Callable[[], Any]) -> Any:
    """Return the value of a function from a child, of whom a target is no child."""
    pid, fd = children.fork(function)
    ended(pid)
    assert children.ended(pid) == 0
    return children.value(fd)


def ended(pid: int) -> None:
    """Wait until a child is dead, and leave it to be reaped."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


# Chance, and the name of the host


def test_jitter_is_in_0_to_1_and_differs() -> None:
    """Two sidecars that start together must not poll together."""
    got = {world.jitter() for _ in range(100)}

    assert len(got) > 90
    assert all(0.0 <= each < 1.0 for each in got)


def test_splay_is_fixed_for_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """In [0, splay), the same every time, spread over the hosts of a fleet."""
    real = os.uname()

    def share(name: str) -> float:
        named = os.uname_result((real[0], name, *real[2:]))
        monkeypatch.setattr(os, 'uname', lambda: named)
        return world.splayed(60.0)

    shares = [share(f'node-{number}') for number in range(100)]

    assert shares == [share(f'node-{number}') for number in range(100)]
    assert all(0.0 <= each < 60.0 for each in shares)
    assert min(shares) < 10
    assert max(shares) > 50
    assert world.splayed(0.0) == 0.0


# What is said, and where


@pytest.mark.parametrize(('verbosity', 'said'), [
    (-1, ['held']), (0, ['baseline', 'held']), (1, ['polled', 'baseline', 'held']),
])
def test_verbosity_says_which_events_are_said(
        capfd: pytest.CaptureFixture[str], verbosity: int, said: list[str],
) -> None:
    """-q leaves out what is calm, -v adds the polls."""
    say = log.logger(Settings(verbosity=verbosity, log_format='json'))
    for event in ('polled', 'baseline', 'held'):
        say(event, 'a message', extra=1)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    assert [line['event'] for line in lines] == said
    assert all((line['message'], line['extra']) == ('a message', 1) for line in lines)


def test_line_that_cannot_be_written_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: there is no one left to tell, and no reason to stop."""
    monkeypatch.setattr(os, 'write', failing(errno.ENOSPC))

    log.put(b'line', patient=True)
    log.put(b'line', patient=False)


# What may hang besides a poll


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file system is one that can hang."""
    monkeypatch.setattr(mounts, 'can_hang', lambda paths: True)


@pytest.fixture(autouse=True)
def elsewhere(
        request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Whatever else is mounted on this machine (gvfs, lxcfs) is no matter here, nor
    what did not answer in another test.
    """
    monkeypatch.setattr(guard, 'STUCK', {})
    if 'mounted' not in request.fixturenames:
        kinds = {mount.kind for mount in mounts.rows(mounts.MOUNTINFO)}
        monkeypatch.setattr(mounts, 'SAFE', mounts.SAFE | kinds)
        mounts.watched.cache_clear()
    yield
    mounts.watched.cache_clear()


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch, far: None) -> None:
    """What is read or written on a file system that can hang does hang."""
    monkeypatch.setattr(guard, 'PATIENCE', 0.05)
    monkeypatch.setattr(pidfile, 'read', lambda path: signal.pause())
    monkeypatch.setattr(ledger_file, 'read', lambda path: signal.pause())
    monkeypatch.setattr(ledger_file, 'save', lambda path, kept: signal.pause())
    monkeypatch.setattr(ledger_file, 'lock', lambda path: signal.pause())


@pytest.mark.usefixtures('stuck')
def test_ledger_that_cannot_be_reached_is_an_error_that_names_it(
        tmp_path: Path,
) -> None:
    """Neither to begin with nor to write to is it waited for."""
    path = str(tmp_path / 'memory')
    with pytest.raises(LedgerError, match=path):
        ledger.claim(path)
    with pytest.raises(LedgerError, match=path):
        ledger.store(path, {})


@pytest.mark.usefixtures('far')
def test_ledger_and_program_that_can_be_reached_are_used(tmp_path: Path) -> None:
    """By way of a child, and with the same result."""
    path = str(tmp_path / 'memory')
    ledger.claim(path)
    ledger.store(path, {'key': 'x'})
    running = runner.Runner()
    trouble = running.run(('/bin/true',), {})
    ended(running.pid)

    assert ledger_file.load(path) == {'key': 'x'}
    assert (trouble, running.ran()) == ('', 0)


@pytest.mark.usefixtures('far')
def test_ledger_that_may_hang_is_held_by_a_child(tmp_path: Path) -> None:
    """It holds it for as long as we live, and says who else does."""
    path = str(tmp_path / 'memory')
    pid = os.fork()
    if not pid:
        ledger.claim(path)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    with pytest.raises(LedgerBusy, match=path):
        ledger.claim(path)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    # Let go of once the child has seen that: a lock that waits says when.
    with open(f'{path}.lock', 'rb') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


@pytest.mark.usefixtures('far')
def test_ledger_that_may_hang_is_recalled_by_way_of_a_child(tmp_path: Path) -> None:
    """With what is wrong with it, in its words and its kind."""
    path = tmp_path / 'memory'
    blank = recalled(path)
    path.write_text('{')

    assert blank == State()
    with pytest.raises(LedgerKept, match='corrupt'):
        recalled(path)


def test_ledger_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    """As the ledger itself says it."""
    with pytest.raises(LedgerError, match='no such file or directory'):
        ledger.store(str(tmp_path / 'none' / 'memory'), {})


# The ledger


def recalled(path: Path, paths: tuple[str, ...] = ('/a',), **rest: Any) -> State:
    """Return what a run recalls from a ledger."""
    settings = Settings(paths, 'x', state_file=str(path), **rest)
    return ledger.recall(settings, str(path), ledger.whereabouts(settings))


def test_state_is_recalled_as_it_was_kept(tmp_path: Path) -> None:
    """Blank where there is no ledger; that of another watch is left alone."""
    path = tmp_path / 'memory'
    none = recalled(path)
    here = ledger.whereabouts(Settings(('/a',), 'x'))
    content = change.Memory(
        'current', (change.Known('file', {'': b'x' * 16}),), 'print', 'seen', 1.0,
        'done',
    )
    ledger_file.save(str(path), ledger_format.dump(State(version=content), here))

    assert none == State()
    assert recalled(path).version.delivered == 'done'
    with pytest.raises(LedgerError, match='is of another watch'):
        recalled(path, ('/another',))
    assert path.exists()


@pytest.mark.parametrize('dry_run', [False, True])
def test_ledger_of_an_odd_shape_is_kept_aside(tmp_path: Path, dry_run: bool) -> None:
    """Unless nothing may be written: then it is only reported."""
    path = tmp_path / 'memory'
    here = ledger.whereabouts(Settings(('/a',), 'x'))
    ledger_file.save(str(path), {'key': here.key, 'known': 7})
    text = path.read_bytes()
    with pytest.raises(LedgerKept, match='corrupt'):
        recalled(path, dry_run=dry_run)

    assert [each.read_bytes() for each in tmp_path.iterdir()] == [text]
    assert path.exists() == dry_run


def test_whereabouts_without_a_working_directory(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was removed: an absolute path has the same key as ever."""
    settings = Settings(('/a',), 'x')
    before = ledger.whereabouts(settings)
    monkeypatch.setattr(os, 'getcwd', failing(errno.ENOENT))

    assert ledger.whereabouts(settings) == before
    assert before.boot == procfs.boot()


def test_ledger_that_speaks_of_the_future_is_kept_aside(tmp_path: Path) -> None:
    """Its times are of another clock, and would never come."""
    path = str(tmp_path / 'memory')
    here = ledger_format.Here('key', procfs.boot(), visibility.pid_namespace())
    known = change.Known('file', {'': b'0' * 16})
    state = State(version=change.Memory(
        state='current', known=(known,), seen='a', delivered='a',
        seen_at=procfs.now() + 60.0,
    ))
    ledger_file.save(path, ledger_format.dump(state, here))

    with pytest.raises(LedgerKept, match='kept as'):
        ledger.recall(Settings(), path, here)
    assert not os.path.exists(path)


@pytest.mark.parametrize('path', [None, '/run/a.pid'])
def test_what_is_needed_later_is_imported_at_the_start(
        monkeypatch: pytest.MonkeyPatch, path: str | None,
) -> None:
    """An upgrade may move the package away under a watch; and nothing for nobody."""
    name = 'pollreload.runtime.pidfile_target'
    monkeypatch.delattr(name, raising=False)
    monkeypatch.delitem(sys.modules, name, raising=False)
    settings = Settings(('/a',), pidfile=path)
    world.world(
        settings, Observer(settings), runner.Runner(), lambda *_, **__: None,
        lambda _: True, State,
    )

    assert (name in sys.modules) == (path is not None)
