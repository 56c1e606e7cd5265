from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import Any, cast

import pytest

from pollreload.cli import main as cli
from pollreload.commands.doctor import files as files_module
from pollreload.commands.doctor import main as doctor
from pollreload.commands.doctor import paths as paths_module
from pollreload.commands.doctor import programs
from pollreload.commands.doctor import rows as rows_module
from pollreload.commands.doctor import target as target_module
from pollreload.commands.doctor.rows import Row
from pollreload.core import actions
from pollreload.core.process import GO, HANDLED, UNHANDLED, Choice, Masks, Process
from pollreload.errors import LedgerError
from pollreload.runtime import guard, interrupt, ledger
from pollreload.runtime import targets as targets_module
from pollreload.settings import Settings, Signal
from pollreload.system import (
    children,
    ledger_file,
    mounts,
    reader,
    signal_masks,
    signals,
    visibility,
)
from tests.support.targets import reaped, start

NOBODY = 65534
SOMEBODY = 65533


@pytest.fixture
def comm(request):
    """A name that no other process has."""
    return f'd{os.getpid()}-{abs(hash(request.node.name)) % 10**6}'


@pytest.fixture
def at():
    """A directory that everybody can reach (pytest's own are root's alone)."""
    directory = tempfile.mkdtemp()
    os.chmod(directory, 0o755)
    yield os.path.realpath(directory)
    shutil.rmtree(directory)


@pytest.fixture
def conf(at):
    path = f'{at}/app.conf'
    put(path, 'a = 1\n')
    return path


