"""Many polls and many changes: does anything grow, is anything missed or told twice?

As a program of its own, for it goes on beside the others:
endurance.py POLLS CHANGES DIRECTORY prints what was seen as JSON.
"""
from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import contenders
from benchmarks.measure import (
    Started,
    Target,
    asked,
    descriptors,
    resident,
    running,
    start,
)
from benchmarks.result import Result, Row, Scale

INTERVAL = 0.01
WATCHES = 2
SURVIVE = 0.02
PAUSE = 0.2  # s between two samples
# Bytes that pymalloc asks the kernel for at a time (ARENA_BITS, Objects/obmalloc.c):
# VmData shows no less, and one more may be needed in any run of any length.
ARENA = 1 << 20
BURST = 20  # changes at a time; until the next the files get old, and stat is believed
HOW = (
    '{watches} watches at an interval of 10 ms, the shortest there is, beside all the '
    'benchmarks above; polls are counted in their logs (-v). Each watches a directory '
    'of two files, which are replaced by rename(2) in turn, {burst} times on end and '
    'then not for as long, so that a change is found by reading and by stat; the next '
    'time only once the target was notified and --survive is over. One file that '
    'changes right after each of three deliveries would be taken for a feedback loop. '
    'Memory and descriptors are read five times a second; growth is the most of the '
    'last tenth of the polls against the most of the second tenth, of descriptors the '
    'fewest, because some are open during a delivery.'
)


class Endured:
    """A watch, its target, and what was seen of them so far."""

    def __init__(self, at: int, directory: Path) -> None:
        watched = directory / f'endured-{at}'
        watched.mkdir()
        self.files = watched / 'config', watched / 'other'
        self.log = directory / f'endured-{at}.log'
        for file in self.files:
            file.write_text('start\n')
        self.target = Target(
            contenders.PYTHON, contenders.SCRIPTS / 'target.py', f'bench-endure-{at}',
        )
        watch = contenders.pollreload(
            str(watched), self.target, INTERVAL, '--settle', '20ms', '--survive',
            f'{SURVIVE}', '-v',
        )
        self.started: Started = start(watch.command, said=self.log)
        self.read = 0
        self.polls = self.changes = self.missed = self.told = 0
        self.samples: list[tuple[int, int, int, int]] = []

    def look(self) -> None:
        """Count the polls, and look at what the watch holds."""
        with self.log.open('rb') as log:
            log.seek(self.read)
            new = log.read()
        whole = new[:new.rfind(b'\n') + 1]
        self.read += len(whole)
        self.polls += whole.count(b' polled: ')
        pid = self.started.pid
        self.samples.append((self.polls, resident([pid]), descriptors(pid), asked(pid)))

    def change(self) -> None:
        """Change one of the files, and see that the target is told, once."""
        self.changes += 1
        new = self.log.with_suffix('.new')
        new.write_text(f'change {self.changes}\n')
        os.rename(new, self.files[self.changes % 2])
        if self.target.wait(5.0) is None:
            self.missed += 1
        else:
            self.told += 1

    def drain(self) -> None:
        """Count what the target was told besides."""
        while self.target.wait(0.0) is not None:
            self.told += 1

    def seen(self) -> Mapping[str, object]:
        """Return what was seen, as JSON can have it."""
        return {
            'polls': self.polls, 'changes': self.changes, 'missed': self.missed,
            'extra': self.told - (self.changes - self.missed), 'samples': self.samples,
        }


def endure(polls: int, changes: int, directory: Path) -> list[Mapping[str, object]]:
    """Run the watches until they have polled so often, and return what was seen."""
    watches = [Endured(at, directory) for at in range(WATCHES)]
    each, times = polls // WATCHES, changes // WATCHES
    with running(*(
            started for watch in watches
            for started in (watch.started, watch.target.started)
    )):
        time.sleep(3.0)
        while any(watch.polls < each or watch.changes < times for watch in watches):
            time.sleep(PAUSE)
            for watch in watches:
                watch.drain()
                watch.look()
                ripe = watch.polls * times // each // BURST * BURST
                while watch.changes < (times if watch.polls >= each else ripe):
                    watch.change()
                    # Over --survive: a change before its end would wait for it.
                    time.sleep(3 * SURVIVE)
        time.sleep(1.0)
        for watch in watches:
            watch.drain()
            watch.look()
        return [watch.seen() for watch in watches]


def result(scale: Scale, watches: Sequence[Mapping[str, Any]]) -> Result:
    """Return the rows for what endure() saw."""
    polls, changes, missed, extra = (
        sum(int(watch[name]) for watch in watches)
        for name in ('polls', 'changes', 'missed', 'extra')
    )
    # A sample may come while a pidfd or a child is open: what leaks stays open.
    leaked = max(growth(watch, 2, choose=min) for watch in watches)
    grown, data = (max(growth(watch, which) for watch in watches) for which in (1, 3))
    late = max(growth(watch, 1, 0.8) for watch in watches)
    seen = f'{polls:,} polls, {changes:,} changes'
    return Result(
        'Many polls', HOW.format(watches=WATCHES, burst=BURST), [
            Row(
                f'{scale.polls:,} polls, {scale.endured:,} changes: missed', 'none',
                float(missed), 0.0, f'{missed} of {changes:,}', '', False, True,
            ),
            Row('the same: notified more than once', 'none', float(extra), 0.0,
                f'{extra}', '', False, True),
            Row('the same: more descriptors', 'none', leaked, 0.0, f'{leaked:g}',
                '', False, True),
            Row('the same: more memory asked for (VmData)',
                'at most one arena of Python (1 MiB)', data, ARENA,
                f'{data / 1024:g} KB', '', False, True),
            Row(
                'the same: more resident memory, last tenth of the polls against the '
                'one before', 'none but some pages: 64 KB', late, 64 * 1024,
                f'{late / 1024:g} KB', '', False,
            ),
        ], {}, [
            f'Seen in all: {seen}. Resident memory still rises by '
            f'{grown / 1024:g} KB after a tenth of the polls, and ever more slowly: '
            'these are pages of what was asked for before, touched for the first time. '
            'What is kept for each poll or change would have to be asked for.',
        ],
        [watch['samples'][::max(1, len(watch['samples']) // 200)] for watch in watches],
    )


def growth(
        watch: Mapping[str, Any], which: int, since: float = 0.1,
        choose: Callable[[Sequence[float]], float] = max,
) -> float:
    """Return the most of the last tenth of the polls less that of another one.

    since: where the other one begins; by default it is the second. choose: min, to
    compare the least of each.
    """
    end = watch['polls']
    early = [
        each[which] for each in watch['samples']
        if since <= each[0] / end < since + 0.1
    ]
    late = [each[which] for each in watch['samples'] if each[0] / end >= 0.9]
    return float(choose(late) - choose(early or late))


if __name__ == '__main__':
    print(json.dumps(endure(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
