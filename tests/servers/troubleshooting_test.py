"""docs/troubleshooting.md: what it quotes is what pollreload doctor prints."""
from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pollreload.cli.main import main
from pollreload.settings import Plan
from tests.servers.harness import (
    DEADLINE,
    As,
    become,
    environment,
    free_port,
    missing,
    swap,
)
from tests.support.targets import start

DOCS = Path(__file__).parents[2] / 'docs'
DOCTOR = (sys.executable, '-m', 'pollreload', 'doctor')
NOBODY = As(65534, 65534)


def sections() -> dict[str, str]:
    """Return what is below each heading."""
    parts = (DOCS / 'troubleshooting.md').read_text().split('\n## ')[1:]
    return {title: text for title, _, text in (part.partition('\n') for part in parts)}


def plain(row: str) -> str:
    """Return a row without what differs from one machine and run to another."""
    row = re.sub(r'(\d+ files?), \w+', r'\1, ext4', row)
    return re.sub(r'\d+', 'N', ' '.join(row.split()))


class Case:
    """A process and a path, and what doctor says of them.

    shown: a word here -> what stands for it in the document.
    rows: what doctor has printed, as the document would quote it.
    """

    def __init__(self, hall: Path, stack: contextlib.ExitStack) -> None:
        self.hall, self.stack = hall, stack
        self.name = f't{os.urandom(4).hex()}'
        self.conf = hall / 'conf'
        self.conf.write_text('a = 1\n')
        self.shown = {str(self.conf): '/etc/nginx', self.name: 'nginx'}
        self.rows: list[str] = []

    def target(self, kind: str, name: str = '', program: str = '') -> None:
        """Start a process, which is the one to be told unless it has another name."""
        self.stack.enter_context(start(kind, name=name or self.name, program=program))

    def doctor(self, *words: str) -> list[str]:
        """Return the command line of a doctor."""
        return [*DOCTOR, '--process', self.name, *words, str(self.conf)]

    def run(self, command: Sequence[str], **given: Any) -> None:
        """Run a command, and keep its rows."""
        pipes = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE}
        done = subprocess.run(
            command, text=True, check=False, timeout=DEADLINE,
            **{'env': environment(), **pipes, **given},
        )
        for row in done.stdout.splitlines():
            said = row
            # The longest first, for one may be in another.
            for word in sorted(self.shown, key=len, reverse=True):
                said = said.replace(word, self.shown[word])
            self.rows.append(plain(said))


@pytest.fixture
def case(hall: Path) -> Iterator[Case]:
    """Return a case, whose processes end with the test."""
    with contextlib.ExitStack() as stack:
        yield Case(hall, stack)


def apart(*options: str) -> list[str]:
    """Return the words that run a command in namespaces of its own."""
    words = ['unshare', *options]
    if subprocess.run(
            [*words, 'true'], stderr=subprocess.DEVNULL, check=False,
    ).returncode:
        missing(f'{shlex.join(words)} is not possible here')
    return words


def bound(case: Case, source: Path) -> None:
    """Let doctor see a file as a mount of its own."""
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    words = ['sh', '-c', script, 'sh', str(source), str(case.conf)]
    case.run([*apart('--mount'), *words, *case.doctor()])


def not_permitted(case: Case) -> None:
    """Root is to be told by nobody."""
    if os.geteuid():
        missing('only root can be another user')
    case.target('handler')
    words, variables, held = become(NOBODY)
    case.run(
        [*words, *case.doctor()[1:]], env={**environment(), **variables}, pass_fds=held,
    )
    for fd in held:
        os.close(fd)


def not_found(case: Case) -> None:
    """Nobody else is to be seen; and, seen, has another name."""
    alone = apart('--pid', '--fork', '--mount-proc', '--kill-child')
    case.run([*alone, *case.doctor()])
    program = case.hall / case.name
    program.symlink_to(sys.executable)
    case.target('handler', 'gunicorn: maste', str(program))
    case.shown[case.name] = 'gunicorn'
    case.run(case.doctor())


def started_below(case: Case) -> None:
    """A child of pollreload is none to be told; its parent can be."""
    cat = shutil.which('cat')
    assert cat
    program, fifo = case.hall / case.name, case.hall / 'fifo'
    program.symlink_to(cat)
    os.mkfifo(fifo)
    # It runs for as long as doctor does, which holds the other end.
    server, doctor = f'{program} <{fifo}', f'{shlex.join(case.doctor())} 3>{fifo}'
    case.run(['sh', '-c', f'{server} & exec {doctor}'])
    case.run(['sh', '-c', f'{doctor} & exec {server}'])


