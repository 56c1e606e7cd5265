"""The tests find the same surroundings, whatever started them."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from tests.support import surroundings
from tests.support.sidecar import ROOT
from tests.support.targets import DEADLINE

IGNORED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE,
    signal.SIGCHLD, signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMIN,
)
# Signals 32 and 33 belong to the threads of glibc, which refuses to change their
# dispositions (nptl(7)): they stay as whatever started the tests left them.
RESERVED = 1 << 31 | 1 << 32
REPORT = """\
import json, os, subprocess, sys
from tests.support import surroundings
surroundings.reset()
lines = subprocess.run(
    ('cat', '/proc/self/status'), capture_output=True, check=True,
).stdout.decode().splitlines()
print(json.dumps({
    'status': dict(line.split(':\\t', 1) for line in lines),
    'environment': dict(os.environ),
}))
"""


def spoiled() -> None:
    """Ignore and block signals and set a umask, as what starts the tests might."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGUSR2))
    os.umask(0o077)


def test_children_of_the_tests_find_known_surroundings() -> None:
    """Nothing is ignored or blocked; the umask and the environment are set."""
    odd = {
        'NO_COLOR': '1', 'COLUMNS': '9', 'TZ': 'EST', 'LANG': 'C',
        'POLLRELOAD_FILE': '/a', 'FILE': '/b', 'PROCESS': 'x', 'SIGNAL': 'USR1',
        'JOURNAL_STREAM': '1:2', 'NOTIFY_SOCKET': '/c', 'LC_ALL': 'POSIX',
    }
    done = subprocess.run(
        (sys.executable, '-c', REPORT), env={**os.environ, **odd, 'PYTHONPATH': ROOT},
        capture_output=True, check=True, timeout=DEADLINE,
        preexec_fn=spoiled, restore_signals=False,
    )
    found = json.loads(done.stdout)
    status, environment = found['status'], found['environment']

    assert int(status['SigIgn'], 16) & ~RESERVED == 0
    assert int(status['SigBlk'], 16) == 0
    assert int(status['Umask'], 8) == surroundings.UMASK
    assert {name: environment[name] for name in odd if name in environment} == {
        'LANG': 'C.UTF-8', 'TZ': 'UTC',
    }
