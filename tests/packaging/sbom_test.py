"""The software bill of materials that the image carries."""
from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path

import pytest

from tests.support.scripts import load

sbom = load('image/sbom.py')


def lay(root: Path) -> Path:
    """Lay out an image: three distributions and a library. Return its stdlib."""
    stdlib = root / 'usr/local/lib/python3.13'
    for name, version in ('pollreload', '0.1.0+abc'), ('click', '8'), ('xxhash', '3'):
        place = stdlib / f'{name}-{version}.dist-info'
        place.mkdir(parents=True)
        (place / 'METADATA').write_text(
            f'Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n'
            'License-Expression: MIT\n',
        )
    (root / 'usr/local/lib/libc.so.6').write_bytes(b'\x7fELF and more')
    (root / 'usr/local/lib/link').symlink_to('libc.so.6')
    (root / 'usr/local/lib/script').write_text('#!/bin/sh\n')
    return stdlib


def test_bill_lists_distributions_interpreter_and_binaries(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever has code of others in it, each with what identifies it."""
    monkeypatch.setattr(sbom.shutil, 'which', lambda name: None)
    stdlib = lay(tmp_path)

    bill = json.loads(sbom.bill(tmp_path, stdlib, [sys.executable]))

    assert (bill['bomFormat'], bill['specVersion']) == ('CycloneDX', '1.6')
    assert bill['metadata']['component'] == {
        'type': 'container', 'name': 'pollreload', 'version': '0.1.0+abc',
    }
    assert [each['name'] for each in bill['components']] == [
        'click', 'pollreload', 'xxhash', 'CPython', '/usr/local/lib/libc.so.6',
    ]
    assert bill['components'][1]['purl'] == 'pkg:pypi/pollreload@0.1.0%2Babc'
    assert bill['components'][1]['licenses'] == [{'expression': 'MIT'}]
    assert bill['components'][3]['version'] == platform.python_version()
    assert bill['components'][4]['hashes'] == [{
        'alg': 'SHA-256', 'content': hashlib.sha256(b'\x7fELF and more').hexdigest(),
    }]


@pytest.mark.skipif(sbom.shutil.which('dpkg-query') is None, reason='no dpkg here')
def test_bill_names_the_debian_packages_of_libraries() -> None:
    """By the path before or after /lib became a link to /usr/lib."""
    library = next(Path('/lib').glob('*-linux-gnu/libc.so.6'))

    found = list(sbom.packages([str(library), str(library.resolve()), '/nonexistent']))

    (package,) = found
    assert package['name'] == 'libc6'
    assert package['purl'].startswith('pkg:deb/debian/libc6@')
    assert '?arch=' in package['purl']
