"""The fixtures of the tests below this directory."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.proc_tree import tree


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A /proc in which we are pid 50, a child of 40 and a grandchild of 1."""
    return tree(tmp_path)
