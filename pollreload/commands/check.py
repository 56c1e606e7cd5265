"""pollreload check: poll once, deliver what is due, exit."""
from __future__ import annotations

import os
from collections.abc import Sequence

from pollreload.commands.check_answer import (
    Event,
    answer_status,
    outlook,
    print_answer,
    wait_phrase,
)
from pollreload.core import ledger_format
from pollreload.core.command import condition
from pollreload.core.observation import wake
from pollreload.core.process import Process
from pollreload.core.state import State, World
from pollreload.core.step import awaited, save_changes, step
from pollreload.errors import LedgerBusy, LedgerError, LedgerKept, UsageError
from pollreload.runtime.interrupt import end_on_signal, wait_for_child
from pollreload.runtime.ledger import claim, recall, store, whereabouts
from pollreload.runtime.log import TALK, logger
from pollreload.runtime.observer import Observer
from pollreload.runtime.runner import Runner
from pollreload.runtime.shown import fingerprint_logger, with_key
from pollreload.runtime.world import world
from pollreload.settings import Note, Plan, Settings, sends_signal
from pollreload.system import children, ledger_location, procfs
from pollreload.system.fingerprint import fingerprint

# What is printed once, as long as the next runs would say the same.
LASTING = frozenset(('held', 'warning'))
WORSE = (0, 3, 1, 75, 4)  # of several exit statuses the last of these is that of all


def run(plan: Plan) -> int:
    """Run each watch once, all at the same time; return the worst exit status.

    Raises LedgerBusy if another run holds the ledger of the only watch, LedgerError if
    that ledger cannot be used.
    """
    return end_on_signal(lambda: together(plan))


def together(plan: Plan) -> int:
    """Return the exit status of one run of each watch."""
    runs: list[Run] = []
    statuses = []
    try:
        for settings in plan.watches:
            notes = [each for each in plan.notes if each.watch == settings.name]
            try:
                runs.append(Run(settings, notes))
            except (LedgerBusy, LedgerError) as error:
                if settings.output == 'json':
                    failure = Event('failed', str(error), {'reason': 'ledger'})
                    print_answer(settings, State(), [failure], error.status)
                if not settings.name:
                    raise
                logger(settings)('failed', str(error), reason='ledger')
                statuses.append(error.status)
        attempt(runs)
    finally:
        for each in runs:
            each.observer.close()
            each.runner.cancel()
    for each in runs:
        each.end()
        status = each.status or answer_status(each.state)
        if each.settings.dry_run and not status:
            each.say(
                'would', f'nothing is due; a change would be '
                f'{outlook(each.settings, each.state, each.around)}',
                reason='nothing due',
            )
        print_answer(each.settings, each.state, each.events, status)
        statuses.append(status)
    return max(statuses, key=WORSE.index)


class One:
    """One watch of which there is one attempt."""

    def __init__(
            self, settings: Settings, state: State, around: World, observer: Observer,
            runner: Runner,
    ) -> None:
        self.settings, self.state, self.around = settings, state, around
        self.observer, self.runner = observer, runner
        self.deadline = procfs.now() + settings.timeout

    def step(self) -> bool:
        """Do what can be done now; return whether there is something to wait for."""
        self.state = step(self.settings, self.state, self.around)
        what = awaited(self.state)
        if what and procfs.now() >= self.deadline:
            self.around.say(
                'failed', f'not done within {self.settings.timeout:g} s (--timeout), '
                f'still waiting {wait_phrase(self.settings, self.state)}',
                reason='timeout',
            )
            return False
        return bool(what)

    def wake(self) -> float:
        """Return when to come back, in boot seconds."""
        return min(wake(self.state), self.deadline)


