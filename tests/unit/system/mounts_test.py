from __future__ import annotations

import errno
import itertools
import os
import resource
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollreload.system import mounts
from pollreload.system.mounts import can_hang
from pollreload.system.path_steps import steps
from tests.support import mountinfo
from tests.support.apart import apart, mount, unmount


@pytest.fixture
def at():
    """Return a directory whose name has no letter of a glob."""
    with tempfile.TemporaryDirectory() as name:
        yield os.path.realpath(name)


@pytest.fixture
def fake_mounts(at, monkeypatch):
    """Return a function that pretends these mount points and types."""
    def mount(**types):
        mountinfo.pretend(monkeypatch, f'{at}/mountinfo', types)

    return mount


@pytest.mark.parametrize('kind', [
    'nfs', 'nfs4', 'cifs', 'smb3', 'fuse', 'fuse.sshfs', 'fuseblk', '9p', 'ceph',
    'afs', 'virtiofs', 'autofs', 'gofer', 'new',
])
def test_a_path_on_another_machine_or_process_can_hang(fake_mounts, kind):
    """What is not known to be local is not; the others' paths do not matter."""
    fake_mounts(**{'/': 'ext4', '/mnt/share': kind})

    assert can_hang(('/mnt/share/app.conf',))
    assert can_hang(('/etc/passwd', '/mnt/share'))
    assert not can_hang(('/etc/passwd', '/mnt/shared/app.conf', '/mnt/app.conf'))


@pytest.mark.parametrize('kind', ['ext4', 'xfs', 'btrfs', 'tmpfs', 'overlay', 'proc'])
def test_a_path_on_a_local_file_system_cannot_hang(fake_mounts, at, kind):
    """A file, a directory and a glob, there or not."""
    fake_mounts(**{'/': 'overlay', at: kind})

    assert not can_hang((at, f'{at}/*.conf', f'{at}/mountinfo', f'{at}/none/x', '/'))


def test_a_local_mount_below_one_that_can_hang_can_hang(fake_mounts):
    """The name of the mount point itself is looked up on the mount above."""
    fake_mounts(**{'/': 'ext4', '/mnt/nfs': 'nfs4', '/mnt/nfs/tmp': 'tmpfs'})

    assert can_hang(('/mnt/nfs/tmp/app.conf',))


def test_the_root_itself_may_hang_or_be_unknown(fake_mounts):
    """In a chroot that is no mount point, its own mount is not listed."""
    fake_mounts(**{'/': 'nfs4'})
    assert can_hang(('/etc/app.conf',))

    fake_mounts(**{'/proc': 'proc'})
    assert can_hang(('/etc/app.conf',))


def test_links_are_followed_to_what_can_hang(fake_mounts, at):
    """Of a file, of a directory on the way, relative, and in a row."""
    fake_mounts(**{'/': 'ext4', '/mnt/nfs': 'nfs4'})
    os.symlink('/mnt/nfs/app.conf', f'{at}/app.conf')
    os.symlink('/mnt', f'{at}/mnt')
    os.symlink('./mnt/../mnt/nfs', f'{at}/rel')
    os.symlink('rel', f'{at}/row')

    for name in ('app.conf', 'mnt/nfs/x', 'mnt/../mnt/nfs', 'rel/x', 'row/x'):
        assert can_hang((f'{at}/{name}',)), name
    assert not can_hang((f'{at}/mnt/app.conf',))


def test_what_can_hang_is_never_touched(fake_mounts, at, monkeypatch):
    """The answer must not hang itself."""
    touched = []

    def readlink(path, real=os.readlink):
        touched.append(path)
        return real(path)
    fake_mounts(**{'/': 'ext4', f'{at}/nfs': 'nfs4'})
    os.symlink(f'{at}/nfs/d', f'{at}/link')
    monkeypatch.setattr(os, 'readlink', readlink)
    monkeypatch.setattr(os, 'stat', touched.append)

    assert can_hang((f'{at}/link/x',))
    assert f'{at}/link' in touched
    assert not [path for path in touched if path.startswith(f'{at}/nfs')]


def test_a_directory_may_hold_links_to_any_mount(fake_mounts, at):
    """So it can hang where another mount can; those below /proc do not count."""
    fake_mounts(**{'/': 'ext4', '/mnt/nfs': 'nfs4'})
    assert can_hang((at,))
    assert can_hang((f'{at}/*',))

    fake_mounts(**{'/': 'ext4', '/proc/uptime': 'fuse.lxcfs'})
    assert not can_hang((at, f'{at}/*'))


