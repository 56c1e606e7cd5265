"""The system calls of a watch, as strace(1) writes them to a file."""
from __future__ import annotations

import itertools
from pathlib import Path


def traced(trace: Path) -> list[list[str]]:
    """Return the names of the system calls of each poll, with the sleep after it."""
    names = [line.partition('(')[0] for line in trace.read_text().splitlines()]
    ends = [at for at, name in enumerate(names) if name == 'rt_sigtimedwait']
    return [names[one + 1:other + 1] for one, other in itertools.pairwise(ends)]