@pytest.fixture
def as_nobody():
    """Be nobody for the rest of the test: root may do everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


@pytest.fixture
def mounted(monkeypatch, at):
    """A function that makes mountinfo say: point='type root'."""
    def mount(**others: str) -> None:
        lines = [
            f'1 0 8:1 {said.split()[1]} {point} rw - {said.split()[0]} none rw'
            for point, said in {'/': 'ext4 /', **others}.items()
        ]
        put(f'{at}/mountinfo', '\n'.join(lines) + '\n')
        monkeypatch.setattr(mounts, 'MOUNTINFO', f'{at}/mountinfo')
        mounts.watched.cache_clear()

    return mount


def put(path: str, text: str) -> None:
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def rows(**given: object) -> list[Row]:
    """Return what a doctor finds that is no parent of the targets of a test."""
    pid, fd = children.fork(lambda: [tuple(row) for row in here(**given)])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return [Row(*row) for row in cast(Any, children.read_value(fd))]


def here(**given: Any) -> list[Row]:
    with doctor.signals_blocked():
        return doctor.all_rows(Settings(**given))


def of(found: list[Row], check: str) -> list[Row]:
    return [row for row in found if row.check == check]


def one(found: list[Row], check: str) -> Row:
    row, = of(found, check)
    return row


def tree(top: str) -> list[tuple[str, float, float]]:
    """Return what is below a directory, and when each was changed last."""
    return sorted(
        (path, os.lstat(path).st_mtime, os.lstat(path).st_ctime)
        for directory, names, files in os.walk(top)
        for path in (directory, *(f'{directory}/{name}' for name in names + files))
    )


def test_all_is_well_where_it_would_work(comm, conf):
    """A file, a target with a handler and the right to signal it: no complaint."""
    with start('handler', name=comm) as target:
        found = rows(paths=(conf,), process=comm)

    assert rows_module.exit_status(found) == 0
    assert {row.verdict for row in found} == {'ok'}
    assert one(found, 'path').says.startswith('1 file, ')
    assert 'chosen: the only match' in one(found, 'process').says
    assert one(found, 'process').about == f'{comm} (pid {target.pid})'
    assert one(found, 'handler').says == 'has a handler for SIGHUP'
    assert one(found, 'permission').verdict == 'ok'
    assert one(found, 'proc').says.endswith('other processes are visible')
    assert 'pidfd' in one(found, 'delivery').says


def test_nothing_is_sent_or_written(comm, at, conf):
    """Of a doctor the target gets no signal, and no file comes or changes."""
    words = [
        'doctor', conf, '--process', comm, '--state-file', f'{at}/new/ledger',
        '--status-file', f'{at}/status',
        '--validate', f'touch {at}/validated', '--verify', f'touch {at}/verified',
    ]
    before = tree(at)

    with start('handler', name=comm) as target:
        for more in ([], ['--output', 'json']):
            done = subprocess.run(
                [sys.executable, '-m', 'pollreload', *words, *more],
                stdout=subprocess.PIPE, check=False,
            )
            assert done.returncode == 0, done.stdout
        target.signal(signal.SIGUSR1)

        assert target.read() == 'USR1'
    assert tree(at) == before


def test_text_is_aligned_and_json_is_one_object(comm, conf, capsys):
    """Text has one line a row, with one column for what was seen."""
    with start('default', name=comm):
        words = ['doctor', conf, f'{conf}x', '--process', comm]
        assert cli.main(words) == 1
        lines = capsys.readouterr().out.splitlines()
        assert cli.main([*words, '--output', 'json']) == 1
        said = json.loads(capsys.readouterr().out)

    assert lines[0].startswith('ok    path /')
    assert f'  no such file -- did you mean {conf}?' in lines[1]
    assert lines[1].startswith('fail  path /')
    column = lines[0].index('1 file')
    assert all(line[column - 2:column] == '  ' != line[column] for line in lines)
    assert said['status'] == 1
    assert len(said['rows']) == len(lines)
    assert said['rows'][1] == {
        'check': 'path', 'verdict': 'fail', 'about': f'{conf}x',
        'says': 'no such file', 'remedy': f'did you mean {conf}?',
    }


def test_a_long_name_sticks_out_alone():
    """One long path does not push all other rows to the right, nor break a line."""
    found = [Row('path', 'ok', 'x' * 90, '1 file'), Row('proc', 'ok', '', 'a\nb')]

    lines = rows_module.format_rows(found, rows_module.column_width(found)).splitlines()

    assert lines == ['ok    path ' + 'x' * 90 + '  1 file', r'ok    proc  a\nb']
    assert rows_module.format_rows([], rows_module.column_width([])) == ''


def sparse(path: str, size: int) -> None:
    """Make a file of that many bytes without a block."""
    with open(path, 'wb') as file:
        file.truncate(size)


@pytest.mark.parametrize(('name', 'make', 'says', 'remedy'), [
    ('none', lambda path: None, 'no such file', 'spelling'),
    ('*.none', lambda path: None, 'matches nothing', 'pattern'),
    ('fifo', os.mkfifo, 'is a FIFO', 'name a file'),
    ('loop', lambda path: os.symlink(path, path), 'too many levels', 'fix the link'),
    ('dangling', lambda path: os.symlink('nowhere', path), 'no such file', 'spelling'),
    ('app.conf/x', lambda path: None, 'not a directory', 'spelling'),
    ('huge', lambda path: sparse(path, 1 << 33), 'larger than', '--max-file-size'),
])
def test_what_cannot_be_watched_fails_with_a_remedy(at, conf, name, make, says, remedy):
    """Whatever a path is, the answer is a row and no traceback."""
    make(f'{at}/{name}')

    row = one(rows(paths=(f'{at}/{name}',), process='x'), 'path')

    assert row.verdict == 'fail'
    assert says in row.says
    assert remedy in row.remedy


def test_nearest_path_is_the_remedy(at, conf):
    """What exists and is spelled almost like it; several paths in one are said."""
    near, both = (
        one(rows(paths=(path,), process='x'), 'path')
        for path in (f'{at}/appp.conf', f'{conf},{conf}')
    )

    assert (near.says, near.remedy) == ('no such file', f'did you mean {conf}?')
    assert both.remedy.startswith('several paths are separate arguments')


def test_suggestion_that_hangs_is_left_out(at, monkeypatch):
    """The row keeps the general remedy."""
    def carefully(function, *paths):
        raise TimeoutError(errno.ETIMEDOUT, 'does not answer')

    monkeypatch.setattr(guard, 'carefully', carefully)

    assert paths_module.suggested_path(f'{at}/none') == ''


def test_a_refused_directory_names_us(at, as_nobody):
    """Without permission the row says who we are."""
    os.seteuid(0)
    os.mkdir(f'{at}/d', 0o700)
    os.seteuid(NOBODY)

    row = one(rows(paths=(f'{at}/d',), process='x'), 'path')

    assert row.verdict == 'fail'
    assert row.says == 'permission denied as uid 65534'
    assert 'fsGroup' in row.remedy


def test_a_directory_says_how_many_files_and_what_is_wrong(at, conf):
    """An empty one and a bad member are worth a word; they do not fail."""
    os.mkdir(f'{at}/empty')
    os.mkdir(f'{at}/bad')
    put(f'{at}/bad/good', '')
    os.mkfifo(f'{at}/bad/fifo')
    put(f'{at}/bad/other', '')

    empty, bad = of(rows(paths=(f'{at}/empty', f'{at}/bad'), process='x'), 'path')

    assert (empty.verdict, bad.verdict) == ('warn', 'warn')
    assert empty.says.startswith('0 files')
    assert bad.says.startswith('2 files')
    assert 'fifo: is a FIFO' in bad.says


def test_a_path_that_may_be_missing_is_a_warning(at):
    """With --on-missing notify it need not exist, and may be misspelt."""
    (row,) = of(rows(paths=(f'{at}/none',), process='x', on_missing='notify'), 'path')

    assert row.verdict == 'warn'
    assert row.says == 'is missing, which counts (--on-missing notify)'


def test_a_kubelet_layout_is_recognised(at):
    """Below a ..data link all is as it should be, for a file and a directory."""
    os.mkdir(f'{at}/..2026_1')
    put(f'{at}/..2026_1/app.conf', '')
    os.symlink('..2026_1', f'{at}/..data')
    os.symlink('..data/app.conf', f'{at}/app.conf')

    found = of(rows(paths=(f'{at}/app.conf', at), process='x'), 'path')

    assert [row.verdict for row in found] == ['ok', 'ok']
    assert all(row.says.endswith(', laid out by a kubelet') for row in found)


@pytest.mark.parametrize('root', [
    '/..2026_01_31_12_00_00.1/app.conf',
    '/pods/1/volumes/kubernetes.io~configmap/c/..2026_01_31_12_00_00.1/app.conf',
    '/pods/1/volume-subpaths/c/app/0',
])
def test_a_subpath_mount_fails(conf, mounted, root):
    """A subPath never gets an update, whether of a file or of its directory."""
    for point in (conf, os.path.dirname(conf)):
        mounted(**{point: f'ext4 {root}'})

        row = one(rows(paths=(conf,), process='x'), 'mount')

        assert row.verdict == 'fail'
        assert 'whole volume' in row.remedy


def test_a_mount_of_one_file_is_a_warning(at, conf, mounted):
    """It shows what is written in place, and nothing that replaces it."""
    mounted(**{conf: 'ext4 /srv/app.conf', at: 'ext4 /srv'})
    local = one(rows(paths=(conf,), process='x'), 'mount')
    directory = of(rows(paths=(at,), process='x'), 'mount')
    mounted(**{conf: 'nfs /srv/app.conf'})
    remote = of(rows(paths=(conf,), process='x'), 'mount')

    assert local.verdict == 'warn'
    assert 'whole volume' in local.remedy
    assert directory == []
    assert [row.says[:5] for row in remote] == ['a mou', 'nfs: ']


@pytest.mark.parametrize(('kind', 'says'), [
    ('nfs', 'up to 60 s late'), ('nfs4', 'up to 60 s late'), ('cifs', 'late'),
    ('smb3', 'late'), ('fuse', 'torn'), ('fuse.sshfs', 'torn'), ('fuseblk', 'torn'),
    ('9p', 'the host'), ('virtiofs', 'the host'), ('ceph', 'not known to be local'),
])
def test_what_a_file_system_means_is_said(at, conf, mounted, kind, says):
    """What is not local is a warning, with the type and what to expect of it."""
    mounted(**{at: f'{kind} /'})

    found = rows(paths=(conf,), process='x')

    assert one(found, 'path').says == f'1 file, {kind}'
    assert one(found, 'mount').verdict == 'warn'
    assert one(found, 'mount').says.startswith(f'{kind}: ')
    assert says in one(found, 'mount').says


def test_the_mount_that_a_path_is_on_is_the_last_of_the_longest(at, conf, mounted):
    """A mount over another hides it, and one beside it is of no concern."""
    mounted(**{at: 'nfs /', f'{at}/app': 'fuse /', conf: 'tmpfs /x'})

    assert mounts.point_of('/', {'/': ('/', 'ext4')}) == '/'
    assert one(rows(paths=(conf,), process='x'), 'path').says == '1 file, nfs'


def test_what_another_process_sees_is_of_an_unknown_kind(conf):
    """/proc/PID/root leads into mounts that our mountinfo does not list."""
    path = f'/proc/{os.getpid()}/root{conf}'

    row = one(rows(paths=(path,), process='x'), 'mount')

    assert row.verdict == 'warn'
    assert row.says.startswith('mounts of another process: not known to be local')


def test_without_mountinfo_the_path_is_read_all_the_same(at, conf, monkeypatch):
    """What is not known is said; the rest is checked."""
    monkeypatch.setattr(mounts, 'MOUNTINFO', f'{at}/none')

    found = rows(paths=(conf,), process='x')

    assert one(found, 'mounts').verdict == 'warn'
    assert one(found, 'path').says == '1 file'
    assert of(found, 'mount') == []


@pytest.fixture
def hanging(monkeypatch):
    """Looks that never end, in a child that has to be ended."""
    monkeypatch.setattr(mounts, 'can_hang', lambda paths: True)
    monkeypatch.setattr(reader, 'poll', lambda *_, **__: signal.pause())
    monkeypatch.setattr(paths_module, 'READ_TIMEOUT', 0.05)
    yield
    # Were one of them alive, this would wait for ever.
    with contextlib.suppress(ChildProcessError):
        while os.wait():
            pass


def test_a_path_that_hangs_does_not_hang_the_doctor(conf, hanging):
    """The look is given up after a while and its child ended."""
    found = here(paths=(conf, conf), process='x')

    for row in of(found, 'path'):
        assert row.verdict == 'fail'
        assert row.says == 'does not answer within 0.05 s'


def test_term_ends_a_doctor_that_waits(conf, hanging, monkeypatch):
    """It exits as a shell names an end by TERM, and leaves no child."""
    monkeypatch.setattr(paths_module, 'READ_TIMEOUT', 60.0)
    with doctor.signals_blocked():
        signal.raise_signal(signal.SIGTERM)

        with pytest.raises(interrupt.Ended) as ended:
            doctor.all_rows(Settings(paths=(conf,), process='x'))

    assert ended.value.number == signal.SIGTERM


def test_a_process_that_is_not_there_fails_with_the_nearest_names(comm, conf):
    """The remedy is what the person meant; the checks on it are skipped."""
    with start('handler', name=f'{comm}x'):
        found = rows(paths=(conf,), process=comm)

    row = one(found, 'process')
    assert row.verdict == 'fail'
    assert row.says == f'no process is called {comm!r}'
    assert f'{comm}x'[:15] in row.remedy
    assert one(found, 'handler').verdict == 'skip'
    assert one(found, 'permission').verdict == 'skip'


def test_workers_are_listed_and_the_master_is_chosen(comm, conf):
    """The chosen one comes first and says why; of many the rest is a number."""
    with start('forking', name=comm, workers=10) as target:
        found = of(rows(paths=(conf,), process=comm), 'process')

    assert found[0].about == f'{comm} (pid {target.pid})'
    assert 'uid 0, up 0 s; chosen: its parent is no match' in found[0].says
    assert f'below pid {target.pid}, which matches too' in found[1].says
    assert found[-1].says == '3 more match'
    assert len(found) == target_module.MOST_MATCHES + 1


def test_several_roots_fail_and_are_listed(comm, conf):
    """An ambiguous name says which there are and how to narrow it."""
    with start('handler', name=comm), start('handler', name=comm):
        first, *others = of(rows(paths=(conf,), process=comm), 'process')
        newest = of(rows(paths=(conf,), process=comm, select='newest'), 'process')

    assert first.verdict == 'fail'
    assert first.says.startswith('2 processes match')
    assert '--select roots' in first.remedy
    assert all(row.says.endswith('; its parent is no match') for row in others)
    assert len(others) == 2
    assert newest[0].says.endswith('chosen: the newest')


def test_a_pidfile_is_the_reason_for_a_choice(comm, at, conf):
    """A pidfile names the target; one that says nothing of use fails."""
    path = f'{at}/app.pid'
    missing = one(rows(paths=(conf,), pidfile=path), 'process')
    with start('handler', name=comm) as target:
        put(path, f'{target.pid}\n')
        chosen = one(rows(paths=(conf,), pidfile=path), 'process')

    assert missing.verdict == 'fail'
    assert path in missing.says
    assert chosen.verdict == 'ok'


def test_a_pidfile_among_several_matches_says_so(conf):
    """The words for the choice name the file."""
    process = Process(reaped(), 1, 1, 'app')

    row, = target_module.list_matches(
        Settings(pidfile='/run/app.pid'), Choice((process,), matches=(process,)),
    )

    assert row.says.endswith('chosen: named by /run/app.pid')


def test_a_process_of_another_namespace_is_named(comm, conf):
    """What is left out for its namespace is shown with the option that takes it."""
    with start('handler', name=comm, namespace=True) as target:
        missing, inner = of(rows(paths=(conf,), process=comm), 'process')
        taken = of(rows(paths=(conf,), process=comm, all_namespaces=True), 'process')

    assert missing.verdict == 'fail'
    assert inner.verdict == 'warn'
    assert inner.about == f'{comm} (pid {target.pid})'
    assert '--all-namespaces' in inner.remedy
    assert 'in a nested pid namespace; chosen' in taken[0].says


def test_a_name_that_is_cut_is_explained(conf):
    """A name over 15 bytes is matched by its first 15 and then confirmed."""
    row = one(rows(paths=(conf,), process='a-name-of-20-letters'), 'name')

    assert row.verdict == 'ok'
    assert "matched as 'a-name-of-20-le'" in row.says


@pytest.mark.parametrize(('kind', 'mode', 'verdict', 'says'), [
    ('handler', 'enforce', 'ok', 'has a handler for SIGHUP'),
    ('blocked', 'enforce', 'ok', 'blocks SIGHUP'),
    ('default', 'enforce', 'fail', 'would die of it; it is held'),
    ('ignored', 'enforce', 'fail', 'ignores SIGHUP; it is held'),
    ('default', 'warn', 'warn', 'sent all the same (--handler-check warn)'),
    ('ignored', 'off', 'warn', 'sent all the same (--handler-check off)'),
])
def test_the_disposition_is_judged_as_handler_check_says(
        comm, conf, kind, mode, verdict, says,
):
    """The row says what the target would do, and what would become of the signal."""
    with start(kind, name=comm):
        row = one(rows(paths=(conf,), process=comm, handler_check=mode), 'handler')

    assert row.verdict == verdict
    assert says in row.says
    assert bool(row.remedy) == (verdict == 'fail')


def test_an_unknown_disposition_is_a_warning(comm, conf, monkeypatch):
    """Missing evidence is no evidence: the signal is sent."""
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: None)
    with start('default', name=comm):
        row = one(rows(paths=(conf,), process=comm), 'handler')

    assert row.verdict == 'warn'
    assert 'this kernel does not say' in row.says


def test_runtime_that_catches_every_signal_is_a_warning(comm, conf, monkeypatch):
    """A program in Go has the same mask whether or not it handles the signal."""
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: Masks(GO | 1, 0, 0, 0))
    with start('handler', name=comm):
        found = rows(paths=(conf,), process=comm)

    row = one(found, 'handler')
    assert row.verdict == 'warn'
    assert row.says.startswith('catches SIGHUP in its runtime (Go, JVM, bash')
    assert '--deliver' in row.remedy
    assert rows_module.exit_status(found) == 0


def test_every_disposition_has_its_sentence():
    """A disposition without one would end doctor with a traceback."""
    assert {*target_module.DOES} == {*HANDLED, *UNHANDLED, 'unknown'}


def test_signals_that_are_handled_instead_are_named(comm, conf):
    """Of those that programs reload on."""
    with start('default', name=comm):
        row = one(rows(paths=(conf,), process=comm), 'handler')

    assert row.says.endswith('it is held; it handles USR1, not HUP')


def test_child_that_handles_the_signal_is_the_remedy(monkeypatch):
    """As for a shell or tini as pid 1, whose child has another name."""
    child = Process(9, 1, 1, 'my app')
    parent = Process(1, 0, 1, 'tini')
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: Masks(0, 0, 0, 0))
    monkeypatch.setattr(targets_module, 'handling_descendant', lambda *_: child)

    row, = target_module.dispositions(Settings(), Choice((parent,)))

    assert row.verdict == 'fail'
    assert row.remedy == "its child my app (pid 9) handles SIGHUP: --process 'my app'"


def test_target_that_started_pollreload_fails_without_a_ledger():
    """Each restart would be a start without a memory; the remedy is an option."""
    choice = Choice((Process(1, 0, 1, 'supervisord', ancestor=True),))

    row, = target_module.above(Settings(), choice)

    assert (row.verdict, row.about) == ('fail', 'supervisord (pid 1)')
    assert '--state-file' in row.remedy
    assert [*target_module.above(Settings(state_file='/s'), choice)] == []


def test_a_signal_that_ends_is_not_checked(comm, conf):
    """TERM is meant to end its target, handler or not."""
    with start('default', name=comm):
        row = one(rows(
            paths=(conf,), process=comm, signal=Signal(15, 'SIGTERM'),
        ), 'handler')

    assert row.verdict == 'ok'
    assert row.says.startswith('not checked: SIGTERM is meant to end it')


@pytest.mark.parametrize(('bounded', 'remedy'), [
    (False, 'run as the same uid, or as root with CAP_KILL'),
    (True, 'run as the same uid, or as root with CAP_KILL, which is not in effect '
     'for uid 65534'),
])
def test_who_may_not_signal_whom_is_said(
        comm, conf, as_nobody, monkeypatch, bounded, remedy,
):
    """Both uids are named, and the remedy; Kubernetes gives capabilities to root."""
    monkeypatch.setattr(visibility, 'lacks', lambda number: bounded)
    os.seteuid(0)
    with start('handler', name=comm, uid=SOMEBODY):
        os.seteuid(NOBODY)
        row = one(rows(paths=(conf,), process=comm), 'permission')
        os.seteuid(0)

    assert row.verdict == 'fail'
    assert row.says == 'we (uid 65534) may not signal it (uid 65533)'
    assert row.remedy == remedy


def test_a_proc_that_is_not_ours_fails_and_skips_the_rest(conf, monkeypatch):
    """Nothing is said of processes on the strength of another namespace's /proc."""
    foreign = '/proc is foreign; mount a new one'
    monkeypatch.setattr(visibility, 'why_hidden', lambda: foreign)

    found = rows(paths=(conf,), process='x')

    assert one(found, 'proc') == Row(
        'proc', 'fail', '', '/proc is foreign', 'mount a new one',
    )
    assert one(found, 'process').verdict == 'skip'


