"""The fixtures of the tests beside this file."""
from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from tests.support.cached_polls import PLACES
from tests.support.reads import noted


@pytest.fixture
def at() -> Iterator[str]:
    """A directory; what was written there is older than what comes next."""
    with tempfile.TemporaryDirectory(dir=PLACES[-1]) as path:
        yield path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read, path by path."""
    return noted(monkeypatch)
