"""Polls with a stat cache and without one, which must agree.

A change waits for a tick of the file system, and the cache trusts a stat after that
tick, not after GRAIN; otherwise the tests would take hours.
"""
from __future__ import annotations

import contextlib
import os
import select
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import pytest

from pollreload.core.reading import Snapshot
from pollreload.settings import IGNORED
from pollreload.system import reader, stat_cache
from pollreload.system.reader import poll
from pollreload.system.stat_cache import GRAIN, Cache, Terms

COARSE = 5  # CLOCK_REALTIME_COARSE, time.h
NOBODY = 65534
RARE = 2 ** 62  # parts, none of which is ever due
NONE: frozenset[int] = frozenset()
PLACES = [tempfile.gettempdir()]
if os.path.ismount('/dev/shm') and os.access('/dev/shm', os.W_OK):
    # tmpfs keeps any date, most disks only those of some centuries.
    PLACES.append('/dev/shm')


def tick() -> None:
    """Wait until what is written gets another date; some ms."""
    was = time.clock_gettime_ns(COARSE)
    for _ in range(1000):
        if time.clock_gettime_ns(COARSE) != was:
            return
        select.select((), (), (), 0.001)
    raise AssertionError('the clock stands still')


class Eye:
    """Looks at the same paths, one after the other; what each left is its shelves."""

    def __init__(self, *paths: str, rounds: int = RARE) -> None:
        self.paths = paths
        self.rounds = rounds
        self.turn = 0
        self.caches = [Cache() for _ in paths]
        self.seen: Snapshot | None = None

    def look(
            self, ago: float = 0.0, dates: bool = False,
            inexact: frozenset[int] = frozenset(),
            stop: Callable[[], bool] = reader.never,
    ) -> Snapshot | None:
        """Return the reading of a poll that believes what is `ago` seconds old."""
        due = frozenset((self.turn % self.rounds,)) if self.rounds != RARE else NONE
        terms = Terms(time.time() + GRAIN - ago, inexact, due, self.rounds)
        seen = poll(self.paths, IGNORED, dates, stop, terms, self.caches)
        self.seen = seen._replace(newest=0.0) if seen else None
        self.turn += seen is not None
        return seen

    def settle(self) -> None:
        """Look until what is there is known: nothing is believed of one reading."""
        for _ in range(2):
            assert self.look() is not None

    def unchanged(self) -> bool:
        """Return whether stat alone says that all is as the last poll saw it."""
        terms = Terms(due=NONE)
        return all(
            stat_cache.unchanged_reading(cache, terms, never, never, lambda count: None)
            is not None for cache in self.caches
        )

    def plain(self, dates: bool = False) -> Snapshot:
        """Return the reading of a poll that reads everything."""
        seen = poll(self.paths, IGNORED, dates)
        assert seen is not None
        return seen


def read(path: str) -> bytes:
    with open(path, 'rb') as file:
        return file.read()


def put(path: str, text: str = 'x') -> None:
    """Write in place, or a new file; the mtime of an old one is put back."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        info = os.stat(path)
    except FileNotFoundError:
        info = None
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
    file = os.open(path, flags, 0o644)
    try:
        os.write(file, text.encode())
        if info is not None:
            os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    finally:
        os.close(file)


def repoint(link: str, target: str) -> None:
    """Make a link lead elsewhere, at one blow."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(f'{link}~')
    os.symlink(target, f'{link}~')
    os.replace(f'{link}~', link)


def publish(volume: str, version: str, names: Sequence[str] = ('a', 'b')) -> None:
    """Put a new set in place as a kubelet does, and remove the old one."""
    os.makedirs(volume, exist_ok=True)
    data = f'{volume}/..data'
    old = os.path.realpath(data) if os.path.islink(data) else ''
    new = tempfile.mkdtemp(prefix='..', dir=volume)
    for name in names:
        put(f'{new}/{name}', version)
        top = name.partition('/')[0]
        if not os.path.lexists(f'{volume}/{top}'):
            os.symlink(f'..data/{top}', f'{volume}/{top}')
    repoint(data, os.path.basename(new))
    if old:
        shutil.rmtree(old)


