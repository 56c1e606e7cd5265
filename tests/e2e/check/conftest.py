"""The fixtures of the tests beside this file."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checked import Watched


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """A file with its first content, and no memory of it yet."""
    return Watched(tmp_path)
