from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollreload.errors import LedgerBusy, LedgerError
from pollreload.settings import Settings, Signal
from pollreload.system import ledger_file, ledger_location

NOBODY = 65534
ATOMS = st.none() | st.booleans() | st.integers() | st.text() | st.floats(
    allow_nan=False,
)
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
# As os.fsdecode makes them of file names that are not UTF-8.
NAMES = st.binary(max_size=12).map(os.fsdecode)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / 'app.json')


def names(path: str) -> list[str]:
    return sorted(os.listdir(os.path.dirname(path)))


def content(path: str) -> bytes:
    with open(path, 'rb') as file:
        return file.read()


def put(path: str, text: bytes) -> None:
    with open(path, 'wb') as file:
        file.write(text)


def as_nobody(ask: Callable[[], str]) -> str:
    """Call a function while we are not root, whom no mode keeps out."""
    if os.geteuid():
        return ask()
    os.seteuid(NOBODY)
    try:
        return ask()
    finally:
        os.seteuid(0)


def fault(act: Callable[[], object]) -> str:
    """Return the text of the LedgerError that a function raises."""
    try:
        act()
    except LedgerError as error:
        return str(error)
    return 'no error'


@pytest.fixture
def open_tmp():
    """A directory that everybody can reach (pytest's own are root's alone)."""
    directory = tempfile.mkdtemp()
    os.chmod(directory, 0o755)
    yield directory
    os.chmod(directory, 0o755)
    shutil.rmtree(directory)


def run_on_tmpfs(options: str, where: str, script: str) -> str:
    """Return the output of Python with a tmpfs on a directory, in its own namespace."""
    mount = f'mount -t tmpfs -o {options} none "$1" || exit 77'
    said = subprocess.run(
        ['unshare', '--mount', 'sh', '-c', f'{mount}; exec "$2" -c "$3" "$1"',
         'sh', where, sys.executable, script],
        capture_output=True, text=True, check=False,
    )
    refused = said.returncode == 77 or said.stderr.startswith('unshare:')
    if refused and not os.environ.get('CI'):
        pytest.skip('mounting is refused here')
    assert said.returncode == 0, said.stderr
    return said.stdout


@pytest.mark.parametrize(
    ('environ', 'uid', 'expected'),
    [
        ({'XDG_STATE_HOME': '/x', 'HOME': '/h'}, 0, '/x/pollreload/k.json'),
        ({'XDG_STATE_HOME': '/x', 'HOME': '/h'}, 7, '/x/pollreload/k.json'),
        ({'XDG_STATE_HOME': '', 'HOME': '/h'}, 0, '/var/lib/pollreload/k.json'),
        ({'XDG_STATE_HOME': 'x', 'HOME': '/h'}, 7, '/h/.local/state/pollreload/k.json'),
        ({'HOME': '/h'}, 7, '/h/.local/state/pollreload/k.json'),
        ({}, 0, '/var/lib/pollreload/k.json'),
    ],
)
def test_the_default_place(environ, uid, expected):
    """XDG_STATE_HOME if absolute, else root's or the home's state directory."""
    assert ledger_location.location('k', environ, uid) == expected


@pytest.mark.parametrize('environ', [{}, {'HOME': ''}, {'HOME': 'here'}])
def test_no_home_is_said(environ):
    """Without an absolute home there is no default, and the line says what to do."""
    with pytest.raises(LedgerError, match='with --state-file'):
        ledger_location.location('k', environ, 7)


WATCH = Settings(paths=('/etc/app', '/etc/b'), process='app', pidfile='/run/app.pid')


@pytest.mark.parametrize(
    'other',
    [
        WATCH._replace(paths=('/etc/app',)),
        WATCH._replace(paths=('/etc/app/etc/b',)),
        WATCH._replace(process='app2'),
        WATCH._replace(process=None),
        WATCH._replace(pidfile='/run/app2.pid'),
        WATCH._replace(pidfile=None),
        WATCH._replace(cmdline='x'),
        WATCH._replace(uid=0),
        WATCH._replace(all_namespaces=True),
        WATCH._replace(select='all'),
        WATCH._replace(signal=Signal(2, 'SIGINT')),
    ],
)
def test_another_watch_has_another_key(other):
    """Each of paths, target conditions and signal makes a ledger of its own."""
    assert ledger_location.key(other, '/') != ledger_location.key(WATCH, '/')


