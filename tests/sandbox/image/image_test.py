"""The image: its commands, size and contents."""
from __future__ import annotations

import configparser
import hashlib
import json
import shutil
import signal
import stat
import statistics
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pollreload.cli import main
from tests.sandbox.harness import ROOT, fetched, needed
from tests.servers.harness import free_port, until
from tests.support.image_root import NOBODY, Root, figures, probed
from tests.support.listening import said
from tests.support.probe import PATHS, status
from tests.support.sidecar import Sidecar

# What the issue of the image asks for.
UNPACKED, COMPRESSED, START = 14_000_000, 6_000_000, 1.3
LIB = 'usr/local/lib'
PYTHON = (f'/{LIB}/python3', '-ISXutf8')


@pytest.fixture(scope='module')
def config() -> dict[str, Any]:
    """The configuration of the image."""
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


def test_only_what_is_needed_can_be_imported(image: Root) -> None:
    """The check above can fail: what is not reached is not there."""
    for name in ('ssl', '_ssl', '_hashlib', 'sqlite3', 'unittest', 'pip',
                 'click.testing', 'prometheus_client', 'http.server'):
        assert 'ModuleNotFoundError' in image.run(*PYTHON, '-c', f'import {name}').err


# Arguments -> the exit status, and what is said on stdout or stderr.
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
    ('doctor --url http://127.0.0.1:1/ --url-ca /none /shared/app.conf', 1,
     'not used: no --url is https'),
    ('smoke', 0, 'TERM ends the watch'),
    ('smoke --output json', 0, '"verdict"'),
    ('doctor --process nobody-x --deliver /shared/app.conf', 1, 'nobody-x'),
    ('digest /shared/app.conf', 0, '  /shared/app.conf'),
    ('digest /none', 1, 'no such file'),
    ('install-to /none', 1, 'cannot install: /none: No such file or directory'),
    ('install-to /proc', 1, 'cannot install: /proc/'),
    ('install-to /tmp/../usr/local', 2, 'is where this runs from'),
)


@pytest.mark.parametrize(('args', 'status', 'says'), COMMANDS)
def test_every_command_runs(image: Root, args: str, status: int, says: str) -> None:
    """Also to its bad end."""
    done = image.run('/usr/local/bin/pollreload', *args.split(), uid=NOBODY)

    assert done.status == status, done
    assert says in done.out + done.err
    assert 'Traceback' not in done.err


def test_image_without_arguments_says_what_it_needs(
        image: Root, config: dict[str, Any],
) -> None:
    """No FILE and no arguments: status 2, and one line that shows the variables."""
    args = (*config['config']['Entrypoint'], *config['config']['Cmd'])
    env = dict(each.split('=', 1) for each in config['config']['Env'])

    done = image.run(f'/usr/local/bin/{args[0]}', *args[1:], env=env)

    assert (done.status, done.out) == (2, '')
    line, = done.err.splitlines()
    for variable in ('FILE', 'PROCESS', 'SIGNAL'):
        assert variable in line


def test_fault_in_pollreload_shows_its_place(image: Root) -> None:
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
        'pollreload: this is a fault in pollreload; please report it to the '
        'issue tracker of pollreload, with these lines'
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


def test_image_describes_itself(config: dict[str, Any]) -> None:
    """The labels are those of setup.cfg; the user is root, who can be any other."""
    given = configparser.ConfigParser()
    given.read(ROOT / 'setup.cfg', encoding='utf-8')
    metadata = given['metadata']
    described = config['config']
    labels = {
        name.removeprefix('org.opencontainers.image.'): value
        for name, value in described['Labels'].items()
    }

    assert labels.items() >= {
        'title': metadata['name'], 'version': metadata['version'],
        'description': metadata['description'], 'authors': metadata['author'],
        'licenses': metadata['license_expression'],
    }.items()
    assert (described['Entrypoint'], described['Cmd']) == (['pollreload'], ['watch'])
    assert not described.get('User')
    assert not described.get('Volumes')
    assert '/usr/local/bin' in described['Env'][0].split(':')


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


def test_sbom_lists_every_distribution_and_binary(image: Root, files: Path) -> None:
    """By the digest of each program and library as it is in the image."""
    bill = json.loads((files / 'usr/local/share/pollreload/sbom.cdx.json').read_text())
    version = image.run('/usr/local/bin/pollreload', '--version').out.split()[1]
    elf = {
        f'/{path.relative_to(files)}': hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files.rglob('*')
        if path.is_file() and not path.is_symlink()
        and path.read_bytes().startswith(b'\x7fELF')
    }

    assert bill['metadata']['component']['version'] == version
    assert {
        each['name']: each['hashes'][0]['content']
        for each in bill['components'] if each['type'] == 'file'
    } == elf
    assert {
        each['name'] for each in bill['components']
        if each.get('purl', '').startswith('pkg:pypi/')
    } == {'click', 'pollreload', 'xxhash'}


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
