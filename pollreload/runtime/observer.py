"""One look: here, or in a child where a read may hang."""
from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from operator import add
from typing import Any, cast

from pollreload.core import change
from pollreload.runtime.guard import stopping
from pollreload.settings import Settings
from pollreload.system import children, mounts, procfs, reader, stat_cache


def own(settings: Settings) -> list[str]:
    """Return patterns for the files that we write, which are no content of ours.

    What a watch writes must not be a change to it, or it would tell for ever.
    """
    return [
        # A letter in brackets stands for itself.
        ''.join(f'[{letter}]' if letter in '*?[' else letter for letter in name) + end
        for path in (settings.state_file, settings.status_file, *settings.beside)
        if path is not None
        for name in (os.path.basename(path),)
        for end in ('', '.lock', '.*.new', '.kept-*')
    ]


class Observer:
    """The look of one watch: here, or in a child where a read may hang for ever.

    A child costs a fork at each look, about a millisecond; a thread would cost
    less and would keep the whole process from ending, even by KILL, while a
    FUSE daemon does not answer. What a child saw is not on our shelves: there
    every look reads everything, as opening is what revalidates a cache.

    tally: how many files and bytes all looks that ended have read.
    """

    def __init__(
            self, settings: Settings, now: Callable[[], float] = procfs.now,
    ) -> None:
        self.settings = settings
        self.now = now
        self.ignore = (*settings.ignore, *own(settings))
        self.pid = 0
        self.fd = -1
        # 1.0 // 0.1 is 9.0.
        self.rounds = max(1, int(settings.rehash / settings.interval))
        self.turn = 0  # the first that no look has had
        self.born = now()
        self.table: mounts.Table | None = None
        self.hangs = True
        self.shelves: list[stat_cache.Shelf] = []
        self.tally = [0, 0]

    def turns(self) -> range:
        """Return the turns that have come since the last look, of all at most once.

        By the clock: --rehash is a time, and looks may come late, or take long.
        """
        if self.rounds == 1:
            return range(self.turn, self.turn + 1)
        part = self.settings.rehash / self.rounds
        end = int((self.now() - self.born) / part) + 1
        return range(max(self.turn, end - self.rounds), end)

    def begins(self, turns: range) -> bool:
        """Return whether the first turn of all rounds is among these."""
        return (turns.start - 1) // self.rounds != (turns.stop - 1) // self.rounds

    def look(self, dates: bool) -> change.Snapshot | None:
        """Return a snapshot; None: it goes on, or a stop was asked for."""
        settings = self.settings
        if not self.pid:
            turns = self.turns()
            if not self.can_hang(turns):
                return self.here(dates, turns)
            try:
                self.pid, self.fd = children.fork(lambda: apart(
                    settings.paths, self.ignore, dates,
                ))
            except OSError as error:
                # No process or no memory to spare: another poll may have it.
                return unseen(settings.paths, f'no child to read it: {error.strerror}')
            return None
        status = children.ended(self.pid)
        if status is None:
            return None
        self.pid = 0
        if status:
            return unseen(settings.paths, children.fault(status, self.fd))
        snapshot, tally = cast(Any, children.value(self.fd))
        self.tally[:] = map(add, self.tally, tally)
        return revived(snapshot)

    def can_hang(self, turns: range) -> bool:
        """Return what mounts.can_hang does, asked again only where it may differ.

        A link may be made to lead to another mount at any time. Where none of ours
        can hang that is asked only at the first turn: it would have to lead into
        another mount namespace by /proc/PID/root, which no publisher of files does.
        """
        table = mounts.table()
        if table is not self.table:
            # A file may be on another mount now, and be found as it was there.
            self.shelves = [stat_cache.Shelf() for _ in self.settings.paths]
        if (
                table is None or table is not self.table or table.away
                or self.hangs or self.begins(turns)
        ):
            self.hangs = mounts.can_hang(self.settings.paths)
            self.table = table
        return self.hangs

    def here(self, dates: bool, turns: range) -> change.Snapshot | None:
        """Return a snapshot of what cannot hang; None: a stop was asked for."""
        settings = self.settings
        inexact = self.table.inexact if self.table else frozenset()
        terms = stat_cache.Terms(time.time(), inexact, turns, self.rounds)
        try:
            seen = reader.look(
                settings.paths, self.ignore, dates, stopping, terms, self.shelves,
                self.tally,
            )
        except MemoryError:
            return unseen(settings.paths, 'not enough memory to read it')
        if seen is not None:
            self.turn = turns.stop
        return seen

    def close(self) -> None:
        """End a look that is under way."""
        if self.pid:
            children.end(self.pid)
            os.close(self.fd)
            self.pid = 0


def apart(paths: Sequence[str], ignore: Sequence[str], dates: bool) -> object:
    """Be the child of a look: return its snapshot and its tally."""
    tally = [0, 0]
    return plain(reader.look(paths, ignore, dates, tally=tally)), tally


def plain(snapshot: change.Snapshot | None) -> object:
    """Return a snapshot as marshal can write it."""
    assert snapshot is not None  # only a stop() that is asked can end a look early
    return [
        (sight.kind, dict(sight.files), dict(sight.unreadable))
        for sight in snapshot.readings
    ], snapshot.newest


def revived(value: Any) -> change.Snapshot:
    """Return the snapshot that plain() took apart."""
    readings, newest = value
    return change.Snapshot(tuple(change.Reading(*sight) for sight in readings), newest)


def unseen(paths: Sequence[str], reason: str) -> change.Snapshot:
    """Return a snapshot in which no path could be read."""
    return change.Snapshot(tuple(change.Reading('', {}, {'': reason}) for _ in paths))