@pytest.mark.parametrize(('name', 'remedy'), [
    ('hidden', 'hidepid=0'), ('alone', 'shareProcessNamespace: true'),
])
def test_few_processes_are_a_warning(conf, monkeypatch, name, remedy):
    """Where others are hidden or there are none, the row says how to see them."""
    monkeypatch.setattr(visibility, name, lambda *_: remedy)

    row = one(rows(paths=(conf,), process='x'), 'proc')

    assert row.verdict == 'warn'
    assert remedy in row.remedy


def test_a_refused_pidfd_is_a_warning(conf, monkeypatch):
    """kill(2) does, but it is worth knowing."""
    monkeypatch.setattr(signals, 'has_pidfd', lambda: False)

    row = one(rows(paths=(conf,), process='x'), 'delivery')

    assert row.verdict == 'warn'
    assert 'kill(2)' in row.says


def test_a_state_file_is_looked_at_and_left_as_it_is(at, conf):
    """Not there yet, there, corrupt, not to be had: each has its words."""
    path = f'{at}/ledger'
    new = one(rows(paths=(conf,), process='x', state_file=path), 'ledger')
    ledger_file.save(path, {})
    there = one(rows(paths=(conf,), process='x', state_file=path), 'ledger')
    put(path, '{')
    corrupt = one(rows(paths=(conf,), process='x', state_file=path), 'ledger')
    refused = one(rows(paths=(conf,), process='x', state_file=f'{conf}/x'), 'ledger')

    assert (new.verdict, new.says) == ('ok', 'not there yet; can be written')
    assert (there.verdict, there.says) == ('ok', 'can be read and written')
    assert (corrupt.verdict, refused.verdict) == ('fail', 'fail')
    assert 'corrupt' in corrupt.says
    assert 'notifies no process' in corrupt.remedy
    assert '--state-file' in refused.remedy
    assert sorted(os.listdir(at)) == ['app.conf', 'ledger']


