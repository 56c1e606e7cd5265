"""Many small files: CPU of a poll, memory, what is found, and how both grow."""
from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import contenders, turns
from benchmarks.contenders import Contender
from benchmarks.measure import Target, median, paired, running
from benchmarks.result import Result, Row, Scale, mega, milli

INTERVAL = 1.0
SIZE = 2048
LOOP = 'sha256sum loop'
NAMED = 'pollreload', 'watchfiles'  # compared by a target
OTHERS = 2  # turns of whom no target compares
EACH = 100  # files in a directory
HOW = (
    '{files} files of 2 KB, 100 in a directory, at an interval of 1 s with nothing to '
    'do. The contenders take turns of {part:g} s, each after it was warm, pollreload '
    'and watchfiles {rounds} times, the others twice; the median turn counts. CPU by '
    'schedstat, of the sha256sum loop by wait4(2) as above. Then one file is rewritten '
    'in place with as many other bytes and its mtime is put back, while all of them '
    'watch: a change counts as found when the target of that tool is notified.'
)
GROWTH = (
    'The same with {sizes} files. The exponent is that of a power law fitted to the '
    'three (least squares of the logarithms), once what one file costs is taken off.'
)


def warmed(count: int) -> float:
    """Return how long, in seconds, a start and two polls of so many files may take."""
    return 4.0 + min(count / 4000, 12.0)


def turns_of(count: int, scale: Scale) -> int:
    """Return how often the growth of a contender is measured."""
    return 2 if scale.rounds > 1 and count <= 10_000 else 1


