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


def passed(path: str) -> pidfile.Pidfile:
    """Read a pidfile, without the directories on the way to it."""
    return pidfile.read(path)._replace(directories=())


@pytest.mark.parametrize('text', [
    b'41', b'41\n', b'41 \r\n', b'41\t\n\n', b'41\0', b' 41', b'41\n42',
    b'%33d\n' % 41, b'41 /usr/sbin/app -x\n', b'41\n/usr/sbin/sendmail -bd -q30m\n',
    b'41\n/var/lib/postgresql/15/main\n1795896460\n5432\n/run\nlocalhost\n 2  4\n'
    b'ready   \n', b'41\n' + b'x' * 5000,
])
def test_pid_is_the_first_number_of_the_first_line(tmp_path: Path, text: bytes) -> None:
    """Daemons pad it, and write more lines (PostgreSQL) or their command behind it."""
    path = file(tmp_path, text)
    os.chown(path, 7, 7)
    os.utime(path, (5.0, 6.5))

    assert passed(path) == pidfile.Pidfile(41, 7, 6.5)


@pytest.mark.parametrize('text', [
    b'', b'\n', b'\n41\n', b'4_1', b'+41', b'-1', b'0', b'00', b'0x29', b'app 41',
    b'41.0', '٤١'.encode(), b'\xff', b'1234567890', b'4' * 100, b' ' * 4095 + b'41',
])
def test_anything_else_is_no_pid(tmp_path: Path, text: bytes) -> None:
    """Only digits count: int() would accept signs and underscores."""
    assert pidfile.read(file(tmp_path, text)).trouble == 'does not hold a pid'


def test_directories_on_the_way_have_an_owner_and_a_mode(tmp_path: Path) -> None:
    """Sticky directories are not open to everybody, and those behind a link count."""
    for name, mode, owner in (('a', 0o755, 0), ('b', 0o777, 7), ('c', 0o1777, 8)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
        os.chown(tmp_path / name, owner, 0)
    (tmp_path / 'a' / 'link').symlink_to('../b')
    file(tmp_path / 'b', b'41')
    file(tmp_path / 'c', b'41')
    linked = pidfile.read(str(tmp_path / 'a' / 'link' / 'app.pid'))
    sticky = pidfile.read(str(tmp_path / 'c' / 'app.pid'))

    assert linked.directories[0] == ('/', 0, False)
    assert linked.directories[-2:] == (
        (str(tmp_path / 'a'), 0, False), (str(tmp_path / 'b'), 7, True),
    )
    assert linked.links == (0,)
    assert sticky.directories[-1] == (str(tmp_path / 'c'), 8, False)


@pytest.mark.parametrize('mode', [0o664, 0o646, 0o666])
def test_file_that_others_may_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    """Whoever may write to it could have any process signalled."""
    said = pidfile.read(file(tmp_path, b'41', mode))

    assert said.pid == 0
    assert f'may be written by others (mode {mode:04o})' in said.trouble
    assert 'chmod go-w' in said.trouble


def test_missing_file_is_distinguished(tmp_path: Path) -> None:
    """The program is not running; that is no trouble with the file."""
    said = pidfile.read(str(tmp_path / 'none'))

    assert said.pid == 0
    assert said.missing


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    """A FIFO, whose opening could hurt its other end; a directory; a device."""
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)

    assert [
        pidfile.read(path).trouble for path in (str(fifo), str(tmp_path), '/dev/null')
    ] == ['is a FIFO', 'is a directory', 'is a device']


def test_error_is_an_answer(tmp_path: Path) -> None:
    """A link that leads to itself, or a name too long: nothing is raised."""
    loop = tmp_path / 'loop'
    loop.symlink_to(loop)

    assert pidfile.read(str(loop)).trouble == 'too many levels of symbolic links'
    assert pidfile.read('x' * 300).trouble == 'file name too long'


def test_link_to_a_pidfile_is_followed(tmp_path: Path) -> None:
    """/var/run is a link too; the owner and the mode of the file count."""
    link = tmp_path / 'link'
    link.symlink_to(file(tmp_path, b'41\n'))

    assert pidfile.read(str(link)).pid == 41
