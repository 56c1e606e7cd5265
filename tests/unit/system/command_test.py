from __future__ import annotations

import errno
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from pollreload.system import children
from pollreload.system import command as command_of
from tests.support.commands import beside, run_command, wait


def test_command_gets_its_environment_and_arguments(
        capfd: pytest.CaptureFixture[str],
) -> None:
    """Both, and nothing else; its stdout is our stderr."""
    status = run_command('sh', '-c', 'echo "$1|$POLLRELOAD_PID"; env', 'sh', 'a b',
                 POLLRELOAD_PID='41')

    said = capfd.readouterr()
    assert status == 0
    assert said.out == ''
    assert said.err.startswith('a b|41\n')
    assert 'HOME=' not in said.err


def test_command_reads_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """stdin is /dev/null: a command that asks gets an end, not our input."""
    def with_input() -> int | None:
        reader, _ = os.pipe()
        os.dup2(reader, 0)
        return run_command('readlink', '/proc/self/fd/0')

    assert beside(with_input) == 0
    assert capfd.readouterr().err == '/dev/null\n'


@pytest.mark.usefixtures('blocked')
def test_command_has_clean_signals(capfd: pytest.CaptureFixture[str]) -> None:
    """What we block or ignore (Python: PIPE, XFSZ) is neither in the command."""
    status = run_command('grep', '-E', 'Sig(Blk|Ign)', '/proc/self/status')

    said = capfd.readouterr().err.split()
    cleared = sum(1 << (number - 1) for number in children.CLEARED)
    assert status == 0
    assert said[:2] == ['SigBlk:', '0' * 16]
    assert int(said[3], 16) & cleared == 0
    assert cleared & 1 << (signal.SIGXFSZ - 1)


def test_command_leads_its_own_group() -> None:
    """Its group is its pid, and not ours."""
    pid = command_of.spawn(['sleep', '1000'], {})
    group = os.getpgid(pid)
    children.end(pid)

    assert group == pid


@pytest.mark.parametrize(
    ('command', 'error'),
    [
        ([], errno.ENOENT),
        ([''], errno.ENOENT),
        (['no-such-program'], errno.ENOENT),
        (['./no-such-program'], errno.ENOENT),
        (['./directory'], errno.EACCES),
        (['./not-executable'], errno.EACCES),
        (['./no-interpreter'], errno.ENOENT),
        (['./no-shebang'], errno.ENOEXEC),
        (['./not-executable/x'], errno.ENOTDIR),
    ],
)
def test_command_that_cannot_be_started(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        command: list[str], error: int,
) -> None:
    """It is an OSError here, not a status of a child; and no shell is tried."""
    (tmp_path / 'directory').mkdir()
    (tmp_path / 'not-executable').write_text('#!/bin/sh\n')
    for name, text in (('no-interpreter', '#!/no/such\n'), ('no-shebang', 'exit 0\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_of, 'LOADED', 60.0)  # however busy the machine

    with pytest.raises(OSError) as caught:
        command_of.spawn(command, {})

    assert caught.value.errno == error


@pytest.mark.parametrize(
    ('command', 'says'),
    [
        (['good', '-t'], ''),
        (['{}/b/good'], ''),
        (['both'], ''),
        (['sub/good'], 'no such program: sub/good'),
        (['none'], 'no such program: none'),
        (['plain'], 'not executable: {}/a/plain'),
        (['directory'], 'not executable: {}/a/directory'),
        ([''], 'no command'),
        ([], 'no command'),
    ],
)
def test_missing(tmp_path: Path, command: Sequence[str], says: str) -> None:
    """Looked for as exec would, along the PATH; a reason for each that fails."""
    for directory in ('a/directory', 'b'):
        (tmp_path / directory).mkdir(parents=True)
    for name, mode in (
            ('b/good', 0o755), ('a/plain', 0o644), ('a/both', 0o644), ('b/both', 0o755),
    ):
        (tmp_path / name).touch(mode)
    path = f'{tmp_path}/a:{tmp_path}/b'

    said = command_of.program_trouble([word.format(tmp_path) for word in command], path)

    assert said == says.format(tmp_path)


def test_missing_in_the_working_directory(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An empty entry of PATH is the working directory, environ(7)."""
    (tmp_path / 'good').touch(0o755)
    monkeypatch.chdir(tmp_path)

    assert command_of.program_trouble(['good'], '/nowhere:') == ''
    assert command_of.program_trouble(['./good'], '/nowhere') == ''
    assert command_of.program_trouble(['good'], '/nowhere') != ''


def test_program_that_is_not_loaded_in_time_is_running(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be on a file system that does not answer; a late error is its output."""
    monkeypatch.setattr(command_of, 'LOADED', 0.0)
    gate, opened = os.pipe()

    def load(*_: object) -> None:
        os.read(gate, 1)
        raise OSError(errno.EIO, 'Input/Output Error')

    monkeypatch.setattr(os, 'execvpe', load)
    ours, theirs = command_of.pipe()
    pid = command_of.spawn(['app'], {}, theirs)
    os.close(theirs)
    running = children.poll_child(pid)
    os.write(opened, b'x')
    status = wait(pid)
    said = command_of.drain(ours, b'', 100)
    for fd in (gate, opened, ours):
        os.close(fd)

    assert running is None
    assert status == command_of.NOT_RUN
    assert said == b'app: input/output error\n'


def test_command_that_cannot_be_forked_leaves_no_descriptor(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """EAGAIN: no process to spare."""
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, 'no process')

    monkeypatch.setattr(os, 'fork', fork)
    first = os.dup(0)
    os.close(first)

    with pytest.raises(BlockingIOError):
        command_of.spawn(['true'], {})

    again = os.dup(0)
    os.close(again)
    assert again == first


def test_command_runs_without_a_dev_null(
        monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:
    """Its stdin is an empty file then."""
    monkeypatch.setattr(os, 'devnull', '/nowhere/null')

    assert run_command('sh', '-c', 'cat; echo done', PATH=os.environ['PATH']) == 0
    assert capfd.readouterr().err == 'done\n'
