"""Polls that stop early, and limits of size."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

import pytest

from pollreload.settings import IGNORED
from pollreload.system import file_digest, reader
from pollreload.system.file_digest import Progress
from pollreload.system.reader import poll
from tests.support.readings import lost, write


def test_a_poll_is_stopped_between_the_chunks_of_a_file(at):
    """It is asked for each MiB; a sparse file of 1 TiB is not read through."""
    with open(f'{at}/app.conf', 'wb') as file:
        file.truncate(1 << 40)
    answers = iter((False, False, True))
    paths = (f'{at}/app.conf',)

    assert poll(paths, IGNORED, stop=lambda: next(answers), largest=1 << 40) is None
    assert list(answers) == []


def test_a_poll_is_stopped_between_files(at):
    """It is asked for each 64 names, as they are listed, read, and among the paths."""
    write(at, [f'd/{number}' for number in range(128)], '')
    answers = iter([False] * 4)

    assert poll((f'{at}/d',), IGNORED, stop=lambda: next(answers)) is not None
    assert list(answers) == []
    assert poll((f'{at}/d',), IGNORED, stop=lambda: True) is None
    assert poll([f'{at}/d/1'] * 64, (), stop=lambda: True) is None
    assert poll([f'{at}/d/1'] * 63, (), stop=lambda: True) is not None


def test_a_directory_is_stopped_while_it_is_listed(at, monkeypatch):
    """One of a million names takes longer than TERM may take."""
    write(at, [f'd/{number}' for number in range(64)], '')
    monkeypatch.setattr(os, 'stat', fail_stat(os.stat, f'{at}/d/'))

    assert poll((f'{at}/d',), IGNORED, stop=lambda: True) is None


def fail_stat(real: Callable[..., os.stat_result], below: str) -> Callable[..., object]:
    """Return a stat that must not be called for what is below a directory."""
    def call(path: str, **named: object) -> os.stat_result:
        assert not path.startswith(below), path
        return real(path, **named)
    return call


@pytest.mark.parametrize(('size', 'limit', 'said'), [
    (1000, 1000, ''), (1001, 1000, '1000'), (1025, 1024, '1KiB'),
    (1 << 62, 1 << 32, '4GiB'), (3 << 20, 2 << 20, '2MiB'),
])
def test_a_file_above_the_limit_is_not_read(at, size, limit, said):
    """Its size decides; a sparse one of 8 EiB can be made anywhere."""
    with tempfile.TemporaryDirectory(dir='/dev/shm') as shm:
        with open(f'{shm}/a', 'wb') as file:
            file.truncate(size)
        tally = [0, 0]

        got = poll((f'{shm}/a',), (), tally=tally, largest=limit)

    assert got is not None
    if said:
        assert got.readings[0] == lost(f'is larger than --max-file-size {said}')
        assert tally == [0, 0]
    else:
        assert tally == [1, size]


def test_a_file_that_gives_more_than_it_says_is_limited_too(at):
    """A file of /proc has no size, and one that is written to has another soon."""
    write(at, ['a'], 'x' * (1 << 20))
    file = os.open(f'{at}/a', os.O_RDONLY)
    progress = Progress(reader.never, [0, 0], 1 << 19)

    with pytest.raises(file_digest.TooLarge):
        file_digest.hash_file(file, 0, progress)

    os.close(file)
