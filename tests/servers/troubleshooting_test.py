"""docs/troubleshooting.md: what it quotes is what pollreload doctor prints."""
from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
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


# The sections that are about the log, and quote no row of doctor.
OF_THE_LOG = (
    'reloads again and again', 'exit status 70', 'Alerts', 'Held and failed',
)


def every_section() -> dict[str, str]:
    """Return the text below each heading."""
    parts = (DOCS / 'troubleshooting.md').read_text().split('\n## ')[1:]
    return {title: text for title, _, text in (part.partition('\n') for part in parts)}


def sections() -> dict[str, str]:
    """Return the sections that quote rows of doctor."""
    every = every_section()
    return {title: every[title] for title in every if title not in OF_THE_LOG}


def plain(row: str) -> str:
    """Return a row without what differs from one machine and run to another."""
    row = re.sub(r'(\d+ files?), \w+', r'\1, ext4', row)
    return re.sub(r'\d+', 'N', ' '.join(row.split()))


class Case:
    """A process and a path, and what doctor says of them.

    shown: a word here -> what stands for it in the document.
    rows: what doctor has printed, as the document would quote it.
    """

    def __init__(self, open_directory: Path, stack: contextlib.ExitStack) -> None:
        self.directory, self.stack = open_directory, stack
        self.name = f't{os.urandom(4).hex()}'
        self.conf = open_directory / 'conf'
        self.conf.write_text('a = 1\n')
        self.shown = {str(self.conf): '/etc/nginx', self.name: 'nginx'}
        self.rows: list[str] = []

    def target(self, kind: str, name: str = '', program: str = '') -> None:
        """Start a process; without another name it is the target."""
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
def case(open_directory: Path) -> Iterator[Case]:
    """Return a case, whose processes end with the test."""
    with contextlib.ExitStack() as stack:
        yield Case(open_directory, stack)


def apart(*options: str) -> list[str]:
    """Return the arguments that run a command in namespaces of its own."""
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
    """Another user is not permitted to signal a process of root."""
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
    """No other process is visible; or it has another name, or one in its arguments."""
    alone = apart('--pid', '--fork', '--mount-proc', '--kill-child')
    case.run([*alone, *case.doctor()])
    # As long as gunicorn, whose title is cut off after 15 bytes.
    case.name = case.name[:8]
    case.shown[case.name] = 'gunicorn'
    case.target('handler', f'{case.name}: maste')
    case.target('handler', f'{case.name}: worke')
    case.run(case.doctor())
    case.stack.close()
    case.name = f'k{os.urandom(5).hex()}'
    case.shown[case.name] = 'kafka'
    words = [sys.executable, '-c', 'input()', f'{case.name}.Kafka']
    with subprocess.Popen(words, stdin=subprocess.PIPE) as java:
        case.shown[Path(f'/proc/{java.pid}/comm').read_text().strip()] = 'java'
        case.run(case.doctor())
        java.communicate()


def started_below(case: Case) -> None:
    """A child of pollreload is never a target; its parent can be."""
    cat = shutil.which('cat')
    assert cat
    program, fifo = case.directory / case.name, case.directory / 'fifo'
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
    """The target has no handler, or a runtime that catches every signal."""
    case.target('default')
    case.run(case.doctor())
    case.stack.close()
    gron = shutil.which('gron') or missing("a small Go program: Debian's package gron")
    link = case.directory / case.name
    link.symlink_to(gron)
    with subprocess.Popen([link], stdin=subprocess.PIPE) as child:
        # Its runtime has its handlers when it reads.
        signals = Path(f'/proc/{child.pid}/status')
        while 'SigCgt:\tfffffff' not in signals.read_text():
            assert child.poll() is None
            time.sleep(0.01)
        case.run(case.doctor())
        child.kill()


def nothing_done(case: Case) -> None:
    """A handler may do nothing; a process that ignores the signal does nothing."""
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
    volume, other = case.directory / 'volume', case.directory / 'other'
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
    """No server listens at --url, and the program of --exec is missing."""
    absent = f'no-{case.name}'
    case.shown[absent] = 'unbound-control'
    url = f'http://127.0.0.1:{free_port()}/-/reload'
    words = ['--url', url, '--exec', f'{absent} reload']
    case.run([*DOCTOR, *words, str(case.conf)])


def busy(case: Case) -> None:
    """A ledger is there."""
    ledger = case.directory / 'state' / 'ledger'
    case.shown[str(ledger)] = '/var/lib/nginx.ledger'
    words = ['--state-file', str(ledger)]
    check = [*DOCTOR[:-1], 'check', '--settle', '0', '--process', case.name, *words]
    case.run([*check, str(case.conf)])
    case.run(case.doctor(*words))


def refused(case: Case) -> None:
    """A config file is taken, and refused once a key is wrong."""
    case.target('handler')
    file = case.directory / 'w.toml'
    case.shown[str(file)] = '/etc/pollreload.toml'
    watch = f'[[watch]]\npath = "{case.conf}"\nprocess = "{case.name}"\n'
    file.write_text(f'{watch}{watch}signal = "USR1"\n')
    case.run([*DOCTOR, '--config', str(file)])
    file.write_text(f'{watch}intervall = "5s"\n')
    case.run([*DOCTOR, '--config', str(file)], stderr=subprocess.STDOUT)


def unreadable(case: Case) -> None:
    """The file may be read by root only."""
    if os.geteuid():
        missing('only root can be another user')
    case.conf.chmod(0o600)
    words, variables, held = become(NOBODY)
    case.run(
        [*words, *case.doctor()[1:]], env={**environment(), **variables}, pass_fds=held,
    )
    for fd in held:
        os.close(fd)


CASES = {
    'kill: operation not permitted': not_permitted,
    'process not found': not_found,
    'nginx is running but is never signalled': started_below,
    'two processes match': two,
    'SIGHUP kills my container': no_handler,
    'nginx reload does nothing': nothing_done,
    'ConfigMap not updating': laid_out,
    'subPath': one_file,
    'the reload is never verified': not_verified,
    'the request is never answered': not_asked,
    'exit status 75': busy,
    'the config file is refused': refused,
    'permission denied': unreadable,
}


@pytest.mark.parametrize('title', sections())
def test_each_row_is_what_doctor_prints(title: str, case: Case) -> None:
    """The rows that a section quotes are printed if it says that they are."""
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


def test_each_alert_has_its_section() -> None:
    """Each alert of the example, and no other, in its order."""
    alerts = (DOCS.parent / 'examples/monitoring/alerts.yaml').read_text()
    named = re.findall(r'- alert: (\w+)', alerts)

    assert named
    assert re.findall('^### (.*)$', every_section()['Alerts'], re.MULTILINE) == named


def test_each_reason_has_its_row() -> None:
    """What to do about each reason of `held` and `failed`, and no other."""
    path = DOCS.parent / 'packaging/schema/log.schema.json'
    schema = json.loads(path.read_text())['$defs']
    reasons = {
        reason for event in ('held', 'failed')
        for reason in schema[event]['properties']['reason']['enum']
    }
    rows = re.findall(r'^\| `([^`]+)` \| \S', every_section()['Held and failed'], re.M)

    assert rows == sorted(reasons)


@pytest.mark.parametrize('document', ['troubleshooting.md', 'servers.md'])
def test_commands_are_accepted(document: str) -> None:
    """Each command line that should be copied is a watch of today."""
    text = (DOCS / document).read_text()
    lines = re.findall('^    pollreload (.*)$', text, re.MULTILINE)

    assert lines
    for line in lines:
        assert isinstance(main(shlex.split(line.partition(" & ")[0])), Plan), line