@pytest.mark.parametrize(
    ('same', 'cwd'),
    [
        (WATCH._replace(interval=9.0, verify=('x',), dry_run=True), '/'),
        (WATCH._replace(paths=('app', '../etc/./b'), pidfile='../run/app.pid'), '/etc'),
        (WATCH._replace(state_file='/s'), '/tmp'),
    ],
)
def test_how_a_watch_is_written_is_no_part_of_its_key(same, cwd):
    """Relative paths count from cwd; intervals and commands do not count."""
    assert ledger_location.key(same, cwd) == ledger_location.key(WATCH, '/')


def test_a_key_is_a_file_name():
    """16 hex digits, also for a path that is not UTF-8, and the same in every run."""
    key = ledger_location.key(Settings(paths=(os.fsdecode(b'/etc/\xff'),)), '/')

    assert key == 'c8fb077350e60883'


def test_lock_makes_its_directories(tmp_path):
    """Missing directories are 0700 and the lock file 0600, whatever the umask."""
    path = str(tmp_path / 'a' / 'b' / 'app.json')
    mask = os.umask(0)
    try:
        os.close(ledger_file.lock(path))
    finally:
        os.umask(mask)

    modes = {
        name: stat.S_IMODE(os.stat(tmp_path / name).st_mode)
        for name in ('a', 'a/b', 'a/b/app.json.lock')
    }
    assert modes == {'a': 0o700, 'a/b': 0o700, 'a/b/app.json.lock': 0o600}


def test_a_directory_made_at_the_same_time_is_as_good(path, monkeypatch):
    """Two first runs at once may both find no directory."""
    monkeypatch.setattr(os.path, 'isdir', lambda name: name == '/')

    os.close(ledger_file.lock(path))

    assert names(path) == ['app.json.lock']


def test_a_second_run_is_turned_away(path):
    """While one process holds the lock another gets LedgerBusy, afterwards the lock."""
    held = ledger_file.lock(path)
    with pytest.raises(LedgerBusy, match='another run holds the ledger') as busy:
        ledger_file.lock(path)
    os.close(held)
    os.close(ledger_file.lock(path))

    assert busy.value.status == 75


