"""Which files a poll reads."""
from __future__ import annotations

from typing import Any

import pytest

from pollreload.system import file_digest, walk


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths that are read from now on; the list grows with each read."""
    opened: list[str] = []
    real = file_digest.digest_file

    def read(path: str, *rest: Any) -> Any:
        opened.append(path)
        return real(path, *rest)

    monkeypatch.setattr(walk, 'digest_file', read)
    return opened
