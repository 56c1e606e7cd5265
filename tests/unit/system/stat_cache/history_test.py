"""Random histories: a poll with a cache sees what a poll without one sees."""
from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pollreload.system import stat_cache
from pollreload.system.stat_cache import GRAIN
from tests.support.cached_polls import (
    PLACES,
    Eye,
    fifo,
    lead,
    publish,
    put,
    repoint,
    tick,
    unprivileged_directory,
)

SLOTS = (
    'w/a', 'w/b', 'w/l', 'w/m', 'w/s', 'w/s/a', 'w/s/x', 'w/d1', 'w/d1/x', 'w/d[1]',
    'w/d[1]/x', 'e/a', 'e/l', 'e/s', 'e/s/a', 'e/s/x', 'e/t', 'e/t/x', 'w', 'none',
)
WATCHED = (
    'w', 'w/a', 'w/s/x', 'w/l', 'w/*/x', 'w/**/x', 'w/d[1]/x', 'w/[am]', 'v', 'v/a',
    'v/b', 'e/l',
)
DATES = (-12_000_000_000, -1, 0, 10**9, 2 * 10**9, 13_569_465_600)


def rewrite(base: str, slot: str, text: str) -> None:
    put(f'{base}/{slot}', text)


def over(base: str, slot: str, text: str) -> None:
    put(f'{base}/new', text)
    os.replace(f'{base}/new', f'{base}/{slot}')


def move(base: str, one: str, other: str) -> None:
    os.rename(f'{base}/{one}', f'{base}/{other}')


def remove(base: str, slot: str) -> None:
    os.remove(f'{base}/{slot}')


def raze(base: str, slot: str) -> None:
    # rmtree opens what it is given, and waits if that is a FIFO.
    if os.path.isdir(f'{base}/{slot}'):
        shutil.rmtree(f'{base}/{slot}')


def make(base: str, slot: str) -> None:
    os.mkdir(f'{base}/{slot}')


def point(base: str, slot: str, target: str) -> None:
    repoint(f'{base}/{slot}', f'{base}/{target}')


