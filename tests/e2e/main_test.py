"""Where every command begins, and where its errors end."""
from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pollreload import __main__ as program
from pollreload.cli import main
from pollreload.commands import watch
from pollreload.errors import REPORT, LedgerBusy, UsageError
from pollreload.settings import Plan, Settings
from pollreload.system import children
from tests.support import sidecar
from tests.support.targets import DEADLINE


def failing(error: BaseException) -> Callable[..., NoReturn]:
    """Return a command line that ends in an error."""
    def run(args: object) -> NoReturn:
        raise error
    return run


def ran(*args: str) -> object:
    """Return all that main() makes of arguments, in a child: it changes signals for
    good.
    """
    def run() -> object:
        sys.argv[1:] = args
        return program.main()

    pid, fd = children.fork(run, deaf=True)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert children.poll_child(pid) == 0
    return children.read_value(fd)


@pytest.mark.parametrize('error', [UsageError('what is wrong'), LedgerBusy('busy')])
def test_error_that_a_user_can_fix_is_one_line(
        monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
        error: UsageError | LedgerBusy,
) -> None:
    """No traceback, and the status says whose fault it is."""
    monkeypatch.setattr(main, 'main', failing(error))

    assert ran('check') == error.status
    assert capfd.readouterr().err == f'pollreload: {error}\n'


def test_fault_in_pollreload_shows_its_traceback_and_is_70(
        monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:
    """A report has all that it takes to fix it."""
    monkeypatch.setattr(main, 'main', failing(ZeroDivisionError('ours')))

    assert ran('check') == 70
    said = capfd.readouterr().err
    assert 'Traceback (most recent call last)' in said
    assert said.endswith(f'this is a fault in pollreload; {REPORT}, with these lines\n')
    assert 'issue tracker' in REPORT


@pytest.mark.parametrize('args', [
    ('--help',), ('digest', sidecar.ROOT + '/pollreload'), ('watch', '--help'),
])
def test_reader_that_goes_away_is_no_fault(args: tuple[str, ...]) -> None:
    """`pollreload ... | head -0`: silence, and the status of a broken pipe."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*sidecar.POLLRELOAD, *args], env=sidecar.environment(), stdout=writer,
        stderr=subprocess.PIPE, timeout=DEADLINE, check=False, text=True,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, '')


@pytest.mark.parametrize('args', [
    ('--help',), ('watch', '--help'), ('digest', sidecar.ROOT + '/setup.cfg'),
    ('check', '--dry-run', '--output', 'json', '--process', 'x', '/nowhere'),
])
def test_stdout_that_is_full_is_74(args: tuple[str, ...]) -> None:
    """The disk is the world's: one line that says so, and no fault in pollreload."""
    with open('/dev/full', 'wb') as full:
        done = subprocess.run(
            [*sidecar.POLLRELOAD, *args], env=sidecar.environment(), stdout=full,
            stderr=subprocess.PIPE, timeout=DEADLINE, check=False, text=True,
        )

    assert done.returncode == 74
    assert done.stderr.splitlines()[-1] == (
        'pollreload: cannot write to stdout: No space left on device'
    )


def test_watch_runs_with_the_settings_that_a_child_has_read(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They arrive as they were, and click is not needed for that."""
    wanted = Settings(('/a', '/b'), 'nginx', validate=('nginx', '-t'), interval=0.5)
    monkeypatch.setattr(
        watch, 'run', lambda plan, again: 40 + (plan == Plan((wanted,))),
    )

    assert ran(
        'watch', '--process', 'nginx', '--validate', 'nginx -t', '--interval', '500ms',
        '/a', '/b',
    ) == 41


def test_watch_with_wrong_arguments_is_2_in_the_child(
        capfd: pytest.CaptureFixture[str],
) -> None:
    """Nothing is watched."""
    assert ran('watch') == 2
    assert capfd.readouterr().err.startswith('pollreload: no path to watch')


def test_fault_in_the_child_is_70(
        monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:
    """The child says what it was, and the parent does not go on."""
    monkeypatch.setattr(main, 'run_packed', failing(ZeroDivisionError('ours')))

    assert ran('watch') == 70
    assert 'ZeroDivisionError: ours' in capfd.readouterr().err


def test_child_that_was_killed_shows_its_signal(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Out of memory, or Ctrl-C: there are no settings to go on with."""
    def killed(args: object) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(main, 'run_packed', killed)

    assert ran('watch') == 128 + signal.SIGKILL


def test_poll_that_is_asked_for_too_early_ends_nothing(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HUP and USR1 are kept from the first line on; nothing is imported before."""
    def run(args: object) -> int:
        kept = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return 40 + (kept == {signal.SIGHUP, signal.SIGUSR1})

    monkeypatch.setattr(program, 'run_command', run)

    assert ran('watch') == 41
    assert ran('check') == 40


def test_stop_that_comes_before_the_first_poll_is_answered() -> None:
    """A signal is kept from the moment on that the arguments are read."""
    with sidecar.watch('--process', 'nobody', '/etc/hostname') as it:
        it.until('started')
        status = it.stop()

    assert status == 0


def test_what_cannot_be_written_at_the_end_is_said_by_the_status(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where main has ended by an error, and left something to be written."""
    ended: list[int] = []

    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, 'full')

    monkeypatch.setattr(program, 'main', lambda: 4)
    monkeypatch.setattr(program, 'status_of_failed_write', lambda error: 74)
    monkeypatch.setattr(os, '_exit', ended.append)
    monkeypatch.setattr(sys, 'stdout', Full())
    run: Callable[[], object] = program.command
    run()

    assert ended == [74]


def test_a_name_that_stdout_cannot_say_is_no_fault(tmp_path: Path) -> None:
    """It is written by its numbers, as on stderr."""
    (tmp_path / 'app.conf').write_text('x')
    got = subprocess.run(
        [*sidecar.POLLRELOAD, 'check', '--settle', '0', '--on-start', 'always',
         '--state-file', str(tmp_path / 'ledger'), '--process', 'n\xfc\u20ac',
         str(tmp_path / 'app.conf')],
        env={**sidecar.environment({}), 'PYTHONIOENCODING': 'ascii'},
        capture_output=True, check=False, timeout=DEADLINE,
    )

    assert got.returncode == 1
    assert b"no process is called 'n\\xfc\\u20ac'" in got.stdout
