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
from pollreload.core.change import Reading, Snapshot
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
    procfs,
    reader,
    stat_cache,
    visibility,
)
from tests.support import apart
from tests.support.sidecar import write
from tests.unit.system.stat_cache_test import noted


@pytest.fixture(autouse=True)
def childless() -> Iterator[None]:
    """End what a test leaves: the child that holds a ledger lives as long as we do."""
    yield
    for pid in procfs.pids('/proc'):
        if procfs.parent(procfs.stat(f'/proc/{pid}')) == os.getpid():
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


# Observer


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file system is one that can hang."""
    monkeypatch.setattr(mounts, 'can_hang', lambda paths: True)


def test_look_where_nothing_can_hang_is_made_at_once(tmp_path: Path) -> None:
    """No child is needed for it."""
    write(tmp_path / 'a', 'x')
    observer = Observer(Settings((str(tmp_path / 'a'), '/nowhere')))
    got = observer.look(True)

    assert got is not None
    assert [sight.kind for sight in got.readings] == ['file', '']
    assert got.newest > 0.0
    assert observer.pid == 0


@pytest.mark.usefixtures('far')
def test_look_where_it_can_hang_is_made_by_a_child(tmp_path: Path) -> None:
    """It is asked for until it has ended, and is the same as one made at once."""
    for name in ('a', 'b'):
        write(tmp_path / name, 'x')
    paths = (str(tmp_path), '/nowhere')
    observer = Observer(Settings(paths))
    first = observer.look(True)
    ended(observer.pid)
    got = observer.look(True)

    assert first is None
    assert got == reader.look(paths, (), True)
    assert observer.pid == 0


@pytest.mark.usefixtures('far')
def test_look_that_goes_on_is_none_and_can_be_ended(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The child is killed, and nothing of it is left."""
    monkeypatch.setattr(reader, 'look', lambda *_, **__: signal.pause())
    observer = Observer(Settings(('/a',)))
    looks = [observer.look(False), observer.look(False)]
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
        reader, 'look', lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL),
    )
    observer = Observer(Settings(('/a', '/b')))
    observer.look(False)
    ended(observer.pid)
    got = observer.look(False)

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
    got = Observer(Settings(('/a',))).look(False)

    assert got is not None
    assert got.readings[0].unreadable[''].startswith('no child to read it: ')


