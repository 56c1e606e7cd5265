"""All names of a file, without links."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from pollreload.system.path_steps import all_names


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The working directory, by a path with links in it."""
    (tmp_path / 'real' / 'deep').mkdir(parents=True)
    (tmp_path / 'link').symlink_to('real/deep')
    (tmp_path / 'alias').symlink_to('real/file')
    (tmp_path / 'round').symlink_to('round')
    monkeypatch.chdir(tmp_path)
    return os.path.realpath(tmp_path)


@pytest.mark.parametrize(('path', 'names'), [
    ('real/file', {'real/file'}),
    ('./real//file', {'real/file'}),
    ('none/file', {'none/file'}),
    ('link/file', {'real/deep/file'}),
    # As the kernel goes, not as it is written: .. is that of what the link leads to.
    ('link/../file', {'real/file'}),
    # What a rename replaces, and what is read.
    ('alias', {'alias', 'real/file'}),
    ('link', {'link', 'real/deep'}),
    ('round', {'round'}),
])
def test_a_file_goes_by_these_names(top: str, path: str, names: set[str]) -> None:
    """Relative or not, there or not."""
    wanted = {f'{top}/{name}' for name in names}

    assert all_names(path) == wanted
    assert all_names(f'{top}/{path}') == wanted


def test_a_directory_goes_by_its_name(top: str) -> None:
    """With or without a slash behind it."""
    assert all_names('/') == {'/'}
    assert f'{top}/real/deep' in all_names(f'{top}/link/')
