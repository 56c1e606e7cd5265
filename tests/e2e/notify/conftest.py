"""The fixtures of the tests beside this file."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.url_server import Book, Server


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that answers 200 unless it is informed otherwise."""
    with Server() as it:
        yield it


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """An empty book."""
    return Book(tmp_path)
