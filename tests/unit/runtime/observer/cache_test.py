"""Polls that go by the stat cache."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from pollreload.runtime.observer import Observer
from pollreload.settings import Settings
from pollreload.system import mounts, reader, stat_cache
from tests.support import apart
from tests.support.observer_child import ended
from tests.support.reads import noted
from tests.support.sidecar import write


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read here, path by path; stat is believed as soon as can be."""
    monkeypatch.setattr(stat_cache, 'GRAIN', 0.0)
    return noted(monkeypatch)


def saw(observer: Observer) -> str:
    """Return the place where the next poll is made, 'here' or 'child', once it has
    ended.
    """
    if observer.poll(False) is not None:
        return 'here'
    ended(observer.pid)
    assert observer.poll(False) is not None
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

    assert observer.parts == rounds


@pytest.mark.parametrize('rehash', [0.0, 4.0])
def test_rehash_within_an_interval_reads_all_at_each_poll(
        tmp_path: Path, reads: list[str], rehash: float,
) -> None:
    """0 and any other: every poll is later than that."""
    write(tmp_path / 'a', 'x')
    write(tmp_path / 'b', 'x')
    observer = Observer(Settings((str(tmp_path),), rehash=rehash, interval=5.0))
    for _ in range(4):
        observer.poll(False)

    assert len(reads) == 8


def test_each_poll_here_is_another_turn_and_each_file_has_one(
        tmp_path: Path, reads: list[str],
) -> None:
    """The turns go round; each file is read once in one."""
    for number in range(10):
        write(tmp_path / str(number), 'x')
    clock = Clock()
    observer = Observer(Settings((str(tmp_path),), rehash=15.0, interval=5.0), clock)
    turns = []
    for _ in range(8):
        turns.append(observer.next)
        observer.poll(False)
        clock.seconds += 5.0

    assert turns == list(range(8))
    # All in the first two polls, and then each in each of two rounds.
    assert len(reads) == 2 * 10 + 2 * 10


@pytest.mark.parametrize('late', [0.0, 4.9, 5.0, 7.0, 31.0, 3600.0])
def test_rehash_is_a_time_also_where_looks_come_late(
        tmp_path: Path, reads: list[str], late: float,
) -> None:
    """A poll that takes longer than the interval, a machine that slept: whose turn has
    come in the meantime is read at the next poll, and no file waits for longer than
    that.
    """
    for number in range(20):
        write(tmp_path / str(number), 'x')
    clock = Clock()
    observer = Observer(Settings((str(tmp_path),), rehash=60.0, interval=5.0), clock)
    read = {f'{tmp_path}/{number}': 0.0 for number in range(20)}
    for number in range(120):
        reads.clear()
        observer.poll(False)
        read.update(dict.fromkeys(reads, clock.seconds))
        if clock.seconds > 1120.0 + 2 * late:
            assert min(read.values()) >= clock.seconds - 65.0 - late
        clock.seconds += 5.0 + (late if number % 2 else 0.0)


