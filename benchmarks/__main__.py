"""Run the benchmarks: python -m benchmarks [--quick] [--runs N] [--only NAME]...
[--out DIR].

Exit status: 1 where a target is not met that the machine's speed is no matter to.
"""
from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import (
    big,
    contenders,
    endurance,
    find,
    fleet,
    idle,
    latency,
    many,
    once,
    report,
    sidecar,
    spread,
)
from benchmarks.measure import text
from benchmarks.result import FULL, QUICK, Result, Scale

ROOT = contenders.HERE.parent
GRAIN = 2.5  # s; then what is written is old enough for stat to be believed
PREPARED: dict[str, Callable[[Scale, Path], None]] = {
    'idle': idle.prepare,
    'many': many.prepare,
    'growth': many.prepare_growth,
    'big': big.prepare,
    'once': once.prepare,
    'sidecar': sidecar.prepare,
}
BENCHMARKS: dict[str, Callable[[Scale, Path], Result]] = {
    'idle': idle.run,
    'many': many.run,
    'growth': many.growth,
    'big': big.run,
    'once': once.run,
    'sidecar': sidecar.run,
    'latency': latency.run,
    'fleet': lambda scale, directory: fleet.run(),
    'spread': lambda scale, directory: spread.run(scale),
}
BESIDE = 'endurance'  # from the first of them to the last
# Ten thousand processes would show in the memory of who looks for one meanwhile.
ALONE: dict[str, Callable[[Scale, Path], Result]] = {'find': find.run}


def main(words: Sequence[str]) -> int:
    """Run what is asked for, and write what was seen."""
    parser = argparse.ArgumentParser('benchmarks')
    names = (*BENCHMARKS, BESIDE, *ALONE)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--only', action='append', choices=names)
    parser.add_argument('--out', type=Path)
    parser.add_argument('--runs', type=int, default=1)
    asked = parser.parse_args(words)
    scale = QUICK if asked.quick else FULL
    wanted = asked.only or names
    whole = len(set(wanted)) == len(names) and not asked.quick
    # Only a whole run may replace the figures that the project shows.
    out = asked.out or (ROOT if whole else ROOT / '.venv' / 'bench' / 'out')
    began = time.monotonic()
    seen: dict[str, Any] = {
        'quick': asked.quick, 'machine': machine(), 'versions': contenders.versions(),
    }
    runs: list[dict[str, Any]] = []
    for _ in range(asked.runs):
        with tempfile.TemporaryDirectory(prefix='bench-') as top:
            # Others read below it: monit insists on what is private being so.
            runs.append(measured(wanted, scale, Path(top)))
        seen['results'] = report.merged(runs)
        seen['machine']['load at the end'] = load()
        seen['seconds'] = round(time.monotonic() - began)
        # After each run, so that an interruption loses only the one under way.
        (out / 'benchmarks').mkdir(parents=True, exist_ok=True)
        path = out / 'benchmarks' / 'results.json'
        path.write_text(json.dumps(seen, indent=1) + '\n')
        report.write(seen, out)
    print(report.plain(seen))
    print(f'written: {path}, {out / "BENCHMARKS.md"}, plots beside them')
    failed = [
        row['what'] for each in seen['results'].values() for row in each['rows']
        if row['counted'] and not row['met']
    ]
    for what in failed:
        print(f'not met, and the machine is no excuse: {what}', file=sys.stderr)
    return 1 if failed else 0


def measured(wanted: Sequence[str], scale: Scale, top: Path) -> dict[str, Any]:
    """Return name -> result of each benchmark, as JSON has it."""
    results = {}
    beside = None

    def run(some: dict[str, Callable[[Scale, Path], Result]]) -> None:
        for name, benchmark in some.items():
            if name in wanted:
                began = time.monotonic()
                results[name] = plain(benchmark(scale, top / name))
                print(f'{name}: {time.monotonic() - began:.0f} s', flush=True)

    if BESIDE in wanted:
        directory = top / BESIDE
        directory.mkdir()
        # A program of its own, that goes on beside the others.
        beside = subprocess.Popen([
            sys.executable, '-m', 'benchmarks.endurance', str(scale.polls),
            str(scale.endured), str(directory),
        ], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        for name in wanted:
            (top / name).mkdir(exist_ok=True)
            if name in PREPARED:
                PREPARED[name](scale, top / name)
        time.sleep(GRAIN)
        run(BENCHMARKS)
        if beside is not None:
            said, _ = beside.communicate()
            results[BESIDE] = plain(endurance.result(scale, json.loads(said)))
            print(f'{BESIDE}: done', flush=True)
        run(ALONE)
    finally:
        if beside is not None and beside.poll() is None:
            beside.terminate()
            beside.wait()
    return results


def plain(result: Result) -> dict[str, Any]:
    """Return a result as JSON has it."""
    return {
        **result._asdict(),
        'rows': [{**row._asdict(), 'met': row.met} for row in result.rows],
    }


def machine() -> dict[str, str]:
    """Return what the figures hang on."""
    models = [
        line.partition(':')[2].strip() for line in text('/proc/cpuinfo').splitlines()
        if line.startswith('model name')
    ]
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return {
        'date': datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d'),
        'CPU': f'{os.cpu_count()} x {models[0] if models else platform.machine()}',
        'memory': f'{memory / 2**30:.0f} GiB',
        'kernel': f'{platform.system()} {platform.release()}',
        'Python': platform.python_version(),
        'file system': file_system(tempfile.gettempdir()),
        'load before': load(),
    }


def load() -> str:
    """Return the load average of the last minute."""
    return f'{os.getloadavg()[0]:.1f}'


def file_system(path: str) -> str:
    """Return the type of the file system that a directory is on."""
    from pollreload.system.mounts import MOUNTINFO, read_mounts
    device = os.stat(path).st_dev
    kinds = [mount.kind for mount in read_mounts(MOUNTINFO) if mount.device == device]
    return kinds[-1] if kinds else 'unknown'


if __name__ == '__main__':
    raise SystemExit(main(sys.argv[1:]))