def test_links_in_a_circle_end(fake_mounts, at):
    """The kernel gives up after 40, too."""
    fake_mounts(**{'/': 'ext4', '/mnt/nfs': 'nfs4'})
    os.symlink('loop', f'{at}/loop')

    assert not can_hang((f'{at}/loop',))
    assert len(list(steps(f'{at}/loop'))) < 100


def test_mount_points_are_unescaped(fake_mounts):
    """Blank, tab, newline and backslash are octal; other bytes are as they are."""
    fake_mounts(**{'/': 'ext4', r'/mnt/my\040share\134é': 'nfs'})

    assert can_hang(('/mnt/my share\\é/app.conf',))


@pytest.mark.parametrize(('field', 'text'), [
    (rb'a\040b\011c\012d\134e\043', 'a b\tc\nd\\e#'),
    (rb'C:\Users\\x', r'C:\Users\\x'),
    (rb'\0', r'\0'),
    (rb'\999\777\40', r'\999\777\40'),
    (rb'\1340', '\\0'),
    (b'\\303\\251\xff', 'é\udcff'),
    (b'\\', '\\'),
])
def test_only_what_the_kernel_escapes_is_unescaped(field, text):
    """Three octal digits are a byte; any other backslash is one (WSL 2, 9p)."""
    assert mounts.unescape(field) == text


# As printed by WSL 2, by gVisor (runsc) and by a kernel below QEMU with virtfs.
PRINTED = (
    rb'105 66 0:49 / /mnt/c rw,noatime - 9p drvfs rw,dirsync,aname=drvfs;path=C:\;uid='
    rb'1000;gid=1000;symlinkroot=/mnt/,mmap,access=client,msize=65536,trans=fd,rfd=5',
    rb'106 66 0:50 / /mnt/d\040e rw - 9p D:\134 rw,aname=drvfs;path=D:\Users\new',
    rb'1 1 0:24 / / rw - 9p none rw,trans=fd,rfdno=4,wfdno=4,aname=/,cache=remote',
    rb'2 1 0:22 / /dev rw - tmpfs none rw',
    rb'31 25 0:27 / /host rw,relatime - 9p host\x rw,access=any,trans=virtio',
    rb'40 25 0:30 / /m rw shared:1 master:2 propagate_from:3 - fuse.a\b a rw',
    rb'41 25 0:31 / /n rw - 9p  rw',
    rb'42 25 0:32 / /o rw - btrfs',
    rb'43 25 0:33 net:[4026532281] /run/netns/a rw - nsfs nsfs rw',
    rb'44 25 0:34 / /p\040-\040q rw - ext4 /dev/sda rw',
    rb'45 25 0:35 / /deleted//deleted rw',
)


def test_every_line_that_kernels_print_is_parsed(at, monkeypatch):
    """A type that is missing is unknown: what is there may hang."""
    with open(f'{at}/mountinfo', 'wb') as file:
        file.write(b'\n'.join(PRINTED) + b'\n')
    monkeypatch.setattr(mounts, 'MOUNTINFO', f'{at}/mountinfo')
    mounts.open_mount_table.cache_clear()

    found = {mount.point: mount.kind for mount in mounts.read_mounts(f'{at}/mountinfo')}

    assert found == {
        '/mnt/c': '9p', '/mnt/d e': '9p', '/': '9p', '/dev': 'tmpfs', '/host': '9p',
        '/m': r'fuse.a\b', '/n': '9p', '/o': 'btrfs', '/run/netns/a': 'nsfs',
        '/p - q': 'ext4', '/deleted//deleted': 'unknown',
    }
    known = mounts.mount_table()
    assert known is not None
    assert known.risky == {
        '/', '/mnt/c', '/mnt/d e', '/host', '/m', '/n', '/deleted//deleted',
    }


@pytest.mark.parametrize('line', [
    b'', b'x', b'1 2 0:3', b'1 2 0:3 /', b'1 2 0 / /a rw - ext4 a rw',
    b'1 2 0:x / /a rw - ext4 a rw',
    b'1 2 99999999999999999999:1 / /a rw - ext4 a rw', b'1 2 0:1:2 / /a - ext4 a rw',
])
def test_a_table_that_cannot_be_parsed_is_unknown(at, monkeypatch, line):
    """So any read may hang; no command ends because of it."""
    with open(f'{at}/mountinfo', 'wb') as file:
        file.write(PRINTED[3] + b'\n' + line + b'\n')
    monkeypatch.setattr(mounts, 'MOUNTINFO', f'{at}/mountinfo')
    mounts.open_mount_table.cache_clear()

    assert mounts.mount_table() is None
    assert can_hang(('/etc/passwd',))
    with pytest.raises(OSError, match='line 2 cannot be parsed'):
        list(mounts.read_mounts(f'{at}/mountinfo'))


