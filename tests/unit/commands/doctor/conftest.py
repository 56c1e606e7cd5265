"""A target, files, mounts and a user for the tests of doctor."""
from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile

import pytest

from pollreload.commands.doctor import paths as paths_module
from pollreload.system import (
    mounts,
    reader,
)
from tests.support import mountinfo
from tests.support.doctor import (
    NOBODY,
    put,
)


@pytest.fixture
def comm(request):
    """Return a name that no other process has."""
    return f'd{os.getpid()}-{abs(hash(request.node.name)) % 10**6}'


@pytest.fixture
def at():
    """Create a directory that every user can reach; pytest's own are root's alone."""
    directory = tempfile.mkdtemp()
    os.chmod(directory, 0o755)
    yield os.path.realpath(directory)
    shutil.rmtree(directory)


@pytest.fixture
def conf(at):
    path = f'{at}/app.conf'
    put(path, 'a = 1\n')
    return path


@pytest.fixture
def as_nobody():
    """Run the rest of the test as the user nobody, because root may do everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


@pytest.fixture
def fake_mounts(monkeypatch, at):
    """Return a function that writes a mountinfo of point='TYPE ROOT'."""
    def mount(**others: str) -> None:
        mountinfo.pretend(monkeypatch, f'{at}/mountinfo', {'/': 'ext4', **others})

    return mount


@pytest.fixture
def hanging(monkeypatch):
    """Let each read hang, in a child that has to be killed."""
    monkeypatch.setattr(mounts, 'can_hang', lambda paths: True)
    monkeypatch.setattr(reader, 'poll', lambda *_, **__: signal.pause())
    monkeypatch.setattr(paths_module, 'READ_TIMEOUT', 0.05)
    yield
    # If one of them were alive, this would wait for ever.
    with contextlib.suppress(ChildProcessError):
        while os.wait():
            pass
