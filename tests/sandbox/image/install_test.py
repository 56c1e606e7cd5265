"""What install-to leaves, in images of other programs."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.sandbox.harness import APP, DEADLINE, Lines, fetched
from tests.servers.harness import free_port
from tests.support.image_root import NOBODY, Root, probed
from tests.support.probe import PATHS
from tests.support.sidecar import event, quick, unique

# What an app's image may set for its own Python; none of it is for ours.
FOREIGN = {
    'LC_ALL': 'de_DE.ISO-8859-1', 'PYTHONHOME': '/none', 'PYTHONPATH': '/none',
    'PYTHONSTARTUP': '/none', 'LD_LIBRARY_PATH': '/none', 'PATH': '/bin',
}


@pytest.fixture(scope='module')
def installed(image: Root) -> Path:
    """A volume that the image was installed to, by a uid that only may do that."""
    done = image.run('/usr/local/bin/pollreload', 'install-to', '/shared', uid=NOBODY)

    assert done == (0, 'installed: /shared/pollreload\n', '')
    own = os.readlink(image.volume / 'lib').removesuffix('/lib')
    assert {*os.listdir(image.volume)} == {'app.conf', 'lib', 'pollreload', own}
    return image.volume


# Image -> a program of its own that --validate can be.
TOOLS = {
    'busybox': 'true', 'musl': 'ninja --version', 'newer': 'sh -c true', 'none': '',
}
LAUNCHER = ('/shared/pollreload',)
ONCE = ('--on-start', 'always', '--state-file', '/tmp/ledger/app')
WITHOUT_SHELL = (
    '/shared/lib/pollreload', '--library-path', '/shared/lib', '/shared/lib/python3',
    '-ISXutf8', '-m', 'pollreload',
)


@pytest.fixture(params=TOOLS)
def other(
        request: pytest.FixtureRequest, installed: Path, tmp_path: Path,
) -> Root:
    """An image of others, with the volume: busybox, musl, a newer libc, or nothing."""
    if request.param != 'none':
        return Root(fetched(f'roots/{request.param}', 'get-roots.sh'), installed)
    for name in ('dev', 'proc', 'shared', 'tmp'):
        (tmp_path / name).mkdir()
    tmp_path.chmod(0o755)
    return Root(tmp_path, installed)


def launched(other: Root) -> Sequence[str]:
    """Return the arguments that start pollreload there."""
    return LAUNCHER if (other.place / 'bin' / 'sh').exists() else WITHOUT_SHELL


def test_installed_runs_in_any_image(other: Root) -> None:
    """Its own loader, libraries and Python: whatever libc is there, or none."""
    for env in ({'PATH': '/bin'}, FOREIGN):
        done = other.run(*launched(other), '--version', uid=NOBODY, env=env)

        assert done.out.startswith('pollreload '), done
        assert (done.status, done.err) == (0, '')


def test_installed_validates_with_the_programs_of_the_app(other: Root) -> None:
    """There is the app's own `nginx -t`; the target is notified, and verified."""
    name = unique('app')
    tool = TOOLS.get(other.place.name, '')
    commands = ('--validate', tool, '--verify', tool) if tool else ()
    with subprocess.Popen(
            [sys.executable, str(APP), name, str(other.volume / 'app.conf')],
            stdout=subprocess.PIPE,
    ) as app:
        assert app.stdout is not None
        lines = Lines(app.stdout.fileno())
        lines.until('ready')
        done = other.run(
            *launched(other), 'check', *quick(
                *ONCE, '--process', name, *commands, '/shared/app.conf',
            ), env={'PATH': '/bin'},
        )
        line = lines.read()
        app.terminate()
    events = [event(line.encode())['event'] for line in done.err.splitlines()]

    assert done.status == 0, done
    assert line == 'reloaded | first'
    assert ('verified' if tool else 'delivered') in events, done.err


def test_installed_says_who_cannot_be_run(other: Root) -> None:
    """A --validate that is not in this image: held, with the reason in a line."""
    name = unique('app')
    with subprocess.Popen(
            [sys.executable, str(APP), name], stdout=subprocess.PIPE,
    ) as app:
        assert app.stdout is not None
        Lines(app.stdout.fileno()).until('ready')
        done = other.run(
            *launched(other), 'check', *quick(
                *ONCE, '--process', name, '--validate', 'nginx -t', '/shared/app.conf',
            ), env={'PATH': '/bin'},
        )
        app.terminate()

    assert done.status == 1
    assert 'cannot run --validate: nginx: no such file' in done.err


def test_installed_is_called_pollreload(other: Root) -> None:
    """In ps and to --process, also if a loader runs it."""
    args = (*launched(other), 'watch', '--process', 'nobody-x', '/shared/app.conf')
    with other.watch(*args, uid=NOBODY) as sidecar:
        comm = Path(f'/proc/{sidecar.pid}/comm').read_text()

    assert comm == 'pollreload\n'


def test_installed_is_scraped_in_any_image(other: Root) -> None:
    """Whatever is there of sockets, names and addresses."""
    port = free_port()
    args = (*launched(other), 'watch', '--process', 'nobody-x', '--listen', f':{port}')
    with other.watch(*args, '/shared/app.conf', uid=NOBODY) as sidecar:
        sidecar.status()

        assert probed(port) == dict.fromkeys(PATHS, 200)


def test_smoke_proves_it_in_any_image(other: Root) -> None:
    """It starts itself once more, and a target, in the same way."""
    done = other.run(*launched(other), 'smoke', uid=NOBODY, env=FOREIGN)

    assert done.status == 0, done


def test_installing_again_leaves_what_runs(image: Root, installed: Path) -> None:
    """An initContainer that runs again does not replace the files of a sidecar."""
    tree = (installed / 'lib').stat().st_ino
    with image.watch(
            *WITHOUT_SHELL, 'watch', '--process', 'nobody-x', '/shared/app.conf',
    ) as sidecar:
        done = image.run('/usr/local/bin/pollreload', 'install-to', '/shared')
        sidecar.poll()

    assert done.status == 0
    assert (installed / 'lib').stat().st_ino == tree


def test_full_volume_is_one_line(image: Root, tmp_path: Path) -> None:
    """The volume stays as it was: an emptyDir with a sizeLimit, or a full disk."""
    script = (
        'mount -t tmpfs -o size=5m,mode=1777 tmpfs "$0" && "$@"; echo $?; ls -A "$0"'
    )
    full = Root(image.place, tmp_path)
    command = full.command('/usr/local/bin/pollreload', 'install-to', '/shared')
    done = subprocess.run(
        ['unshare', '--mount', 'sh', '-c', script, str(tmp_path), *command],
        capture_output=True, text=True, check=True, timeout=DEADLINE,
    )

    assert done.stdout == '1\n'
    line, = done.stderr.splitlines()
    assert line.startswith('pollreload: cannot install: /shared/.pollreload-')
    assert line.endswith(': No space left on device')


def test_volume_of_others_is_one_line(image: Root, tmp_path: Path) -> None:
    """A user that may not write there sees the path and the reason."""
    tmp_path.chmod(0o755)
    done = Root(image.place, tmp_path).run(
        '/usr/local/bin/pollreload', 'install-to', '/shared', uid=NOBODY,
    )

    assert (done.status, done.out) == (1, '')
    assert re.fullmatch(
        r'pollreload: cannot install: /shared/\.pollreload-\w+: Permission denied\n',
        done.err,
    )
