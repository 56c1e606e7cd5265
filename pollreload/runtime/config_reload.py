"""Watch the config file like any other; its new settings are taken over or refused.

The path of this watch is the config file, and its command reads the file again: a
child does that, as at the start, so that a file which is half written or wrong is
reported and tried again like any other delivery.
"""
from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Mapping, MutableSequence, Sequence
from typing import Any, cast

from pollreload.core import ledger_format
from pollreload.core.state import Say
from pollreload.errors import LedgerError
from pollreload.runtime import ledger, runner
from pollreload.runtime import log as log_module
from pollreload.runtime.handover import ledger_stays_valid
from pollreload.runtime.log import printable
from pollreload.runtime.watch import Watch, warn
from pollreload.settings import Plan, Settings, unpack
from pollreload.system import children, ledger_location

# Begins a watch; given one, the new watch goes on with what that one knew.
Begin = Callable[[Settings, Watch | None], Watch]
# The events of the watch of the file that are logged.
HEARD = frozenset(('changed', 'held', 'unreadable', 'readable', 'stalled', 'status'))


class Reader(runner.Runner):
    """Reads the config file in a child, as a command that may fail.

    again: reads it, in a child; returns the plan as plain types, or the error.
    take: called with the new plan; returns '' or why it is refused.
    log: logs the events of its watch.
    trouble: why the last plan was refused. taken: when one was last accepted, in
        seconds of CLOCK_REALTIME; 0.0: not yet.
    """

    def __init__(
            self, again: Callable[[], object], take: Callable[[Plan], str], log: Say,
    ) -> None:
        super().__init__()
        self.again = again
        self.take = take
        self.log = log
        self.trouble = ''
        self.taken = 0.0

    def run(self, command: Sequence[str], additions: Mapping[str, str]) -> str:
        """Start to read; return '' or why that cannot be."""
        try:
            self.pid, self.answer = children.fork(self.again)
        except OSError as error:
            self.trouble = f'no child to read it: {error.strerror}'
            return self.trouble
        return ''

    def cancel(self) -> None:
        """End the reading, which has taken too long."""
        if self.pid:
            self.trouble = 'the config file could not be read in time'
        super().cancel()

    def answered(self, status: int) -> int:
        """Return 0 if the new settings are taken over, else 1."""
        fd, self.answer, self.pid = self.answer, -1, 0
        if status:
            self.trouble = children.fault(status, fd)
            return 1
        got = cast(Any, children.read_value(fd))
        self.trouble = got if isinstance(got, str) else self.take(unpack(got))
        if self.trouble:
            return 1
        self.taken = time.time()
        return 0


def watch_config(
        plan: Plan, again: Callable[[], object], watches: MutableSequence[Watch],
        begin: Begin,
) -> tuple[Watch, Reader]:
    """Return the watch of the config file, and its reader.

    again: as in Reader. watches: those that it says, which are replaced by what
        it says later; what watches the file itself stays among them.
    begin: begins another.
    """
    settings = of_file(plan)

    def take(new: Plan) -> str:
        if new.listen != plan.listen:
            # Its position in the file; a watch that is gone has none.
            where = new.where if new.listen else f'{printable(plan.config)}: listen:'
            return f'{where} cannot change while it runs; start it again'
        if os.environ.get('NOTIFY_SOCKET'):
            from pollreload.runtime import service_manager
            trouble = service_manager.watchdog_trouble(os.environ, new.watches)
            if trouble:
                return trouble
        before = {*watches}
        continue_watches(new, watches, itself, begin)
        warn(new, [each for each in watches if each not in before])
        reader.log = log_module.logger(of_file(new))
        return ''

    reader = Reader(again, take, log_module.logger(settings))
    itself = Watch(settings, public_logger(reader), reader)
    return itself, reader


def of_file(plan: Plan) -> Settings:
    """Return the settings of the watch of the config file itself."""
    first, *rest = plan.watches
    return Settings(
        paths=(plan.config,), exec=((plan.config,),),
        # It may have changed since it was read.
        on_start='always',
        interval=min(5.0, first.interval, *(each.interval for each in rest)),
        settle=min(1.0, first.settle, *(each.settle for each in rest)),
        empty_grace=min(each.empty_grace for each in plan.watches),
        log_format=first.log_format, verbosity=first.verbosity,
    )


def public_logger(reader: Reader) -> Say:
    """Return a logger for the watch of the config file, without internal events."""
    def say(event: str, message: str, /, **fields: object) -> None:
        if event == 'failed' and 'exec' in fields:
            reader.log(
                'held', f'{reader.trouble}; the watches go on as they were',
                reason='config',
            )
        elif event in HEARD:
            if event == 'status':
                message = f'config file: {message}'
                if reader.trouble:
                    # Without the details of how it is read.
                    message, *_ = message.partition(', held:')
                    message += f', held: {reader.trouble}'
            reader.log(event, message, **fields)

    return say


def continue_watches(
        plan: Plan, watches: MutableSequence[Watch], itself: Watch, begin: Begin,
) -> None:
    """Go on with what a config file says now; nothing that is known is lost."""
    before = running_watches(
        plan.watches, [each for each in watches if each is not itself],
    )
    after = {old: settings for settings, old in zip(plan.watches, before, strict=True)}
    files = [watch.asked.state_file for watch in watches if watch is not itself]
    for watch in watches:
        if watch is itself:
            continue
        settings = after.get(watch)
        if settings is None:
            watch.close()
            watch.say(
                'stopped', 'this watch is not in the config file any more',
                reason='config',
            )
        elif watch.asked.state_file != settings.state_file:
            move(watch, settings, files)
    for watch in watches:
        settings = after.get(watch)
        if watch is not itself and (
                settings is None or settings.state_file != watch.asked.state_file
        ):
            # First of all of them, for another may have it now.
            watch.ledger.let_go()
    # Last, because it is in the middle of its step.
    watches[:] = [
        *(
            old if old is not None and old.asked == settings else begin(settings, old)
            for settings, old in zip(plan.watches, before, strict=True)
        ), itself,
    ]


def move(watch: Watch, settings: Settings, files: Collection[str | None]) -> None:
    """Write the ledger of a watch over that of another one, which lets go of it.

    files: the ledgers of all watches.
    """
    path = settings.state_file
    if (
            path is None or path not in files
            or not ledger_stays_valid(watch.asked, settings)
            or watch.state.version.state == 'blank'
    ):
        return
    with contextlib.suppress(LedgerError):
        # The watch that loads it reports what is wrong with it.
        here = ledger.whereabouts(settings)
        ledger.store(path, ledger_format.dump(watch.state, here))


def running_watches(
        wanted: Sequence[Settings], watches: Sequence[Watch],
) -> list[Watch | None]:
    """Return the running watch for each of the wanted ones, None for a new one.

    This is the watch of the same paths and target, or else one of the same name.
    """
    here = ledger.working_directory()
    left = {ledger_location.key(each.asked, here): each for each in watches}
    found = [left.pop(ledger_location.key(settings, here), None) for settings in wanted]
    named = {each.asked.name: each for each in left.values()}
    return [
        old or named.pop(settings.name, None)
        for settings, old in zip(wanted, found, strict=True)
    ]
