"""The fixtures of the tests beside this file."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pollreload.runtime import guard
from pollreload.system import mounts


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file system is one that can hang."""
    monkeypatch.setattr(mounts, 'can_hang', lambda paths: True)


@pytest.fixture(autouse=True)
def elsewhere(
        request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Whatever else is mounted on this machine (gvfs, lxcfs) is no matter here, nor
    what did not answer in another test.
    """
    monkeypatch.setattr(guard, 'STUCK', {})
    if 'mounted' not in request.fixturenames:
        kinds = {mount.kind for mount in mounts.rows(mounts.MOUNTINFO)}
        monkeypatch.setattr(mounts, 'SAFE', mounts.SAFE | kinds)
        mounts.watched.cache_clear()
    yield
    mounts.watched.cache_clear()


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[
        Callable[..., None]
]:
    """A function that pretends that these are the mount points and types."""
    def mount(**types: str) -> None:
        lines = ''.join(
            f'36 35 98:0 / {point} rw - {kind} server:/export rw\n'
            for point, kind in types.items()
        )
        (tmp_path / 'mountinfo').write_text(lines)
        monkeypatch.setattr(mounts, 'MOUNTINFO', str(tmp_path / 'mountinfo'))
        # A plain file does not say that it is another.
        mounts.watched.cache_clear()

    yield mount
    mounts.watched.cache_clear()
