"""The fixtures of the tests beside this file."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import targets
from tests.support.sidecar import unique


@pytest.fixture
def target() -> Iterator[targets.Target]:
    """A process with a handler; its name is .name."""
    name = unique()
    with targets.start('handler', name=name) as it:
        yield it
