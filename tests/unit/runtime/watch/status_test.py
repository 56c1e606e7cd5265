"""The status and the status file of a watch."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pollreload.core.state import State
from pollreload.runtime import describe, ledger, shown
from pollreload.runtime.watch import Watch
from pollreload.settings import Settings, Signal
from pollreload.system import (
    status_file,
)
from pollreload.system.fingerprint import fingerprint
from tests.support.sidecar import write
from tests.support.watch_log import Log, rested


def test_the_status_file_is_written_for_what_is_new(
        settings: Settings, log: Log, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After each poll that ended, and not before the first."""
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(status_file, 'write', lambda _, it: written.append(it))
    show = describe.status_writer(settings, f'{tmp_path}/status', log)
    watch = Watch(settings, log)

    show(watch.state)
    watch.step()
    show(watch.state)
    show(watch.state)

    (only,) = written
    assert only['watch'] == 'one'
    assert only['content'] == 'current'
    assert only['seen'] == only['done'] == shown.shown(
        watch.state, fingerprint([
            it.files for it in watch.state.version.known if it is not None
        ]),
    )


def test_a_status_file_that_breaks_is_said_once(
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """It ends nothing, and is written once its directory can be made."""
    (tmp_path / 'none').touch()
    watch = Watch(settings._replace(status_file=f'{tmp_path}/none/status'), log)
    for number in range(3):
        write(settings.paths[0], f'{number}')
        watch.poll_now()
        watch.step()
    assert len(log.named('failed')) == 1
    (tmp_path / 'none').unlink()
    watch.poll_now()
    watch.step()
    assert status_file.read(f'{tmp_path}/none/status')['watch'] == 'one'
    os.unlink(tmp_path / 'none/status')
    os.rmdir(tmp_path / 'none')
    (tmp_path / 'none').touch()
    watch.poll_now()
    watch.step()

    assert [each['reason'] for each in log.named('failed')] == ['status file'] * 2


def test_who_is_notified_is_said_in_order() -> None:
    """The process first, then commands, then requests; a URL without its secrets."""
    settings = Settings(
        process='x', exec=(('a', 'b'),), url=('http://me:secret@host/a?b',),
    )

    assert describe.receivers(settings) == (
        'x and SIGHUP, then --exec a, then POST http://host/a'
    )
    assert describe.receivers(Settings(pidfile='/p', signal=Signal(10, 'SIGUSR1'))) == (
        '/p and SIGUSR1'
    )
    assert describe.log_fields(settings) == {
        'paths': (), 'process': 'x', 'pidfile': None, 'signal': 'SIGHUP',
        'exec': ['a'], 'url': ['http://host/a'],
    }
    assert describe.log_fields(settings._replace(process=None))['signal'] is None


def test_nothing_holds_nothing() -> None:
    """What stands for a ledger if there is none."""
    assert ledger.save_nothing(State())


@pytest.mark.parametrize('spelt', ['{}/', '{}/.', '{}/../d', './d'])
def test_a_path_that_is_spelt_otherwise_is_the_same(
        settings: Settings, log: Log, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, spelt: str,
) -> None:
    """What was written since the last poll is a change, and no baseline."""
    monkeypatch.chdir(tmp_path)
    path = f'{tmp_path}/d'
    os.mkdir(path)
    write(f'{path}/f', 'first')
    settings = settings._replace(paths=(path,), on_start='never')
    before = rested(settings, log)
    write(f'{path}/f', 'second')
    log.events.clear()

    after = Watch(settings._replace(paths=(spelt.format(path),)), log, before=before)
    for _ in range(3):
        after.poll_now()
        after.step()

    assert after.state.version.state == 'due'
    assert not log.named('baseline')
    assert len(log.named('changed')) == 1
