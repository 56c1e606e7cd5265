"""What stat is believed, and that no change is lost by it.

A look with shelves must see what one without sees, whatever happened between.
The looks here believe a stamp once it is older than `ago` seconds and not GRAIN,
or no test would end; so that this is as safe, each change waits for a tick of
the clock that the kernel stamps files with.
"""
from __future__ import annotations

import contextlib
import functools
import itertools
import marshal
import mmap
import os
import select
import shutil
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from pollreload.core.change import Reading, Snapshot
from pollreload.settings import IGNORED
from pollreload.system import mounts, reader, stat_cache
from pollreload.system.reader import poll
from pollreload.system.stat_cache import GRAIN, UNSURE, Cache, Terms
from tests.servers.harness import missing, needed, until
from tests.support.apart import apart, mount
from tests.support.reads import noted
from tests.support.sidecar import unique, watch

COARSE = 5  # CLOCK_REALTIME_COARSE, time.h
NOBODY = 65534
RARE = 2 ** 62  # parts, none of which is ever due
NONE: frozenset[int] = frozenset()
PLACES = [tempfile.gettempdir()]
if os.path.ismount('/dev/shm') and os.access('/dev/shm', os.W_OK):
    # tmpfs keeps any date, most disks only those of some centuries.
    PLACES.append('/dev/shm')


def tick() -> None:
    """Wait until what is written gets another date; some ms."""
    was = time.clock_gettime_ns(COARSE)
    for _ in range(1000):
        if time.clock_gettime_ns(COARSE) != was:
            return
        select.select((), (), (), 0.001)
    raise AssertionError('the clock stands still')


class Eye:
    """Looks at the same paths, one after the other; what each left is its shelves."""

    def __init__(self, *paths: str, rounds: int = RARE) -> None:
        self.paths = paths
        self.rounds = rounds
        self.turn = 0
        self.caches = [Cache() for _ in paths]
        self.seen: Snapshot | None = None

    def look(
            self, ago: float = 0.0, dates: bool = False,
            inexact: frozenset[int] = frozenset(),
            stop: Callable[[], bool] = reader.never,
    ) -> Snapshot | None:
        """Return what a look sees that believes what is `ago` seconds old."""
        due = frozenset((self.turn % self.rounds,)) if self.rounds != RARE else NONE
        terms = Terms(time.time() + GRAIN - ago, inexact, due, self.rounds)
        seen = poll(self.paths, IGNORED, dates, stop, terms, self.caches)
        self.seen = seen._replace(newest=0.0) if seen else None
        self.turn += seen is not None
        return seen

    def settle(self) -> None:
        """Look until what is there is known: nothing is believed of one reading."""
        for _ in range(2):
            assert self.look() is not None

    def unchanged(self) -> bool:
        """Return whether stat alone says that all is as the last poll saw it."""
        terms = Terms(due=NONE)
        return all(
            stat_cache.unchanged(cache, terms, never, never, lambda count: None)
            is not None for cache in self.caches
        )

    def plain(self, dates: bool = False) -> Snapshot:
        """Return what a look sees that reads everything."""
        seen = poll(self.paths, IGNORED, dates)
        assert seen is not None
        return seen


@pytest.fixture
def at() -> Iterator[str]:
    """A directory; what was written there is older than what comes next."""
    with tempfile.TemporaryDirectory(dir=PLACES[-1]) as path:
        yield path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read, path by path."""
    return noted(monkeypatch)


def read(path: str) -> bytes:
    with open(path, 'rb') as file:
        return file.read()


def put(path: str, text: str = 'x') -> None:
    """Write in place, or a new file; the mtime of an old one is put back."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        info = os.stat(path)
    except FileNotFoundError:
        info = None
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
    file = os.open(path, flags, 0o644)
    try:
        os.write(file, text.encode())
        if info is not None:
            os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    finally:
        os.close(file)


