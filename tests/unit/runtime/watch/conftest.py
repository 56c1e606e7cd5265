"""The fixtures of the tests beside this file."""
from __future__ import annotations

from pathlib import Path

import pytest

from pollreload.settings import Settings
from tests.support.sidecar import unique, write


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A watch of a file, for a process that is not there."""
    write(tmp_path / 'app.conf', 'first')
    return Settings(
        (f'{tmp_path}/app.conf',), unique('none'), settle=0.0, on_start='never',
        name='one',
    )
