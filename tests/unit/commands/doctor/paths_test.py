"""The rows of doctor about paths and the mounts that they are on."""
from __future__ import annotations

import errno
import os

import pytest

from pollreload.commands.doctor import paths as paths_module
from pollreload.runtime import guard
from pollreload.system import (
    mounts,
)
from tests.support.doctor import (
    NOBODY,
    own_rows,
    put,
    row_of,
    rows,
    rows_of,
)


def sparse(path: str, size: int) -> None:
    """Create a file of that many bytes without a block."""
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
def test_path_that_cannot_be_watched_fails_with_a_remedy(
        at, conf, name, make, says, remedy,
):
    """Whatever the path is, the answer is a row and no traceback."""
    make(f'{at}/{name}')

    row = row_of(rows(paths=(f'{at}/{name}',), process='x'), 'path')

    assert row.verdict == 'fail'
    assert says in row.says
    assert remedy in row.remedy


def test_nearest_path_is_the_remedy(at, conf):
    """An existing path of nearly that name; several paths in one argument are
    recognized.
    """
    near, both = (
        row_of(rows(paths=(path,), process='x'), 'path')
        for path in (f'{at}/appp.conf', f'{conf},{conf}')
    )

    assert (near.says, near.remedy) == ('no such file', f'did you mean {conf}?')
    assert both.remedy.startswith('several paths are separate arguments')


def test_suggestion_that_hangs_is_left_out(at, monkeypatch):
    """The row keeps the general remedy."""
    def with_time_limit(function, *paths):
        raise TimeoutError(errno.ETIMEDOUT, 'does not answer')

    monkeypatch.setattr(guard, 'with_time_limit', with_time_limit)

    assert paths_module.suggested_path(f'{at}/none') == ''


def test_refused_directory_names_the_uid(at, as_nobody):
    """The row shows the uid of doctor."""
    os.seteuid(0)
    os.mkdir(f'{at}/d', 0o700)
    os.seteuid(NOBODY)

    row = row_of(rows(paths=(f'{at}/d',), process='x'), 'path')

    assert row.verdict == 'fail'
    assert row.says == 'permission denied as uid 65534'
    assert 'fsGroup' in row.remedy


def test_directory_is_shown_with_its_files_and_bad_members(at, conf):
    """An empty directory and a bad member are warnings, not failures."""
    os.mkdir(f'{at}/empty')
    os.mkdir(f'{at}/bad')
    put(f'{at}/bad/good', '')
    os.mkfifo(f'{at}/bad/fifo')
    put(f'{at}/bad/other', '')

    empty, bad = rows_of(rows(paths=(f'{at}/empty', f'{at}/bad'), process='x'), 'path')

    assert (empty.verdict, bad.verdict) == ('warn', 'warn')
    assert empty.says.startswith('0 files')
    assert bad.says.startswith('2 files')
    assert 'fifo: is a FIFO' in bad.says
    assert bad.remedy.startswith('it is no file, and no change when it comes or goes')


def test_member_that_cannot_be_read_is_not_watched(at):
    """Beside a FIFO, too, which needs no remedy."""
    os.mkfifo(f'{at}/fifo')
    os.symlink('loop', f'{at}/loop')

    row = row_of(rows(paths=(at,), process='x'), 'path')

    assert row.says.endswith('not readable: loop: too many levels of symbolic links')
    assert row.remedy.startswith('changes of it are not seen; make it readable')


def test_path_that_may_be_missing_is_a_warning(at):
    """With --on-missing notify it need not exist, but may be misspelt."""
    row = row_of(rows(paths=(f'{at}/none',), process='x', on_missing='notify'), 'path')

    assert row.verdict == 'warn'
    assert row.says == 'is missing, which counts (--on-missing notify)'


def test_kubelet_layout_is_recognized(at):
    """A file and a directory below a ..data link are as they should be."""
    os.mkdir(f'{at}/..2026_1')
    put(f'{at}/..2026_1/app.conf', '')
    os.symlink('..2026_1', f'{at}/..data')
    os.symlink('..data/app.conf', f'{at}/app.conf')

    found = rows_of(rows(paths=(f'{at}/app.conf', at), process='x'), 'path')

    assert [row.verdict for row in found] == ['ok', 'ok']
    assert all(row.says.endswith(', laid out by a kubelet') for row in found)


