"""Reading what a glob matches."""
from __future__ import annotations

import os

import pytest

from pollreload.core.reading import Reading
from pollreload.system import globs
from tests.support.readings import lost, members, nobody, see, write


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
    """Also if it cannot be read: it must not turn into its neighbours."""
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
