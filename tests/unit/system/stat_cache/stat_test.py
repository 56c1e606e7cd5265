"""What a stat proves about a file."""
from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence

import pytest
from xxhash import xxh3_128_digest

from pollreload.system import stat_cache
from pollreload.system.stat_cache import GRAIN, UNSURE, Terms
from tests.support.cached_polls import LATER, PLACES, Eye, info, lead, put, tick


def test_a_stamp_is_worth_something_once_the_last_write_is_older_than_the_grain() -> (
        None
):
    """Both dates count, because the mtime may be of another clock."""
    assert stat_cache.worth(info(), LATER) != UNSURE
    assert stat_cache.worth(info(), Terms(1e9 + GRAIN)) != UNSURE
    assert stat_cache.worth(info(), Terms(1e9 + GRAIN - 0.01)) == UNSURE
    assert stat_cache.worth(info(st_ctime=1e9 + 59.0), LATER) == UNSURE
    assert stat_cache.worth(info(st_mtime=1e9 + 59.0), LATER) == UNSURE
    assert stat_cache.worth(info(st_mtime=2e9), LATER) == UNSURE
    assert stat_cache.worth(info(), Terms()) == UNSURE


def test_a_stamp_is_worth_nothing_on_a_device_on_which_stat_may_not_show_a_write() -> (
        None
):
    """The device decides."""
    assert stat_cache.worth(info(), LATER._replace(inexact=frozenset((8,)))) == UNSURE
    assert stat_cache.worth(info(), LATER._replace(inexact=frozenset((7, 9)))) != UNSURE


def valid(stamp: int, info: os.stat_result, terms: Terms = LATER) -> bool:
    return stat_cache.valid(stamp, info, '/d/', 'a', terms)


def test_a_stamp_that_is_worth_nothing_is_never_valid() -> None:
    """It is no hash."""
    assert not valid(UNSURE, info())
    assert not valid(UNSURE, info(st_mtime=0.0, st_ctime=0.0))


@pytest.mark.parametrize('field', [
    'st_ino', 'st_dev', 'st_size', 'st_mtime', 'st_ctime',
])
def test_a_stamp_is_valid_while_each_field_is_as_it_was(field: str) -> None:
    """Earlier or later: a date can be put back, and a clock set."""
    stamp = stat_cache.worth(info(), LATER)
    was = getattr(info(), field)

    assert valid(stamp, info())
    assert not valid(stamp, info(**{field: was + 2}))
    assert not valid(stamp, info(**{field: was - 2}))


def test_a_nanosecond_is_another_date() -> None:
    """A float has no room for it."""
    stamp = stat_cache.worth(info(), LATER)

    assert not valid(stamp, info(st_ctime_ns=10**18 + 1))
    assert not valid(stamp, info(st_mtime_ns=10**18 + 1))


@pytest.mark.parametrize('parts', [2, 8, 12, 60])
def test_files_are_spread_over_the_parts(parts: int) -> None:
    """By a hash of their names, and of the path for files that are watched alone."""
    counts = [0] * parts
    alone = [0] * parts
    for number in range(100 * parts):
        counts[stat_cache.part_of('/d/', f'{number}.conf', parts)] += 1
        alone[stat_cache.part_of(f'/d/{number}.conf', '', parts)] += 1

    assert max(counts) <= 200
    assert max(alone) <= 200


def test_a_stamp_is_not_valid_while_its_part_is_due() -> None:
    """Whatever stat says."""
    stamp = stat_cache.worth(info(), LATER)
    its = stat_cache.part_of('/d/', 'a', 5)

    for number in range(5):
        terms = LATER._replace(due=frozenset((number,)), parts=5)
        assert valid(stamp, info(), terms) == (number != its)
        names = list(stat_cache.due('/d/', ['a'], terms))
        assert names == (['a'] if number == its else [])
    assert not valid(stamp, info(), Terms(1e9 + 60.0))


@pytest.mark.parametrize('date', [
    -62_135_596_800, -12_000_000_000, 13_569_465_600, 253_402_300_799,
])
@pytest.mark.parametrize('place', PLACES)
def test_any_date_that_a_file_system_keeps_is_no_trouble(
        place: str, date: int,
) -> None:
    """From the year 1 to 9999, where 64 bits of nanoseconds end in 2262."""
    with tempfile.TemporaryDirectory(dir=place) as base:
        put(f'{base}/d/f', '1')
        eye = Eye(f'{base}/d', f'{base}/d/f', f'{base}/d/*')
        eye.look()
        os.utime(f'{base}/d/f', (date, date))
        for _ in range(2):
            assert eye.look() == eye.plain()
        os.utime(f'{base}/d', (date, date))
        assert eye.look() == eye.plain()
        tick()
        put(f'{base}/d/f', '2')
        seen = eye.look()

    assert seen is not None
    assert seen.readings[1].files == {'': xxh3_128_digest(b'2')}


def test_dates_that_differ_by_more_than_64_bits_hold_differ(at: str) -> None:
    """A rewrite is found by its ctime, also if the mtime cannot be packed."""
    put(f'{at}/f', '1')
    os.utime(f'{at}/f', (-12_000_000_000,) * 2)
    eye = Eye(f'{at}/f')
    lead(eye, lambda: put(f'{at}/f', '2'))


def test_stamps_are_compared_one_by_one(at: str) -> None:
    """There is one for each path, in order; an error of stat is raised."""
    paths = [f'{at}/{number}' for number in range(3)]
    for path in paths:
        put(path)
    terms = Terms(time.time() + GRAIN)
    each = [stat_cache.worth(os.stat(path), terms) for path in paths]

    def same(paths: Sequence[str], *each: int) -> bool:
        return stat_cache.stamps_match(paths, list(each), lambda count: None)

    assert same(paths, *each)
    assert same(())
    assert not same(paths, *reversed(each))
    assert not same(paths, *each[:2], UNSURE)
    for some, stamps in (paths[:2], each), (paths, each[:2]):
        with pytest.raises(ValueError, match='zip'):
            same(some, *stamps)
    os.unlink(paths[2])
    with pytest.raises(FileNotFoundError):
        same(paths, *each)


@pytest.mark.parametrize('count', [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize('odd', range(7))
def test_comparison_can_be_stopped_between_parts(
        at: str, monkeypatch: pytest.MonkeyPatch, count: int, odd: int,
) -> None:
    """It asks after each full part, and not after the first difference."""
    monkeypatch.setattr(stat_cache, 'PART', 2)
    path = f'{at}/f'
    put(path)
    one = stat_cache.worth(os.stat(path), Terms(time.time() + GRAIN))
    each = [UNSURE if number == odd else one for number in range(count)]
    asked: list[int] = []

    assert stat_cache.stamps_match([path] * count, each, asked.append) == (odd >= count)
    assert asked == [2] * (min(odd, count) // 2)