def test_a_lock_ends_with_its_process(path):
    """A run that is killed leaves no lock behind, only its file."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        ledger_file.lock(path)
        os.write(writer, b'.')
        signal.pause()
    os.read(reader, 1)
    with pytest.raises(LedgerBusy):
        ledger_file.lock(path)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)

    os.close(ledger_file.lock(path))

    assert names(path) == ['app.json.lock']


def test_the_lock_is_not_inherited(path):
    """A command that pollreload starts must not hold the ledger after it."""
    held = ledger_file.lock(path)

    assert not os.get_inheritable(held)
    os.close(held)


def test_a_lock_file_that_is_a_link_is_refused(path):
    """Nothing is created or locked through a link."""
    os.symlink('elsewhere', f'{path}.lock')

    with pytest.raises(LedgerError, match=r'cannot lock .*symbolic links'):
        ledger_file.lock(path)

    assert names(path) == ['app.json.lock']


def test_a_file_in_place_of_a_directory_is_said(path):
    """A parent that is a file cannot hold a ledger."""
    put(path, b'')

    with pytest.raises(LedgerError, match='not a directory'):
        ledger_file.lock(os.path.join(path, 'app.json'))


def test_a_lock_that_the_file_system_refuses_is_said(path, monkeypatch):
    """An flock that fails for another reason is no busy ledger, and leaks nothing."""
    before = os.listdir('/proc/self/fd')

    def refuse(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr('fcntl.flock', refuse)
    with pytest.raises(LedgerError, match='no locks available'):
        ledger_file.lock(path)

    assert os.listdir('/proc/self/fd') == before


def test_what_dead_runs_left_is_removed(path):
    """The holder of the lock removes temporary files of this ledger, nothing else."""
    for name in ('1.new', '22.new', 'x.new', '3.old', 'b.4.new', '²2.new'):
        put(f'{path}.{name}', b'')

    os.close(ledger_file.lock(path))

    assert names(path) == [
        'app.json.3.old', 'app.json.b.4.new', 'app.json.lock', 'app.json.x.new',
        'app.json.²2.new',
    ]


def test_no_ledger_is_no_memory(path):
    """Both readings return None if there is no file, nor a directory for it."""
    assert ledger_file.load(path) is None
    assert ledger_file.peek(path) is None
    assert ledger_file.load(os.path.join(path, 'deep')) is None


@settings(deadline=None)  # every example waits for the disk
@given(memory=st.dictionaries(
    (st.text() | NAMES).filter(lambda name: name != 'version'), VALUES | NAMES,
))
def test_what_was_saved_is_loaded(memory):
    """load and peek give back what save was given, lone surrogates included."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'app.json')
        ledger_file.save(path, {'an': 'older one'})

        ledger_file.save(path, memory)

        assert ledger_file.peek(path) == memory
        assert ledger_file.load(path) == memory
        assert names(path) == ['app.json']


def test_a_ledger_is_private_and_says_its_version(path):
    """A ledger is JSON with a version, readable by its owner only."""
    mask = os.umask(0)
    try:
        ledger_file.save(path, {'version': 'ours', 'seen': 'a'})
    finally:
        os.umask(mask)

    assert json.loads(content(path)) == {'version': ledger_file.FORMAT, 'seen': 'a'}
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


CORRUPT = [
    (b'', 'cut short'),
    (b'{"version": 1, "seen": "a', 'cut short'),
    (b'\xff\xfe\xfd', 'not JSON'),
    (b'[' * 100_000, 'not JSON'),
    (b'[1]', 'no JSON object'),
    (b'{}', 'no version'),
    (b'{"version": "1"}', 'no version'),
    (b'{"version": true}', 'no version'),
    (b'{"version": 0}', 'no version'),
    (b'{"version": 2}', r'newer pollreload \(version 2, not 1\)'),
]


@pytest.mark.parametrize(('text', 'why'), CORRUPT)
def test_a_ledger_that_cannot_be_trusted_is_kept_aside(path, text, why):
    """A corrupt or newer one is renamed and named; the next run starts afresh."""
    put(path, text)

    with pytest.raises(LedgerError, match=why) as error:
        ledger_file.load(path)

    [kept] = names(path)
    assert kept.startswith('app.json.kept-2')
    assert str(error.value).endswith(f'it is kept as {path}{kept[8:]}')
    assert content(path + kept[8:]) == text
    assert error.value.status == 4
    assert ledger_file.load(path) is None


@pytest.mark.parametrize(('text', 'why'), CORRUPT)
def test_peek_changes_nothing(path, text, why):
    """A dry run says the same of a ledger and leaves it in place."""
    put(path, text)

    with pytest.raises(LedgerError, match=why):
        ledger_file.peek(path)

    assert names(path) == ['app.json']
    assert content(path) == text


def test_nothing_kept_aside_is_overwritten(path, monkeypatch):
    """Several kept in one second have names of their own."""
    monkeypatch.setattr('time.gmtime', lambda: (2024, 2, 29, 1, 2, 3, 3, 60, 0))
    for text in (b'a', b'b', b'c'):
        put(path, text)
        with pytest.raises(LedgerError):
            ledger_file.load(path)

    kept = {name: content(os.path.join(os.path.dirname(path), name))
            for name in names(path)}
    assert kept == {
        'app.json.kept-20240229T010203Z': b'a',
        'app.json.kept-20240229T010203Z-1': b'b',
        'app.json.kept-20240229T010203Z-2': b'c',
    }


