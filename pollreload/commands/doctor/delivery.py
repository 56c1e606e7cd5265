"""One real delivery: --deliver."""
from __future__ import annotations

from pollreload.commands import check, check_answer
from pollreload.commands.doctor.rows import Row, exit_status
from pollreload.core import step
from pollreload.core.state import State
from pollreload.runtime.log import TALK, logger
from pollreload.runtime.observer import Observer
from pollreload.runtime.runner import Runner
from pollreload.runtime.shown import with_key
from pollreload.runtime.world import world
from pollreload.settings import Settings, sends_signal

RESTARTED = (
    'all is well if it starts a successor on this signal; if it died of it and was '
    'started again, so it will at each change: name another signal, or use --exec'
)


def delivery_rows(settings: Settings, found: list[Row]) -> list[Row]:
    """Return the rows of one real delivery, or one row that says why there was none.

    found: the rows of the watch: one that fails prevents the delivery.
    """
    if exit_status(found):
        return [Row(
            'deliver', 'skip', signal_of(settings),
            'nothing was sent: a check above fails',
        )]
    return deliver_once(settings)


def signal_of(settings: Settings) -> str:
    """Return the signal of a watch, '' if it sends none."""
    return settings.signal.name if sends_signal(settings) else ''


def deliver_once(settings: Settings) -> list[Row]:
    """Deliver what is at the paths now, as a watch does with --on-start always.

    No ledger is read or written: a test must not change what the watch remembers.
    Raises interrupt.Ended.
    """
    settings = settings._replace(on_start='always', splay=0.0)
    # An event that becomes a row is not logged too, except with -v.
    log = logger(settings, check_answer.ANSWERS | TALK | {'changed', 'signalled'})
    rows: list[Row] = []
    held = ''

    def say(event: str, message: str, /, **fields: object) -> None:
        nonlocal held
        log(event, message, **fields)
        if event == 'held':
            # The end shows whether it lasts.
            held = message
        elif event in check_answer.ANSWERS:
            verdict, remedy = 'fail' if event == 'failed' else 'ok', ''
            if 'successor' in fields:
                verdict, remedy = 'warn', RESTARTED
            rows.append(Row('deliver', verdict, signal_of(settings), message, remedy))

    observer, runner = Observer(settings), Runner()
    blank = with_key(State())
    around = world(
        settings, observer, runner, say, lambda state: True, lambda: blank,
    )
    try:
        one = check.One(settings, blank, around, observer, runner)
        check.attempt([one])
        state = one.state
    finally:
        observer.close()
        runner.cancel()
    if state.outcome != 'done' and not exit_status(rows):
        says = held or step.status_line(state, around.now())
        rows.append(Row('deliver', 'fail', signal_of(settings), f'held: {says}'))
    return rows
