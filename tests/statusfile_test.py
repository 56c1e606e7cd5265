"""The file that shows what a watch last saw."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from pollreload import statusfile
from pollreload.errors import StatusError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Any name of a file survives; everybody may read it, and nothing else is left."""
    path = str(tmp_path / 'status')
    shown = {'paths': ['/a\udcff'], 'seen': ''}
    before = os.umask(0o022)
    statusfile.write(path, {'seen': 'old'})
    statusfile.write(path, shown)
    os.umask(before)

    assert statusfile.read(path) == {'version': 1, **shown}
    assert os.listdir(tmp_path) == ['status']
    assert os.stat(path).st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_one_and_no_litter(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it fails at."""
    path = str(tmp_path / 'status')
    statusfile.write(path, {'seen': 'old'})

    def rename(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'rename', rename)
    with pytest.raises(OSError, match='No space left'):
        statusfile.write(path, {'seen': 'new'})

    assert statusfile.read(path)['seen'] == 'old'
    assert os.listdir(tmp_path) == ['status']


@pytest.mark.parametrize(('text', 'says'), [
    ('', 'is not the status file'), ('{', 'is not the status file'),
    ('[]', 'is not the status file'), ('7', 'is not the status file'),
    ('{}', 'is not the status file'), ('{"version": 2}', 'of another version'),
    ('[' * 100_000, 'is not the status file'),
])
def test_what_is_no_status_file_is_one_line(
        tmp_path: Path, text: str, says: str,
) -> None:
    """A probe shows it to a person."""
    (tmp_path / 'status').write_text(text)
    with pytest.raises(StatusError, match=says):
        statusfile.read(str(tmp_path / 'status'))


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """As before the first look has ended; a FIFO hangs nobody."""
    with pytest.raises(StatusError, match='no such file'):
        statusfile.read(str(tmp_path / 'status'))
    os.mkfifo(tmp_path / 'fifo')
    with pytest.raises(StatusError, match='is not the status file'):
        statusfile.read(str(tmp_path / 'fifo'))