def test_one_that_cannot_be_kept_aside_is_said(open_tmp):
    """Where even the renaming fails the ledger stays, and the line says why."""
    path = os.path.join(open_tmp, 'app.json')
    put(path, b'{')
    os.chmod(path, 0o644)
    os.chmod(open_tmp, 0o555)

    said = as_nobody(lambda: fault(lambda: ledger_file.load(path)))

    assert said.startswith(f'cannot keep aside the ledger {path}: permission denied')
    assert content(path) == b'{'


def link(path: str) -> None:
    put(f'{path}.real', b'{"version": 1}')
    os.symlink(f'{path}.real', path)


def dangling(path: str) -> None:
    os.symlink(f'{path}.real', path)


@pytest.mark.parametrize(
    ('make', 'kind'),
    [
        (link, 'a symbolic link'),
        (dangling, 'a symbolic link'),
        (os.mkdir, 'a directory'),
        (os.mkfifo, 'a FIFO'),
    ],
)
def test_what_is_no_regular_file_is_left_alone(path, make, kind):
    """A link, a directory or a FIFO is neither read, replaced nor moved."""
    make(path)
    before = names(path), os.lstat(path)

    said = [
        fault(act) for act in (
            lambda: ledger_file.load(path),
            lambda: ledger_file.peek(path),
            lambda: ledger_file.save(path, {}),
        )
    ]

    expected = f'the ledger {path} is {kind}; remove it, or {ledger_file.ELSEWHERE}'
    assert [*said, ledger_file.ledger_trouble(path)] == [expected] * 4
    assert (names(path), os.lstat(path)) == before


def test_a_ledger_that_may_not_be_read_is_left_alone(open_tmp):
    """No permission says nothing about the contents: nothing is moved."""
    path = os.path.join(open_tmp, 'app.json')
    os.chmod(open_tmp, 0o777)
    ledger_file.save(path, {'seen': 'a'})
    os.chmod(path, 0)

    said = as_nobody(lambda: fault(lambda: ledger_file.load(path)))
    os.chmod(path, 0o600)

    assert said.startswith(f'cannot read the ledger {path}: permission denied')
    assert ledger_file.load(path) == {'seen': 'a'}


def test_a_short_write_is_continued(path, monkeypatch):
    """write(2) may take less than it was given; the rest follows."""
    real = os.write
    monkeypatch.setattr(os, 'write', lambda fd, text: real(fd, text[:3]))

    ledger_file.save(path, {'seen': 'a' * 20})

    assert ledger_file.load(path) == {'seen': 'a' * 20}


def test_a_full_disk_leaves_the_old_ledger(path, monkeypatch):
    """ENOSPC half-way is said; the old ledger stays and no part of the new one."""
    ledger_file.save(path, {'seen': 'old'})
    real = os.write

    def fill(fd: int, text: bytes) -> int:
        if len(text) < 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, text[:10])

    monkeypatch.setattr(os, 'write', fill)
    with pytest.raises(LedgerError, match=r'cannot write .*: no space left on device'):
        ledger_file.save(path, {'seen': 'new' * 20})

    assert ledger_file.load(path) == {'seen': 'old'}
    assert names(path) == ['app.json']


FULL = '''\
import os, sys
from pollreload.system import ledger_file as ledger
from pollreload.errors import LedgerError
path = sys.argv[1] + '/app.json'
ledger.save(path, {'seen': 'old'})
try:
    ledger.save(path, {'seen': 'new' * 9000})
except LedgerError as error:
    print(error)
print(ledger.load(path), os.listdir(sys.argv[1]))
'''


def test_a_really_full_file_system(tmp_path):
    """The same on a tmpfs of two pages, if the kernel writes short itself."""
    said = run_on_tmpfs('size=8k', str(tmp_path), FULL)

    assert said.splitlines() == [
        f'cannot write the ledger {tmp_path}/app.json: no space left on device; '
        f'{ledger_file.ELSEWHERE}',
        "{'seen': 'old'} ['app.json']",
    ]


