"""pollreload watch: poll for ever."""
from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable

from pollreload.core.step import status_line
from pollreload.runtime.describe import log_fields, receivers
from pollreload.runtime.log import logger
from pollreload.runtime.shown import visible
from pollreload.runtime.watch import Recorder, Watch, warn
from pollreload.settings import Plan, Settings
from pollreload.system import children, procfs

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


def run(plan: Plan, again: Callable[[], object]) -> int:
    """Run until TERM or INT; return the exit status.

    again: reads the config file once more, as config_reload.Reader asks for it.
    """
    block()
    # What is here now is here to stay; what comes later is looked through.
    gc.freeze()
    gc.enable()
    manager = None
    if os.environ.get('NOTIFY_SOCKET'):
        from pollreload.runtime import service_manager
        manager = service_manager.connect_manager(os.environ, plan.watches)
    watches = start_watches(plan, again)
    # As pid 1 there may be orphans that ended before SIGCHLD was blocked.
    children.reap(())
    while True:
        now = procfs.now()
        for watch in tuple(watches):
            if watch.due(now):
                watch.step()
        if manager is not None:
            manager.update(watches)
        left = max(0.0, min([watch.at for watch in watches]) - procfs.now())
        got = signal.sigtimedwait(SIGNALS, left)
        if got is None:
            continue
        if got.si_signo in (signal.SIGTERM, signal.SIGINT):
            if manager is not None:
                manager.stop()
            for watch in watches:
                watch.close()
            name = signal.Signals(got.si_signo).name
            # By what the config file says now, where there is one.
            say = logger(watches[0].asked._replace(name=''))
            say('stopped', f'on {name}', signal=name)
            return 0
        if got.si_signo == signal.SIGHUP:
            say = logger(watches[0].asked._replace(name=''))
            say('polling', 'polling now, on SIGHUP', signal='SIGHUP')
            if manager is not None:
                manager.reload(procfs.now())
            for watch in watches:
                watch.poll_now()
        elif got.si_signo == signal.SIGUSR1:
            for watch in watches:
                watch.say('status', status_line(visible(watch.state), procfs.now()))
        else:
            children.reap({
                pid for watch in watches
                for pid in (watch.observer.pid, watch.runner.pid)
            })
            for watch in watches:
                # What it could not read may answer again.
                watch.at = 0.0


def start_watches(plan: Plan, again: Callable[[], object]) -> list[Watch]:
    """Return the watches of a plan, that of the config file last.

    Raises UsageError if the address of --listen cannot be bound.
    """
    endpoint = reader = None
    if plan.listen is not None:
        from pollreload.monitoring.endpoint import Endpoint
        endpoint = Endpoint(plan)

    def start(settings: Settings, before: Watch | None = None) -> Watch:
        record = endpoint.record(settings, before) if endpoint is not None else None
        return start_watch(settings, before, record)

    watches = [start(settings) for settings in plan.watches]
    warn(plan, watches)
    if plan.config:
        from pollreload.runtime import config_reload
        itself, reader = config_reload.watch_config(plan, again, watches, start)
        watches.append(itself)
    if endpoint is not None:
        endpoint.follow(watches, reader)
    return watches


def start_watch(
        settings: Settings, before: Watch | None = None, record: Recorder | None = None,
) -> Watch:
    """Log that a watch begins, or goes on with other settings, and return it."""
    say = logger(settings)
    if record is not None:
        say = record.counting(say)
    say(
        'started', f'polling {" ".join(settings.paths)} every {settings.interval:g} s, '
        f'for {receivers(settings)}', **log_fields(settings),
    )
    return Watch(settings, say, before=before, record=record)
