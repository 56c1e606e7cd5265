"""The fixtures of the tests below this directory."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sidecar import write


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch, with its first content."""
    path = str(tmp_path / 'app.conf')
    write(path, 'first')
    return path
