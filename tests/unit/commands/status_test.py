"""The command status, on files of its own and of a real watch."""
from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pollreload.cli import main
from pollreload.commands import status
from pollreload.errors import StatusError
from pollreload.system import procfs, status_file
from tests.servers.harness import until
from tests.support.sidecar import unique, watch, write

SHOWN: dict[str, Any] = {
    'pid': 41, 'boot': 'this', 'interval': 5.0, 'paths': ['/a', '/b'],
    'process': 'nginx', 'pidfile': None, 'signal': 'SIGHUP', 'time': 1000.0,
    'ended': 100.0, 'took': 0.25, 'content': 'current', 'seen': 'f' * 32,
    'done': 'f' * 32, 'held': '', 'tries': 0, 'unreadable': [],
}


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clocks to 110 s after the boot and 1030 s after the epoch."""
    monkeypatch.setattr(procfs, 'boot', lambda: 'this')
    monkeypatch.setattr(procfs, 'now', lambda: 110.0)
    monkeypatch.setattr(time, 'time', lambda: 1030.0)


@pytest.mark.usefixtures('clocks')
@pytest.mark.parametrize(('boot', 'seconds'), [
    ('this', 10.0), ('another', 30.0), ('', 30.0),
])
def test_age_is_measured_by_the_boot_clock_within_one_boot(
        boot: str, seconds: float,
) -> None:
    """That clock cannot be set."""
    assert status.poll_age({**SHOWN, 'boot': boot}) == seconds


@pytest.mark.usefixtures('clocks')
@pytest.mark.parametrize(('oldest', 'code'), [('10s', 0), ('9s', 1)])
def test_poll_that_is_too_old_is_1(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], oldest: str, code: int,
) -> None:
    """A watch that hangs or is gone fails the probe, and says for how long."""
    path = str(tmp_path / 'status')
    status_file.write(path, {**SHOWN, 'held': 'no target', 'tries': 2, 'unreadable': [
        ['/b', 'permission denied'],
    ]})

    assert main.main(('status', '--max-age', oldest, path)) == code
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    late = '' if code == 0 else ', which is more than 9 s'
    assert lines['last'] == f'poll   10.0 s ago{late}; it took 0.250 s'
    assert lines['paths'] == '/a /b'
    assert lines['target'] == 'nginx, SIGHUP'
    assert lines['held'] == 'no target'
    assert lines['failed'] == '2 attempts in a row'
    assert lines['unreadable'] == '/b: permission denied'


@pytest.mark.usefixtures('clocks')
def test_json_is_what_was_written_and_its_age(
        tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    """One object."""
    path = str(tmp_path / 'status')
    status_file.write(path, SHOWN)

    assert main.main(('status', '--output', 'json', path)) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {'version': 1, **SHOWN, 'age': 10.0, 'fresh': True}


@pytest.mark.usefixtures('clocks')
@pytest.mark.parametrize(('interval', 'ended', 'code'), [
    (5.0, 80.0, 0), (5.0, 79.9, 1), (0.01, 80.0, 0), (10.0, 80.0, 0),
    (11.0, 77.0, 0), (11.0, 76.9, 1), (35, 5.0, 0), (3600.0, 0.0, 0),
])
def test_by_default_a_poll_may_be_three_intervals_old(
        tmp_path: Path, interval: float, ended: float, code: int,
) -> None:
    """But 30 s at least: a watch that polls once an hour must not be killed for it."""
    path = str(tmp_path / 'status')
    status_file.write(path, {**SHOWN, 'interval': interval, 'ended': ended})

    assert main.main(('status', path)) == code
    # What is asked for is taken as it is.
    assert main.main(('status', '--max-age', '29s', path)) == int(ended < 81.0)


@pytest.mark.usefixtures('clocks')
@pytest.mark.parametrize(('boot', 'ahead', 'code'), [
    ('this', 0.9, 0), ('this', 1.1, 1), ('another', 0.9, 0), ('another', 1.1, 1),
    ('', 1e9, 1),
])
def test_poll_in_the_future_is_not_fresh(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], boot: str, ahead: float,
        code: int,
) -> None:
    """A clock was set back, or the file is another machine's: its age is unknown."""
    path = str(tmp_path / 'status')
    times = {'ended': 110.0 + ahead, 'time': 1030.0 + ahead}
    status_file.write(path, {**SHOWN, **times, 'boot': boot})

    assert main.main(('status', '--max-age', '1h', path)) == code
    line, *_ = capsys.readouterr().out.splitlines()
    assert ('s in the future, so its age is unknown' in line) == bool(code)
    assert main.main(('status', '--output', 'json', path)) == code
    said = json.loads(capsys.readouterr().out)
    assert said['fresh'] is not bool(code)
    assert (said['age'] < 0.0) == bool(code)


@pytest.mark.parametrize('name', ['time', 'took', 'interval'])
@pytest.mark.parametrize('value', ['nan', '7', None, [], 10**400])
def test_a_file_with_something_else_than_a_number_is_refused(
        tmp_path: Path, name: str, value: object, capsys: pytest.CaptureFixture[str],
) -> None:
    """A probe must not take it for a recent poll."""
    path = tmp_path / 'status'
    status_file.write(str(path), {**SHOWN, name: value})

    with pytest.raises(StatusError, match='is not the status file of a watch'):
        main.main(('status', str(path)))
    assert capsys.readouterr().out == ''


