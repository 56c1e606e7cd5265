"""The system calls of a watch, as strace(1) writes them to a file."""
from __future__ import annotations

import itertools
import subprocess
from collections import Counter
from pathlib import Path

from tests.servers.harness import needed, until
from tests.support.sidecar import watch


def traced(trace: Path) -> list[list[str]]:
    """Return the names of the system calls of each poll, with the sleep after it."""
    names = [line.partition('(')[0] for line in trace.read_text().splitlines()]
    ends = [at for at, name in enumerate(names) if name == 'rt_sigtimedwait']
    return [names[one + 1:other + 1] for one, other in itertools.pairwise(ends)]


def idle_polls(trace: Path, *args: str) -> list[list[str]]:
    """Return the system calls of each poll of a watch; the last twenty read nothing.

    args: those of the watch, which polls every 20 ms. Only the loop is traced.
    """
    strace = needed('strace', 'strace')
    with watch(*args, '--interval', '20ms', '--rehash', '24h') as it:
        it.until('baseline')
        # Without -f: of the first thread alone, which is the loop.
        with subprocess.Popen(
            (strace, '-o', str(trace), '-p', str(it.pid)),
            stderr=subprocess.PIPE, text=True,
        ) as tracer:
            try:
                assert tracer.stderr is not None
                assert 'attached' in tracer.stderr.readline()
                until(
                    lambda: len(traced(trace)) > 20
                    and not any('read' in poll for poll in traced(trace)[-20:]),
                    'twenty polls that read nothing',
                )
            finally:
                tracer.terminate()
        it.stop()
    return traced(trace)


def idle_poll(trace: Path, *args: str) -> list[str]:
    """Return the system calls of the loop in a poll that finds nothing, most often."""
    polls = Counter(tuple(poll) for poll in idle_polls(trace, *args)[-20:])
    return [*polls.most_common(1)[0][0]]
