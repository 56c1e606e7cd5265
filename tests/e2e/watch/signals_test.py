"""Signals to a watch, and unusual environments."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support import targets
from tests.support.sidecar import Mark, watch, write
from tests.support.targets import unsignalled
from tests.support.watching import comm, told, watching


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize('namespace', [False, True], ids=['plain', 'as pid 1'])
def test_stop_signals_end_it_with_0(
        conf: str, target: targets.Target, number: int, namespace: bool,
) -> None:
    """Also as pid 1, which is spared whatever it does not wait for."""
    with watch('--process', comm(target), conf, namespace=namespace) as it:
        it.until('baseline')
        status = it.stop(number)

    assert status == 0
    assert it.seen[-1]['message'] == f'on {signal.Signals(number).name}'


@pytest.mark.parametrize('option', ['--validate', '--verify'])
def test_stop_ends_the_command_that_runs_and_all_it_started(
        conf: str, target: targets.Target, option: str, tmp_path: Path,
) -> None:
    """Rule 11: TERM ends everything within a second, whatever is under way."""
    with Mark(tmp_path / 'mark') as mark:
        script = f'exec 3>{mark.path}; sleep 600 & echo running >&3; wait'
        with watching(target, option, f"sh -c '{script}'", conf) as it:
            write(conf, 'second')
            it.poll()
            assert mark.read() == 'running'
            status = it.status()
            ended = it.stop()
            mark.close()
            left = mark.read()

    assert f'under way: {option[2:]}' in status
    assert ended == 0
    assert left == ''


def test_content_that_changes_during_validation_is_not_delivered(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """A validation counts only for the content that it ran on."""
    with Mark(tmp_path / 'mark') as mark:
        script = f'cat {conf} >{mark.path}; grep -q second {conf} && exec sleep 600; :'
        with watching(target, '--validate', f"sh -c '{script}'", conf) as it:
            write(conf, 'second\n')
            it.poll()
            first = mark.read()
            write(conf, 'third\n')
            it.poll()
            then = mark.read()
            it.until('delivered')

    assert (first, then) == ('second', 'third')
    assert target.read() == 'HUP'
    assert it.count('signalled') == 1


def test_as_pid_1_it_reaps_the_orphans_of_others(
        conf: str, target: targets.Target,
) -> None:
    """One that ended before we began and one that does later: none stays a zombie."""
    under = ('sh', '-c', 'sleep 0.001 & sleep 0.3 & exec "$@"', 'sh')
    with watch(
            '--process', comm(target), conf, namespace=True, under=under,
    ) as it:
        it.until('baseline')
        while children_of(it.pid):
            it.poll()
        status = it.stop()

    assert status == 0


def children_of(parent: int) -> list[str]:
    """Return the pids of the children of a process, also of those that are dead."""
    found = []
    for pid in filter(str.isdecimal, os.listdir('/proc')):
        with contextlib.suppress(OSError), open(f'/proc/{pid}/stat', 'rb') as stat:
            if int(stat.read().rpartition(b')')[2].split()[1]) == parent:
                found.append(pid)
    return found


def test_ignored_signals_that_it_inherits_do_not_matter(
        conf: str, target: targets.Target,
) -> None:
    """SIGCHLD: sigtimedwait would never see it. INT, HUP: a background job, nohup."""
    under = (sys.executable, '-I', '-S', '-c', (
        'import os, signal, sys\n'
        'for each in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):\n'
        '    signal.signal(each, signal.SIG_IGN)\n'
        'os.execvp(sys.argv[1], sys.argv[1:])\n'
    ))
    with watching(target, '--validate', 'true', conf, under=under) as it:
        good = told(it, conf, target)
        status = it.stop(signal.SIGINT)

    assert good
    assert status == 0


def test_under_nohup_it_polls_on_hup(conf: str, target: targets.Target) -> None:
    """HUP asks for a poll, also if it was ignored at the start."""
    with watching(target, conf, under=('nohup',)) as it:
        assert told(it, conf, target)


def test_full_stderr_pipe_does_not_hang_it(conf: str, target: targets.Target) -> None:
    """Rule 11: a reader that does not read loses lines, and does not stop the loop.

    The change is delivered, and TERM is answered.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b'.' * 4096):
            pass
    os.set_blocking(writer, True)
    with watch(
            '--process', comm(target), '--on-start', 'always', conf, stderr=writer,
    ) as it:
        got = target.read()
        it.send(signal.SIGTERM)
        status = it.child.wait(targets.DEADLINE)
    os.close(reader)
    os.close(writer)

    assert got == 'HUP'
    assert status == 0


def test_reader_of_stderr_that_goes_away_does_not_end_it(
        conf: str, target: targets.Target,
) -> None:
    """A broken pipe is no reason to stop notifying."""
    with watching(target, conf) as it:
        assert it.child.stderr is not None
        it.child.stderr.close()
        write(conf, 'second')
        it.send(signal.SIGHUP)
        got = target.read()
        it.send(signal.SIGTERM)
        status = it.child.wait(targets.DEADLINE)

    assert got == 'HUP'
    assert status == 0


@pytest.mark.parametrize('closed', ['2>&-', '<&-', '>&-', '<&- >&- 2>&-'])
def test_closed_standard_streams_do_not_matter(
        conf: str, target: targets.Target, closed: str, tmp_path: Path,
) -> None:
    """No file of pollreload takes their place, and is written to as if it were stderr.
    """
    memory = tmp_path / 'memory'
    under = ('sh', '-c', f'exec "$@" {closed}', 'sh')
    with watch(
            '--process', comm(target), '--on-start', 'always', '--validate', 'true',
            '--state-file', str(memory), conf, under=under,
    ) as it:
        got = target.read()
        write(conf, 'second')
        it.send(signal.SIGHUP)
        again = target.read()
        it.send(signal.SIGTERM)
        status = it.child.wait(targets.DEADLINE)
    lock = tmp_path / 'memory.lock'

    assert (got, again) == ('HUP', 'HUP')
    assert status == 0
    assert lock.read_bytes() == b''
    assert json.loads(memory.read_bytes())['version'] == 1


def test_removed_working_directory_does_not_matter(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """Absolute paths need none, nor do commands that are found by PATH."""
    home = tmp_path / 'home'
    home.mkdir()
    under = ('sh', '-c', f'rmdir {home}; exec "$@"', 'sh')
    memory = str(tmp_path / 'memory')
    with watching(
            target, '--state-file', memory, '--validate', 'true', conf,
            under=under, cwd=home,
    ) as it:
        assert told(it, conf, target)


def test_many_signals_at_once_lose_nothing(conf: str, target: targets.Target) -> None:
    """A storm of HUP and USR1 is answered, and notifies no process."""
    with watching(target, conf) as it:
        for _ in range(200):
            it.send(signal.SIGHUP)
            it.send(signal.SIGUSR1)
        alone = unsignalled(target)
        good = told(it, conf, target)
        status = it.stop()

    assert alone
    assert good
    assert status == 0
