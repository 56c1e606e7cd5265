"""Print what the image weighs: its size beside others, its start, its memory.

figures.py [sizes|files|start|memory]...: without a word, all of them; `each` prints
every file of the image with what it is for. As root, after
`sh tests/sandbox/get-image.sh` and `sh tests/sandbox/get-roots.sh`. What is compared
with comes by pip.
Outside means: the same CPython, and `pip install .` in a virtual environment.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from contents import files, groups, largest, purpose, reasons

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / '.venv' / 'sandbox'
QUIET = ('-q', '--disable-pip-version-check', '--root-user-action=ignore')


class Size(NamedTuple):
    """Bytes: of all files, and of a tar of them as a registry keeps it (gzip)."""

    unpacked: int
    compressed: int


class Counted:
    """A file that only knows how much was written to it, and that through gzip."""

    def __init__(self) -> None:
        self.bytes = 0
        self.gzip = zlib.compressobj(6, wbits=31)

    def write(self, some: bytes) -> int:
        """Take some bytes."""
        self.bytes += len(self.gzip.compress(some))
        return len(some)

    def close(self) -> int:
        """Return how many came out."""
        return self.bytes + len(self.gzip.flush())


def size(files: Iterable[Path]) -> Size:
    """Return the size of files, each with its links and directories as they are."""
    counted, unpacked = Counted(), 0
    with tarfile.open(mode='w|', fileobj=counted) as tar:  # type: ignore[call-overload]
        for file in sorted(files):
            tar.add(file, recursive=False)
            if not file.is_symlink() and file.is_file():
                unpacked += file.stat().st_size
    return Size(unpacked, counted.close())


def unpacked(archive: Path, place: Path) -> None:
    """Unpack the layers of an archive that podman and docker load."""
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile('manifest.json')
        assert manifest is not None
        for layer in json.load(manifest)[0]['Layers']:
            inner = tar.extractfile(layer)
            assert inner is not None
            # By tar(1): extractall() has its filter from Python 3.11.4 on only.
            subprocess.run(
                ('tar', '-xf', '-', '-C', place), input=inner.read(), check=True,
            )


def furnished(place: Path) -> Path:
    """Give an unpacked image the devices that every container has."""
    (place / 'dev').mkdir(exist_ok=True)
    (place / 'proc').mkdir(exist_ok=True)
    for name, minor in (('null', 3), ('urandom', 9)):
        if not (place / 'dev' / name).exists():
            os.mknod(place / 'dev' / name, 0o20666, os.makedev(1, minor))
    return place


def interpreter() -> Path:
    """Return the interpreter of the base, by its own name: beside the link to it
    stands the pyvenv.cfg of our tools, which would be taken for its own.
    """
    return (TOOLS / 'python3.13').resolve()


def outside(place: Path) -> list[str]:
    """Install in a virtual environment of the base's CPython; return pollreload."""
    python = interpreter()
    subprocess.run([python, '-m', 'venv', '--without-pip', place], check=True)
    source = place / 'source'
    shutil.copytree(ROOT / 'pollreload', source / 'pollreload')
    for name in ('LICENSE', 'README.md', 'pyproject.toml', 'setup.cfg'):
        shutil.copy(ROOT / name, source / name)
    pinned = re.findall(
        r'^\w+==[\d.]+', (ROOT / 'packaging/image/requirements.txt').read_text(), re.M,
    )
    subprocess.run([
        python, '-m', 'pip', '--python', place / 'bin/python', 'install', *QUIET,
        *pinned, source,
    ], check=True)
    return [str(place / 'bin' / 'pollreload')]


def cpu(command: Sequence[str], root: Path | None = None) -> float:
    """Return the ms of processor time of a command, user and system, by wait4.

    root: to chroot(2) to before, which is all that is between us and the image: what
    a container engine takes to start it is not measured.
    """
    pid = os.fork()
    if not pid:
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            if root is not None:
                os.chroot(root)
                os.chdir('/')
            os.execve(command[0], list(command), {'PATH': '/usr/local/bin:/usr/bin'})
        finally:
            os._exit(127)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(f'figures.py: {command} ended with {status}')
    return (used.ru_utime + used.ru_stime) * 1000


def starts(
        image: Path, elsewhere: Sequence[str], runs: int = 20,
) -> tuple[list[float], list[float]]:
    """Return the ms that --version takes in the image and outside, in turns."""
    program = '/usr/local/bin/pollreload'
    for _ in range(2):  # what is read from the disk is then in memory
        cpu([program, '--version'], image), cpu([*elsewhere, '--version'])
    both = [
        (cpu([program, '--version'], image), cpu([*elsewhere, '--version']))
        for _ in range(runs)
    ]
    return [each for each, _ in both], [each for _, each in both]


def inside(image: Path) -> list[str]:
    """Return how to run pollreload in an unpacked image, with a /proc; see cpu.

    All of the words become the process of the program itself, by exec.
    """
    return [
        'unshare', '--mount', 'sh', '-c',
        'mount -t proc proc "$0/proc" && exec chroot "$0" pollreload "$@"', str(image),
    ]


