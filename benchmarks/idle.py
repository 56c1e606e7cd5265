"""One small file that nobody changes: memory, CPU and system calls of a poll."""
from __future__ import annotations

import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from benchmarks import contenders, turns
from benchmarks.contenders import Contender
from benchmarks.measure import (
    Started,
    Target,
    cpu,
    median,
    paired,
    resident,
    rounds,
    running,
    traced,
)
from benchmarks.result import Result, Row, Scale, mega, milli
from pollreload.runtime.watch import Watch
from pollreload.settings import Settings

INTERVAL = 1.0
SLEEP = 'rt_sigtimedwait'
HOMES = sorted({sysconfig.get_path(name) for name in ('purelib', 'platlib')})
LOOP = 'sha256sum loop'
WARM = 2000  # polls, one after another
HOW = (
    'All contenders run side by side for {windows} windows of {window:g} s, each on '
    'the same file of 2 KB at an interval of 1 s, with nothing to do; the median '
    'window counts. CPU is what the scheduler gave their threads (schedstat), start-up '
    'left out. The sha256sum loop does its work in processes that end: it is run '
    'twice, for two polls and for the whole window, and the difference in wait4(2) is '
    'shared out.'
)


def prepare(scale: Scale, directory: Path) -> None:
    """Make the file."""
    (directory / 'config').write_bytes(b'key = value\n' * 171)


def run(scale: Scale, directory: Path) -> Result:
    """Measure an idle poll of one file."""
    file = directory / 'config'
    target = Target(contenders.PYTHON, contenders.SCRIPTS / 'target.py', 'bench-idle')
    path = str(file)
    everyone = {
        'pollreload': contenders.pollreload(path, target, INTERVAL),
        'pollreload, python -IS': imaged(path, target),
        'floor': contenders.floor(path, INTERVAL),
        'floor, python -IS': floor_imaged(path),
        **contenders.libraries(path, target, INTERVAL),
        **contenders.shell(path, target, INTERVAL),
        **contenders.monit(path, target, directory),
        **contenders.entr(path, target),
        **contenders.fswatch(path, target, INTERVAL),
    }
    started = {name: turns.begin(each) for name, each in everyone.items()}
    with running(target.started, *started.values()):
        time.sleep(3.0)
        spent = windows(scale, everyone, started)
        memory = {name: resident(each.pids()) for name, each in started.items()}
        count = 4 if scale.few else 10
        calls = trace(everyone, started, count)
    used = {
        name: median(values) for name, values in spent.items()
        if not everyone[name].events
    }
    ours = lengths(calls['pollreload'])
    modules, warm = profile(path)
    rival = min('watchfiles', 'watchdog', key=lambda name: used[name])
    table = {
        name: {
            'memory, MB': memory[name] / 1e6,
            'CPU a poll, ms': used[name] * 1000 if name in used else None,
            'system calls a poll': each_poll(calls.get(name), count, contender),
            'how': 'waits for inotify' if contender.events else 'polls',
        } for name, contender in everyone.items()
    }
    least, imaged_floor = 'floor', 'floor, python -IS'
    return Result(
        'One file, idle', HOW.format(**scale._asdict()), [
            Row(
                'resident memory, one file, steady', 'at most 1.32 times the floor',
                memory['pollreload'] / memory[least], 1.32,
                mega(memory['pollreload']), f'floor {mega(memory[least])}',
            ),
            Row(
                'the same, by `python -IS`, as the image starts it',
                'at most 1.32 times the floor by -IS',
                memory['pollreload, python -IS'] / memory[imaged_floor], 1.32,
                mega(memory['pollreload, python -IS']),
                f'floor {mega(memory[imaged_floor])}',
            ),
            Row(
                'CPU of an idle poll, one file', 'at most the cheaper of the pollers '
                'in Python', paired(spent['pollreload'], spent[rival]), 1.0,
                milli(used['pollreload']), f'{rival} {milli(used[rival])}',
            ),
            Row(
                'the same', 'at most 2.5 times the floor',
                paired(spent['pollreload'], spent[least]), 2.5,
                milli(used['pollreload']), f'floor {milli(used[least])}',
            ),
            Row(
                'system calls of an idle poll, one small file',
                'at most 5 with the sleep',
                median(ours), 5.0, f'{median(ours):g}',
                f'floor {median(lengths(calls[least])):g}', False, True,
            ),
        ],
        {'One file, interval 1 s': table},
        [
            'The calls of an idle poll of pollreload: '
            f'{", ".join(typical(calls["pollreload"]))}. Once in 60 polls, which is '
            '--rehash at this interval, the file is read again, by open, fstat, read '
            f'and close: in one of {scale.windows} windows at most, which the median '
            'leaves out.',
            'Memory is VmRSS, summed over the processes of a contender (a page that '
            'two of them share counts twice), so with the sleep of a loop. monit '
            'reads the process table in each cycle.',
            f'An idle poll of pollreload executes {modules.total():,} bytecode '
            f'instructions, most of them in {shares(modules)}. One after another, '
            f'without a sleep, {WARM:,} polls take {milli(warm)} each: the rest of the '
            f'{milli(used["pollreload"])} is what the caches of the CPU have lost '
            'after a second, for the floor as well.',
        ],
        {name: [memory[name], used.get(name)] for name in everyone},
    )


