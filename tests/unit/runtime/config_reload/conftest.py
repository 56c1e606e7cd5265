"""The fixtures of the tests beside this file."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sidecar import write


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch."""
    write(tmp_path / 'app.conf', 'first')
    return str(tmp_path / 'app.conf')
