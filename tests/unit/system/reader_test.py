from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from pollreload.core.change import EMPTY, Reading
from pollreload.settings import IGNORED
from pollreload.system import file_digest, globs, reader, safe_open, stat_cache, walk
from pollreload.system.file_digest import Progress
from pollreload.system.fingerprint import fingerprint
from pollreload.system.reader import TERMS, poll

ROOT = os.getuid() == 0
NAMES = st.binary(max_size=4).map(os.fsdecode)
MEMBERS = st.dictionaries(NAMES, st.sampled_from((b'', EMPTY, xxh3_128_digest(b'x'))))
PATHS = st.lists(st.none() | MEMBERS, max_size=3)


@pytest.fixture
def at():
    """A directory that another user may enter; those of pytest are closed."""
    path = tempfile.mkdtemp()
    os.chmod(path, 0o755)
    yield path
    subprocess.run(('chmod', '-R', 'u+rwX', path), check=True)
    shutil.rmtree(path)


@contextlib.contextmanager
def nobody():
    """Do as a user to whom permissions apply."""
    if ROOT:
        os.seteuid(65534)
    try:
        yield
    finally:
        if ROOT:
            os.seteuid(0)


def write(top: str, names: Iterable[str], content: str = 'x') -> None:
    for name in names:
        path = os.path.join(top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(content)


def see(path: str, ignore: Sequence[str] = IGNORED) -> Reading:
    snapshot = poll((path,), ignore)
    assert snapshot is not None
    return snapshot.readings[0]


def members(path: str, ignore: Sequence[str] = IGNORED) -> list[str]:
    sight = see(path, ignore)
    assert sight.unreadable == {}
    return list(sight.files)


def lost(why: str) -> Reading:
    return Reading('', {}, {'': why})


def publish(volume: str, version: str, names: Sequence[str]) -> None:
    """Put a new set in place as a kubelet does: ..data moves, atomically."""
    write(f'{volume}/..{version}', names, version)
    os.symlink(f'..{version}', f'{volume}/..tmp')
    os.replace(f'{volume}/..tmp', f'{volume}/..data')
    for top in {name.partition('/')[0] for name in names}:
        if not os.path.lexists(f'{volume}/{top}'):
            os.symlink(f'..data/{top}', f'{volume}/{top}')


def before_read(
        monkeypatch: pytest.MonkeyPatch, act: Callable[[int], object], times: int = 1,
        first: int = 1,
) -> None:
    """Do something some times before a read, once the first reads are done."""
    todo = iter((*[None] * first, *range(times)))
    real = file_digest.read

    def read(
            path: str, info: os.stat_result, progress: Progress,
    ) -> tuple[os.stat_result | None, bytes]:
        turn = next(todo, None)
        if turn is not None:
            act(turn)
        return real(path, info, progress)

    monkeypatch.setattr(walk, 'read', read)


# A file


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
    """EMPTY is what a look sees of no bytes at all."""
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


def test_a_look_at_a_file_imports_no_matcher(at):
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
    """Nothing stays open, whether a file could be read or not."""
    write(at, ['d/a', 'd/sub/b'])
    os.mkfifo(f'{at}/d/fifo')
    before = os.listdir('/proc/self/fd')

    poll((f'{at}/d', f'{at}/d/a', f'{at}/d/fifo', f'{at}/none'), IGNORED)

    assert os.listdir('/proc/self/fd') == before


# Unreadable is an observation


def test_unreadable_is_an_observation_missing(at):
    """A missing file, and a file below a missing directory, are not there."""
    assert see(f'{at}/app.conf') == lost('no such file')
    assert see(f'{at}/none/app.conf') == lost('no such file')


def test_unreadable_is_an_observation_below_a_file(at):
    """A file where a directory was."""
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
        file_digest.read(f'{at}/app.conf', before, progress)


# A directory


def test_a_directory_is_read_recursively(at):
    """Names are relative to the path; the order is that of the names."""
    write(at, ['d/b', 'd/a', 'd/sub/z/c', 'd/sub/d', 'd/.hidden'])
    os.mkdir(f'{at}/d/empty')

    assert members(f'{at}/d') == ['.hidden', 'a', 'b', 'sub/d', 'sub/z/c']
    assert members(f'{at}/d/') == members(f'{at}/d')


def test_an_empty_directory_has_no_files(at):
    """It was read, and nothing is in it."""
    assert see(at) == Reading('directory', {}, {})


def test_the_root_directory_is_joined_with_one_slash(monkeypatch):
    """A path of '/' is a directory as any other."""
    monkeypatch.setattr(walk, 'listing', lambda *_: (['etc/passwd'], set()))

    assert members('/') == ['etc/passwd']


def test_a_relative_path_is_relative_to_the_working_directory(at, monkeypatch):
    """A file, a directory and a glob that name no directory."""
    write(at, ['d/a.conf', 'b.conf'])
    monkeypatch.chdir(at)

    assert members('b.conf') == ['']
    assert members('d') == ['a.conf']
    assert members('*.conf') == ['b.conf']
    assert members('.') == ['b.conf', 'd/a.conf']


def test_names_that_begin_with_two_dots_are_left_out(at):
    """They are a kubelet's own: ..data and the sets themselves."""
    write(at, ['d/..data/a', 'd/..b', 'd/c'])

    assert members(f'{at}/d', ()) == ['c']


def test_ignored_names_are_left_out_below_a_directory(at):
    """Files and directories that match a pattern; case counts."""
    write(at, ['d/a.conf', 'd/a.conf~', 'd/.git/config', 'd/s/.a.swp', 'd/A.TMP'])

    assert members(f'{at}/d') == ['A.TMP', 'a.conf']
    assert members(f'{at}/d', ('s', 'A*')) == ['a.conf', 'a.conf~', '.git/config']


def test_ignored_names_are_left_out_of_the_matches_of_a_glob(at):
    """The same names are left out there."""
    write(at, ['d/a.conf', 'd/b.tmp', 'd/CVS/c'])

    assert members(f'{at}/d/*') == ['a.conf']


def test_the_named_path_itself_is_never_ignored(at):
    """Who names it wants it."""
    write(at, ['app.tmp', '.git/config', '..data/a'])

    assert members(f'{at}/app.tmp') == ['']
    assert members(f'{at}/.git') == ['config']
    assert members(f'{at}/..data') == ['a']
    assert members(f'{at}/.git/c*') == ['config']


def test_links_to_directories_are_followed_once(at):
    """The first link, in the order of the names, enters it; a real name always."""
    write(at, ['real/a', 'd/z/b'])
    os.symlink(f'{at}/real', f'{at}/d/l1')
    os.symlink(f'{at}/real', f'{at}/d/l2')
    os.symlink('z', f'{at}/d/y')

    assert members(f'{at}/d') == ['l1/a', 'y/b', 'z/b']


def test_links_are_followed_once_for_each_path(at):
    """What one path holds does not depend on the others."""
    write(at, ['real/a'])
    os.mkdir(f'{at}/d')
    os.symlink(f'{at}/real', f'{at}/d/l')

    snapshot = poll((f'{at}/d', f'{at}/d'), ())

    assert snapshot is not None
    assert [list(sight.files) for sight in snapshot.readings] == [['l/a'], ['l/a']]


def test_a_link_to_a_directory_above_ends(at):
    """A loop is never entered."""
    write(at, ['d/sub/a'])
    os.symlink('..', f'{at}/d/sub/up')
    os.symlink('.', f'{at}/d/sub/here')

    assert members(f'{at}/d') == ['sub/a']


def test_a_dangling_link_is_an_absent_file(at):
    """Below a directory and as a match of a glob; the path itself is unreadable."""
    write(at, ['d/a', 'd/file'])
    os.symlink('none', f'{at}/d/b')
    os.symlink('file/none', f'{at}/d/c')

    assert members(f'{at}/d') == members(f'{at}/d/*') == ['a', 'file']
    assert see(f'{at}/d/b') == lost('no such file')
    assert see(f'{at}/d/c') == lost('not a directory')


def test_a_dangling_link_into_a_volume_that_is_swapped_is_unreadable(at):
    """The kubelet removes the link itself when the file is gone from the volume."""
    write(at, ['d/a'])
    os.symlink('..data/b', f'{at}/d/b')

    assert see(f'{at}/d').unreadable == {'b': 'no such file'}
    assert [*see(f'{at}/d').files] == ['a']


def test_a_link_in_a_circle_is_an_unreadable_member(at):
    """It cannot be known what the program finds there."""
    write(at, ['a'])
    os.symlink('b', f'{at}/b')

    assert see(at).unreadable == {'b': 'too many levels of symbolic links'}


@pytest.mark.parametrize('path', ['{}', '{}/*.conf', '{}/2.conf', '{}/3.conf'])
def test_a_link_to_dev_null_is_an_empty_file(at, path):
    """It masks a snippet; a device is what it is elsewhere."""
    write(at, ['1.conf'])
    os.symlink('/dev/null', f'{at}/2.conf')
    os.symlink('2.conf', f'{at}/3.conf')

    found = see(path.format(at))

    assert found.unreadable == {}
    masked = {name: value for name, value in found.files.items() if name != '1.conf'}
    assert set(masked.values()) == {EMPTY}
    assert see('/dev/null') == lost('is a device')


def test_a_link_to_another_device_is_an_unreadable_member(at):
    """It is never opened."""
    os.symlink('/dev/zero', f'{at}/a')

    assert see(at).unreadable == {'a': 'is a device'}


def test_a_member_that_is_refused_as_missing_though_it_is_there_is_unreadable(
        at, monkeypatch,
):
    """A file system without an answer is not a file that is gone."""
    write(at, ['a', 'b'])
    real = safe_open.open_regular

    def fail(path):
        if path.endswith('/b'):
            raise FileNotFoundError(errno.ENOENT, 'odd')
        return real(path)
    monkeypatch.setattr(file_digest, 'open_regular', fail)

    assert see(at).unreadable == {'b': 'no such file'}


def test_a_member_that_vanishes_after_the_listing_is_gone(at, monkeypatch):
    """Whether before its stat or before its open; so is a directory."""
    write(at, ['a', 'b', 'sub/c', 'z'])

    def act(turn):
        os.remove(f'{at}/a')
        os.remove(f'{at}/b')
        os.symlink('none', f'{at}/new')
    before_read(monkeypatch, act, first=0)
    assert members(at) == ['z', 'sub/c']

    before_read(monkeypatch, lambda turn: shutil.rmtree(f'{at}/sub'), first=0)
    os.remove(f'{at}/new')
    assert members(at) == ['z']


def test_a_directory_that_cannot_be_listed_is_an_unreadable_member(at):
    """It does not block its neighbours; the slash tells that it hides more."""
    write(at, ['a', 'sub/b', 'list/c'])
    os.chmod(f'{at}/sub', 0)
    os.chmod(f'{at}/list', 0o444)

    with nobody():
        seen = see(at)

    assert list(seen.files) == ['a']
    assert seen.unreadable == {
        'sub/': 'permission denied', 'list/c': 'permission denied',
    }


def test_names_that_are_not_utf_8_are_kept(at):
    """They are surrogate escapes, as everywhere in Python, also in a pattern."""
    name = os.fsdecode(b'\xff\xfe.conf')
    write(at, [name])

    assert members(at) == [name]
    assert members(f'{at}/*.conf') == [name]
    assert members(f'{at}/{name}') == ['']


def test_a_deep_tree_is_no_recursion(at):
    """It is read to the last file, however deep."""
    home = os.open('.', os.O_RDONLY)
    os.chdir(at)
    for _ in range(1500):
        os.mkdir('d')
        os.chdir('d')
    write('.', ['a'])
    os.fchdir(home)
    os.close(home)

    seen = members(at)

    # rmtree recurses in Python 3.11
    subprocess.run(('rm', '-r', f'{at}/d'), check=True)
    assert seen == ['d/' * 1500 + 'a']


# A glob


@pytest.mark.parametrize(('pattern', 'found'), [
    ('*.conf', ['a.conf', 'b.conf']),
    ('[!a].conf', ['b.conf']),
    ('?.conf', ['a.conf', 'b.conf']),
    ('.*', ['.h.conf', '.hide/e.conf']),
    ('[.]h.conf', []),
    ('none*', []),
    ('s*', ['sub/.h', 'sub/c.conf', 'sub/deep/d.conf']),
    ('*/', ['sub/.h', 'sub/c.conf', 'sub/deep/d.conf']),
    ('*/c.conf', ['sub/c.conf']),
    ('*/*', ['sub/c.conf', 'sub/deep/d.conf']),
    ('sub/*.conf', ['c.conf']),
    ('**/*.conf', ['a.conf', 'b.conf', 'sub/c.conf', 'sub/deep/d.conf']),
    ('**/deep/**/d.conf', ['sub/deep/d.conf']),
    ('**/**/d.conf', ['sub/deep/d.conf']),
    ('s*/**/d*', ['sub/deep/d.conf']),
    ('s*/**', ['sub/.h', 'sub/c.conf', 'sub/deep/d.conf']),
    ('**', [
        '.h.conf', 'a.conf', 'b.conf', '.hide/e.conf', 'sub/.h', 'sub/c.conf',
        'sub/deep/d.conf',
    ]),
    ('a*/x', []),
])
def test_a_glob(at, pattern, found):
    """Names are relative to the longest directory without a wildcard.

    A directory that matches is read recursively; a wildcard does not match a
    first dot; ** matches directories, or none.
    """
    write(at, [
        'a.conf', 'b.conf', '.h.conf', 'sub/c.conf', 'sub/.h', 'sub/deep/d.conf',
        '.hide/e.conf',
    ])

    assert members(f'{at}/{pattern}') == found
    assert see(f'{at}/{pattern}').kind == 'glob'


def test_a_glob_from_the_root():
    """The directory it starts from is '/'."""
    assert globs.split('/*.conf') == ('/', ('*.conf',))
    assert globs.split('/etc/*/b') == ('/etc/', ('*', 'b'))
    assert globs.split('*.conf') == ('', ('*.conf',))


def test_a_path_that_exists_literally_wins_over_a_glob(at):
    """Also where it cannot be read: it must not turn into its neighbours."""
    write(at, ['a[1].conf', 'a1.conf'])

    assert see(f'{at}/a[1].conf').kind == 'file'

    os.chmod(f'{at}/a[1].conf', 0)
    with nobody():
        assert see(f'{at}/a[1].conf') == lost('permission denied')

    os.remove(f'{at}/a[1].conf')
    assert members(f'{at}/a[1].conf') == ['a1.conf']


@pytest.mark.parametrize('name', ['*.conf', '?.conf', '[*].conf', '[]].conf'])
def test_a_glob_that_matches_its_own_name_stays_a_glob(at, name):
    """A shell writes such a file if nothing matches yet: echo x >*.conf."""
    write(at, ['b.conf', name])
    own = [name] if name in ('*.conf', '?.conf') else []

    seen = see(f'{at}/{name}')

    assert (seen.kind == 'glob') == bool(own)
    if own:
        assert list(seen.files) == sorted([*own, 'b.conf'])


def test_a_glob_without_a_match_was_read(at):
    """Its directory could be listed, and no name matches."""
    assert see(f'{at}/*.conf') == Reading('glob', {}, {})


def test_a_glob_whose_directory_is_gone_is_unreadable(at):
    """That is not the same as no match."""
    assert see(f'{at}/none/*.conf') == lost('no such file')


def test_a_glob_says_which_directory_it_could_not_reach(at):
    """A link that leads nowhere is no match; one that is locked may hide some."""
    write(at, ['d/b/x.conf', 'd/locked/x.conf', 'lock/in/x.conf', 'd/file'])
    os.symlink('none', f'{at}/d/dangling')
    os.symlink(f'{at}/lock/in', f'{at}/d/link')
    os.chmod(f'{at}/lock', 0)
    os.chmod(f'{at}/d/locked', 0)

    with nobody():
        seen = see(f'{at}/d/*/x.conf')

    assert list(seen.files) == ['b/x.conf']
    assert seen.unreadable == {
        'link': 'permission denied', 'locked/': 'permission denied',
    }


def test_a_glob_enters_links_to_directories(at):
    """Also by **; a directory above is never entered again."""
    write(at, ['d/a.conf', 'real/b.conf'])
    os.symlink(f'{at}/real', f'{at}/d/link')
    os.symlink('.', f'{at}/d/loop')

    assert members(f'{at}/d/**/*.conf') == ['a.conf', 'link/b.conf']


# A whole set or nothing


@pytest.mark.parametrize('path', ['{}', '{}/*', '{}/..data', '{}/sub', '{}/**/[ac]'])
def test_a_set_that_moves_during_a_look_is_read_again(at, monkeypatch, path):
    """All files are of the last set, never some of each; a directory, a glob."""
    names = ['a', 'b', 'sub/c', 'sub/d']
    publish(at, '1', names)
    before_read(monkeypatch, lambda turn: publish(at, '2', names))

    seen = see(path.format(at))

    assert set(seen.files.values()) == {xxh3_128_digest(b'2')}
    assert seen.unreadable == {}


def test_two_paths_come_from_the_same_set(at, monkeypatch):
    """Files below one ..data are one set, also where they are named one by one."""
    publish(at, '1', ['a', 'sub/b'])
    readings: list[Reading] = []
    real = reader.read_path

    def sight(path: str, this: walk.Pass) -> Reading:
        readings.append(real(path, this))
        if len(readings) == 1:
            publish(at, '2', ['a', 'sub/b'])
        return readings[-1]
    monkeypatch.setattr(reader, 'read_path', sight)

    snapshot = poll((f'{at}/a', f'{at}/sub/b'), IGNORED)

    assert snapshot is not None
    assert [reading.files[''] for reading in snapshot.readings] == [
        xxh3_128_digest(b'2'),
    ] * 2


@pytest.mark.parametrize('path', ['current', 'current/*', '.'])
def test_a_set_may_hang_on_any_link_to_a_directory(at, monkeypatch, path):
    """A release that is switched by one link, as git-sync does."""
    write(at, ['..1/a', '..1/b'], '1')
    write(at, ['..2/a', '..2/b'], '2')
    os.symlink('..1', f'{at}/current')

    def act(turn: int) -> None:
        os.symlink('..2', f'{at}/..new')
        os.replace(f'{at}/..new', f'{at}/current')
    before_read(monkeypatch, act)

    assert set(see(f'{at}/{path}').files.values()) == {xxh3_128_digest(b'2')}


def test_a_set_that_moves_after_the_listing_is_listed_again(at, monkeypatch):
    """The names are of the same set as the contents."""
    todo = [('a', 'c')]

    def listing(fd: int, path: str, this: walk.Pass, real=walk.listing):
        listed = real(fd, path, this)
        if todo:
            publish(at, '2', todo.pop())
            os.remove(f'{at}/b')
        return listed
    publish(at, '1', ['a', 'b'])
    monkeypatch.setattr(walk, 'listing', listing)

    assert members(at) == ['a', 'c']


def test_a_set_is_found_behind_links_of_the_files(at, monkeypatch):
    """/etc/app/a -> /volume/a -> ..data/a."""
    publish(f'{at}/volume', '1', ['a', 'b'])
    os.mkdir(f'{at}/d')
    for name in ('a', 'b'):
        os.symlink(f'{at}/volume/{name}', f'{at}/d/{name}')
    before_read(monkeypatch, lambda turn: publish(f'{at}/volume', '2', ['a', 'b']))

    assert set(see(f'{at}/d').files.values()) == {xxh3_128_digest(b'2')}


def test_a_set_that_keeps_moving_is_unreadable(at, monkeypatch):
    """After five looks; the paths that do not hang on it are still seen."""
    publish(f'{at}/volume', 'first', ['a', 'b'])
    write(at, ['other'])
    before_read(
        monkeypatch,
        lambda turn: publish(f'{at}/volume', f'{turn}', ['a', 'b']), 100,
    )

    snapshot = poll((f'{at}/volume', f'{at}/other'), IGNORED)

    assert snapshot is not None
    assert snapshot.readings == (
        lost('kept being replaced while it was read'),
        Reading('file', {'': xxh3_128_digest(b'x')}, {}),
    )


def test_a_file_alone_is_never_read_again(at, monkeypatch):
    """One open is atomic by itself."""
    publish(at, '1', ['a'])
    before_read(monkeypatch, lambda turn: publish(at, '2', ['a']), first=0)

    assert see(f'{at}/a').files == {'': xxh3_128_digest(b'2')}


# Dates


def newest(*paths: str, dates: bool = True) -> float:
    snapshot = poll(paths, IGNORED, dates)
    assert snapshot is not None
    return snapshot.newest


def changed(path: str) -> float:
    return os.lstat(path).st_ctime


def test_newest_is_the_latest_date_of_the_files(at):
    """mtime or ctime, whichever is later; nothing where it was not asked for."""
    write(at, ['a', 'b'])
    os.utime(f'{at}/a', (2e9, 2e9))
    os.utime(f'{at}/b', (1e9, 1e9))

    assert newest(f'{at}/a') == newest(at) == 2e9
    assert newest(f'{at}/b') == changed(f'{at}/b')
    assert newest(f'{at}/b', dates=False) == 0.0
    assert newest(f'{at}/none') == 0.0


def dated(path: str, modified: float, changed: float) -> os.stat_result:
    """What stat says of a file, with other dates."""
    info = list(os.stat(path))
    fields = {'st_mtime_ns': int(modified * 1e9), 'st_ctime_ns': int(changed * 1e9)}
    return os.stat_result(info, {
        'st_mtime': modified, 'st_ctime': changed, **fields,
    })


@pytest.mark.parametrize('path', ['d', 'd/*', 'd/**/a'])
def test_newest_counts_the_dates_of_directories(at, path):
    """A directory that is renamed into place brings files that are older."""
    write(at, ['d/sub/a'])
    os.utime(f'{at}/d/sub', (2e9, 2e9))
    assert newest(f'{at}/{path}') == 2e9

    os.utime(f'{at}/d', (2.1e9, 2.1e9))
    assert newest(f'{at}/{path}') == 2.1e9


@pytest.mark.parametrize(('directory', 'device', 'found'), [
    ((5.0, 9.0), 0, 9.0),
    ((9.0, 9.0), 0, 0.0),
    ((5.0, 9.0), 1, 0.0),
])
def test_a_rename_of_the_directory_of_a_file_counts(
        at, monkeypatch, directory, device, found,
):
    """Its ctime alone is set; a new name beside the file sets the mtime as well."""
    write(at, ['a'])
    info = dated(at, *directory)
    file = os.stat_result([
        *(0, 0, info.st_dev + device), *([0] * 7),
    ])
    monkeypatch.setattr(os, 'stat', {at: info}.get)

    assert walk.moved(at, file) == found


def test_a_directory_that_is_renamed_into_place_is_new(at):
    """Each file in it, and the file that is watched by itself, is as new."""
    write(at, ['new/a'])
    before = changed(f'{at}/new/a')
    os.utime(f'{at}/new', (1e9, 1e9))
    os.utime(f'{at}/new/a', (1e9, 1e9))
    while changed(f'{at}/new') <= before:
        os.rename(f'{at}/new', f'{at}/d')
        os.rename(f'{at}/d', f'{at}/new')

    renamed = changed(f'{at}/new')
    assert newest(f'{at}/new') == newest(f'{at}/new/a') == renamed


@pytest.mark.parametrize('path', ['volume/a', 'volume', 'volume/*', 'link', 'to/a'])
def test_newest_counts_every_link_on_the_way(at, path):
    """A kubelet's new ..data may lead to files that are older than it is."""
    publish(f'{at}/volume', '1', ['a'])
    os.symlink('volume/a', f'{at}/link')
    os.symlink('volume', f'{at}/to')
    os.utime(f'{at}/volume/..data', (2e9, 2e9), follow_symlinks=False)

    assert newest(f'{at}/{path}') == 2e9


def test_a_link_that_is_gone_has_no_date(at):
    """It may vanish between two system calls."""
    assert walk.latest(f'{at}/none') == 0.0


# Stop


def test_a_look_is_stopped_between_the_chunks_of_a_file(at):
    """It is asked for each MiB; a sparse file of 1 TiB is not read through."""
    with open(f'{at}/app.conf', 'wb') as file:
        file.truncate(1 << 40)
    answers = iter((False, False, True))
    paths = (f'{at}/app.conf',)

    assert poll(paths, IGNORED, stop=lambda: next(answers), largest=1 << 40) is None
    assert list(answers) == []


def test_a_look_is_stopped_between_files(at):
    """It is asked for each 64 names, as they are listed, read, and among the paths."""
    write(at, [f'd/{number}' for number in range(128)], '')
    answers = iter([False] * 4)

    assert poll((f'{at}/d',), IGNORED, stop=lambda: next(answers)) is not None
    assert list(answers) == []
    assert poll((f'{at}/d',), IGNORED, stop=lambda: True) is None
    assert poll([f'{at}/d/1'] * 64, (), stop=lambda: True) is None
    assert poll([f'{at}/d/1'] * 63, (), stop=lambda: True) is not None


def test_a_directory_is_stopped_while_it_is_listed(at, monkeypatch):
    """One of a million names takes longer than TERM may take."""
    write(at, [f'd/{number}' for number in range(64)], '')
    monkeypatch.setattr(os, 'stat', fail_stat(os.stat, f'{at}/d/'))

    assert poll((f'{at}/d',), IGNORED, stop=lambda: True) is None


def fail_stat(real: Callable[..., os.stat_result], below: str) -> Callable[..., object]:
    """Return a stat that must not be called for what is below a directory."""
    def call(path: str, **named: object) -> os.stat_result:
        assert not path.startswith(below), path
        return real(path, **named)
    return call


@pytest.mark.parametrize(('size', 'limit', 'said'), [
    (1000, 1000, ''), (1001, 1000, '1000'), (1025, 1024, '1KiB'),
    (1 << 62, 1 << 32, '4GiB'), (3 << 20, 2 << 20, '2MiB'),
])
def test_a_file_above_the_limit_is_not_read(at, size, limit, said):
    """Its size decides; a sparse one of 8 EiB can be made anywhere."""
    with tempfile.TemporaryDirectory(dir='/dev/shm') as shm:
        with open(f'{shm}/a', 'wb') as file:
            file.truncate(size)
        tally = [0, 0]

        got = poll((f'{shm}/a',), (), tally=tally, largest=limit)

    assert got is not None
    if said:
        assert got.readings[0] == lost(f'is larger than --max-file-size {said}')
        assert tally == [0, 0]
    else:
        assert tally == [1, size]


def test_a_file_that_gives_more_than_it_says_is_limited_too(at):
    """A file of /proc has no size, and one that is written to has another soon."""
    write(at, ['a'], 'x' * (1 << 20))
    file = os.open(f'{at}/a', os.O_RDONLY)
    progress = Progress(reader.never, [0, 0], 1 << 19)

    with pytest.raises(file_digest.TooLarge):
        file_digest.hash_file(file, 0, progress)

    os.close(file)


# The fingerprint


@given(PATHS, PATHS)
def test_fingerprints_are_equal_only_for_equal_files(one, other):
    """Of names and digests, path by path; unknown is not the same as empty."""
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


@given(MEMBERS)
def test_the_fingerprint_does_not_depend_on_the_order_of_names(files):
    """A listing comes in any order."""
    assert fingerprint([files]) == fingerprint([dict(reversed(files.items()))])


def test_the_fingerprint_is_the_same_for_ever():
    """A ledger is read by later releases: this is its format."""
    files = [{'a': EMPTY, 'b': b''}, None, {}]

    assert fingerprint(files) == 'f420adc571626218eea518a0494010a4'


def test_a_name_that_is_listed_twice_is_read_once(tmp_path, monkeypatch):
    """As where it is removed and made anew meanwhile (readdir(3p)); seen on XFS."""
    for name in ('a', 'b'):
        (tmp_path / name).write_text(name)

    @contextlib.contextmanager
    def twice(fd, real=os.scandir):
        with real(fd) as entries:
            each = list(entries)
            yield iter([*each, each[0]])

    monkeypatch.setattr(os, 'scandir', twice)
    caches = [stat_cache.Cache()]
    seen = [
        poll((str(tmp_path),), (), terms=TERMS._replace(began=2e9), caches=caches)
        for _ in range(3)
    ]

    assert seen[0] is not None
    assert list(seen[0].readings[0].files) == ['a', 'b']
    assert seen == [seen[0]] * 3