def test_status_file_is_checked_and_not_written(at, conf):
    """A directory that is missing would be made, as for a ledger."""
    good, below, bad = (
        one(rows(paths=(conf,), process='x', status_file=f'{at}/{path}'), 'status-file')
        for path in ('s', 'n/s', 'app.conf/s')
    )
    none = [row.check for row in rows(paths=(conf,), process='x')]

    assert good == Row('status-file', 'ok', f'{at}/s', 'can be written')
    assert (below.verdict, below.says) == ('ok', 'can be written')
    assert bad == Row(
        'status-file', 'fail', f'{at}/app.conf/s', f'{conf} is not a directory',
        'name another with --status-file',
    )
    assert 'status-file' not in none
    assert os.listdir(at) == ['app.conf']


def test_a_status_file_that_does_not_answer_fails(conf, monkeypatch):
    """It lies on a mount that hangs; the doctor does not."""
    real = guard.carefully

    def carefully(function, *paths):
        if paths == ('/mnt/s',):
            raise TimeoutError(errno.ETIMEDOUT, 'Does not answer')
        return real(function, *paths)

    monkeypatch.setattr(guard, 'carefully', carefully)

    row = one(rows(paths=(conf,), process='x', status_file='/mnt/s'), 'status-file')

    assert (row.verdict, row.says) == ('fail', 'does not answer')
    assert 'see to the server' in row.remedy


