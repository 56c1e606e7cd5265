"""The fixtures of the tests beside this file."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.several_apps import App


@pytest.fixture
def apps(tmp_path: Path) -> Iterator[tuple[App, App]]:
    """Two programs that are notified."""
    with contextlib.ExitStack() as stack:
        made = []
        for name in ('one', 'two'):
            made.append(App(tmp_path, name))
            stack.callback(made[-1].target.end)
        yield made[0], made[1]


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The name of a config file that is not there yet."""
    return str(tmp_path / 'pollreload.toml')
