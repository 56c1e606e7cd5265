"""The CPU of a poll, also of those whose work is done by processes that end."""
from __future__ import annotations

import time
from typing import NamedTuple

from benchmarks.contenders import Contender
from benchmarks.measure import Started, bytes_read, cpu, resident, start


class Turn(NamedTuple):
    """What a poll costs: CPU, memory held, bytes read; 0 for what is not known."""

    cpu: float
    memory: int
    read: float


def begin(contender: Contender) -> Started:
    """Start a contender."""
    return start(contender.command, contender.variables, words=contender.words)


def polls(seconds: float, busy: float, interval: float, grid: bool) -> float:
    """Return how many polls there were in a time, of which some was work.

    Who sleeps between two polls polls less often than who keeps to a grid.
    """
    return (seconds if grid else seconds - busy) / interval


def turn(
        contender: Contender, warm: float, window: float, interval: float,
) -> Turn:
    """Return what a poll costs; start-up is left out."""
    if contender.forks:
        return Turn(looped(contender, window, interval), 0, 0.0)
    started = begin(contender)
    try:
        time.sleep(warm)
        pids = started.pids()
        read = bytes_read(started.pid)
        before, began = cpu(pids), time.monotonic()
        time.sleep(window)
        took, seconds = cpu(pids) - before, time.monotonic() - began
        memory = resident(pids)
        if started.child.poll() is not None:
            raise OSError(f'{contender.command} ended with {started.child.returncode}')
        count = polls(seconds, took, interval, contender.grid)
        return Turn(took / count, memory, (bytes_read(started.pid) - read) / count)
    finally:
        started.end()


def looped(contender: Contender, window: float, interval: float) -> float:
    """Return the CPU of a poll of a loop in the shell.

    Two runs of it, one longer than the other by some whole intervals: they
    differ by as many polls. wait4(2) tells the CPU of all that they waited for.
    """
    count = max(1, int(window / interval) - 1)
    short, long = begin(contender), begin(contender)
    try:
        time.sleep(1.5 * interval)
        first = short.end()
        time.sleep(count * interval)
        took = long.end() - first
        return took / polls(count * interval, took, interval, False)
    finally:
        short.end()
        long.end()
