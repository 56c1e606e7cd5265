"""The messages of a poll about the files that it read."""
from __future__ import annotations

import pytest

from pollreload.core.observation import by_exact_name, member_path, turned_into_glob
from pollreload.core.reading import MISSING, Known, Reading, Snapshot
from pollreload.settings import Settings


@pytest.mark.parametrize(('path', 'kind', 'name', 'shown'), [
    ('/etc/app.conf', 'file', '', '/etc/app.conf'),
    ('/etc/app/', 'directory', 'a.conf', '/etc/app/a.conf'),
    ('/etc/app/*.conf', 'glob', 'a.conf', '/etc/app/a.conf'),
    ('/etc/*/conf.d/[ab]*', 'glob', 'app/conf.d/a', '/etc/app/conf.d/a'),
])
def test_changed_file_is_named_by_its_real_path(path, kind, name, shown):
    """The pattern of a glob is not the name of a file."""
    reading = Reading(kind, {name: b''}, {})

    assert member_path(Settings(paths=(path,)), 0, name, [reading]) == shown


GLOB = Reading('glob', {'a1': b'1'}, {})
FILE = Reading('file', {'': b'1'}, {})


@pytest.mark.parametrize(('known', 'reading', 'turned'), [
    (Known('file', {'': b'1'}), GLOB, True), (Known('directory', {}), GLOB, True),
    (Known('glob', {'a1': b'1'}), GLOB, False), (None, GLOB, False),
    (Known('glob', {'a1': b'1'}), FILE, False), (Known('file', {}), FILE, False),
])
def test_path_that_was_known_by_its_exact_name_is_no_glob(known, reading, turned):
    """It is missing, whatever else it matches; a glob may turn into a name."""
    assert turned_into_glob(known, reading) is turned


def test_only_the_path_that_turned_into_a_glob_is_missing():
    """The other ones, and the date, are as they were read."""
    known = Known('file', {}), Known('glob', {}), None

    seen = by_exact_name(known, Snapshot((GLOB, GLOB, FILE), 7.0))

    assert seen == Snapshot((Reading('', {}, {'': MISSING}), GLOB, FILE), 7.0)
