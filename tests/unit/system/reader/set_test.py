"""A set of files that is replaced as a whole."""
from __future__ import annotations

import os

import pytest
from xxhash import xxh3_128_digest

from pollreload.core.reading import Reading
from pollreload.settings import IGNORED
from pollreload.system import reader, walk
from pollreload.system.reader import poll
from tests.support.readings import before_read, lost, members, publish, see, write


@pytest.mark.parametrize('path', ['{}', '{}/*', '{}/..data', '{}/sub', '{}/**/[ac]'])
def test_a_set_that_moves_during_a_poll_is_read_again(at, monkeypatch, path):
    """Rule 6: a whole set or nothing: all files are of the last set."""
    names = ['a', 'b', 'sub/c', 'sub/d']
    publish(at, '1', names)
    before_read(monkeypatch, lambda turn: publish(at, '2', names))

    seen = see(path.format(at))

    assert set(seen.files.values()) == {xxh3_128_digest(b'2')}
    assert seen.unreadable == {}


def test_two_paths_come_from_the_same_set(at, monkeypatch):
    """Files below one ..data are one set, also if they are named one by one."""
    publish(at, '1', ['a', 'sub/b'])
    readings: list[Reading] = []
    real = reader.read_path

    def sight(path: str, this: walk.Pass) -> Reading:
        readings.append(real(path, this))
        if len(readings) == 1:
            publish(at, '2', ['a', 'sub/b'])
        return readings[-1]
    monkeypatch.setattr(reader, 'read_path', sight)

    snapshot = poll((f'{at}/a', f'{at}/sub/b'), IGNORED)

    assert snapshot is not None
    assert [reading.files[''] for reading in snapshot.readings] == [
        xxh3_128_digest(b'2'),
    ] * 2


@pytest.mark.parametrize('path', ['current', 'current/*', '.'])
def test_a_set_may_hang_on_any_link_to_a_directory(at, monkeypatch, path):
    """A release that is switched by one link, as git-sync does."""
    write(at, ['..1/a', '..1/b'], '1')
    write(at, ['..2/a', '..2/b'], '2')
    os.symlink('..1', f'{at}/current')

    def act(turn: int) -> None:
        os.symlink('..2', f'{at}/..new')
        os.replace(f'{at}/..new', f'{at}/current')
    before_read(monkeypatch, act)

    assert set(see(f'{at}/{path}').files.values()) == {xxh3_128_digest(b'2')}


def test_a_set_that_moves_after_the_listing_is_listed_again(at, monkeypatch):
    """The names are of the same set as the contents."""
    todo = [('a', 'c')]

    def listing(fd: int, path: str, this: walk.Pass, real=walk.listing):
        listed = real(fd, path, this)
        if todo:
            publish(at, '2', todo.pop())
            os.remove(f'{at}/b')
        return listed
    publish(at, '1', ['a', 'b'])
    monkeypatch.setattr(walk, 'listing', listing)

    assert members(at) == ['a', 'c']


def test_a_set_is_found_behind_links_of_the_files(at, monkeypatch):
    """/etc/app/a -> /volume/a -> ..data/a."""
    publish(f'{at}/volume', '1', ['a', 'b'])
    os.mkdir(f'{at}/d')
    for name in ('a', 'b'):
        os.symlink(f'{at}/volume/{name}', f'{at}/d/{name}')
    before_read(monkeypatch, lambda turn: publish(f'{at}/volume', '2', ['a', 'b']))

    assert set(see(f'{at}/d').files.values()) == {xxh3_128_digest(b'2')}


def test_a_set_that_keeps_moving_is_unreadable(at, monkeypatch):
    """After five looks; the paths that do not hang on it are still seen."""
    publish(f'{at}/volume', 'first', ['a', 'b'])
    write(at, ['other'])
    before_read(
        monkeypatch,
        lambda turn: publish(f'{at}/volume', f'{turn}', ['a', 'b']), 100,
    )

    snapshot = poll((f'{at}/volume', f'{at}/other'), IGNORED)

    assert snapshot is not None
    assert snapshot.readings == (
        lost('kept being replaced while it was read'),
        Reading('file', {'': xxh3_128_digest(b'x')}, {}),
    )


def test_a_file_alone_is_never_read_again(at, monkeypatch):
    """One open is atomic by itself."""
    publish(at, '1', ['a'])
    before_read(monkeypatch, lambda turn: publish(at, '2', ['a']), first=0)

    assert see(f'{at}/a').files == {'': xxh3_128_digest(b'2')}
