"""Changes on file systems of all kinds."""
from __future__ import annotations

import mmap
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from xxhash import xxh3_128_digest

from pollreload.system import mounts, stat_cache
from pollreload.system.stat_cache import GRAIN, UNSURE
from tests.servers.harness import missing, needed, until
from tests.support.apart import apart, mount
from tests.support.cached_polls import Eye, put


def trusted(eye: Eye) -> bool:
    """Return whether a poll of one path leaves nothing but what stat answers for."""
    known = mounts.mount_table()
    assert known is not None
    seen = eye.look(GRAIN, inexact=known.inexact)
    assert seen == eye.plain()
    (cache,) = eye.caches
    stamps = *cache.stamps, *cache.directories.values()
    return bool(cache.reading) and UNSURE not in stamps


def made(kind: str, image: str, *args: str) -> str:
    """Make a file system in a file; return where."""
    with open(image, 'wb') as file:
        file.truncate(400 << 20)
    package = {'xfs': 'xfsprogs', 'btrfs': 'btrfs-progs'}
    program = needed(f'mkfs.{kind}', package.get(kind, 'e2fsprogs'))
    subprocess.run(
        (program, *args, image), capture_output=True, check=True,
    )
    return image


REAL = (
    'ext2', 'ext3', 'ext4', 'ext4 -I 128', 'xfs', 'btrfs', 'tmpfs', 'ramfs', 'overlay',
    'overlay --below',
)


def layered(at: Path, below: bool) -> str:
    """Mount an overlay; return '' or why it cannot be.

    below: its files are in the lower layer, until they are written to.
    """
    # Neither layer may be an overlay itself.
    top = at.parent / 'layers'
    top.mkdir()
    trouble = mount('tmpfs', top)
    for name in ('upper', 'lower', 'work'):
        (top / name).mkdir()
    for name in ('f', 'm') if below else ():
        put(f'{top}/lower/d/{name}', '1')
    layers = f'lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work'
    return trouble or mount('overlay', at, '-o', layers)


def walk_mounted(tmp_path: Path, args: str, walk: Callable[[Path], str]) -> str:
    """Return all that a walk through a file system returns, or why there is none."""
    kind, *options = args.split()
    at = tmp_path / 'at'
    at.mkdir()
    image = ''
    if kind in ('ext2', 'ext3', 'ext4', 'xfs', 'btrfs'):
        image = made(kind, str(tmp_path / 'image'), *options)

    def walked() -> str:
        if kind == 'overlay':
            trouble = layered(at, bool(options))
        else:
            loop = ('-o', 'loop') if image else ()
            trouble = mount(kind, at, *loop, what=image or 'none')
        return f'cannot: {trouble}' if trouble else walk(at)

    return str(apart(walked))


@pytest.mark.parametrize('args', REAL)
def test_on_a_real_file_system_no_rewrite_is_lost(tmp_path: Path, args: str) -> None:
    """With nothing but time to make a stamp worth something: a rewrite in place is seen
    by the next poll, a name that is added too; and what is written through a map, of
    which stat may say nothing at all, when the turn of its file comes.
    """
    def walked(at: Path) -> str:
        for name in ('f', 'm'):
            if not (at / 'd' / name).exists():
                put(f'{at}/d/{name}', '1')
        eye = Eye(f'{at}/d', rounds=10_000_019)
        with open(f'{at}/d/m', 'r+b') as file, mmap.mmap(file.fileno(), 1) as memory:
            memory[0] = ord('2')
            until(lambda: trusted(eye), 'stat is believed')
            put(f'{at}/d/f', '2')
            assert not trusted(eye)
            put(f'{at}/d/f', '3')
            put(f'{at}/d/g', '1')
            assert not trusted(eye)
            eye.rounds, eye.turn = 3, 0
            memory[0] = ord('3')
            seen = [eye.look(GRAIN) for _ in range(eye.rounds)]
            last = eye.plain()
            turn = stat_cache.part_of(f'{at}/d/', 'm', eye.rounds)
        assert last.readings[0].files['m'] == xxh3_128_digest(b'3')
        assert seen[turn:] == [last] * (eye.rounds - turn)
        if args in ('tmpfs', 'ramfs'):
            # There no write through a map counts; elsewhere the first to a page.
            assert last not in seen[:turn]
        return 'seen'

    got = walk_mounted(tmp_path, args, walked)
    if got.startswith('cannot'):
        missing(f'{args}: {got}')
    assert got == 'seen'


@pytest.mark.parametrize('args', REAL)
def test_on_a_real_file_system_no_name_is_lost(tmp_path: Path, args: str) -> None:
    """One that is added, renamed or removed, if no file has changed and stat was
    believed of the directory: by the next poll.
    """
    def walked(at: Path) -> str:
        put(f'{at}/d/f', '1')
        put(f'{at}/d/s/f', '1')
        eye = Eye(f'{at}/d', rounds=10_000_019)
        acts: list[Callable[[], None]] = [
            lambda: put(f'{at}/d/s/g', '1'),
            lambda: os.rename(f'{at}/d/s/g', f'{at}/d/s/h'),
            lambda: os.remove(f'{at}/d/s/h'),
        ]
        for act in acts:
            until(lambda: trusted(eye), 'stat is believed')
            was = eye.plain()
            act()
            assert not trusted(eye)
            assert eye.seen not in (None, was)
        return 'seen'

    got = walk_mounted(tmp_path, args, walked)
    if got.startswith('cannot'):
        missing(f'{args}: {got}')
    assert got == 'seen'