def test_without_a_state_file_the_place_of_check_is_named(at, conf, monkeypatch):
    """A watch needs no ledger, so that a place that cannot be used only warns."""
    monkeypatch.setenv('XDG_STATE_HOME', at)
    good = one(rows(paths=(conf,), process='x'), 'ledger')
    monkeypatch.setenv('XDG_STATE_HOME', conf)
    bad = one(rows(paths=(conf,), process='x'), 'ledger')

    assert good.verdict == 'ok'
    assert f'{at}/pollreload/' in good.says
    assert bad.verdict == 'warn'
    assert '--state-file' in bad.remedy


def test_without_a_home_there_is_a_warning(conf, monkeypatch, as_nobody):
    """No place for a ledger is no reason not to watch."""
    monkeypatch.delenv('XDG_STATE_HOME', raising=False)
    monkeypatch.delenv('HOME', raising=False)

    row = one(rows(paths=(conf,), process='x'), 'ledger')

    assert row.verdict == 'warn'
    assert 'HOME' in row.says


def test_commands_are_looked_for_and_not_run(at, conf):
    """A program that is not there would hold every delivery."""
    found = rows(
        paths=(conf,), process='x', validate=('touch', f'{at}/ran'),
        verify=('no-such-program', '-t'),
    )

    assert one(found, 'validate') == Row('validate', 'ok', 'touch', 'found')
    assert one(found, 'verify').verdict == 'fail'
    assert one(found, 'verify').about == 'no-such-program'
    assert os.listdir(at) == ['app.conf']


