"""What the benchmarks count that does not depend on how fast the machine is.

Times are for `sh benchmarks/run.sh` alone.
"""
from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from benchmarks import endurance, fleet, report, spread
from benchmarks.measure import bytes_read, names, rounds
from tests.servers.harness import needed, until
from tests.support import sidecar
from tests.support.targets import Target, start

ROOT = Path(__file__).resolve().parents[2]
SLEEP = 'rt_sigtimedwait'
FILES, EACH = 500, 25
POLLS, INTERVAL = 8, 0.125  # s; as many polls are in --rehash
GIB = 1 << 30


@pytest.fixture(scope='module', name='target')
def a_target() -> Iterator[Target]:
    """Have a program that could be notified: while none is there, it is looked for."""
    with start('handler', name=sidecar.unique('bench')) as target:
        yield target


@pytest.fixture(scope='module', name='old')
def old_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make files that are older than the grain of any clock, by stat."""
    top = tmp_path_factory.mktemp('old')
    (top / 'small').write_text('key = value\n' * 100)
    with (top / 'sparse').open('wb') as file:
        file.truncate(GIB)
    for at in range(FILES):
        directory = top / 'many' / str(at // EACH)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / str(at)).write_text(f'{at}\n')
    until(lambda: time.time() > top.stat().st_ctime + 3, 'the files are old')
    return top


def polls(path: Path, target: Target, trace: Path, *args: str) -> list[list[str]]:
    """Return the system calls of the last polls of a watch on a path."""
    strace = needed('strace', 'strace')
    comm = Path(f'/proc/{target.pid}/comm').read_text('utf-8').strip()

    def seen() -> list[list[str]]:
        return rounds(names(trace), SLEEP) if trace.exists() else []

    with sidecar.watch(
            '--interval', f'{INTERVAL}', '--process', comm, *args, str(path),
            measured=False,
    ) as watch:
        watch.until('baseline')
        command = [strace, '-q', '-o', str(trace), '-fp', str(watch.pid)]
        tracer = subprocess.Popen(command)
        try:
            until(lambda: len(seen()) > 2 * POLLS, 'some polls')
            return seen()[-2 * POLLS:]
        finally:
            # On INT it lets go of what it traces, which would be stopped by KILL.
            tracer.send_signal(signal.SIGINT)
            tracer.wait()


def test_an_idle_poll_is_five_system_calls_at_most(
        old: Path, target: Target, tmp_path: Path,
) -> None:
    """One small file that no one changed: five calls at most, with the sleep."""
    seen = polls(old / 'small', target, tmp_path / 'trace')

    # But for the poll, if it is among them, that reads again (--rehash).
    usual = max(seen, key=seen.count)
    assert len(usual) <= 5, usual
    assert seen.count(usual) >= len(seen) - 1


def test_each_file_is_read_within_rehash(
        old: Path, target: Target, tmp_path: Path,
) -> None:
    """Of 500 files a poll reads those whose turn has come by the clock, and so many
    polls as are in --rehash, and one more, read each.
    """
    trace = tmp_path / 'trace'
    polls(old / 'many', target, trace, '--rehash', f'{POLLS * INTERVAL}')

    opened: list[set[str]] = [set()]
    for line in trace.read_text('utf-8').splitlines():
        if SLEEP in line:
            opened.append(set())
        elif 'openat(' in line and 'O_DIRECTORY' not in line:
            name = line.split('"')[1]
            # A file is opened by its name, and then by that descriptor.
            if not name.startswith('/proc/self/fd/'):
                opened[-1].add(name)
    whole = opened[1:-1]
    assert len(whole) >= 2 * POLLS
    for at in range(len(whole) - POLLS):
        assert len(set().union(*whole[at:at + POLLS + 1])) == FILES
    # The inodes say whose turn it is, and need not be shared out evenly.
    assert min(map(len, whole)) <= 2 * FILES / POLLS


def test_an_unchanged_poll_reads_nothing_of_a_big_file(
        old: Path, target: Target,
) -> None:
    """A sparse file of 1 GiB is read twice, and then not again until --rehash."""
    comm = Path(f'/proc/{target.pid}/comm').read_text('utf-8').strip()
    with sidecar.watch(
            '--interval', '100ms', '--rehash', '1h', '-v', '--process', comm,
            str(old / 'sparse'), measured=False,
    ) as watch:
        watch.until('polled')
        assert bytes_read(watch.pid) >= GIB
        # The second poll reads it again, and then stat is believed.
        watch.until('polled')
        settled = bytes_read(watch.pid)
        for _ in range(5):
            watch.until('polled')
        assert bytes_read(watch.pid) - settled <= GIB * 0.01


@pytest.mark.parametrize('interval', [1.0, 5.0])
def test_a_fleet_that_starts_together_does_not_poll_together(interval: float) -> None:
    """The busiest second is 1.5 times the mean at most, from the second interval on."""
    seen = fleet.steady(fleet.fleet(1000, interval), interval)

    assert sum(seen) / len(seen) == pytest.approx(1000 / interval, rel=0.02)
    assert fleet.peak(seen) <= 1.5


def test_without_the_random_part_a_fleet_would_poll_together() -> None:
    """The peak is no matter of course: where all draw the same, it is all of them."""
    same = cast(random.Random, SimpleNamespace(random=lambda: 0.5))
    polls = Counter(int(at - 1000.0) for at in fleet.times(5.0, 13, same))

    assert fleet.peak(fleet.steady(polls, 5.0)) > 4.0


def test_a_change_reaches_a_fleet_within_the_periods() -> None:
    """The kubelet's, the interval, the settle time and the splay, and no later."""
    for rollout in spread.ROLLOUTS:
        times = spread.deliveries(rollout, 500)
        kubelet = spread.ANNOTATED if rollout.annotated else 90.0
        assert times[0] >= spread.SETTLE
        assert times[-1] <= kubelet + spread.INTERVAL + spread.SETTLE + rollout.splay


