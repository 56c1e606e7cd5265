"""pollreload watch: poll for ever."""
from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable

from pollreload import children, procfs
from pollreload.errors import LedgerBusy, LedgerError, LedgerKept
from pollreload.settings import Settings, acts, bare, signals
from pollreload.state import Say, State
from pollreload.tick import poll_now, status, step, wake
from pollreload.wiring import (
    Eyes,
    Hands,
    carefully,
    claim,
    logger,
    recall,
    store,
    whereabouts,
    world,
)

SIGNALS = frozenset((
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD,
))


def block() -> None:
    """Keep the signals we wait for from doing anything on their own.

    A signal that is blocked is kept even for pid 1, which is spared whatever
    it has no handler for (sig_ignored in kernel/signal.c). SIGCHLD is not,
    where it was inherited as ignored.
    """
    if signal.getsignal(signal.SIGCHLD) != signal.SIG_DFL:
        # Not always: it would drop one that is pending.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def run(settings: Settings) -> int:
    """Run until TERM or INT; return the exit status."""
    block()
    # What is here now is here to stay; what comes later is looked through.
    gc.freeze()
    gc.enable()
    say = logger(settings)
    say(
        'started', f'polling {" ".join(settings.paths)} every {settings.interval:g} s, '
        f'for {audience(settings)}', pid=os.getpid(), **told(settings),
    )
    state, save, settings = remembered(settings, say)
    eyes, hands = Eyes(settings), Hands()
    around = world(settings, eyes, hands, say, save)
    # As pid 1 there may be orphans that ended before SIGCHLD was blocked.
    children.reap(())
    show = showing(settings, say)
    while True:
        state = step(settings, state, around)
        show(state)
        left = max(0.0, wake(state) - procfs.now())
        got = signal.sigtimedwait(SIGNALS, left)
        if got is None:
            continue
        if got.si_signo in (signal.SIGTERM, signal.SIGINT):
            eyes.close()
            hands.cancel()
            name = signal.Signals(got.si_signo).name
            say('stopped', f'on {name}', signal=name)
            return 0
        if got.si_signo == signal.SIGHUP:
            state = poll_now(state, procfs.now())
        elif got.si_signo == signal.SIGUSR1:
            say('status', status(state, procfs.now()))
        else:
            children.reap({eyes.pid, hands.pid})


def showing(settings: Settings, say: Say) -> Callable[[State], None]:
    """Return what keeps --status-file up to date; a fault of it is said once."""
    path = settings.status_file
    if path is None:
        return lambda state: None
    from pollreload import statusfile
    before: object = None
    trouble = ''

    def show(state: State) -> None:
        nonlocal before, trouble
        content = state.content
        news = content.ended_at, content.done, state.hold, state.attempt.tries
        if news == before or content.ended_at < 0:
            return
        before = news
        shown = {**about(settings), **seen(settings, state)}
        try:
            carefully(lambda: statusfile.write(path, shown), path)
            trouble = ''
        except OSError as error:
            if error.strerror != trouble:
                trouble = str(error.strerror)
                say(
                    'failed', f'cannot write {path} (--status-file): '
                    f'{trouble.lower()}', reason='status file',
                )

    return show


def about(settings: Settings) -> dict[str, object]:
    """Return what --status-file says of the watch itself."""
    return {
        'pid': os.getpid(), 'boot': procfs.boot(), 'interval': settings.interval,
        **told(settings),
    }


def told(settings: Settings) -> dict[str, object]:
    """Return what is watched, and who is told."""
    said: dict[str, object] = {
        'paths': settings.paths, 'process': settings.process,
        'pidfile': settings.pidfile,
        'signal': settings.signal_name if signals(settings) else None,
    }
    if acts(settings):
        said['exec'] = [command[0] for command in settings.exec]
        said['url'] = [bare(url) for url in settings.url]
    return said


def audience(settings: Settings) -> str:
    """Return who is told, for a person."""
    who = []
    if signals(settings):
        who.append(f'{settings.process or settings.pidfile} and {settings.signal_name}')
    if acts(settings):
        from pollreload import actions
        who += [
            actions.named(settings, each) for each in range(actions.count(settings))
        ]
    return ', then '.join(who)


def seen(settings: Settings, state: State) -> dict[str, object]:
    """Return what --status-file says of the last look, and of what came of it.

    time: when it ended, in seconds of CLOCK_REALTIME; ended: in boot seconds.
    """
    content = state.content
    return {
        'time': round(time.time() - procfs.now() + content.ended_at, 3),
        'ended': content.ended_at,
        'took': round(content.ended_at - content.looked_at, 6),
        'content': content.state, 'seen': content.seen, 'done': content.done,
        'held': state.hold, 'tries': state.attempt.tries, 'unreadable': [
            (settings.paths[place], trouble.reason)
            for place, trouble in sorted(content.troubles.items())
        ],
    }


def remembered(
        settings: Settings, say: Say,
) -> tuple[State, Callable[[State], bool], Settings]:
    """Return the state to begin with, what saves it, and the settings to use.

    Nothing about the ledger ends a watch: it goes on with what it remembers
    itself, and says so once.
    """
    if settings.state_file is None:
        return State(), lambda state: True, settings
    from pollreload import memory
    path, here = settings.state_file, whereabouts(settings)
    state, trouble = State(), ''

    def save(state: State) -> bool:
        nonlocal trouble
        try:
            store(path, memory.dump(state, here))
            trouble = ''
        except LedgerError as error:
            if str(error) != trouble:
                trouble = str(error)
                say('failed', f'{error}; going on without it', reason='ledger')
        return True

    try:
        claim(path)
        state = recall(settings, path, here)
    except LedgerKept as error:
        say('failed', f'{error}; taking a baseline', reason='ledger')
        settings = settings._replace(on_start='never')
    except (LedgerError, LedgerBusy) as error:
        say('failed', f'{error}; going on without it', reason='ledger')
        return State(), lambda state: True, settings
    return state, save, settings
