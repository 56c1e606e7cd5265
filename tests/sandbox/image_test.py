"""The image, and what install-to makes of it in images of others.

It is run by chroot(2) in a mount namespace: what an engine adds is tested in
pod_test.py. The files are those of the archive, unpacked anew.
"""
from __future__ import annotations

import configparser
import contextlib
import json
import os
import re
import shutil
import signal
import stat
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import parser

from pollreload.cli import main
from tests.e2e.listen_test import said
from tests.sandbox.harness import APP, DEADLINE, ROOT, Lines, fetched, needed
from tests.servers.harness import free_port, missing, until
from tests.support.probe import PATHS, ask, status
from tests.support.scripts import load
from tests.support.sidecar import QUICK, Sidecar, event, quick, unique

figures = load('image/figures.py')

# What the issue of the image asks for.
UNPACKED, COMPRESSED, START = 14_000_000, 6_000_000, 1.3
LIB = 'usr/local/lib'
PYTHON = (f'/{LIB}/python3', '-ISXutf8')
NOBODY = 4711
# What an app's image may set for its own Python; none of it is for ours.
FOREIGN = {
    'LC_ALL': 'de_DE.ISO-8859-1', 'PYTHONHOME': '/none', 'PYTHONPATH': '/none',
    'PYTHONSTARTUP': '/none', 'LD_LIBRARY_PATH': '/none', 'PATH': '/bin',
}
# $0 a root, $1 a volume, $2 a uid, $3 chroot(8), for the PATH is that of the inside:
# nothing but /tmp and the volume can be written to.
ENTER = '''
root=$0 volume=$1 uid=$2 chroot=$3
shift 3
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --bind "$volume" "$root/shared"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs "$chroot" --userspec="$uid:$uid" --groups= "$root" "$@"
'''


