"""The command install-to: put what is in the image where another one can run it.

The tree brings its own loader, libraries and interpreter: whatever libc the other
image has, and wherever it mounts the directory, pollreload runs there. What is
relocated is found by the loader's --library-path, and by the interpreter beside
its own program.
"""
from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sys
from collections.abc import Iterator
from typing import TextIO

from pollreload.errors import UsageError
from pollreload.system import reader

# The loader is named as we are, for what is run is what shows as comm.
LOADER, INTERPRETER = 'pollreload', 'python3'
# Each run fills a directory of its own, which is never moved; `lib` is a link.
OWN = re.compile(r'\.pollreload-[0-9a-f]{16}')


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
    if os.path.lexists(place) and not linked(place):
        raise UsageError(f'{place} is there and not ours; name an empty directory')
    program = os.path.join(directory, 'pollreload')
    try:
        with alone(directory):
            try:
                if not current(directory, tree, place, program):
                    fill(directory, tree, place, program)
            finally:
                sweep(directory, place, program)
    except OSError as error:
        where = error.filename2 or error.filename or directory
        err.write(f'pollreload: cannot install: {where}: {error.strerror}\n')
        return 1
    out.write(f'installed: {program}\n')
    return 0


@contextlib.contextmanager
def alone(directory: str) -> Iterator[None]:
    """Wait until no other run of this machine is at work in a directory.

    The lock ends with who has it, however that ends (flock(2)). Raises OSError,
    also for what is no directory.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def ours(tree: str) -> bool:
    """Whether a directory is a tree of ours: it has the loader of that name."""
    return all(
        os.path.isfile(os.path.join(tree, name)) for name in (LOADER, INTERPRETER)
    )


def same(one: str, other: str) -> bool:
    """Whether two trees have the same files, by their content."""
    looks = reader.look((one,), ()), reader.look((other,), ())
    files = [look.sights[0].files for look in looks if look is not None]
    return files[0] == files[1]


def linked(place: str) -> str:
    """Return the name of our directory that a link leads to the lib of; else ''."""
    try:
        name, _, rest = os.readlink(place).partition('/')
    except OSError:
        return ''
    return name if OWN.fullmatch(name) and rest == 'lib' else ''


def launcher(name: str) -> bytes:
    """Return the script that starts what is in a directory of ours.

    It names one tree: what has been started does not find another one half-way.
    """
    # Isolated, and in UTF-8: what the other image sets, for its own Python or in
    # a locale that the tree has no codec for, does not reach ours.
    return f'''\
#!/bin/sh
# pollreload, with its own loader, libraries and Python: from whatever is mounted here.
here=$0
[ ! -h "$here" ] || here=$(readlink -f "$here")
here=$(CDPATH='' cd -- "${{here%/*}}/" && pwd)/{name}/lib || exit
exec "$here/{LOADER}" --library-path "$here" "$here/{INTERPRETER}" -ISXutf8 \\
    -m pollreload "$@"
'''.encode()


def script(program: str) -> bytes:
    """Return what is in the place of our launcher; b'' where there is no file."""
    try:
        with open(program, 'rb') as file:
            return file.read()
    except (FileNotFoundError, IsADirectoryError):
        return b''


def current(directory: str, tree: str, place: str, program: str) -> bool:
    """Whether a tree is what is installed in a directory, whole."""
    name = linked(place)
    return (
        bool(name) and same(tree, os.path.join(directory, name, 'lib'))
        and script(program) == launcher(name)
    )


def fill(directory: str, tree: str, place: str, program: str) -> None:
    """Copy a tree, and have the launcher and the link lead to it when it is whole.

    Each of the two is replaced in one step, so that whenever this ends, each leads
    to what was there before or to what is there now. Raises OSError.
    """
    name = f'.pollreload-{os.urandom(8).hex()}'
    new = os.path.join(directory, name)
    os.mkdir(new, 0o700)
    copy(tree, os.path.join(new, 'lib'))
    os.symlink(f'{name}/lib', os.path.join(new, 'link'))
    started = os.path.join(new, 'launcher')
    with open(started, 'wb') as file:
        file.write(launcher(name))
    os.chmod(started, 0o755)
    os.chmod(new, 0o755)
    os.replace(started, program)
    os.replace(os.path.join(new, 'link'), place)


def sweep(directory: str, place: str, program: str) -> None:
    """Remove what neither the launcher nor the link leads to.

    It is older, or of a run that was killed or has failed: with the lock in our
    hand there is no other one. What cannot be removed stays.
    """
    text, kept = script(program), linked(place)
    for name in os.listdir(directory):
        if OWN.fullmatch(name) and name != kept and name.encode() not in text:
            shutil.rmtree(os.path.join(directory, name), ignore_errors=True)


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
