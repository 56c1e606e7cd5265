"""Names that match a pattern, and the names that are ignored by default."""
from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollreload.settings import IGNORED
from pollreload.system.globs import matcher, matches_itself

ALPHABET = string.ascii_letters + string.digits
CONFIGURATION = (
    'app.conf', '.htaccess', '.env', '.env.docker', '.env.Docker', '.env.staging',
    '.app.config', '.app.202601', '.app.sha256', '.a.SHA256', '.app.conf.d', 'sedate',
    'sed', 'sedimentary', '10-a.conf', '.profile.common', '5036', 'a#b', '~a', 'tmp',
    'git', '.gitconfig', 'app.conf.j2', '.x.base64', 'sed123456', '.env.STABLE',
    'app.conf.aB3dEf',
)
TEMPORARY = (
    '.~tmp~', '.app.conf.8IqVjV', '.app.conf.q8sdfx', '.app.conf.abCdef',
    '.app.conf.ABCdef', '.htaccess.kUz3Xc', '..htaccess.kUz3Xc', 'sedkUz3Xc', '4913',
    '.app.conf.swp', '.app.conf.swo', '.app.conf.swx', '.app.conf.swpx', '.#app.conf',
    '#app.conf#', 'app.conf~', 'app.conf.dpkg-new', 'app.conf.dpkg-tmp',
    'app.conf.dpkg-old', 'app.conf.ucf-dist', '.goutputstream-A1B2C3',
    'app.conf___jb_tmp___', 'app.conf___jb_old___', '.ansible_tmpx1y2app.conf',
    'app.conf.filepart', 'app.conf.tmp', '.app.conf.kate-swp', '.rsync-partial',
    'app.conf.apk-new', 'app.conf.pacnew', 'app.conf.rpmsave',
)


@pytest.mark.parametrize('name', CONFIGURATION)
def test_configuration_is_not_ignored(name: str) -> None:
    """A word, a number, or a word with a number is no random name."""
    assert not matcher(IGNORED)(name)


@pytest.mark.parametrize('name', TEMPORARY)
def test_temporary_names_are_ignored(name: str) -> None:
    """Those of rsync, sed, editors, package managers and Ansible."""
    assert matcher(IGNORED)(name)


@given(st.text(ALPHABET, min_size=6, max_size=6))
def test_a_random_suffix_is_not_a_word(suffix: str) -> None:
    """A word is of one case, but for a capital; a number may follow it."""
    word = suffix.rstrip(string.digits)
    random = word not in (word.lower(), word.upper(), word.capitalize()) or (
        not word.isalpha() and word != ''
    )

    assert bool(matcher(('.*.XXXXXX',))(f'.app.conf.{suffix}')) == random
    assert bool(matcher(('sedXXXXXX',))(f'sed{suffix}')) == random


def test_a_random_suffix_is_six_letters_or_digits_at_the_end() -> None:
    """Neither fewer nor more, and after a name that begins with a dot."""
    ignored = matcher(('.*.XXXXXX',))

    assert not any(map(ignored, (
        '.a.8IqVj', '.a.8IqVjVx', '.a.8IqVj-', 'a.8IqVjV', '..8IqVjV', '.a.8IqVjV\n',
    )))


@pytest.mark.parametrize(('pattern', 'found'), [
    ('/etc/*.conf', True), ('/etc/?/a*', True), ('/etc/**/a', True), ('*', True),
    ('/etc/[ab]/*', False), ('/etc/a[1].conf', False), ('.*', True),
])
def test_a_glob_may_match_its_own_name(pattern: str, found: bool) -> None:
    """Then a file of that name is a match among others."""
    assert matches_itself(pattern) == found
