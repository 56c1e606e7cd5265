"""The program that is notified: app.py KIND FILE.

It reads FILE when it starts and at each HUP, as a server would, and says on a line
what it has then: 'ready version 001', 'notified version 002'. 'empty' and 'missing'
stand for such a file; of several lines the first counts. It writes its pid to
$APP_PIDFILE, if that is set, and ends when its stdin does.

    handler   HUP has a handler
    default   HUP has its default, and kills
    late      HUP has its default until it reads a line, which it answers: 'handling'
    master    handles HUP, and has two workers of its name, which HUP kills. It says
              'lost a worker' for each
    drains    at HUP starts a successor, which says what it read as if it had been
              notified; it finishes its work, without reloading, and ends after DRAIN
    successor what that starts
    renamed   handles HUP, and has another name after the first
    wrapper   starts the program as a child of its name, and HUP kills it itself
    rewrites  adds a line to the file at each HUP
"""
from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
DRAIN = 8.0  # s


def content(path: str) -> str:
    """Return the first line of the file."""
    try:
        return Path(path).read_text('utf-8').strip().partition('\n')[0] or 'empty'
    except FileNotFoundError:
        return 'missing'


def say(line: str) -> None:
    """Say a line, in one write."""
    os.write(1, f'{line}\n'.encode())


def nothing(*_: object) -> None:
    """Handle a signal; that it came is read from the wake-up descriptor."""


def worker() -> None:
    """Be a worker, which HUP kills, as it does one of gunicorn's."""
    master = os.getppid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The master may have ended before that was asked for.
    while os.getppid() == master:
        signal.pause()
    os._exit(0)


def reap() -> None:
    """Say that a child has died of a HUP, for each."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGHUP:
            say('lost a worker')


def register() -> None:
    """Write the pid to the pidfile, if there is one."""
    if 'APP_PIDFILE' in os.environ:
        Path(os.environ['APP_PIDFILE']).write_text(f'{os.getpid()}\n', 'utf-8')


def wrap() -> None:
    """Start the program as a child, which returns; wait until it ends."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)


def notified(kind: str, path: str) -> None:
    """Do what a HUP makes the program do."""
    if kind == 'drains':
        os.posix_spawn(
            sys.executable, [sys.executable, '-I', '-S', __file__, 'successor', path],
            os.environ,
        )
        return
    say(f'notified {content(path)}')
    if kind == 'renamed':
        Path('/proc/self/comm').write_text('renamed', 'utf-8')
    if kind == 'rewrites':
        Path(path).write_text(f'{content(path)}\n# {time.monotonic_ns()}\n', 'utf-8')


def main(kind: str, path: str) -> None:
    """Be a program."""
    if kind == 'wrapper':
        wrap()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, nothing)
    # Whoever started us may ignore it.
    handles = kind not in ('default', 'late')
    signal.signal(signal.SIGHUP, nothing if handles else signal.SIG_DFL)
    if kind == 'master':
        for _ in range(2):
            if not os.fork():
                worker()
    register()
    say(f'{"notified" if kind == "successor" else "ready"} {content(path)}')
    ends = 0.0
    while True:
        left = max(0.0, ends - time.monotonic()) if ends else None
        readable, _, _ = select.select([0, reader], [], [], left)
        if not readable:
            return
        if 0 in readable:
            if not os.read(0, 64):
                return
            signal.signal(signal.SIGHUP, nothing)
            say('handling')
        if reader in readable:
            number = os.read(reader, 1)[0]
            if number != signal.SIGHUP:
                reap()
            elif not ends:
                notified(kind, path)
                ends = time.monotonic() + DRAIN if kind == 'drains' else 0.0


if __name__ == '__main__':
    main(*sys.argv[1:])
