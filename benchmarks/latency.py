"""How long after a change its program is told."""
from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import contenders, turns
from benchmarks.contenders import Contender
from benchmarks.measure import Target, median, percentile, running
from benchmarks.result import Result, Row, Scale, Table, milli

INTERVAL, SETTLE = 0.2, 0.05
WATCHES = 4
HOW = (
    'A file is replaced by rename(2) at a random time; from there to the first line of '
    "the target's handler, both by CLOCK_MONOTONIC. Interval 200 ms, for pollreload "
    'also settle 50 ms; {watches} watches with {each} changes each, the rivals beside '
    'them with a third as many. pollreload watches a directory of two files that are '
    'changed in turn, because it slows down for one file that changes right after each '
    'of three deliveries.'
)


def run(scale: Scale, directory: Path) -> Result:
    """Measure the time from a change to the signal."""
    watchers: dict[str, tuple[Contender, Target, Path]] = {}

    def place(name: str) -> tuple[str, Target, Path]:
        file = directory / f'late-{len(watchers)}' / 'watched' / 'config'
        file.parent.mkdir(parents=True)
        file.write_bytes(b'start\n')
        target = Target(
            contenders.PYTHON, contenders.SCRIPTS / 'target.py',
            f'bench-late-{len(watchers)}',
        )
        return str(file), target, file

    for at in range(WATCHES):
        _, target, file = place('pollreload')
        file.with_name('other').write_bytes(b'start\n')
        watchers[f'pollreload {at}'] = contenders.pollreload(
            str(file.parent), target, INTERVAL,
            '--settle', f'{SETTLE}', '--survive', '50ms',
        ), target, file
    for name in ('watchfiles', 'watchdog'):
        path, target, file = place(name)
        watchers[name] = (
            contenders.libraries(path, target, INTERVAL)[name], target, file,
        )
    for name in ('sha256sum loop', 'inotifywait loop'):
        path, target, file = place(name)
        found = contenders.shell(path, target, INTERVAL)
        if name in found and contenders.here('pgrep'):
            watchers[name] = found[name], target, file
        else:
            target.end()
    path, target, file = place('entr')
    found = contenders.entr(path, target)
    if found:
        watchers['entr'] = found['entr'], target, file
    else:
        target.end()
    started = [turns.begin(each) for each, _, _ in watchers.values()]
    took: dict[str, list[float]] = {}
    missed: dict[str, int] = {}
    with running(*started, *(target.started for _, target, _ in watchers.values())):
        time.sleep(3.0)
        threads = [
            threading.Thread(target=change, args=(
                name, target,
                (file, file.with_name('other')) if 'pollreload' in name else (file,),
                scale.changes // (1 if name.startswith('pollreload') else 3),
                took, missed,
            )) for name, (_, target, file) in watchers.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    ours = [
        each for at in range(WATCHES) for each in took.pop(f'pollreload {at}')
    ]
    lost = sum(missed.pop(f'pollreload {at}') for at in range(WATCHES))
    every = {'pollreload': ours, **took}
    losses = {'pollreload': lost, **missed}
    middle, late = median(ours), percentile(ours, 0.99)
    table: Table = {
        name: {
            'changes': float(len(values) + losses[name]),
            'median, ms': median(values) * 1000,
            '99th percentile, ms': percentile(values, 0.99) * 1000,
            'not notified within 4 s': float(losses[name]),
        } for name, values in every.items() if values
    }
    i, s = f'{INTERVAL * 1000:g} ms', f'{SETTLE * 1000:g} ms'
    return Result(
        'From the change to the signal',
        HOW.format(watches=WATCHES, each=scale.changes), [
            Row(
                f'change to signal, interval i {i}, settle s {s}: median',
                'at most i/2 + s + 10 ms', middle, INTERVAL / 2 + SETTLE + 0.010,
                milli(middle), f'limit {milli(INTERVAL / 2 + SETTLE + 0.010)}', False,
            ),
            Row(
                'the same: 99th percentile', 'at most i + s + 30 ms', late,
                INTERVAL + SETTLE + 0.030, milli(late),
                f'limit {milli(INTERVAL + SETTLE + 0.030)}', False,
            ),
            Row(
                'the same: changes without a notification', 'none', float(lost), 0.0,
                f'{lost} of {len(ours) + lost}', '', False, True,
            ),
        ],
        {f'Interval {i}': table},
        [
            'Who waits for inotify need not wait for a poll: where inotify sees the '
            'change, nothing that polls can be as fast. watchfiles, when it polls, '
            'compares the mtime in whole seconds, so that the second change within one '
            'is not seen; its median is that of the others.',
        ],
        {name: sorted(values) for name, values in every.items()},
    )


def change(
        name: str, target: Target, files: Sequence[Path], count: int,
        took: dict[str, list[float]], missed: dict[str, int],
) -> None:
    """Change files in turn, and note how long their target waits for the signal."""
    took[name], missed[name] = [], 0
    chance = random.Random(name)
    new = files[0].parent.with_name('new')
    for number in range(count):
        # Over a whole interval, so that each phase of it has its share; and after
        # --survive, and what others may still have to say about the last one.
        time.sleep(0.15 + INTERVAL * chance.random())
        while target.wait(0.0):
            pass
        new.write_text(f'change {number} of {name}\n')
        before = time.monotonic()
        os.rename(new, files[number % len(files)])
        told = target.wait(4.0)
        if told is None:
            missed[name] += 1
        else:
            took[name].append(told - before)
