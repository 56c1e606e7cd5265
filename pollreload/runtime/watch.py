"""One watch of a process: its settings, its state, and its ledger."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Protocol

from pollreload.core import observation
from pollreload.core import step as step_module
from pollreload.core.state import Say, State
from pollreload.errors import REPORT
from pollreload.runtime import shown
from pollreload.runtime.describe import status_writer
from pollreload.runtime.guard import forget_timeouts
from pollreload.runtime.handover import hand_over_ledger
from pollreload.runtime.ledger import remembered
from pollreload.runtime.log import logger
from pollreload.runtime.observer import Observer
from pollreload.runtime.runner import Runner
from pollreload.runtime.world import world
from pollreload.settings import Plan, Settings
from pollreload.system import procfs

BEHIND = 10.0  # s until a failed write of the ledger is tried again
PENALTY = 60.0  # s that a watch pauses after an unexpected exception


def warn(plan: Plan, watches: Iterable[Watch]) -> None:
    """Log what a plan warns about, for watches that begin."""
    for watch in watches:
        for note in plan.notes:
            if note.watch == watch.asked.name:
                watch.say(
                    'warning', note.message, reason=note.reason, about=note.about,
                )


def raised_at(error: BaseException) -> str:
    """Return the place where an exception was raised, as MODULE:LINE."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return 'an unknown place'
    return f'{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}'


class Recorder(Protocol):
    """Keeps the metrics of a watch; monitoring.record implements it.

    tallies: how many files and bytes each observer of the watch has read.
    """

    tallies: list[list[int]]

    def counting(self, log: Say) -> Say: ...

    def unlogged(self, reason: str) -> None: ...

    def after(self, state: State) -> None: ...


class Watch:
    """A watch and its world.

    asked: its settings as they were given. at: when the next step is due at the
    latest, boot seconds. after: called with the state after each step.
    record: its metrics; None without --listen.
    fault: the unexpected exception of the last step, or ''.
    behind: when to try to write the ledger again, boot seconds; 0.0: the ledger
        is up to date.
    """

    def __init__(
            self, settings: Settings, say: Say | None = None,
            runner: Runner | None = None, before: Watch | None = None,
            record: Recorder | None = None,
    ) -> None:
        """Begin a watch, or take over the state of another one.

        say: logs its events; None: to stderr. runner: runs its commands.
        before: the same watch with other settings, which ends.
        """
        self.asked = settings
        self.say = shown.fingerprint_logger(say or logger(settings), lambda: self.state)
        self.at = 0.0
        self.after: list[Callable[[State], None]] = []
        self.record = record
        self.observer, self.runner = Observer(settings), runner or Runner()
        kept = hand_over_ledger(before, settings, self.say) if before else None
        self.ledger = kept or remembered(settings, self.say)
        self.state = shown.with_key(self.ledger.state)
        # A ledger that could not be used changes --on-start to `never`.
        self.settings = settings._replace(on_start=self.ledger.on_start)
        self.behind = 0.0
        self.fault = ''
        self.around = world(
            settings, self.observer, self.runner, self.say, self.save,
            lambda: self.state,
        )
        if settings.status_file is not None:
            self.after.append(status_writer(settings, settings.status_file, self.say))
        if record is not None:
            record.tallies.append(self.observer.tally)
            self.around = self.around._replace(unlogged=record.unlogged)
            self.after.append(record.after)

    def due(self, now: float) -> bool:
        """Return whether a step is due, or a child may have ended."""
        return self.at <= now or self.observer.pid > 0 or self.runner.pid > 0

    def step(self) -> None:
        """Do everything that can be done now.

        An unexpected exception is logged once and the watch goes on a minute later:
        it must not end the other watches.
        """
        try:
            self.proceed()
            self.fault = ''
        except Exception as error:  # noqa: BLE001
            fault = f'{type(error).__name__} at {raised_at(error)}: {error}'
            if fault != self.fault:
                self.fault = fault
                self.say(
                    'failed', f'a fault in pollreload ({fault}); {REPORT}; '
                    f'polling again in {PENALTY:g} s', reason='fault',
                )
            self.at = procfs.now() + PENALTY

    def proceed(self) -> None:
        """Do everything that can be done now."""
        self.state = step_module.step(self.settings, self.state, self.around)
        self.at = observation.wake(self.state)
        if self.behind and procfs.now() >= self.behind:
            self.save(self.state)
        for function in self.after:
            function(self.state)

    def save(self, state: State) -> bool:
        """Write the ledger, if there is one; a failure does not stop the delivery.

        The write is tried again later: a run that loads an old ledger could miss a
        delivery that is due.
        """
        self.behind = 0.0 if self.ledger.save(state) else procfs.now() + BEHIND
        return True

    def poll_now(self) -> None:
        """Poll at the next step (SIGHUP)."""
        forget_timeouts()
        self.state = step_module.poll_now(self.state, procfs.now())
        self.at = 0.0

    def close(self) -> None:
        """End the poll and the command that are under way."""
        self.observer.close()
        self.runner.cancel()