def test_an_empty_table_is_one_of_a_root_that_is_unknown(at, monkeypatch):
    """As in a chroot, and below some sandboxes."""
    open(f'{at}/mountinfo', 'wb').close()
    monkeypatch.setattr(mounts, 'MOUNTINFO', f'{at}/mountinfo')
    mounts.open_mount_table.cache_clear()

    assert can_hang(('/etc/passwd',))


FIELD = st.sampled_from((
    b'0:1', b'7:0', b'/', b'/a', rb'\040', b'-', b'- overlay', b'lowerdir=/a:/b::/c\0',
    b'- ext4', b'rw', b'', b'9p', rb'C:\Users', b'\xff', rb'\777', b'7:' + b'9' * 30,
))


@given(st.lists(st.binary(max_size=30) | st.lists(FIELD, max_size=9).map(b' '.join)))
def test_no_table_of_the_kernel_is_a_fault(lines):
    """Whatever stands in it: it is parsed, or it is unknown."""
    with tempfile.NamedTemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        file.write(b'\n'.join(lines))
        file.flush()
        patch.setattr(mounts, 'MOUNTINFO', file.name)
        mounts.open_mount_table.cache_clear()
        known = mounts.mount_table()
        assert known is None or isinstance(known, mounts.Table)
        can_hang(('/etc/passwd', '/etc'))
    mounts.open_mount_table.cache_clear()


def test_the_root_of_another_process_can_hang(fake_mounts):
    """/proc/PID/root leads into mounts that are not listed here."""
    fake_mounts(**{'/': 'ext4', '/proc': 'proc'})

    assert can_hang(('/proc/self/root/etc/passwd',))
    assert can_hang((f'/proc/{os.getpid()}/cwd/x',))
    assert not can_hang(('/proc/self/status',))


def test_the_root_of_another_process_is_not_taken_for_ours():
    """readlink says '/', but the names go on below it."""
    *_, last = steps('/proc/self/root/etc/none')

    assert last == (f'/proc/{os.getpid()}/root/etc/none', '', True)


def test_a_relative_path_can_hang_if_the_working_directory_can(
        fake_mounts, at, monkeypatch,
):
    """Its names begin there; if it is gone, there is nothing to read."""
    os.mkdir(f'{at}/d')
    monkeypatch.chdir(f'{at}/d')
    fake_mounts(**{'/': 'ext4', f'{at}/d': 'nfs'})
    assert can_hang(('app.conf',))

    os.rmdir(f'{at}/d')
    assert not can_hang(('app.conf',))


def test_what_cannot_be_known_can_hang(at, monkeypatch):
    """Without /proc this is unknown."""
    monkeypatch.setattr(mounts, 'MOUNTINFO', f'{at}/none')

    assert can_hang(('/etc/passwd',))


def test_the_mounts_of_this_machine_can_be_read():
    """Whatever it is, there is an answer."""
    assert can_hang(('/etc/passwd',)) in (True, False)
    known = mounts.mount_table()
    assert known is not None
    assert '/proc' not in known.risky


@pytest.mark.parametrize(('options', 'hangs'), [
    ('rw,lowerdir=/mnt/nfs/a:/usr,upperdir=/tmp/u', True),
    ('rw,lowerdir=/usr,upperdir=/mnt/nfs/u', True),
    ('rw,lowerdir+=/usr,datadir+=/mnt/nfs/d', True),
    ('rw,lowerdir=/usr,upperdir=/tmp/u,workdir=/mnt/nfs/w', False),
    ('rw,lowerdir=/nowhere/1:/nowhere/2', False),
])
def test_an_overlay_can_hang_as_its_layers_can(at, monkeypatch, options, hangs):
    """And so can an overlay on that overlay, in whichever order they are listed."""
    rows = [
        ('/', '8:1', 'ext4', 'rw'), ('/mnt/second', '0:51', 'overlay', (
            'rw,lowerdir=/mnt/first/a,upperdir=/tmp/u'
        )),
        ('/mnt/first', '0:50', 'overlay', options), ('/mnt/nfs', '0:40', 'nfs4', 'rw'),
    ]
    with open(f'{at}/mountinfo', 'w', encoding='utf-8') as file:
        for point, device, kind, more in rows:
            file.write(f'36 35 {device} / {point} rw shared:1 - {kind} none {more}\n')
    monkeypatch.setattr(mounts, 'MOUNTINFO', f'{at}/mountinfo')

    assert can_hang(('/mnt/first/app.conf',)) is hangs
    assert can_hang(('/mnt/second/app.conf',)) is hangs
    assert not can_hang(('/etc/app.conf',))


