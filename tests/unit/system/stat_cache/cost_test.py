"""How much an unchanged poll reads."""
from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pollreload.settings import IGNORED
from pollreload.system import stat_cache
from pollreload.system.reader import poll
from pollreload.system.stat_cache import GRAIN, Terms
from tests.servers.harness import missing, until
from tests.support.cached_polls import (
    CALLS,
    Eye,
    Meddler,
    named,
    put,
    tick,
)
from tests.support.sidecar import unique, watch
from tests.support.system_calls import idle_polls


@pytest.mark.parametrize('busy', [False, True])
@pytest.mark.parametrize('rounds', [2, 5])
def test_each_file_is_read_once_in_so_many_looks_and_never_all_at_once(
        at: str, reads: list[str], rounds: int, busy: bool,
) -> None:
    """Also where others come and go, so that each poll lists the directory."""
    old = {f'{number:02}' for number in range(40)}
    for name in old:
        put(f'{at}/d/{name}')
    eye = Eye(f'{at}/d', rounds=rounds)
    eye.settle()
    named(reads)
    history = []
    for number in range(4 * rounds):
        if busy:
            tick()
            put(f'{at}/d/n{number}')
            if number:
                os.remove(f'{at}/d/n{number - 1}')
        eye.look()
        history.append(named(reads) & old)

    assert all(len(read) < len(old) for read in history)
    for number in range(3 * rounds):
        assert set().union(*history[number:number + rounds]) == old


def test_a_file_that_comes_late_has_its_turn_as_well(
        at: str, reads: list[str],
) -> None:
    """Not only those of the first poll."""
    put(f'{at}/d/a')
    eye = Eye(f'{at}/d', rounds=3)
    eye.look()
    tick()
    put(f'{at}/d/b')
    eye.settle()
    named(reads)
    for _ in range(3):
        eye.look()

    assert named(reads) == {'a', 'b'}


@pytest.mark.parametrize('names', [('f',), ('a', 'b', 'c', 'd', 'e')])
def test_what_stat_hides_is_found_at_its_turn_and_then_all_is_read(
        at: str, monkeypatch: pytest.MonkeyPatch, reads: list[str],
        names: Sequence[str],
) -> None:
    """For then stat should not be believed of the others either."""
    for name in names:
        put(f'{at}/d/{name}', '1')
    path = f'{at}/d/{names[0]}' if len(names) == 1 else f'{at}/d'
    eye = Eye(path, rounds=7)
    eye.settle()
    said = {f'{at}/d/{name}': os.stat(f'{at}/d/{name}') for name in names}
    said[f'{at}/d'] = os.stat(f'{at}/d')

    def silent(path: Any, *, real: Any = os.stat, **named: Any) -> os.stat_result:
        return said.get(path) or real(path, **named)

    def fsilent(file: int, real: Any = os.fstat) -> os.stat_result:
        return said.get(os.readlink(f'/proc/self/fd/{file}')) or real(file)

    monkeypatch.setattr(os, 'stat', silent)
    monkeypatch.setattr(os, 'fstat', fsilent)
    eye.look()
    for name in names:
        with open(f'{at}/d/{name}', 'r+', encoding='utf-8') as file:
            file.write('2')
    reads.clear()
    first = eye.turn
    history = []
    for _ in range(7):
        seen = eye.look()
        assert seen is not None
        history.append(seen == eye.plain())
        if history[-1]:
            break

    assert history[-1]
    # No file of another part was read before.
    prefix, members = (path, ['']) if len(names) == 1 else (f'{at}/d/', list(names))
    parts = {stat_cache.part_of(prefix, name, 7) for name in members}
    assert len(history) == 1 + min((part - first) % 7 for part in parts)


@pytest.mark.parametrize('rounds', [1, 5])
def test_a_name_that_stat_hides_is_found_at_the_turn_of_its_directory(
        at: str, monkeypatch: pytest.MonkeyPatch, rounds: int,
) -> None:
    """As if something is put into a layer below an overlay."""
    put(f'{at}/d/a')
    put(f'{at}/d/s/b')
    eye = Eye(f'{at}/d', rounds=rounds)
    eye.settle()
    said = {path: os.stat(path) for path in (f'{at}/d', f'{at}/d/s')}

    def silent(path: str, *, real: Any = os.stat, **named: Any) -> os.stat_result:
        return said.get(path.rstrip('/')) or real(path, **named)

    monkeypatch.setattr(os, 'stat', silent)
    put(f'{at}/d/s/new')
    first = eye.turn
    found = []
    for _ in range(rounds):
        seen = eye.look()
        assert seen is not None
        found.append('s/new' in seen.readings[0].files)

    waits = (stat_cache.part_of('', f'{at}/d/s/', rounds) - first) % rounds
    assert found == [False] * waits + [True] * (rounds - waits)


def test_several_turns_can_come_at_once(at: str, reads: list[str]) -> None:
    """After a poll that took long, or a machine that slept; or none has come."""
    names = {f'{number:02}' for number in range(40)}
    for name in names:
        put(f'{at}/d/{name}')
    eye = Eye(f'{at}/d')
    seen = []
    for each in (range(1), range(1), range(0), range(5), range(5, 8), range(9, 9)):
        reads.clear()
        poll((f'{at}/d',), IGNORED, terms=Terms(
            time.time() + GRAIN, frozenset(), frozenset(part % 5 for part in each), 5,
        ), caches=eye.caches)
        seen.append(named(reads))

    due = {
        name for name in names if stat_cache.part_of(f'{at}/d/', name, 5) in (0, 1, 2)
    }
    assert seen[2:] == [set(), names, due, set()]