READ_ONLY = '''\
import sys
from pollreload.system import ledger_file as ledger
from pollreload.errors import LedgerError
path = sys.argv[1] + '/app.json'
for act in (ledger.lock, lambda path: ledger.save(path, {})):
    try:
        act(path)
    except LedgerError as error:
        print(error)
print(ledger.ledger_trouble(path), ledger.load(path))
'''


def test_a_read_only_file_system(tmp_path):
    """A read-only mount is named as what it is, by doctor too."""
    said = run_on_tmpfs('ro', str(tmp_path), READ_ONLY)

    assert said.splitlines() == [
        f'cannot lock the ledger {tmp_path}/app.json: read-only file system; '
        f'{ledger_file.ELSEWHERE}',
        f'cannot write the ledger {tmp_path}/app.json: read-only file system; '
        f'{ledger_file.ELSEWHERE}',
        f'{tmp_path} is on a read-only file system; {ledger_file.ELSEWHERE} None',
    ]


@pytest.mark.parametrize(
    ('step', 'expected'),
    [('write', 'old'), ('fsync', 'old'), ('rename', 'old'), ('open', 'old')],
)
def test_a_run_killed_before_the_rename_leaves_the_old_ledger(path, step, expected):
    """Whatever a killed run left, the old ledger is whole and the next run saves."""
    ledger_file.save(path, {'seen': 'old'})
    pid = os.fork()
    if pid == 0:
        def die(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, step, die)
        ledger_file.save(path, {'seen': 'new'})
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL

    left = ledger_file.load(path)
    held = ledger_file.lock(path)
    ledger_file.save(path, {'seen': 'newer'})
    os.close(held)

    assert left == {'seen': expected}
    assert ledger_file.load(path) == {'seen': 'newer'}
    assert names(path) == ['app.json', 'app.json.lock']


def test_the_order_of_a_save(path, monkeypatch):
    """Bytes are on the disk before the name is theirs, and the name afterwards."""
    steps: list[str] = []

    def noted(step: str) -> Callable[..., object]:
        real = getattr(os, step)

        def note(*given: object) -> object:
            steps.append(step)
            return real(*given)

        return note

    for step in ('write', 'fsync', 'rename'):
        monkeypatch.setattr(os, step, noted(step))

    ledger_file.save(path, {})

    assert steps == ['write', 'fsync', 'rename', 'fsync']


