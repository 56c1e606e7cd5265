"""The dates of a reading."""
from __future__ import annotations

import os

import pytest

from pollreload.settings import IGNORED
from pollreload.system import walk
from pollreload.system.reader import poll
from tests.support.readings import publish, write


def newest(*paths: str, dates: bool = True) -> float:
    snapshot = poll(paths, IGNORED, dates)
    assert snapshot is not None
    return snapshot.newest


def changed(path: str) -> float:
    return os.lstat(path).st_ctime


def test_newest_is_the_latest_date_of_the_files(at):
    """mtime or ctime, whichever is later; nothing if it was not asked for."""
    write(at, ['a', 'b'])
    os.utime(f'{at}/a', (2e9, 2e9))
    os.utime(f'{at}/b', (1e9, 1e9))

    assert newest(f'{at}/a') == newest(at) == 2e9
    assert newest(f'{at}/b') == changed(f'{at}/b')
    assert newest(f'{at}/b', dates=False) == 0.0
    assert newest(f'{at}/none') == 0.0


def dated(path: str, modified: float, changed: float) -> os.stat_result:
    """What stat says of a file, with other dates."""
    info = list(os.stat(path))
    fields = {'st_mtime_ns': int(modified * 1e9), 'st_ctime_ns': int(changed * 1e9)}
    return os.stat_result(info, {
        'st_mtime': modified, 'st_ctime': changed, **fields,
    })


@pytest.mark.parametrize('path', ['d', 'd/*', 'd/**/a'])
def test_newest_counts_the_dates_of_directories(at, path):
    """A directory that is renamed into place brings files that are older."""
    write(at, ['d/sub/a'])
    os.utime(f'{at}/d/sub', (2e9, 2e9))
    assert newest(f'{at}/{path}') == 2e9

    os.utime(f'{at}/d', (2.1e9, 2.1e9))
    assert newest(f'{at}/{path}') == 2.1e9


@pytest.mark.parametrize(('directory', 'device', 'found'), [
    ((5.0, 9.0), 0, 9.0),
    ((9.0, 9.0), 0, 0.0),
    ((5.0, 9.0), 1, 0.0),
])
def test_a_rename_of_the_directory_of_a_file_counts(
        at, monkeypatch, directory, device, found,
):
    """Its ctime alone is set; a new name beside the file sets the mtime as well."""
    write(at, ['a'])
    info = dated(at, *directory)
    file = os.stat_result([
        *(0, 0, info.st_dev + device), *([0] * 7),
    ])
    monkeypatch.setattr(os, 'stat', {at: info}.get)

    assert walk.renamed_at(at, file) == found


def test_a_directory_that_is_renamed_into_place_is_new(at):
    """Each file in it, and the file that is watched by itself, is as new."""
    write(at, ['new/a'])
    before = changed(f'{at}/new/a')
    os.utime(f'{at}/new', (1e9, 1e9))
    os.utime(f'{at}/new/a', (1e9, 1e9))
    while changed(f'{at}/new') <= before:
        os.rename(f'{at}/new', f'{at}/d')
        os.rename(f'{at}/d', f'{at}/new')

    renamed = changed(f'{at}/new')
    assert newest(f'{at}/new') == newest(f'{at}/new/a') == renamed


@pytest.mark.parametrize('path', ['d/sub/a', 'd/sub', 'd/*/a', 'l/a', 'e', 'e/*/a'])
def test_a_rename_of_any_directory_on_the_way_counts(at, path):
    """A release that is renamed into place, with its own directories in it."""
    write(at, ['new/sub/a'])
    os.mkdir(f'{at}/e')
    for link in 'l', 'e/l':
        os.symlink(f'{at}/d/sub', f'{at}/{link}')
        os.utime(f'{at}/{link}', (1e9, 1e9), follow_symlinks=False)
    before = max(changed(f'{at}/{each}') for each in ('l', 'e', 'e/l', 'new/sub/a'))
    os.utime(f'{at}/new', (1e9, 1e9))
    while changed(f'{at}/new') <= before:
        os.rename(f'{at}/new', f'{at}/d')
        os.rename(f'{at}/d', f'{at}/new')
    os.rename(f'{at}/new', f'{at}/d')

    assert newest(f'{at}/{path}') == changed(f'{at}/d')


def test_a_directory_on_the_way_that_is_gone_has_no_date(at):
    """It may vanish between two system calls."""
    assert walk.renamed_at(f'{at}/none', os.stat(at)) == 0.0


@pytest.mark.parametrize('path', ['volume/a', 'volume', 'volume/*', 'link', 'to/a'])
def test_newest_counts_every_link_on_the_way(at, path):
    """A kubelet's new ..data may lead to files that are older than it is."""
    publish(f'{at}/volume', '1', ['a'])
    os.symlink('volume/a', f'{at}/link')
    os.symlink('volume', f'{at}/to')
    os.utime(f'{at}/volume/..data', (2e9, 2e9), follow_symlinks=False)

    assert newest(f'{at}/{path}') == 2e9


def test_a_link_that_is_gone_has_no_date(at):
    """It may vanish between two system calls."""
    assert walk.link_date(f'{at}/none') == 0.0
