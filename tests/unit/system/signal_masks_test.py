"""What a process does with its signals."""
from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pollreload.core.process import Masks, disposition
from pollreload.system.signal_masks import masks as masks_of
from tests.support import targets
from tests.support.proc_tree import as_nobody, beside, plant

HUP, USR1 = signal.SIGHUP, signal.SIGUSR1
MASKS = {'SigPnd': 0, 'ShdPnd': 0, 'SigBlk': 0, 'SigIgn': 0, 'SigCgt': 0}


def test_no_masks_without_evidence(root: str) -> None:
    """gVisor prints no Sig* lines: unknown, never default."""
    plant(plant(Path(root), 60) / 'task', 60)

    assert masks_of(60, root) is None


def test_masks_of_all_threads(root: str) -> None:
    """Blocked is what every thread blocks; pending, what is for any of them."""
    task = plant(Path(root), 60) / 'task'
    shared = {'ShdPnd': 0x100, 'SigIgn': 0x10, 'SigCgt': 0x20}
    plant(task, 60, masks={**shared, 'SigPnd': 0x200, 'SigBlk': 0x3})
    plant(task, 61, masks={**shared, 'SigPnd': 0x400, 'SigBlk': 0x5})

    assert masks_of(60, root) == Masks(0x20, 0x10, 0x1, 0x700, 0x6)


@pytest.mark.parametrize(('states', 'asleep'), [
    ('S', True), ('R', False), ('D', False), ('T', False),
    ('SS', True), ('SR', True), ('DS', False), ('RR', False), ('ZS', True),
])
def test_asleep_is_who_does_not_start_a_child(
        root: str, states: str, asleep: bool,
) -> None:
    """A parent in vfork is in D, see wait_for_vfork_done in kernel/fork.c."""
    task = plant(Path(root), 60) / 'task'
    for pid, state in enumerate(states, 60):
        plant(task, pid, state=state, masks=MASKS)

    masks = masks_of(60, root)

    assert masks is not None
    assert masks.asleep is asleep


@pytest.mark.parametrize(('functions', 'awaited'), [
    (('do_sigtimedwait', 'futex_wait_queue'), 0b1010),
    (('do_sigtimedwait.isra.0', '0'), 0b1010),
    # The first thread gets what it does not block, and the other only the rest.
    (('do_sys_poll', 'do_sigtimedwait'), 0),
    # We may see where each thread waits, and none is in sigwait.
    (('do_sys_poll', 'futex_wait_queue'), 0),
    (('0', 'futex_wait_queue'), 0),
    # We may not: another thread leaves these signals to it.
    (('0', '0'), 0b1000),
    ((None, None), 0b1000),
])
def test_sigwait_is_seen_where_threads_wait_or_in_what_others_block(
        root: str, functions: Sequence[str | None], awaited: int,
) -> None:
    """A thread in sigwait shows the signals it waits for as not blocked."""
    task = plant(Path(root), 60) / 'task'
    blocked = (0b0101, 0b1101)
    for pid, function, mask in zip((60, 61), functions, blocked, strict=True):
        place = plant(task, pid, masks={**MASKS, 'SigBlk': mask})
        if function is not None:
            (place / 'wchan').write_text(function)

    masks = masks_of(60, root)

    assert masks is not None
    assert masks.awaited & 0b1111 == awaited


@pytest.mark.parametrize(('machine', 'call', 'awaited'), [
    ('x86_64', '128 0x7f 0x0', 2), ('aarch64', '137 0x7f 0x0', 2),
    ('x86_64', '137 0x7f 0x0', 0), ('x86_64', 'running', 0), ('m68k', '128 0x7f', 0),
])
def test_sigwait_is_seen_in_the_system_call(
        root: str, monkeypatch: pytest.MonkeyPatch, machine: str, call: str,
        awaited: int,
) -> None:
    """A thread that fell asleep a moment ago shows no wchan on a new kernel."""
    monkeypatch.setattr(os, 'uname', lambda: os.uname_result(['', '', '', '', machine]))
    place = plant(plant(Path(root), 60) / 'task', 60, masks={**MASKS, 'SigBlk': 5})
    (place / 'wchan').write_text('0')
    (place / 'syscall').write_text(call)

    masks = masks_of(60, root)

    assert masks is not None
    assert masks.awaited & 0b111 == awaited