def repoint(link: str, target: str) -> None:
    """Make a link lead elsewhere, at one blow."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(f'{link}~')
    os.symlink(target, f'{link}~')
    os.replace(f'{link}~', link)


def publish(volume: str, version: str, names: Sequence[str] = ('a', 'b')) -> None:
    """Put a new set in place as a kubelet does, and remove the old one."""
    os.makedirs(volume, exist_ok=True)
    data = f'{volume}/..data'
    old = os.path.realpath(data) if os.path.islink(data) else ''
    new = tempfile.mkdtemp(prefix='..', dir=volume)
    for name in names:
        put(f'{new}/{name}', version)
        top = name.partition('/')[0]
        if not os.path.lexists(f'{volume}/{top}'):
            os.symlink(f'..data/{top}', f'{volume}/{top}')
    repoint(data, os.path.basename(new))
    if old:
        shutil.rmtree(old)


# Any history


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
    # rmtree opens what it is given, and waits where that is a FIFO.
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


def fifo(base: str, slot: str) -> None:
    os.mkfifo(f'{base}/{slot}')


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
# What happens between two looks, what the later one believes, and its dates.
STEPS = st.tuples(
    st.lists(ACTS, max_size=2), st.sampled_from((0.0, 0.0, 0.02, GRAIN)),
    st.sampled_from((False, False, True)),
)


def laid(base: str) -> None:
    """Make what the histories begin with."""
    for slot in ('w/a', 'w/b', 'w/s/a', 'w/s/x', 'w/d1/x', 'e/a', 'e/s/a', 'e/s/x'):
        put(f'{base}/{slot}')
    for slot, target in (
            ('e/l', 's'), ('e/t', 'a'), ('w/l', '../e/l'), ('w/m', '../e/t'),
    ):
        os.symlink(target, f'{base}/{slot}')
    publish(f'{base}/v', 'x')


@contextlib.contextmanager
def place(top: str) -> Iterator[str]:
    """Give a directory, and be somebody to whom permissions apply."""
    base = tempfile.mkdtemp(dir=top)
    root = os.geteuid() == 0
    try:
        if root:
            os.chown(base, NOBODY, -1)
            os.seteuid(NOBODY)
        laid(base)
        yield base
    finally:
        if root:
            os.seteuid(0)
        for below, _, _ in os.walk(base):
            os.chmod(below, 0o755)
        shutil.rmtree(base)


@pytest.mark.parametrize('top', PLACES)
@settings(
    max_examples=60, deadline=None, derandomize=bool(os.environ.get('CI')),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(STEPS, max_size=12), st.sampled_from((1, 3, 997)))
def test_after_any_history_a_look_sees_what_one_that_reads_all_sees(
        top: str, steps: list[Any], rounds: int,
) -> None:
    """Whatever is done to files, links, directories, permissions and dates."""
    with place(top) as base:
        eye = Eye(*(f'{base}/{path}' for path in WATCHED), rounds=rounds)
        for acts, ago, dates in [([], 0.0, False), *steps]:
            tick()
            for act, *words in acts:
                with contextlib.suppress(OSError):
                    act(base, *words)
            if eye.unchanged():
                # The short way: no look would see anything else.
                assert eye.seen == eye.plain(), acts
            seen = eye.look(ago, dates)
            assert seen == eye.plain(dates), (acts, ago, dates)


def lead(eye: Eye, act: Callable[[], object], rounds: int = 3) -> list[Snapshot]:
    """Return what looks saw after a change; each is as one that reads all."""
    eye.settle()
    tick()
    act()
    seen = [eye.look() for _ in range(rounds)]
    assert seen == [eye.plain()] * rounds
    return [each for each in seen if each is not None]


def test_a_link_that_was_passed_over_may_come_to_lead_to_another_directory(
        at: str,
) -> None:
    """It was entered by another name before; where it leads is told elsewhere."""
    put(f'{at}/one/f', '1')
    put(f'{at}/two/g', '2')
    os.mkdir(f'{at}/d')
    os.symlink(f'{at}/one', f'{at}/d/first')
    os.symlink(f'{at}/to', f'{at}/d/second')
    os.symlink('one', f'{at}/to')

    seen = lead(Eye(f'{at}/d'), lambda: repoint(f'{at}/to', 'two'))

    assert list(seen[0].readings[0].files) == ['first/f', 'second/g']


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


# A change in the midst of a look


CALLS = ('stat', 'lstat', 'open', 'fstat', 'read', 'close', 'readlink', 'scandir')


class Meddler:
    """Does something right before the nth system call of a look, or some."""

    def __init__(self, acts: dict[int, Callable[[], object]]) -> None:
        self.acts = acts
        self.calls: list[tuple[str, Any]] = []
        self.busy = False

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            if not self.busy:
                self.calls.append((name, words[0]))
                act = self.acts.get(len(self.calls))
                if act is not None:
                    self.busy = True
                    tick()
                    act()
                    tick()
                    self.busy = False
            return real(*words, **named)
        return call

    def look(self, eye: Eye) -> Snapshot:
        """Return what a look sees meanwhile."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self.wrap(name, getattr(os, name)))
            seen = eye.look()
        assert seen is not None
        return seen


def volume(at: str) -> Sequence[str]:
    """Make a volume with a set in it; return the paths that are watched there."""
    publish(f'{at}/v', '1', ('a', 'b', 'c/d'))
    return (f'{at}/v/a', f'{at}/v/b', f'{at}/v/c/d')


def whole(at: str) -> Sequence[str]:
    """The same by its directory and a glob."""
    volume(at)
    return (f'{at}/v', f'{at}/v/[ab]')


