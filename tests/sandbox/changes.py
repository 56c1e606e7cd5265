"""Five ways in which the files of a program change under it.

A directory has two files: plain.conf, and linked.conf that leads to it over
..data as the kubelet's do. Only the standard library, for guests and other
images run it as it is: changes.py DIRECTORY lay TEXT, changes.py DIRECTORY KIND TEXT.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

PLAIN, LINKED = 'plain.conf', 'linked.conf'


def write(path: str, text: str) -> None:
    """Write a file in place: cut to nothing, and then filled."""
    with open(path, 'w', encoding='ascii') as file:
        file.write(text)


def lay(directory: str, text: str) -> None:
    """Make both files, with one text."""
    write(os.path.join(directory, PLAIN), text)
    swapped(directory, text)
    if not os.path.islink(os.path.join(directory, LINKED)):
        os.symlink(os.path.join('..data', LINKED), os.path.join(directory, LINKED))


def in_place(directory: str, text: str) -> None:
    """Rewrite the file as `echo > FILE` does."""
    write(os.path.join(directory, PLAIN), text)


def same(directory: str, text: str) -> None:
    """Rewrite the file in its length, and put its mtime back.

    Raises ValueError if the text has another length.
    """
    path = os.path.join(directory, PLAIN)
    was = os.stat(path)
    if was.st_size != len(text):
        raise ValueError(f'{was.st_size} bytes are to become {len(text)}')
    write(path, text)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def renamed(directory: str, text: str) -> None:
    """Write another file and rename it over this one, as editors do."""
    new = os.path.join(directory, f'.{PLAIN}.new')
    write(new, text)
    os.rename(new, os.path.join(directory, PLAIN))


def swapped(directory: str, text: str) -> None:
    """Write a new directory, let ..data lead there, and remove the old one."""
    data = os.path.join(directory, '..data')
    old = os.readlink(data) if os.path.islink(data) else ''
    new = '..two' if old == '..one' else '..one'
    os.mkdir(os.path.join(directory, new))
    write(os.path.join(directory, new, LINKED), text)
    os.symlink(new, f'{data}_tmp')
    os.rename(f'{data}_tmp', data)
    if old:
        os.remove(os.path.join(directory, old, LINKED))
        os.rmdir(os.path.join(directory, old))


def recreated(directory: str, text: str) -> None:
    """Delete the file, and make it again."""
    path = os.path.join(directory, PLAIN)
    os.remove(path)
    write(path, text)


KINDS: Mapping[str, Callable[[str, str], None]] = {
    'in-place': in_place, 'same': same, 'renamed': renamed, 'swapped': swapped,
    'recreated': recreated,
}
FILES = {kind: LINKED if kind == 'swapped' else PLAIN for kind in KINDS}


def text(number: int) -> str:
    """Return the text of the nth change; all have one length."""
    return f'text {number:06}\n'


if __name__ == '__main__':
    place, how, body = sys.argv[1:]
    {**KINDS, 'lay': lay}[how](place, body)
