"""The command install-to: copy the program of the image into a shared volume.

The tree brings its own loader, libraries and interpreter, so pollreload runs in any
other image that mounts the volume, whatever its libc and the mount point. The loader
finds the libraries by --library-path; the interpreter finds the rest beside itself.

The volume may belong to an unprivileged user while root installs into it. So every
step is relative to a descriptor of the volume or of a new directory that only we can
enter, and none follows a link (openat(2), symlink races).
"""
from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from typing import TextIO

from pollreload.errors import UsageError

# The loader bears our name, because the kernel takes comm from the executable.
LOADER, INTERPRETER = 'pollreload', 'python3'
# How every directory is opened: never through a link.
OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# Each run fills a new directory of its own; `lib` is a link to the lib in one.
TREE = re.compile(r'\.pollreload-[0-9a-f]{16}')
# Isolated and in UTF-8: variables that the other image sets for its own Python, or a
# locale for which the tree has no codec, do not reach ours.
LAUNCHER = f'''\
#!/bin/sh
# pollreload, with its own loader, libraries and Python: from wherever it is mounted.
here=$0
[ ! -h "$here" ] || here=$(readlink -f "$here")
here=$(CDPATH='' cd -P -- "${{here%/*}}/lib" && pwd -P) || exit
exec "$here/{LOADER}" --library-path "$here" "$here/{INTERPRETER}" -ISXutf8 \\
    -m pollreload "$@"
'''.encode()


def run(directory: str, out: TextIO, err: TextIO, prefix: str = sys.prefix) -> int:
    """Install into a directory, and return the exit status.

    An identical installation is left alone: processes may run from it. Another one
    is replaced in one step, so a program that starts finds the old or the new one.

    prefix: the directory above our own tree.
    Raises UsageError if there is nothing to install, or a foreign lib in the way.
    """
    source, place = os.path.join(prefix, 'lib'), os.path.join(directory, 'lib')
    if not all(
            os.path.isfile(os.path.join(source, name)) for name in (LOADER, INTERPRETER)
    ):
        raise UsageError(
            'install-to copies the image that it runs from, and this pollreload was '
            'installed in another way; run it in the container image',
        )
    if os.path.realpath(place) == os.path.realpath(source):
        raise UsageError(f'{directory} is where this runs from; name another directory')
    try:
        volume = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if exists('lib', volume) and not installed(volume):
                raise UsageError(
                    f'{place} exists and is not ours; name an empty directory',
                )
            update(source, volume)
        finally:
            os.close(volume)
    except OSError as error:
        path = path_of(error, directory)
        err.write(f'pollreload: cannot install: {path}: {error.strerror}\n')
        return 1
    out.write(f'installed: {os.path.join(directory, LOADER)}\n')
    return 0


def exists(name: str, volume: int) -> bool:
    """Return whether a name exists in a directory, also as a dangling link."""
    try:
        os.lstat(name, dir_fd=volume)
    except FileNotFoundError:
        return False
    return True


def installed(volume: int) -> str:
    """Return the name of the tree that `lib` leads to, or ''."""
    try:
        name, _, rest = os.readlink('lib', dir_fd=volume).partition('/')
    except OSError:
        return ''
    return name if TREE.fullmatch(name) and rest == 'lib' else ''


def update(source: str, volume: int) -> None:
    """Install a tree unless it is installed already. Raises OSError.

    Trees that nothing leads to any more are removed: those of earlier runs, also of
    a run that was killed. If this run fails, its own tree is removed too.
    """
    try:
        if not already_installed(source, volume):
            fill(source, volume)
    finally:
        kept = installed(volume)
        for other in os.listdir(volume):
            if TREE.fullmatch(other) and other != kept:
                shutil.rmtree(other, ignore_errors=True, dir_fd=volume)


def already_installed(source: str, volume: int) -> bool:
    """Return whether a volume holds exactly what `fill` would put there."""
    name = installed(volume)
    try:
        if not (name and same_file(LAUNCHER, LOADER, 0o755, volume)):
            return False
        tree = os.open(name, OPEN_DIRECTORY, dir_fd=volume)
        try:
            return os.listdir(tree) == ['lib'] and same_tree(source, 'lib', tree)
        finally:
            os.close(tree)
    except OSError:
        return False  # missing, unreadable, or of another type


