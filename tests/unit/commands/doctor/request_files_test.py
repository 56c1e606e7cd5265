"""The rows of doctor about --url-header-file and --url-ca."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pollreload.commands.doctor import main, request_files
from pollreload.commands.doctor.rows import Row
from pollreload.runtime import interrupt
from pollreload.settings import Settings
from pollreload.system import http_request
from tests.support.http_peer import Authority

DAY = 86400.0


def one(**given: Any) -> Row:
    """Return the only row of a watch that sends a request."""
    settings = Settings(('/',), **{'url': ('https://h/',), **given})
    row, = request_files.check_files(settings)
    return row


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    """A header file that only its owner may read."""
    file = tmp_path / 'headers'
    file.write_text('Authorization: Bearer t0ken\n')
    file.chmod(0o600)
    return file


def test_a_watch_without_these_files_has_no_row() -> None:
    """With a URL or without one."""
    assert list(request_files.check_files(Settings(('/',), url=('https://h/',)))) == []


def test_number_of_headers_is_shown_and_no_value(headers: Path) -> None:
    """They are secret."""
    path = str(headers)

    assert one(url_header_file=path) == Row('url-header-file', 'ok', path, '1 header')
    headers.write_text('A: b\nC: d')
    assert one(url_header_file=path).says == '2 headers'


def test_file_that_others_may_read_is_a_warning(headers: Path) -> None:
    """With what to do, also in Kubernetes."""
    headers.chmod(0o644)

    assert one(url_header_file=str(headers)) == Row(
        'url-header-file', 'warn', str(headers), 'other users may read it',
        'chmod o-r it (in Kubernetes: defaultMode: 0440)',
    )


@pytest.mark.parametrize('option', ['url_header_file', 'url_ca'])
@pytest.mark.parametrize(('make', 'says', 'remedy'), [
    (None, 'no such file or directory', 'create it or mount it there'),
    ('none.', "", 'write'),
    ('/', '', ''),
])
def test_file_that_cannot_be_used_fails(
        tmp_path: Path, option: str, make: str | None, says: str, remedy: str,
) -> None:
    """Missing, malformed or no file at all: each with a remedy."""
    path = tmp_path / 'file'
    if make == '/':
        path.mkdir()
    elif make is not None:
        path.write_text(make)

    row = one(**{option: str(path)})

    assert (row.check, row.verdict, row.about) == (
        option.replace('_', '-'), 'fail', str(path),
    )
    assert row.says.startswith(says)
    assert row.says
    assert remedy in row.remedy
    assert row.remedy


def test_file_that_is_not_used_is_a_warning(headers: Path) -> None:
    """Headers without a URL, an authority without https; neither is read."""
    unused = one(url=(), url_header_file=str(headers))
    plain = one(url=('http://h/',), url_ca='/nowhere')

    assert (unused.verdict, unused.says) == ('warn', 'not used: there is no --url')
    assert (plain.verdict, plain.says) == ('warn', 'not used: no --url is https')


def test_authority_is_said_to_be_valid_until_a_day(tmp_path: Path) -> None:
    """Of a real certificate."""
    path = Authority(tmp_path, 90).certificate
    days = {
        time.strftime('%Y-%m-%d', time.gmtime(time.time() + each * DAY))
        for each in (89.9, 90)
    }

    row = one(url_ca=path)

    assert (row.check, row.verdict, row.about) == ('url-ca', 'ok', path)
    assert row.says.removeprefix('valid until ') in days


@pytest.mark.parametrize(('ends', 'verdict', 'says', 'remedy'), [
    ((), 'ok', 'has certificates, none of an authority', ''),
    ((-DAY,), 'fail', 'expired on ', 'put the present certificate of the authority'),
    ((-DAY, 90 * DAY), 'warn', 'a certificate expired on ', 'put its successor'),
    ((DAY, 90 * DAY), 'warn', 'a certificate expires on ', 'put its successor'),
    ((31 * DAY,), 'ok', 'valid until ', ''),
])
def test_expiry_is_checked(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: tuple[float, ...],
        verdict: str, says: str, remedy: str,
) -> None:
    """All in the past fail; one of several, or one that is soon, is a warning."""
    monkeypatch.setattr(http_request, 'tls_context', lambda path: None)
    dates = [request_files.date(end) for end in ends]
    monkeypatch.setattr(http_request, 'expiries', lambda path: dates)

    row = one(url_ca=str(tmp_path))

    assert row.verdict == verdict
    assert row.says.startswith(says)
    assert row.remedy.startswith(remedy)


def test_doctor_has_these_rows(headers: Path) -> None:
    """Before the URLs."""
    settings = Settings(
        ('/',), url=('http://127.0.0.1:1/',), url_header_file=str(headers),
    )
    with interrupt.signals_blocked():
        checks = [row.check for row in main.all_rows(settings)]

    assert checks[-2:] == ['url-header-file', 'url']
