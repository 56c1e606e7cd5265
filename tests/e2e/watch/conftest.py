"""The fixtures of the tests beside this file."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import targets
from tests.support.sidecar import unique, write


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch, with its first content."""
    path = str(tmp_path / 'app.conf')
    write(path, 'first')
    return path


@pytest.fixture
def target() -> Iterator[targets.Target]:
    """A process with a handler; its name is .name."""
    name = unique()
    with targets.start('handler', name=name) as it:
        yield it
