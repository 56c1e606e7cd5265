"""A poll leaves the page cache as it was, if the kernel can do that."""
from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from xxhash import xxh3_128_digest

from pollreload.system import file_digest
from tests.support.readings import see

SIZE = 8 * file_digest.CHUNK


@pytest.fixture(name='big')
def a_big_file(tmp_path: Path) -> Iterator[Path]:
    """Make a file of which only a part, on no edge of a chunk, is in the page cache."""
    path = tmp_path / 'big'
    with path.open('wb') as file:
        file.write(os.urandom(SIZE))
        file.flush()
        os.fsync(file.fileno())
    opened = os.open(path, os.O_RDONLY)
    os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_RANDOM)
    os.pread(opened, SIZE // 8, 5 * mmap.PAGESIZE)
    yield path
    os.close(opened)


def resident(path: Path) -> Sequence[bool]:
    """Return of each page of a file whether it is in the page cache, by mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    size = path.stat().st_size
    pages = (ctypes.c_ubyte * (-(-size // mmap.PAGESIZE)))()
    with path.open('r+b') as file, mmap.mmap(file.fileno(), size) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        said = libc.mincore(ctypes.byref(first), ctypes.c_size_t(size), pages)
        del first
    assert said == 0, os.strerror(ctypes.get_errno())
    return [page & 1 == 1 for page in pages]


def supported(path: Path) -> bool:
    """Return whether a file can be read so; reads none of its bytes."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.preadv(file, (bytearray(1),), SIZE, file_digest.RWF_DONTCACHE)
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def test_pages_that_were_not_cached_are_not_cached_after_a_poll(big: Path) -> None:
    """Those of the other processes are not evicted for a file that is only hashed.

    What was cached before stays, because the target may need it.
    """
    if not supported(big):
        pytest.skip('this kernel or file system has no RWF_DONTCACHE')
    before = resident(big)

    see(str(big))

    assert any(before)
    assert not all(before)
    assert resident(big) == before


@pytest.mark.parametrize('error', [
    OSError(errno.EOPNOTSUPP, 'not supported'), NotImplementedError('preadv2'),
])
def test_a_big_file_is_read_without_dontcache(
        big: Path, error: Exception, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Linux before 6.14 has none, some file systems neither, nor an old C library."""
    def refuse(*_: object) -> int:
        raise error

    monkeypatch.setattr(os, 'preadv', refuse)

    assert see(str(big)).files == {'': xxh3_128_digest(big.read_bytes())}
