"""By hand, print how late a change is delivered: the tables of docs/filesystems.md.

python -m tests.sandbox.delays fuse (half a minute), or gvisor (a quarter of one).
That of NFS is printed by python -m tests.sandbox.nfs.
"""
from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.sandbox import changes, gvisor
from tests.sandbox.gvisor_options import APP, EAGER, QUICK
from tests.sandbox.harness import walk
from tests.sandbox.stuck import mount, space, started
from tests.support.sidecar import unique, watch

Took = dict[str, float]

PATIENCE = 60.0  # s for a change to be delivered at all
WORDS = {
    'in-place': 'rewritten in place', 'same': 'same size, mtime put back',
    'renamed': 'renamed over', 'swapped': '`..data` swapped',
    'recreated': 'deleted and created again',
}
MOUNTS = (
    ('sshfs', ()), ('sshfs', ('dcache_timeout=3',)), ('sshfs', ('dcache_timeout=0',)),
    ('sshfs', ('dir_cache=no',)), ('bindfs', ()),
)
RUNS = 3  # in gVisor, of which the least and the most is shown


def by_fuse(kind: str, options: tuple[str, ...]) -> Took:
    """Return the time that each kind of change took on a mount, in seconds."""
    with (
            tempfile.TemporaryDirectory() as place, space() as within,
            mount(kind, within, Path(place), *options) as made,
    ):
        changes.lay(str(made.source), changes.text(0))
        name = unique('app')
        files = [str(made.at / each) for each in (changes.PLAIN, changes.LINKED)]
        args = ('--process', name, '--interval', '200ms', '--survive', '0', *files)
        with (
                started(name, files, made.under) as app,
                watch(*args, under=made.under, measured=False) as sidecar,
        ):
            sidecar.until('baseline')
            return walk(made.source, app.read, PATIENCE)


def by_gvisor() -> Took:
    """Return the time that each kind of change took in a pod, in seconds."""
    args = (*QUICK, *EAGER, *APP)
    with gvisor.started() as pod:
        app = pod.app('app')
        with pod.watch(pod.sidecar(*args)) as sidecar:
            sidecar.until('baseline')
            return walk(pod.config, app.lines.read, PATIENCE)


def table(columns: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield the lines of a table, in Markdown: a row for each kind of change."""
    yield f'| change | {" | ".join(columns)} |'
    yield f'|{"---|" * (1 + len(columns))}'
    for kind, args in WORDS.items():
        yield f'| {args} | {" | ".join(each[kind] for each in columns.values())} |'


def main(what: str) -> None:
    """Print a table."""
    if what == 'fuse':
        columns = {
            ' '.join((kind, *options)): {
                each: f'{took:.1f}' for each, took in by_fuse(kind, options).items()
            } for kind, options in MOUNTS
        }
    else:
        runs = [by_gvisor() for _ in range(RUNS)]
        spans = {each: sorted(run[each] for run in runs) for each in WORDS}
        columns = {'delivered after, s': {
            each: f'{span[0]:.2f} to {span[-1]:.2f}' for each, span in spans.items()
        }}
    print(*table(columns), sep='\n')


if __name__ == '__main__':
    main(sys.argv[1])
