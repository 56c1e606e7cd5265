"""One namespace for all tests of a run, and names for the objects in it."""
from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest

from tests.kubernetes import harness


@pytest.fixture(scope='session')
def namespace() -> Iterator[str]:
    """Create a namespace that is deleted after the tests."""
    with harness.namespace(f'pollreload-{uuid.uuid4().hex[:8]}') as name:
        yield name


@pytest.fixture
def restricted(namespace: str) -> Iterator[str]:
    """Create a namespace that admits only what the profile `restricted` allows."""
    label = 'pod-security.kubernetes.io/enforce=restricted'
    with harness.namespace(f'{namespace}-restricted', label) as name:
        yield name


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a name for the objects of a test, made from the name of the test."""
    return re.sub('[^a-z0-9]+', '-', request.node.name.removeprefix('test_'))[:50]
