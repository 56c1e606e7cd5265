"""The examples: what they show is so, and what they say can be done."""
from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from pollreload.cli.main import main
from pollreload.settings import Plan
from tests.servers.harness import DEADLINE, environment, free_port, needed

EXAMPLES = Path(__file__).parents[2] / 'examples'
# The program that an example needs, and Debian's package of it.
NEEDS = {
    'apache': ('apache2', 'apache2-bin'),
    'gunicorn': ('gunicorn', 'gunicorn'),
    'haproxy': ('haproxy', 'haproxy'),
    'nginx': ('nginx', 'nginx'),
}
# What its ConfigMap holds.
HELD = {
    'apache': ('site.conf',),
    'gunicorn': ('gunicorn.conf.py', 'app.py'),
    'haproxy': ('haproxy.cfg',),
    'nginx': ('site.conf',),
}


def running(args: str) -> Iterator[str]:
    """Yield the arguments of each process that has these arguments among them."""
    for entry in filter(str.isdecimal, os.listdir('/proc')):
        try:
            line = Path(f'/proc/{entry}/cmdline').read_bytes().decode(errors='replace')
        except OSError:
            continue
        if args in line:
            yield line.replace('\0', ' ')


def kind(line: str) -> str:
    """Return a line of the log without its time, its pid and the path."""
    return re.sub(r'^\S+Z |(?<=pid )\d+|(?<=changed: )\S+', '', line)


@pytest.mark.parametrize('name', NEEDS)
def test_run_shows_a_reload_and_leaves_nothing(
        name: str, open_directory: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """run.sh serves each good answer, keeps it over a bad one, and cleans up."""
    here = os.path.dirname(sys.executable)
    monkeypatch.setenv('PATH', f'{here}:{os.environ["PATH"]}')
    needed(*NEEDS[name])

    done = subprocess.run(
        ['sh', EXAMPLES / name / 'run.sh'], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=DEADLINE, check=False,
        env={
            **environment(), 'PORT': str(free_port()), 'TMPDIR': str(open_directory),
            'HOME': str(open_directory),
        },
    )

    assert done.returncode == 0, done.stdout + done.stderr
    answers = re.findall('^the (.*) answer$', done.stdout, re.MULTILINE)
    assert answers == ['first', 'second', 'second', 'third']
    assert len(re.findall(' verified: ', done.stdout)) == 2
    if name == 'nginx':
        # The README shows the log of such a reload.
        block = (EXAMPLES.parent / 'README.md').read_text().split('```\n')[1]
        shown = [*map(kind, block.splitlines())]
        assert len(shown) == 4
        assert {*shown} <= {*map(kind, done.stdout.splitlines())}
    assert list(open_directory.iterdir()) == []
    assert list(running(str(open_directory))) == []


@pytest.mark.parametrize('name', NEEDS)
def test_the_commands_are_accepted(name: str) -> None:
    """The command of README.md and the arguments in pod.yaml are a watch of today."""
    readme = (EXAMPLES / name / 'README.md').read_text()
    pod = (EXAMPLES / name / 'pod.yaml').read_text()
    command = re.findall(r'(?:^    .*\n)+', readme, re.MULTILINE)[0]
    listed = pod.partition(' args:\n')[2].partition(' resources:')[0]
    arguments = re.findall('^        - (.*)$', listed, re.MULTILINE)

    for args in shlex.split(command)[1:], arguments:
        assert isinstance(main(args), Plan), args


@pytest.mark.parametrize(
    ('name', 'file'), [(name, file) for name in HELD for file in HELD[name]],
)
def test_pod_and_file_are_the_same(name: str, file: str) -> None:
    """The ConfigMap in pod.yaml holds each file, but for its first comment."""
    lines = (EXAMPLES / name / file).read_text().splitlines()
    pod = (EXAMPLES / name / 'pod.yaml').read_text().splitlines()

    rest = pod[pod.index(f'  {file}: |') + 1:]
    held = [
        line.removeprefix('    ')
        for line in takewhile(lambda line: not line or line.startswith('    '), rest)
    ]

    assert held == [line for line in lines if not line.startswith('#')]