def profile(path: str) -> tuple[Counter[str], float]:
    """Return module -> bytecode instructions of an idle poll, and seconds of a poll.

    The seconds are CPU, of polls that follow one another without a sleep.
    """
    watch = Watch(Settings((path,), 'bench-none', on_start='never'), ignore)
    counts: Counter[str] = Counter()

    def poll() -> None:
        watch.state = watch.state._replace(poll_at=0.0, next_reading=0.0)
        watch.step()

    def trace(frame: FrameType, event: str, _: object) -> object:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == 'opcode':
            counts[frame.f_globals['__name__'].removeprefix('pollreload.')] += 1
        return trace

    for _ in range(WARM // 10):
        poll()
    began = time.process_time()
    for _ in range(WARM):
        poll()
    took = (time.process_time() - began) / WARM
    sys.settrace(trace)
    try:
        poll()
    finally:
        sys.settrace(None)
    return counts, took


def ignore(event: str, message: str, /, **fields: object) -> None:
    """Log nothing."""


def shares(counts: Counter[str]) -> str:
    """Return the modules that count most, as text."""
    return ', '.join(f'{name} ({count})' for name, count in counts.most_common(5))


def imaged(path: str, target: Target) -> Contender:
    """Return pollreload by an interpreter that skips site, as the image does."""
    watch = contenders.pollreload(path, target, INTERVAL)
    words = (
        f'import sys; sys.path += {HOMES}; from pollreload.__main__ import command; '
        'command()'
    )
    return watch._replace(command=[
        contenders.PYTHON, '-ISXutf8', '-c', words,
        *watch.command[1:],
    ])


def floor_imaged(path: str) -> Contender:
    """Return the floor, started in the same way."""
    script = contenders.script('floor.py')
    words = f'import sys; sys.path += {HOMES}; exec(open({script!r}).read())'
    return Contender([contenders.PYTHON, '-ISXutf8', '-c', words, f'{INTERVAL}', path])


def windows(
        scale: Scale, everyone: Mapping[str, Contender], started: Mapping[str, Started],
) -> dict[str, list[float]]:
    """Return name -> CPU of a poll in each window."""
    spent: dict[str, list[float]] = {name: [] for name in everyone}
    for _ in range(scale.windows):
        pids = {name: each.pids() for name, each in started.items()}
        before = {name: cpu(some) for name, some in pids.items()}
        began = time.monotonic()
        loop = turns.looped(everyone[LOOP], scale.window, INTERVAL)
        for name, some in pids.items():
            took = cpu(some) - before[name]
            count = turns.polls(time.monotonic() - began, took, INTERVAL, False)
            spent[name].append(took / count)
        spent[LOOP][-1] = loop
    return spent


def trace(
        everyone: Mapping[str, Contender], started: Mapping[str, Started], count: int,
) -> dict[str, list[str]]:
    """Return name -> the system calls of some polls, of all who poll."""
    return traced({
        name: each.pids() for name, each in started.items() if not everyone[name].events
    }, count * INTERVAL)


def each_poll(
        calls: Sequence[str] | None, count: int, contender: Contender,
) -> float | None:
    """Return how many system calls there are in a poll."""
    if contender.events or calls is None:
        return None
    return median(lengths(calls)) or len(calls) / count


def lengths(calls: Sequence[str]) -> list[int]:
    """Return how many calls each poll is made of, the sleep among them."""
    return [len(poll) for poll in rounds(calls, SLEEP)]


def typical(calls: Sequence[str]) -> list[str]:
    """Return the calls of the poll that comes most often."""
    polls = rounds(calls, SLEEP)
    return max(polls, key=polls.count) if polls else []
