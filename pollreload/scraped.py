"""Watches that are asked how they get on: each has a record, and all have a port."""
from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pollreload import endpoint
from pollreload.loop import Begins, Watch
from pollreload.metrics import Metrics, Record, label
from pollreload.settings import Plan, Settings

if TYPE_CHECKING:
    from pollreload.reread import Reader


class Scraped:
    """Begins watches that have a record; the port is open from the start.

    Raises UsageError where it cannot be, or prometheus_client is not there.
    """

    def __init__(self, plan: Plan, begin: Begins) -> None:
        assert plan.listen is not None
        self.begin = begin
        self.watches: Sequence[Watch] = ()
        self.reader: Reader | None = None
        self.began = time.time()
        metrics = Metrics(self.records, self.config)
        self.server = endpoint.Server(endpoint.bound(*plan.listen, plan.where), metrics)

    def __call__(self, settings: Settings, before: Watch | None = None, /) -> Watch:
        """Begin a watch, or go on with one: then its record goes on too."""
        record = before.record if before else None
        if record is None:
            record = Record()
        record.name, record.settings = label(settings), settings
        watch = self.begin(settings, before, record.hears)
        record.tallies.append(watch.eyes.tally)
        watch.around = watch.around._replace(unsaid=record.unsaid)
        watch.after.append(record.after)
        watch.record = record
        return watch

    def follow(self, watches: Sequence[Watch], reader: Reader | None) -> None:
        """Answer from now on, of these watches as they come and go.

        reader: of the config file, where there is one.
        """
        self.watches, self.reader = watches, reader
        endpoint.start(self.server)

    def records(self) -> list[Record]:
        """Return the records of the watches that there are now."""
        return [each.record for each in [*self.watches] if each.record is not None]

    def config(self) -> tuple[bool, float] | None:
        """Return whether the config file was taken over, and when it last was."""
        if self.reader is None:
            return None
        return not self.reader.trouble, self.reader.taken or self.began
