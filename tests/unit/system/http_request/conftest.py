"""The fixtures of the tests beside this file."""
from __future__ import annotations

import pytest

from tests.support.http_peer import Identity


@pytest.fixture(scope='module')
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """A server's identity, which no one has vouched for."""
    return Identity(tmp_path_factory.mktemp('tls'), 'IP:127.0.0.1')
