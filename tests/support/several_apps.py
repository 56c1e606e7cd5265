"""Several targets, each with a watch from one config file."""
from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from tests.servers.harness import until
from tests.support import targets
from tests.support.several import Several, started, table
from tests.support.sidecar import unique, write


class App:
    """A program that is notified, and the file that it reads."""

    def __init__(self, place: Path, name: str, kind: str = 'handler') -> None:
        self.conf = str(place / f'{name}.conf')
        write(self.conf, 'first')
        self.name = name
        self.comm = unique()
        self.target = targets.start(kind, name=self.comm)
        self.texts = 0

    def table(self, **more: object) -> str:
        """Return the table of its watch."""
        return table(**{
            'name': self.name, 'path': self.conf, 'process': self.comm, **more,
        })

    def change(self) -> None:
        """Write another version to the file."""
        self.texts += 1
        write(self.conf, f'text {self.texts}')

    def unsignalled(self) -> bool:
        """Return whether it has seen no signal since the last one that was read."""
        self.target.signal(signal.SIGUSR1)
        return self.target.read() == 'USR1'


def current_watches(path: str, *args: str, **rest: Any) -> Several:
    """Start a watch; it knows its contents, and has read its file once more."""
    it = started(path, *args, **rest)
    try:
        it.until('started')
        until(
            lambda: all(each.startswith('version current') for each in
                        it.statuses().values()), 'all is done',
        )
    except BaseException:
        it.end()
        raise
    it.found = len(it.seen)
    return it


def told(it: Several, app: App) -> bool:
    """Return whether a change that is made now is delivered, once."""
    app.change()
    it.poll()
    it.until('delivered', watch=app.name)
    # What follows in that step has been done before it answers.
    it.statuses()
    return app.target.read() == 'HUP' and app.unsignalled()


def fails(it: Several, name: str, least: int) -> int:
    """Return how often a watch has failed in a row, once that is often enough."""
    def found() -> int:
        return int(it.statuses()[name].partition('failed attempts: ')[2] or 0)

    until(lambda: found() >= least, f'{name} fails {least} times')
    return found()
