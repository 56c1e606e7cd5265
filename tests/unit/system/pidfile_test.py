"""A pidfile: what it says, and when it is not believed."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from pollreload.system import pidfile


def file(directory: Path, text: bytes, mode: int = 0o644) -> str:
    """Return a pidfile with such a text."""
    path = directory / 'app.pid'
    path.write_bytes(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize('text', [b'41', b'41\n', b'41 \r\n', b'41\t\n\n', b'41\0'])
def test_pid_may_be_followed_by_blanks(tmp_path: Path, text: bytes) -> None:
    """Old daemons pad what they write."""
    path = file(tmp_path, text)
    os.chown(path, 7, 7)
    os.utime(path, (5.0, 6.5))

    assert pidfile.read(path) == pidfile.Pidfile(41, 7, 6.5)


@pytest.mark.parametrize('text', [
    b'', b'\n', b' 41', b'4 1', b'4_1', b'+41', b'-1', b'0', b'00', b'0x29', b'41\n42',
    b'41.0', '٤١'.encode(), b'\xff', b'1234567890', b'4' * 100,
])
def test_rubbish_is_no_pid(tmp_path: Path, text: bytes) -> None:
    """Nothing but digits counts: int() would take blanks, signs and underscores."""
    assert pidfile.read(file(tmp_path, text)).trouble == 'does not hold a pid'


@pytest.mark.parametrize('mode', [0o664, 0o646, 0o666])
def test_file_that_others_may_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    """Who may write it could have any process signalled."""
    said = pidfile.read(file(tmp_path, b'41', mode))

    assert said.pid == 0
    assert f'may be written by others (mode {mode:04o})' in said.trouble
    assert 'chmod go-w' in said.trouble


def test_missing_file_is_told_apart(tmp_path: Path) -> None:
    """The program is not running; that is no trouble with the file."""
    said = pidfile.read(str(tmp_path / 'none'))

    assert said.pid == 0
    assert said.missing


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    """A FIFO, whose opening could hurt its other end; a directory; a device."""
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)

    assert {
        pidfile.read(path).trouble for path in (str(fifo), str(tmp_path), '/dev/null')
    } == {'is no regular file'}


def test_error_is_an_answer(tmp_path: Path) -> None:
    """A link that leads to itself, or a name too long: nothing is raised."""
    loop = tmp_path / 'loop'
    loop.symlink_to(loop)

    assert pidfile.read(str(loop)).trouble == 'too many levels of symbolic links'
    assert pidfile.read('x' * 300).trouble == 'file name too long'


def test_link_to_a_pidfile_is_followed(tmp_path: Path) -> None:
    """/var/run is a link too; what counts is who owns the file and may write it."""
    link = tmp_path / 'link'
    link.symlink_to(file(tmp_path, b'41\n'))

    assert pidfile.read(str(link)).pid == 41
