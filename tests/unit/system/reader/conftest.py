"""The fixtures of the tests beside this file."""
from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

import pytest


@pytest.fixture
def at():
    """A directory that another user may enter; those of pytest are closed."""
    path = tempfile.mkdtemp()
    os.chmod(path, 0o755)
    yield path
    subprocess.run(('chmod', '-R', 'u+rwX', path), check=True)
    shutil.rmtree(path)