@pytest.mark.parametrize('root', [
    '/..2026_01_31_12_00_00.1/app.conf',
    '/pods/1/volumes/kubernetes.io~configmap/c/..2026_01_31_12_00_00.1/app.conf',
    '/pods/1/volume-subpaths/c/app/0',
])
def test_subpath_mount_fails(conf, fake_mounts, root):
    """A subPath is never updated, whether it is of a file or of a directory."""
    for point in (conf, os.path.dirname(conf)):
        fake_mounts(**{point: f'ext4 {root}'})

        row = row_of(rows(paths=(conf,), process='x'), 'mount')

        assert row.verdict == 'fail'
        assert 'whole volume' in row.remedy


def test_mount_of_one_file_is_a_warning(at, conf, fake_mounts):
    """It shows what is written in place, but no file that replaces it."""
    fake_mounts(**{conf: 'ext4 /srv/app.conf', at: 'ext4 /srv'})
    local = row_of(rows(paths=(conf,), process='x'), 'mount')
    directory = rows_of(rows(paths=(at,), process='x'), 'mount')
    fake_mounts(**{conf: 'nfs /srv/app.conf'})
    remote = rows_of(rows(paths=(conf,), process='x'), 'mount')

    assert local.verdict == 'warn'
    assert 'whole volume' in local.remedy
    assert directory == []
    assert [row.says[:5] for row in remote] == ['a mou', 'nfs: ']


@pytest.mark.parametrize(('kind', 'says'), [
    ('nfs', 'up to 60 s late'), ('nfs4', 'up to 60 s late'), ('cifs', 'late'),
    ('smb3', 'late'), ('fuse', 'torn'), ('fuse.sshfs', 'torn'), ('fuseblk', 'torn'),
    ('9p', 'the host'), ('virtiofs', 'the host'), ('ceph', 'not known to be local'),
])
def test_remote_file_system_is_a_warning(at, conf, fake_mounts, kind, says):
    """The row shows its type, and what it does to changes."""
    fake_mounts(**{at: f'{kind} /'})

    found = rows(paths=(conf,), process='x')

    assert row_of(found, 'path').says == f'1 file, {kind}'
    assert row_of(found, 'mount').verdict == 'warn'
    assert row_of(found, 'mount').says.startswith(f'{kind}: ')
    assert says in row_of(found, 'mount').says


def test_mount_of_a_path_is_the_last_one_with_the_longest_prefix(at, conf, fake_mounts):
    """A mount over another hides it, and one beside the path does not matter."""
    fake_mounts(**{at: 'nfs /', f'{at}/app': 'fuse /', conf: 'tmpfs /x'})

    assert mounts.point_of('/', {'/': ('/', 'ext4')}) == '/'
    assert row_of(rows(paths=(conf,), process='x'), 'path').says == '1 file, nfs'


def test_path_below_proc_pid_root_has_an_unknown_file_system(conf):
    """It leads into mounts that the mountinfo of doctor does not list."""
    path = f'/proc/{os.getpid()}/root{conf}'

    row = row_of(rows(paths=(path,), process='x'), 'mount')

    assert row.verdict == 'warn'
    assert row.says.startswith('mounts of another process: not known to be local')


def test_path_is_read_without_mountinfo(at, conf, monkeypatch):
    """The row says that the mounts are unknown."""
    monkeypatch.setattr(mounts, 'MOUNTINFO', f'{at}/none')

    found = rows(paths=(conf,), process='x')

    assert row_of(found, 'mounts').verdict == 'warn'
    assert row_of(found, 'path').says == '1 file'
    assert rows_of(found, 'mount') == []


def test_path_that_hangs_does_not_hang_doctor(conf, hanging):
    """The read is given up after a while, and its child killed."""
    found = own_rows(paths=(conf, conf), process='x')

    for row in rows_of(found, 'path'):
        assert row.verdict == 'fail'
        assert row.says == 'does not answer within 0.05 s'
