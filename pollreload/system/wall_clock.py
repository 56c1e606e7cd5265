"""The wall clock, and its steps within this boot.

Start times of processes count from the boot and never step; dates of files are of
the wall clock at that time. NTP steps it after the boot, and so does the host of a
virtual machine that was paused. Between the two lies an offset, in seconds.
"""
from __future__ import annotations

import os
import time

from pollreload.system import procfs

STEP = 1.0  # s: a smaller change is no step
MOST_OFFSETS = 16  # offsets that are remembered


class WallClock:
    """The offsets of the wall clock that this process has seen.

    offsets: until when each was in effect (boot seconds), and the offset.
    """

    def __init__(self) -> None:
        self.offsets: list[tuple[float, float]] = []

    def time(self) -> float:
        """Return the wall time in seconds of CLOCK_REALTIME, and note the offset."""
        boot, wall = procfs.now(), time.time()
        offset = wall - boot
        if self.offsets and abs(offset - self.offsets[-1][1]) < STEP:
            self.offsets[-1] = boot, self.offsets[-1][1]
        else:
            self.offsets = [*self.offsets[-MOST_OFFSETS:], (boot, offset)]
        return wall

    def born(self, started: int, root: str = '/proc') -> tuple[float, float]:
        """Return the earliest and latest wall time at which a process may have started.

        started: its start time in ticks. The two differ if the clock was set forward
        since then.
        """
        self.time()
        seconds = started / procfs.ticks()
        offset = self.offsets[-1][1]
        seen = [each for until, each in self.offsets if until >= seconds]
        earlier = min(*seen, lowest_offset(started, root))
        return seconds + (earlier if earlier < offset - STEP else offset), (
            seconds + offset
        )


def lowest_offset(started: int, root: str = '/proc') -> float:
    """Return the lowest offset of which /proc has evidence since a start time.

    The directory of a process is dated when it was first looked up, which is after
    the process started. An earlier date was made before the clock was set.
    """
    found = [float('inf')]
    # gVisor, which shows no signal masks, has dates of its own.
    if procfs.status(f'{root}/self').keys() >= procfs.MASK_FIELDS:
        for entry in procfs.entries(root):
            fields = procfs.stat(f'{root}/{entry}')
            if fields and fields.started >= started:
                try:
                    date = os.stat(f'{root}/{entry}').st_mtime
                except OSError:
                    continue
                found.append(date - fields.started / procfs.ticks())
    return min(found)


CLOCK = WallClock()
