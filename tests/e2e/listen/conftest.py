"""The fixtures of the tests beside this file."""
from __future__ import annotations

import pytest

from tests.servers.harness import free_port


@pytest.fixture
def port() -> int:
    """A port that is free."""
    return free_port()
