"""What happened in one watch since it began: counters, times and its last state.

The loop writes a record, the thread of the HTTP server reads it. A value that is
read while it is written is the old one or the new one.
"""
from __future__ import annotations

import os
import time
from bisect import bisect_left

from pollreload.core.state import Say, State
from pollreload.runtime.log import printable
from pollreload.settings import Settings
from pollreload.system import procfs

# Seconds of a poll: a file in memory takes 0.1 ms, 10,000 some 30, an NFS more.
BOUNDS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0)
# The reasons of a failure that also hold what is due.
HOLDING = frozenset(('not permitted', 'queue full', 'proc', 'exec', 'url'))
FILES = ('ledger', 'status file')  # reasons too, and no deliveries
LATE_POLLS = 3  # intervals without a completed poll
LEAST = 1.0  # s: a poll that is younger is never late


class Record:
    """What happened in one watch since it began in this process.

    name: the value of the label `watch`. settings: those of the watch.
    deliveries: outcome and reason -> how often.
    unwritten: file -> how often it could not be written.
    success: when a version was last delivered, seconds of CLOCK_REALTIME; 0.0:
        not yet.
    notified: something was delivered since.
    polls: polls by the first bound that they are within; took: seconds of all.
    ended: when the last poll ended, boot seconds; before the first one, when the
        watch began.
    state: that after the last step; reason: why it is held, '' if it is not.
    warned: the reasons of the warnings at its start.
    tallies: how many files and bytes were read, of one observer after another.
    """

    def __init__(self, settings: Settings) -> None:
        self.name, self.settings = label(settings), settings
        self.deliveries = {('delivered', ''): 0}
        self.unwritten = dict.fromkeys(FILES, 0)
        self.success = 0.0
        self.notified = False
        self.polls = [0] * (len(BOUNDS) + 1)
        self.took = 0.0
        self.ended = procfs.now()
        self.state = State()
        self.reason = ''
        self.warned: set[str] = set()
        self.tallies: list[list[int]] = []

    def counting(self, log: Say) -> Say:
        """Return a function that counts an event, then logs it."""
        def say(event: str, message: str, /, **fields: object) -> None:
            self.event(event, str(fields.get('reason', '')))
            log(event, message, **fields)

        return say

    def event(self, event: str, reason: str) -> None:
        """Count an event of the log."""
        if event == 'held' or (event == 'failed' and reason in HOLDING):
            self.reason = reason
        if event == 'warning':
            self.warned.add(reason)
        if event == 'failed' and reason in FILES:
            self.unwritten[reason] += 1
            return
        if event in ('delivered', 'verified'):
            self.notified = True
        elif event == 'baseline' and reason == 'needless':
            event = reason
        elif event != 'failed':
            return
        self.count(event, reason if event == 'failed' else '')

    def unlogged(self, reason: str) -> None:
        """Count a failure that is not logged again."""
        self.count('failed', reason)

    def count(self, outcome: str, reason: str) -> None:
        """Count a delivery."""
        key = outcome, reason
        self.deliveries[key] = self.deliveries.get(key, 0) + 1

    def after(self, state: State) -> None:
        """Keep the state after a step."""
        version = state.version
        if version.ended_at > self.state.version.ended_at:
            took = max(0.0, version.ended_at - version.read_at)
            self.polls[bisect_left(BOUNDS, took)] += 1
            self.took += took
            self.ended = version.ended_at
        if self.notified and state.outcome == 'done' and not state.stage:
            self.success, self.notified = time.time(), False
        self.state = state

    def age(self) -> float:
        """Return the seconds since the last poll that was completed."""
        return max(0.0, procfs.now() - self.ended)

    def limit(self) -> float:
        """Return the age, in seconds, from which the last poll is too old."""
        return max(LEAST, LATE_POLLS * self.settings.interval)

    def read(self) -> tuple[int, int]:
        """Return how many files and bytes were read."""
        return (
            sum(files for files, _ in self.tallies),
            sum(size for _, size in self.tallies),
        )

    def alive(self) -> bool:
        """Return whether a poll was completed within three intervals."""
        return self.age() <= self.limit()

    def warnings(self) -> list[str]:
        """Return the reasons to check how this watch is set up."""
        state, found = self.state, {*self.warned}
        if state.pace.logged_at:
            found.add('feedback loop')
        if any(
                target.disposition == 'runtime'
                for target in (*state.attempt.targets, *state.notified)
        ):
            found.add('runtime')
        return sorted(found)

    def ready(self) -> bool:
        """Return whether there is a baseline."""
        return self.state.version.state != 'blank'


def label(settings: Settings) -> str:
    """Return the value of the label `watch`."""
    return printable(
        settings.name or settings.process or os.path.basename(settings.pidfile or '')
        or 'watch',
    )
