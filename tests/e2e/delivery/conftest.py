"""The fixtures of the tests beside this file."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sidecar import unique, write


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch, with its first content."""
    path = str(tmp_path / 'app.conf')
    write(path, 'first')
    return path


@pytest.fixture
def name() -> str:
    """A name for a target."""
    return unique()
