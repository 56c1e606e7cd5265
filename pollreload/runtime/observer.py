"""The polls of one watch: in this process, or in a child if a read may take long."""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, cast

from pollreload.core.reading import Reading, Snapshot
from pollreload.runtime.guard import stopping
from pollreload.settings import Settings
from pollreload.system import children, mounts, procfs, reader, stat_cache
from pollreload.system.wall_clock import CLOCK

LONGEST_POLL = 1.0  # s until a poll that takes longer is made in a child


class Observer:
    """What polls the paths of one watch.

    A poll is made in a child if a read may hang for ever, or if it takes longer than
    LONGEST_POLL: the other watches of the process and its signals do not wait for it. A
    child costs a fork at each poll, about a millisecond. A thread would cost less and
    would keep the whole process from ending, even by KILL, while a FUSE daemon does
    not answer. If a read may hang, no cache is used, and everything is read at each
    poll: opening a file is what revalidates the cache of a network file system.

    tally: how many files and bytes all finished polls have read.
    """

    def __init__(
            self, settings: Settings, now: Callable[[], float] = procfs.now,
    ) -> None:
        self.settings = settings
        self.now = now
        self.pid = 0
        self.fd = -1
        # How many parts of the files are read again one after another, whatever stat
        # says. 1.0 // 0.1 is 9.0.
        self.parts = max(1, int(settings.rehash / settings.interval))
        self.next = 0  # the first part that no poll has read, counted without end
        self.end = 0  # the part after those of the poll that is under way
        self.born = now()
        self.table: mounts.Table | None = None
        self.hangs = True
        self.caches: list[stat_cache.Cache] = []
        self.tally = [0, 0]

    def due(self) -> range:
        """Return the parts whose time has come since the last poll, each once.

        By the clock: --rehash is a time, and polls may come late, or take long.
        """
        if self.parts == 1:
            return range(self.next, self.next + 1)
        seconds = self.settings.rehash / self.parts
        end = int((self.now() - self.born) / seconds) + 1
        return range(max(self.next, end - self.parts), end)

    def begins(self, due: range) -> bool:
        """Return whether a first part is among these."""
        return (due.start - 1) // self.parts != (due.stop - 1) // self.parts

    def poll(self, dates: bool) -> Snapshot | None:
        """Return a snapshot; None if the poll goes on, or a stop was asked for."""
        if self.pid:
            return self.collect()
        began = CLOCK.time()
        due = self.due()
        self.end = due.stop
        if self.can_hang(due):
            return self.fork(dates, None)
        inexact = self.table.inexact if self.table else frozenset()
        terms = stat_cache.Terms(
            began, inexact, frozenset(part % self.parts for part in due),
            self.parts,
        )
        until = self.now() + LONGEST_POLL
        try:
            seen = self.read(dates, terms, lambda: stopping() or self.now() >= until)
        except MemoryError:
            return unreadable(self.settings.paths, 'not enough memory to read it')
        if seen is not None:
            self.next = self.end
        elif not stopping():
            return self.fork(dates, terms)
        return seen

    def read(
            self, dates: bool, terms: stat_cache.Terms | None,
            stop: Callable[[], bool] = reader.never,
    ) -> Snapshot | None:
        """Read all paths. terms: None if stat proves nothing."""
        settings = self.settings
        if len(self.caches) != len(settings.paths):
            self.caches = [stat_cache.Cache() for _ in settings.paths]
        return reader.poll(
            settings.paths, settings.ignore, dates, stop, terms or reader.TERMS,
            self.caches, self.tally, settings.max_file_size,
        )

    def fork(
            self, dates: bool, terms: stat_cache.Terms | None,
    ) -> Snapshot | None:
        """Begin to read in a child. Return a snapshot only if there can be none."""
        if terms is None:
            self.caches = []
        try:
            self.pid, self.fd = children.fork(lambda: self.plain(dates, terms))
        except OSError as error:
            # No process or no memory to spare: another poll may have it.
            reason = f'no child to read it: {error.strerror}'
            return unreadable(self.settings.paths, reason)
        return None

    def plain(self, dates: bool, terms: stat_cache.Terms | None) -> object:
        """Read all paths; return what collect() takes, as marshal can write it."""
        snapshot = self.read(dates, terms)
        assert snapshot is not None  # nothing stops it
        readings = [(kind, dict(files), dict(unreadable))
                    for kind, files, unreadable in snapshot.readings]
        # A pass that was torn leaves the caches as they were.
        caches = None if terms is None else [
            None if cache.reading != reading else cache.plain()
            for cache, reading in zip(self.caches, snapshot.readings, strict=True)
        ]
        return readings, snapshot.newest, caches, self.tally

    def collect(self) -> Snapshot | None:
        """Return the snapshot that a child has read; None while it still reads."""
        status = children.poll_child(self.pid)
        if status is None:
            return None
        self.pid = 0
        if status:
            return unreadable(self.settings.paths, children.fault(status, self.fd))
        found, newest, caches, self.tally[:] = cast(Any, children.read_value(self.fd))
        readings = tuple(Reading(*each) for each in found)
        if caches is not None:
            self.next = self.end
            self.caches = [
                stat_cache.Cache() if plain is None
                else stat_cache.revive_cache(reading, plain)
                for reading, plain in zip(readings, caches, strict=True)
            ]
        return Snapshot(readings, newest)

    def close(self) -> None:
        """End a poll that is under way."""
        if self.pid:
            children.end(self.pid)
            os.close(self.fd)
            self.pid = 0

    def can_hang(self, due: range) -> bool:
        """Return mounts.can_hang, called again only if its result may differ.

        A link may be made to lead to another mount at any time. While none of ours
        can hang that is asked only with the first part: it would have to lead into
        another mount namespace by /proc/PID/root, which no publisher of files does.
        """
        table = mounts.mount_table()
        if table is not self.table:
            # A file may be on another mount now, and be found as it was there.
            self.caches = []
        if (
                table is None or table is not self.table or table.away
                or self.hangs or self.begins(due)
        ):
            self.hangs = mounts.can_hang(self.settings.paths)
            self.table = table
        return self.hangs


def unreadable(paths: Sequence[str], reason: str) -> Snapshot:
    """Return a snapshot in which no path could be read."""
    return Snapshot(tuple(Reading('', {}, {'': reason}) for _ in paths))