def release(at: str) -> Sequence[str]:
    """Make two releases, and a link to a link to one of them."""
    for name in ('one/a', 'one/b', 'two/a'):
        put(f'{at}/{name}', name[:3])
    put(f'{at}/two/b', 'two')
    os.symlink('one', f'{at}/current')
    os.mkdir(f'{at}/etc')
    os.symlink('../current', f'{at}/etc/app')
    return (f'{at}/etc', f'{at}/etc/app', f'{at}/etc/app/b')


def swapped(at: str) -> None:
    publish(f'{at}/v', '2', ('a', 'b', 'c/d'))


def switched(at: str) -> None:
    repoint(f'{at}/current', 'two')


def rewritten(at: str) -> None:
    put(f'{at}/one/a', 'new')


def added(at: str) -> None:
    put(f'{at}/one/n', 'new')


def removed(at: str) -> None:
    os.remove(f'{at}/one/b')


def replaced(at: str) -> None:
    os.remove(f'{at}/one/a')
    put(f'{at}/one/a/a', 'one')


def settled(eye: Eye, at: str) -> None:
    """All is on the shelves."""
    eye.look()
    eye.look()


def stirred(eye: Eye, at: str) -> None:
    """All is on the shelves, and one directory of each is not as it was."""
    settled(eye, at)
    tick()
    for name in ('v', 'one'):
        if os.path.isdir(f'{at}/{name}'):
            put(f'{at}/{name}/other', 'x')


def first(eye: Eye, at: str) -> None:
    """There was no look before."""


@pytest.mark.parametrize('before', [settled, stirred, first])
@pytest.mark.parametrize(('lay', 'act'), [
    (volume, swapped), (whole, swapped), (release, switched), (release, rewritten),
    (release, added), (release, removed), (release, replaced),
])
def test_a_change_between_any_two_system_calls_of_a_look_is_not_lost(
        at: str, before: Callable[[Eye, str], None],
        lay: Callable[[str], Sequence[str]], act: Callable[[str], None],
) -> None:
    """The next look sees it, and a set is never torn meanwhile."""
    for number in itertools.count(1):
        base = f'{at}/{number}'
        os.mkdir(base)
        eye = Eye(*lay(base), rounds=2)
        before(eye, base)
        meddler = Meddler({number: functools.partial(act, base)})
        seen = meddler.look(eye)
        if lay is volume:
            assert len({tuple(sight.files.values()) for sight in seen.readings}) == 1
        elif lay is whole:
            assert all(
                len({
                    value for name, value in sight.files.items() if name != 'other'
                }) == 1
                for sight in seen.readings
            )
        assert eye.look() == eye.plain(), number
        if len(meddler.calls) < number:
            break
    assert number > 3


def fewer(at: str) -> Sequence[str]:
    """Make two releases; what the other one has, this one has too."""
    for name in ('one/a', 'one/b', 'two/a'):
        put(f'{at}/{name}', name[:3])
    os.symlink('one', f'{at}/current')
    return (f'{at}/current',)


def test_a_link_that_moves_and_moves_back_within_a_look_leaves_no_trace(
        at: str,
) -> None:
    """The next look may not go by names of the one and stamps of the other."""
    for one, more in itertools.product(range(1, 30), range(1, 4)):
        base = f'{at}/{one}-{more}'
        os.mkdir(base)
        eye = Eye(*fewer(base))
        meddler = Meddler({
            one: functools.partial(repoint, f'{base}/current', 'two'),
            one + more: functools.partial(repoint, f'{base}/current', 'one'),
        })
        meddler.look(eye)
        if len(meddler.calls) < one:
            break
        if len(meddler.calls) < one + more:
            repoint(f'{base}/current', 'one')
        assert eye.look() == eye.plain(), (one, more)


def test_a_swap_between_two_paths_that_stand_is_seen_at_both(at: str) -> None:
    """The first stood still when it was asked for, and is read again all the same."""
    paths = volume(at)
    eye = Eye(*paths)
    settled(eye, at)
    meddler = Meddler({2: functools.partial(swapped, at)})

    seen = meddler.look(eye)

    assert meddler.calls[:2] == [('stat', paths[0]), ('stat', paths[1])]
    assert seen == eye.plain()
    assert {tuple(sight.files.values()) for sight in seen.readings} == {
        (xxh3_128_digest(b'2'),),
    }



# What a stamp is worth


class Info(NamedTuple):
    """What is asked of os.stat_result."""

    st_ino: int = 7
    st_dev: int = 8
    st_size: int = 9
    st_mtime_ns: int = 10**18
    st_ctime_ns: int = 10**18
    st_mtime: float = 1e9
    st_ctime: float = 1e9


