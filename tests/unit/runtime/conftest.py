"""The fixtures of the tests below this directory."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from pollreload.runtime import guard
from pollreload.system import mounts
from tests.support.watch_log import Log


@pytest.fixture
def log() -> Log:
    """The log of the watches of a test."""
    return Log()


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file system is one that can hang."""
    monkeypatch.setattr(mounts, 'can_hang', lambda paths: True)


@pytest.fixture
def elsewhere(
        request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Whatever else is mounted on this machine (gvfs, lxcfs) is no matter here, nor
    what did not answer in another test.
    """
    monkeypatch.setattr(guard, 'STUCK', {})
    if 'mounted' not in request.fixturenames:
        kinds = {mount.kind for mount in mounts.read_mounts(mounts.MOUNTINFO)}
        monkeypatch.setattr(mounts, 'SAFE', mounts.SAFE | kinds)
        mounts.open_mount_table.cache_clear()
    yield
    mounts.open_mount_table.cache_clear()
