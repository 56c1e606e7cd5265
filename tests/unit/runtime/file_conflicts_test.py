"""A watch must not write a file that it reads, whatever name the file goes by."""
from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pollreload.cli import main as cli
from pollreload.runtime import file_conflicts, guard
from pollreload.settings import Settings


def conflict(**given: Any) -> tuple[str, str] | None:
    """Return the option that conflicts, and the reason."""
    settings = Settings(process='x', **given)
    files, = file_conflicts.used_files((settings,))
    return file_conflicts.find_conflict(settings, files)


@pytest.mark.parametrize('option', ['--state-file', '--status-file'])
@pytest.mark.parametrize(('watched', 'file'), [
    ('real/app.conf', 'real/../real/app.conf'), ('real/app.conf', 'link/app.conf'),
    ('link/app.conf', 'real/app.conf'), ('real/alias', 'real/app.conf'),
    ('real/app.conf', 'link/alias'), ('real/alias', 'link/alias'),
])
def test_watched_file_is_not_written(
        option: str, watched: str, file: str, capsys: pytest.CaptureFixture[str],
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would be taken for a corrupt ledger and renamed."""
    (tmp_path / 'real').mkdir()
    (tmp_path / 'real' / 'app.conf').write_text('A')
    (tmp_path / 'real' / 'alias').symlink_to('app.conf')
    (tmp_path / 'link').symlink_to('real')
    monkeypatch.chdir(tmp_path)

    assert cli.main(('watch', '--process', 'x', '/a', watched, option, file)) == 2
    assert capsys.readouterr().err == (
        f'pollreload: {option} {file} is a path to watch; it would be overwritten\n'
    )


def test_one_file_is_not_written_for_two_options(
        capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:
    """A ledger that is replaced by a status is corrupt."""
    (tmp_path / 'link').symlink_to(tmp_path)
    arguments = (
        '--process', 'x', '/a', '--state-file', f'{tmp_path}/s', '--status-file',
        f'{tmp_path}/link/s',
    )

    assert cli.main(('watch', *arguments)) == 2
    assert capsys.readouterr().err == (
        'pollreload: --status-file is the state-file too\n'
    )


@pytest.mark.parametrize('option', ['--pidfile', '--url-header-file', '--url-ca'])
@pytest.mark.parametrize('written', ['--state-file', '--status-file'])
def test_file_that_another_option_reads_is_not_written(
        option: str, written: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:
    """A secret would be replaced by the memory of the watch."""
    (tmp_path / 'link').symlink_to(tmp_path)
    arguments = (
        '--url', 'http://h/', '/a', option, f'{tmp_path}/s', written,
        f'{tmp_path}/link/s',
    )

    assert cli.main(('watch', *arguments)) == 2
    assert capsys.readouterr().err == (
        f'pollreload: {written} {tmp_path}/link/s is the {option[2:]} too; it would be '
        f'overwritten\n'
    )


def test_files_elsewhere_are_no_conflict() -> None:
    """Nor is a watch that writes no file."""
    assert conflict(paths=('/a',)) is None
    assert conflict(paths=('/a',), state_file='/b/l', status_file='/b/s') is None


@pytest.mark.parametrize(('path', 'conflicts'), [
    ('/d', True), ('/', True), ('/d/*', True), ('/**/ledger', True),
    ('/d/*.lock', True), ('/e', False), ('/dd', False), ('/d/*.conf', False),
])
def test_file_below_a_watched_path_is_a_conflict(path: str, conflicts: bool) -> None:
    """Each write would be a change; the lock of the ledger counts as well."""
    found = conflict(paths=(path,), state_file='/d/ledger')

    assert (found is not None) is conflicts
    if found is not None:
        assert found[0] == 'state-file'
        assert found[1].startswith('/d/ledger is below a watched path: ')


@pytest.mark.parametrize(('ignore', 'conflicts'), [
    ('ledger*', False), ('ledger', True), ('other', True),
])
def test_ignored_file_below_a_watched_path_is_no_conflict(
        ignore: str, conflicts: bool,
) -> None:
    """Its lock and its temporary files must be ignored, too."""
    found = conflict(paths=('/d',), state_file='/d/ledger', ignore=(ignore,))

    assert (found is not None) is conflicts


@pytest.mark.parametrize(('path', 'top', 'patterns'), [
    ('/d/app.conf', '/d/app.conf', ()), ('/d/*.conf', '/d/', ('*.conf',)),
    ('*.conf', '.', ('*.conf',)), ('/d/*/app.conf', '/d/', ('*', 'app.conf')),
])
def test_path_is_split_at_its_first_wildcard(
        path: str, top: str, patterns: tuple[str, ...],
) -> None:
    """The directory before it can be resolved, the patterns after it cannot."""
    assert file_conflicts.split_at_wildcard(path) == (top, patterns)


def test_paths_that_hang_are_compared_by_their_names(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    """A path on a mount that hangs is not resolved, and delays no start."""
    def with_time_limit(function: Callable[[], object], *paths: str) -> object:
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    monkeypatch.setattr(guard, 'with_time_limit', with_time_limit)
    monkeypatch.chdir(tmp_path)

    assert file_conflicts.names_of_each(['a/../b', '/c/']) == [
        frozenset((f'{tmp_path}/b',)), frozenset(('/c',)),
    ]
    assert conflict(paths=('d',), state_file=f'{tmp_path}/d') == (
        'state-file', f'{tmp_path}/d is a path to watch; it would be overwritten',
    )
