"""The directories of files that pollreload writes."""
from __future__ import annotations

import os
from pathlib import Path

from pollreload.system import directories


def test_missing_directories_are_made_with_the_mode(tmp_path: Path) -> None:
    """Not only the last one, as os.makedirs does; an existing one keeps its own."""
    os.chmod(tmp_path, 0o750)
    before = os.umask(0o022)
    directories.make(f'{tmp_path}/a/b', 0o700)
    os.umask(before)

    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ('.', 'a', 'a/b')]
    assert modes == [0o750, 0o700, 0o700]
    directories.make(f'{tmp_path}/a/b', 0o755)
    assert (tmp_path / 'a/b').stat().st_mode & 0o777 == 0o700


def test_trouble_names_the_directory_that_is_in_the_way(tmp_path: Path) -> None:
    """A missing one is none; nothing is made."""
    (tmp_path / 'file').touch()

    assert directories.write_trouble(f'{tmp_path}/a/b/c') == ''
    assert directories.write_trouble(f'{tmp_path}/file/c') == (
        f'{tmp_path}/file is not a directory'
    )
    assert os.listdir(tmp_path) == ['file']