@pytest.mark.parametrize(('seconds', 'says'), [
    (0.0, '0 s'), (119.9, '119 s'), (120.0, '2 min'), (7200.0, '2 h'),
    (172800.0, '2 d'),
])
def test_an_age_is_told_in_a_unit_of_its_size(seconds, says):
    """A person reads '3 min', not '187.2'."""
    assert target_module.format_age(seconds) == says


def test_a_uid_that_is_not_known_is_said_so():
    """Where status does not say there is no number to show."""
    assert target_module.user(Process(reaped(), 1, 1, 'app')) == 'uid unknown'


def test_a_ledger_that_a_run_holds_is_a_warning(comm, conf, tmp_path):
    """A check would end at once; a watch would go on without."""
    path = str(tmp_path / 'memory')
    held = ledger_file.lock(path)

    row = one(rows(paths=(conf,), process=comm, state_file=path), 'ledger')
    os.close(held)

    assert (row.verdict, row.says) == ('warn', 'another run holds it')
    assert '75' in row.remedy


def test_a_target_that_may_not_be_signalled_fails(monkeypatch):
    """Both uids are named, and what to do."""
    monkeypatch.setattr(signals, 'permitted', lambda pid: 'refused')
    target = Process(reaped(), 1, 1, 'app', uid=7)

    row, = target_module.permissions(Choice((target,)))

    assert row.verdict == 'fail'
    assert f'uid {os.geteuid()}' in row.says
    assert 'uid 7' in row.says
    assert 'CAP_KILL' in row.remedy


