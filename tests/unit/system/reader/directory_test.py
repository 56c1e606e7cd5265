"""Reading a directory."""
from __future__ import annotations

import errno
import os
import shutil
import subprocess

import pytest
from xxhash import xxh3_128_digest

from pollreload.core.reading import EMPTY, Reading
from pollreload.system import file_digest, safe_open, walk
from pollreload.system.reader import poll
from tests.support.readings import before_read, lost, members, nobody, see, write


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


def test_every_link_to_a_directory_is_followed(at):
    """Also if another one leads there, or a real name."""
    write(at, ['real/a', 'd/z/b'])
    os.symlink(f'{at}/real', f'{at}/d/l1')
    os.symlink(f'{at}/real', f'{at}/d/l2')
    os.symlink('z', f'{at}/d/y')

    assert members(f'{at}/d') == ['l1/a', 'l2/a', 'y/b', 'z/b']
    assert members(f'{at}/d/*/a') == ['l1/a', 'l2/a']


def test_a_link_that_changes_between_linked_directories_is_a_change(at):
    """Whatever it leads to is read at other names as well: modes/staging, modes/prod.

    Also if there is nothing but links in these.
    """
    write(at, ['real/staging/a', 'real/prod/a'])
    os.mkdir(f'{at}/d')
    for name in 'prod', 'staging':
        os.mkdir(f'{at}/{name}')
        os.symlink(f'../real/{name}', f'{at}/{name}/link')
        os.symlink(f'../{name}', f'{at}/d/{name}')
    seen = []
    for name in 'prod', 'staging':
        os.symlink(f'../{name}', f'{at}/d/new')
        os.rename(f'{at}/d/new', f'{at}/d/active')
        seen.append(see(f'{at}/d'))

    assert [list(each.files) for each in seen] == [
        ['active/link/a', 'prod/', 'staging/link/a'],
        ['active/link/a', 'prod/link/a', 'staging/'],
    ]
    assert see(f'{at}/d/active') == see(f'{at}/d/staging')


def test_a_second_link_to_a_directory_of_links_stands_for_the_first(at):
    """Its digest is that of the first name, so that another target is a change."""
    write(at, ['real/a', 'other/a', 'one/sub/b', 'two/sub/b'])
    for name, target in ('one/l', 'real'), ('one/sub/m', 'real'), ('two/l', 'other'):
        os.symlink(f'{at}/{target}', f'{at}/{name}')
    os.mkdir(f'{at}/d')
    for name, target in ('1', 'one'), ('2', 'two'), ('3', 'one'):
        os.symlink(f'../{target}', f'{at}/d/{name}')
    before = see(f'{at}/d').files
    os.unlink(f'{at}/d/3')
    os.symlink('../two', f'{at}/d/3')
    after = see(f'{at}/d').files

    assert list(before) == list(after) == [
        '1/l/a', '1/sub/b', '1/sub/m/a', '2/l/a', '2/sub/b', '3/', '3/sub/b',
    ]
    assert before['3/'] == xxh3_128_digest(b'1/')
    assert after['3/'] == xxh3_128_digest(b'2/')


def test_a_tree_of_links_has_few_members_for_many_paths(at):
    """Two links in each of 40 directories are a million million paths to one file."""
    for level in range(40):
        os.mkdir(f'{at}/{level}')
        for name in 'a', 'b':
            os.symlink(f'../{level + 1}', f'{at}/{level}/{name}')
    write(at, ['40/file'])

    assert len(members(f'{at}/0')) < 200
    assert len(members(at)) < 5000


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
    """It does not block its neighbours; the slash shows that it hides more."""
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
