"""The fixtures of the tests beside this file."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sidecar import write
from tests.support.watch_log import Log


@pytest.fixture
def log() -> Log:
    """The log of the watches of a test."""
    return Log()


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch."""
    write(tmp_path / 'app.conf', 'first')
    return str(tmp_path / 'app.conf')
