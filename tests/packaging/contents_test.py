"""What each file of the image is for."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'packaging/image'))

import contents  # type: ignore[import-not-found]  # noqa: E402

LIB = 'usr/local/lib/python3.13'
REASON = {
    'os': contents.START, 'email.message': contents.START, '_uuid': 'click alone',
    'json': contents.OURS,
}


@pytest.mark.parametrize(('path', 'purpose'), [
    ('usr/local/lib/libpython3.13.so.1.0', contents.INTERPRETER),
    ('usr/local/lib/python3', contents.INTERPRETER),
    ('usr/local/lib/pollreload', contents.LIBRARIES),
    ('usr/local/lib/libc.so.6', contents.LIBRARIES),
    ('usr/local/bin/pollreload', 'pollreload'),
    ('usr/local/share/pollreload/sbom.cdx.json', contents.PAPERS),
    (f'{LIB}/LICENSE.txt', contents.PAPERS),
    (f'{LIB}/click-8.5.1.dist-info/METADATA', contents.PAPERS),
    (f'{LIB}/click/core.pyc', 'click'),
    (f'{LIB}/xxhash/_xxhash.cpython-313-x86_64-linux-gnu.so', 'xxhash'),
    (f'{LIB}/pollreload/core/step.pyc', 'pollreload'),
    (f'{LIB}/os.pyc', contents.START),
    (f'{LIB}/email/message.pyc', contents.START),
    (f'{LIB}/json/__init__.pyc', contents.OURS),
    (f'{LIB}/lib-dynload/_uuid.cpython-313-x86_64-linux-gnu.so', 'click alone'),
    (f'{LIB}/encodings/idna.pyc', contents.OURS),
])
def test_each_file_has_a_purpose(path: str, purpose: str) -> None:
    """By its place in the image, and for the standard library by its importer."""
    assert contents.purpose(path, REASON) == purpose


def test_the_groups_are_all_files_and_the_largest_come_first(tmp_path: Path) -> None:
    """A link is no file of its own."""
    place = tmp_path / LIB
    place.mkdir(parents=True)
    (place / 'os.pyc').write_bytes(b'x' * 3)
    (place / 'json.pyc').write_bytes(b'x' * 5)
    (place / 'link.pyc').symlink_to('os.pyc')

    sizes = dict(contents.files(tmp_path))

    assert contents.groups(sizes, REASON) == [
        (contents.OURS, 1, 5), (contents.START, 1, 3),
    ]
    assert contents.largest(sizes, 1) == [f'{LIB}/json.pyc']


def test_what_only_click_imports_goes_with_it(tmp_path: Path) -> None:
    """Of the standard library: what pollreload needs without it stays."""

    reason = contents.reasons(Path(sys.executable), tmp_path)

    assert reason['uuid'] == 'standard library: click alone'
    assert reason['tomllib'] == contents.OURS
    assert reason['os'] == contents.START