def same_tree(source: str, name: str, place: int) -> bool:
    """Return whether a directory is what `copy` makes of another. Raises OSError."""
    fd = os.open(name, OPEN_DIRECTORY, dir_fd=place)
    try:
        with os.scandir(source) as entries:
            wanted = {entry.name: entry for entry in entries}
        return (
            os.fstat(fd).st_mode == stat.S_IFDIR | 0o755
            and set(os.listdir(fd)) == wanted.keys()
            and all(same_entry(entry, fd) for entry in wanted.values())
        )
    finally:
        os.close(fd)


def same_entry(entry: os.DirEntry[str], place: int) -> bool:
    """Return whether a directory has what `copy` makes of an entry. Raises OSError."""
    if entry.is_symlink():
        return os.readlink(entry.name, dir_fd=place) == os.readlink(entry.path)
    if entry.is_dir():
        return same_tree(entry.path, entry.name, place)
    with open(entry.path, 'rb') as file:
        return same_file(file.read(), entry.name, mode_of(entry), place)


def same_file(data: bytes, name: str, mode: int, place: int) -> bool:
    """Return whether a regular file has these bytes and mode. Raises OSError."""
    # The owner of the volume may have put a FIFO there: O_NONBLOCK.
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    with open(fd, 'rb') as file:
        return (
            os.fstat(fd).st_mode == stat.S_IFREG | mode
            and file.read(len(data) + 1) == data
        )


def fill(source: str, volume: int) -> None:
    """Copy a tree, and switch to it once it is complete. Raises OSError."""
    name = f'.pollreload-{os.urandom(8).hex()}'
    os.mkdir(name, 0o700, dir_fd=volume)
    new = enter(name, volume)
    try:
        with prefix_errors(name):
            copy(source, 'lib', new)
            os.symlink(f'{name}/lib', 'link', dir_fd=new)
            write_new_file(LAUNCHER, 'launcher', 0o755, new)
            os.fchmod(new, 0o755)
        # The link first: the launcher is of no use without it.
        os.replace('link', 'lib', src_dir_fd=new, dst_dir_fd=volume)
        os.replace('launcher', LOADER, src_dir_fd=new, dst_dir_fd=volume)
    finally:
        os.close(new)


@contextlib.contextmanager
def prefix_errors(directory: str) -> Iterator[None]:
    """Prefix the path of an OSError with the directory that it is relative to."""
    try:
        yield
    except OSError as error:
        path = path_of(error, directory)
        raise OSError(error.errno, error.strerror, path) from error


def path_of(error: OSError, directory: str) -> str:
    """Return the path that an error is about; it is relative to a directory."""
    name = error.filename2 or error.filename
    # Some system calls know a descriptor at most.
    return os.path.join(directory, name) if isinstance(name, str) else directory


def enter(name: str, volume: int) -> int:
    """Return a descriptor of a directory that we have just made. Raises OSError.

    The owner of the volume can have put another in its place: then its mode or its
    owner differs, because no other user can make one that belongs to us.
    """
    fd = os.open(name, OPEN_DIRECTORY, dir_fd=volume)
    found = os.fstat(fd)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(fd)
        raise PermissionError(1, 'was replaced by another user', name)
    return fd


def copy(source: str, name: str, place: int) -> None:
    """Copy a directory into another, readable and executable for all.

    place: a descriptor of the directory that gets it. Raises OSError.
    """
    os.mkdir(name, 0o700, dir_fd=place)
    new = os.open(name, OPEN_DIRECTORY, dir_fd=place)
    try:
        with prefix_errors(name), os.scandir(source) as entries:
            for entry in entries:
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), entry.name, dir_fd=new)
                elif entry.is_dir():
                    copy(entry.path, entry.name, new)
                else:
                    with open(entry.path, 'rb') as file:
                        write_new_file(file.read(), entry.name, mode_of(entry), new)
            os.fchmod(new, 0o755)  # whatever the umask
    finally:
        os.close(new)


def mode_of(entry: os.DirEntry[str]) -> int:
    """Return the mode of the copy of a file. Raises OSError."""
    return 0o755 if entry.stat().st_mode & 0o100 else 0o644


def write_new_file(data: bytes, name: str, mode: int, place: int) -> None:
    """Write a new file into a directory, by its descriptor. Raises OSError."""
    fd = os.open(
        name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=place,
    )
    with open(fd, 'wb') as file:
        try:
            file.write(data)
            file.flush()
        except OSError as error:
            # write(2) does not know the name.
            raise OSError(error.errno, error.strerror, name) from error
        os.fchmod(fd, mode)
