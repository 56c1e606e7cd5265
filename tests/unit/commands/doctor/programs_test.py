"""The rows of doctor about --validate, --verify and --exec."""
from __future__ import annotations

import os

from pollreload.commands.doctor import programs
from pollreload.commands.doctor.rows import Row
from pollreload.core import actions
from pollreload.runtime import guard
from pollreload.settings import Settings
from tests.support.doctor import row_of, rows


def test_commands_are_searched_and_not_run(at, conf):
    """A missing program would hold every delivery."""
    found = rows(
        paths=(conf,), process='x', validate=('touch', f'{at}/ran'),
        verify=('no-such-program', '-t'),
    )

    assert row_of(found, 'validate') == Row('validate', 'ok', 'touch', 'found, not run')
    assert row_of(found, 'verify').verdict == 'fail'
    assert row_of(found, 'verify').about == 'no-such-program'
    assert os.listdir(at) == ['app.conf']


def test_program_that_hangs_fails(conf, monkeypatch):
    """It is on a mount that hangs, and doctor does not hang."""
    def with_time_limit(function, *paths):
        raise TimeoutError(110, 'does not answer')

    monkeypatch.setattr(guard, 'with_time_limit', with_time_limit)

    row = row_of(rows(paths=(conf,), process='x', validate=('nginx', '-t')), 'validate')

    assert row.verdict == 'fail'
    assert row.says == 'nginx does not answer'


def test_commands_of_one_program_are_numbered():
    """As in the log, because their arguments may be secret; a single one has no number.
    """
    settings = Settings(exec=(('sh', 'a'), ('true',), ('sh', 'b')), verify=('sh',))

    assert [row.about for row in programs.check_programs(settings)] == [
        'sh (1 of 2)', 'true', 'sh (2 of 2)', 'sh',
    ]
    assert [actions.loggable(settings, each) for each in range(3)] == [
        '--exec sh (1 of 2)', '--exec true', '--exec sh (2 of 2)',
    ]
