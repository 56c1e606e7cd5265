"""The files of --url-header-file and --url-ca before the first poll."""
from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pollreload.cli import resolve
from pollreload.runtime import advice, request_files
from pollreload.settings import Settings


def headers(tmp_path: Path, text: str = 'A: b', mode: int = 0o600) -> Settings:
    """Return a watch with a header file."""
    file = tmp_path / 'headers'
    file.write_text(text)
    file.chmod(mode)
    return Settings(('/',), url=('https://h/',), url_header_file=str(file), name='web')


def noted(settings: Settings) -> list[tuple[str, str, str]]:
    """Return the name, the reason and the message of each warning."""
    notes = advice.path_warnings((settings,))
    return [(each.watch, each.reason, each.message) for each in notes]


def test_good_file_is_no_news(tmp_path: Path) -> None:
    """Neither refused nor warned about."""
    settings = headers(tmp_path)

    assert request_files.malformed_option(settings) is None
    assert noted(settings) == []


@pytest.mark.parametrize(('option', 'path', 'says'), [
    ('url-header-file', 'file',
     "line 1 is not a header; write one 'NAME: VALUE' a line"),
    ('url-header-file', '', 'is not a regular file'),
    ('url-ca', 'file', 'has no certificate; write them in PEM format'),
    ('url-ca', '', 'is a directory'),
])
def test_file_that_can_never_be_used_is_refused(
        tmp_path: Path, option: str, path: str, says: str,
) -> None:
    """By the name of the option, from a command line or a config file."""
    (tmp_path / 'file').write_text('t0ken')
    found = f'{tmp_path}/{path}'
    given: dict[str, Any] = {'paths': ('/',), 'url': ('https://h/',)}

    with pytest.raises(resolve.OptionError) as raised:
        resolve.merge({**given, option.replace('-', '_'): found})

    assert (raised.value.option, str(raised.value)) == (option, f'{found} {says}')


def test_missing_file_is_a_warning(tmp_path: Path) -> None:
    """A mounted secret may come later."""
    settings = headers(tmp_path)._replace(url_ca=f'{tmp_path}/none')

    assert request_files.malformed_option(settings) is None
    assert noted(settings) == [(
        'web', 'no such file', f'{tmp_path}/none: no such file or directory '
        f'(--url-ca); it is read again for each request',
    )]


@pytest.mark.parametrize(('error', 'expected'), [
    (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), 'permission denied'),
    (TimeoutError(errno.ETIMEDOUT, 'does not answer'), 'does not answer'),
])
def test_file_that_cannot_be_read_now_is_a_warning(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, expected: str,
) -> None:
    """Its mode may change, and its mount may answer again."""
    settings = headers(tmp_path)

    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr('pollreload.system.http_headers.load_headers', fail)

    assert [reason for _, reason, _ in noted(settings)] == [expected]


def test_secret_that_others_may_read_is_a_warning(tmp_path: Path) -> None:
    """Its group may: fsGroup is how a pod gets it."""
    assert [reason for _, reason, _ in noted(headers(tmp_path, mode=0o644))] == [
        'readable by others',
    ]
    assert noted(headers(tmp_path, mode=0o640)) == []


def test_file_that_went_away_has_no_mode(tmp_path: Path) -> None:
    """The request reports that."""
    assert not request_files.readable_by_others(f'{tmp_path}/none')
