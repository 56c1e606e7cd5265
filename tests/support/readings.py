"""Files to read, and the readings of them."""
from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence

import pytest

from pollreload.core.reading import Reading
from pollreload.settings import IGNORED
from pollreload.system import file_digest, walk
from pollreload.system.file_digest import Progress
from pollreload.system.reader import poll

ROOT = os.getuid() == 0


@contextlib.contextmanager
def nobody():
    """Do as a user to whom permissions apply."""
    if ROOT:
        os.seteuid(65534)
    try:
        yield
    finally:
        if ROOT:
            os.seteuid(0)


def write(top: str, names: Iterable[str], content: str = 'x') -> None:
    for name in names:
        path = os.path.join(top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(content)


def see(path: str, ignore: Sequence[str] = IGNORED) -> Reading:
    snapshot = poll((path,), ignore)
    assert snapshot is not None
    return snapshot.readings[0]


def members(path: str, ignore: Sequence[str] = IGNORED) -> list[str]:
    sight = see(path, ignore)
    assert sight.unreadable == {}
    return list(sight.files)


def lost(why: str) -> Reading:
    return Reading('', {}, {'': why})


def publish(volume: str, version: str, names: Sequence[str]) -> None:
    """Put a new set in place as a kubelet does: ..data moves, atomically."""
    write(f'{volume}/..{version}', names, version)
    os.symlink(f'..{version}', f'{volume}/..tmp')
    os.replace(f'{volume}/..tmp', f'{volume}/..data')
    for top in {name.partition('/')[0] for name in names}:
        if not os.path.lexists(f'{volume}/{top}'):
            os.symlink(f'..data/{top}', f'{volume}/{top}')


def before_read(
        monkeypatch: pytest.MonkeyPatch, act: Callable[[int], object], times: int = 1,
        first: int = 1,
) -> None:
    """Do something some times before a read, once the first reads are done."""
    todo = iter((*[None] * first, *range(times)))
    real = file_digest.digest_file

    def read(
            path: str, info: os.stat_result, progress: Progress,
    ) -> tuple[os.stat_result | None, bytes]:
        turn = next(todo, None)
        if turn is not None:
            act(turn)
        return real(path, info, progress)

    monkeypatch.setattr(walk, 'digest_file', read)
