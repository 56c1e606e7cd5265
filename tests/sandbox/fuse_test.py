"""sshfs and bindfs: what others change there shows late, torn, and without an event.

The changes are made at the source, as another machine makes them.
"""
from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from xxhash import xxh3_128_digest

from pollreload.core.state import State
from pollreload.runtime.shown import VARIABLE, shown
from pollreload.system.fingerprint import fingerprint
from tests.sandbox import changes
from tests.sandbox.harness import inotifywait, silent, walk
from tests.sandbox.stuck import (
    App,
    Mount,
    mount_with_files,
    rest,
    started,
)
from tests.support.sidecar import Sidecar, unique, watch

# s: sshfs keeps what a link says, and the names in a directory, for dcache_timeout;
# the kernel keeps names and sizes for libfuse's entry_timeout and attr_timeout, 1 s
# (bindfs asks for 0).
DCACHE, KERNEL = 3.0, 1.0
# s: two polls and a child for each, on a machine that does much else.
WORK = 5.0
BOUNDS = {
    'sshfs': {
        kind: WORK + KERNEL + (DCACHE if kind == 'swapped' else 0.0)
        for kind in changes.KINDS
    },
    'bindfs': dict.fromkeys(changes.KINDS, WORK),
}
OPTIONS = {'sshfs': (f'dcache_timeout={DCACHE:.0f}',), 'bindfs': ()}
KINDS = tuple(OPTIONS)
# If what became longer is first read cut to its old length. bindfs has the kernel ask
# for the length each time (attr_timeout 0).
TORN = {'sshfs': True, 'bindfs': False}
# Each poll is logged. Whether a target took the signal in time is not asked here.
CALM = ('-v', '--survive', '0')
# What a change makes; to read makes others, also here.
MADE = 'modify,attrib,move,create,delete,delete_self,move_self,unmount'


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('whole', [False, True], ids=['files', 'directory'])
def test_every_kind_of_change_is_delivered_once(
        kind: str, whole: bool, tmp_path: Path,
) -> None:
    """What is changed at the source is delivered once, and inotify says nothing of it.
    """
    name = unique('app')
    with mount_with_files(kind, tmp_path, *OPTIONS[kind]) as made:
        files = [str(made.at / each) for each in (changes.PLAIN, changes.LINKED)]
        args = ('--process', name, *CALM, '--interval', '200ms')
        paths = [str(made.at)] if whole else files
        with (
                started(name, files, made.under) as app,
                inotifywait(made.at, made.under, MADE) as events,
                watch(*args, *paths, under=made.under, env={VARIABLE: KEY}) as sidecar,
        ):
            sidecar.until('baseline')
            walk(made.source, app.read, BOUNDS[kind])
            rest(sidecar)
            app.mark()
            assert len(app.seen) == len(('ready', *changes.KINDS, 'marked')), app.seen
            assert sidecar.count('signalled') == len(changes.KINDS), sidecar.seen
            assert silent(events)


def test_inotify_is_not_deaf_here(tmp_path: Path) -> None:
    """The control: what is changed by way of the mount itself, inotify does say."""
    with (
            mount_with_files('bindfs', tmp_path, *OPTIONS['bindfs']) as made,
            inotifywait(made.at, made.under, MADE) as events,
    ):
        made.space.run('sh', '-c', f'echo other > {made.at}/{changes.PLAIN}')
        events.until('MODIFY')


KEY = 'a key that the test knows'  # by which fingerprints are shown


def whole_fingerprint(source: Path, whole: bool) -> str:
    """Return the readings that are not torn, of the file or of the directory."""
    names = (changes.PLAIN, changes.LINKED) if whole else (changes.PLAIN,)
    return fingerprint([{
        name if whole else '': xxh3_128_digest((source / name).read_bytes())
        for name in names
    }])


def rewrite(
        made: Mount, sidecar: Sidecar, app: App, lengths: Sequence[int], whole: bool,
) -> None:
    """Rewrite the file in each length, and each time have the whole delivered last.

    The bound is that of sshfs, the longer one.

    The next is written once nothing is left to deliver. That the app reads the whole is
    not enough, because its reads are not those of the watch.
    whole: it is the directory that is watched. Raises AssertionError if it is not
        delivered whole within the bound.
    """
    for number, length in enumerate(lengths):
        text = f'{number:03}' + chr(ord('a') + number) * (length - 3)
        # Ends what looks like a feedback loop: each delivery is followed by a change.
        sidecar.poll()
        # A read that is under way would see half of the next rewrite, mount or not.
        while 'reading' in sidecar.status():
            pass
        changes.in_place(str(made.source), text)
        end = time.monotonic() + BOUNDS['sshfs']['in-place']
        while app.read(max(0.0, end - time.monotonic())) != f'reloaded | {text}':
            pass
        rest(sidecar)
        assert app.mark() == f'reloaded | {text}'
        assert [
            event['fingerprint'] for event in sidecar.seen
            if event['event'] == 'changed'
        ][-1] == shown(State(key=KEY), whole_fingerprint(made.source, whole))


LENGTHS = (10, 30, 5, 300, 301, 2000, 7, 5000, 100, 200)
LONGER = sum(new > old for old, new in itertools.pairwise(LENGTHS))


@pytest.mark.parametrize('whole', [False, True], ids=['file', 'directory'])
@pytest.mark.parametrize('kind', TORN)
def test_no_one_is_left_with_a_torn_content(
        kind: str, whole: bool, tmp_path: Path,
) -> None:
    """A longer rewrite is first read cut to the old length. If that is delivered, at
    once as --settle 0 asks, the whole is delivered after it. bindfs tears nothing: each
    rewrite is delivered once.
    """
    name = unique('app')
    with mount_with_files(kind, tmp_path, *OPTIONS[kind]) as made:
        path = str(made.at / changes.PLAIN)
        args = (
            '--process', name, *CALM, '--interval', '100ms', '--settle', '0',
        )
        with (
                started(name, [path], made.under) as app,
                watch(*args, str(made.at) if whole else path, under=made.under,
                      env={VARIABLE: KEY})
                as sidecar,
        ):
            sidecar.until('baseline')
            rewrite(made, sidecar, app, LENGTHS, whole)
            # It was torn, or this shows nothing: more was delivered than was written.
            assert (sidecar.count('signalled') > len(LENGTHS)) == TORN[kind]
            assert sidecar.count('signalled') <= len(LENGTHS) + LONGER


@pytest.mark.parametrize('whole', [False, True], ids=['file', 'directory'])
@pytest.mark.parametrize('kind', KINDS)
def test_a_torn_content_does_not_settle(
        kind: str, whole: bool, tmp_path: Path,
) -> None:
    """Each rewrite, longer or shorter, is delivered once and whole: the next poll,
    which --settle waits for, reads to the end.
    """
    name = unique('app')
    with mount_with_files(kind, tmp_path, *OPTIONS[kind]) as made:
        path = str(made.at / changes.PLAIN)
        args = (
            '--process', name, *CALM, '--interval', '100ms', '--settle', '200ms',
        )
        with (
                started(name, [path], made.under) as app,
                watch(*args, str(made.at) if whole else path, under=made.under,
                      env={VARIABLE: KEY})
                as sidecar,
        ):
            sidecar.until('baseline')
            rewrite(made, sidecar, app, LENGTHS, whole)
            assert app.seen.count('marked') == len(LENGTHS)
            assert len(app.seen) == 1 + 2 * len(LENGTHS), app.seen
            assert sidecar.count('signalled') == len(LENGTHS), sidecar.seen
