"""Say what each file of the image is for, by the imports that closure.py finds."""
from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
# It runs by the interpreter of the base, so that its standard library is read.
SCRIPT = '''
import sys
sys.path.insert(0, sys.argv[1])
import closure
closure.WITHOUT |= {each for name in sys.argv[3:] for each in closure.modules(name)}
package = sys.argv[2]
print(*closure.closure(closure.modules(package) if package else ()))
'''
INTERPRETER = 'the interpreter'
LIBRARIES = 'the loader, the C library, and what the interpreter is linked with'
START = 'standard library: the start of the interpreter'
OURS = 'standard library: pollreload'
PAPERS = 'metadata, licences, the SBOM'
DEPENDENCIES = 'click', 'xxhash'


class Group(NamedTuple):
    """The files of one purpose: how many, and their bytes."""

    purpose: str
    files: int
    bytes: int


def imported(
        python: Path, site: Path, package: str, without: Sequence[str] = (),
) -> set[str]:
    """Return the modules that a package needs, '' for the start of an interpreter.

    site: where click and xxhash are installed. without: what is left out, with
    all that only it needs.
    """
    done = subprocess.run(
        [python, '-c', SCRIPT, HERE, package, *without], check=True, text=True,
        stdout=subprocess.PIPE,
        # An interpreter that measures coverage imports more at its start.
        env={
            **{name: value for name, value in os.environ.items()
               if not name.startswith('COVERAGE')},
            'PYTHONPATH': f'{site}:{HERE.parents[1]}',
        },
    )
    return set(done.stdout.split())


def reasons(python: Path, site: Path) -> dict[str, str]:
    """Return module of the standard library -> what it is for."""
    found = dict.fromkeys(imported(python, site, 'pollreload'), OURS)
    for name in DEPENDENCIES:
        left = imported(python, site, 'pollreload', (name,))
        found |= dict.fromkeys({*found} - left, f'standard library: {name} alone')
    return found | dict.fromkeys(imported(python, site, ''), START)


def module_of(path: str) -> str:
    """Return the module that a file of a standard library has: 'a/b.pyc' -> 'a.b'."""
    place = PurePath(path)
    names = [*place.parent.parts, place.name.partition('.')[0]]
    if names[0] == 'lib-dynload':
        del names[0]
    if names[-1] == '__init__':
        del names[-1]
    return '.'.join(names)


def purpose(path: str, reason: Mapping[str, str]) -> str:
    """Return what a file is for. path: below the root of the image."""
    below = path.removeprefix('usr/local/')
    inside = re.match(r'lib/python3\.\d+/(.*)', below)
    if inside is None:
        if re.match(r'lib/(libpython|python3$)', below):
            return INTERPRETER
        if below.startswith('lib/'):
            return LIBRARIES
        return PAPERS if below.startswith('share/') else 'pollreload'
    within = inside[1]
    if '.dist-info/' in within or within == 'LICENSE.txt':
        return PAPERS
    top = within.partition('/')[0]
    if top in ('pollreload', *DEPENDENCIES):
        return top
    # Of ours, in the place of a codec (hostnames.py).
    return reason.get(module_of(within), OURS)


def files(image: Path) -> Iterator[tuple[str, int]]:
    """Yield the path below the root, and the bytes, of each regular file."""
    for file in sorted(image.rglob('*')):
        if file.is_file() and not file.is_symlink():
            yield str(file.relative_to(image)), file.stat().st_size


def groups(sizes: Mapping[str, int], reason: Mapping[str, str]) -> list[Group]:
    """Return the purposes of files, the one with most bytes first."""
    found: dict[str, list[int]] = {}
    for path, size in sizes.items():
        found.setdefault(purpose(path, reason), []).append(size)
    return sorted(
        (Group(name, len(some), sum(some)) for name, some in found.items()),
        key=lambda group: -group.bytes,
    )


def largest(sizes: Mapping[str, int], count: int = 10) -> list[str]:
    """Return the paths of the largest files."""
    return sorted(sizes, key=lambda path: -sizes[path])[:count]