def test_a_splay_keeps_most_of_a_fleet_from_a_version_that_is_withdrawn() -> None:
    """Without one all have it after two minutes; withdrawn at once none has it."""
    _, defaults, _, slow = spread.ROLLOUTS

    assert spread.loaded(defaults, 120.0, 500) == 100.0
    assert spread.loaded(slow, 120.0, 500) < 20.0
    assert spread.loaded(slow, 0.0, 500) == 0.0


def test_a_leaked_descriptor_counts_and_one_that_is_closed_does_not() -> None:
    """A delivery has a pidfd open, which a sample of the last polls may see."""
    kept = [(poll, 0, 5 + (poll > 50), 0) for poll in range(100)]
    closed = [(poll, 0, 5 + (poll == 95), 0) for poll in range(100)]

    for samples, leaked in ((kept, 1.0), (closed, 0.0)):
        watch = {'polls': 100, 'samples': samples}
        assert endurance.growth(watch, 2, choose=min) == leaked


def results() -> dict[str, object]:
    """Return all that the last whole run has seen."""
    text = (ROOT / 'benchmarks' / 'results.json').read_text('utf-8')
    read: dict[str, object] = json.loads(text)
    return read


def test_the_page_is_made_from_the_results() -> None:
    """BENCHMARKS.md says what results.json does, each row of it, and no more."""
    seen = results()
    page = (ROOT / 'BENCHMARKS.md').read_text('utf-8')

    assert page == report.page(seen)
    assert not seen['quick']
    for each in seen['results'].values():  # type: ignore[attr-defined]
        for row in each['rows']:
            assert f'| {row["what"]} | {row["target"]} | {row["ours"]} |' in page


@pytest.mark.parametrize(('counted', 'value'), [(False, 2.0), (True, 9.0)])
def test_row_of_several_runs_is_that_of_the_median(
        counted: bool, value: float,
) -> None:
    """A count is the same on every machine, so that the worst run is the one."""
    runs = [
        {'idle': {'title': at, 'rows': [
            {'value': each, 'ours': f'{each}', 'counted': counted},
        ]}}
        for at, each in enumerate((9.0, 1.0, 2.0))
    ]

    merged = report.merged(runs)['idle']

    assert merged == {'title': 2, 'rows': [{
        'value': value, 'ours': f'{value}', 'counted': counted,
        'values': [9.0, 1.0, 2.0],
    }]}


def test_the_plots_of_the_page_are_there() -> None:
    """Each plot that the page shows is in the repository."""
    for plots in report.PLOTS.values():
        for plot in plots:
            assert os.path.exists(ROOT / 'benchmarks' / plot), plot
