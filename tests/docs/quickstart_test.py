"""The quickstart, as someone runs it who has just cloned."""
from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.support.scripts import load

recording = load('recording/build.py')

ROOT = os.path.abspath(os.path.join(__file__, '../../..'))
# All that the script calls, besides an interpreter.
TOOLS = (
    'cat', 'cksum', 'cp', 'date', 'dirname', 'env', 'grep', 'ln', 'mkdir', 'mkfifo',
    'mktemp', 'mv', 'readlink', 'rm', 'sh', 'tail', 'timeout',
)
TOO_OLD = '#!/bin/sh\ncase $2 in *print*) echo 3.9.2 ;; *) exit 1 ;; esac\n'
NO_VENV = '#!/bin/sh\ncase $2 in *print*) echo 3.11.2 ;; *ensurepip*) exit 1 ;; esac\n'


@pytest.fixture
def clone(tmp_path):
    """A copy of the tree as a commit would have it: what is ignored is not there."""
    names = subprocess.run(
        ('git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'),
        cwd=ROOT, capture_output=True, check=False,
    )
    if names.returncode:
        lacking('no git clone to copy')
    # Below a name with a blank, which a script may not split.
    top = tmp_path / 'a clone'
    for name in names.stdout.decode().split('\0'):
        source = os.path.join(ROOT, name)
        if name and os.path.isfile(source):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, top / name)
    return top


@pytest.fixture
def environ(tmp_path):
    """The environment of a user: an empty home, a temporary directory of its own."""
    (tmp_path / 'home').mkdir()
    (tmp_path / 'tmp').mkdir()
    ours = ('COVERAGE_', 'PYTEST_', 'POLLRELOAD_', 'VIRTUAL_ENV', 'PYTHON')
    return {
        **{name: value for name, value in os.environ.items()
           if not name.startswith(ours)},
        'HOME': str(tmp_path / 'home'), 'TMPDIR': str(tmp_path / 'tmp'),
        'PYTHON': sys.executable,
        # pip asks rustc for its version, and rustup then makes files of its own.
        'RUSTUP_HOME': str(tmp_path / 'rustup'),
    }


def lacking(reason: str) -> None:
    """Fail in CI, skip elsewhere."""
    if os.environ.get('CI'):
        pytest.fail(reason)
    pytest.skip(reason)