def two(case: Case) -> None:
    """Two go by the name, and neither is the parent of the other."""
    case.target('handler')
    case.target('handler')
    case.run(case.doctor())


def no_handler(case: Case) -> None:
    """Who is to be told has no handler."""
    case.target('default')
    case.run(case.doctor())


def nothing_done(case: Case) -> None:
    """Who has a handler need do nothing; who ignores it does nothing."""
    absent = f'no-{case.name}'
    case.shown[absent] = 'nginx'
    case.target('handler')
    case.run(case.doctor('--validate', f'{absent} -t -q'))
    case.stack.close()
    case.target('ignored')
    case.run(case.doctor())


def laid_out(case: Case) -> None:
    """A ConfigMap is mounted; or is not in this container."""
    case.conf.unlink()
    case.run(case.doctor())
    swap(str(case.conf), {'app.conf': 'a = 1\n'})
    case.run(case.doctor())


def one_file(case: Case) -> None:
    """A file of a kubelet's volume is mounted; or any other file."""
    volume, other = case.hall / 'volume', case.hall / 'other'
    swap(str(volume), {'app.conf': 'a = 1\n'})
    other.write_text('a = 1\n')
    for source in volume / '..data' / 'app.conf', other:
        bound(case, source)


def not_verified(case: Case) -> None:
    """The program of --verify is not there."""
    absent = f'no-{case.name}'
    case.shown[absent] = 'curl'
    case.run(case.doctor('--verify', absent))


def not_asked(case: Case) -> None:
    """Nobody listens where --url asks, and the program of --exec is not there."""
    absent = f'no-{case.name}'
    case.shown[absent] = 'unbound-control'
    url = f'http://127.0.0.1:{free_port()}/-/reload'
    words = ['--url', url, '--exec', f'{absent} reload']
    case.run([*DOCTOR, *words, str(case.conf)])


def busy(case: Case) -> None:
    """A ledger is there."""
    ledger = case.hall / 'state' / 'ledger'
    case.shown[str(ledger)] = '/var/lib/nginx.ledger'
    words = ['--state-file', str(ledger)]
    check = [*DOCTOR[:-1], 'check', '--settle', '0', '--process', case.name, *words]
    case.run([*check, str(case.conf)])
    case.run(case.doctor(*words))


def refused(case: Case) -> None:
    """A config file is taken, and refused once a key is wrong."""
    case.target('handler')
    file = case.hall / 'w.toml'
    case.shown[str(file)] = '/etc/pollreload.toml'
    watch = f'[[watch]]\npath = "{case.conf}"\nprocess = "{case.name}"\n'
    file.write_text(f'{watch}{watch}signal = "USR1"\n')
    case.run([*DOCTOR, '--config', str(file)])
    file.write_text(f'{watch}intervall = "5s"\n')
    case.run([*DOCTOR, '--config', str(file)], stderr=subprocess.STDOUT)


CASES = {
    'kill: operation not permitted': not_permitted,
    'process not found': not_found,
    'nginx is never told, though it runs': started_below,
    'two processes match': two,
    'SIGHUP kills my container': no_handler,
    'nginx reload does nothing': nothing_done,
    'ConfigMap not updating': laid_out,
    'subPath': one_file,
    'the reload is never verified': not_verified,
    'the request is never answered': not_asked,
    'exit status 75': busy,
    'the config file is refused': refused,
}


@pytest.mark.parametrize('title', sections())
def test_each_row_is_what_doctor_prints(title: str, case: Case) -> None:
    """The rows that a section quotes are printed where it says that they are."""
    found = re.findall(
        '^    ((?:ok|warn|fail|skip|pollreload:) .*)$', sections()[title], re.MULTILINE,
    )

    CASES[title](case)

    assert found
    for row in found:
        assert plain(row) in case.rows


def test_each_case_has_its_section() -> None:
    """What can be provoked is in the document, too."""
    assert list(CASES) == list(sections())


@pytest.mark.parametrize('document', ['troubleshooting.md', 'servers.md'])
def test_commands_are_accepted(document: str) -> None:
    """Each command line that is to be copied is a watch of today."""
    text = (DOCS / document).read_text()
    lines = re.findall('^    pollreload (.*)$', text, re.MULTILINE)

    assert lines
    for line in lines:
        assert isinstance(main(shlex.split(line.partition(" & ")[0])), Plan), line
