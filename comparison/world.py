"""The place of a behaviour: files, programs, and a tool that watches.

Nothing here sleeps for luck. What shall happen is waited for, with a deadline of
many times a tool's interval; what shall not is given SILENCE, and where it can be
proved by order it is: by the next change, of which the program is notified.
"""
from __future__ import annotations

import contextlib
import itertools
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

DEADLINE = 20.0  # s, to be notified
SILENCE = 6.0  # s, within which a needless notification would come
QUIET = 3.0  # s of silence, after which a tool is done with a change
INTERVAL = 1  # s, of each tool that polls
SHORT = 15  # bytes of a name that the kernel keeps
PROGRAM = str(Path(__file__).with_name('app.py'))
ROOT = str(Path(__file__).resolve().parent.parent)
OURS = ('FILE', 'PROCESS', 'SIGNAL', 'MATCH', 'INTERVAL')
NUMBERS = itertools.count(1)


class Place(NamedTuple):
    """What a tool is given.

    directory, file: of the configuration. whole: a tool that can watch a directory is
    given that, because the file is below a `..data` link or the directory loses it.
    name: of the program. pidfile: where the program has left its pid.
    scratch: a directory for the tool's own files.
    """

    directory: str
    file: str
    whole: bool
    name: str
    pidfile: str
    scratch: str


class Command(NamedTuple):
    """How a tool is run.

    words: the command; variables: its environment, beside the usual one.
    files: name -> content of what it reads, in the scratch directory, mode 0600.
    ready: returns whether it watches, of the processes of its session and its log;
    without it, it watches once one of them has an inotify watch.
    """

    words: Sequence[str]
    variables: Mapping[str, str] = {}
    files: Mapping[str, str] = {}
    ready: Callable[[Sequence[int], str], bool] | None = None


Tool = Callable[[Place], Command]


def until(true: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    """Wait until something is true that can only be polled.

    Raises TimeoutError.
    """
    end = time.monotonic() + deadline
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f'not within {deadline:g} s: {what}')
        select.select([], [], [], 0.05)


