"""Who is compared, and how each is used: as its own documentation says.

A tool that takes a command is given pkill, and one whose manual shows a program's own
way to reload, a shell that reads the pidfile. Each is given the file or its directory,
whichever suits it better.
"""
from __future__ import annotations

import configparser
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from comparison.world import INTERVAL, SHORT, Command, Place, Tool, sleeping

ROOT = Path(__file__).resolve().parent.parent
LOOPS = ROOT / 'benchmarks' / 'rivals'
NODE = ROOT / '.venv' / 'comparison' / 'node' / 'node_modules'
BIN = Path(sys.executable).parent
STARTS = 'runs its command at every start, changed or not'


class Rival(NamedTuple):
    """A tool: how it is run, which program has to be there, and its version.

    package: 'deb:NAME', 'py:NAME', 'npm:NAME', or 'own:NAME' for pollreload.
    note: on its use, for the page.
    """

    tool: Tool
    program: str
    package: str
    note: str = ''


def match(name: str) -> tuple[str, str]:
    """Return the option and the pattern that pgrep(1) wants for a name.

    It sees the first 15 bytes, and refers to -f for more; the brackets keep the
    pattern from matching the command line that it is in.
    """
    if len(name) <= SHORT:
        return '-x', name
    return '-f', f'[{name[0]}]{name[1:]}'


def pkill(place: Place) -> str:
    """Return the command that notifies a program by its name."""
    return shlex.join(['pkill', '-HUP', *match(place.name)])


def watched(place: Place) -> str:
    """Return the path for a tool that needs a directory only now and then."""
    return place.directory if place.whole else place.file


def pollreload(place: Place) -> Command:
    words = [
        'watch', '--process', place.name, '--interval', f'{INTERVAL}s',
        '--state-file', f'{place.scratch}/state/ledger',
    ]
    # pollreload makes the directory of the ledger, which only it may write to.
    return Command(
        [sys.executable, '-m', 'pollreload', *words, watched(place)],
        ready=lambda _, said: 'started' in said and (
            'baseline' in said or 'changed' in said or
            os.path.exists(f'{place.scratch}/state/ledger')
        ),
    )


def loop(place: Place) -> Command:
    option, pattern = match(place.name)
    return Command(
        ['sh', str(LOOPS / 'inotifywait.sh')],
        {
            'FILE': place.directory, 'PROCESS': pattern, 'MATCH': option,
            'SIGNAL': 'HUP',
        },
    )


def twin(place: Place) -> Command:
    option, pattern = match(place.name)
    return Command(
        ['sh', str(LOOPS / 'sha256sum.sh')],
        {
            'FILE': place.file, 'PROCESS': pattern, 'MATCH': option,
            'SIGNAL': 'HUP', 'INTERVAL': f'{INTERVAL}',
        },
        ready=sleeping,
    )


def watchfiles(place: Place) -> Command:
    return Command([str(BIN / 'watchfiles'), pkill(place), place.directory])


def watchmedo(place: Place) -> Command:
    return Command([
        str(BIN / 'watchmedo'), 'shell-command', '--recursive', '--drop',
        f'--command={pkill(place)}', place.directory,
    ])


def entr(place: Place) -> Command:
    return Command(['sh', '-c', (
        f'while sleep 0.1; do echo {place.file} | entr -n {pkill(place)}; done'
    )])


def fswatch(place: Place) -> Command:
    # Everything but reads: the program reads the file when it is notified, which would
    # notify it again, and so on for ever.
    events = ' '.join(f'--event {name}' for name in (
        'Created', 'Updated', 'Removed', 'Renamed', 'MovedTo',
    ))
    return Command(['sh', '-c', (
        f"fswatch -o {events} {place.directory} | xargs -n1 -I'{{}}' {pkill(place)}"
    )])


def monit(place: Place) -> Command:
    return Command(
        ['monit', '-I', '-v', '-c', f'{place.scratch}/monitrc'],
        files={'monitrc': (
            f'set daemon {INTERVAL}\n'
            f'set pidfile {place.scratch}/monit.pid\n'
            f'set idfile {place.scratch}/monit.id\n'
            f'set statefile {place.scratch}/monit.state\n'
            f'check file config with path {place.file}\n'
            '    if changed checksum then exec'
            f' "/bin/sh -c \'kill -HUP `cat {place.pidfile}`\'"\n'
        )},
        ready=lambda _, said: "'config' checksum" in said,
    )


def nodemon(place: Place) -> Command:
    return Command([
        str(NODE / '.bin' / 'nodemon'), '--watch', watched(place), '--ext', 'conf',
        '--exec', pkill(place),
    ])


