"""`check` with nothing due, beside the import of what it is made of."""
from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks import contenders
from benchmarks.measure import Target, environment, median, paired, ran, running
from benchmarks.result import Result, Row, Scale, milli

IMPORT = "python -I -c 'import click, xxhash'"
HOW = (
    'CPU of whole processes by wait4(2), {runs} runs of each in turn, the median. '
    '`check` is the console script that pip installs, with one file, a ledger and a '
    'running target; it was run before, so that nothing is due.'
)
LINE = re.compile(r'import time:\s+(\d+) \|\s+\d+ \|(\s+)(\S+)')


def prepare(scale: Scale, directory: Path) -> None:
    """Make the file."""
    (directory / 'checked').write_bytes(b'key = value\n' * 171)


def run(scale: Scale, directory: Path) -> Result:
    """Measure a check that finds nothing due."""
    file = directory / 'checked'
    target = Target(contenders.PYTHON, contenders.SCRIPTS / 'target.py', 'bench-check')
    python = contenders.PYTHON
    check = [
        contenders.POLLRELOAD, 'check', '--process', target.name, '--state-file',
        str(directory / 'ledger'), str(file),
    ]
    commands = {
        'pollreload check': check,
        IMPORT: [python, '-I', '-c', 'import click, xxhash'],
        "python -I -c 'import click'": [python, '-I', '-c', 'import click'],
        'python -I -c pass': [python, '-I', '-c', 'pass'],
    }
    with running(target.started):
        ran(check)
        spent: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(scale.runs):
            for name, command in commands.items():
                spent[name].append(ran(command))
        imports = [traced_imports([python, '-X', 'importtime', *check])
                   for _ in range(max(1, scale.rounds))]
    used = {name: median(values) for name, values in spent.items()}
    ours, theirs = used['pollreload check'], used[IMPORT]
    names = sorted({name for each in imports for name in each})
    parts = {
        name: median([each.get(name, (0, 0.0))[1] for each in imports])
        for name in names
    }
    counts = {name: max(each.get(name, (0, 0.0))[0] for each in imports)
              for name in names}
    return Result(
        '`check`, nothing due', HOW.format(runs=scale.runs), [Row(
            '`check`, nothing due', f'at most 1.25 times `{IMPORT}`',
            paired(spent['pollreload check'], spent[IMPORT]), 1.25,
            milli(ours), f'the import {milli(theirs)}',
        )],
        {
            'CPU of a run': {
                name: {'median, ms': value * 1000} for name, value in used.items()
            },
            'The imports of `check`, each with what it is the first to import': {
                name: {'modules': float(counts[name]), 'ms': parts[name] * 1000}
                for name in sorted(parts, key=lambda name: -parts[name])
                if parts[name] >= 0.0005
            },
        },
        [
            f'Of the {milli(ours)}, {milli(used["python -I -c pass"])} are the '
            f'interpreter and {milli(theirs - used["python -I -c pass"])} click and '
            f'xxhash. What is left, {milli(ours - theirs)}, are our own modules, with '
            'what they are the first to import, as the second table names them (those '
            'of half a millisecond or more), and the work: the arguments, the ledger, '
            'the file. They are by -X importtime, which makes an import slower: read '
            'them as shares.',
        ],
    )


def traced_imports(command: Sequence[str]) -> dict[str, tuple[int, float]]:
    """Return who imports -> how many modules, and seconds of their own.

    A module of the standard library counts for the one of ours, or for click or
    xxhash, that was the first to import it.
    """
    said = subprocess.run(
        command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, check=True,
    ).stderr.decode()
    # A module comes after those that it imports, which are set in deeper.
    lines = [
        (len(found[2]), found[3], int(found[1]) / 1e6)
        for found in map(LINE.match, said.splitlines()) if found
    ]
    above: list[tuple[int, str]] = []
    shares: dict[str, tuple[int, float]] = {}
    for depth, name, took in reversed(lines):
        while above and above[-1][0] >= depth:
            above.pop()
        who = owner(name) or (above[-1][1] if above else 'the interpreter and site')
        above.append((depth, who))
        count, seconds = shares.get(who, (0, 0.0))
        shares[who] = count + 1, seconds + took
    return shares


def owner(name: str) -> str:
    """Return whose module this is; '' for the standard library."""
    top = name.partition('.')[0].strip('_')
    return {'click': 'click', 'xxhash': 'xxhash', 'pollreload': name}.get(top, '')
