"""The address that --listen names, and the records of the watches behind it."""
from __future__ import annotations

import time
from collections.abc import Sequence

from pollreload.monitoring import http
from pollreload.monitoring.metrics import Metrics
from pollreload.monitoring.record import Record, label
from pollreload.runtime.config_reload import Reader
from pollreload.runtime.watch import Watch
from pollreload.settings import Plan, Settings


class Endpoint:
    """An HTTP server, bound at once, that answers from follow() on.

    Raises UsageError if the address cannot be bound.
    """

    def __init__(self, plan: Plan) -> None:
        assert plan.listen is not None
        self.watches: Sequence[Watch] = ()
        self.reader: Reader | None = None
        self.began = time.time()
        listener = http.listening_socket(*plan.listen, plan.where)
        self.server = http.Server(listener, Metrics(self.records, self.config))

    def record(self, settings: Settings, before: Watch | None) -> Record:
        """Return the record of a watch that begins, or that of its predecessor."""
        record = before.record if before is not None else None
        if not isinstance(record, Record):
            return Record(settings)
        record.name, record.settings = label(settings), settings
        # The watch logs its warnings again.
        record.warned = set()
        return record

    def follow(self, watches: Sequence[Watch], reader: Reader | None) -> None:
        """Answer from now on, about the watches that this list holds at the time.

        reader: of the config file, if there is one.
        """
        self.watches, self.reader = watches, reader
        self.server.start()

    def records(self) -> list[Record]:
        """Return the records of the current watches."""
        found = (each.record for each in [*self.watches])
        return [each for each in found if isinstance(each, Record)]

    def config(self) -> tuple[bool, float] | None:
        """Return whether the config file was accepted, and when it last was."""
        if self.reader is None:
            return None
        return not self.reader.trouble, self.reader.taken or self.began
