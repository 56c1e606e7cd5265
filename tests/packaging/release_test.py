"""A release that is not uploaded: sh packaging/release.sh."""
from __future__ import annotations

import email
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.support import sidecar

CI = os.environ.get('CI')
REPOSITORY = 'registry.test/acme/pollreload'
# What pip prints if there is no index, or none that has a package.
NO_INDEX = 'No matching distribution found'


def lacking(reason: str) -> None:
    """Fail in CI, skip elsewhere."""
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


def release(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the script, which puts what it builds into a directory."""
    return subprocess.run(
        ('sh', f'{sidecar.ROOT}/packaging/release.sh', str(directory)),
        text=True, check=False,
        env={**sidecar.environment(measured=False), 'PYTHON': sys.executable,
             'REPOSITORY': REPOSITORY, 'BASE': ''},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        cwd='/', timeout=500,
    )


def clone() -> set[str]:
    """Return the files that git has, or would have: those that are not ignored."""
    said = subprocess.run(
        ('git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'),
        cwd=sidecar.ROOT, capture_output=True, check=False,
    )
    if said.returncode:
        lacking('no git clone to release')
    names = said.stdout.decode().split('\0')
    return {name for name in names if os.path.isfile(os.path.join(sidecar.ROOT, name))}


# Not in one test each: they share a build, and xdist would have several.
@pytest.mark.timeout(600)
def test_a_release_can_be_made(tmp_path: Path) -> None:
    """Built, checked by twine and check-wheel-contents, installed, and tried.

    The wheel has the package, the mark of its types and the license, and the sdist has
    all that git has. Chart and policies name the image, the SBOM lists what is
    installed, and all files have their checksums.
    """
    files = clone()

    done = release(tmp_path)

    if NO_INDEX in done.stdout:
        lacking('the package index cannot be reached')
    assert done.returncode == 0, done.stdout
    python = tmp_path / 'python'
    sdist, wheel = sorted(python.iterdir(), key=lambda path: path.suffix)
    name = sdist.name.removesuffix('.tar.gz')
    assert wheel.name == f'{name}-py3-none-any.whl'
    for args in (
            f'{wheel}: OK', f'{wheel.name}: smoke: ok', f'{sdist.name}: smoke: ok',
            f'{wheel.name} installs as {name.replace("-", " ")}', f'{name}/README.md',
    ):
        assert args in done.stdout
    assert done.stdout.count('PASSED') == 2

    with zipfile.ZipFile(wheel) as archive:
        members = archive.namelist()
        said = email.message_from_bytes(archive.read(f'{name}.dist-info/METADATA'))
    own = {file for file in files if file.startswith('pollreload/')}
    meta = (
        'METADATA', 'RECORD', 'WHEEL', 'entry_points.txt', 'top_level.txt',
        'licenses/LICENSE',
    )
    assert len(members) == len({*members})
    assert {*members} == {*own, *(f'{name}.dist-info/{each}' for each in meta)}
    assert 'pollreload/py.typed' in members
    needs = said.get_all('Requires-Dist') or []
    assert [each for each in needs if 'extra ==' not in each] == [
        'click>=8.1', 'xxhash>=3.0',
    ]
    assert said['License-Expression'] == 'MIT'
    assert said['Requires-Python'] == '>=3.11'

    with tarfile.open(sdist) as archive:
        held = {
            each.name.removeprefix(f'{name}/') for each in archive if each.isfile()
        }
    made = {each for each in held if each.startswith('pollreload.egg-info/')}
    assert held - made - {'PKG-INFO'} == files
    for each in (
            'tests/run.sh', 'docs/how-it-works.md', 'examples/quickstart.sh',
            'packaging/schema/log.schema.json', 'packaging/man/pollreload.1', 'LICENSE',
            'CHANGELOG.md', '.github/workflows/release.yml',
    ):
        assert each in held
    published(tmp_path, name.removeprefix('pollreload-'), done.stdout)


def published(place: Path, version: str, output: str) -> None:
    """Check all that is published besides the package."""
    chart = place / f'chart/pollreload-{version}.tgz'
    with tarfile.open(chart) as archive:
        assert 'pollreload/templates/policies.yaml' in archive.getnames()
        assert {each.mtime for each in archive} == {0}
        values = archive.extractfile('pollreload/values.yaml')
        assert values is not None
        image = yaml.safe_load(values)['image']
    assert image['repository'] == REPOSITORY
    manifest = (place / f'kubernetes/pollreload-{version}-policies.yaml').read_text()
    assert f'image: "{REPOSITORY}:{version}"' in manifest
    bill = json.loads((place / f'sbom/pollreload-{version}.cdx.json').read_text())
    assert {each['name'] for each in bill['components']} == {
        'click', 'pollreload', 'xxhash',
    }
    assert bill['bomFormat'] == 'CycloneDX'
    assert '### Added' in (place / 'NOTES.md').read_text()
    sums = {
        line[66:]: line[:64] for line in (place / 'SHA256SUMS').read_text().splitlines()
    }
    files = {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in place.rglob('*') if path.is_file() and path.name != 'SHA256SUMS'
    }
    assert sums == files
    for line in (
            f'python/pollreload-{version}.tar.gz', f'to {REPOSITORY}:{version}: ',
            f'to oci://{REPOSITORY}/charts: chart/pollreload-{version}.tgz',
            'the image was not built: set BASE',
    ):
        assert line in output


def test_a_release_begins_with_nothing(tmp_path: Path) -> None:
    """What is in the directory already would be uploaded too."""
    (tmp_path / 'old.whl').write_text('x')

    done = release(tmp_path)

    assert done.returncode == 1
    assert done.stdout == (
        f'release.sh: {tmp_path} is not empty; a release begins with nothing\n'
    )
    assert os.listdir(tmp_path) == ['old.whl']
