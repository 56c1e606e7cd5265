"""Reading a file, and files that cannot be read."""
from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from xxhash import xxh3_128_digest

from pollreload.core.reading import EMPTY, Reading
from pollreload.settings import IGNORED
from pollreload.system import file_digest, reader
from pollreload.system.file_digest import Progress
from pollreload.system.reader import poll
from tests.support.readings import lost, nobody, see, write


def spied(name: str, calls: list[str]) -> Callable[..., object]:
    real = getattr(os, name)

    def spy(*args: object, **kwargs: object) -> object:
        calls.append(name)
        return real(*args, **kwargs)
    return spy


def test_a_file_is_seen_under_the_empty_name(at):
    """The name of a file that is itself the path is '', the digest XXH3-128."""
    write(at, ['app.conf'], 'hello')

    assert see(f'{at}/app.conf') == Reading('file', {'': xxh3_128_digest(b'hello')}, {})


def test_an_empty_file_has_the_digest_that_change_calls_empty(at):
    """EMPTY is what a poll sees of no bytes at all."""
    write(at, ['app.conf'], '')

    assert see(f'{at}/app.conf').files == {'': EMPTY}


def test_a_poll_of_a_file_reads_it_once_and_reads_no_links(at, monkeypatch):
    """stat, what open_regular needs, one fstat, one read, one close."""
    write(at, ['app.conf'])
    os.symlink('app.conf', f'{at}/link.conf')
    calls: list[str] = []
    for name in ('stat', 'lstat', 'open', 'fstat', 'read', 'readv', 'close',
                 'readlink', 'scandir', 'getcwd'):
        monkeypatch.setattr(os, name, spied(name, calls))

    poll((f'{at}/link.conf',), IGNORED)

    safe_open = ['open', 'fstat', 'open', 'close']
    assert calls == ['stat', *safe_open, 'fstat', 'read', 'close']


def test_a_poll_of_a_file_imports_no_matcher(at):
    """fnmatch and re cost memory; they come with a directory or a glob."""
    write(at, ['app.conf'])
    script = (
        'import sys, typing, xxhash, pollreload.core.change\n'
        'names = {"re", "fnmatch", "glob"}\n'
        'for name in names:\n'
        '    sys.modules.pop(name, None)  # typing, coverage\n'
        'from pollreload.system.reader import poll\n'
        'assert poll((sys.argv[1],), ("*~",)).readings[0].files\n'
        'print(sorted(names & set(sys.modules)))\n'
    )

    ended = subprocess.run(
        (sys.executable, '-c', script, f'{at}/app.conf'),
        stdout=subprocess.PIPE, check=True, text=True,
    )

    assert ended.stdout == '[]\n'


