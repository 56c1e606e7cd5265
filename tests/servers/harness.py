"""Real servers, the real sidecar, and a directory that changes as the kubelet's do.

A Kind says what there is to know of a server; a Site is one place on disk with
its configuration, from which servers and sidecars are started. What a Site
starts ends with it, by pid. Nothing here sleeps for luck: each wait is for a
thing that can be seen, and has a deadline.

Each Site starts its server by a link of its own (nginx-1f3a09), which becomes
its comm: what else of that name runs on the machine is then no match.
"""
from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import click
import pytest
import xxhash

import pollreload

DEADLINE = 60.0
PAUSE = 0.01  # s between two attempts at something that cannot be read from a pipe

Event = dict[str, Any]
Files = Mapping[str, str]


class Kind(NamedTuple):
    """All that a Site has to know of a kind of server.

    program, package: its name on PATH, and Debian's package that has it.
    signal: that it reloads on, as --signal takes it.
    files: (site, answer) -> the configuration that makes it give an answer.
    broken: (site) -> a configuration that it refuses.
    command: (site) -> its arguments, for the foreground, logging to stderr.
    validate: (site) -> the arguments of --validate.
    ask: (site) -> what it answers now. Raises OSError while it does not.
    reload: a regular expression for the line it logs at each reload; '' for none.
    """

    program: str
    package: str
    signal: str
    files: Callable[[Site, str], Files]
    broken: Callable[[Site], Files]
    command: Callable[[Site], Sequence[str]]
    validate: Callable[[Site], Sequence[str]]
    ask: Callable[[Site], str]
    reload: str = ''


class As(NamedTuple):
    """Who a server or a sidecar runs as.

    capabilities: what a sidecar keeps, as setpriv(1) names it.
    """

    uid: int
    gid: int
    capabilities: Sequence[str] = ()


def until(condition: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Wait until a condition holds. Raises AssertionError at the deadline."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f'not within {deadline} s: {what}'
        time.sleep(PAUSE)


def needed(program: str, package: str) -> str:
    """Return the path of a program; skip the test, or fail it in CI, without it."""
    # Debian keeps servers where only root's PATH leads.
    path = shutil.which(program, path=f'{os.environ.get("PATH", "")}:/usr/sbin:/sbin')
    if path is None:
        missing(f'{program} is not here: apt-get install {package}')
    return path


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, where everything has to be."""
    if os.environ.get('CI'):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """Return a free port of the loopback."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


def swap(directory: str, files: Files) -> None:
    """Make files the content of a directory at one blow, as the kubelet does.

    ..data -> ..TIME.XXXX/ holds the files, NAME -> ..data/NAME leads there, and
    what ..data led to before is removed (AtomicWriter.Write in
    pkg/volume/util/atomic_writer.go).
    """
    os.makedirs(directory, exist_ok=True)
    data = os.path.join(directory, '..data')
    old = os.readlink(data) if os.path.islink(data) else ''
    new = tempfile.mkdtemp(prefix=time.strftime('..%Y_%m_%d_%H_%M_%S.'), dir=directory)
    os.chmod(new, 0o755)
    for name, text in files.items():
        with open(os.path.join(new, name), 'w', encoding='utf-8') as file:
            file.write(text)
    os.symlink(os.path.basename(new), f'{data}_tmp')
    os.rename(f'{data}_tmp', data)
    for name in files:
        link = os.path.join(directory, name)
        if not os.path.islink(link):
            os.symlink(f'..data/{name}', link)
    for name in os.listdir(directory):
        if not name.startswith('..') and name not in files:
            os.unlink(os.path.join(directory, name))
    if old:
        shutil.rmtree(os.path.join(directory, old))


class Server:
    """A server in the foreground, as our child, in a process group of its own."""

    def __init__(self, site: Site, user: As | None) -> None:
        self.site = site
        # Only what this one says: a restarted one shares the log.
        self.said_before = os.path.getsize(site.log) if os.path.exists(site.log) else 0
        command = [site.program, *site.kind.command(site)]
        identity: dict[str, Any] = {}
        if user is not None:
            identity = {'user': user.uid, 'group': user.gid, 'extra_groups': []}
        with open(site.log, 'ab') as log:
            if user is not None:
                # /dev/stderr is opened again by anyone who writes to it by that name.
                os.fchown(log.fileno(), user.uid, user.gid)
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, cwd='/', **identity,
            )
        self.pid = self.child.pid
        try:
            until(self.answers, f'{command} answers')
        except BaseException:
            self.end()
            raise

    def answers(self) -> bool:
        """Return whether it answers. Raises AssertionError when it has ended."""
        assert not self.ended(), f'it has ended:\n{self.said()}'
        try:
            self.site.ask()
        except OSError:
            return False
        return True

    def said(self) -> str:
        """Return all that it has logged."""
        with open(self.site.log, encoding='utf-8', errors='replace') as log:
            log.seek(self.said_before)
            return log.read()

    def reloads(self) -> int:
        """Return how often it logged a reload."""
        return len(re.findall(self.site.kind.reload, self.said()))

    def ended(self) -> bool:
        """Return whether it has ended. It stays a zombie, so its pid stays its own."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self.child.returncode is not None or (
            os.waitid(os.P_PID, self.pid, how) is not None
        )

    def stop(self) -> None:
        """Stop its first process by SIGSTOP, and wait until it has."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        """Let its first process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """Kill it and its workers, whatever state they are in, and reap it."""
        if self.child.returncode is None:
            # Before it is reaped: until then its group can be no other's.
            os.killpg(self.pid, signal.SIGKILL)
            self.child.wait(DEADLINE)


