"""The fixtures of the tests beside this file."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pollreload.system import mounts


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


@pytest.fixture(autouse=True)
def apart(elsewhere: None) -> None:
    """Every test here is independent of the mounts of this machine."""
