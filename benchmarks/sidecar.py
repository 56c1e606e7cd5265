"""What one more watch costs: in a process, on a node, with --listen, at its start."""
from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import contenders
from benchmarks.contenders import Contender
from benchmarks.measure import (
    PATIENCE,
    Started,
    Target,
    cpu,
    median,
    paired,
    ran,
    resident,
    running,
    start,
    text,
)
from benchmarks.result import Result, Row, Scale, mega, milli

INTERVAL = 1.0
COUNT = 10  # sidecars of a node, and watches of a process
WARM = 4.0  # s; then a watch has polled the same version again
IMPORT = "python -I -c 'import click, xxhash'"
FLOOR, RIVAL = 'floor', 'watchfiles'
ALONE, LISTENING, AWARE, TEN = 'one', 'with --listen', 'after a delivery', 'ten watches'
HOW = (
    'Each on files of 2 KB at an interval of 1 s, with nothing to do. Ten sidecars run '
    'with one interpreter and its libraries, as from one image: USS is what a process '
    'has for itself, PSS adds its share of what it shares with others '
    '(smaps_rollup). The watch with --listen has answered one request. The one after a '
    'delivery checks at each poll whether its target has exited. CPU by schedstat in '
    '{windows} windows of {window:g} s, start-up left out. The start is CPU up to the '
    'line `baseline`, and a run is CPU by wait4(2), {runs} of each in turn; the median '
    'counts.'
)


def prepare(scale: Scale, directory: Path) -> None:
    """Make the files, one for each watch."""
    for number in range(COUNT):
        (directory / f'config-{number}').write_bytes(b'key = value\n' * 171)
    for name in ('listened', 'delivered'):
        (directory / name).write_bytes(b'key = value\n' * 171)


def run(scale: Scale, directory: Path) -> Result:
    """Measure what is added to one watch of one file."""
    target = Target(contenders.PYTHON, contenders.SCRIPTS / 'target.py', 'bench-more')
    paths = [str(directory / f'config-{number}') for number in range(COUNT)]
    with contextlib.ExitStack() as stack:
        def run_aside(contender: Contender) -> Started:
            started = start(contender.command, contender.variables)
            stack.enter_context(running(started))
            return started

        stack.enter_context(running(target.started))
        address = free_address()
        sidecars = [run_aside(watch(path, target)) for path in paths]
        rivals = [
            run_aside(contenders.libraries(path, target, INTERVAL)[RIVAL])
            for path in paths
        ]
        floors = [run_aside(contenders.floor(path, INTERVAL)) for path in paths]
        others = {
            LISTENING: run_aside(
                watch(str(directory / 'listened'), target, '--listen', address),
            ),
            AWARE: run_aside(delivering(directory / 'delivered', target)),
            TEN: run_aside(together(directory, paths, target)),
        }
        time.sleep(WARM)
        deliver(directory / 'delivered', target)
        urllib.request.urlopen(f'http://{address}/metrics').close()
        time.sleep(WARM)
        everyone = {ALONE: sidecars[0], **others}
        spent = windows(scale, everyone)
        memory = {name: resident([each.pid]) for name, each in everyone.items()}
        shares = {
            'pollreload': shared(sidecars), RIVAL: shared(rivals),
            FLOOR: shared(floors),
            'pollreload, ten watches in one process': shared([others[TEN]]),
        }
        begins, runs = starts(scale, paths[0], target)
    return report(scale, memory, spent, shares, {'watch, up to `baseline`': begins,
                                                 **runs})


def report(
        scale: Scale, memory: dict[str, int], spent: dict[str, list[float]],
        shares: dict[str, tuple[float, float]], runs: dict[str, list[float]],
) -> Result:
    """Return the rows and tables of what was measured."""
    used = {name: median(values) for name, values in runs.items()}
    polls = {name: median(values) for name, values in spent.items()}
    more = memory[LISTENING] - memory[ALONE]
    ours, theirs = shares['pollreload'], shares[RIVAL]
    beside = f'the import {milli(used[IMPORT])}'
    rows = [
        Row(
            'resident memory, one file, with --listen', 'at most 2 MB more than '
            'without', float(more), 2e6, f'{mega(more)} more',
            f'without {mega(memory[ALONE])}', False,
        ),
        Row(
            'one more sidecar on a node: memory of its own (USS)',
            'at most watchfiles', ours[0] / theirs[0], 1.0, mega(ours[0]),
            f'watchfiles {mega(theirs[0])}, floor {mega(shares[FLOOR][0])}',
        ),
        Row(
            'ten watches in one process: resident memory',
            'at most 1.2 times one watch', memory[TEN] / memory[ALONE], 1.2,
            mega(memory[TEN]), f'one {mega(memory[ALONE])}',
        ),
        Row(
            'the same: CPU of an idle poll of each', 'at most 1.5 times one watch '
            'alone', paired(spent[TEN], spent[ALONE]) / COUNT, 1.5,
            milli(polls[TEN] / COUNT), f'one alone {milli(polls[ALONE])}',
        ),
        Row(
            'an idle poll that checks whether a notified target has exited',
            'at most 2 times one without', paired(spent[AWARE], spent[ALONE]), 2.0,
            milli(polls[AWARE]), f'without {milli(polls[ALONE])}',
        ),
        *(
            Row(
                f'`{name}`: CPU' if name in ('doctor', 'smoke') else f'{name}: CPU',
                f'at most {limit:g} times `{IMPORT}`', paired(runs[name], runs[IMPORT]),
                limit, milli(used[name]), beside,
            ) for name, limit in (
                ('watch, up to `baseline`', 1.4), ('doctor', 4.0), ('smoke', 8.0),
            )
        ),
    ]
    return Result(
        'One more watch', HOW.format(**scale._asdict()), rows,
        {
            'Memory of one of ten processes, MB': {
                name: {'USS': uss / 1e6, 'PSS': pss / 1e6}
                for name, (uss, pss) in shares.items()
            },
            'One process': {
                name: {'resident, MB': memory[name] / 1e6,
                       'CPU a second, ms': polls[name] * 1000} for name in memory
            },
            'CPU of a run': {
                name: {'median, ms': value * 1000} for name, value in used.items()
            },
        },
        [
            'The ten watches poll at ten different times, so that the process wakes as '
            'often as ten processes do; the config file is checked besides. `doctor` '
            'reads the table of all processes, and `smoke` starts a target and '
            'watches of its own, whose CPU counts.',
        ],
    )


