"""The fixtures of the tests beside this file."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pollreload.system import mounts
from tests.support import mountinfo


@pytest.fixture
def fake_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[
        Callable[..., None]
]:
    """A function that pretends that these are the mount points and types."""
    def mount(**types: str) -> None:
        mountinfo.pretend(monkeypatch, tmp_path / 'mountinfo', types)

    yield mount
    mounts.open_mount_table.cache_clear()


@pytest.fixture(autouse=True)
def apart(elsewhere: None) -> None:
    """Every test here is independent of the mounts of this machine."""
