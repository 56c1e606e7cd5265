"""The fixtures of the tests beside this file."""
from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.sandbox.harness import fetched, needed
from tests.servers.harness import missing
from tests.support.image_root import Root, figures


@pytest.fixture(scope='module', autouse=True)
def able() -> None:
    """Skip the tests that this machine cannot run."""
    needed('setpriv', 'util-linux')
    if os.geteuid():
        missing('chroot needs root')


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the image, and nothing else."""
    place = tmp_path_factory.mktemp('files')
    figures.unpacked(fetched('pollreload.tar', 'get-image.sh'), place)
    return place


@pytest.fixture(scope='module')
def image(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The image, with the directories that an engine makes in it."""
    place = tmp_path_factory.mktemp('image')
    volume = tmp_path_factory.mktemp('volume')
    shutil.copytree(files, place, symlinks=True, dirs_exist_ok=True)
    for each in (place, volume):
        each.chmod(0o777)
    for name in ('dev', 'etc', 'proc', 'shared', 'tmp'):
        (place / name).mkdir()
    (place / 'etc/hosts').write_text('127.0.0.1 localhost app.example\n')
    (volume / 'app.conf').write_text('first\n')
    return Root(place, volume)
