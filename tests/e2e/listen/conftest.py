"""The fixtures of the tests beside this file."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.harness import free_port
from tests.support.listening import PATH
from tests.support.sidecar import (
    write,
)


@pytest.fixture
def port() -> int:
    """A port that is free."""
    return free_port()


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch, with its first content."""
    path = str(tmp_path / PATH)
    write(path, 'first')
    return path
