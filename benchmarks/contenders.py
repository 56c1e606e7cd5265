"""Who is measured, and how each is used: as its own documentation says."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Target

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE / 'rivals'
PYTHON = sys.executable
POLLRELOAD = str(Path(sys.executable).with_name('pollreload'))
# Debian's package for each program, where the names differ.
PACKAGES = {
    'inotifywait': 'inotify-tools', 'pgrep': 'procps', 'xxhsum': 'xxhash',
    'sha256sum': 'coreutils',
}


class Contender(NamedTuple):
    """A command that watches, and what it needs.

    forks: its work is done by processes that come and go. grid: it polls at
    equal times; others sleep between two polls. events: it does not poll.
    words: what it reads from stdin.
    """

    command: list[str]
    variables: Mapping[str, str] = {}
    forks: bool = False
    grid: bool = False
    events: bool = False
    words: bytes = b''


def here(program: str) -> bool:
    """Return whether a program is on this machine."""
    return shutil.which(program) is not None


def script(name: str) -> str:
    """Return the path of a rival's script."""
    return str(SCRIPTS / name)


def pollreload(
        path: str, target: Target, interval: float, *words: str,
) -> Contender:
    """Return a watch as the README has it, with more options."""
    return Contender([
        POLLRELOAD, 'watch', '--interval', f'{interval}', '--process', target.name,
        *words, path,
    ], grid=True)


def floor(path: str, interval: float) -> Contender:
    """Return the floor, for one file or for all in a directory."""
    paths = [path] if os.path.isfile(path) else sorted(
        os.path.join(directory, name)
        for directory, _, names in os.walk(path) for name in names
    )
    return Contender([PYTHON, script('floor.py'), f'{interval}', *paths])


def libraries(path: str, target: Target, interval: float) -> dict[str, Contender]:
    """Return the two libraries for Python, made to poll."""
    words = [f'{interval}', str(target.pid), path]
    return {
        'watchfiles': Contender([PYTHON, script('watchfiles_polling.py'), *words]),
        'watchdog': Contender([PYTHON, script('watchdog_polling.py'), *words]),
    }


def shell(path: str, target: Target, interval: float) -> dict[str, Contender]:
    """Return the shell sidecar and its twin that polls."""
    variables = {
        'FILE': path, 'PROCESS': target.name, 'SIGNAL': 'HUP',
        'INTERVAL': f'{interval}',
    }
    found = {'sha256sum loop': Contender(
        ['sh', script('sha256sum.sh')], variables, forks=True,
    )}
    if here('inotifywait') and here('pgrep'):
        found['inotifywait loop'] = Contender(
            ['sh', script('inotifywait.sh')], variables, events=True,
        )
    return found


def fswatch(path: str, target: Target, interval: float) -> dict[str, Contender]:
    """Return fswatch's monitor that polls, read by a shell."""
    if not here('fswatch'):
        return {}
    line = (
        'fswatch -m poll_monitor -r -l "$1" "$2" |'
        ' while read -r _; do kill -HUP "$3"; done'
    )
    words = [f'{interval}', path, str(target.pid)]
    return {'fswatch': Contender(['sh', '-c', line, 'sh', *words])}


def monit(path: str, target: Target, directory: Path) -> dict[str, Contender]:
    """Return monit, which tests a checksum each second, its shortest cycle."""
    if not here('monit'):
        return {}
    rules, kill = directory / 'monitrc', shutil.which('kill')
    rules.write_text(
        'set daemon 1\n'
        f'set log {directory}/monit.log\n'
        f'set pidfile {directory}/monit.pid\n'
        f'set idfile {directory}/monit.id\n'
        f'set statefile {directory}/monit.state\n'
        f'check file config with path {path}\n'
        f'    if changed checksum then exec "{kill} -HUP {target.pid}"\n',
    )
    rules.chmod(0o600)
    return {'monit': Contender(['monit', '-I', '-c', str(rules)], grid=False)}


def entr(path: str, target: Target) -> dict[str, Contender]:
    """Return entr on one file; it waits for inotify."""
    if not here('entr'):
        return {}
    return {'entr': Contender(
        ['entr', '-n', '-p', 'kill', '-HUP', str(target.pid)], events=True,
        words=f'{path}\n'.encode(),
    )}


def first_line(*command: str) -> str:
    """Return the first line that a program prints about itself."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False,
        )
    except OSError:
        return ''
    return (done.stdout.decode('utf-8', 'replace').strip().splitlines() or [''])[0]


def versions() -> dict[str, str]:
    """Return name -> version of everybody; '' for who is not here."""
    found = {
        name: metadata.version(name)
        for name in (
            'pollreload', 'click', 'xxhash', 'watchfiles', 'watchdog', 'psutil',
        )
    }
    for program in (
            'inotifywait', 'monit', 'entr', 'fswatch', 'pgrep', 'sha256sum', 'xxhsum',
            'strace',
    ):
        found[program] = package(program) if here(program) else ''
    return found


def package(program: str) -> str:
    """Return the version of Debian's package of a program, or what it says itself."""
    line = first_line(
        'dpkg-query', '-W', '-f', '${Version}', PACKAGES.get(program, program),
    )
    return line if line and 'no packages' not in line else first_line(program, '-V')
