"""FUSE mounts that can be made to stop answering, and that are always cleaned up.

Each is in a mount namespace of its own: no other test, nor pytest itself, can
stumble over one that hangs. What a test runs there it runs by .under.

A read that hangs can keep even a process that was killed from ending: of a
request that the daemon has taken the kernel waits for the answer, whatever
comes (request_wait_answer in fs/fuse/dev.c). So the end is ensured three times
over: the daemon is killed, and with it goes its connection; the connection is
aborted by its file in /sys/fs/fuse/connections; and where pytest itself is
killed, all of these processes are by PR_SET_PDEATHSIG.
"""
from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.sandbox import changes
from tests.sandbox.harness import APP, DEADLINE, Lines, needed
from tests.servers.harness import missing, until
from tests.support.sidecar import Sidecar
from tests.support.targets import only_child, states

SFTP = '/usr/lib/openssh/sftp-server'
FUSECTL = '/sys/fs/fuse/connections'
# setpriv(1): it ends with anyone who has started it, even if it is stopped.
TIED = ('setpriv', '--pdeathsig', 'KILL')


class Space:
    """A mount namespace of its own, as long as this is open.

    under: a command to run another by that should be in it.
    """

    def __init__(self) -> None:
        needed('nsenter', 'util-linux')
        self.keeper = subprocess.Popen(
            (*TIED, 'unshare', '--mount', '--propagation', 'private', 'cat'),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        assert self.keeper.stdin is not None
        assert self.keeper.stdout is not None
        self.keeper.stdin.write(b'here\n')
        self.keeper.stdin.flush()
        assert self.keeper.stdout.readline() == b'here\n'
        self.under = ('nsenter', f'--mount=/proc/{self.keeper.pid}/ns/mnt', *TIED)

    def run(self, *command: str, check: bool = True) -> None:
        """Run a command in it that does not hang."""
        subprocess.run(
            (*self.under, *command), stdin=subprocess.DEVNULL, check=check,
            timeout=DEADLINE, capture_output=not check,
        )

    def mounted(self, point: Path) -> str:
        """Return the device of a mount, '0:53'; '' if there is none.

        From mountinfo, proc(5): nothing of the mount is touched.
        """
        mounts = Path(f'/proc/{self.keeper.pid}/mountinfo').read_text('utf-8')
        found = [
            fields[2] for fields in map(str.split, mounts.splitlines())
            if fields[4] == str(point)
        ]
        return found[-1] if found else ''

    def close(self) -> None:
        """End it, and with it all of its mounts."""
        self.keeper.kill()
        self.keeper.communicate()


class Mount:
    """A FUSE mount in a space: its place, what it shows, and what serves it.

    at: to be touched by processes in the space alone.
    source: the same files, as they are reached from outside.
    daemon: the pid of the process that holds /dev/fuse.
    server: the pid of the process that answers the daemon; the daemon's if no one does.
    log: what the daemon says.
    """

    def __init__(
            self, space: Space, at: Path, source: Path, command: Sequence[str],
            served: bool, log: Path,
    ) -> None:
        self.space, self.at, self.source, self.log = space, at, source, log
        self.under = space.under
        self.stopped: list[int] = []
        self.connection = ''
        # As pid 1 of a namespace it takes with it whatever it has started, also
        # what is stopped.
        with open(log, 'wb') as said:
            self.child = subprocess.Popen(
                (*space.under, 'unshare', '--pid', '--fork', '--kill-child', *command),
                stdin=subprocess.DEVNULL, stderr=said,
            )
        self.daemon = self.server = 0
        try:
            until(self.ready, f'{command[0]} mounts {at}')
            self.connection = space.mounted(at).partition(':')[2]
            self.daemon = only_child(self.child.pid)
            self.server = self.daemon
            if served:
                until(self.served, f'{command[0]} has a server')
        except BaseException:
            self.close()
            raise

    def ready(self) -> bool:
        """Return whether it is mounted. Raises AssertionError if it cannot be."""
        assert self.child.poll() is None, self.log.read_text('utf-8')
        return bool(self.space.mounted(self.at))

    def served(self) -> bool:
        """Return whether the daemon has its server by now, and learn who it is."""
        try:
            self.server = only_child(self.daemon)
            # A fork in between ends.
            return Path(f'/proc/{self.server}/comm').read_text('ascii') == (
                f'{os.path.basename(SFTP)}\n'
            )
        except (AssertionError, FileNotFoundError, ProcessLookupError):
            return False

    def stop(self, pid: int) -> None:
        """Stop the daemon or its server, and wait until it has."""
        self.stopped.append(pid)
        os.kill(pid, signal.SIGSTOP)
        until(lambda: set(states(pid)) == {b'T'}, f'pid {pid} stops')

    def go_on(self) -> None:
        """Let who was stopped go on."""
        for pid in self.stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.stopped.clear()

    def abort(self) -> None:
        """Abort its connection: a process that waits for an answer has an error."""
        if self.connection:
            file = f'{FUSECTL}/{self.connection}/abort'
            self.space.run('sh', '-c', f'echo 1 > {file}', check=False)

    def close(self) -> None:
        """End it in every way there is, whatever state it is in."""
        if self.daemon:
            os.kill(self.daemon, signal.SIGKILL)
        else:
            self.child.kill()
        # Before it is waited for: a daemon may itself hang on another mount.
        self.abort()
        self.go_on()
        self.child.wait(DEADLINE)
        self.space.run('umount', '--lazy', str(self.at), check=False)


@contextlib.contextmanager
def space() -> Iterator[Space]:
    """Give a mount namespace of its own, with the files that abort connections."""
    if not os.path.exists('/dev/fuse'):
        missing('/dev/fuse is not here: modprobe fuse')
    made = Space()
    try:
        made.run('mount', '-t', 'fusectl', 'fusectl', FUSECTL, check=False)
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def mount(
        kind: str, within: Space, place: Path, *options: str,
        source: Path | None = None,
) -> Iterator[Mount]:
    """Mount place/source at place/mount by sshfs or bindfs, in the foreground.

    options: -o each.
    source: another one, which may be on a mount in the space.
    """
    program = needed(kind, kind)
    at, shown = place / 'mount', source or place / 'source'
    at.mkdir(parents=True)
    if source is None:
        shown.mkdir()
    more = [word for option in options for word in ('-o', option)]
    command = [program, '-f', *more, str(shown), str(at)]
    if kind == 'sshfs':
        if not os.access(SFTP, os.X_OK):
            missing(f'{SFTP} is not here: apt-get install openssh-sftp-server')
        # In place of ssh, which it gives the arguments of a command line.
        script = place / 'sftp'
        script.write_text(f'#!/bin/sh\nexec {SFTP}\n', 'ascii')
        script.chmod(0o755)
        more = ['-o', f'ssh_command={re.escape(str(script))}', *more]
        command = [program, '-f', *more, f'x:{shown}', str(at)]
    made = Mount(within, at, shown, command, kind == 'sshfs', place / 'log')
    try:
        yield made
    finally:
        made.close()


class App(Lines):
    """What the app says that runs as a pid."""

    def __init__(self, fd: int, pid: int) -> None:
        super().__init__(fd)
        self.pid = pid

    def mark(self) -> str:
        """Have it mark that it has said all, and return what it said last."""
        os.kill(self.pid, signal.SIGUSR1)
        while self.read() != 'marked':
            pass
        return self.seen[-2]


@contextlib.contextmanager
def started(name: str, files: Sequence[str], under: Sequence[str]) -> Iterator[App]:
    """Give the app, once it is ready."""
    with subprocess.Popen(
        [*under, sys.executable, str(APP), name, *files],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    ) as app:
        assert app.stdout is not None
        lines = App(app.stdout.fileno(), app.pid)
        try:
            lines.until('ready')
            yield lines
        finally:
            app.kill()


@contextlib.contextmanager
def mount_with_files(kind: str, place: Path, *options: str) -> Iterator[Mount]:
    """Mount as mount() does, in a space of its own, with the files of changes.lay."""
    with space() as within, mount(kind, within, place, *options) as made:
        changes.lay(str(made.source), changes.text(0))
        yield made


def rest(sidecar: Sidecar) -> None:
    """Read on until two polls that began by now have found nothing to deliver.

    The polls of a mount that can hang are made beside the loop: to ask for one is not
    to have it.
    """
    status = ''
    while not status.startswith('version current'):
        sidecar.status()
        sidecar.found = len(sidecar.seen)
        sidecar.until('polled')
        sidecar.until('polled')
        status = sidecar.status()
