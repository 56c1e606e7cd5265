"""The program that is notified in a sandbox: app.py NAME FILE...

It prints lines: `ready`; `reloaded` with the text of the files for each HUP; and
`marked` for each USR1. That no HUP arrived is proved by sending USR1 and reading
`marked` next. It uses only the standard library, because guests and other images run it
as it is. It ends at the end of its stdin, or by TERM.
"""
from __future__ import annotations

import os
import signal
import sys


def name(comm: str) -> None:
    """Take a comm (proc(5), /proc/PID/comm)."""
    try:
        with open('/proc/self/comm', 'w', encoding='ascii') as file:
            file.write(comm)
    except OSError:  # gVisor's cannot be written
        import ctypes
        ctypes.CDLL(None).prctl(15, comm.encode(), 0, 0, 0)  # PR_SET_NAME


def read(path: str) -> str:
    """Return the text of a file, or the error that it gives."""
    try:
        with open(path, encoding='ascii') as file:
            return file.read().strip()
    except OSError as error:
        return str(error.strerror)


def say(line: str) -> None:
    """Write a line to stdout in one write."""
    os.write(1, f'{line}\n'.encode())


def main() -> None:
    """Handle signals for ever."""
    comm, *paths = sys.argv[1:]
    name(comm)
    signal.signal(signal.SIGHUP, lambda *_: say(
        ' | '.join(['reloaded', *(read(path) for path in paths)]),
    ))
    signal.signal(signal.SIGUSR1, lambda *_: say('marked'))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    say('ready')
    while True:
        signal.pause()


if __name__ == '__main__':
    main()
