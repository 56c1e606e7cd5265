"""Describe a watch and its state, for the log and for --status-file."""
from __future__ import annotations

import os
import time
from collections.abc import Callable

from pollreload.core.state import Say, State
from pollreload.runtime.guard import with_time_limit
from pollreload.runtime.shown import visible
from pollreload.settings import Settings, acts, bare, sends_signal
from pollreload.system import procfs


def status_writer(
        settings: Settings, path: str, say: Say,
) -> Callable[[State], None]:
    """Return a function that keeps --status-file up to date.

    A failure to write it is logged once.
    """
    from pollreload.system import status_file
    before: object = None
    trouble = ''

    def show(state: State) -> None:
        nonlocal before, trouble
        version = state.version
        news = version.ended_at, version.delivered, state.hold, state.attempt.tries
        if news == before or version.ended_at < 0:
            return
        before = news
        shown = {**watch_fields(settings), **poll_fields(settings, state)}
        try:
            with_time_limit(lambda: status_file.write(path, shown), path)
            trouble = ''
        except OSError as error:
            if error.strerror != trouble:
                trouble = str(error.strerror)
                say(
                    'failed', f'cannot write {path} (--status-file): '
                    f'{trouble.lower()}', reason='status file',
                )

    return show


def watch_fields(settings: Settings) -> dict[str, object]:
    """Return the fields of --status-file that describe the watch itself."""
    named = {'watch': settings.name} if settings.name else {}
    return {
        'pid': os.getpid(), 'boot': procfs.boot(), 'interval': settings.interval,
        **named, **log_fields(settings),
    }


def log_fields(settings: Settings) -> dict[str, object]:
    """Return the paths of a watch, its target, and its actions, for the log."""
    said: dict[str, object] = {
        'paths': settings.paths, 'process': settings.process,
        'pidfile': settings.pidfile,
        'signal': settings.signal.name if sends_signal(settings) else None,
    }
    if acts(settings):
        said['exec'] = [command[0] for command in settings.exec]
        said['url'] = [bare(url) for url in settings.url]
    return said


def receivers(settings: Settings) -> str:
    """Return the target and the actions of a watch as text."""
    found = []
    if sends_signal(settings):
        target = settings.process or settings.pidfile
        found.append(f'{target} and {settings.signal.name}')
    if acts(settings):
        from pollreload.core import actions
        found += [
            actions.loggable(settings, each) for each in range(actions.total(settings))
        ]
    return ', then '.join(found)


def poll_fields(settings: Settings, state: State) -> dict[str, object]:
    """Return the fields of --status-file that describe the last poll.

    time: when that poll ended, in seconds of CLOCK_REALTIME; ended: in boot seconds.
    """
    version = visible(state).version
    return {
        'time': round(time.time() - procfs.now() + version.ended_at, 3),
        'ended': version.ended_at,
        'took': round(version.ended_at - version.read_at, 6),
        'content': version.state, 'seen': version.seen,
        'done': version.delivered,
        'held': state.hold, 'tries': state.attempt.tries, 'unreadable': [
            (settings.paths[place], trouble.reason)
            for place, trouble in sorted(version.troubles.items())
        ],
    }