def test_a_poll_before_its_time_reads_nothing(
        tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No turn has come, as after HUP; nor is one lost."""
    monkeypatch.setattr(stat_cache, 'GRAIN', 0.0)
    write(tmp_path / 'a', 'x')
    clock = Clock()
    observer = Observer(Settings((str(tmp_path),), rehash=60.0, interval=5.0), clock)
    for _ in range(2):
        observer.poll(False)
    reads.clear()
    for _ in range(5):
        observer.poll(False)
    assert (reads, observer.next) == ([], 1)

    clock.seconds += 59.0
    observer.poll(False)
    assert observer.next == 12


def test_look_that_was_stopped_or_had_no_memory_takes_no_turn(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was due then is due at the next."""
    write(tmp_path / 'a', 'x')
    observer = Observer(Settings((str(tmp_path),)))
    observer.poll(False)
    with monkeypatch.context() as patch:
        patch.setattr(reader, 'poll', lambda *_: None)
        stopped = observer.poll(False)

    def poll(*_: object) -> NoReturn:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(reader, 'poll', poll)
        observer.poll(False)

    assert stopped is None
    assert observer.next == 1


def test_mount_that_appears_or_goes_is_seen_at_the_next_poll(
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
            return observer.poll(False) == reader.poll(paths, ())

        assert right()
        assert right()
        for kind, over, args, what in (
                ('tmpfs', 'd/sub', (), 'none'), ('', 'd/f', ('--bind',), 'other'),
                ('tmpfs', 'd', (), 'none'),
        ):
            before = observer.caches
            trouble = apart.mount(kind, f'{at}/{over}', *args, what=f'{at}/{what}')
            assert trouble == '', trouble
            assert right(), f'{over} is mounted'
            assert observer.caches is not before
        write(f'{at}/d/g', 'x')
        assert right()
        for over in ('d', 'd/f', 'd/sub'):
            before = observer.caches
            apart.unmount(f'{at}/{over}')
            assert right(), f'{over} is mounted no more'
            assert observer.caches is not before
        last = observer.caches
        assert right()
        assert observer.caches is last
        return 'seen'

    assert apart.apart(seen) == 'seen'


def test_path_that_comes_to_be_one_that_can_hang_goes_to_a_child_and_back(
        tmp_path: Path, fake_mounts: Callable[..., None],
) -> None:
    """At whatever turn."""
    write(tmp_path / 'a', 'x')
    observer = Observer(Settings((str(tmp_path / 'a'),)))
    fake_mounts(**{'/': 'ext4'})
    first = [saw(observer), saw(observer)]
    fake_mounts(**{'/': 'ext4', str(tmp_path): 'nfs4'})
    second = [saw(observer), saw(observer)]
    fake_mounts(**{'/': 'ext4', '/mnt': 'nfs4'})

    assert first == ['here', 'here']
    assert second == ['child', 'child']
    assert [saw(observer), saw(observer)] == ['here', 'here']


def test_link_that_comes_to_lead_to_what_can_hang_goes_to_a_child_and_back(
        tmp_path: Path, fake_mounts: Callable[..., None],
) -> None:
    """At the next poll, if there is such a mount."""
    for name in ('near/a', 'far/a'):
        (tmp_path / name).parent.mkdir()
        write(tmp_path / name, name)
    link = tmp_path / 'link'
    link.symlink_to('near/a')
    fake_mounts(**{'/': 'ext4', str(tmp_path / 'far'): 'nfs4'})
    observer = Observer(Settings((str(link),)))
    places = []
    for target in ('near/a', 'far/a', 'far/a', 'near/a', 'far/a', 'near/a'):
        link.unlink()
        link.symlink_to(target)
        places.append(saw(observer))

    assert places == ['here', 'child', 'child', 'here', 'child', 'here']


def test_link_into_the_mounts_of_another_process_goes_to_a_child_and_back(
        tmp_path: Path, fake_mounts: Callable[..., None],
) -> None:
    """At the first turn at the latest, if no mount of pollreload can hang; back at
    once, also if the first of these polls was at another turn.
    """
    write(tmp_path / 'a', 'x')
    link = tmp_path / 'link'
    link.symlink_to('a')
    fake_mounts(**{'/': 'ext4', '/proc': 'proc'})
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
    fake_mounts(**{'/': 'ext4', '/proc': 'proc', '/run': 'tmpfs'})
    link.unlink()
    link.symlink_to(f'/proc/{os.getpid()}/root{tmp_path}/a')
    turn = observer.next
    anew = saw(observer)
    link.unlink()
    link.symlink_to('a')

    assert places[-2:] == ['child', 'child']
    assert back == ['here', 'here']
    assert turn
    assert anew == 'child'
    assert saw(observer) == 'here'


def test_mounts_that_are_not_known_make_a_child_of_each_poll(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        fake_mounts: Callable[..., None],
) -> None:
    """And once they can, the polls are made here again."""
    write(tmp_path / 'a', 'x')
    fake_mounts(**{'/': 'ext4'})
    observer = Observer(Settings((str(tmp_path / 'a'),)))
    before = saw(observer)
    with monkeypatch.context() as patch:
        patch.setattr(mounts, 'mount_table', lambda: None)
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
    observer.poll(False)
    with monkeypatch.context() as patch:
        patch.setattr(mounts, 'can_hang', lambda paths: True)
        observer.hangs = True
        write(tmp_path / 'a', 'y')
        place = saw(observer)

    assert place == 'child'
    assert observer.poll(False) == reader.poll((str(tmp_path / 'a'),), ())


class Hurried:
    """A clock of which each question costs a second."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def test_a_poll_that_takes_long_goes_on_in_a_child(
        tmp_path: Path, reads: list[str],
) -> None:
    """The loop is free for other watches and for signals in the meantime."""
    write(tmp_path / 'a', 'x' * (2 << 20))
    observer = Observer(Settings((str(tmp_path),), rehash=1e9), Hurried())

    assert observer.poll(True) is None
    assert observer.pid
    ended(observer.pid)
    got = observer.poll(True)

    assert got == reader.poll((str(tmp_path),), (), True)
    assert observer.pid == 0
    assert observer.tally[1] >= 2 << 20


def test_what_a_child_has_read_is_not_read_again(
        tmp_path: Path, reads: list[str],
) -> None:
    """Two reads have to agree, and then stat is believed here."""
    write(tmp_path / 'a', 'x' * (2 << 20))
    observer = Observer(Settings((str(tmp_path),), rehash=1e9), Hurried())
    for _ in range(2):
        assert saw(observer) == 'child'
    reads.clear()

    assert saw(observer) == 'here'
    assert reads == []
    write(tmp_path / 'a', 'y')
    assert saw(observer) == 'here'
    assert reads == [f'{tmp_path}/a']


def test_a_set_that_was_torn_in_a_child_leaves_no_cache(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str],
) -> None:
    """Its files are read again."""
    write(tmp_path / 'a', 'x' * (2 << 20))
    (tmp_path / 'link').symlink_to('.')
    observer = Observer(Settings((f'{tmp_path}/link/',), rehash=1e9), Hurried())
    monkeypatch.setattr(reader, 'points', lambda link: 'elsewhere')
    assert observer.poll(False) is None
    ended(observer.pid)

    got = observer.poll(False)

    assert got is not None
    assert got.readings[0].unreadable == {'': reader.REPLACED}
    assert observer.caches[0].reading is None


def test_a_file_above_the_limit_is_unreadable_and_not_read(tmp_path: Path) -> None:
    """Its size decides; a sparse file costs nothing to make."""
    with open(tmp_path / 'huge', 'wb') as file:
        file.truncate(5 << 30)
    write(tmp_path / 'a', 'x')
    settings = Settings((str(tmp_path),))
    observer = Observer(settings)

    got = observer.poll(False)

    assert got is not None
    assert got.readings[0].unreadable == {
        'huge': 'is larger than --max-file-size 4GiB',
    }
    assert observer.tally == [1, 1]
