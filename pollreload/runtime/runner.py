"""The command or request that is under way."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import cast

from pollreload.settings import Settings
from pollreload.system import children
from pollreload.system.command import drain, pipe, spawn

# Variables that are meant for this process alone: POLLRELOAD_PID of another pollreload
# that started it, the others of the service manager.
OURS = frozenset((
    'POLLRELOAD_PID', 'NOTIFY_SOCKET', 'WATCHDOG_PID', 'WATCHDOG_USEC',
))
MOST_OUTPUT = 1000  # bytes of what a command prints that are worth keeping


class Runner:
    """The command or request of one watch that is under way, and its result.

    fd: the output of the command. answer: the result of the request.
    tail: the end of the output.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.fd = -1
        self.answer = -1
        self.tail = b''

    def run(self, command: Sequence[str], additions: Mapping[str, str]) -> str:
        """Start a command; return '' or the reason why it cannot be started."""
        self.tail = b''
        try:
            self.fd, theirs = pipe()
            try:
                kept = {
                    name: value for name, value in os.environ.items()
                    if name not in OURS
                }
                environment = {**kept, **additions}
                self.pid = spawn(command, environment, theirs)
            finally:
                os.close(theirs)
        except OSError as error:
            self.cancel()
            return f'{command[0]}: {(error.strerror or str(error)).lower()}'
        return ''

    def ask(self, settings: Settings, url: str) -> str:
        """Start a request; return '' or the reason why it cannot be started."""
        self.tail = b''
        try:
            self.pid, self.answer = children.fork(lambda: request_child(settings, url))
        except OSError as error:
            return f'no child for it: {(error.strerror or str(error)).lower()}'
        return ''

    def ran(self) -> int | None:
        """Return the exit status of the command, or None while it runs.

        For a request, 0 if its answer is a success, else 1. It must be called now and
        then, because it also empties the pipe.
        """
        status = children.poll_child(self.pid)
        if self.answer >= 0:
            return status if status is None else self.answered(status)
        self.tail = drain(self.fd, self.tail, MOST_OUTPUT)
        if status is not None:
            # It has been reaped: its number can be that of another child.
            self.pid = 0
            self.cancel()
        return status

    def answered(self, status: int) -> int:
        """Return 0 or 1 for the end of a request, by the status of its child."""
        fd, self.answer, self.pid = self.answer, -1, 0
        good, says = False, ''
        if status:
            says = f'failed: {children.fault(status, fd)}'
        else:
            good, says = cast(tuple[bool, str], children.read_value(fd))
        self.tail = says.encode()
        return int(not good)

    def output(self) -> str:
        """Return the end of what the last command printed."""
        return self.tail.decode('utf-8', 'backslashreplace').strip()

    def cancel(self) -> None:
        """End the command and all of its group."""
        if self.pid:
            children.end(self.pid)
            self.pid = 0
        for fd in (self.fd, self.answer):
            if fd >= 0:
                os.close(fd)
        self.fd = self.answer = -1


def request_child(settings: Settings, url: str) -> tuple[bool, str]:
    """Send the request in a child: return whether it succeeded, and a message."""
    from pollreload.system import http_request
    return http_request.perform(
        url, settings.url_method, settings.url_status, settings.url_timeout,
        settings.url_header_file, settings.url_ca,
    )


def find_program(command: Sequence[str]) -> list[str]:
    """Return the path of a program, or the directories that are searched for it."""
    if '/' in command[0]:
        return [command[0]]
    return [place or '.' for place in os.environ.get('PATH', os.defpath).split(':')]
