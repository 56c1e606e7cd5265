"""Measure how long an update of a ConfigMap takes to be told, and which part is whose.

    python -m tests.kubernetes.latency [OPTIONS] UPDATES [NAME=VALUE]...

UPDATES: how many; NAME=VALUE: a variable for the sidecar, which else has its
defaults. --annotate: change an annotation of the pod after each, which has the
kubelet look at once. --pause: wait a random time up to this before each, so that
they come at any point of the kubelet's period and of the sidecar's (5 s).

The row: updates, seconds that kubectl took, from there to the swap of ..data, from
there to the app, and in all; each the median, and the least and the most.

The pod has a third container that looks at ..data every 10 ms. The times of its
lines and of the app's are those of the node, those of kubectl this machine's:
their clocks have to agree. See README.md for what it needs.
"""
from __future__ import annotations

import argparse
import datetime
import random
import statistics
import subprocess
import sys
import time
import uuid

from tests.kubernetes.harness import (
    APPS,
    DEADLINE,
    DIRECTORY,
    Pod,
    absent,
    app,
    config,
    mounted,
    namespace,
    pod,
    sidecar,
)

LOOKS = f"""\
import os, time
was = ''
while True:
    now = os.readlink('{DIRECTORY}/..data')
    if now != was:
        print('swapped', flush=True)
    was = now
    time.sleep(0.01)
"""
QUICK = ('POLLRELOAD_SETTLE', 'POLLRELOAD_INTERVAL', 'POLLRELOAD_SURVIVE')


def moments(made: Pod, container: str, word: str) -> list[float]:
    """Return when a container said a word, in seconds since the epoch."""
    said = made.kubectl('logs', '--timestamps', made.name, '-c', container)
    return [
        datetime.datetime.fromisoformat(when).timestamp()
        for when, line in (each.split(' ', 1) for each in said.splitlines())
        if line.startswith(word)
    ]


def spread(seconds: list[float]) -> str:
    """Return the median of some times, and the least and the most."""
    return (
        f'{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})'
    )


def main() -> int:
    """Print one row of a table, and the times of each update on stderr."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument('--annotate', action='store_true')
    words.add_argument('--pause', type=float, default=5.0)
    words.add_argument('updates', type=int)
    words.add_argument('variables', nargs='*')
    given = words.parse_args()
    trouble = absent()
    if trouble:
        print(f'latency: {trouble}', file=sys.stderr)
        return 1
    variables = dict(each.split('=', 1) for each in given.variables)
    # An empty variable is an unset one.
    watching = sidecar(env={**dict.fromkeys(QUICK, ''), **variables})
    looking = {
        'name': 'looks', 'image': APPS, 'imagePullPolicy': 'IfNotPresent',
        'command': ['python3', '-c', LOOKS], 'volumeMounts': mounted(config=DIRECTORY),
    }
    name = f'latency-{uuid.uuid4().hex[:8]}'
    began, ended = [], []
    with (
            namespace(name) as place,
            pod(place, name, {'app.conf': 'text 0\n'}, [app(), watching, looking],
                [config(name)]) as made,
    ):
        told = made.told()
        made.watching()
        for number in range(1, given.updates + 1):
            time.sleep(random.uniform(0, given.pause))
            began.append(time.time())
            made.configure({'app.conf': f'text {number}\n'}, nudge=given.annotate)
            ended.append(time.time())
            assert told.read(DEADLINE) == f'told | text {number}', told.seen
        swapped = moments(made, 'looks', 'swapped')[1:]
        reloaded = moments(made, 'app', 'told')
    assert len(swapped) == len(reloaded) == given.updates, (swapped, reloaded)
    rows = list(zip(began, ended, swapped, reloaded, strict=True))
    for a, b, c, d in rows:
        print(f'{b - a:.2f} {c - b:.2f} {d - c:.2f} {d - a:.2f}', file=sys.stderr)
    print(
        f'| {given.updates} | {spread([b - a for a, b, _, _ in rows])} '
        f'| {spread([c - b for _, b, c, _ in rows])} '
        f'| {spread([d - c for _, _, c, d in rows])} '
        f'| {spread([d - a for a, _, _, d in rows])} |',
    )
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except subprocess.TimeoutExpired as error:
        sys.exit(f'latency: {error}')
