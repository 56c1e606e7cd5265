"""What the sandboxes are made with: what is missing is named, and nothing is stale."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.sandbox import harness
from tests.sandbox.harness import IMAGE, ROOT, TOOLS, fetched

SCRIPTS = sorted(path.name for path in (ROOT / 'tests/sandbox').glob('get-*.sh'))


def packages(script: str) -> list[str]:
    """Return the packages that a script says it needs."""
    done = subprocess.run(
        ['sh', ROOT / 'tests/sandbox' / script, '--packages'], check=True, text=True,
        stdout=subprocess.PIPE, env={'PATH': '/usr/bin:/bin'},
    )
    assert done.stdout.count('\n') == 1
    return done.stdout.split()


@pytest.mark.parametrize('script', SCRIPTS)
def test_what_is_missing_is_one_line_that_names_packages(
        script: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Outside CI a test is skipped for it; in CI it fails."""
    wanted = packages(script)
    monkeypatch.delenv('CI', raising=False)
    with pytest.raises(pytest.skip.Exception) as skipped:
        fetched('no-such-tool', script)
    monkeypatch.setenv('CI', '1')
    with pytest.raises(pytest.fail.Exception) as failed:
        fetched('no-such-tool', script)

    said = str(skipped.value)
    assert said == str(failed.value)
    assert said == (
        f'no-such-tool is not here: sh tests/sandbox/{script}, as root, gets it '
        f'from Debian: {" ".join(wanted)}'
    )
    assert wanted
    assert all(re.fullmatch(r'[a-z0-9][a-z0-9.+-]+', each) for each in wanted)


def test_run_without_root_names_what_the_sandboxes_need() -> None:
    """run.sh prints one line with the packages of all scripts; in CI it fails."""
    text = (ROOT / 'tests/run.sh').read_text()
    functions = re.findall(
        r'^(?:say|missing)\(\).*|^(?:failure|asked|finish)\(\) \{\n(?:.*\n)*?\}',
        text, re.MULTILINE,
    )
    line, = re.findall(r'^ +(missing "the sandboxes.*)', text, re.MULTILINE)
    program = '\n'.join(['failed=', *functions, line, 'finish'])
    for variables, status in (({}, 0), ({'CI': 'true'}, 1)):
        done = subprocess.run(
            ['sh', '-euc', program], cwd=ROOT, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={'PATH': os.environ['PATH'], **variables},
        )
        assert done.returncode == status
        first = done.stdout.splitlines()[0]
        found = re.search('only root can set up, with apt-get:([^:]+)', first)
        assert found, first
        assert set(found[1].split()) == {
            each for script in SCRIPTS for each in packages(script)
        }


@pytest.mark.parametrize('name', [
    'pollreload/commands/watch.py', 'packaging/image/closure.py',
    'packaging/image/requirements.txt',
    'Containerfile', '.dockerignore', 'setup.cfg', 'LICENSE',
    f'tests/sandbox/{IMAGE}', '.venv/sandbox/base.stamp',
])
def test_an_image_of_other_sources_is_noticed(name: str, tmp_path: Path) -> None:
    """Whatever it is made of: a change makes it stale, bytecode does not."""
    fetched('image.stamp', IMAGE)
    for place in ('pollreload', 'packaging/image'):
        shutil.copytree(ROOT / place, tmp_path / place)
    for file in ('Containerfile', '.dockerignore', 'setup.cfg', 'LICENSE',
                 f'tests/sandbox/{IMAGE}'):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / '.venv/sandbox').mkdir(parents=True)
    for file in ('base.stamp', 'image.stamp'):
        shutil.copy(TOOLS / file, tmp_path / '.venv/sandbox')
    (tmp_path / 'pollreload/commands/watch.pyc').touch()

    def check() -> int:
        return subprocess.call(
            ['sh', tmp_path / 'tests/sandbox' / IMAGE, '--check'],
        )

    assert check() == 0
    with open(tmp_path / name, 'a', encoding='utf-8') as changed:
        changed.write('\n# changed\n')
    assert check() == 1


def test_nothing_is_tested_on_a_stale_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says which script builds it again."""
    fetched('image.stamp', IMAGE)
    monkeypatch.setattr(harness, 'fresh', lambda: False)
    monkeypatch.delenv('CI', raising=False)

    with pytest.raises(pytest.skip.Exception) as skipped:
        fetched('pollreload.tar', IMAGE)

    assert str(skipped.value) == (
        'pollreload.tar is of other sources than these: sh tests/sandbox/get-image.sh'
    )
