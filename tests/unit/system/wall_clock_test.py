"""The wall clock, and its steps within this boot."""
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pollreload.system import procfs, wall_clock
from tests.support import targets
from tests.support.proc_tree import plant, tree

MASKS = {'SigPnd': 0, 'ShdPnd': 0, 'SigBlk': 0, 'SigIgn': 0, 'SigCgt': 0}


class Times:
    """Seconds since boot and of the wall clock, which a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.boot, self.wall = 100.0, 5000.0
        monkeypatch.setattr(procfs, 'now', lambda: self.boot)
        monkeypatch.setattr(procfs, 'ticks', lambda: 100)
        monkeypatch.setattr(time, 'time', lambda: self.wall)

    def pass_by(self, seconds: float, step: float = 0.0) -> None:
        """Let time pass, and step the clock."""
        self.boot += seconds
        self.wall += seconds + step


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    """Boot is at 100 s, and the wall clock at 5000 s."""
    return Times(monkeypatch)


def test_clock_that_never_steps_has_one_start_time(
        times: Times, tmp_path: Path,
) -> None:
    """The boot time plus the offset, however often it is asked."""
    clock = wall_clock.WallClock()
    for _ in range(40):
        assert clock.time() == times.wall
        times.pass_by(10.0, 0.001)

    earliest, latest = clock.born(9000, str(tmp_path))

    assert earliest == latest == pytest.approx(4990.0, abs=0.1)


def test_step_that_we_saw_is_allowed_for(times: Times, tmp_path: Path) -> None:
    """Only for a process that started before it; a step back changes nothing."""
    clock = wall_clock.WallClock()
    clock.time()
    times.pass_by(10.0, 3600.0)

    before = clock.born(9900, str(tmp_path))
    after = clock.born(10900, str(tmp_path))
    times.pass_by(10.0, -7200.0)
    back = clock.born(9900, str(tmp_path))

    assert before == (4999.0, 8599.0)
    assert after == (8609.0, 8609.0)
    assert back == (1399.0, 1399.0)


def test_steps_that_are_remembered_are_limited(times: Times) -> None:
    """A clock that steps all the time takes no memory."""
    clock = wall_clock.WallClock()
    for _ in range(100):
        clock.time()
        times.pass_by(1.0, 60.0)

    assert len(clock.offsets) == wall_clock.MOST_OFFSETS + 1


@pytest.mark.parametrize(('started', 'date', 'shows', 'earliest'), [
    # Looked up at 4000, but it started at 4910 by the clock of now.
    (1000, 4000.0, True, 4000.0),
    # A process that started earlier says nothing about a later one.
    (900, 4000.0, True, 4910.0),
    # gVisor's dates are its own.
    (1000, 4000.0, False, 4910.0),
    # Looked up long after its start.
    (1000, 4990.0, True, 4910.0),
])
def test_step_is_seen_in_the_dates_of_proc(
        times: Times, tmp_path: Path, started: int, date: float, shows: bool,
        earliest: float,
) -> None:
    """The directory of a process dates from after its start, by the clock of then."""
    root = tree(tmp_path)
    if shows:
        status = tmp_path / '50' / 'status'
        lines = ''.join(f'{name}:\t0\n' for name in MASKS)
        status.write_text(status.read_text() + lines)
    place = plant(tmp_path, 60, started=started)
    os.utime(place, (date, date))
    (tmp_path / '70').write_text('')

    found = wall_clock.WallClock().born(1000, root)

    assert found == (earliest, 4910.0)


def test_process_that_has_ended_says_nothing(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its directory is gone between two reads."""
    root = tree(tmp_path)
    status = tmp_path / '50' / 'status'
    status.write_text(''.join(f'{name}:\t0\n' for name in MASKS))
    monkeypatch.setattr(procfs, 'entries', lambda root: ['99'])
    monkeypatch.setattr(procfs, 'stat', lambda path: procfs.Stat(b'S', 1, 100))

    assert wall_clock.lowest_offset(100, root) == float('inf')


def test_real_process_was_born_just_now() -> None:
    """No step of the clock of this machine lies after its start."""
    with targets.start('handler') as target:
        started = procfs.started(target.pid)
        assert started is not None
        earliest, latest = wall_clock.CLOCK.born(started)

    assert earliest == latest
    assert abs(time.time() - earliest) < 60.0