class Run(One):
    """A watch with its ledger.

    status: that of its ledger, 0 if it has no trouble.
    known: there was a ledger. seen: the version of the last poll, as it is shown.
    reported: digests of the lasting lines of this run.
    Raises LedgerBusy and LedgerError.
    """

    def __init__(self, settings: Settings, notes: Sequence[Note] = ()) -> None:
        self.here = whereabouts(settings)
        self.path = settings.state_file or ledger_location.location(
            self.here.key, os.environ, os.geteuid(),
        )
        self.state = State()
        self.log = logger(settings, TALK, patient=True)
        self.events: list[Event] = []
        self.reported: list[str] = []
        self.seen = ''
        self.tell = fingerprint_logger(self.keep, lambda: self.state)
        self.status = 0
        if settings.state_file is None:
            check_location(settings._replace(state_file=self.path))
        if not settings.dry_run:
            claim(self.path)
        state = State()
        try:
            state = recall(settings, self.path, self.here)
        except LedgerKept as error:
            self.say(
                'failed', f'{error}; taking a baseline, notifying no process',
                reason='ledger',
            )
            settings = settings._replace(on_start='never')
            self.status = LedgerError.status
        self.known = state.saved is not None
        settings = settings._replace(state_file=self.path)
        observer, runner = Observer(settings), Runner()
        around = world(
            settings, observer, runner, self.say, self.save,
            lambda: self.state,
        )
        if settings.dry_run:
            around = around._replace(send=self.would)
        super().__init__(settings, with_key(state), around, observer, runner)
        for note in notes:
            self.say('warning', note.message, reason=note.reason, about=note.about)

    def say(self, event: str, message: str, /, **fields: object) -> None:
        """Log an event, unless it speaks of a wait that does not exist here."""
        if fields.get('reason') == 'backoff':
            return  # the wait of a watch; here the next run tries again at once
        self.tell(event, message, **fields)

    def keep(self, event: str, message: str, /, **fields: object) -> None:
        """Log an event, and keep it for the answer.

        A lasting event is logged once for each version, and again after a run without
        it, because cron mails every line; a person at a terminal sees it each time.
        """
        again = False
        if event == 'polled':
            self.seen = str(fields['fingerprint'])
        if event in LASTING and not self.settings.dry_run:
            about = self.seen if event == 'held' else ''
            # What follows says what to do, and may name whatever runs at the time. What
            # a command printed may begin with a date or its pid.
            printed = fields.get('said')
            same = str(fields['reason']) if printed else message.partition('; ')[0]
            line = fingerprint([{same: about.encode()}])
            again = line in self.state.reported
            self.reported.append(line)
        self.events.append(Event(event, message, fields, again))
        if not again or self.settings.verbosity > 0 or os.isatty(2):
            self.log(event, message, **fields)

    def end(self) -> None:
        """Warn about paths and of a first run without a process; keep the memory."""
        if any(event.event == 'unreadable' for event in self.events):
            from pollreload.runtime import advice
            for note in advice.about_paths((self.settings,)):
                self.say('warning', note.message, reason=note.reason, about=note.about)
        new = self.state.version.state == 'current' and not self.known
        if new and sends_signal(self.settings) and not self.settings.dry_run:
            choice = self.around.targets()
            if choice.reason == 'no target':
                says = choice.says or self.around.absent()
                self.say('warning', f'nothing is due, and {says}', reason='no target')
        for position, trouble in self.state.version.troubles.items():
            path = self.settings.paths[position]
            event = Event(
                'unreadable', f'{path}: {trouble.reason}',
                {'path': path, 'reason': trouble.reason}, again=True,
            )
            if trouble.reported and event._replace(again=False) not in self.events:
                # It was logged by an earlier run, and is still so.
                self.events.append(event)
        reported = tuple(sorted({*self.reported}))
        self.state = save_changes(self.state._replace(reported=reported), self.around)

    def save(self, state: State) -> bool:
        """Write the ledger; return whether it could be."""
        if self.settings.dry_run:
            return True
        try:
            store(self.path, ledger_format.dump(state, self.here))
        except LedgerError as error:
            if not self.status:
                self.say('failed', str(error), reason='ledger')
            self.status = LedgerError.status
            return False
        return True

    def would(self, process: Process, number: int) -> str:
        """Log that a process would be sent the signal."""
        name = self.settings.signal.name
        self.say(
            'would', f'send {name} to {process}{condition(self.settings)}',
            target_pid=process.pid,
        )
        return 'gone'


def check_location(settings: Settings) -> None:
    """Raise UsageError if the default ledger would be a file that the watch reads."""
    from pollreload.runtime import file_conflicts
    trouble = file_conflicts.find_conflict(
        settings, *file_conflicts.used_files((settings._replace(status_file=None),)),
    )
    if trouble:
        raise UsageError(f'the default ledger {trouble[1]} (--state-file)')


def attempt(runs: Sequence[One]) -> None:
    """Make one attempt of each run, which --timeout may cut short."""
    going = list(runs)
    while going := [each for each in going if each.step()]:
        wait_for_child(max(0.0, min(each.wake() for each in going) - procfs.now()))
        children.reap({
            pid for each in going for pid in (each.observer.pid, each.runner.pid)
        })