def join(base: str, one: str, other: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.remove(f'{base}/{other}')
    os.link(f'{base}/{one}', f'{base}/{other}')


def allow(base: str, slot: str, mode: int) -> None:
    os.chmod(f'{base}/{slot}', mode)


def touch(base: str, slot: str, date: int) -> None:
    os.utime(f'{base}/{slot}', (date, date))


def swap(base: str, text: str) -> None:
    publish(f'{base}/v', text)


SLOT = st.sampled_from(SLOTS)
TEXT = st.sampled_from(('1', '2', ''))
ACTS = st.one_of(
    st.tuples(st.just(rewrite), SLOT, TEXT),
    st.tuples(st.just(over), SLOT, TEXT),
    st.tuples(st.just(move), SLOT, SLOT),
    st.tuples(st.just(remove), SLOT),
    st.tuples(st.just(raze), SLOT),
    st.tuples(st.just(make), SLOT),
    st.tuples(st.just(point), SLOT, SLOT),
    st.tuples(st.just(join), SLOT, SLOT),
    st.tuples(st.just(allow), SLOT, st.sampled_from((0, 0o444, 0o755))),
    st.tuples(st.just(touch), SLOT, st.sampled_from(DATES)),
    st.tuples(st.just(fifo), SLOT),
    st.tuples(st.just(swap), TEXT),
)
# What happens between two polls, what the later one believes, and its dates.
STEPS = st.tuples(
    st.lists(ACTS, max_size=2), st.sampled_from((0.0, 0.0, 0.02, GRAIN)),
    st.sampled_from((False, False, True)),
)


@pytest.mark.parametrize('top', PLACES)
@settings(
    max_examples=60, deadline=None, derandomize=bool(os.environ.get('CI')),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.lists(STEPS, max_size=12), st.sampled_from((1, 3, 997)),
    st.sampled_from((1, stat_cache.PART)),
)
def test_after_any_history_a_poll_sees_what_one_that_reads_all_sees(
        top: str, steps: list[Any], rounds: int, many: int,
) -> None:
    """Whatever is done to files, links, directories, permissions and dates.

    many: so many files are compared by a descriptor of their directory.
    """
    with (
            unprivileged_directory(top) as base,
            mock.patch.object(stat_cache, 'PART', many),
    ):
        eye = Eye(*(f'{base}/{path}' for path in WATCHED), rounds=rounds)
        for acts, ago, dates in [([], 0.0, False), *steps]:
            tick()
            for act, *args in acts:
                with contextlib.suppress(OSError):
                    act(base, *args)
            if eye.unchanged():
                # The short way: no look would see anything else.
                assert eye.seen == eye.plain(), acts
            seen = eye.look(ago, dates)
            assert seen == eye.plain(dates), (acts, ago, dates)


def test_a_second_link_to_a_directory_may_come_to_lead_to_another(at: str) -> None:
    """By a link elsewhere; where it is nothing changes."""
    put(f'{at}/one/f', '1')
    put(f'{at}/two/g', '2')
    os.mkdir(f'{at}/d')
    os.symlink(f'{at}/one', f'{at}/d/first')
    os.symlink(f'{at}/to', f'{at}/d/second')
    os.symlink('one', f'{at}/to')

    seen = lead(Eye(f'{at}/d'), lambda: repoint(f'{at}/to', 'two'))

    assert list(seen[0].readings[0].files) == ['first/f', 'second/g']


def test_a_member_that_stands_for_a_directory_may_come_to_lead_to_another(
        at: str,
) -> None:
    """Nothing below it is read, and yet a poll sees that."""
    put(f'{at}/one/f', '1')
    put(f'{at}/two/g', '2')
    os.mkdir(f'{at}/d')
    os.mkdir(f'{at}/e')
    os.symlink(f'{at}/to', f'{at}/e/l')
    os.symlink('one', f'{at}/to')
    for name in '1', '2':
        os.symlink('../e', f'{at}/d/{name}')
    eye = Eye(f'{at}/d')

    seen = lead(eye, lambda: repoint(f'{at}/to', 'two'))

    assert list(seen[0].readings[0].files) == ['1/l/g', '2/']
    assert eye.unchanged()
    assert lead(Eye(f'{at}/d', rounds=1), lambda: put(f'{at}/two/h'))


def test_a_link_to_a_directory_above_may_come_to_lead_to_another(at: str) -> None:
    """A loop is not entered, and may be none the next time."""
    put(f'{at}/d/f', '1')
    put(f'{at}/two/g', '2')
    os.symlink(f'{at}/to', f'{at}/d/l')
    os.symlink('d', f'{at}/to')

    seen = lead(Eye(f'{at}/d'), lambda: repoint(f'{at}/to', 'two'))

    assert list(seen[0].readings[0].files) == ['f', 'l/g']


@pytest.mark.parametrize('pattern', ['*/x', '**/x', '*/*/x'])
def test_a_link_to_a_file_may_become_one_to_a_directory_of_matches(
        at: str, pattern: str,
) -> None:
    """What is no match now may be one, and the directory of the link is as it was."""
    put(f'{at}/d/s/x')
    put(f'{at}/d/s/s/x')
    put(f'{at}/file')
    os.symlink('../file', f'{at}/d/l')

    def become() -> None:
        os.remove(f'{at}/file')
        put(f'{at}/file/x')
        put(f'{at}/file/s/x')

    seen = lead(Eye(f'{at}/d/{pattern}'), become)

    assert {'l/x', 'l/s/x'} & set(seen[0].readings[0].files)


def test_a_glob_may_come_to_exist_literally(at: str) -> None:
    """Then it is a file, though no directory that it was looked for in differs."""
    put(f'{at}/d1/x')
    os.mkdir(f'{at}/d[1]')
    eye = Eye(f'{at}/d[1]/x')

    seen = lead(eye, lambda: put(f'{at}/d[1]/x'))

    assert seen[0].readings[0].kind == 'file'


def test_a_glob_whose_literal_link_led_nowhere_may_come_to_exist(at: str) -> None:
    """The target appears elsewhere."""
    put(f'{at}/d/a1')
    os.symlink(f'{at}/there', f'{at}/d/a[1]')

    seen = lead(Eye(f'{at}/d/a[1]'), lambda: put(f'{at}/there'))

    assert seen[0].readings[0].kind == 'file'


def test_the_target_of_a_dangling_link_may_appear_elsewhere(at: str) -> None:
    """As a file, as a directory; nothing changes where the link is."""
    put(f'{at}/d/a')
    os.symlink(f'{at}/there', f'{at}/d/l')
    os.symlink(f'{at}/here', f'{at}/d/m')
    eye = Eye(f'{at}/d', f'{at}/d/*', f'{at}/d/l')

    lead(eye, lambda: put(f'{at}/there'))
    seen = lead(eye, lambda: put(f'{at}/here/x'))

    assert list(seen[0].readings[0].files) == ['a', 'l', 'm/x']


def test_a_directory_elsewhere_is_watched_through_its_link(at: str) -> None:
    """What appears there, vanishes, is renamed; and the link itself."""
    put(f'{at}/one/f')
    put(f'{at}/two/f')
    os.mkdir(f'{at}/d')
    os.symlink('../to', f'{at}/d/l')
    os.symlink('one', f'{at}/to')
    eye = Eye(f'{at}/d', f'{at}/d/*/f', f'{at}/d/l/f', f'{at}/to')

    lead(eye, lambda: put(f'{at}/one/g'))
    lead(eye, lambda: os.rename(f'{at}/one/g', f'{at}/one/h'))
    lead(eye, lambda: os.remove(f'{at}/one/h'))
    seen = lead(eye, lambda: repoint(f'{at}/to', 'two'))

    assert [list(sight.files) for sight in seen[0].readings] == [
        ['l/f'], ['l/f'], [''], ['f'],
    ]
