"""The workflows of GitHub, as far as they can be checked without it."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / '.github/workflows').glob('*.yml'))
SCHEMAS = {
    'vendor.github-workflows': '.github/workflows/*.yml',
    'vendor.dependabot': '.github/dependabot.yml',
    'vendor.github-issue-forms': '.github/ISSUE_TEMPLATE/[!c]*.yml',
    'vendor.github-issue-config': '.github/ISSUE_TEMPLATE/config.yml',
}


def command_output(*command: str) -> str:
    """Return the output of a tool that is installed beside this Python."""
    tool = Path(sys.executable).parent / command[0]
    done = subprocess.run(
        [tool, *command[1:]], cwd=ROOT, stdout=subprocess.PIPE, check=False,
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=60,
    )
    assert not done.returncode, done.stdout
    return done.stdout


def load(name: str) -> Any:
    """Return a workflow."""
    return yaml.safe_load((ROOT / f'.github/workflows/{name}.yml').read_text())


def test_actionlint_finds_nothing() -> None:
    """It also gives the scripts to shellcheck, if that is installed."""
    assert command_output('actionlint', '-no-color') == ''


def test_zizmor_finds_nothing() -> None:
    """Pinned actions, least permissions, no credentials left behind, no injection."""
    assert 'No findings to report' in command_output(
        'zizmor', '--offline', '--no-progress', '--color', 'never', '.github',
    )


@pytest.mark.parametrize('schema', SCHEMAS)
def test_file_fits_the_schema(schema: str) -> None:
    """As check-jsonschema carries them."""
    files = sorted(map(str, ROOT.glob(SCHEMAS[schema])))

    assert files
    command_output('check-jsonschema', '--builtin-schema', schema, *files)


def test_ci_runs_the_same_script_as_everywhere() -> None:
    """Nothing is tested only by the workflow."""
    (job,) = load('ci')['jobs'].values()

    assert [step['run'] for step in job['steps'] if 'run' in step][-1] == '.ci/run'


def test_release_publishes_what_the_script_builds() -> None:
    """Every directory that it pushes from is one of packaging/release.sh."""
    text = (ROOT / '.github/workflows/release.yml').read_text()
    script = (ROOT / 'packaging/release.sh').read_text()

    assert 'sh packaging/release.sh dist' in text
    used = set(re.findall(r'\bdist/([a-z]+)\b', text))
    assert used == {'python', 'chart', 'kubernetes', 'sbom'}
    assert all(f'"$to/{each}"' in script for each in used)


def test_only_the_job_that_needs_a_permission_has_it() -> None:
    """None for the workflow, and no write access to the code but for the release."""
    for path in WORKFLOWS:
        workflow = load(path.stem)
        assert workflow['permissions'] == {}
        for name, job in workflow['jobs'].items():
            assert set(job['permissions']) <= {
                'contents', 'packages', 'id-token', 'attestations',
            }
            assert job['permissions'].get('contents') != 'write' or name == 'release'


def test_a_bug_report_asks_for_doctor() -> None:
    """The form cannot be sent without it."""
    form = yaml.safe_load((ROOT / '.github/ISSUE_TEMPLATE/bug.yml').read_text())
    (field,) = (each for each in form['body'] if each.get('id') == 'doctor')

    assert field['attributes']['label'] == 'pollreload doctor --output json'
    assert field['validations']['required']