def info(**fields: Any) -> os.stat_result:
    """Return what stat says of a file that was last written at 1e9."""
    for name in ('mtime', 'ctime'):
        if f'st_{name}' in fields:
            fields[f'st_{name}_ns'] = int(fields[f'st_{name}'] * 10**9)
    return cast(os.stat_result, Info(**fields))


LATER = Terms(1e9 + 60.0, due=NONE, parts=2)


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
        counts[stat_cache.part('/d/', f'{number}.conf', parts)] += 1
        alone[stat_cache.part(f'/d/{number}.conf', '', parts)] += 1

    assert max(counts) <= 200
    assert max(alone) <= 200


def test_a_stamp_is_not_valid_while_its_part_is_due() -> None:
    """Whatever stat says."""
    stamp = stat_cache.worth(info(), LATER)
    its = stat_cache.part('/d/', 'a', 5)

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
    """A rewrite is found by its ctime, also where the mtime cannot be packed."""
    put(f'{at}/f', '1')
    os.utime(f'{at}/f', (-12_000_000_000,) * 2)
    eye = Eye(f'{at}/f')
    lead(eye, lambda: put(f'{at}/f', '2'))


def test_stamps_are_compared_one_by_one(at: str) -> None:
    """As many as there are paths, in order; an error of stat is raised."""
    paths = [f'{at}/{number}' for number in range(3)]
    for path in paths:
        put(path)
    terms = Terms(time.time() + GRAIN)
    each = [stat_cache.worth(os.stat(path), terms) for path in paths]
    told: list[int] = []

    def same(paths: Sequence[str], *each: int) -> bool:
        return stat_cache.same(paths, list(each), told.append)

    assert same(paths, *each)
    assert sum(told) == 3
    assert same(())
    assert not same(paths, *reversed(each))
    assert not same(paths[:2], *each)
    assert not same(paths, *each[:2], UNSURE)
    with pytest.raises(FileNotFoundError):
        same([*paths, f'{at}/none'], *each)


