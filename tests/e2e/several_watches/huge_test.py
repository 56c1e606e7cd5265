"""A huge file holds up neither the other watches of the process nor a signal."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.harness import until
from tests.support.several import put, started
from tests.support.several_apps import App, told

LARGEST = (1 << 63) - 1  # bytes of a file on a tmpfs: 8 EiB


@pytest.fixture(name='sparse')
def a_sparse_file() -> Iterator[str]:
    """Make a file of 8 EiB without a block."""
    with tempfile.TemporaryDirectory(dir='/dev/shm') as shm:
        path = os.path.join(shm, 'sparse')
        with open(path, 'wb') as file:
            file.truncate(LARGEST)
        yield path


def readers(pid: int) -> list[str]:
    """Return the pids of the children of a process."""
    return Path(f'/proc/{pid}/task/{pid}/children').read_text('utf-8').split()


def alive(pid: str) -> bool:
    """Return whether a process runs: not dead, and no zombie that init keeps."""
    try:
        stat = Path(f'/proc/{pid}/stat').read_text('utf-8')
    except OSError:
        return False
    return stat.rpartition(')')[2].split()[0] != 'Z'


def test_a_huge_file_is_refused_in_one_line(
        config: str, apps: tuple[App, App], sparse: str,
) -> None:
    """Above --max-file-size it is unreadable, logged once; the other watch goes on."""
    one, two = apps
    put(config, one.table(path=[one.conf, sparse]), two.table())
    with started(config) as it:
        it.each(('unreadable', 'one'), ('baseline', 'two'))
        assert told(it, two)
        status = it.stop()

    refused = [each for each in it.seen if each['event'] == 'unreadable']
    assert [each['message'] for each in refused] == [
        f'{sparse}: is larger than --max-file-size 4GiB',
    ]
    assert status == 0


def test_a_huge_file_is_read_beside_the_other_watches(
        config: str, apps: tuple[App, App], sparse: str,
) -> None:
    """With a limit above it, it is read for years; TERM ends that with the rest."""
    one, two = apps
    limit = one.table(path=[one.conf, sparse], max_file_size='8EiB')
    put(config, limit, two.table())
    with started(config) as it:
        it.each(('started', 'one'), ('baseline', 'two'))
        assert told(it, two)
        until(lambda: bool(readers(it.pid)), 'a child reads')
        pids = readers(it.pid)
        status = it.stop()

    assert it.named('one') == ['started']
    until(lambda: not any(map(alive, pids)), 'the child is dead')
    assert status == 0
