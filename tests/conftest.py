"""What holds for every test: the surroundings are known, no thread is left, and a
line of the log is as packaging/schema/log.schema.json says.
"""
from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.support import sidecar, surroundings

surroundings.reset()


@pytest.fixture(scope='session', autouse=True)
def judged() -> Iterator[None]:
    """Have the schema judge each line that a test reads of a watch or a check."""
    name = os.path.join(sidecar.ROOT, 'packaging/schema/log.schema.json')
    with open(name, encoding='utf-8') as file:
        validator = Draft202012Validator(json.load(file))
    read = sidecar.event

    def event(line: bytes) -> sidecar.Event:
        got = read(line)
        # What is no JSON has this name, see sidecar.event.
        if got['event'] != 'line':
            validator.validate(got)
        return got

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sidecar, 'event', event)
        yield


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Have no test leave a thread, which would wait at what is another's by then."""
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    for each in left:
        each.join(10.0)
    assert not [each for each in left if each.is_alive()]


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Provide a directory that every user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix='open-') as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
