"""The program that is notified: app.py KIND FILE.

It reads FILE when it starts and at each HUP, as a server would, and says on a line
what it has then: 'ready version 001', 'notified version 002'. 'empty' and 'missing'
stand for such a file. It ends when its stdin does.

    handler   HUP has a handler
    default   HUP has its default, and kills
    late      HUP has its default until it reads a line, which it answers: 'handling'
    master    handles HUP, and has two workers of its name, which HUP kills. It says
              'lost a worker' for each
"""
from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def content(path: str) -> str:
    """Return what the file says, in one line."""
    try:
        return Path(path).read_text('utf-8').strip() or 'empty'
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
    """Say which workers have died of a HUP."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGHUP:
            say('lost a worker')


def main(kind: str, path: str) -> None:
    """Be a program."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, nothing)
    # Whoever started us may ignore it.
    signal.signal(
        signal.SIGHUP, nothing if kind in ('handler', 'master') else signal.SIG_DFL,
    )
    if kind == 'master':
        for _ in range(2):
            if not os.fork():
                worker()
    say(f'ready {content(path)}')
    while True:
        readable, _, _ = select.select([0, reader], [], [])
        if 0 in readable:
            if not os.read(0, 64):
                return
            signal.signal(signal.SIGHUP, nothing)
            say('handling')
        if reader in readable:
            number = os.read(reader, 1)[0]
            if number == signal.SIGHUP:
                say(f'notified {content(path)}')
            else:
                reap()


if __name__ == '__main__':
    main(*sys.argv[1:])