def test_a_place_for_the_ledger_that_cannot_be_named_is_a_warning(monkeypatch):
    """The working directory is gone, or there is no home: a check would say so."""
    def gone() -> str:
        raise FileNotFoundError(2, 'no such directory')

    monkeypatch.setattr(os, 'getcwd', gone)

    row = files_module.default_memory(Settings(paths=('a',), process='x'))

    assert row.verdict == 'warn'
    assert row.says.startswith('for check: ')


def test_a_program_that_does_not_answer_fails(conf, monkeypatch):
    """It lies on a mount that hangs; the doctor does not."""
    def carefully(function, *paths):
        raise TimeoutError(110, 'does not answer')

    monkeypatch.setattr(guard, 'carefully', carefully)

    row = one(rows(paths=(conf,), process='x', validate=('nginx', '-t')), 'validate')

    assert row.verdict == 'fail'
    assert row.says == 'nginx does not answer'


def test_a_ledger_that_does_not_answer_fails(conf, monkeypatch):
    """It lies on a mount that hangs; the doctor does not."""
    def kept(function, path):
        raise LedgerError(f'the ledger {path}: does not answer')

    monkeypatch.setattr(ledger, 'call_limited', kept)

    row = one(rows(paths=(conf,), process='x', state_file='/mnt/ledger'), 'ledger')

    assert row.verdict == 'fail'
    assert row.says == 'the ledger /mnt/ledger: does not answer'
    assert 'see to the server' in row.remedy