def sync_fails_with(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(number, os.strerror(number))
        real(fd)

    monkeypatch.setattr(os, 'fsync', fsync)


def test_a_directory_that_cannot_be_synced_is_as_good(path, monkeypatch):
    """EINVAL is a file system that has no fsync for directories."""
    sync_fails_with(errno.EINVAL, monkeypatch)

    ledger_file.save(path, {'seen': 'a'})

    assert ledger_file.load(path) == {'seen': 'a'}


def test_a_directory_that_is_not_on_the_disk_is_said(path, monkeypatch):
    """Any other failure means that the new ledger may not outlive a crash."""
    sync_fails_with(errno.EIO, monkeypatch)

    with pytest.raises(LedgerError, match='input/output error'):
        ledger_file.save(path, {'seen': 'a'})


def test_what_json_cannot_hold_is_our_own_fault(path):
    """A memory that is no JSON is a bug, not an unusable ledger; nothing is left."""
    with pytest.raises(TypeError):
        ledger_file.save(path, {'seen': b'a'})

    assert names(path) == []


def test_writable_creates_nothing(tmp_path):
    """Directories that would have to be made are no obstacle and are not made."""
    assert ledger_file.ledger_trouble(str(tmp_path / 'a' / 'b' / 'app.json')) == ''
    assert os.listdir(tmp_path) == []


def test_a_ledger_in_use_is_writable(path):
    """The files that a run leaves are fit for the next."""
    os.close(ledger_file.lock(path))
    ledger_file.save(path, {})

    assert ledger_file.ledger_trouble(path) == ''


def test_writable_sees_a_file_in_the_way(path):
    """A file in the place of a directory is named."""
    put(path, b'')

    said = ledger_file.ledger_trouble(os.path.join(path, 'a', 'app.json'))

    assert said == f'{path} is not a directory; {ledger_file.ELSEWHERE}'


def test_writable_asks_for_the_effective_uid(open_tmp):
    """The directory's permissions and the files' count for the effective uid."""
    path = os.path.join(open_tmp, 'app.json')
    os.chmod(open_tmp, 0o555)
    below = os.path.join(open_tmp, 'a', 'b')
    before = as_nobody(lambda: ledger_file.ledger_trouble(below))
    os.chmod(open_tmp, 0o777)
    os.close(ledger_file.lock(path))
    os.chmod(f'{path}.lock', 0o400)
    locked = as_nobody(lambda: ledger_file.ledger_trouble(path))
    ledger_file.save(path, {})
    os.chmod(path, 0)
    saved = as_nobody(lambda: ledger_file.ledger_trouble(path))

    assert before == f'no permission to write in {open_tmp}; {ledger_file.ELSEWHERE}'
    assert locked == f'no permission to use {path}.lock; {ledger_file.ELSEWHERE}'
    assert saved == f'no permission to use {path}; {ledger_file.ELSEWHERE}'


def test_writable_says_what_the_kernel_says(path):
    """A name that the kernel refuses is an answer, not an accident."""
    long = path + 'x' * 255

    said = ledger_file.ledger_trouble(long)

    assert said == (
        f'cannot write the ledger {long}: file name too long; {ledger_file.ELSEWHERE}'
    )


def test_a_failure_without_a_text_is_still_said():
    """An OSError made without an errno has no strerror."""
    assert 'cannot read the ledger x: odd; ' in str(
        ledger_file.failure('read', 'x', OSError('odd')),
    )


def test_a_memory_is_any_mapping(path):
    """save takes what a caller has: a mapping, not only a dict."""
    class One(Mapping[str, object]):
        def __getitem__(self, key: str) -> object:
            return {'seen': 'a'}[key]

        def __iter__(self):
            return iter(('seen',))

        def __len__(self) -> int:
            return 1

    ledger_file.save(path, One())

    assert ledger_file.load(path) == {'seen': 'a'}


def test_a_ledger_is_busy_while_a_run_holds_it(tmp_path):
    """To ask creates nothing, and leaves the lock as it was."""
    path = str(tmp_path / 'memory')
    never = ledger_file.busy(path)
    made = os.listdir(tmp_path)
    held = ledger_file.lock(path)
    busy = ledger_file.busy(path)
    os.close(held)

    assert (never, busy, ledger_file.busy(path)) == (False, True, False)
    assert made == []


def test_a_ledger_that_memory_does_not_suffice_for_is_an_error(tmp_path, monkeypatch):
    """Nothing is there of it, and nothing ends."""
    def dumps(_):
        raise MemoryError

    monkeypatch.setattr(json, 'dumps', dumps)
    with pytest.raises(LedgerError, match='no memory'):
        ledger_file.save(str(tmp_path / 'ledger'), {})

    assert os.listdir(tmp_path) == []


def test_ledger_that_would_be_too_large_is_not_written(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is written can be read again; a huge file is refused, and is not corrupt."""
    path = tmp_path / 'app.json'
    monkeypatch.setattr(ledger_file, 'LARGEST_LEDGER', 1 << 20)
    ledger_file.save(str(path), {'a': 1})
    with pytest.raises(LedgerError, match='larger than 1 MiB; watch fewer files'):
        ledger_file.save(str(path), {'a': 'x' * (1 << 20)})
    before = ledger_file.load(str(path))
    os.truncate(path, 1 << 40)

    with pytest.raises(LedgerError, match='is larger than 1 MiB; remove it'):
        ledger_file.load(str(path))
    assert before == {'a': 1}
    assert os.listdir(tmp_path) == ['app.json']