def test_one_round_reads_all_at_each_poll(at: str, reads: list[str]) -> None:
    """--rehash 0."""
    for name in ('a', 'b'):
        put(f'{at}/d/{name}')
    eye = Eye(f'{at}/d', rounds=1)
    for _ in range(3):
        eye.look()

    assert len(reads) == 6


def test_another_number_of_rounds_counts_at_once(at: str, reads: list[str]) -> None:
    """The parts are made at each poll."""
    names = {f'{number:02}' for number in range(20)}
    for name in names:
        put(f'{at}/d/{name}')
    eye = Eye(f'{at}/d', rounds=997)
    eye.settle()
    for rounds in (5, 2, 3, 1):
        eye.rounds, eye.turn = rounds, 0
        named(reads)
        for _ in range(rounds):
            eye.look()
        assert named(reads) == names


def test_a_turn_costs_no_memory(at: str) -> None:
    """--rehash 8760h, to have no turns at all."""
    put(f'{at}/f')
    eye = Eye(f'{at}/f', rounds=365 * 86_400 // 5)
    tracemalloc.start()
    try:
        eye.look()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2 << 20


def calls(monkeypatch: pytest.MonkeyPatch, eye: Eye) -> list[str]:
    """Return the system calls of a poll."""
    meddler = Meddler({})
    for name in (*CALLS, 'readv', 'getcwd', 'listdir'):
        monkeypatch.setattr(os, name, meddler.wrap(name, getattr(os, name)))
    eye.look()
    return [name for name, _ in meddler.calls]


def test_an_idle_look_at_a_file_is_one_system_call(
        at: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """stat, also if the file is a link."""
    put(f'{at}/f')
    os.symlink('f', f'{at}/l')
    eye = Eye(f'{at}/l', rounds=10_000_019)
    eye.settle()

    assert calls(monkeypatch, eye) == ['stat']


def test_an_idle_look_at_a_directory_asks_once_for_each_name(
        at: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For each directory and each file; nothing is listed, opened or read."""
    for name in ('a', 'b', 's/c'):
        put(f'{at}/d/{name}')
    eye = Eye(f'{at}/d', rounds=10_000_019)
    eye.settle()

    assert calls(monkeypatch, eye) == ['stat'] * 5


def test_an_idle_poll_of_a_file_is_at_most_five_system_calls(tmp_path: Path) -> None:
    """Of the whole process, with the sleep: one more than a poll and a clock need."""
    put(f'{tmp_path}/f')
    polls = idle_polls(
        tmp_path / 'trace', '--process', unique('nobody'), f'{tmp_path}/f',
    )

    assert max(len(poll) for poll in polls[-20:]) <= 5
    assert all('newfstatat' in poll or 'stat' in poll for poll in polls[-20:])


def taken(pid: int) -> int:
    """Return how many bytes a process has read, proc(5)."""
    try:
        lines = Path(f'/proc/{pid}/io').read_text(encoding='ascii').splitlines()
    except FileNotFoundError:
        missing('this kernel does not count what is read (TASK_IO_ACCOUNTING)')
    return int(lines[0].removeprefix('rchar: '))


def test_a_large_file_is_not_read_again_until_it_is_rewritten(tmp_path: Path) -> None:
    """256 MiB: an unchanged poll reads nothing of it, and the next poll after one byte
    has changed in place finds it, though size and mtime are as before.
    """
    path = str(tmp_path / 'f')
    with open(path, 'wb') as file:
        file.truncate(1 << 28)
    name = unique('nobody')

    def idle() -> bool:
        before = taken(it.pid)
        it.poll()
        # A poll that takes long goes on in a child, which counts once it has ended.
        until(lambda: 'reading for' not in it.status(), 'the poll ends')
        return taken(it.pid) - before < 1 << 20

    with watch('--rehash', '8760h', '--process', name, path) as it:
        it.until('baseline')
        young = idle()
        until(idle, 'a poll that reads nothing of the file')
        still = [idle() for _ in range(5)]
        info = os.stat(path)
        with open(path, 'r+b') as there:
            there.seek(1 << 27)
            there.write(b'1')
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
        it.poll()
        changed = it.until('changed')

    assert (young, still) == (False, [True] * 5)
    assert changed['files'] == [path]


def test_many_files_are_compared_from_the_directory_that_all_are_below(
        at: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel follows the way to that directory once, and one change is seen."""
    os.mkdir(f'{at}/d')
    put(f'{at}/d/0', 'first')
    put(f'{at}/d/changes', 'first')
    for number in range(1, stat_cache.PART):
        os.link(f'{at}/d/0', f'{at}/d/{number}')
    eye = Eye(f'{at}/d', rounds=997)
    eye.look(GRAIN)
    eye.settle()
    before = os.listdir('/proc/self/fd')
    paths: list[str] = []
    real = os.stat

    def noted(path: str, **named: Any) -> os.stat_result:
        paths.append(path)
        return real(path, **named)

    monkeypatch.setattr(os, 'stat', noted)

    assert eye.unchanged()
    assert paths[0].startswith(f'{at}/d')
    assert not any('/' in path for path in paths[-stat_cache.PART:])
    put(f'{at}/d/changes', 'other')
    assert not eye.unchanged()
    assert os.listdir('/proc/self/fd') == before
