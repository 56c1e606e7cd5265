"""The rows of doctor about the ledger and the status file."""
from __future__ import annotations

import errno
import os

from pollreload.commands.doctor import files as files_module
from pollreload.commands.doctor.rows import Row
from pollreload.errors import LedgerError
from pollreload.runtime import guard, ledger
from pollreload.settings import Settings
from pollreload.system import (
    ledger_file,
)
from tests.support.doctor import put, row_of, rows


def test_ledger_is_checked_and_not_changed(at, conf):
    """Missing, existing, corrupt or impossible: each has its own sentence."""
    path = f'{at}/ledger'
    new = row_of(rows(paths=(conf,), process='x', state_file=path), 'ledger')
    ledger_file.save(path, {})
    there = row_of(rows(paths=(conf,), process='x', state_file=path), 'ledger')
    put(path, '{')
    corrupt = row_of(rows(paths=(conf,), process='x', state_file=path), 'ledger')
    refused = row_of(rows(paths=(conf,), process='x', state_file=f'{conf}/x'), 'ledger')

    assert (new.verdict, new.says) == ('ok', 'not there yet; can be written')
    assert (there.verdict, there.says) == ('ok', 'can be read and written')
    assert (corrupt.verdict, refused.verdict) == ('fail', 'fail')
    assert 'corrupt' in corrupt.says
    assert 'notifies no process' in corrupt.remedy
    assert '--state-file' in refused.remedy
    assert sorted(os.listdir(at)) == ['app.conf', 'ledger']


def test_status_file_is_checked_and_not_written(at, conf):
    """A missing directory would be created, as for a ledger."""
    good, below, bad = (
        row_of(
            rows(paths=(conf,), process='x', status_file=f'{at}/{path}'), 'status-file',
        )
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


def test_status_file_that_hangs_fails(conf, monkeypatch):
    """It is on a mount that hangs, and doctor does not hang."""
    real = guard.with_time_limit

    def with_time_limit(function, *paths):
        if paths == ('/mnt/s',):
            raise TimeoutError(errno.ETIMEDOUT, 'Does not answer')
        return real(function, *paths)

    monkeypatch.setattr(guard, 'with_time_limit', with_time_limit)

    row = row_of(rows(paths=(conf,), process='x', status_file='/mnt/s'), 'status-file')

    assert (row.verdict, row.says) == ('fail', 'does not answer')
    assert 'see to the server' in row.remedy


def test_default_ledger_of_check_is_named(at, conf, monkeypatch):
    """A watch needs no ledger, so that an unusable directory is only a warning."""
    monkeypatch.setenv('XDG_STATE_HOME', at)
    good = row_of(rows(paths=(conf,), process='x'), 'ledger')
    monkeypatch.setenv('XDG_STATE_HOME', conf)
    bad = row_of(rows(paths=(conf,), process='x'), 'ledger')

    assert good.verdict == 'ok'
    assert f'{at}/pollreload/' in good.says
    assert bad.verdict == 'warn'
    assert '--state-file' in bad.remedy


def test_missing_home_is_a_warning(conf, monkeypatch, as_nobody):
    """A watch works without a ledger."""
    monkeypatch.delenv('XDG_STATE_HOME', raising=False)
    monkeypatch.delenv('HOME', raising=False)

    row = row_of(rows(paths=(conf,), process='x'), 'ledger')

    assert row.verdict == 'warn'
    assert 'HOME' in row.says


def test_ledger_that_another_run_holds_is_a_warning(comm, conf, tmp_path):
    """check would end at once, and watch would go on without it."""
    path = str(tmp_path / 'memory')
    held = ledger_file.lock(path)

    row = row_of(rows(paths=(conf,), process=comm, state_file=path), 'ledger')
    os.close(held)

    assert (row.verdict, row.says) == ('warn', 'another run holds it')
    assert '75' in row.remedy


def test_default_ledger_that_cannot_be_named_is_a_warning(monkeypatch):
    """The working directory is gone, which check would report."""
    def gone() -> str:
        raise FileNotFoundError(2, 'no such directory')

    monkeypatch.setattr(os, 'getcwd', gone)

    row = files_module.default_memory(Settings(paths=('a',), process='x'))

    assert row.verdict == 'warn'
    assert row.says.startswith('for check: ')


def test_ledger_that_hangs_fails(conf, monkeypatch):
    """It is on a mount that hangs, and doctor does not hang."""
    def kept(function, path):
        raise LedgerError(f'the ledger {path}: does not answer')

    monkeypatch.setattr(ledger, 'call_limited', kept)

    row = row_of(rows(paths=(conf,), process='x', state_file='/mnt/ledger'), 'ledger')

    assert row.verdict == 'fail'
    assert row.says == 'the ledger /mnt/ledger: does not answer'
    assert 'see to the server' in row.remedy