@pytest.mark.parametrize('size', [file_digest.CHUNK, file_digest.CHUNK + 1, 5 << 20])
def test_a_large_file_is_read_in_chunks(at, size):
    """The digest does not depend on the way of reading."""
    content = os.urandom(1000) * (size // 1000) + bytes(size % 1000)
    with open(f'{at}/app.conf', 'wb') as file:
        file.write(content)

    assert see(f'{at}/app.conf').files == {'': xxh3_128_digest(content)}


@pytest.mark.parametrize('size', [0, 2, 4, 9])
def test_a_file_is_read_to_its_end_whatever_its_size_is_said_to_be(at, size):
    """FUSE, proc and sysfs give more or less than fstat says."""
    write(at, ['app.conf'], 'hello')
    file = os.open(f'{at}/app.conf', os.O_RDONLY)

    progress = Progress(reader.never, [0, 0], None)
    digest = file_digest.hash_file(file, size, progress)

    os.close(file)
    assert digest == xxh3_128_digest(b'hello')


def test_a_file_of_proc_is_read_though_it_has_no_size():
    """The kernel's own files say 0 bytes and give some."""
    with open('/proc/version', 'rb') as file:
        content = file.read()

    assert see('/proc/version').files == {'': xxh3_128_digest(content)}


def test_no_descriptor_is_kept_over_looks(at):
    """Rule 7: no descriptor is kept from one poll to the next."""
    write(at, ['d/a', 'd/sub/b'])
    os.mkfifo(f'{at}/d/fifo')
    before = os.listdir('/proc/self/fd')

    poll((f'{at}/d', f'{at}/d/a', f'{at}/d/fifo', f'{at}/none'), IGNORED)

    assert os.listdir('/proc/self/fd') == before


def test_unreadable_is_an_observation_missing(at):
    """A missing file, and a file below a missing directory, are not there."""
    assert see(f'{at}/app.conf') == lost('no such file')
    assert see(f'{at}/none/app.conf') == lost('no such file')


def test_unreadable_is_an_observation_below_a_file(at):
    """A file in the place of a directory."""
    write(at, ['etc'])

    assert see(f'{at}/etc/app.conf') == lost('not a directory')


def test_unreadable_is_an_observation_permission(at):
    """A file, and a directory, that may not be read."""
    write(at, ['app.conf', 'd/app.conf'])
    os.chmod(f'{at}/app.conf', 0)
    os.chmod(f'{at}/d', 0)

    with nobody():
        assert see(f'{at}/app.conf') == lost('permission denied')
        assert see(f'{at}/d') == lost('permission denied')
        assert see(f'{at}/d/*.conf') == lost('permission denied')


def test_unreadable_is_an_observation_lease(at):
    """EAGAIN is another process that holds a write lease on the file."""
    write(at, ['app.conf'])
    holder = os.open(f'{at}/app.conf', os.O_RDWR)
    was = signal.signal(signal.SIGIO, signal.SIG_IGN)
    fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    seen = see(f'{at}/app.conf')

    os.close(holder)
    signal.signal(signal.SIGIO, was)
    assert seen == lost('leased by another process')


def test_unreadable_is_an_observation_loop_and_length(at):
    """Links that lead in a circle, and a name that is too long."""
    os.symlink('loop', f'{at}/loop')

    assert see(f'{at}/loop') == lost('too many levels of symbolic links')
    assert see(f'{at}/{"n" * 256}') == lost('file name too long')


@pytest.mark.parametrize(('number', 'said'), [
    (errno.EIO, 'i/o error'),
    (errno.ESTALE, 'stale file handle'),
    (errno.ENODEV, os.strerror(errno.ENODEV).lower()),
])
def test_unreadable_is_an_observation_any_error(at, monkeypatch, number, said):
    """Whatever a read fails with is said, and never raised."""
    def fail(file, size):
        raise OSError(number, 'words of this C library')
    write(at, ['app.conf'])
    monkeypatch.setattr(os, 'read', fail)

    assert see(f'{at}/app.conf') == lost(said)


def test_nothing_but_regular_files_is_ever_opened(at, monkeypatch):
    """To open a FIFO or a device can hurt whoever is at its other end."""
    def opened(path, flags, real=os.open):
        # O_DIRECTORY has the kernel refuse anything else before it is opened.
        assert flags & os.O_DIRECTORY, path
        return real(path, flags)
    os.mkfifo(f'{at}/fifo')
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(f'{at}/socket')
    bound.close()
    monkeypatch.setattr(os, 'open', opened)

    assert see(f'{at}/fifo') == lost('is a FIFO')
    assert see(f'{at}/socket') == lost('is a socket')
    assert see('/dev/null') == lost('is a device')
    assert see(at).unreadable == {'fifo': 'is a FIFO', 'socket': 'is a socket'}


def test_a_file_that_is_swapped_after_stat_is_not_opened(at):
    """Its owner can replace it between two system calls."""
    write(at, ['app.conf'])
    before = os.stat(f'{at}/app.conf')
    os.remove(f'{at}/app.conf')
    os.mkfifo(f'{at}/app.conf')
    progress = Progress(reader.never, [0, 0], None)

    with pytest.raises(OSError, match='is a FIFO'):
        file_digest.digest_file(f'{at}/app.conf', before, progress)
