"""The fixtures of the tests beside this file."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from pollreload.monitoring import http as http_module
from tests.support.http_server import Served


@pytest.fixture
def served() -> Iterator[Served]:
    """A server, which ends with the test."""
    it = Served()
    yield it
    it.end()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client has a quarter of a second."""
    monkeypatch.setattr(http_module, 'CLIENT_TIMEOUT', 0.25)
