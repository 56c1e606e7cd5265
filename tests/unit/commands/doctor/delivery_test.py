from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pollreload.commands.doctor import delivery, main
from pollreload.commands.doctor.rows import Row
from pollreload.runtime import interrupt
from pollreload.settings import Plan, Settings
from tests.support import targets
from tests.support.several import put, table
from tests.support.sidecar import unique, write


@pytest.fixture
def comm() -> str:
    """A name that no other process has."""
    return unique()


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[str]:
    """A file to watch, the only one in its directory also at the end."""
    directory = tmp_path / 'conf'
    directory.mkdir()
    write(directory / 'app.conf', 'a = 1\n')
    yield str(directory / 'app.conf')
    assert os.listdir(directory) == ['app.conf']


def doctor(*arguments: str) -> dict[str, Any]:
    """Return the answer of a doctor that is no ancestor of the targets."""
    done = subprocess.run(
        [sys.executable, '-m', 'pollreload', 'doctor', *arguments, '--output', 'json'],
        stdout=subprocess.PIPE, check=False,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer['status'] == done.returncode
    return answer


def deliver(*arguments: str) -> tuple[int, list[Row]]:
    """Return the status and the rows of a doctor with --deliver."""
    answer = doctor('--deliver', *arguments)
    return answer['status'], [Row(**row) for row in answer['rows']]


def test_without_deliver_nothing_is_sent(comm: str, conf: str) -> None:
    """The target gets no signal, and no row speaks of a delivery."""
    with targets.start('handler', name=comm) as target:
        answer = doctor(conf, '--process', comm)
        target.signal(signal.SIGUSR1)

        assert target.read() == 'USR1'
    assert answer['status'] == 0
    assert 'deliver' not in [row['check'] for row in answer['rows']]


def test_with_deliver_one_signal_is_sent_and_survived(
        comm: str, conf: str, tmp_path: Path,
) -> None:
    """One signal, without --splay; the target lives; no ledger is written."""
    with targets.start('handler', name=comm) as target:
        status, rows = deliver(
            conf, '--process', comm, '--survive', '100ms', '--splay', '1h',
            '--state-file', str(tmp_path / 'ledger'),
        )
        target.signal(signal.SIGUSR1)

        assert [target.read(), target.read()] == ['HUP', 'USR1']
    assert status == 0
    assert rows[-1].check == 'deliver'
    assert rows[-1].about == 'SIGHUP'
    assert rows[-1].verdict == 'ok'
    assert rows[-1].says.endswith('reload not verified')
    assert os.listdir(tmp_path) == ['conf']


def test_verification_is_part_of_a_delivery(comm: str, conf: str) -> None:
    """New workers are waited for with --verify-workers, and one row says so."""
    with targets.start('forking', name=comm):
        status, rows = deliver(
            conf, '--process', comm, '--survive', '100ms', '--verify-workers',
            '--verify', 'true',
        )

    assert status == 0
    assert [row.verdict for row in rows if row.check == 'deliver'] == ['ok', 'ok']
    assert 'reloaded after SIGHUP' in rows[-1].says


def test_commands_are_part_of_a_delivery(conf: str, tmp_path: Path) -> None:
    """Without a process they are all of it."""
    (tmp_path / 'ran').mkdir()

    status, rows = deliver(conf, '--exec', f'rmdir {tmp_path}/ran')

    assert status == 0
    assert (rows[-1].check, rows[-1].about, rows[-1].verdict) == ('deliver', '', 'ok')
    assert os.listdir(tmp_path) == ['conf']


def test_target_that_dies_of_the_signal_fails(comm: str, conf: str) -> None:
    """That is the one failure; the retry of a watch is not announced."""
    with targets.start('exits', name=comm) as target:
        status, rows = deliver(conf, '--process', comm)
        assert target.wait() == 0

    assert status == 1
    failed = [row for row in rows if row.verdict == 'fail']
    assert len(failed) == 1
    assert 'died within 1 s of SIGHUP' in failed[0].says


def test_target_that_was_replaced_is_a_warning(comm: str, conf: str) -> None:
    """A program that died of the signal and was started again looks the same."""
    script = (
        'import ctypes, os, signal, sys\n'
        'ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)\n'
        'signal.signal(signal.SIGHUP, lambda *_: os.fork() and os._exit(0))\n'
        'print("ready", flush=True)\n'
        'while True:\n    signal.pause()\n'
    )
    with subprocess.Popen(
            [sys.executable, '-c', script, comm], stdout=subprocess.PIPE,
            start_new_session=True,
    ) as child:
        assert child.stdout is not None
        try:
            child.stdout.readline()
            status, rows = deliver(conf, '--process', comm, '--min-uptime', '0')
        finally:
            os.killpg(child.pid, signal.SIGKILL)

    assert status == 0
    assert rows[-1].verdict == 'warn'
    assert 'which has exited and was replaced by' in rows[-1].says
    assert 'died of it' in rows[-1].remedy


def test_nothing_is_delivered_if_a_check_fails(comm: str, conf: str) -> None:
    """A target without a handler gets nothing, and lives."""
    with targets.start('default', name=comm) as target:
        status, rows = deliver(conf, '--process', comm)
        target.signal(signal.SIGUSR1)

        assert target.read() == 'USR1'
    assert status == 1
    assert rows[-1] == Row(
        'deliver', 'skip', 'SIGHUP', 'nothing was sent: a check above fails',
    )


def test_what_holds_the_delivery_is_the_reason_of_its_failure(
        comm: str, conf: str,
) -> None:
    """A version that --validate refuses is not delivered."""
    with targets.start('handler', name=comm) as target:
        status, rows = deliver(conf, '--process', comm, '--validate', 'false')
        target.signal(signal.SIGUSR1)

        assert target.read() == 'USR1'
    assert status == 1
    assert rows[-1].verdict == 'fail'
    assert rows[-1].says.startswith('held: --validate false refused')


@pytest.mark.parametrize('output', ['text', 'json'])
def test_each_watch_of_a_config_file_is_delivered(
        comm: str, conf: str, tmp_path: Path, output: str,
) -> None:
    """A watch that fails does not keep the others from it."""
    config = put(
        tmp_path / 'w.toml', table(name='bad', path=f'{conf}.none', process=comm),
        table(name='good', path=conf, process=comm),
    )
    with targets.start('handler', name=comm) as target:
        done = subprocess.run(
            [
                sys.executable, '-m', 'pollreload', 'doctor', '--config', config,
                '--deliver', '--output', output,
            ], stdout=subprocess.PIPE, check=False, text=True,
        )
        target.signal(signal.SIGUSR1)

        assert [target.read(), target.read()] == ['HUP', 'USR1']
    assert done.returncode == 1
    if output == 'json':
        bad, good = json.loads(done.stdout)['watches']
        assert (bad['rows'][-1]['verdict'], bad['status']) == ('skip', 1)
        assert (good['rows'][-1]['verdict'], good['status']) == ('ok', 0)
    else:
        _, bad, good = done.stdout.split('\n\n')
        assert 'skip  deliver SIGHUP ' in bad
        assert '\nok    deliver SIGHUP ' in good


def test_text_has_the_checks_before_the_delivery(
        comm: str, conf: str, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both are in the same columns."""
    monkeypatch.chdir(os.path.dirname(conf))
    only = Settings(paths=(os.path.basename(conf),), process=comm)
    status = main.run(Plan((only,)), True)

    first, *_, last = capsys.readouterr().out.splitlines()
    assert status == 1
    assert first.startswith('ok    path ')
    assert last.startswith('skip  deliver SIGHUP ')
    assert first.index('1 file') == last.index('nothing was sent')


def test_path_that_disappears_before_the_delivery_fails(conf: str, comm: str) -> None:
    """Nothing is delivered without a version, whatever the checks saw before."""
    with interrupt.signals_blocked():
        row, = delivery.deliver_once(Settings(paths=(f'{conf}x',), process=comm))

    assert row.verdict == 'fail'
    assert row.says.startswith('held: ')


@pytest.mark.parametrize('output', ['text', 'json'])
def test_stop_signal_ends_a_delivery(
        conf: str, comm: str, monkeypatch: pytest.MonkeyPatch, output: str,
) -> None:
    """The status is that of a shell for an end by the signal; nothing more runs."""
    def rows(settings: Settings) -> list[Row]:
        signal.raise_signal(signal.SIGTERM)
        return []

    monkeypatch.setattr(main, 'all_rows', rows)

    with pytest.raises(SystemExit) as ended:
        main.run(Plan((
            Settings(paths=(conf,), process=comm, output=output),
        )), True)

    assert ended.value.code == 128 + signal.SIGTERM
    assert interrupt.STOP_SIGNALS.isdisjoint(signal.sigpending())
