"""Find one process by its name among many."""
from __future__ import annotations

import os
from pathlib import Path

from benchmarks import contenders
from benchmarks.measure import PATIENCE, median, paired, printed, running, start
from benchmarks.result import Result, Row, Scale, milli, times

NAME = 'bench-wanted'
HOW = (
    '{crowd:,} processes `sleep` and those of the machine, {all:,} together; one goes '
    'by the name. Whole processes by wait4(2), in turn, {runs} times, the median; '
    '`inside` is the CPU of one search in a process that runs already, as a sidecar '
    'does: of process_table.matches, which watch calls when something is due, and of '
    'psutil.process_iter.'
)


def run(scale: Scale, directory: Path) -> Result:
    """Measure how long it takes to find a process."""
    crowd = start([
        contenders.PYTHON, contenders.script('crowd.py'), str(scale.crowd), NAME,
    ], pipes=True)
    assert crowd.child.stdout is not None
    with running(crowd):
        assert crowd.child.stdout.readline() == b'ready\n', f'not within {PATIENCE} s'
        count = sum(name.isdecimal() for name in os.listdir('/proc'))
        commands = {
            who: [contenders.PYTHON, contenders.script('find.py'), who, NAME]
            for who in ('pollreload', 'psutil')
        }
        if contenders.here('pgrep'):
            commands['pgrep -x'] = ['pgrep', '-x', NAME]
        whole: dict[str, list[float]] = {name: [] for name in commands}
        inside: dict[str, list[float]] = {name: [] for name in commands}
        runs = 3 if scale.rounds == 1 else 7
        for _ in range(runs):
            for name, command in commands.items():
                cpu, said = printed(command)
                words = said.split()
                if name == 'pgrep -x':
                    assert len(words) == 1, said
                    whole[name].append(cpu)
                    continue
                assert words[0] == '1', said
                took = [int(word) / 1e9 for word in words[1:]]
                inside[name].append(median(took))
                # The other searches of the same process are not part of it.
                whole[name].append(cpu - sum(took[1:]))
        # Each sleeper by itself: the rest must not outlive us, whatever happens.
        assert crowd.child.stdin is not None
        crowd.child.stdin.close()
        crowd.child.wait(PATIENCE)
    used = {name: median(values) for name, values in whole.items()}
    once = {name: median(values) for name, values in inside.items() if values}
    rows = []
    label = f'finding the process among {scale.crowd:,}'
    if 'pgrep -x' in used:
        rows.append(Row(
            label, 'at most 1/6 of pgrep -x',
            paired(inside['pollreload'], whole['pgrep -x']), 1 / 6,
            milli(once['pollreload']),
            f'pgrep -x {milli(used["pgrep -x"])}, psutil {milli(once["psutil"])}',
        ))
    return Result(
        'Finding the process', HOW.format(crowd=scale.crowd, all=count, runs=runs),
        rows,
        {f'CPU, {label}': {
            name: {
                'inside, ms': once[name] * 1000 if name in once else None,
                'whole process, ms': used[name] * 1000,
            } for name in used
        }},
        [
            'pgrep is a process by its nature, and its start counts; with the start of '
            'Python and its imports counted for us too, the ratio is '
            f'{times(used["pollreload"] / used["pgrep -x"])}.' if rows else
            'There is no pgrep here.',
        ],
    )
