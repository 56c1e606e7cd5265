"""The steps of a watch, and faults in them."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pollreload.core import ledger_format
from pollreload.core import step as step_module
from pollreload.core.state import State
from pollreload.errors import LedgerError
from pollreload.runtime import ledger
from pollreload.runtime import watch as watch_module
from pollreload.runtime.watch import Watch
from pollreload.settings import Settings
from pollreload.system import (
    ledger_file,
    procfs,
    visibility,
)
from tests.support.sidecar import write
from tests.support.watch_log import Log, rested


def test_a_watch_is_due_when_it_is_time(settings: Settings, log: Log) -> None:
    """Or if a child may have ended: whose, only a step can know."""
    watch = rested(settings, log)

    assert not watch.due(watch.at - 0.1)
    assert watch.due(watch.at)
    watch.observer.pid = 1
    assert watch.due(0.0)
    watch.observer.pid, watch.runner.pid = 0, 1
    assert watch.due(0.0)


def test_a_record_follows_each_step(
        settings: Settings, log: Log,
) -> None:
    """With the state after it, each time."""
    watch = Watch(settings, log)
    seen: list[State] = []
    watch.after.append(seen.append)

    watch.step()
    watch.step()

    assert [each.version.state for each in seen] == ['current', 'current']
    assert seen[-1] is watch.state


def test_an_operators_wish_is_done_at_once(settings: Settings, log: Log) -> None:
    """The next step looks, however long it is till the next poll."""
    watch = rested(settings, log)
    write(settings.paths[0], 'second')
    watch.step()
    assert watch.state.version.state == 'current'

    watch.poll_now()

    assert watch.due(0.0)
    watch.step()
    assert watch.state.version.state == 'due'


def test_a_watch_without_a_log_says_it_on_stderr(
        settings: Settings, capfd: pytest.CaptureFixture[str],
) -> None:
    """With its name."""
    Watch(settings).step()

    assert ' baseline: one: 1 file in ' in capfd.readouterr().err


def corrupt(path: str) -> None:
    write(path, 'none')


def foreign(path: str) -> None:
    here = ledger_format.Here('another', procfs.boot(), visibility.pid_namespace())
    ledger.store(path, ledger_format.dump(State(), here))


def linked(path: str) -> None:
    os.symlink('elsewhere', path)


@pytest.mark.parametrize(('spoil', 'says', 'saves', 'on_start'), [
    (corrupt, 'taking a baseline', True, 'never'),
    (foreign, 'going on without it', False, 'always'),
    (linked, 'going on without it', False, 'always'),
])
def test_a_ledger_that_is_of_no_use_ends_nothing(
        spoil: Callable[[str], None], says: str, saves: bool, on_start: str,
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """It is logged once; what cannot be trusted is a reason to notify no process."""
    path = f'{tmp_path}/ledger'
    spoil(path)
    settings = settings._replace(state_file=path, on_start='always')

    watch = Watch(settings, log)
    watch.step()

    (failed,) = log.named('failed')
    assert failed['reason'] == 'ledger'
    assert str(failed['message']).endswith(says)
    assert (watch.ledger.save is not ledger.save_nothing) is saves
    assert watch.settings.on_start == on_start
    assert watch.asked == settings
    # If it is not used, another may have it.
    assert ledger_file.busy(path) is saves
    watch.ledger.let_go()
    assert not ledger_file.busy(path)


def test_a_ledger_that_another_holds_is_left_to_it_until_it_ends(
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """What that leaves is older than what is known here, and would be believed."""
    path = f'{tmp_path}/ledger'
    held = ledger_file.lock(path)

    watch = rested(settings._replace(state_file=path), log)

    assert 'going on without it' in str(log.named('failed')[0]['message'])
    assert not watch.ledger.save(watch.state)
    assert not os.path.exists(path)
    assert watch.save(watch.state)  # that keeps from nothing
    assert len(log.named('failed')) == 1
    os.close(held)
    watch.step()
    assert not os.path.exists(path)  # not at each poll
    watch.behind = watch.at = 1.0
    watch.step()

    assert ledger_file.busy(path)
    assert watch.behind == 0.0
    kept = ledger_file.load(path)
    assert kept is not None
    assert kept['done'] == watch.state.version.delivered
    watch.ledger.let_go()
    assert not ledger_file.busy(path)


def test_a_ledger_that_breaks_is_said_once(
        settings: Settings, log: Log, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once for each reason, and again after it was fixed."""
    watch = rested(settings._replace(state_file=f'{tmp_path}/ledger'), log)
    faults = ['a', 'a', 'b', '', 'b']

    def store(*_: object) -> None:
        fault = faults.pop(0)
        if fault:
            raise LedgerError(fault)

    monkeypatch.setattr(ledger, 'store', store)

    assert [watch.ledger.save(watch.state) for _ in range(5)] == [
        False, False, False, True, False,
    ]
    assert [each['message'] for each in log.named('failed')] == [
        f'{fault}; going on without it' for fault in 'abb'
    ]
    watch.ledger.let_go()


def test_a_ledger_that_could_not_be_written_is_written_later(
        settings: Settings, log: Log, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or the next run would believe the old one: that what is there is delivered."""
    full, real = True, ledger.store

    def store(path: str, kept: dict[str, object]) -> None:
        if full:
            raise LedgerError('no space left')
        real(path, kept)

    path = f'{tmp_path}/ledger'
    watch = rested(settings._replace(state_file=path), log)
    monkeypatch.setattr(ledger, 'store', store)
    write(settings.paths[0], 'second')
    watch.poll_now()
    watch.step()
    before = ledger_file.load(path)
    full = False
    watch.step()
    early = ledger_file.load(path)
    assert watch.behind > procfs.now()
    watch.behind = 1.0
    watch.step()
    after = ledger_file.load(path)

    assert before == early != after
    assert after is not None
    assert after['seen'] == watch.state.version.seen
    assert watch.behind == 0.0
    watch.ledger.let_go()


def test_fault_in_a_watch_is_logged_once_and_ends_nothing(
        settings: Settings, log: Log, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It goes on a minute later; another fault is another line."""
    def fail(*_: Any) -> State:
        raise RuntimeError(faults.pop(0))

    faults = ['one', 'one', 'two']
    watch = rested(settings, log)
    real = step_module.step
    monkeypatch.setattr(step_module, 'step', fail)
    now = procfs.now()
    while faults:
        watch.step()
    late = watch.at
    monkeypatch.setattr(step_module, 'step', real)
    watch.step()

    assert late >= now + 60.0
    assert watch.at < now + 60.0
    assert [str(each['message']).partition(';')[0] for each in log.named('failed')] == [
        f'a fault in pollreload (RuntimeError at {os.path.basename(__file__)}:'
        f'{fail.__code__.co_firstlineno + 1}: {says})' for says in ('one', 'two')
    ]


def test_fault_without_a_traceback_has_no_place() -> None:
    """An exception that was never raised."""
    assert watch_module.raised_at(RuntimeError()) == 'an unknown place'
