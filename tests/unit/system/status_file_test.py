"""The file that shows what a watch last saw."""
from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pollreload.errors import StatusError
from pollreload.system import status_file


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Any name of a file survives; everybody may read it, and nothing else is left."""
    path = str(tmp_path / 'status')
    shown = {'paths': ['/a\udcff'], 'seen': ''}
    before = os.umask(0o022)
    status_file.write(path, {'seen': 'old'})
    status_file.write(path, shown)
    os.umask(before)

    assert status_file.read(path) == {'version': 1, **shown}
    assert os.listdir(tmp_path) == ['status']
    assert os.stat(path).st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_one_and_no_litter(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it fails at."""
    path = str(tmp_path / 'status')
    status_file.write(path, {'seen': 'old'})

    def rename(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'rename', rename)
    with pytest.raises(OSError, match='No space left'):
        status_file.write(path, {'seen': 'new'})

    assert status_file.read(path)['seen'] == 'old'
    assert os.listdir(tmp_path) == ['status']


@pytest.mark.parametrize(('text', 'says'), [
    ('', 'is not the status file'), ('{', 'is not the status file'),
    ('[]', 'is not the status file'), ('7', 'is not the status file'),
    ('{}', 'is not the status file'), ('{"version": 2}', 'of another version'),
    ('[' * 100_000, 'is not the status file'),
    # What Python alone takes for JSON.
    ('{"version": 1, "time": NaN}', 'is not the status file'),
    ('{"version": 1, "took": -Infinity}', 'is not the status file'),
])
def test_what_is_no_status_file_is_one_line(
        tmp_path: Path, text: str, says: str,
) -> None:
    """A probe shows it to the user."""
    (tmp_path / 'status').write_text(text)
    with pytest.raises(StatusError, match=says):
        status_file.read(str(tmp_path / 'status'))


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """As before the first poll has ended; a FIFO is not waited for."""
    with pytest.raises(StatusError, match='there is no '):
        status_file.read(str(tmp_path / 'status'))
    os.mkfifo(tmp_path / 'fifo')
    with pytest.raises(StatusError, match='fifo: is a FIFO'):
        status_file.read(str(tmp_path / 'fifo'))


@pytest.mark.parametrize(('path', 'says'), [
    ('status', ''), ('there', ''),
    ('none/status', ''), ('none/below/status', ''),
    ('there/status', '{}/there is not a directory; name another'),
    ('closed', 'is a directory; name another'),
    ('closed/status', 'no permission to write in {}/closed; name another'),
])
def test_whether_it_can_be_written_is_said_and_not_tried(
        path: str, says: str, as_nobody: str,
) -> None:
    """As write would find it."""
    before = sorted(os.listdir(as_nobody))

    said = status_file.status_file_trouble(f'{as_nobody}/{path}')

    assert said.startswith(says.format(as_nobody))
    assert bool(said) == bool(says)
    assert sorted(os.listdir(as_nobody)) == before


@pytest.fixture
def as_nobody() -> Iterator[str]:
    """A directory of the user nobody, in whose name we act: root may do everything."""
    top = os.path.realpath(tempfile.mkdtemp())
    os.mkdir(f'{top}/closed')
    with open(f'{top}/there', 'w', encoding='ascii'):
        os.chmod(top, 0o777)
        os.chmod(f'{top}/closed', 0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield top
    if root:
        os.seteuid(0)
    shutil.rmtree(top)


def test_a_read_only_file_system_is_said(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No permission can be given to it."""
    kind = SimpleNamespace(f_flag=os.ST_RDONLY)
    monkeypatch.setattr(os, 'statvfs', lambda _: kind)

    said = status_file.status_file_trouble(f'{tmp_path}/status')

    assert said.startswith(f'{tmp_path} is on a read-only file system; name another')


@pytest.mark.parametrize(('put', 'says'), [
    (os.mkfifo, 'is a FIFO'), (os.mkdir, 'is a directory'),
    (lambda path: os.symlink('/dev/null', path), 'is a symbolic link'),
])
def test_only_a_regular_file_is_replaced(
        tmp_path: Path, put: Callable[[str], None], says: str,
) -> None:
    """A rename would replace a device or a link, too, which other programs use."""
    path = f'{tmp_path}/status'
    put(path)

    with pytest.raises(OSError, match=f'{says}; name another with --status-file$'):
        status_file.write(path, {'a': 1})

    assert os.listdir(tmp_path) == ['status']
    assert not os.path.isfile(path)
    assert status_file.status_file_trouble(path) == (
        f'{says}; name another with --status-file'
    )


@pytest.mark.parametrize('put', [
    os.mkfifo, lambda new: os.symlink('other', new), lambda new: Path(new).touch(),
])
def test_what_is_in_the_way_is_removed_and_not_opened(
        tmp_path: Path, put: Callable[[str], None],
) -> None:
    """Its temporary name can be guessed: a FIFO there would be waited for."""
    path = f'{tmp_path}/status'
    put(f'{path}.{os.getpid()}.new')

    status_file.write(path, {'a': 1})

    assert os.listdir(tmp_path) == ['status']
    assert status_file.read(path)['a'] == 1