def memory(command: Sequence[str], path: str, listen: bool = False) -> int:
    """Return the resident memory of a watch that has looked a while, in kB.

    All that is mapped and in memory counts, shared or not: Rss of smaps_rollup.
    listen: it answers /metrics, and has done so.
    """
    with socket.create_server(('127.0.0.1', 0)) as free:
        address = '127.0.0.1:{1}'.format(*free.getsockname())
    with subprocess.Popen(
        [*command, 'watch', '--process', 'of-nobody', '--interval', '20ms', '--settle',
         '0', '-v', *(['--listen', address] if listen else []), path],
        stderr=subprocess.PIPE, text=True,
    ) as child:
        assert child.stderr is not None
        try:
            for _ in range(50):
                if not child.stderr.readline():
                    raise SystemExit(f'figures.py: {command} ended')
            if listen:
                urllib.request.urlopen(f'http://{address}/metrics').close()
            with open(f'/proc/{child.pid}/smaps_rollup', encoding='ascii') as file:
                resident = re.findall(r'^Rss: +(\d+) kB', file.read(), re.M)
        finally:
            child.terminate()
    return int(resident[0])


def pip(place: Path, *words: str) -> None:
    """Install wheels for the CPython of the base into a directory."""
    subprocess.run(
        [interpreter(), '-m', 'pip', 'install', *QUIET, '--no-compile',
         '--only-binary', ':all:', '--target', place, *words], check=True,
    )


def shell(place: Path) -> None:
    """Lay out a busybox and an inotifywait, with the libraries that it needs."""
    shutil.copytree(TOOLS / 'roots/busybox', place, symlinks=True)
    program = shutil.which('inotifywait') or sys.exit('apt-get install inotify-tools')
    done = subprocess.run(
        ['ldd', program], stdout=subprocess.PIPE, check=True, text=True,
    )
    for file in (program, *re.findall(r'(/\S+) \(', done.stdout)):
        copy = place / file.lstrip('/')
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)


def rows(place: Path, image: Path) -> Iterator[tuple[str, Size]]:
    """Give what the image is compared with, and itself."""
    def all_of(*tops: Path) -> Size:
        return size(file for top in tops for file in top.rglob('*'))

    yield 'pollreload: the image', all_of(image)
    shell(place / 'shell')
    yield 'busybox and inotifywait, with its libraries', all_of(place / 'shell')
    base = TOOLS / 'base'
    yield 'the stand-in for python:3.13-slim, alone', all_of(base)
    ours = str(ROOT / 'packaging/image/requirements.txt')
    for name, words in (
        ('what pollreload needs: click, xxhash', ['-r', ours]),
        ('watchfiles (inotify, Rust)', ['watchfiles']),
        ('kopf (operators)', ['kopf']),
        ('kubernetes (the client that k8s-sidecar uses)', ['kubernetes']),
    ):
        pip(place / name, *words)
        yield f'with {name}', all_of(base, place / name)


def table(heads: Sequence[str], body: Iterable[Sequence[object]]) -> None:
    """Print a table in Markdown."""
    for row in (heads, ['---' for _ in heads], *body):
        print(f'| {" | ".join(map(str, row))} |')
    print(flush=True)


def purposes(place: Path, image: Path, each: bool) -> None:
    """Print what the files of the image are for. each: every file, not the sums."""
    pip(place / 'site', '-r', str(ROOT / 'packaging/image/requirements.txt'))
    reason = reasons(interpreter(), place / 'site')
    sizes = dict(files(image))
    if each:
        table(('file', 'bytes', 'what for'), (
            (path, count, purpose(path, reason)) for path, count in sizes.items()
        ))
        return
    table(('what for', 'files', 'kB'), (
        (group.purpose, group.files, f'{group.bytes / 1e3:,.0f}')
        for group in groups(sizes, reason)
    ))
    table(('the ten largest', 'kB', 'what for'), (
        (f'`/{path}`', f'{sizes[path] / 1e3:,.0f}', purpose(path, reason))
        for path in largest(sizes)
    ))


def main(words: Sequence[str]) -> None:
    """Print tables."""
    wanted = words or ('sizes', 'files', 'start', 'memory')
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        image = place / 'image'
        unpacked(TOOLS / 'pollreload.tar', image)
        if 'sizes' in wanted:
            table(('what', 'MB unpacked', 'MB compressed'), (
                (what, *(f'{each / 1e6:.1f}' for each in sizes))
                for what, sizes in rows(place, image)
            ))
        for word in ('files', 'each'):
            if word in wanted:
                purposes(place / word, image, word == 'each')
        furnished(image)
        timed = {'start', 'memory'} & {*wanted}
        elsewhere = [] if not timed else outside(place / 'venv')
        if 'start' in wanted:
            table(('`--version`', 'ms of CPU, median', 'least'), (
                (where, f'{statistics.median(each):.0f}', f'{min(each):.0f}')
                for where, each in zip(
                    ('in the image', 'outside'), starts(image, elsewhere), strict=True)
            ))
        if 'memory' in wanted:
            (image / 'conf').touch()
            runs = (
                ('in the image', inside(image), '/conf'),
                ('outside', elsewhere, str(image / 'conf')),
            )
            table(('`watch`', 'MB resident', 'with `--listen`'), (
                (where, *(f'{memory(command, path, listen) / 1024:.1f}'
                          for listen in (False, True)))
                for where, command, path in runs
            ))


if __name__ == '__main__':
    main(sys.argv[1:])