def fifo(base: str, slot: str) -> None:
    os.mkfifo(f'{base}/{slot}')


def laid(base: str) -> None:
    """Make what the histories begin with."""
    for slot in ('w/a', 'w/b', 'w/s/a', 'w/s/x', 'w/d1/x', 'e/a', 'e/s/a', 'e/s/x'):
        put(f'{base}/{slot}')
    for slot, target in (
            ('e/l', 's'), ('e/t', 'a'), ('w/l', '../e/l'), ('w/m', '../e/t'),
    ):
        os.symlink(target, f'{base}/{slot}')
    publish(f'{base}/v', 'x')


@contextlib.contextmanager
def unprivileged_directory(top: str) -> Iterator[str]:
    """Give a directory, and be somebody to whom permissions apply."""
    base = tempfile.mkdtemp(dir=top)
    root = os.geteuid() == 0
    try:
        if root:
            os.chown(base, NOBODY, -1)
            os.seteuid(NOBODY)
        laid(base)
        yield base
    finally:
        if root:
            os.seteuid(0)
        for below, _, _ in os.walk(base):
            os.chmod(below, 0o755)
        shutil.rmtree(base)


def lead(eye: Eye, act: Callable[[], object], rounds: int = 3) -> list[Snapshot]:
    """Return the readings of polls after a change; each is as one that reads all."""
    eye.settle()
    tick()
    act()
    seen = [eye.look() for _ in range(rounds)]
    assert seen == [eye.plain()] * rounds
    return [each for each in seen if each is not None]


CALLS = ('stat', 'lstat', 'open', 'fstat', 'read', 'close', 'readlink', 'scandir')


class Meddler:
    """Does something right before the nth system call of a poll, or some."""

    def __init__(self, acts: dict[int, Callable[[], object]]) -> None:
        self.acts = acts
        self.calls: list[tuple[str, Any]] = []
        self.busy = False

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if not self.busy:
                self.calls.append((name, args[0]))
                act = self.acts.get(len(self.calls))
                if act is not None:
                    self.busy = True
                    tick()
                    act()
                    tick()
                    self.busy = False
            return real(*args, **named)
        return call

    def look(self, eye: Eye) -> Snapshot:
        """Return the reading of a poll in the meantime."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self.wrap(name, getattr(os, name)))
            seen = eye.look()
        assert seen is not None
        return seen


def volume(at: str) -> Sequence[str]:
    """Make a volume with a set in it; return the paths that are watched there."""
    publish(f'{at}/v', '1', ('a', 'b', 'c/d'))
    return (f'{at}/v/a', f'{at}/v/b', f'{at}/v/c/d')


def first(eye: Eye, at: str) -> None:
    """There was no look before."""


class Info(NamedTuple):
    """What is asked of os.stat_result."""

    st_ino: int = 7
    st_dev: int = 8
    st_size: int = 9
    st_mtime_ns: int = 10**18
    st_ctime_ns: int = 10**18
    st_mtime: float = 1e9
    st_ctime: float = 1e9


def info(**fields: Any) -> os.stat_result:
    """Return all that stat says of a file that was last written at 1e9."""
    for name in ('mtime', 'ctime'):
        if f'st_{name}' in fields:
            fields[f'st_{name}_ns'] = int(fields[f'st_{name}'] * 10**9)
    return cast(os.stat_result, Info(**fields))


LATER = Terms(1e9 + 60.0, due=NONE, parts=2)


def never(_: object) -> Any:
    """Be what must not be called."""
    raise AssertionError('this must not be called')


def named(reads: list[str]) -> set[str]:
    """Return the names that were read, and forget them."""
    names = {os.path.basename(path) for path in reads}
    reads.clear()
    return names
