"""The messages of a poll about the files that it read."""
from __future__ import annotations

import pytest

from pollreload.core.observation import member_path
from pollreload.core.reading import Reading
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
