"""What a benchmark gives: rows with a target, tables, and points to plot."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Table = Mapping[str, Mapping[str, float | str | None]]


class Row(NamedTuple):
    """A target, and what was seen.

    value: what is compared with the limit, and must not exceed it. ours, theirs:
    what it was made from, for a person. ratio: the value is one of the two.
    counted: the machine's speed is no matter to it, so it must be met everywhere.
    """

    what: str
    target: str
    value: float
    limit: float
    ours: str
    theirs: str = ''
    ratio: bool = True
    counted: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.limit


class Result(NamedTuple):
    """All that one benchmark gives.

    title, how: for a person; how says what was counted, in two lines or so.
    tables: title -> row -> column -> value. notes: sentences below them.
    points: for the plots.
    """

    title: str
    how: str
    rows: Sequence[Row] = ()
    tables: Mapping[str, Table] = {}
    notes: Sequence[str] = ()
    points: Any = None


class Scale(NamedTuple):
    """How much is measured."""

    windows: int  # of an idle sidecar
    window: float  # s
    files: int
    sizes: Sequence[int]
    rounds: int  # over the contenders, where they take turns
    part: float  # s of each turn
    big: int  # bytes
    crowd: int
    runs: int  # of check
    changes: int  # for the latency, of each of four watches
    few: bool  # only the contenders that a target names, where many cost time
    polls: int
    endured: int  # changes
    pods: int


FULL = Scale(
    windows=5, window=10.0, files=10_000, sizes=(1_000, 10_000, 100_000), rounds=5,
    part=5.0, big=1 << 30, crowd=10_000, runs=40, changes=60, few=False, polls=100_000,
    endured=1000, pods=100_000,
)
QUICK = Scale(
    windows=1, window=4.0, files=1_000, sizes=(1_000, 8_000), rounds=1, part=2.0,
    big=64 << 20, crowd=300, runs=5, changes=5, few=True, polls=5_000,
    endured=50, pods=5_000,
)


def mega(count: float) -> str:
    """Return bytes as a person would write them."""
    return f'{count / 1e6:.1f} MB'


def milli(seconds: float) -> str:
    """Return seconds as a person would write them: '4.9 ms', '0.061 ms'."""
    value = seconds * 1000
    return f'{value:.1f} ms' if value >= 1 else f'{value:.3f} ms'


def times(value: float) -> str:
    """Return a ratio as a person would write it."""
    return f'{value:.2f}' if value >= 0.1 else f'1/{1 / value:.0f}' if value else '0'