class App:
    """A program that runs, and the lines that it has said, each with its time."""

    def __init__(self, kind: str, program: str, path: str, pidfile: str = '') -> None:
        variables = {'APP_PIDFILE': pidfile} if pidfile else {}
        self.drains = kind == 'drains'
        self.child = subprocess.Popen(
            [program, '-I', '-S', PROGRAM, kind, path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, **variables},
        )
        self.pid = self.child.pid
        self.lines: list[str] = []
        self.unread = b''
        self.heard = 0.0
        try:
            until(lambda: self.read(0.1) or self.lines, 'the program is ready')
        except BaseException:
            self.end()
            raise

    def read(self, wait: float) -> bool:
        """Read what it says within some seconds; return whether it said anything."""
        assert self.child.stdout is not None
        fd = self.child.stdout.fileno()
        if not select.select([fd], [], [], wait)[0]:
            return False
        read = os.read(fd, 65536)
        if not read:
            # It has ended: what is waited for does not come any sooner.
            select.select([], [], [], wait)
            return False
        self.heard = time.monotonic()
        *lines, self.unread = (self.unread + read).split(b'\n')
        self.lines += [line.decode() for line in lines]
        return True

    @property
    def tells(self) -> list[str]:
        """What it had after each HUP, so far."""
        return [
            line.removeprefix('notified ') for line in self.lines
            if line.startswith('notified ')
        ]

    def notified(self, content: str, since: int, deadline: float = DEADLINE) -> bool:
        """Return whether it is notified of a version; since: as often before."""
        end = time.monotonic() + deadline
        while content not in self.tells[since:]:
            left = end - time.monotonic()
            if left <= 0 or self.died is not None:
                return False
            self.read(min(left, 0.2))
        return True

    def quiet(self, wait: float = QUIET) -> int:
        """Return how often it has been notified, once it has said nothing for a while.

        A tool that never stops is not waited for longer than DEADLINE.
        """
        start = time.monotonic()
        self.heard = start
        while (now := time.monotonic()) < min(self.heard + wait, start + DEADLINE):
            self.read(min(0.2, self.heard + wait - now))
        return len(self.tells)

    def listen(self, seconds: float) -> None:
        """Read what it says for some time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(min(0.2, left))

    def ask(self, answer: str) -> bool:
        """Write it a line; return whether it gives an answer."""
        assert self.child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.write(b'\n')
            self.child.stdin.flush()
        end = time.monotonic() + DEADLINE
        while answer not in self.lines and time.monotonic() < end:
            if self.died is not None:
                return False
            self.read(0.1)
        return answer in self.lines

    @property
    def died(self) -> str | None:
        """How it ended, or None; one that drains leaves a successor."""
        status = self.child.poll()
        if status is None or (status == 0 and self.drains):
            return None
        return signal.Signals(-status).name if status < 0 else f'status {status}'

    def zombie(self) -> None:
        """Kill it, and wait until it is a zombie, which is not reaped until end()."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def end(self) -> None:
        """Kill and reap it."""
        self.child.kill()
        self.child.wait(DEADLINE)
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class World:
    """One behaviour's own directory, programs and tool; all gone when it ends.

    linked: the file is below a `..data` link, as the kubelet has it.
    whole: the tool is given the directory, if it can watch one.
    """

    def __init__(self, tool: Tool, linked: bool = False, whole: bool = False) -> None:
        self.tool = tool
        self.whole = linked or whole
        self.top = Path(tempfile.mkdtemp(prefix='comparison-'))
        # The name is no other process's, also if two runs go on at once.
        self.name = f'c{next(NUMBERS)}-{os.getpid()}'
        self.directory = self.top / 'conf'
        self.file = self.directory / 'app.conf'
        self.directory.mkdir()
        (self.top / 'scratch').mkdir()
        self.count = 0
        self.swaps = 0
        self.apps: list[App] = []
        self.watcher: subprocess.Popen[bytes] | None = None
        self.log = self.top / 'log'
        if linked:
            self.swap(self.next())
            self.file.symlink_to('..data/app.conf')
        else:
            self.file.write_text(f'{self.next()}\n')

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for app in self.apps:
            app.end()
        shutil.rmtree(self.top)

    def next(self) -> str:
        """Return a new version, as long as those before it."""
        self.count += 1
        return f'version {self.count:03d}'

    def change(self) -> str:
        """Write a new version over the old one, in one write(2); return it."""
        content = self.next()
        self.overwrite(content)
        return content

    def overwrite(self, content: str) -> None:
        """Write a version of the same size, in one write(2), and cut off nothing."""
        fd = os.open(self.file, os.O_WRONLY)
        os.write(fd, f'{content}\n'.encode())
        os.close(fd)

    def place(self, content: str) -> None:
        """Put a file there that was written elsewhere."""
        new = self.top / 'new'
        new.write_text(f'{content}\n')
        new.rename(self.file)

    def unmount(self) -> None:
        """Put an empty directory there, as is left when a volume is unmounted."""
        self.directory.rename(self.top / 'volume')
        self.directory.mkdir()

    def mount(self) -> None:
        """Undo unmount()."""
        self.directory.rmdir()
        (self.top / 'volume').rename(self.directory)

    def swap(self, content: str) -> None:
        """Let `..data` point to a new directory, and remove the old one."""
        self.swaps += 1
        new = self.directory / f'..2026_{self.swaps}'
        new.mkdir()
        (new / 'app.conf').write_text(f'{content}\n')
        link, step = self.directory / '..data', self.directory / '..data_tmp'
        step.symlink_to(new.name)
        old = link.resolve() if link.is_symlink() else None
        step.rename(link)
        if old is not None:
            shutil.rmtree(old)

    def app(
            self, kind: str = 'handler', suffix: str = '', elsewhere: bool = False,
    ) -> App:
        """Start a program, by a link that gives it its name.

        suffix: at the end of the name. elsewhere: it is another program, of another
        directory, and no pidfile names it.
        """
        directory = self.top / ('elsewhere' if elsewhere else 'bin')
        directory.mkdir(exist_ok=True)
        link = directory / f'{self.name}{suffix}'
        if not link.exists():
            link.symlink_to(os.path.realpath(sys.executable))
        pidfile = '' if elsewhere else str(self.top / 'app.pid')
        app = App(kind, str(link), str(self.file), pidfile)
        self.apps.append(app)
        return app

    def watch(self, suffix: str = '', words: Sequence[str] = ()) -> None:
        """Start the tool, and wait until it watches.

        words: more of its command line. Raises TimeoutError.
        """
        scratch = self.top / 'scratch'
        command = self.tool(Place(
            str(self.directory), str(self.file), self.whole, f'{self.name}{suffix}',
            str(self.top / 'app.pid'), str(scratch),
        ))
        for name, content in command.files.items():
            path = scratch / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
            path.chmod(0o600)
        kept = {
            name: value for name, value in os.environ.items()
            if not name.startswith('POLLRELOAD_') and name not in OURS
        }
        before = len(self.said)
        with self.log.open('ab') as log:
            self.watcher = subprocess.Popen(
                [*command.words, *words], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.top, start_new_session=True,
                env={**kept, 'PYTHONPATH': ROOT, **command.variables},
            )
        ready = command.ready or inotify
        session = self.watcher.pid
        try:
            until(
                lambda: ready(members(session), self.said[before:]),
                f'{command.words[0]} watches', 2 * DEADLINE,
            )
        except TimeoutError as error:
            raise TimeoutError(f'{error}; it said: {self.said}') from None
        for app in self.apps:
            # What a tool does at its start is no answer to a change.
            if app.died is None:
                app.quiet(QUIET if command.ready is None else 1)

    def pause(self, wait: float) -> None:
        """Let some seconds pass, in which it is the tool's turn."""
        select.select([], [], [], wait)

    @property
    def said(self) -> str:
        """What the tool has printed so far."""
        return self.log.read_text('utf-8', 'replace') if self.log.exists() else ''

    @property
    def ended(self) -> bool:
        """Whether the tool has ended by itself."""
        return self.watcher is not None and self.watcher.poll() is not None

    def stop(self) -> None:
        """End the tool and all of its session; TERM first."""
        if self.watcher is None:
            return
        session = self.watcher.pid
        with contextlib.suppress(ProcessLookupError):
            os.killpg(session, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.watcher.wait(5)
        while found := members(session):
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.watcher.poll()
        self.watcher.wait(DEADLINE)
        self.watcher = None


def members(session: int) -> list[int]:
    """Return the pids of a session that are no zombies."""
    found = []
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f'/proc/{entry}/stat').read_bytes()
                fields = stat.rpartition(b')')[2].split()
                if int(fields[3]) == session and fields[0] not in (b'Z', b'X'):
                    found.append(int(entry))
    return found


def inotify(pids: Sequence[int], _: str) -> bool:
    """Return whether one of some processes has an inotify watch, proc(5)."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in os.listdir(f'/proc/{pid}/fdinfo'):
                with contextlib.suppress(OSError):
                    fdinfo = Path(f'/proc/{pid}/fdinfo/{entry}').read_text('utf-8')
                    if 'inotify wd:' in fdinfo:
                        return True
    return False


def sleeping(pids: Sequence[int], _: str) -> bool:
    """Return whether one of some processes is a sleep(1)."""
    return any(comm(pid) == 'sleep' for pid in pids)


def comm(pid: int) -> str:
    """Return the name of a process; '' if it is gone."""
    try:
        return Path(f'/proc/{pid}/comm').read_text('utf-8').strip()
    except OSError:
        return ''
