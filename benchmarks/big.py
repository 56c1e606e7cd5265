"""One big file: the first look, an unchanged poll, a rewrite in place."""
from __future__ import annotations

import os
import re
from pathlib import Path

from benchmarks import contenders
from benchmarks.measure import (
    Target,
    bytes_read,
    cpu,
    median,
    paired,
    printed,
    ran,
    running,
    start,
    until,
)
from benchmarks.result import Result, Row, Scale, milli

INTERVAL = 0.5
HOW = (
    'A file of {size}, random bytes, in the page cache. The first poll is CPU of what '
    'a watch does at its first poll, in a fresh process after its imports: a sidecar '
    'starts once. Beside it, in turn, {runs} times, whole processes by wait4(2), '
    'start-up and all: `pollreload digest` is Python and its imports too. Bytes read '
    'are rchar of /proc/PID/io from poll to poll of a running watch.'
)


def prepare(scale: Scale, directory: Path) -> None:
    """Make the file; all of it is in the page cache then."""
    piece = os.urandom(1 << 20)
    with (directory / 'big').open('wb') as opened:
        for at in range(scale.big >> 20):
            opened.write(at.to_bytes(4, 'little') + piece[4:])


def run(scale: Scale, directory: Path) -> Result:
    """Measure one big file."""
    file = directory / 'big'
    path = str(file)
    commands = {'pollreload digest': [contenders.POLLRELOAD, 'digest', path]}
    if contenders.here('xxhsum'):
        commands['xxhsum -H2'] = ['xxhsum', '-H2', path]
    spent: dict[str, list[float]] = {name: [] for name in (*commands, 'first poll')}
    look = [contenders.PYTHON, contenders.script('first_look.py'), path]
    runs = 3 if scale.rounds == 1 else 9
    for _ in range(runs):
        spent['first poll'].append(int(printed(look)[1]) / 1e9)
        for name, command in commands.items():
            spent[name].append(ran(command))
    used = {name: median(values) for name, values in spent.items()}
    reads, late, cost = polls(file, scale, directory)
    size = f'{scale.big / (1 << 30):g} GiB' if scale.big >= 1 << 30 else (
        f'{scale.big >> 20} MiB'
    )
    label = f'one file of {size}'
    rows = [
        Row(
            f'{label}: bytes of it read at an unchanged poll', 'none',
            float(median(reads)), 0.0, f'{median(reads):g}', '', False, True,
        ),
        Row(
            f'{label}: a rewrite of one byte in place is found', 'at the next poll',
            float(late), 1.0, f'at poll {late} after it', '', False, True,
        ),
    ]
    if 'xxhsum -H2' in used:
        rows.insert(0, Row(
            f'{label}: first hash, start-up left out', 'at most 1.2 times xxhsum -H2',
            paired(spent['first poll'], spent['xxhsum -H2']), 1.2,
            milli(used['first poll']), f'xxhsum -H2 {milli(used["xxhsum -H2"])}',
        ))
    return Result(
        'One big file', HOW.format(size=size, runs=runs), rows,
        {f'CPU, {label}': {
            name: {'median, ms': value * 1000} for name, value in used.items()
        }},
        [
            'It is read once more at the second poll, for stat is believed of what '
            'two looks have read. '
            f'An unchanged poll of it took {cost * 1000:.3f} ms of CPU. --rehash reads '
            f'it all once in 60 s; this watch had --rehash 1h, so that none of the '
            f'{len(reads)} polls that are counted was the one.',
        ],
    )


def polls(file: Path, scale: Scale, directory: Path) -> tuple[list[int], int, float]:
    """Return what unchanged polls read, after how many a rewrite was found, and the
    CPU of an unchanged one.
    """
    target = Target(contenders.PYTHON, contenders.SCRIPTS / 'target.py', 'bench-big')
    log = directory / 'big.log'
    watch = contenders.pollreload(
        str(file), target, INTERVAL, '--rehash', '1h', '-v', '--settle', '0',
    )
    began = start(watch.command, said=log)
    with running(began, target.started):
        until(lambda: len(seen(log)) >= 3, 'three polls of a big file')
        reads = []
        spent = cpu([began.pid])
        count = 3 if scale.rounds == 1 else 8
        for _ in range(count):
            before, polled = bytes_read(began.pid), len(seen(log))
            until(lambda: len(seen(log)) > polled, 'a poll')  # noqa: B023
            reads.append(bytes_read(began.pid) - before)
        spent = (cpu([began.pid]) - spent) / count
        before_change = seen(log)
        with file.open('r+b') as opened:
            opened.seek(scale.big // 2)
            opened.write(b'!')
        until(lambda: seen(log)[-1] != before_change[-1], 'the rewrite is seen')
        after = seen(log)[len(before_change):]
    return reads, 1 + sum(each == before_change[-1] for each in after), spent


def seen(log: Path) -> list[str]:
    """Return the fingerprint that each poll saw."""
    return re.findall(r'polled: saw (\w+)', log.read_text('utf-8'))