def become(user: As) -> tuple[list[str], dict[str, str], list[int]]:
    """Return how another user runs this Python: arguments, variables, descriptors.

    Python and its modules may be where only root can go. So root opens them,
    and the user gets there by /proc/self/fd, which asks for nothing on the way
    to what is open (proc(5)). The descriptors are the caller's to close.
    """
    packages = click, pollreload, xxhash
    homes = [os.path.dirname(package.__path__[0]) for package in packages]
    paths = (os.path.realpath(sys.executable), sys.base_prefix, *homes)
    held = [os.open(path, os.O_PATH) for path in paths]
    python, prefix, *modules = (f'/proc/self/fd/{fd}' for fd in held)
    kept = ','.join(('-all', *(f'+{name}' for name in user.capabilities)))
    args = [
        'setpriv', f'--reuid={user.uid}', f'--regid={user.gid}', '--clear-groups',
        f'--inh-caps={kept}', f'--ambient-caps={kept}', f'--bounding-set={kept}',
        python,
    ]
    return args, {'PYTHONHOME': prefix, 'PYTHONPATH': ':'.join(modules)}, held


def environment() -> dict[str, str]:
    """Return ours without what pollreload reads."""
    read = re.compile('POLLRELOAD_.*|FILE|PROCESS|SIGNAL')
    return {
        name: value for name, value in os.environ.items() if not read.fullmatch(name)
    }


class Sidecar:
    """pollreload watch, the real one.

    events: all that were read, in order;
    strays: other lines on stderr.
    """

    def __init__(self, args: Sequence[str], user: As | None) -> None:
        python: list[str] = [sys.executable]
        variables: dict[str, str] = {}
        held: list[int] = []
        if user is not None:
            python, variables, held = become(user)
        try:
            self.child = subprocess.Popen(
                [*python, '-m', 'pollreload', 'watch', *args], cwd='/',
                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                env={**environment(), **variables}, pass_fds=held,
            )
        finally:
            for fd in held:
                os.close(fd)
        self.pid = self.child.pid
        self.events: list[Event] = []
        self.strays: list[str] = []
        self.unread = b''
        self.taken = 0
        try:
            self.event('baseline')
        except BaseException:
            self.end()
            raise

    def line(self, end: float) -> bytes:
        """Return the next line. Raises AssertionError at the end, in monotonic time."""
        assert self.child.stderr is not None
        fd = self.child.stderr.fileno()
        while b'\n' not in self.unread:
            left = max(0.0, end - time.monotonic())
            assert select.select([fd], [], [], left)[0], f'silent after\n{self}'
            read = os.read(fd, 65536)
            assert read, f'ended after\n{self}'
            self.unread += read
        line, _, self.unread = self.unread.partition(b'\n')
        return line

    def event(self, *names: str, deadline: float = DEADLINE) -> Event:
        """Return the next event of one of these names, and pass over the others.

        Raises AssertionError if there is none within the deadline.
        """
        end = time.monotonic() + deadline
        while True:
            while self.taken < len(self.events):
                self.taken += 1
                if self.events[self.taken - 1]['event'] in names:
                    return self.events[self.taken - 1]
            # Checked here too: polls come without end.
            assert time.monotonic() < end, f'no {" or ".join(names)}, but\n{self}'
            line = self.line(end)
            if line.startswith(b'{'):
                self.events.append(json.loads(line))
            else:
                # A command's own output, which share stderr with the events.
                self.strays.append(line.decode())

    def polls(self, count: int = 3) -> None:
        """Read on over some more polls: what was to follow by now has followed."""
        for _ in range(count):
            self.event('polled')

    def told(self, pid: int | None = None) -> int:
        """Return how many signals were sent (to one pid), as far as was read."""
        return sum(
            event['event'] == 'signalled' and pid in (None, event['target_pid'])
            for event in self.events
        )

    def count(self, name: str) -> int:
        """Return how many events of a name were read."""
        return sum(event['event'] == name for event in self.events)

    def __str__(self) -> str:
        return '\n'.join((*self.strays, *(
            f'{event["time"]} {event["event"]}: {event["message"]}'
            for event in self.events if event['event'] != 'polled'
        )))

    def signalled(self, server: Server) -> None:
        """Wait until it has signalled a server and that has ended.

        It is stopped in the meantime, so that it sees the end however long that takes.
        --survive has to last until it is stopped.
        """
        assert self.event('signalled')['target_pid'] == server.pid
        os.kill(self.pid, signal.SIGSTOP)
        until(server.ended, 'the server has ended')
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """Stop it by TERM, and by KILL if that does not help."""
        self.child.terminate()
        try:
            self.child.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(DEADLINE)
            raise
        finally:
            assert self.child.stderr is not None
            self.child.stderr.close()


