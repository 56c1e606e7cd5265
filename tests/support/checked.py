"""A target and a file for `check`."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support import targets
from tests.support.sidecar import Run, check, unique, write


class Watched:
    """A file, a name for its target and a ledger: what a check is about."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.conf = str(directory / 'app.conf')
        self.ledger = str(directory / 'memory')
        self.name = unique()
        write(self.conf, 'first')

    def args(self, *more: str) -> tuple[str, ...]:
        """Return a command line."""
        ledger = () if '--state-file' in more else ('--state-file', self.ledger)
        return '--process', self.name, *ledger, *more, self.conf

    def check(self, *more: str, **rest: Any) -> Run:
        """Run a check."""
        return check(*self.args(*more), **rest)

    def handler(self) -> targets.Target:
        """Start a target with a handler."""
        return targets.start('handler', name=self.name)