@pytest.mark.parametrize(('words', 'meant'), [
    *((f'echo s3cret {each} x', each) for each in programs.OPERATORS),
    ('echo s3cret; x', ';'),
    ("sh -c 'a; b;' ;", ''),
    ("echo 'a|b' a;b x&", ''),
])
def test_what_only_a_shell_understands_is_warned_of(words, meant):
    """It is an argument, and the command does something else than was meant."""
    command = tuple(shlex.split(words))
    found = [*programs.check_programs(Settings(
        exec=(command,), validate=command, verify=command,
    ))]

    assert [row.verdict for row in found] == ['warn' if meant else 'ok'] * 3
    for row in found if meant else ():
        assert row.says.startswith(f'found; {meant} is one of its arguments')
        assert f"--{row.check} \"sh -c '...'\"" in row.remedy
        assert 's3cret' not in row.says


def test_commands_of_one_program_are_told_apart_by_a_number():
    """As in the log, for their arguments may be secret; one alone has none."""
    settings = Settings(exec=(('sh', 'a'), ('true',), ('sh', 'b')), verify=('sh',))

    assert [row.about for row in programs.check_programs(settings)] == [
        'sh (1 of 2)', 'true', 'sh (2 of 2)', 'sh',
    ]
    assert [actions.loggable(settings, each) for each in range(3)] == [
        '--exec sh (1 of 2)', '--exec true', '--exec sh (2 of 2)',
    ]
