"""The fixtures of the tests beside this file."""
from __future__ import annotations

import time

import pytest

from pollreload.system import procfs


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is 100 s after the boot, and 1000 s after 1970."""
    monkeypatch.setattr(procfs, 'now', lambda: 100.0)
    monkeypatch.setattr(time, 'time', lambda: 1000.0)