def test_path_for_which_there_is_no_memory_cannot_be_read(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A directory that has grown too large stops nobody."""
    def look(*_: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(reader, 'look', look)
    got = Observer(Settings(('/a',))).look(False)

    assert got == Snapshot((Reading('', {}, {'': 'not enough memory to read it'}),))


def test_stop_ends_a_look(tmp_path: Path) -> None:
    """TERM, which is blocked while we work, is seen by the look all the same."""
    write(tmp_path / 'a', 'x' * (2 << 20))

    def look() -> object:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        os.kill(os.getpid(), signal.SIGTERM)
        return Observer(Settings((str(tmp_path / 'a'),))).look(False) is None

    assert beside(look) is True


# An observer that goes by what it saw before


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read here, path by path; stat is believed as soon as can be."""
    monkeypatch.setattr(stat_cache, 'GRAIN', 0.0)
    return noted(monkeypatch)


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
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[
        Callable[..., None]
]:
    """A function that pretends that these are the mount points and types."""
    def mount(**types: str) -> None:
        lines = ''.join(
            f'36 35 98:0 / {point} rw - {kind} server:/export rw\n'
            for point, kind in types.items()
        )
        (tmp_path / 'mountinfo').write_text(lines)
        monkeypatch.setattr(mounts, 'MOUNTINFO', str(tmp_path / 'mountinfo'))
        # A plain file does not say that it is another.
        mounts.watched.cache_clear()

    yield mount
    mounts.watched.cache_clear()


def saw(observer: Observer) -> str:
    """Return where the next look is made, 'here' or 'child', once it has ended."""
    if observer.look(False) is not None:
        return 'here'
    ended(observer.pid)
    assert observer.look(False) is not None
    return 'child'


@pytest.mark.parametrize(('rehash', 'interval', 'rounds'), [
    (60.0, 5.0, 12), (60.0, 60.0, 1), (60.0, 31.0, 1), (60.0, 3600.0, 1),
    (0.0, 5.0, 1), (0.01, 0.01, 1), (61.0, 2.0, 30), (1.0, 0.1, 10),
])
def test_rounds_are_as_many_polls_as_there_are_in_rehash(
        rehash: float, interval: float, rounds: int,
) -> None:
    """Rounded down, so that no file waits longer; one at least."""
    observer = Observer(Settings(('/a',), rehash=rehash, interval=interval))

    assert observer.rounds == rounds


@pytest.mark.parametrize('rehash', [0.0, 4.0])
def test_rehash_within_an_interval_reads_all_at_each_look(
        tmp_path: Path, reads: list[str], rehash: float,
) -> None:
    """0 and any other: every poll is later than that."""
    write(tmp_path / 'a', 'x')
    write(tmp_path / 'b', 'x')
    observer = Observer(Settings((str(tmp_path),), rehash=rehash, interval=5.0))
    for _ in range(4):
        observer.look(False)

    assert len(reads) == 8


def test_each_look_here_is_another_turn_and_each_file_has_one(
        tmp_path: Path, reads: list[str],
) -> None:
    """The turns go round; each file is read once in one."""
    for number in range(10):
        write(tmp_path / str(number), 'x')
    clock = Clock()
    observer = Observer(Settings((str(tmp_path),), rehash=15.0, interval=5.0), clock)
    turns = []
    for _ in range(8):
        turns.append(observer.turn)
        observer.look(False)
        clock.seconds += 5.0

    assert turns == list(range(8))
    # All in the first two looks, and then each in each of two rounds.
    assert len(reads) == 2 * 10 + 2 * 10


@pytest.mark.parametrize('late', [0.0, 4.9, 5.0, 7.0, 31.0, 3600.0])
def test_rehash_is_a_time_also_where_looks_come_late(
        tmp_path: Path, reads: list[str], late: float,
) -> None:
    """A look that takes longer than the interval, a machine that slept: whose turn has
    come meanwhile is read at the next look, and no file waits for longer than that.
    """
    for number in range(20):
        write(tmp_path / str(number), 'x')
    clock = Clock()
    observer = Observer(Settings((str(tmp_path),), rehash=60.0, interval=5.0), clock)
    read = {f'{tmp_path}/{number}': 0.0 for number in range(20)}
    for number in range(120):
        reads.clear()
        observer.look(False)
        read.update(dict.fromkeys(reads, clock.seconds))
        if clock.seconds > 1120.0 + 2 * late:
            assert min(read.values()) >= clock.seconds - 65.0 - late
        clock.seconds += 5.0 + (late if number % 2 else 0.0)


def test_a_look_before_its_time_reads_nothing(
        tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No turn has come, as after HUP; nor is one lost."""
    monkeypatch.setattr(stat_cache, 'GRAIN', 0.0)
    write(tmp_path / 'a', 'x')
    clock = Clock()
    observer = Observer(Settings((str(tmp_path),), rehash=60.0, interval=5.0), clock)
    for _ in range(2):
        observer.look(False)
    reads.clear()
    for _ in range(5):
        observer.look(False)
    assert (reads, observer.turn) == ([], 1)

    clock.seconds += 59.0
    observer.look(False)
    assert observer.turn == 12


def test_look_that_was_stopped_or_had_no_memory_takes_no_turn(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was due then is due at the next."""
    write(tmp_path / 'a', 'x')
    observer = Observer(Settings((str(tmp_path),)))
    observer.look(False)
    with monkeypatch.context() as patch:
        patch.setattr(reader, 'look', lambda *_: None)
        stopped = observer.look(False)

    def look(*_: object) -> NoReturn:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(reader, 'look', look)
        observer.look(False)

    assert stopped is None
    assert observer.turn == 1


def test_mount_that_appears_or_goes_is_seen_at_the_next_look(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over a directory, a file, and below; what was seen before is not gone by."""
    at = str(tmp_path)
    monkeypatch.setattr(stat_cache, 'GRAIN', 0.0)
    for name in ('d/f', 'd/sub/f', 'other'):
        os.makedirs(os.path.dirname(f'{at}/{name}'), exist_ok=True)
        write(f'{at}/{name}', name)
    paths = (f'{at}/d', f'{at}/d/f', f'{at}/d/s*/f')

    def seen() -> str:
        observer = Observer(Settings(paths, rehash=1e6))

        def right() -> bool:
            return observer.look(False) == reader.look(paths, ())

        assert right()
        assert right()
        for kind, over, words, what in (
                ('tmpfs', 'd/sub', (), 'none'), ('', 'd/f', ('--bind',), 'other'),
                ('tmpfs', 'd', (), 'none'),
        ):
            before = observer.shelves
            trouble = apart.mount(kind, f'{at}/{over}', *words, what=f'{at}/{what}')
            assert trouble == '', trouble
            assert right(), f'{over} is mounted'
            assert observer.shelves is not before
        write(f'{at}/d/g', 'x')
        assert right()
        for over in ('d', 'd/f', 'd/sub'):
            before = observer.shelves
            apart.unmount(f'{at}/{over}')
            assert right(), f'{over} is mounted no more'
            assert observer.shelves is not before
        last = observer.shelves
        assert right()
        assert observer.shelves is last
        return 'seen'

    assert apart.apart(seen) == 'seen'


def test_path_that_comes_to_be_one_that_can_hang_goes_to_a_child_and_back(
        tmp_path: Path, mounted: Callable[..., None],
) -> None:
    """At whatever turn."""
    write(tmp_path / 'a', 'x')
    observer = Observer(Settings((str(tmp_path / 'a'),)))
    mounted(**{'/': 'ext4'})
    first = [saw(observer), saw(observer)]
    mounted(**{'/': 'ext4', str(tmp_path): 'nfs4'})
    second = [saw(observer), saw(observer)]
    mounted(**{'/': 'ext4', '/mnt': 'nfs4'})

    assert first == ['here', 'here']
    assert second == ['child', 'child']
    assert [saw(observer), saw(observer)] == ['here', 'here']


def test_link_that_comes_to_lead_to_what_can_hang_goes_to_a_child_and_back(
        tmp_path: Path, mounted: Callable[..., None],
) -> None:
    """At the next look, where there is such a mount."""
    for name in ('near/a', 'far/a'):
        (tmp_path / name).parent.mkdir()
        write(tmp_path / name, name)
    link = tmp_path / 'link'
    link.symlink_to('near/a')
    mounted(**{'/': 'ext4', str(tmp_path / 'far'): 'nfs4'})
    observer = Observer(Settings((str(link),)))
    places = []
    for target in ('near/a', 'far/a', 'far/a', 'near/a', 'far/a', 'near/a'):
        link.unlink()
        link.symlink_to(target)
        places.append(saw(observer))

    assert places == ['here', 'child', 'child', 'here', 'child', 'here']


def test_link_into_the_mounts_of_another_process_goes_to_a_child_and_back(
        tmp_path: Path, mounted: Callable[..., None],
) -> None:
    """At the first turn at the latest, where no mount of ours can hang; back at once,
    also where the first of these looks was at another turn.
    """
    write(tmp_path / 'a', 'x')
    link = tmp_path / 'link'
    link.symlink_to('a')
    mounted(**{'/': 'ext4', '/proc': 'proc'})
    clock = Clock()
    observer = Observer(Settings((str(link),), rehash=15.0, interval=5.0), clock)
    saw(observer)
    link.unlink()
    link.symlink_to(f'/proc/{os.getpid()}/root{tmp_path}/a')
    places = []
    for _ in range(4):
        clock.seconds += 5.0
        places.append(saw(observer))
    link.unlink()
    link.symlink_to('a')
    back = [saw(observer), saw(observer)]
    mounted(**{'/': 'ext4', '/proc': 'proc', '/run': 'tmpfs'})
    link.unlink()
    link.symlink_to(f'/proc/{os.getpid()}/root{tmp_path}/a')
    turn = observer.turn
    anew = saw(observer)
    link.unlink()
    link.symlink_to('a')

    assert places[-2:] == ['child', 'child']
    assert back == ['here', 'here']
    assert turn
    assert anew == 'child'
    assert saw(observer) == 'here'


def test_mounts_that_cannot_be_told_make_a_child_of_each_look(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: Callable[..., None],
) -> None:
    """And once they can, the looks are made here again."""
    write(tmp_path / 'a', 'x')
    mounted(**{'/': 'ext4'})
    observer = Observer(Settings((str(tmp_path / 'a'),)))
    before = saw(observer)
    with monkeypatch.context() as patch:
        patch.setattr(mounts, 'table', lambda: None)
        places = [saw(observer), saw(observer)]

    assert before == 'here'
    assert places == ['child', 'child']
    assert saw(observer) == 'here'


def test_shelves_outlive_looks_that_were_made_by_children(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change that only a child saw is seen here too."""
    write(tmp_path / 'a', 'x')
    observer = Observer(Settings((str(tmp_path / 'a'),)))
    observer.look(False)
    with monkeypatch.context() as patch:
        patch.setattr(mounts, 'can_hang', lambda paths: True)
        observer.hangs = True
        write(tmp_path / 'a', 'y')
        place = saw(observer)

    assert place == 'child'
    assert observer.look(False) == reader.look((str(tmp_path / 'a'),), ())


# What may hang besides a look


@pytest.mark.usefixtures('far')
def test_value_of_what_may_hang_comes_from_a_child() -> None:
    """Whatever it would do to us, it does to the child."""
    assert guard.carefully(os.getppid, '/a') == os.getpid()


@pytest.mark.usefixtures('far')
def test_while_a_child_hangs_no_other_is_started_nor_soon_after(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each would stay as the first, or cost its seconds, and the other watches wait."""
    hangs, clock, asked = True, 1000.0, 0
    buried = False
    stuck = children.Stuck(41)

    def within(*_: object) -> str:
        if hangs:
            raise stuck
        return 'answers'

    def still(pid: int) -> bool:
        nonlocal asked
        asked += 1
        assert pid == 41
        return hangs and not buried

    monkeypatch.setattr(children, 'within', within)
    monkeypatch.setattr(children, 'hangs', still)
    monkeypatch.setattr(procfs, 'now', lambda: clock)

    def refused() -> BaseException:
        with pytest.raises(TimeoutError) as caught:
            guard.carefully(lambda: None, '/a', '/b')
        return caught.value

    assert refused() is stuck
    assert refused() is not stuck
    clock += 60.0
    assert refused() is not stuck  # it hangs still
    hangs, buried = False, True
    clock -= 55.0
    assert [refused() is stuck for _ in range(3)] == [False] * 3
    assert asked > 0
    guard.ask_anew()
    hangs = True
    assert refused() is stuck  # asked at once, as after HUP
    hangs = False
    assert refused() is not stuck
    clock += 10.0
    assert guard.carefully(lambda: None, '/a', '/b') == 'answers'
    assert guard.STUCK == {}


def test_what_a_watch_writes_is_no_content_of_it(tmp_path: Path) -> None:
    """A ledger below a directory that is watched would be told of for ever."""
    names = ('led[1].json', 'led[1].json.lock', 'led[1].json.7.new', 'status')
    for name in (*names, 'led[1].json.kept-2026', 'led1.json', 'app.conf'):
        write(tmp_path / name, 'x')
    observer = Observer(Settings(
        (str(tmp_path),), ignore=(), state_file='/elsewhere/led[1].json',
        status_file=str(tmp_path / 'status'),
    ))
    got = observer.look(False)

    assert got is not None
    assert sorted(got.readings[0].files) == ['app.conf', 'led1.json']


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
    ledger_file.save(str(path), ledger_format.dump(State(content=content), here))

    assert none == State()
    assert recalled(path).content.delivered == 'done'
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
    state = State(content=change.Memory(
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
        lambda _: True,
    )

    assert (name in sys.modules) == (path is not None)
