"""Which processes are the targets, and what becomes of a signal to one."""
from __future__ import annotations

import os
import signal

import pytest

from pollreload.core.process import Choice, Masks, Process
from pollreload.runtime import targets
from pollreload.settings import Settings
from pollreload.system import process_table, procfs, signal_masks, visibility
from tests.support import targets as processes
from tests.support.sidecar import unique


def test_us_is_the_effective_uid() -> None:
    """What the kernel asks for when a signal is sent."""
    assert targets.us() == f'uid {os.geteuid()}'


def test_nothing_is_sent_once_a_stop_was_asked_for(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The result would not be seen."""
    monkeypatch.setattr(targets, 'stopping', lambda: True)
    with processes.start('handler') as target:
        process = process_table.find(target.pid)
        assert process is not None
        how = targets.send_signal(process, signal.SIGHUP)
        target.signal(signal.SIGUSR1)

        assert target.read() == 'USR1'
        assert how == 'gone'


@pytest.mark.parametrize(('ours', 'health'), [
    (procfs.Stat(b'R', 1, 1), 'gone'), (None, 'pending'),
])
def test_no_process_is_gone_if_nothing_can_be_read(
        monkeypatch: pytest.MonkeyPatch, ours: object, health: str,
) -> None:
    """Without a descriptor to spare every process looks as if it had ended."""
    monkeypatch.setattr(procfs, 'started', lambda pid: None)
    monkeypatch.setattr(procfs, 'stat', lambda directory: ours)
    process = Process(processes.reaped(), 1, 100, 'x')

    assert targets.health(process, signal.SIGHUP) == health


@pytest.mark.parametrize(('uid', 'bounded', 'says'), [
    (0, True, 'run as the same uid, or as root with CAP_KILL'),
    (65534, False, 'run as the same uid, or as root with CAP_KILL'),
    (65534, True, 'run as the same uid, or as root with CAP_KILL, which is not in '
     'effect for uid 65534'),
])
def test_what_would_permit_us_depends_on_who_we_are(
        monkeypatch: pytest.MonkeyPatch, uid: int, bounded: bool, says: str,
) -> None:
    """Adding a capability helps only root."""
    monkeypatch.setattr(os, 'geteuid', lambda: uid)
    monkeypatch.setattr(visibility, 'lacks', lambda number: bounded)

    assert targets.entitle() == says


def test_proc_of_another_namespace_has_no_target(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule 9: what another namespace's /proc says is about other processes."""
    monkeypatch.setattr(visibility, 'why_hidden', lambda: 'it is not ours')

    choice = targets.find_targets(Settings(process='x'))

    assert choice == Choice((), 'proc', 'it is not ours')


def test_health_of_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone, pending, or alive; a pid whose start time differs is another's."""
    with processes.start('blocked-unread', name=unique()) as target:
        started = procfs.started(target.pid)
        assert started is not None
        process = Process(target.pid, 0, started, 'x')
        alive = targets.health(process, signal.SIGHUP)
        other = targets.health(process._replace(started=started - 1), signal.SIGHUP)
        target.signal(signal.SIGHUP)
        pending = targets.health(process, signal.SIGHUP)
        monkeypatch.setattr(signal_masks, 'masks', lambda pid: None)
        unknown = targets.health(process, signal.SIGHUP)
        target.zombie()
        gone = targets.health(process, signal.SIGHUP)

    assert (alive, other, pending, gone) == ('alive', 'gone', 'pending', 'gone')
    assert unknown == 'alive'


def test_init_of_a_namespace_ignores_what_it_has_no_handler_for(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A signal that is harmless by default is ignored as well."""
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: Masks(0, 0, 0, 0))
    settings = Settings()

    init = Process(1, 0, 0, 'x', init=True)
    assert targets.disposition_of(settings, init) == 'ignored'
    assert targets.disposition_of(settings, Process(2, 0, 0, 'x')) == 'default'


def test_program_of_a_process_is_its_file() -> None:
    """The same for two processes of one file; '' once it has exited."""
    with processes.start('handler') as one, processes.start('handler') as other:
        first, second = process_table.find(one.pid), process_table.find(other.pid)
        assert first is not None
        assert second is not None
        files = targets.program_id(first), targets.program_id(second)

    assert files[0] == files[1] != ''
    assert targets.program_id(first) == ''