@pytest.mark.parametrize('count', [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize('odd', range(7))
def test_stamps_are_compared_part_by_part(
        at: str, monkeypatch: pytest.MonkeyPatch, count: int, odd: int,
) -> None:
    """Also the last part, full or not; between them it can be stopped."""
    monkeypatch.setattr(stat_cache, 'PART', 2)
    path = f'{at}/f'
    put(path)
    one = stat_cache.worth(os.stat(path), Terms(time.time() + GRAIN))
    each = [UNSURE if number == odd else one for number in range(count)]
    told: list[int] = []

    def same(count: int) -> bool:
        return stat_cache.same([path] * count, each, told.append)

    assert same(count) == (odd >= count)
    assert all(part <= 2 for part in told)
    assert not same(count - 1)


# The cache


READING = Reading('directory', {'a': b'1' * 16, 'b': b'2' * 16}, {})


def filled(reading: Reading, *stamps: int, before: Cache | None = None) -> Cache:
    """Return a cache that a poll has filled."""
    cache = Cache()
    cache.stamps = list(stamps)
    cache.finish(reading, before or Cache())
    return cache


def test_a_cache_knows_the_stamp_of_each_file() -> None:
    """Each name has its own; an empty cache has none."""
    assert Cache().stamp_of() == {}
    assert filled(READING, 4, 5).stamp_of() == {'a': 4, 'b': 5}


def test_what_was_not_seen_whole_is_never_unchanged() -> None:
    """It is walked through again, by the stamps of what could be read."""
    partial = filled(READING, 4, 5)
    partial.complete = False
    trouble = filled(READING._replace(unreadable={'c': 'why'}), 4, 5)
    for cache in (partial, trouble, Cache()):
        assert stat_cache.unchanged(cache, LATER, never, never, never) is None


def never(_: object) -> Any:
    """Be what must not be called."""
    raise AssertionError('this must not be called')


def test_names_are_kept_once_and_those_of_the_last_poll_count() -> None:
    """The same names and digests: one copy; another order is another reading."""
    first = filled(READING, 4, 5)
    same = Reading('directory', dict(READING.files), {})
    assert filled(same, 6, 7, before=first).reading is READING

    for other in (
            READING._replace(kind='glob'),
            READING._replace(unreadable={'c': 'why'}),
            READING._replace(files={name: READING.files[name] for name in ('b', 'a')}),
            READING._replace(files={'a': b'1' * 16, 'b': b'1' * 16}),
    ):
        assert filled(other, 6, 7, before=first).reading is other


def test_a_cache_can_go_through_marshal() -> None:
    """A child reads, and the next poll is made by its parent."""
    cache = filled(READING, 2**62, -(2**62))
    cache.prefix = '/d/'
    cache.directories = {'/d/': 3}
    cache.listed = {'/d/': 7}

    plain = marshal.loads(marshal.dumps(cast(Any, cache.plain())))
    again = stat_cache.revived(READING, plain)

    for name in Cache.__slots__:
        assert getattr(again, name) == getattr(cache, name)


def test_a_poll_that_is_stopped_leaves_the_caches_as_they_were(
        at: str, reads: list[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It can be, also where nothing is read; the next one goes on as if it had not
    been.
    """
    monkeypatch.setattr(stat_cache, 'PART', 16)
    for number in range(200):
        put(f'{at}/d/{number}', '')
    eye = Eye(f'{at}/d')
    eye.settle()
    turn = eye.turn
    reads.clear()
    asked = []

    def stop() -> bool:
        asked.append(0)
        return len(asked) == 3

    assert eye.look(stop=stop) is None
    assert len(asked) == 3
    assert eye.turn == turn
    assert eye.look() == eye.plain()
    assert len(reads) == 200  # those of the plain one

    tick()
    put(f'{at}/d/new', '')
    assert eye.look(stop=lambda: True) is None
    assert eye.look() == eye.plain()


# Young, future, inexact: what is always read


def test_a_young_file_is_read_until_it_is_older_than_the_grain(
        at: str, reads: list[str],
) -> None:
    """A second write within the grain could have the same date."""
    put(f'{at}/f')
    eye = Eye(f'{at}/f')
    for _ in range(3):
        eye.look(ago=GRAIN)
    assert len(reads) == 3

    eye.look()
    assert len(reads) == 4
    eye.look()
    eye.look(ago=GRAIN)
    assert len(reads) == 4


def test_a_file_of_the_future_is_always_read(at: str, reads: list[str]) -> None:
    """There is no telling which clock wrote that."""
    put(f'{at}/f')
    os.utime(f'{at}/f', (time.time() + 3600.0,) * 2)
    eye = Eye(f'{at}/f')
    for _ in range(3):
        eye.look()
    assert len(reads) == 3


def test_on_an_inexact_device_each_look_reads(at: str, reads: list[str]) -> None:
    """Files, and the names in a directory."""
    put(f'{at}/d/f')
    here = frozenset((os.stat(at).st_dev,))
    eye = Eye(f'{at}/d')
    for _ in range(3):
        eye.look(inexact=here)
    assert len(reads) == 3

    eye.look()
    eye.look()
    assert len(reads) == 4


def test_the_file_systems_of_the_kernel_itself_are_inexact() -> None:
    """A file in /proc is another at each read, and stat says nothing of it."""
    known = mounts.table()
    assert known is not None
    eye = Eye('/proc/sys/kernel/random/uuid')
    seen = {
        sight.files[''] for _ in range(5)
        for sight in (eye.look(inexact=known.inexact) or eye.plain()).readings
    }

    assert len(seen) == 5


def test_a_young_neighbour_does_not_make_the_old_ones_be_read(
        at: str, reads: list[str],
) -> None:
    """Only what is young, and what is due."""
    for number in range(20):
        put(f'{at}/d/{number}')
    eye = Eye(f'{at}/d')
    eye.settle()
    reads.clear()
    tick()
    put(f'{at}/d/new')
    for _ in range(3):
        assert eye.look(ago=60.0) is not None

    assert reads == [f'{at}/d/new'] * 3


@pytest.mark.parametrize('odd', ['circle', 'fifo', 'directory'])
def test_what_cannot_be_read_does_not_make_its_neighbours_be_read(
        at: str, reads: list[str], odd: str,
) -> None:
    """A link in a circle or a FIFO in a directory of large files."""
    for number in range(20):
        put(f'{at}/d/{number}')
    if odd == 'circle':
        os.symlink('odd', f'{at}/d/odd')
    elif odd == 'fifo':
        os.mkfifo(f'{at}/d/odd')
    else:
        os.symlink('odd/', f'{at}/d/odd')
    eye = Eye(f'{at}/d')
    eye.settle()
    reads.clear()
    for _ in range(3):
        seen = eye.look()
        assert seen is not None
        assert list(seen.readings[0].unreadable) == ['odd']

    assert {os.path.basename(path) for path in reads} <= {'odd'}
    lead(eye, lambda: put(f'{at}/d/7', 'y'))
    lead(eye, lambda: os.remove(f'{at}/d/odd'))
    assert eye.unchanged()


# Once is not twice


def test_what_was_read_once_is_read_again(at: str, reads: list[str]) -> None:
    """The first time and after each change, however old stat says that it is."""
    for name in ('a', 'b'):
        put(f'{at}/d/{name}')
    eye = Eye(f'{at}/d')
    for _ in range(4):
        eye.look()
    assert sorted(map(os.path.basename, reads)) == ['a', 'a', 'b', 'b']

    tick()
    put(f'{at}/d/b', 'y')
    reads.clear()
    for _ in range(4):
        eye.look()
    assert list(map(os.path.basename, reads)) == ['b', 'b']


def test_a_writer_that_stat_does_not_show_is_read_until_it_rests(
        at: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By mmap, or in one write(2) that takes long: its first half is no content."""
    put(f'{at}/f', '0')
    eye = Eye(f'{at}/f', rounds=3)
    eye.settle()
    was = os.stat(f'{at}/f')
    monkeypatch.setattr(os, 'stat', lambda path, **_: was)
    monkeypatch.setattr(os, 'fstat', lambda file: was)
    seen = []
    for step in range(1, 9):
        with open(f'{at}/f', 'r+', encoding='utf-8') as file:
            file.write(f'{min(step, 6)}')
        got = eye.look()
        assert got is not None
        seen.append(got.readings[0].files[''])
    digests = [xxh3_128_digest(b'%d' % number) for number in range(7)]

    # From its turn on each look reads, up to the first two that agree.
    first = next(at for at, digest in enumerate(seen) if digest != digests[0])
    assert first < 3
    assert seen[first:6] == digests[first + 1:7]
    assert seen[6:] == [digests[6]] * 2


def test_one_that_is_always_young_does_not_keep_the_others_from_being_known(
        at: str, reads: list[str],
) -> None:
    """From the first look on: a log among files of which nothing was known before."""
    for name in ('a', 'b', 'log'):
        put(f'{at}/d/{name}')
    os.utime(f'{at}/d/log', (time.time() + 3600.0,) * 2)  # of the future: never old
    eye = Eye(f'{at}/d')
    for _ in range(5):
        assert eye.look() == eye.plain()
    assert [reads.count(f'{at}/d/{name}') for name in ('a', 'b', 'log')] == [7, 7, 10]


# Turns


def named(reads: list[str]) -> set[str]:
    """Return the names that were read, and forget them."""
    names = {os.path.basename(path) for path in reads}
    reads.clear()
    return names


@pytest.mark.parametrize('busy', [False, True])
@pytest.mark.parametrize('rounds', [2, 5])
def test_each_file_is_read_once_in_so_many_looks_and_never_all_at_once(
        at: str, reads: list[str], rounds: int, busy: bool,
) -> None:
    """Also where others come and go, so that each look lists the directory."""
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
    """Not only those of the first look."""
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
    """For then stat is not to be believed of the others either."""
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
    parts = {stat_cache.part(prefix, name, 7) for name in members}
    assert len(history) == 1 + min((part - first) % 7 for part in parts)


@pytest.mark.parametrize('rounds', [1, 5])
def test_a_name_that_stat_hides_is_found_at_the_turn_of_its_directory(
        at: str, monkeypatch: pytest.MonkeyPatch, rounds: int,
) -> None:
    """As where something is put into a layer below an overlay."""
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

    waits = (stat_cache.part('', f'{at}/d/s/', rounds) - first) % rounds
    assert found == [False] * waits + [True] * (rounds - waits)


def test_several_turns_can_come_at_once(at: str, reads: list[str]) -> None:
    """After a look that took long, or a machine that slept; or none has come."""
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
        name for name in names if stat_cache.part(f'{at}/d/', name, 5) in (0, 1, 2)
    }
    assert seen[2:] == [set(), names, due, set()]


def test_one_round_reads_all_at_each_look(at: str, reads: list[str]) -> None:
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


# Files that change in odd ways


def test_a_rewrite_of_the_same_size_with_its_mtime_put_back_is_seen(
        at: str,
) -> None:
    """By the ctime, which nobody can put back."""
    put(f'{at}/f', '1')
    before = os.stat(f'{at}/f')
    seen = lead(Eye(f'{at}/f'), lambda: put(f'{at}/f', '2'))

    after = os.stat(f'{at}/f')
    assert (before.st_ino, before.st_size, before.st_mtime_ns) == (
        after.st_ino, after.st_size, after.st_mtime_ns,
    )
    assert seen[0].readings[0].files == {'': xxh3_128_digest(b'2')}


def test_a_file_that_was_made_elsewhere_long_ago_is_seen_when_it_is_moved_in(
        at: str,
) -> None:
    """A rename sets the ctime, and it is another inode."""
    put(f'{at}/d/f', '1')
    put(f'{at}/new', '2')
    info = os.stat(f'{at}/d/f')
    os.utime(f'{at}/new', ns=(info.st_atime_ns, info.st_mtime_ns))
    lead(Eye(f'{at}/d'), lambda: os.replace(f'{at}/new', f'{at}/d/f'))


def test_an_inode_that_is_used_again_is_another_file(at: str) -> None:
    """The same number, size and mtime: its ctime is later."""
    put(f'{at}/d/f', '1')

    def reuse() -> None:
        info = os.stat(f'{at}/d/f')
        os.remove(f'{at}/d/f')
        put(f'{at}/d/f', '2')
        os.utime(f'{at}/d/f', ns=(info.st_atime_ns, info.st_mtime_ns))

    for _ in range(5):
        lead(Eye(f'{at}/d', f'{at}/d/f'), reuse)


def test_two_files_that_change_names_are_seen(at: str) -> None:
    """Their digests go with them."""
    put(f'{at}/d/a', '1')
    put(f'{at}/d/b', '2')
    os.link(f'{at}/d/a', f'{at}/d/c')

    def exchange() -> None:
        os.rename(f'{at}/d/a', f'{at}/d/t')
        os.rename(f'{at}/d/b', f'{at}/d/a')
        os.rename(f'{at}/d/t', f'{at}/d/b')

    lead(Eye(f'{at}/d', f'{at}/d/a', f'{at}/d/b'), exchange)


def test_a_write_by_another_name_of_a_file_is_seen(at: str) -> None:
    """A hard link, in a directory that nobody watches."""
    put(f'{at}/d/a', '1')
    os.link(f'{at}/d/a', f'{at}/other')
    lead(Eye(f'{at}/d', f'{at}/d/a'), lambda: put(f'{at}/other', '2'))


def test_what_cannot_be_read_is_looked_at_each_time(at: str) -> None:
    """A FIFO that becomes a file, a directory that becomes readable."""
    put(f'{at}/d/a')
    os.mkfifo(f'{at}/d/p')
    eye = Eye(f'{at}/d', f'{at}/d/p')

    def become() -> None:
        os.remove(f'{at}/d/p')
        put(f'{at}/d/p')

    assert eye.look() == eye.plain()
    lead(eye, become)
    lead(eye, lambda: os.mkfifo(f'{at}/d/q'))


def test_a_file_that_becomes_unreadable_is_seen_and_its_return_too() -> None:
    """By its mode, by that of its directory, by that of one above."""
    with place(PLACES[-1]) as base:
        put(f'{base}/up/d/f')
        eye = Eye(f'{base}/up/d', f'{base}/up/d/f', f'{base}/up/d/*')
        for path in ('up/d/f', 'up/d', 'up'):
            lead(eye, functools.partial(os.chmod, f'{base}/{path}', 0))
            seen = eye.plain().readings[0]
            assert seen.unreadable
            lead(eye, functools.partial(os.chmod, f'{base}/{path}', 0o755))
            assert not eye.plain().readings[0].unreadable


# Counts


def calls(monkeypatch: pytest.MonkeyPatch, eye: Eye) -> list[str]:
    """Return the system calls of a look."""
    meddler = Meddler({})
    for name in (*CALLS, 'readv', 'getcwd', 'listdir'):
        monkeypatch.setattr(os, name, meddler.wrap(name, getattr(os, name)))
    eye.look()
    return [name for name, _ in meddler.calls]


def test_an_idle_look_at_a_file_is_one_system_call(
        at: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """stat, also where the file is a link."""
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


def traced(trace: Path) -> list[list[str]]:
    """Return the names of the system calls of each poll, with the sleep after it."""
    names = [line.partition('(')[0] for line in trace.read_text().splitlines()]
    ends = [at for at, name in enumerate(names) if name == 'rt_sigtimedwait']
    return [names[one + 1:other + 1] for one, other in itertools.pairwise(ends)]


def test_an_idle_poll_of_a_file_is_at_most_five_system_calls(tmp_path: Path) -> None:
    """Of the whole process, with the sleep: one more than a look and a clock need."""
    strace = needed('strace', 'strace')
    trace = tmp_path / 'trace'
    put(f'{tmp_path}/f')
    name = unique('nobody')
    words = ('--interval', '20ms', '--rehash', '24h', '--process', name)
    with watch(*words, f'{tmp_path}/f') as it:
        it.until('baseline')
        with subprocess.Popen(
            (strace, '-o', str(trace), '-p', str(it.pid)),
            stderr=subprocess.PIPE, text=True,
        ) as tracer:
            try:
                assert tracer.stderr is not None
                assert 'attached' in tracer.stderr.readline()
                until(
                    lambda: len(traced(trace)) > 20
                    and not any('read' in poll for poll in traced(trace)[-20:]),
                    'twenty polls that read nothing',
                )
            finally:
                tracer.terminate()
        it.stop()
    polls = traced(trace)

    assert any('read' in poll for poll in polls)  # while the file was young
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


# On real file systems


def trusted(eye: Eye) -> bool:
    """Return whether a look at one path leaves nothing but what stat answers for."""
    known = mounts.table()
    assert known is not None
    seen = eye.look(GRAIN, inexact=known.inexact)
    assert seen == eye.plain()
    (cache,) = eye.caches
    stamps = *cache.stamps, *cache.directories.values()
    return bool(cache.reading) and UNSURE not in stamps


def made(kind: str, image: str, *words: str) -> str:
    """Make a file system in a file; return where."""
    with open(image, 'wb') as file:
        file.truncate(400 << 20)
    package = {'xfs': 'xfsprogs', 'btrfs': 'btrfs-progs'}
    program = needed(f'mkfs.{kind}', package.get(kind, 'e2fsprogs'))
    subprocess.run(
        (program, *words, image), capture_output=True, check=True,
    )
    return image


REAL = (
    'ext2', 'ext3', 'ext4', 'ext4 -I 128', 'xfs', 'btrfs', 'tmpfs', 'ramfs', 'overlay',
    'overlay --below',
)


def layered(at: Path, below: bool) -> str:
    """Mount an overlay; return '' or why it cannot be.

    below: its files are in the lower layer, until they are written to.
    """
    # Neither layer may be an overlay itself.
    top = at.parent / 'layers'
    top.mkdir()
    trouble = mount('tmpfs', top)
    for name in ('upper', 'lower', 'work'):
        (top / name).mkdir()
    for name in ('f', 'm') if below else ():
        put(f'{top}/lower/d/{name}', '1')
    layers = f'lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work'
    return trouble or mount('overlay', at, '-o', layers)


def mounted(tmp_path: Path, words: str, walk: Callable[[Path], str]) -> str:
    """Return what a walk through a file system returns, or why there is none."""
    kind, *options = words.split()
    at = tmp_path / 'at'
    at.mkdir()
    image = ''
    if kind in ('ext2', 'ext3', 'ext4', 'xfs', 'btrfs'):
        image = made(kind, str(tmp_path / 'image'), *options)

    def walked() -> str:
        if kind == 'overlay':
            trouble = layered(at, bool(options))
        else:
            loop = ('-o', 'loop') if image else ()
            trouble = mount(kind, at, *loop, what=image or 'none')
        return f'cannot: {trouble}' if trouble else walk(at)

    return str(apart(walked))


@pytest.mark.parametrize('words', REAL)
def test_on_a_real_file_system_no_rewrite_is_lost(tmp_path: Path, words: str) -> None:
    """With nothing but time to make a stamp worth something: a rewrite in place is
    seen by the next look, a name that is added too; and what is written through a
    map, of which stat may say nothing at all, when the turn of its file comes.
    """
    def walked(at: Path) -> str:
        for name in ('f', 'm'):
            if not (at / 'd' / name).exists():
                put(f'{at}/d/{name}', '1')
        eye = Eye(f'{at}/d', rounds=10_000_019)
        with open(f'{at}/d/m', 'r+b') as file, mmap.mmap(file.fileno(), 1) as memory:
            memory[0] = ord('2')
            until(lambda: trusted(eye), 'stat is believed')
            put(f'{at}/d/f', '2')
            assert not trusted(eye)
            put(f'{at}/d/f', '3')
            put(f'{at}/d/g', '1')
            assert not trusted(eye)
            eye.rounds, eye.turn = 3, 0
            memory[0] = ord('3')
            seen = [eye.look(GRAIN) for _ in range(eye.rounds)]
            last = eye.plain()
            turn = stat_cache.part(f'{at}/d/', 'm', eye.rounds)
        assert last.readings[0].files['m'] == xxh3_128_digest(b'3')
        assert seen[turn:] == [last] * (eye.rounds - turn)
        if words in ('tmpfs', 'ramfs'):
            # There no write through a map counts; elsewhere the first to a page.
            assert last not in seen[:turn]
        return 'seen'

    got = mounted(tmp_path, words, walked)
    if got.startswith('cannot'):
        missing(f'{words}: {got}')
    assert got == 'seen'


@pytest.mark.parametrize('words', REAL)
def test_on_a_real_file_system_no_name_is_lost(tmp_path: Path, words: str) -> None:
    """One that is added, renamed or removed, where no file has changed and stat was
    believed of the directory: by the next look.
    """
    def walked(at: Path) -> str:
        put(f'{at}/d/f', '1')
        put(f'{at}/d/s/f', '1')
        eye = Eye(f'{at}/d', rounds=10_000_019)
        acts: list[Callable[[], None]] = [
            lambda: put(f'{at}/d/s/g', '1'),
            lambda: os.rename(f'{at}/d/s/g', f'{at}/d/s/h'),
            lambda: os.remove(f'{at}/d/s/h'),
        ]
        for act in acts:
            until(lambda: trusted(eye), 'stat is believed')
            was = eye.plain()
            act()
            assert not trusted(eye)
            assert eye.seen not in (None, was)
        return 'seen'

    got = mounted(tmp_path, words, walked)
    if got.startswith('cannot'):
        missing(f'{words}: {got}')
    assert got == 'seen'
