"""The command install-to: put what is in the image where another one can run it.

The tree brings its own loader, libraries and interpreter: whatever libc the other
image has, and wherever it mounts the directory, pollreload runs there. What is
relocated is found by the loader's --library-path, and by the interpreter beside
its own program.
"""
from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

from pollreload import contents
from pollreload.errors import UsageError

# The loader is named as we are, for what is run is what shows as comm.
LOADER, INTERPRETER = 'pollreload', 'python3'
NEW = '.pollreload.new'
# Isolated, and in UTF-8: what the other image sets, for its own Python or in a
# locale that the tree has no codec for, does not reach ours.
LAUNCHER = f'''\
#!/bin/sh
# pollreload, with its own loader, libraries and Python: from whatever is mounted here.
here=$0
[ ! -h "$here" ] || here=$(readlink -f "$here")
here=$(CDPATH='' cd -- "${{here%/*}}/" && pwd)/lib || exit
exec "$here/{LOADER}" --library-path "$here" "$here/{INTERPRETER}" -ISXutf8 \\
    -m pollreload "$@"
'''


def run(directory: str, out: TextIO, err: TextIO, prefix: str = sys.prefix) -> int:
    """Install into a directory, and return the exit status.

    prefix: below which our own tree is. What is in the directory already, from an
    earlier run, is left where it is the same, and replaced where it is not.
    Raises UsageError where there is nothing to install, or a lib of others.
    """
    tree, place = os.path.join(prefix, 'lib'), os.path.join(directory, 'lib')
    if not ours(tree):
        raise UsageError(
            'install-to copies the image that it is run from, and this pollreload was '
            'installed in another way',
        )
    if os.path.realpath(place) == os.path.realpath(tree):
        raise UsageError(f'{directory} is where this runs from; name another directory')
    if os.path.lexists(place) and not ours(place):
        raise UsageError(f'{place} is there and not ours; name an empty directory')
    program = os.path.join(directory, 'pollreload')
    try:
        # It tells what is wrong with the directory itself from what is within.
        os.scandir(directory).close()
        if not (same(tree, place) and launches(program)):
            fill(directory, tree, place, program)
    except OSError as error:
        where = error.filename2 or error.filename or directory
        err.write(f'pollreload: cannot install: {where}: {error.strerror}\n')
        return 1
    out.write(f'installed: {program}\n')
    return 0


def ours(tree: str) -> bool:
    """Whether a directory is a tree of ours: it has the loader of that name."""
    return all(
        os.path.isfile(os.path.join(tree, name)) for name in (LOADER, INTERPRETER)
    )


def same(one: str, other: str) -> bool:
    """Whether two trees have the same files, by their content."""
    looks = contents.look((one,), ()), contents.look((other,), ())
    files = [look.sights[0].files for look in looks if look is not None]
    return files[0] == files[1]


def launches(program: str) -> bool:
    """Whether our launcher is there."""
    try:
        with open(program, encoding='utf-8') as file:
            return file.read() == LAUNCHER
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def fill(directory: str, tree: str, place: str, program: str) -> None:
    """Copy a tree beside its place, and move it there when it is whole.

    A run that was killed leaves NEW, which the next one begins with removing.
    Raises OSError.
    """
    new = os.path.join(directory, NEW)
    shutil.rmtree(new, ignore_errors=True)
    os.mkdir(new, 0o700)
    try:
        copy(tree, os.path.join(new, 'lib'))
        launcher = os.path.join(new, 'pollreload')
        with open(launcher, 'w', encoding='utf-8') as file:
            file.write(LAUNCHER)
        os.chmod(launcher, 0o755)
        if os.path.lexists(place):
            os.rename(place, os.path.join(new, 'old'))
        os.rename(os.path.join(new, 'lib'), place)
        # The last: what has no launcher is not run.
        os.rename(launcher, program)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def copy(source: str, place: str) -> None:
    """Copy a directory and all in it, for everybody to read and to run.

    Raises OSError, whose filename2 or else filename is the copy's.
    """
    os.mkdir(place)
    os.chmod(place, 0o755)  # whatever our umask
    with os.scandir(source) as entries:
        for entry in entries:
            target = os.path.join(place, entry.name)
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), target)
            elif entry.is_dir():
                copy(entry.path, target)
            else:
                shutil.copyfile(entry.path, target)
                os.chmod(target, 0o755 if entry.stat().st_mode & 0o100 else 0o644)
