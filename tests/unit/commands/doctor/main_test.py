"""pollreload doctor as a whole: its rows, its output, and that it changes nothing."""
from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from pollreload.cli import main as cli
from pollreload.commands.doctor import main as doctor
from pollreload.commands.doctor import paths as paths_module
from pollreload.commands.doctor import rows as rows_module
from pollreload.runtime import interrupt
from pollreload.settings import Settings
from tests.support.doctor import row_of, rows, tree
from tests.support.targets import start


def test_every_row_is_ok_if_a_watch_would_work(comm, conf):
    """A file, a target with a handler, and the permission to signal it."""
    with start('handler', name=comm) as target:
        found = rows(paths=(conf,), process=comm)

    assert rows_module.exit_status(found) == 0
    assert {row.verdict for row in found} == {'ok'}
    assert row_of(found, 'path').says.startswith('1 file, ')
    assert 'chosen: the only match' in row_of(found, 'process').says
    assert row_of(found, 'process').about == f'{comm} (pid {target.pid})'
    assert row_of(found, 'handler').says == 'has a handler for SIGHUP'
    assert row_of(found, 'permission').verdict == 'ok'
    assert row_of(found, 'proc').says.endswith('other processes are visible')
    assert 'pidfd' in row_of(found, 'delivery').says


def test_nothing_is_sent_or_written(comm, at, conf):
    """The target gets no signal, and no file is created or changed."""
    arguments = [
        'doctor', conf, '--process', comm, '--state-file', f'{at}/new/ledger',
        '--status-file', f'{at}/status',
        '--validate', f'touch {at}/validated', '--verify', f'touch {at}/verified',
    ]
    before = tree(at)

    with start('handler', name=comm) as target:
        for more in ([], ['--output', 'json']):
            done = subprocess.run(
                [sys.executable, '-m', 'pollreload', *arguments, *more],
                stdout=subprocess.PIPE, check=False,
            )
            assert done.returncode == 0, done.stdout
        target.signal(signal.SIGUSR1)

        assert target.read() == 'USR1'
    assert tree(at) == before


def test_text_is_aligned_and_json_is_one_object(comm, conf, capsys):
    """Text has one line for each row, with the observations in one column."""
    with start('default', name=comm):
        arguments = ['doctor', conf, f'{conf}x', '--process', comm]
        assert cli.main(arguments) == 1
        lines = capsys.readouterr().out.splitlines()
        assert cli.main([*arguments, '--output', 'json']) == 1
        answer = json.loads(capsys.readouterr().out)

    assert lines[0].startswith('ok    path /')
    assert f'  no such file -- did you mean {conf}?' in lines[1]
    assert lines[1].startswith('fail  path /')
    column = lines[0].index('1 file')
    assert all(line[column - 2:column] == '  ' != line[column] for line in lines)
    assert answer['status'] == 1
    assert len(answer['rows']) == len(lines)
    assert answer['rows'][1] == {
        'check': 'path', 'verdict': 'fail', 'about': f'{conf}x',
        'says': 'no such file', 'remedy': f'did you mean {conf}?',
    }


def test_term_ends_a_doctor_that_waits(conf, hanging, monkeypatch):
    """It exits with the status of a shell after TERM, and leaves no child."""
    monkeypatch.setattr(paths_module, 'READ_TIMEOUT', 60.0)
    with interrupt.signals_blocked():
        signal.raise_signal(signal.SIGTERM)

        with pytest.raises(interrupt.Ended) as ended:
            doctor.all_rows(Settings(paths=(conf,), process='x'))

    assert ended.value.number == signal.SIGTERM