def start(clone, environ) -> subprocess.Popen[str]:
    """Start the quickstart, from another directory than the clone."""
    return subprocess.Popen(
        ('sh', str(clone / 'examples/quickstart.sh')), env=environ, cwd='/', text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def run_quickstart(clone, environ, index: bool = True) -> tuple[int, str, str]:
    """Return the exit status of the quickstart, and what it printed.

    index: it needs the package index, which may not be there.
    """
    with start(clone, environ) as child:
        out, err = child.communicate(timeout=110)
    if index and 'pip cannot install' in err:
        lacking(err.strip())
    return child.returncode, out, err


def running(tmp_path) -> list[str]:
    """Return the command lines of the processes that were started below a directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                cmdline = file.read().decode('utf-8', 'replace')
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(tmp_path) in cmdline:
            found.append(cmdline.replace('\0', ' '))
    return found


def files(top) -> set[str]:
    """Return the names of all files below a directory, relative to it."""
    return {
        os.path.relpath(os.path.join(below, name), top)
        for below, _, names in os.walk(top) for name in names
    }


def ignored(clone) -> bool:
    """Return whether git would leave .quickstart out of a commit."""
    subprocess.run(('git', 'init', '-q'), cwd=clone, check=True)
    said = subprocess.run(
        ('git', 'status', '--porcelain'), cwd=clone, capture_output=True, check=True,
    )
    return b'.quickstart' not in said.stdout


def fake(tmp_path, environ, script: str) -> dict[str, str]:
    """Return an environment whose PATH has the tools, and a script as its python3."""
    tools = tmp_path / 'bin'
    tools.mkdir()
    for tool in TOOLS:
        where = shutil.which(tool)
        assert where, tool
        (tools / tool).symlink_to(where)
    if script:
        (tools / 'python3').write_text(script)
        (tools / 'python3').chmod(0o755)
    fresh = {**environ, 'PATH': str(tools)}
    del fresh['PYTHON']
    return fresh


def test_quickstart_shows_a_delivery(clone, environ, tmp_path):
    """Before, the change, the sidecar's lines, after; a second run installs nothing."""
    before = files(clone)

    status, out, err = run_quickstart(clone, environ)

    assert (status, err) == (0, '')
    steps = [line for line in out.splitlines() if re.match(r'\d\. ', line)]
    assert [line[0] for line in steps] == list('1234567')
    order = (
        'Installing', 'baseline: 1 file in config', 'hello from the first config',
        'changed: config/greeting', 'signalled: SIGHUP to hello-server',
        'delivered: SIGHUP to hello-server', 'hello from the second config', 'Shown:',
        'doctor', 'smoke', 'sh tests/run.sh',
    )
    places = [out.index(words) for words in order]
    assert places == sorted(places)
    assert running(tmp_path) == []
    assert os.listdir(tmp_path / 'home') == os.listdir(tmp_path / 'tmp') == []
    assert all(name.startswith('.quickstart/') for name in files(clone) - before)
    assert ignored(clone)
    # The recording in the README shows such a run.
    recorded, _ = recording.parts()
    assert recording.words(recorded) == recording.words(out.splitlines())

    # The second run, with no index to be reached.
    environ = {**environ, 'PIP_NO_INDEX': '1', 'PIP_FIND_LINKS': str(tmp_path / 'home')}
    status, out, err = run_quickstart(clone, environ, index=False)

    assert (status, err) == (0, '')
    assert out.startswith('Using the environment in ')
    assert 'hello from the second config' in out

    # And one that is ended in the middle.
    with start(clone, environ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith('6.'):
                break
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=20)

    assert child.returncode == 128 + signal.SIGTERM
    assert running(tmp_path) == []
    assert os.listdir(tmp_path / 'tmp') == []


def test_python_that_is_too_old_is_named(clone, environ, tmp_path):
    """The version that was found, and the one that is needed, in one line."""
    status, out, err = run_quickstart(clone, fake(tmp_path, environ, TOO_OLD))

    assert (status, out) == (1, '')
    assert err == (
        'quickstart: Python 3.11 or later is needed, but python3 is 3.9.2; install '
        'python3 and python3-venv, or name an interpreter with PYTHON=...\n'
    )
    assert os.listdir(tmp_path / 'tmp') == []


def test_no_python_at_all_is_said(clone, environ, tmp_path):
    """Without any interpreter the line names the package."""
    status, out, err = run_quickstart(clone, fake(tmp_path, environ, ''))

    assert (status, out) == (1, '')
    assert 'python3 is not here; install python3 and python3-venv' in err
    assert err.count('\n') == 1


def test_python_without_venv_names_its_package(clone, environ, tmp_path):
    """Debian keeps venv in a package of its own."""
    status, out, err = run_quickstart(clone, fake(tmp_path, environ, NO_VENV))

    assert (status, out) == (1, '')
    assert err == (
        'quickstart: python3 (3.11.2) has no venv; install the package python3-venv\n'
    )


def test_a_later_python_is_found_behind_an_old_one(clone, environ, tmp_path):
    """python3 is too old, python3.12 is there and is taken."""
    fresh = fake(tmp_path, environ, TOO_OLD)
    (tmp_path / 'bin/python3.12').write_text(NO_VENV)
    (tmp_path / 'bin/python3.12').chmod(0o755)

    status, _, err = run_quickstart(clone, fresh)

    assert status == 1
    assert err == (
        'quickstart: python3.12 has no venv; install the package python3.12-venv\n'
    )


def test_a_named_python_is_the_only_one_tried(clone, environ):
    """PYTHON=... names one; another in its place would be a surprise."""
    status, _, err = run_quickstart(clone, {**environ, 'PYTHON': '/nonexistent/python'})

    assert status == 1
    assert '/nonexistent/python is not here' in err


def test_an_index_that_cannot_be_reached_is_said(clone, environ, tmp_path):
    """One line with what pip said last, nothing half-made is used by the next run."""
    nothing = str(tmp_path / 'home')
    environ = {**environ, 'PIP_NO_INDEX': '1', 'PIP_FIND_LINKS': nothing}

    status, _, err = run_quickstart(clone, environ, index=False)

    assert status == 1
    assert err.startswith('quickstart: pip cannot install pollreload with click')
    assert 'ERROR:' in err
    assert err.count('\n') == 1
    assert not (clone / '.quickstart/wanted').exists()
    assert os.listdir(tmp_path / 'tmp') == []


@pytest.mark.parametrize(('more', 'coloured'), [
    ({'TERM': 'xterm'}, True), ({'TERM': 'xterm', 'NO_COLOR': '1'}, False),
    ({'TERM': 'dumb'}, False),
])
def test_verdict_is_coloured_on_a_terminal(clone, environ, more, coloured):
    """Red for a failure, and never with NO_COLOR."""
    environ.pop('NO_COLOR', None)
    terminal, theirs = pty.openpty()
    try:
        done = subprocess.run(
            ('sh', f'{clone}/examples/quickstart.sh'), stderr=theirs,
            stdout=subprocess.DEVNULL, timeout=60, check=False,
            env={**environ, **more, 'PYTHON': '/nowhere/python'},
        )
        seen = os.read(terminal, 4096)
    finally:
        os.close(theirs)
        os.close(terminal)

    assert done.returncode == 1
    assert seen.startswith(b'\x1b[31mquickstart: ' if coloured else b'quickstart: ')
    assert (b'\x1b[0m\r\n' in seen) is coloured