@pytest.mark.parametrize('image', ['/mnt/nfs/image', '/srv/image', ''])
def test_a_loop_device_can_hang_as_its_image_can(at, monkeypatch, image):
    """/sys says which file it is; one that is gone says nothing."""
    with open(f'{at}/mountinfo', 'w', encoding='utf-8') as file:
        file.write('1 0 8:1 / / rw - ext4 none rw\n')
        file.write('2 1 7:99 / /mnt/loop rw - ext4 /dev/loop99 rw\n')
        file.write('3 1 0:40 / /mnt/nfs rw - nfs4 server: rw\n')
    if image:
        with open(f'{at}/backing', 'w', encoding='utf-8') as file:
            file.write(f'{image}\n')
    monkeypatch.setattr(mounts, 'MOUNTINFO', f'{at}/mountinfo')
    monkeypatch.setattr(mounts, 'BACKING', f'{at}/backing')

    assert can_hang(('/mnt/loop/app.conf',)) is (image == '/mnt/nfs/image')


def inexact(table: mounts.Table | None) -> frozenset[int]:
    """Return the devices of a table, that must be there."""
    assert table is not None
    return table.inexact


def test_the_table_is_the_same_object_while_nothing_changes():
    """So that whoever goes by it sees at a glance that nothing has."""
    first = mounts.mount_table()

    assert first is not None
    assert all(mounts.mount_table() is first for _ in range(5))


def test_a_mount_makes_another_table_and_so_does_its_end(at):
    """At the next question, whatever the mount is; it is in none but the one."""
    def tables():
        asked = [mounts.mount_table()]
        for change in (lambda: mount('proc', at), lambda: unmount(at)):
            assert not change()
            asked.extend((mounts.mount_table(), mounts.mount_table()))
        device = inexact(asked[1]) - inexact(asked[0])
        same = [one is other for one, other in itertools.pairwise(asked)]
        return same, len(device), asked[0] == asked[-1]

    assert apart(tables) == ([False, True, False, True], 1, True)


def test_a_mount_that_could_not_be_read_is_read_at_the_next_question(at):
    """The kernel says only once that there is news."""
    def tables():
        before = mounts.mount_table()
        assert not mount('proc', at)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # No descriptor should be had; poll(2) itself must have one at least.
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        asked = [mounts.mount_table(), mounts.mount_table()]
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        after = mounts.mount_table()
        again = mounts.mount_table()
        return asked, len(inexact(after) - inexact(before)), again is after

    assert apart(tables) == ([None, None], 1, True)


def test_a_device_is_inexact_where_its_file_system_is(fake_mounts):
    """One that cannot hang may be so as well."""
    fake_mounts(**{'/': 'ext4'})
    assert mounts.mount_table() == mounts.Table(frozenset(), False, frozenset())

    for kind in ('vfat', 'proc', 'nfs4', 'new'):
        fake_mounts(**{'/': 'ext4', '/mnt': kind})
        assert inexact(mounts.mount_table()) == {os.makedev(98, 0)}, kind


def test_a_table_that_is_no_more_needed_is_closed(at, fake_mounts):
    """And opened once, however often it is asked for."""
    fake_mounts(**{'/': 'ext4'})
    mounts.mount_table()
    before = os.listdir('/proc/self/fd')
    for _ in range(5):
        fake_mounts(**{'/': 'ext4'})
        mounts.mount_table()

    assert os.listdir('/proc/self/fd') == before


def test_a_table_that_cannot_be_read_leaves_nothing_open(at, monkeypatch):
    """It was opened, and then there was no memory for it."""
    def rows(path):
        raise OSError(errno.ENOMEM, path)

    mounts.open_mount_table.cache_clear()
    before = os.listdir('/proc/self/fd')
    monkeypatch.setattr(mounts, 'read_mounts', rows)

    assert mounts.mount_table() is None
    assert os.listdir('/proc/self/fd') == before
