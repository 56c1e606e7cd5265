"""The commands of a watch."""
from __future__ import annotations

from pathlib import Path

import pytest

from pollreload.runtime import runner
from pollreload.system import command
from tests.support.observer_child import ended


def test_command_runs_with_additions_and_its_output_is_kept(tmp_path: Path) -> None:
    """The end of what it printed, of each command separately."""
    running = runner.Runner()
    nothing = running.output()
    assert running.run(('sh', '-c', 'echo first; echo $EXTRA >&2; exit 3'),
                     {'EXTRA': 'more'}) == ''
    ended(running.pid)
    status, said = running.ran(), running.output()
    running.run(('sh', '-c', 'seq 1 9999; echo end'), {})
    ended(running.pid)
    running.ran()

    assert nothing == ''
    assert (status, said) == (3, 'first\nmore')
    assert running.output().endswith('9999\nend')
    assert len(running.output()) <= runner.MOST_OUTPUT


def test_command_that_runs_has_no_status_yet_and_can_be_cancelled() -> None:
    """With all of its group; to cancel nothing is nothing."""
    running = runner.Runner()
    running.run(('sleep', '600'), {})
    status = running.ran()
    running.cancel()
    running.cancel()

    assert status is None
    assert running.pid == 0


def test_command_that_cannot_be_run_says_why(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The program is named, and the reason."""
    # However slow the machine is.
    monkeypatch.setattr(command, 'LOADED', 60.0)
    running = runner.Runner()
    directory = str(tmp_path)

    assert running.run(('/nowhere',), {}) == '/nowhere: no such file or directory'
    assert running.run((directory,), {}) == f'{directory}: permission denied'
    assert running.pid == 0


def test_program_is_searched_in_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty entry is the working directory; a name with a slash is its own place."""
    monkeypatch.setenv('PATH', '/a::/b')

    assert runner.find_program(('true',)) == ['/a', '.', '/b']
    assert runner.find_program(('./true',)) == ['./true']
