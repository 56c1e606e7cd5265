"""A place for each server of a test, which is gone with all that ran there after it."""
from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Callable, Iterator

import pytest

from tests.servers.harness import As, Kind, Site, missing

Place = Callable[..., Site]


@pytest.fixture
def place() -> Iterator[Place]:
    """Return a function that makes a Site for a Kind, and ends it after the test."""
    with contextlib.ExitStack() as stack:
        def make(kind: Kind, beside: Site | None = None) -> Site:
            return stack.enter_context(Site(kind, beside))
        yield make


@pytest.fixture
def user() -> As:
    """Return the unprivileged user that Debian gives its web servers."""
    if os.geteuid():
        missing('only root can start a server and a sidecar as other users')
    entry = pwd.getpwnam('www-data')
    return As(entry.pw_uid, entry.pw_gid)
