"""The fixtures of the tests beside this file."""
from __future__ import annotations

import pytest

from tests.support.sidecar import unique


@pytest.fixture
def name() -> str:
    """A name for a target."""
    return unique()