def watch(path: str, target: Target, *words: str) -> Contender:
    """Return a watch of one file."""
    return contenders.pollreload(path, target, INTERVAL, *words)


def delivering(path: Path, target: Target) -> Contender:
    """Return a watch that delivers the next version at once."""
    return watch(str(path), target, '--settle', '0', '--survive', '100ms')


def deliver(path: Path, target: Target) -> None:
    """Change a file and wait until the target is notified."""
    path.write_bytes(b'key = other\n' * 171)
    if target.wait(PATIENCE) is None:
        raise TimeoutError(f'{path} was not delivered within {PATIENCE:g} s')


def together(directory: Path, paths: Sequence[str], target: Target) -> Contender:
    """Return one process with a watch for each path."""
    config = directory / 'pollreload.toml'
    config.write_text(f'interval = "{INTERVAL:g}s"\n' + ''.join(
        f'[[watch]]\nname = "watch-{number}"\npath = "{path}"\n'
        f'process = "{target.name}"\n' for number, path in enumerate(paths)
    ))
    return Contender([contenders.POLLRELOAD, 'watch', '--config', str(config)])


def windows(scale: Scale, everyone: dict[str, Started]) -> dict[str, list[float]]:
    """Return name -> CPU of a second in each window, all side by side."""
    spent: dict[str, list[float]] = {name: [] for name in everyone}
    for _ in range(scale.windows):
        before = {name: cpu([each.pid]) for name, each in everyone.items()}
        time.sleep(scale.window)
        for name, each in everyone.items():
            spent[name].append((cpu([each.pid]) - before[name]) / scale.window)
    return spent


def shared(some: Sequence[Started]) -> tuple[float, float]:
    """Return the mean USS and PSS of processes, in bytes."""
    rollups = [text(f'/proc/{each.pid}/smaps_rollup') for each in some]
    uss = sum(kilobytes(each, 'Private_Clean') + kilobytes(each, 'Private_Dirty')
              for each in rollups)
    pss = sum(kilobytes(each, 'Pss') for each in rollups)
    return uss * 1024 / len(some), pss * 1024 / len(some)


def kilobytes(rollup: str, field: str) -> int:
    """Return a field of smaps_rollup."""
    found = re.search(rf'^{field}: +(\d+) kB', rollup, re.MULTILINE)
    assert found, field
    return int(found[1])


def starts(
        scale: Scale, path: str, target: Target,
) -> tuple[list[float], dict[str, list[float]]]:
    """Return the CPU of starts up to `baseline`, and of runs of other commands."""
    program = contenders.POLLRELOAD
    commands: dict[str, Callable[[], float]] = {
        IMPORT: lambda: ran([
            contenders.PYTHON, '-I', '-c', 'import click, xxhash',
        ]),
        'doctor': lambda: ran([program, 'doctor', '--process', target.name, path]),
        'smoke': lambda: ran([program, 'smoke']),
    }
    begins = []
    runs: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(max(3, scale.runs // 2)):
        begins.append(started_up(watch(path, target).command))
        for name, command in commands.items():
            runs[name].append(command())
    return begins, runs


def started_up(command: Sequence[str]) -> float:
    """Return the CPU of a watch from its start to its line `baseline`."""
    with subprocess.Popen(
            [*command, '--log-format', 'json'], stderr=subprocess.PIPE,
            start_new_session=True,
    ) as child, running(Started(child)):
        assert child.stderr is not None
        for line in child.stderr:
            if b'"baseline"' in line:
                return cpu([child.pid])
    raise OSError(f'{" ".join(command)} ended without a baseline')


def free_address() -> str:
    """Return an address of the loopback interface that can be listened on."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        return f'127.0.0.1:{server.getsockname()[1]}'
