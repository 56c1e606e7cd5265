"""The ledger as a watch claims, loads and saves it."""
from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from pollreload.core import change, ledger_format
from pollreload.core.reading import Known
from pollreload.core.state import State
from pollreload.errors import LedgerError, LedgerKept
from pollreload.runtime import ledger, runner, world
from pollreload.runtime.observer import Observer
from pollreload.settings import Settings
from pollreload.system import (
    ledger_file,
    procfs,
    visibility,
)
from tests.support.world import failing, recalled


def test_state_is_recalled_as_it_was_kept(tmp_path: Path) -> None:
    """Blank if there is no ledger; that of another watch is left alone."""
    path = tmp_path / 'memory'
    none = recalled(path)
    here = ledger.whereabouts(Settings(('/a',), 'x'))
    content = change.Memory(
        'current', (Known('file', {'': b'x' * 16}),), 'print', 'seen', 1.0,
        'done',
    )
    ledger_file.save(str(path), ledger_format.dump(State(version=content), here))

    assert none == State()
    assert recalled(path).version.delivered == 'done'
    with pytest.raises(LedgerError, match='is of another watch'):
        recalled(path, ('/another',))
    assert path.exists()


@pytest.mark.parametrize('dry_run', [False, True])
def test_ledger_of_an_odd_shape_is_kept_aside(tmp_path: Path, dry_run: bool) -> None:
    """Unless nothing may be written: then it is only reported."""
    path = tmp_path / 'memory'
    here = ledger.whereabouts(Settings(('/a',), 'x'))
    ledger_file.save(str(path), {'key': here.key, 'known': 7})
    text = path.read_bytes()
    with pytest.raises(LedgerKept, match='corrupt'):
        recalled(path, dry_run=dry_run)

    assert [each.read_bytes() for each in tmp_path.iterdir()] == [text]
    assert path.exists() == dry_run


def test_whereabouts_without_a_working_directory(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was removed: an absolute path has the same key as ever."""
    settings = Settings(('/a',), 'x')
    before = ledger.whereabouts(settings)
    monkeypatch.setattr(os, 'getcwd', failing(errno.ENOENT))

    assert ledger.whereabouts(settings) == before
    assert before.boot == procfs.boot()


def test_ledger_that_speaks_of_the_future_is_kept_aside(tmp_path: Path) -> None:
    """Its times are of another clock, and would never come."""
    path = str(tmp_path / 'memory')
    here = ledger_format.Here('key', procfs.boot(), visibility.pid_namespace())
    known = Known('file', {'': b'0' * 16})
    state = State(version=change.Memory(
        state='current', known=(known,), seen='a', delivered='a',
        seen_at=procfs.now() + 60.0,
    ))
    ledger_file.save(path, ledger_format.dump(state, here))

    with pytest.raises(LedgerKept, match='kept as'):
        ledger.recall(Settings(), path, here)
    assert not os.path.exists(path)


@pytest.mark.parametrize('path', [None, '/run/a.pid'])
def test_what_is_needed_later_is_imported_at_the_start(
        monkeypatch: pytest.MonkeyPatch, path: str | None,
) -> None:
    """An upgrade may move the package away under a watch; without a pidfile nothing is.
    """
    name = 'pollreload.runtime.pidfile_target'
    monkeypatch.delattr(name, raising=False)
    monkeypatch.delitem(sys.modules, name, raising=False)
    settings = Settings(('/a',), pidfile=path)
    world.world(
        settings, Observer(settings), runner.Runner(), lambda *_, **__: None,
        lambda _: True, State,
    )

    assert (name in sys.modules) == (path is not None)
