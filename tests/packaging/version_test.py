"""The version: setup.cfg has it, and every file that repeats it has the same."""
from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGE = re.compile(r'registry\.example/pollreload:(\d[\w.]*)')
PLACES = (
    'README.md', 'docs', 'examples', 'tests/support', 'tests/kubernetes/injection',
)


def version() -> str:
    """Return the version of setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg', encoding='utf-8')
    return config['metadata']['version']


@pytest.mark.parametrize('place', PLACES)
def test_manifests_name_the_image_of_this_version(place: str) -> None:
    """Else a release would lead its users to the one before."""
    top = ROOT / place
    files = [top, *top.rglob('*')]
    named = {
        found for file in files
        if file.is_file() and file.suffix in ('.md', '.yaml', '.py', '.container')
        for found in IMAGE.findall(file.read_text('utf-8'))
    }

    assert named == {version()}


def test_label_of_the_image_is_this_version() -> None:
    """A Containerfile cannot read it."""
    label = re.search(
        r'org\.opencontainers\.image\.version="(.*)"',
        (ROOT / 'Containerfile').read_text(),
    )

    assert label is not None
    assert label[1] == version()


def test_changelog_has_a_section_of_this_version() -> None:
    """A release publishes it as its notes."""
    assert f'\n## [{version()}] - ' in (ROOT / 'CHANGELOG.md').read_text('utf-8')