@pytest.mark.parametrize(('memory', 'awaited'), [
    (b'12345678' + (2).to_bytes(8, sys.byteorder), 2),
    (b'12345678' + bytes(8), 0b111010),  # it cannot be: it waits for one at least
    (b'12345678', 0b111010), (None, 0b111010),
])
def test_sigwait_is_for_the_signals_that_are_in_its_argument(
        root: str, monkeypatch: pytest.MonkeyPatch, memory: bytes | None, awaited: int,
) -> None:
    """If the memory of the thread can be read; else it may be for all."""
    machine = os.uname_result(['', '', '', '', 'x86_64'])
    monkeypatch.setattr(os, 'uname', lambda: machine)
    place = plant(plant(Path(root), 60) / 'task', 60, masks={**MASKS, 'SigBlk': 5})
    (place / 'syscall').write_text('128 0x8 0x0 0x0 0x8')
    if memory is not None:
        (place / 'mem').write_bytes(memory)

    masks = masks_of(60, root)

    assert masks is not None
    assert masks.awaited & 0b111111 == awaited


def test_real_sigwait_of_a_process_that_we_may_not_trace() -> None:
    """Another user sees no wchan; what the other threads block is left."""
    with targets.start('sigwait-thread') as target:
        masks = beside(as_nobody(lambda: tuple(masks_of(target.pid) or ())))

    assert disposition(Masks(*masks), HUP, False, False) == 'unknown'
    assert disposition(Masks(*masks), signal.SIGUSR2, False, False) == 'default'


@pytest.mark.parametrize(
    ('kind', 'expected'),
    [
        ('handler', 'caught'),
        ('default', 'default'),
        ('ignored', 'ignored'),
        ('blocked', 'blocked'),
        ('blocked-unread', 'blocked'),
        ('sigwait', 'unknown'),
        ('sigwait-thread', 'unknown'),
        ('sigwait-other', 'default'),
        ('sigwait-other-thread', 'default'),
        ('forking', 'caught'),
        ('exits', 'caught'),
        ('late', 'default'),
        ('leaderless', 'unknown'),
    ],
)
def test_real_dispositions(kind: str, expected: str) -> None:
    """The kernel shows what a process would do, and whether it is in sigwait."""
    with targets.start(kind) as target:
        masks = masks_of(target.pid)

    assert disposition(masks, HUP, False, False) == expected


def test_real_disposition_changes() -> None:
    """A handler that is installed late is seen then, and not before."""
    with targets.start('late') as target:
        before = masks_of(target.pid)
        target.tell('handle')
        assert target.read() == 'handling'
        after = masks_of(target.pid)

    assert disposition(before, HUP, False, False) == 'default'
    assert disposition(after, HUP, False, False) == 'caught'


def test_real_stopped_process_keeps_its_signal_pending() -> None:
    """To a stopped process a signal is pending until it goes on."""
    with targets.start('handler') as target:
        target.stop()
        target.signal(HUP)
        stopped = masks_of(target.pid)
        target.signal(signal.SIGCONT)
        assert target.read() == 'HUP'
        going = masks_of(target.pid)

    assert stopped is not None
    assert going is not None
    assert (stopped.pending, going.pending) == (1, 0)


def test_real_blocked_and_unread_stays_pending() -> None:
    """A blocked signal that is never read is pending for ever, and no other is."""
    with targets.start('blocked-unread') as target:
        target.signal(HUP)
        target.signal(USR1)
        assert target.read() == 'USR1'
        masks = masks_of(target.pid)

    assert masks is not None
    assert masks.pending == 1
