"""A watch with a config file, as tests/support/sidecar.py has it without one.

started() gives one that polls only when poll() asks for it, but for the config file,
which it looks at every 5 s too; rest() waits until what that says is taken over, or
is refused.
"""
from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tests.servers.harness import until
from tests.support.sidecar import POLLRELOAD, Event, Sidecar, environment, write

# As sidecar.QUICK: act at once, and only when asked to.
QUICK = {
    'interval': '1h', 'settle': 0, 'survive': '100ms', 'min-uptime': 0,
    'on-start': 'never',
}


class Several(Sidecar):
    """A watch with a config file that runs."""

    def __enter__(self) -> Several:
        return self

    def statuses(self) -> dict[str, str]:
        """Return the status of each watch by its name, that of the config file: ''."""
        self.send(signal.SIGUSR1)
        found: dict[str, str] = {}
        while '' not in found:
            got = self.read()
            assert got, f'it ended without a status: {self.seen}'
            if got['event'] == 'status':
                found[got.get('watch', '')] = got['message']
        # That of the config file is the last.
        found[''] = found[''].removeprefix('config file: ')
        return found

    def poll(self) -> list[Event]:
        """Let all poll now, and return the events up to the end of that."""
        before = len(self.seen)
        self.send(signal.SIGHUP)
        self.statuses()
        return [each for each in self.seen[before:] if each['event'] != 'status']

    def rest(self, status: str = 'version current') -> list[Event]:
        """As poll, up to where all that the config file says is done."""
        before = len(self.seen)
        self.poll()
        until(lambda: self.statuses()[''].startswith(status), f'the file is {status}')
        return [each for each in self.seen[before:] if each['event'] != 'status']

    def each(self, *wanted: tuple[str, str]) -> None:
        """Wait for events of watches, in whatever order they come."""
        while not all(self.count(event, watch=watch) for event, watch in wanted):
            assert self.read(), f'it ended without {wanted}: {self.seen}'

    def named(self, watch: str) -> list[str]:
        """Return the events of one watch so far, '' for the config file."""
        return [
            each['event'] for each in self.seen
            if each.get('watch', '') == watch and each['event'] != 'status'
        ]


def table(**options: object) -> str:
    """Return a [[watch]] table; `_` stands for `-`."""
    return '[[watch]]\n' + lines(options)


def lines(options: Mapping[str, object]) -> str:
    """Return the lines of options."""
    return ''.join(
        f'{name.replace("_", "-")} = {json.dumps(value)}\n'
        for name, value in options.items()
    )


def put(path: str | os.PathLike[str], *tables: str, **top: object) -> str:
    """Write a config file that acts at once; return its name."""
    more = {name.replace('_', '-'): value for name, value in top.items()}
    write(path, lines({**QUICK, **more}) + ''.join(tables))
    return os.fspath(path)


def started(
        path: str, *args: str, env: Mapping[str, str] | None = None,
        under: Sequence[str] = (), form: str = 'json', **rest: Any,
) -> Several:
    """Start a watch with a config file; end it with .end() or `with`."""
    command = (
        *under, *POLLRELOAD, 'watch', '--config', path,
        *(('--log-format', form) if form else ()), *args,
    )
    return Several(subprocess.Popen(
        command, env=environment(env), stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, **rest,
    ), False)