class Done(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str


class Root:
    """A root file system of others, and a volume that is mounted at /shared."""

    def __init__(self, place: Path, volume: Path) -> None:
        self.place, self.volume = place, volume

    def command(self, *words: str, uid: int = 0) -> list[str]:
        """Return how to run something in it; it is the process that is started."""
        return [
            'unshare', '--mount', 'sh', '-ec', ENTER, str(self.place),
            str(self.volume), str(uid), needed('chroot', 'coreutils'), *words,
        ]

    def run(self, *words: str, uid: int = 0, env: dict[str, str] | None = None) -> Done:
        """Run something in it to its end."""
        done = subprocess.run(
            self.command(*words, uid=uid), stdin=subprocess.DEVNULL, timeout=DEADLINE,
            capture_output=True, text=True, check=False,
            env={'PATH': os.environ['PATH'], **(env or {})},
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def watch(self, *words: str, uid: int = 0) -> Iterator[Sidecar]:
        """Start a watch in it; words: from its program on."""
        with Sidecar(subprocess.Popen(
                self.command(*words, '--interval', '1h', *QUICK, uid=uid),
                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        ), namespace=False) as sidecar:
            sidecar.until('baseline')
            yield sidecar


@pytest.fixture(scope='module', autouse=True)
def able() -> None:
    """Skip what is not to be had here."""
    needed('setpriv', 'util-linux')
    if os.geteuid():
        missing('chroot needs root')


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the image, and nothing else."""
    place = tmp_path_factory.mktemp('files')
    figures.unpacked(fetched('pollreload.tar', 'get-image.sh'), place)
    return place


@pytest.fixture(scope='module')
def image(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The image, with the directories that an engine makes in it."""
    place = tmp_path_factory.mktemp('image')
    volume = tmp_path_factory.mktemp('volume')
    shutil.copytree(files, place, symlinks=True, dirs_exist_ok=True)
    for each in (place, volume):
        each.chmod(0o777)
    for name in ('dev', 'etc', 'proc', 'shared', 'tmp'):
        (place / name).mkdir()
    (place / 'etc/hosts').write_text('127.0.0.1 localhost app.example\n')
    (volume / 'app.conf').write_text('first\n')
    return Root(place, volume)


@pytest.fixture(scope='module')
def config() -> dict[str, Any]:
    """What an engine is told of the image."""
    with tarfile.open(fetched('pollreload.tar', 'get-image.sh')) as tar:
        def read(name: str) -> Any:
            file = tar.extractfile(name)
            assert file is not None
            return json.load(file)

        got: dict[str, Any] = read(read('manifest.json')[0]['Config'])
        return got


def layers(archive: Path) -> list[str]:
    """Return the digests of the layers of an archive."""
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile('manifest.json')
        assert manifest is not None
        file = tar.extractfile(json.load(manifest)[0]['Config'])
        assert file is not None
        return list(json.load(file)['rootfs']['diff_ids'])


def test_every_module_is_there(image: Root) -> None:
    """All of pollreload and of its dependencies can be imported."""
    names = [
        '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        for path in (ROOT / 'pollreload').glob('**/*.py')
        if path.stem not in ('__init__', '__main__')
    ]
    assert len(names) > 50

    program = 'import importlib, sys\nfor each in sys.argv[1:]: '
    done = image.run(
        *PYTHON, '-c', f'{program}importlib.import_module(each)',
        'pollreload', 'pollreload.__main__', 'click', 'xxhash', *names,
    )

    assert done == (0, '', '')


def test_modules_are_ours_and_nobody_elses(image: Root) -> None:
    """The check above can fail: what is not reached is not there."""
    for name in ('ssl', '_ssl', '_hashlib', 'sqlite3', 'unittest', 'pip',
                 'click.testing', 'prometheus_client', 'http.server'):
        assert 'ModuleNotFoundError' in image.run(*PYTHON, '-c', f'import {name}').err


# Words -> the exit status, and what is said on stdout or stderr.
COMMANDS: tuple[tuple[str, int, str], ...] = (
    ('--help', 0, 'Reload a program'),
    *((f'{name} --help', 0, 'Usage: pollreload') for name in main.pollreload.commands),
    ('', 2, 'Usage: pollreload'),
    ('wach', 2, "no such command 'wach'"),
    ('watch --intervall 5s', 2, '--interval'),
    ('watch --interval fast', 2, 'fast'),
    ('watch --uid nobody-here /a', 2, 'there is no user'),
    ('watch --cmdline ( /a', 2, 'is not a regular expression'),
    ("watch --validate ' /a", 2, 'cannot be split'),
    ('watch --signal NOSUCH /a', 2, 'NOSUCH'),
    ('watch --url https://host/ /a', 2, 'is https, and this Python has no Open'),
    ('check --url https://host/ /a', 2, 'is https, and this Python has no Open'),
    ('watch --process nobody-x --listen :0 /a', 2, 'no port from 1 to 65535'),
    ('watch --process nobody-x --listen 192.0.2.1:80 /a', 2, 'cannot assign requested'),
    ('watch --process nobody-x --listen nobody.invalid:80 /a', 2, 'nobody.invalid'),
    ('watch --config /none', 2, '/none: no such file'),
    ('watch --config /shared/app.conf', 2, '/shared/app.conf:1: '),
    ('check --process nobody-x /none', 4, 'no place for the ledger'),
    ('check --process nobody-x --state-file /tmp/a/ledger /none', 3, 'no such file'),
    ('check --process nobody-x --state-file /none/ledger /shared/app.conf', 4, '/none'),
    ('check --dry-run --output json --process nobody-x --on-start always '
     '--state-file /tmp/a/ledger /shared/app.conf', 1, 'nobody-x'),
    ('doctor --process nobody-x /shared/app.conf', 1, 'nobody-x'),
    ('doctor --output json --process nobody-x /shared', 1, '"verdict"'),
    ('smoke', 0, 'a stop takes less than a second'),
    ('smoke --output json', 0, '"verdict"'),
    ('doctor --process nobody-x --deliver /shared/app.conf', 1, 'nobody-x'),
    ('digest /shared/app.conf', 0, '  /shared/app.conf'),
    ('digest /none', 1, 'no such file'),
    ('install-to /none', 1, 'cannot install: /none: No such file or directory'),
    ('install-to /proc', 1, 'cannot install: /proc/'),
    ('install-to /tmp/../usr/local', 2, 'is where this runs from'),
)


@pytest.mark.parametrize(('words', 'status', 'says'), COMMANDS)
def test_every_command_runs(image: Root, words: str, status: int, says: str) -> None:
    """Also to its bad end."""
    done = image.run('/usr/local/bin/pollreload', *words.split(), uid=NOBODY)

    assert done.status == status, done
    assert says in done.out + done.err
    assert 'Traceback' not in done.err


def test_image_that_is_told_nothing_says_what_it_needs(
        image: Root, config: dict[str, Any],
) -> None:
    """No FILE and no arguments: status 2, and one line that shows the variables."""
    words = (*config['config']['Entrypoint'], *config['config']['Cmd'])
    env = dict(each.split('=', 1) for each in config['config']['Env'])

    done = image.run(f'/usr/local/bin/{words[0]}', *words[1:], env=env)

    assert (done.status, done.out) == (2, '')
    line, = done.err.splitlines()
    for variable in ('FILE', 'PROCESS', 'SIGNAL'):
        assert variable in line


def test_fault_of_ours_shows_where_it_was(image: Root) -> None:
    """A traceback has the names of files and the numbers of lines, without sources."""
    done = image.run(*PYTHON, '-c', (
        'import sys; from pollreload import __main__; '
        'from pollreload.runtime.observer import Observer\n'
        'Observer.poll = None\nsys.argv = ["pollreload", "digest", "/shared"]\n'
        'sys.exit(__main__.main())'
    ))

    assert done.status == 70
    assert 'File "pollreload/commands/digest.py", line ' in done.err
    assert done.err.splitlines()[-1] == (
        'pollreload: this is a fault in pollreload; please report it'
    )


def test_watch_as_anybody_on_a_read_only_root(image: Root) -> None:
    """Any uid, no capability, no new privileges; its comm is its name."""
    with image.watch(
            '/usr/local/bin/pollreload', 'watch', '--process', 'nobody-x', '/shared',
            uid=NOBODY,
    ) as sidecar:
        comm = Path(f'/proc/{sidecar.pid}/comm').read_text()
        status = Path(f'/proc/{sidecar.pid}/status').read_text()
        ended = sidecar.stop()

    assert comm == 'pollreload\n'
    assert f'Uid:\t{NOBODY}\t' in status
    assert 'CapEff:\t0000000000000000\n' in status
    assert 'NoNewPrivs:\t1\n' in status
    assert ended == 0


def probed(port: int) -> dict[str, int]:
    """Return the status of each path; what a scraper gets it can read."""
    answers = {path: ask(port, path) for path in PATHS}
    read = parser.text_string_to_metric_families(answers['/metrics'].body)
    assert 'pollreload_look_duration_seconds' in {family.name for family in read}
    return {path: answer.status for path, answer in answers.items()}


def test_it_is_scraped_and_probed(image: Root) -> None:
    """As anybody, on a read-only root."""
    port = free_port()
    with image.watch(
            '/usr/local/bin/pollreload', 'watch', '--listen', f':{port}', '--process',
            'nobody-x', '/shared/app.conf', uid=NOBODY,
    ) as sidecar:
        sidecar.status()
        got = probed(port)
        sidecar.send(signal.SIGTERM)
        ended = sidecar.wait()

    assert got == dict.fromkeys(PATHS, 200)
    assert ended == 0
    assert sidecar.seen[-1]['event'] == 'stopped'


def test_a_config_file_runs_several_in_it(image: Root) -> None:
    """A command, a request by http to a name (of itself), a port."""
    port, plan = free_port(), image.volume / 'plan.toml'
    plan.write_text(f'''
listen = ":{port}"
settle = 0
[[watch]]
path = "/shared/app.conf"
exec = "/usr/local/bin/pollreload --version"
url = "http://app.example:{port}/healthz"
url-method = "GET"
[[watch]]
path = "/shared/app.conf"
process = "nobody-x"
''')
    command = image.command(
        '/usr/local/bin/pollreload', 'watch', '--config', '/shared/plan.toml',
        uid=NOBODY,
    )
    try:
        with Sidecar(subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        ), namespace=False) as sidecar:
            said(sidecar, 'delivered: watch-1: --exec /usr/local/bin/pollreload')
            said(sidecar, f'delivered: watch-1: GET http://app.example:{port}/healthz')
            until(lambda: status(port, '/readyz') == 200, 'it is ready')
            got = probed(port)
            sidecar.send(signal.SIGTERM)
            ended = sidecar.wait()
    finally:
        plan.unlink()

    assert got == dict.fromkeys(PATHS, 200)
    assert ended == 0


def test_nothing_else_is_in_it(files: Path) -> None:
    """No shell, no package manager; nothing that runs but ours, and nothing setuid."""
    executable = set()
    for path in files.rglob('*'):
        mode = path.lstat()
        assert (mode.st_uid, mode.st_gid) == (0, 0), path
        if path.is_symlink():
            assert (files / LIB).resolve() in (path.resolve(), path.resolve().parent)
        elif path.is_dir():
            assert stat.S_IMODE(mode.st_mode) == 0o755, path
        else:
            assert stat.S_IMODE(mode.st_mode) in (0o755, 0o644), path
            if mode.st_mode & 0o100 and '.so' not in path.name:
                executable.add(str(path.relative_to(files)))

    assert executable == {
        'usr/local/bin/pollreload', f'{LIB}/pollreload', f'{LIB}/python3',
    }
    assert {path.name for path in files.iterdir()} <= {'lib', 'lib64', 'usr'}
    names = ' '.join(path.name for path in files.rglob('*'))
    for word in ('pip', 'setuptools', 'site-packages', 'libssl', 'libcrypto'):
        assert word not in names


def test_it_is_small(files: Path) -> None:
    """Unpacked, and as a registry keeps it."""
    size = figures.size(files.rglob('*'))

    assert size.unpacked <= UNPACKED
    assert size.compressed <= COMPRESSED


def test_engine_is_told_what_it_is(config: dict[str, Any]) -> None:
    """The labels are those of setup.cfg; the user is root, who can be any other."""
    given = configparser.ConfigParser()
    given.read(ROOT / 'setup.cfg', encoding='utf-8')
    metadata = given['metadata']
    told = config['config']
    labels = {
        name.removeprefix('org.opencontainers.image.'): value
        for name, value in told['Labels'].items()
    }

    assert labels.items() >= {
        'title': metadata['name'], 'version': metadata['version'],
        'description': metadata['description'], 'authors': metadata['author'],
        'licenses': metadata['license_expression'],
    }.items()
    assert (told['Entrypoint'], told['Cmd']) == (['pollreload'], ['watch'])
    assert not told.get('User')
    assert not told.get('Volumes')
    assert '/usr/local/bin' in told['Env'][0].split(':')


def test_versions_are_those_that_are_pinned(image: Root) -> None:
    """And pollreload's is that of setup.cfg."""
    given = configparser.ConfigParser()
    given.read(ROOT / 'setup.cfg', encoding='utf-8')
    pinned = (ROOT / 'packaging/image/requirements.txt').read_text()
    done = image.run('/usr/local/bin/pollreload', '--version')
    listed = image.run(*PYTHON, '-c', (
        'from importlib.metadata import distributions\n'
        'for each in distributions(): print(f"{each.name}=={each.version}")'
    )).out.split()

    assert done.out == f'pollreload {given["metadata"]["version"]}\n'
    assert len(listed) == 3
    for each in listed:
        assert each.startswith('pollreload') or f'{each} ' in pinned


@pytest.mark.timeout(400)
def test_another_build_gives_the_same_layers(tmp_path: Path) -> None:
    """What is made of the same files is the same to the bit, whenever."""
    needed('buildah', 'buildah')
    fetched('base.tar', 'get-base.sh')
    subprocess.run(
        ['sh', ROOT / 'tests/sandbox/get-image.sh', tmp_path], check=True,
        stdin=subprocess.DEVNULL,
    )

    again = layers(tmp_path / 'pollreload.tar')

    assert again == layers(fetched('pollreload.tar', 'get-image.sh'))


@pytest.mark.timeout(400)
def test_start_and_memory_are_as_outside(image: Root, tmp_path: Path) -> None:
    """--version takes at most 1.3 times the processor time, watch no more memory.

    Outside is the same CPython, with pollreload by pip in a virtual environment.
    """
    fetched('python3.13', 'get-base.sh')
    place = tmp_path / 'image'
    shutil.copytree(image.place, place, symlinks=True)
    figures.furnished(place)
    (place / 'conf').touch()
    elsewhere = figures.outside(tmp_path / 'outside')

    ours, theirs = figures.starts(place, elsewhere, 10)
    here = figures.memory(figures.inside(place), '/conf')
    there = figures.memory(elsewhere, str(place / 'conf'))

    assert statistics.median(ours) <= START * statistics.median(theirs)
    assert here <= there


# In the images of others


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
    """Return the words that start pollreload there."""
    return LAUNCHER if (other.place / 'bin' / 'sh').exists() else WITHOUT_SHELL


def test_installed_runs_in_any_image(other: Root) -> None:
    """Its own loader, libraries and Python: whatever libc is there, or none."""
    for env in ({'PATH': '/bin'}, FOREIGN):
        done = other.run(*launched(other), '--version', uid=NOBODY, env=env)

        assert done.out.startswith('pollreload '), done
        assert (done.status, done.err) == (0, '')


def test_installed_validates_with_the_programs_of_the_app(other: Root) -> None:
    """There is the app's own `nginx -t`; the target is told, and verified."""
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
        told = lines.read()
        app.terminate()
    events = [event(line.encode())['event'] for line in done.err.splitlines()]

    assert done.status == 0, done
    assert told == 'told | first'
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
    """In ps and to --process, also where a loader runs it."""
    words = (*launched(other), 'watch', '--process', 'nobody-x', '/shared/app.conf')
    with other.watch(*words, uid=NOBODY) as sidecar:
        comm = Path(f'/proc/{sidecar.pid}/comm').read_text()

    assert comm == 'pollreload\n'


def test_installed_is_scraped_in_any_image(other: Root) -> None:
    """Whatever is there of sockets, names and addresses."""
    port = free_port()
    words = (*launched(other), 'watch', '--process', 'nobody-x', '--listen', f':{port}')
    with other.watch(*words, '/shared/app.conf', uid=NOBODY) as sidecar:
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
    """Who may not write there is told the path and the reason."""
    tmp_path.chmod(0o755)
    done = Root(image.place, tmp_path).run(
        '/usr/local/bin/pollreload', 'install-to', '/shared', uid=NOBODY,
    )

    assert (done.status, done.out) == (1, '')
    assert re.fullmatch(
        r'pollreload: cannot install: /shared/\.pollreload-\w+: Permission denied\n',
        done.err,
    )
