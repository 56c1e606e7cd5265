"""One watch among those of a process: what it knows, and what keeps that."""
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from pollreload.core import observation
from pollreload.core import step as step_module
from pollreload.core.state import Say, State
from pollreload.runtime import shown
from pollreload.runtime.describe import showing
from pollreload.runtime.guard import ask_anew
from pollreload.runtime.handover import handed
from pollreload.runtime.ledger import remembered
from pollreload.runtime.log import logger
from pollreload.runtime.observer import Observer
from pollreload.runtime.runner import Runner
from pollreload.runtime.world import world
from pollreload.settings import Settings
from pollreload.system import procfs

BEHIND = 10.0  # s until a ledger is written once more that could not be
PENALTY = 60.0  # s until a watch in which something unexpected happened goes on


def origin(error: BaseException) -> str:
    """Return where an exception was raised, as MODULE:LINE."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return 'an unknown place'
    return f'{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}'


class Recorder(Protocol):
    """Keeps what the metrics show of a watch; monitoring.record implements it.

    tallies: how many files and bytes each observer of the watch has read.
    """

    tallies: list[list[int]]

    def counting(self, log: Say) -> Say: ...

    def unsaid(self, reason: str) -> None: ...

    def after(self, state: State) -> None: ...


class Watch:
    """A watch and its world.

    asked: its settings as they were given. at: when it is to be stepped next at
    the latest, boot seconds. after: called with the state after each step.
    record: what the metrics keep of it; None without --listen.
    fault: what went wrong unexpectedly in the last step, '' if nothing did.
    behind: when to write the ledger once more that could not be, boot seconds;
        0.0: it holds what is known.
    """

    def __init__(
            self, settings: Settings, say: Say | None = None,
            runner: Runner | None = None, before: Watch | None = None,
            record: Recorder | None = None,
    ) -> None:
        """Begin a watch, or go on with what another one knew.

        say: where its events go; None: to stderr. runner: what acts for it.
        before: the same watch with other settings, which ends.
        """
        self.asked = settings
        self.say = shown.showing(say or logger(settings), lambda: self.state)
        self.at = 0.0
        self.after: list[Callable[[State], None]] = []
        self.record = record
        self.observer, self.runner = Observer(settings), runner or Runner()
        kept = handed(before, settings, self.say) if before else None
        self.ledger = kept or remembered(settings, self.say)
        self.state = shown.keyed(self.ledger.state)
        # A ledger that was of no use is a reason to tell nobody at first.
        self.settings = settings._replace(on_start=self.ledger.on_start)
        self.behind = 0.0
        self.fault = ''
        self.around = world(
            settings, self.observer, self.runner, self.say, self.save,
            lambda: self.state.notified,
        )
        if settings.status_file is not None:
            self.after.append(showing(settings, settings.status_file, self.say))
        if record is not None:
            record.tallies.append(self.observer.tally)
            self.around = self.around._replace(unsaid=record.unsaid)
            self.after.append(record.after)

    def due(self, now: float) -> bool:
        """Return whether it is to be stepped: it is time, or a child may have ended."""
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
            fault = f'{type(error).__name__} at {origin(error)}: {error}'
            if fault != self.fault:
                self.fault = fault
                self.say(
                    'failed', f'a fault in pollreload ({fault}); please report it; '
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
        """Write the ledger, if there is one; a fault of that keeps from nothing.

        It is tried again, for who believes an old one later tells too little.
        """
        self.behind = 0.0 if self.ledger.save(state) else procfs.now() + BEHIND
        return True

    def poll_now(self) -> None:
        """Have an operator's wish done at the next step."""
        ask_anew()
        self.state = step_module.poll_now(self.state, procfs.now())
        self.at = 0.0

    def close(self) -> None:
        """End what is under way."""
        self.observer.close()
        self.runner.cancel()