def chokidar(place: Place) -> Command:
    return Command([
        str(NODE / '.bin' / 'chokidar'), watched(place), '-c', pkill(place),
    ])


def incron(place: Place) -> Command:
    """incrond with tables of its own, instead of those in /etc."""
    return Command(
        [shutil.which('incrond') or 'incrond', '-n', '-f', f'{place.scratch}/conf'],
        files={
            'conf': (
                f'system_table_dir = {place.scratch}/tables\n'
                f'user_table_dir = {place.scratch}/users\n'
                f'allowed_users = {place.scratch}/allow\n'
                f'lockfile_dir = {place.scratch}\n'
            ),
            'tables/reload': (
                f'{place.directory} IN_CLOSE_WRITE,IN_MOVED_TO {pkill(place)}\n'
            ),
            'users/none': '',
        },
    )


RIVALS: dict[str, Rival] = {
    'pollreload': Rival(
        pollreload, sys.executable, 'own:pollreload', 'given the directory, it is '
        'right in both halves of behaviour 5 too: a directory that loses everything '
        'at once is distrusted for --empty-grace',
    ),
    'inotifywait loop': Rival(
        loop, 'inotifywait', 'deb:inotify-tools',
        'our own, as such a sidecar is usually written: pgrep, head and kill; with '
        '`pkill -x` behaviour 10 would be right, and 9 wrong',
    ),
    'sha256sum loop': Rival(twin, 'sha256sum', 'deb:coreutils', 'our own, too'),
    'watchfiles': Rival(
        watchfiles, str(BIN / 'watchfiles'), 'py:watchfiles', STARTS,
    ),
    'watchdog': Rival(watchmedo, str(BIN / 'watchmedo'), 'py:watchdog'),
    'entr': Rival(entr, 'entr', 'deb:entr', STARTS),
    'fswatch': Rival(
        fswatch, 'fswatch', 'deb:fswatch', 'without `--event` it notified again and '
        'again, because the program read the file',
    ),
    'monit': Rival(
        monit, 'monit', 'deb:monit', 'its manual calls `apachectl graceful`, which '
        'takes the pid from a pidfile; so does this',
    ),
    'incron': Rival(incron, 'incrond', 'deb:incron'),
    'nodemon': Rival(nodemon, str(NODE / '.bin' / 'nodemon'), 'npm:nodemon', STARTS),
    'chokidar-cli': Rival(
        chokidar, str(NODE / '.bin' / 'chokidar'), 'npm:chokidar-cli',
    ),
}


def here(rival: Rival) -> bool:
    """Return whether a tool is on this machine."""
    return shutil.which(rival.program) is not None


def version(package: str) -> str:
    """Return the version of a package, as 'inotify-tools 3.22.6.0-4 (Debian)'."""
    kind, _, name = package.partition(':')
    match kind:
        case 'deb':
            return f'{name} {deb(name)} (Debian)'
        case 'own':
            # It is run from the checkout, which is not installed.
            own = configparser.ConfigParser()
            own.read(ROOT / 'setup.cfg')
            return f'{name} {own["metadata"]["version"]}'
        case 'py':
            return f'{name} {metadata.version(name)}'
        case _:
            found = json.loads((NODE / name / 'package.json').read_text('utf-8'))
            return f'{name} {found["version"]} (npm)'


def deb(name: str) -> str:
    """Return the version of a Debian package."""
    return subprocess.run(
        ['dpkg-query', '-W', '-f', '${Version}', name],
        stdout=subprocess.PIPE, text=True, check=False,
    ).stdout


def beside() -> str:
    """Return the versions of the kernel and of the tools behind all commands."""
    return ', '.join((
        f'Linux {platform.release()}', f'Python {platform.python_version()}',
        *(f'{name} {deb(name)}' for name in ('procps', 'dash') if deb(name)),
    ))


def shown(rival: Rival) -> str:
    """Return how a tool is run, for the page: without a path of this machine."""
    command = rival.tool(Place(
        '/etc/app', '/etc/app/app.conf', False, 'app', '/run/app.pid', '/tmp/tool',
    ))
    variables = [f'{name}={value}' for name, value in command.variables.items()]
    line = ' '.join((*variables, words(command.words)))
    return '\n'.join((
        line, *(f'# {name}\n{text}'.rstrip() for name, text in command.files.items()
                if text),
    ))


def words(command: Sequence[str]) -> str:
    """Return a command line without the directories that are this machine's."""
    if tuple(command[1:3]) == ('-m', 'pollreload'):
        command = ['pollreload', *command[3:]]
    program, *rest = command
    if program == 'sh' and rest[0] == '-c':
        return rest[1]
    own = f'{ROOT}/'
    return shlex.join([os.path.basename(program), *(
        word.removeprefix(own) for word in rest
    )])
