"""A User-Mode Linux that is NFS server and client at once: booted, heard, ended.

By hand it prints the tables of docs/filesystems.md: python -m tests.sandbox.nfs
bounds (a quarter of an hour), or cost (five minutes).
"""
from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.sandbox.harness import ROOT, Lines, fetched, needed

GUEST = ROOT / 'tests' / 'sandbox' / 'nfs_guest.py'
SCRIPT = 'get-nfs.sh'
DEADLINE = 60.0  # s for the next fact
PATIENCE = 600.0  # s for the next fact, by hand

# By hand: what is mounted, and whether the server delegates.
MOUNTS = (
    ('vers=3,nolock', False),
    ('vers=3,nolock,nocto', False),
    ('vers=4.2', False),
    ('vers=4.2', True),
    ('vers=4.2,actimeo=3', False),
    ('vers=4.2,lookupcache=positive', False),
)
# The client believes what it has for acdirmin, 30 s, at first, and then for
# acdirmax, 60 s: after so long a change comes soon after it has asked.
QUIET = '95'

Fact = dict[str, Any]


class Guest:
    """A guest that runs."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        self.lines = Lines(child.stdout.fileno())

    def fact(self, name: str, deadline: float = DEADLINE) -> Fact:
        """Return all that comes next, which has to be a fact of that name."""
        fact = self.next(deadline)
        assert fact['fact'] == name, fact
        return fact

    def next(self, deadline: float = DEADLINE) -> Fact:
        """Return the next fact.

        Raises AssertionError if the guest fails, ends or is silent.
        """
        line = ''
        # The kernel has something to say now and then.
        while not line.startswith('{'):
            before = len(self.lines.seen)
            line = self.lines.read(deadline)
            assert len(self.lines.seen) > before, f'it ended: {self.lines.seen}'
        fact = json.loads(line)
        assert isinstance(fact, dict)
        assert fact['fact'] != 'failed', fact['message']
        return fact


@contextlib.contextmanager
def guest(
        case: str, options: str, variables: Mapping[str, str] | None = None,
) -> Iterator[Guest]:
    """Boot a guest for a case of nfs_guest, and end it at the end."""
    kernel = fetched('uml/usr/bin/linux.uml', SCRIPT)
    fetched('nfs/usr/sbin/rpc.nfsd', SCRIPT)
    # The guest uses the host's.
    needed('ip', 'iproute2')
    needed('inotifywait', 'inotify-tools')
    arguments = {
        'NFS_CASE': case, 'NFS_OPTIONS': options, 'PYTHONPATH': str(ROOT),
        'PYTHONDONTWRITEBYTECODE': '1', **(variables or {}),
    }
    # Its memory is a file there, and its socket: nothing is left of them.
    with tempfile.TemporaryDirectory(prefix='pollreload-') as directory:
        child = subprocess.Popen(
            [
                str(kernel), 'mem=256M', f'uml_dir={directory}', 'umid=guest',
                'rootfstype=hostfs', 'rootflags=/', 'ro', 'con=null', 'con0=fd:0,fd:1',
                'loglevel=2', f'init={sys.executable}',
                *(f'{name}={value}' for name, value in arguments.items()),
                '--', str(GUEST),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={'TMPDIR': directory}, start_new_session=True,
        )
        try:
            yield Guest(child)
        finally:
            # Before it is reaped: until then its group can be no other's.
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()


def tables(case: str) -> Iterator[str]:
    """Yield the lines of a table: a line for each way to mount, all at once."""
    with contextlib.ExitStack() as stack:
        guests = [stack.enter_context(guest(case, options, {
            'NFS_QUIET': QUIET, 'NFS_DELEGATIONS': 'yes' if delegations else '',
        })) for options, delegations in MOUNTS]
        for (options, delegations), machine in zip(MOUNTS, guests, strict=True):
            machine.fact('mounted')
            facts = []
            while (fact := machine.next(PATIENCE))['fact'] != 'done':
                facts.append(fact)
            said = list(figures(facts) if case == 'bounds' else costs(facts))
            if options == MOUNTS[0][0]:
                yield row('mount options', *(name for name, _ in said))
                yield row(*('---' for _ in range(len(said) + 1)))
            note = ', the server delegates' if delegations else ''
            yield row(f'`{options}`{note}', *(figure for _, figure in said))


def row(*cells: str) -> str:
    """Return a row of a table."""
    return f'| {" | ".join(cells)} |'


def figures(facts: Sequence[Fact]) -> Iterator[tuple[str, str]]:
    """Yield each kind of change, and how late a poll still missed it."""
    for fact in facts:
        yield fact['kind'], f'{fact["late"]:.0f}'


def costs(facts: Sequence[Fact]) -> Iterator[tuple[str, str]]:
    """Yield what a poll costs."""
    for fact in facts:
        made = sorted(fact['operations'].items(), key=lambda each: -each[1])
        yield 'operations a poll', ', '.join(
            f'{name} {count / fact["polls"]:.2g}' for name, count in made
        ) or 'none'


if __name__ == '__main__':
    for line in tables(sys.argv[1]):
        print(line, flush=True)
