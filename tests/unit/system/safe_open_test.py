"""Opening a file that its owner may swap at any moment."""
from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pollreload.system import safe_open
from pollreload.system.safe_open import NotRegular, open_regular


def read(path: Path, follow: bool = True) -> bytes:
    fd = open_regular(str(path), follow)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were opened, and not only taken hold of."""
    paths = []
    real = os.open

    def spy(path: str, flags: int, *rest: int) -> int:
        if not flags & os.O_PATH:
            paths.append(path)
        return real(path, flags, *rest)

    monkeypatch.setattr(os, 'open', spy)
    return paths


def test_a_regular_file_is_read_and_no_other_descriptor_stays_open(
        tmp_path: Path,
) -> None:
    """By its name and by a link; the descriptor is not inherited by children."""
    (tmp_path / 'a').write_text('x')
    (tmp_path / 'link').symlink_to('a')
    before = os.listdir('/proc/self/fd')

    assert read(tmp_path / 'a') == read(tmp_path / 'link') == b'x'
    assert os.listdir('/proc/self/fd') == before
    fd = open_regular(str(tmp_path / 'a'))
    assert not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.parametrize(('make', 'reason'), [
    (os.mkfifo, 'is a FIFO'),
    (os.mkdir, 'is a directory'),
    (make_socket, 'is a socket'),
    (lambda path: os.symlink('/dev/zero', path), 'is a device'),
])
def test_nothing_but_a_regular_file_is_opened(
        tmp_path: Path, opened: list[str], make: Callable[[Path], None], reason: str,
) -> None:
    """The open of a FIFO lets its writer go on, and that of a device may reset it."""
    make(tmp_path / 'a')
    before = os.listdir('/proc/self/fd')

    with pytest.raises(NotRegular, match=reason) as raised:
        open_regular(str(tmp_path / 'a'))

    assert raised.value.errno is None
    assert opened == []
    assert os.listdir('/proc/self/fd') == before


def test_a_file_that_is_swapped_before_the_open_is_still_the_one_that_was_checked(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its owner replaces it by a link to a FIFO at the worst moment."""
    path = tmp_path / 'a'
    path.write_text('x')
    os.mkfifo(tmp_path / 'fifo')
    real = os.fstat

    def swap(fd: int) -> os.stat_result:
        path.unlink()
        path.symlink_to('fifo')
        return real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fstat', swap)
        fd = open_regular(str(path))

    assert os.read(fd, 100) == b'x'
    os.close(fd)
    with pytest.raises(NotRegular, match='is a FIFO'):
        open_regular(str(path))


def test_a_link_is_refused_if_it_should_not_be_followed(tmp_path: Path) -> None:
    """As the last name of the path; a link above is followed."""
    (tmp_path / 'a').write_text('x')
    (tmp_path / 'link').symlink_to('a')
    (tmp_path / 'here').symlink_to('.')

    with pytest.raises(NotRegular, match='is a symbolic link'):
        open_regular(str(tmp_path / 'link'), follow=False)
    assert read(tmp_path / 'here' / 'a', follow=False) == b'x'


def test_a_file_is_opened_by_its_name_without_proc(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a chroot."""
    monkeypatch.setattr(safe_open, 'DESCRIPTORS', '/nowhere/fd')
    (tmp_path / 'a').write_text('x')
    os.mkfifo(tmp_path / 'fifo')

    assert read(tmp_path / 'a') == b'x'
    with pytest.raises(NotRegular):
        open_regular(str(tmp_path / 'fifo'))


@pytest.mark.parametrize('number', [errno.ENOENT, errno.EACCES])
def test_an_error_of_the_open_is_raised(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int,
) -> None:
    """A server may have removed the file; the name is not tried instead."""
    (tmp_path / 'a').write_text('x')
    real = os.open

    def refuse(path: str, flags: int) -> int:
        if not flags & os.O_PATH:
            raise OSError(number, 'refused')
        return real(path, flags)

    monkeypatch.setattr(os, 'open', refuse)

    with pytest.raises(OSError, match='refused'):
        open_regular(str(tmp_path / 'a'))


@pytest.mark.parametrize('times', [1, 2])
def test_a_stale_handle_is_looked_up_once_more(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int,
) -> None:
    """An NFS client notices at open(2) that the file was replaced on the server."""
    (tmp_path / 'a').write_text('x')
    stale = iter([True] * times)
    real = os.open

    def open_(path: str, flags: int) -> int:
        if not flags & os.O_PATH and next(stale, False):
            raise OSError(errno.ESTALE, 'stale')
        return real(path, flags)

    monkeypatch.setattr(os, 'open', open_)

    if times == 1:
        assert read(tmp_path / 'a') == b'x'
    else:
        with pytest.raises(OSError, match='stale'):
            open_regular(str(tmp_path / 'a'))


def test_an_unknown_kind_of_file_is_not_regular() -> None:
    """Only a file that is known to be regular is opened."""
    with pytest.raises(NotRegular, match='is not a regular file'):
        safe_open.check_regular(0)