@pytest.mark.usefixtures('clocks')
def test_a_watch_that_has_a_name_is_shown_by_it(
        tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    """The watches of a config file have names; a single watch has none."""
    path = str(tmp_path / 'status')
    status_file.write(path, {**SHOWN, 'watch': 'front'})
    main.main(('status', path))
    named = capsys.readouterr().out
    status_file.write(path, SHOWN)
    main.main(('status', path))

    assert 'watch       front, pid 41, every 5 s\n' in named
    assert 'watch       pid 41, every 5 s\n' in capsys.readouterr().out


def test_idle_watch_still_writes_its_status_file(tmp_path: Path) -> None:
    """Nothing else changes in it, and a stale one would fail the probe."""
    conf, path = str(tmp_path / 'app.conf'), str(tmp_path / 'status')
    write(conf, 'first')
    words = (
        '--process', unique('gone'), '--interval', '20ms', '--status-file', path, conf,
    )
    with watch(*words) as sidecar:
        sidecar.until('baseline')
        # By then it has settled: the first polls differ from those that follow.
        moved(path, 3)
        before, after = moved(path, 2)

    differ = {name for name in after if after[name] != before[name]}
    assert differ - {'took'} == {'time', 'ended'}
    assert after['content'] == 'current'


def moved(path: str, looks: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the status that was shown, and the one some polls later."""
    until(lambda: os.path.exists(path), 'there is a status')
    first: dict[str, Any] = status_file.read(path)
    seen = {first['ended']}

    def looked() -> bool:
        seen.add(status_file.read(path)['ended'])
        return len(seen) > looks

    until(looked, 'it looks')
    return first, status_file.read(path)


def test_stopped_watch_is_not_fresh(
        tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    """Its process exists but does not run; once continued it is fresh again."""
    conf, path = str(tmp_path / 'app.conf'), str(tmp_path / 'status')
    write(conf, 'first')
    words = (
        '--process', unique('gone'), '--interval', '100ms', '--status-file', path, conf,
    )
    probe = ('status', '--max-age', '2s', path)
    with watch(*words) as sidecar:
        sidecar.until('baseline')
        until(lambda: os.path.exists(path), 'there is a status')
        well = main.main(probe)
        sidecar.send(signal.SIGSTOP)
        until(lambda: main.main(probe) == 1, 'it is too old')
        said = capsys.readouterr().out
        sidecar.send(signal.SIGCONT)
        until(lambda: main.main(probe) == 0, 'it is well')

    assert well == 0
    assert 's ago, which is more than 2 s' in said


@pytest.mark.parametrize('lacks', ['boot', 'seen', 'took'])
def test_a_file_that_lacks_something_is_one_line(tmp_path: Path, lacks: str) -> None:
    """Any program may have written it."""
    path = str(tmp_path / 'status')
    shown = dict(SHOWN)
    del shown[lacks]
    status_file.write(path, shown)

    with pytest.raises(StatusError, match='is not the status file of a watch'):
        status.run(path, 30.0, 'text')


def test_real_watch_shows_what_it_observed(
        tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    """After each poll: the first, and one that finds a change that is held."""
    conf, path = str(tmp_path / 'app.conf'), str(tmp_path / 'status')
    write(conf, 'first')
    words = ('--process', unique('gone'), '--status-file', path, conf, '/nowhere')
    with watch(*words) as sidecar:
        sidecar.until('baseline')
        sidecar.poll()
        first = status_file.read(path)
        write(conf, 'second')
        sidecar.poll()
        second = status_file.read(path)
        assert status.run(path, 30.0, 'text') == 0

    assert (first['content'], first['held']) == ('current', '')
    assert first['seen'] == first['done']
    assert first['unreadable'] == [['/nowhere', 'no such file']]
    assert (second['content'], second['held']) == ('due', 'no target')
    assert second['seen'] != second['done'] == first['done']
    assert second['pid'] == sidecar.pid
    assert 'due' in capsys.readouterr().out


def test_unwritable_status_file_is_logged_once(tmp_path: Path) -> None:
    """The watch goes on."""
    conf, path = str(tmp_path / 'app.conf'), str(tmp_path / 'none' / 'status')
    write(conf, 'first')
    write(tmp_path / 'none', 'a file')
    with watch('--process', unique('gone'), '--status-file', path, conf) as sidecar:
        failed = sidecar.until('failed')
        sidecar.poll()
        (tmp_path / 'none').unlink()
        sidecar.poll()
        assert status_file.read(path)['content'] == 'current'

    assert failed['message'] == (
        f'cannot write {path} (--status-file): not a directory'
    )
    assert sidecar.count('failed') == 1


@pytest.mark.usefixtures('clocks')
def test_row_without_a_value_is_left_out(
        tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is held, nothing failed, everything can be read."""
    path = str(tmp_path / 'status')
    status_file.write(path, SHOWN)

    assert status.run(path, 30.0, 'text') == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ['last', 'watch', 'paths', 'target', 'version', 'seen', 'delivered']