def fill(top: Path, count: int) -> None:
    """Make files."""
    for at in range(count):
        if at % EACH == 0:
            (top / f'{at // EACH:04d}').mkdir(parents=True)
        name = top / f'{at // EACH:04d}' / f'{at % EACH:02d}.conf'
        name.write_bytes(b'%015d\n' % at * (SIZE // 16))


def prepare(scale: Scale, directory: Path) -> None:
    """Make the files of run."""
    fill(directory / 'many', scale.files)


def prepare_growth(scale: Scale, directory: Path) -> None:
    """Make the files of growth."""
    for count in (1, *scale.sizes):
        fill(directory / str(count), count)


def run(scale: Scale, directory: Path) -> Result:
    """Measure an idle poll of many files."""
    top = directory / 'many'
    target = Target(contenders.PYTHON, contenders.SCRIPTS / 'target.py', 'bench-many')
    path = str(top)
    everyone = {
        'pollreload': contenders.pollreload(path, target, INTERVAL),
        **contenders.libraries(path, target, INTERVAL),
    }
    if not scale.few:
        everyone |= {
            **contenders.fswatch(path, target, INTERVAL),
            LOOP: contenders.shell(path, target, INTERVAL)[LOOP],
            'floor, which reads all': contenders.floor(path, INTERVAL),
        }
    warm = warmed(scale.files)
    with running(target.started):
        costs: dict[str, list[float]] = {name: [] for name in everyone}
        memory: dict[str, list[int]] = {name: [] for name in everyone}
        reads: list[float] = []
        for number in range(scale.rounds):
            for name, each in everyone.items():
                if number >= OTHERS and name not in NAMED:
                    continue
                turned = turns.turn(each, warm, scale.part, INTERVAL)
                costs[name].append(turned.cpu)
                memory[name].append(turned.memory)
                if name == 'pollreload':
                    reads.append(turned.read / (scale.files * SIZE))
    found = finders(top, warm)
    used = {name: median(values) for name, values in costs.items()}
    held_by = {name: median(values) for name, values in memory.items()}
    table = {
        name: {
            'CPU a poll, ms': used[name] * 1000,
            'memory, MB': held_by[name] / 1e6 if held_by[name] else None,
            'finds a rewrite of the same size, mtime put back': found.get(name, ''),
        } for name in everyone
    }
    label = f'{scale.files:,} files of 2 KB'
    return Result(
        label, HOW.format(**{**scale._asdict(), 'files': f'{scale.files:,}'}), [
            Row(
                f'{label}: CPU a poll', 'at most 1.2 times watchfiles',
                paired(costs['pollreload'], costs['watchfiles']), 1.2,
                milli(used['pollreload']), f'watchfiles {milli(used["watchfiles"])}',
            ),
            Row(
                'the same: a rewrite of the same size with the mtime put back',
                'found', float(found['pollreload'] != 'yes'), 0.0,
                found['pollreload'], f'watchfiles {found["watchfiles"]}, '
                f'watchdog {found["watchdog"]}', False, True,
            ),
            Row(
                'the same: resident memory', 'at most watchfiles',
                held_by['pollreload'] / held_by['watchfiles'], 1.0,
                mega(held_by['pollreload']),
                f'watchfiles {mega(held_by["watchfiles"])}, '
                f'watchdog {mega(held_by["watchdog"])}',
            ),
            Row(
                'the same: bytes read at a poll (--rehash over the polls)',
                'at most 2/60 of them all', median(reads), 2 / 60,
                f'{median(reads) * 60:.2f}/60', '', False, True,
            ),
        ],
        {label: table},
        [
            'The mtime does not show the rewrite; the ctime does, which the kernel '
            'sets and no program can put back. What even the ctime does not show is '
            'found within --rehash: each file is read again once in 60 s, a sixtieth '
            'of them at each poll, which the figures above contain.',
            'Nearly all of the CPU of pollreload is os.stat of Python, and a tenth is '
            'what is read again; watchfiles is written in Rust, and reads nothing.',
        ],
        {name: [held_by[name], used[name]] for name in everyone},
    )


def finders(top: Path, warm: float) -> dict[str, str]:
    """Return name -> 'yes' or 'no': whether a rewrite is found that hides its mtime."""
    targets = [
        Target(contenders.PYTHON, contenders.SCRIPTS / 'target.py', f'bench-find-{at}')
        for at in range(5)
    ]
    path = str(top)
    watchers: dict[str, tuple[Contender, Target]] = {
        'pollreload': (contenders.pollreload(path, targets[0], INTERVAL), targets[0]),
    }
    for target, make in zip(targets[1:3], ('watchfiles', 'watchdog'), strict=True):
        watchers[make] = contenders.libraries(path, target, INTERVAL)[make], target
    for name, each in contenders.fswatch(path, targets[3], INTERVAL).items():
        watchers[name] = each, targets[3]
    loop = contenders.shell(path, targets[4], INTERVAL)[LOOP]
    if contenders.here('pgrep'):
        watchers[LOOP] = loop, targets[4]
    started = [turns.begin(each) for each, _ in watchers.values()]
    with running(*started, *(target.started for target in targets)):
        time.sleep(1.5 * warm)
        hide(next(top.glob('*/*.conf')))
        until = time.monotonic() + 5
        return {
            name: 'yes' if target.wait(max(0.0, until - time.monotonic())) else 'no'
            for name, (_, target) in watchers.items()
        }


def hide(file: Path) -> None:
    """Rewrite a file in place with as many other bytes, and put its mtime back."""
    before = file.stat()
    with file.open('r+b') as opened:
        opened.write(b'#' * 16)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def growth(scale: Scale, directory: Path) -> Result:
    """Measure how time and memory grow with the number of files."""
    target = Target(contenders.PYTHON, contenders.SCRIPTS / 'target.py', 'bench-grow')
    costs: dict[str, dict[int, tuple[float, int]]] = {}
    with running(target.started):
        for count in (1, *scale.sizes):
            path = str(directory / str(count))
            warm = warmed(count)
            everyone = {'pollreload': contenders.pollreload(path, target, INTERVAL)}
            if not scale.few:
                everyone |= contenders.libraries(path, target, INTERVAL)
            for name, each in everyone.items():
                turned = [
                    turns.turn(each, warm, scale.part, INTERVAL)
                    for _ in range(turns_of(count, scale))
                ]
                costs.setdefault(name, {})[count] = (
                    median([each.cpu for each in turned]),
                    int(median([each.memory for each in turned])),
                )
    slopes = {
        name: [
            exponent({
                count: above(got[count][which], got[1][which])
                for count in scale.sizes
            }) for which in (0, 1)
        ] for name, got in costs.items()
    }
    sizes = ' / '.join(f'{count:,}' for count in scale.sizes)
    rows = [
        Row(
            f'{sizes} files: {what}', 'linear: exponent at most 1.05',
            slopes['pollreload'][which], 1.05, f'{slopes["pollreload"][which]:.3f}',
            ', '.join(
                f'{name} {slopes[name][which]:.3f}' for name in slopes
                if name != 'pollreload'
            ), False,
        ) for which, what in enumerate(('time of a poll', 'memory'))
    ]
    return Result(
        'More and more files', GROWTH.format(sizes=sizes), rows, {
            'CPU a poll, ms': columns(costs, 0, 1e3),
            'Memory, MB': columns(costs, 1, 1e-6),
        }, [], {
            name: {str(count): list(each) for count, each in got.items()}
            for name, got in costs.items()
        },
    )


def columns(
        costs: Mapping[str, Mapping[int, Sequence[float]]], which: int, unit: float,
) -> dict[str, dict[str, float | str | None]]:
    """Return a table: contender -> number of files -> cost."""
    return {
        name: {f'{count:,}': each[which] * unit for count, each in got.items()}
        for name, got in costs.items()
    }


def above(cost: float, least: float) -> float:
    """Return what a cost is above the least, or all of it where that is nothing."""
    return cost - least if cost > least else cost


def exponent(costs: Mapping[int, float]) -> float:
    """Return the exponent of the power law that fits best."""
    points = [(math.log(count), math.log(cost)) for count, cost in costs.items()]
    middle = sum(x for x, _ in points) / len(points)
    level = sum(y for _, y in points) / len(points)
    return (
        sum((x - middle) * (y - level) for x, y in points)
        / sum((x - middle) ** 2 for x, _ in points)
    )