class Site:
    """One server's place on disk: root/conf is what is swapped and watched.

    root: may be entered by every user.
    name: the comm of its server, and program the link that gives it.
    port: free when the Site was made.
    """

    def __init__(self, kind: Kind, beside: Site | None = None) -> None:
        binary = needed(kind.program, kind.package)
        self.kind = kind
        self.root = tempfile.mkdtemp(prefix='pollreload-')
        os.chmod(self.root, 0o755)
        self.conf = f'{self.root}/conf'
        self.log = f'{self.root}/log'
        self.pidfile = f'{self.root}/pid'
        self.port = free_port()
        self.name = f'{kind.program[:8]}-{os.urandom(3).hex()}'
        self.program = f'{self.root}/{self.name}'
        if beside is None:
            os.symlink(binary, self.program)
        else:
            self.name, self.program = beside.name, beside.program
        self.stack = contextlib.ExitStack()
        self.stack.callback(shutil.rmtree, self.root)
        self.swap('start')

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def swap(self, answer: str) -> None:
        """Swap in a configuration that gives an answer."""
        swap(self.conf, self.kind.files(self, answer))

    def spoil(self) -> None:
        """Swap in a configuration that the server refuses."""
        swap(self.conf, self.kind.broken(self))

    def own(self, user: As) -> None:
        """Give the place to a user, for the server to write its files."""
        os.chown(self.root, user.uid, user.gid)

    def ask(self) -> str:
        """Return all that the server answers now. Raises OSError while it does not."""
        return self.kind.ask(self)

    def gives(self, answer: str) -> None:
        """Wait until the server gives an answer."""
        until(lambda: self.ask() == answer, f'the answer {answer!r}')

    def server(self, user: As | None = None) -> Server:
        """Start the server, and return it when it answers."""
        server = Server(self, user)
        self.stack.callback(server.end)
        return server

    def watched(self) -> list[str]:
        """Return the arguments that every sidecar and check here is given."""
        return ['--process', self.name, '--signal', self.kind.signal, self.conf]

    def sidecar(
            self, *args: str, survive: str = '100ms', user: As | None = None,
    ) -> Sidecar:
        """Start a sidecar, and return it when it has its baseline."""
        sidecar = Sidecar([
            '--log-format', 'json', '-v', '--interval', '200ms', '--settle', '100ms',
            '--min-uptime', '100ms', '--survive', survive, *args, *self.watched(),
        ], user)
        self.stack.callback(sidecar.end)
        return sidecar

    def check(self, *args: str) -> str:
        """Return the command line of a check, as one would write it down."""
        return shlex.join([
            sys.executable, '-m', 'pollreload', 'check', '--settle', '100ms',
            '--min-uptime', '100ms', '--survive', '100ms',
            '--state-file', f'{self.root}/state/ledger', *args, *self.watched(),
        ])

    def start(
            self, args: Sequence[str], variables: Mapping[str, str],
    ) -> subprocess.Popen[str]:
        """Start a command with just these variables, its output in pipes."""
        child = subprocess.Popen(
            args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=dict(variables), cwd='/', text=True,
        )
        self.stack.callback(child.__exit__, None, None, None)
        self.stack.callback(child.kill)
        return child


def cron(line: str) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the variables with which cron runs a line of a crontab.

    crontab(5): five fields of time, then the command up to the first '%', which
    stands for a new line, by /bin/sh and with next to nothing set.
    """
    command = line.split(None, 5)[5]
    assert not re.search(r'(?<!\\)%', command), 'cron makes an end of a line of each %'
    return ['/bin/sh', '-c', command], {
        'HOME': '/', 'LOGNAME': 'nobody', 'PATH': '/usr/bin:/bin', 'SHELL': '/bin/sh',
    }


def timer(unit: str) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and variables with which systemd runs a service.

    systemd.service(5): ExecStart is split into arguments without a shell, and its first
    has to be an absolute path; systemd.exec(5) has the variables.
    """
    command = next(
        line.removeprefix('ExecStart=') for line in unit.splitlines()
        if line.startswith('ExecStart=')
    )
    args = shlex.split(command)
    assert os.path.isabs(args[0]), args
    assert not re.search('[%$]', command), 'systemd replaces what follows % or $'
    return args, {
        'LANG': 'C.UTF-8', 'INVOCATION_ID': '0' * 32,
        'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin',
    }
