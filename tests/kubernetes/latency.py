"""Measure how long an update of a ConfigMap takes to reach the app, part by part.

    python -m tests.kubernetes.latency [OPTIONS] UPDATES [NAME=VALUE]...

UPDATES: how many; NAME=VALUE: a variable for the sidecar, which has its defaults
otherwise. --annotate: change an annotation of the pod after each update, so that the
kubelet acts at once. --pause: wait a random time up to this before each update, so that
updates come at any point of the intervals of kubelet and sidecar (5 s).

The row: updates, seconds that kubectl took, from then to the swap of ..data, from then
to the app, and in all; each as median, minimum and maximum.

The pod has a third container that reads ..data every 10 ms. The times of its lines and
of the app's are those of the node, and those of kubectl are this machine's: their
clocks have to agree. See README.md for the requirements.
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
    namespace,
    pod,
    sidecar,
    volume_mounts,
)

LINK_READER = f"""\
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


def moments(made: Pod, container: str, start: str) -> list[float]:
    """Return when a container printed a word, in seconds since the epoch."""
    said = made.kubectl('logs', '--timestamps', made.name, '-c', container)
    return [
        datetime.datetime.fromisoformat(when).timestamp()
        for when, line in (each.split(' ', 1) for each in said.splitlines())
        if line.startswith(start)
    ]


def spread(seconds: list[float]) -> str:
    """Return the median, the minimum and the maximum of some times."""
    return (
        f'{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})'
    )


def main() -> int:
    """Print one row of a table, and the times of each update on stderr."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--annotate', action='store_true')
    options.add_argument('--pause', type=float, default=5.0)
    options.add_argument('updates', type=int)
    options.add_argument('variables', nargs='*')
    given = options.parse_args()
    trouble = absent()
    if trouble:
        print(f'latency: {trouble}', file=sys.stderr)
        return 1
    variables = dict(each.split('=', 1) for each in given.variables)
    # An empty variable is an unset one.
    watching = sidecar(env={**dict.fromkeys(QUICK, ''), **variables})
    reader = {
        'name': 'link-reader', 'image': APPS, 'imagePullPolicy': 'IfNotPresent',
        'command': ['python3', '-c', LINK_READER],
        'volumeMounts': volume_mounts(config=DIRECTORY),
    }
    name = f'latency-{uuid.uuid4().hex[:8]}'
    began, ended = [], []
    with (
            namespace(name) as place,
            pod(place, name, {'app.conf': 'text 0\n'}, [app(), watching, reader],
                [config(name)]) as made,
    ):
        log = made.app_log()
        made.watching()
        for number in range(1, given.updates + 1):
            time.sleep(random.uniform(0, given.pause))
            began.append(time.time())
            made.configure({'app.conf': f'text {number}\n'}, nudge=given.annotate)
            ended.append(time.time())
            assert log.read(DEADLINE) == f'reloaded | text {number}', log.seen
        swapped = moments(made, 'link-reader', 'swapped')[1:]
        reloaded = moments(made, 'app', 'reloaded')
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
