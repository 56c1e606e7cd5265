"""tests/run.sh runs every stage, also after one that fails."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sidecar import ROOT
from tests.support.targets import DEADLINE

STAGES = {
    'ruff': 'ruff', 'mypy': 'mypy', 'import-linter': 'lint-imports',
    'unit and model tests': 'pytest',
}


def quick(top: Path, failing: str) -> subprocess.CompletedProcess[str]:
    """Run the quick stages in a checkout where each tool is a stub.

    failing: the tool that fails; '' for none.
    """
    here = top / 'checkout'
    (here / 'tests').mkdir(parents=True)
    shutil.copy(f'{ROOT}/tests/run.sh', here / 'tests')
    for name in ('setup.cfg', 'pyproject.toml'):
        (here / name).touch()
    tools = here / '.venv/bin'
    tools.mkdir(parents=True)
    for tool in STAGES.values():
        status = int(tool == failing)
        (tools / tool).write_text(f'#!/bin/sh\necho {tool} ran\nexit {status}\n')
        (tools / tool).chmod(0o755)
    version = subprocess.run(
        (sys.executable, '-VV'), capture_output=True, text=True, check=True,
    ).stdout
    # The requirements that this .venv is made of, see run.sh.
    (here / '.venv/wanted').write_text(f'{version}{here}\n')
    return subprocess.run(
        ('sh', f'{here}/tests/run.sh', '--quick'), capture_output=True, text=True,
        check=False, timeout=DEADLINE, env={
            'PATH': f'{os.path.dirname(sys.executable)}:{os.defpath}',
            'TMPDIR': str(top),
        },
    )


@pytest.mark.parametrize('failing', STAGES)
def test_a_stage_that_fails_hides_no_later_one(tmp_path: Path, failing: str) -> None:
    """All stages run; the last line names the one that failed."""
    done = quick(tmp_path, STAGES[failing])

    for stage in STAGES:
        how = 'failed' if stage == failing else 'ok, '
        assert f'run.sh: {stage}: {how}' in done.stdout
    assert done.stderr.endswith(f'run.sh: failed: {failing}\n')
    assert done.returncode == 1
    assert os.listdir(tmp_path) == ['checkout']


def test_quick_says_at_the_start_what_will_run(tmp_path: Path) -> None:
    """With about how long each stage takes; what passes prints one line."""
    done = quick(tmp_path, '')

    first, *lines = done.stdout.splitlines()
    plan = [line.rsplit(None, 2)[0].strip() for line in lines[:len(STAGES)]]
    assert 'how long' in first
    assert plan == list(STAGES)
    assert lines[-1] == 'run.sh: all stages passed'
    assert 'ruff ran' not in done.stdout
    assert (done.returncode, done.stderr) == (0, '')
