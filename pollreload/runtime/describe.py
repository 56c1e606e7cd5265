"""Describe."""
from __future__ import annotations

import os
import time
from collections.abc import Callable

from pollreload.core.state import Say, State
from pollreload.runtime.guard import carefully
from pollreload.runtime.shown import visible
from pollreload.settings import Settings, acts, bare, signals
from pollreload.system import procfs


def showing(
        settings: Settings, path: str, say: Say,
) -> Callable[[State], None]:
    """Return what keeps --status-file up to date; a fault of it is said once."""
    from pollreload.system import status_file
    before: object = None
    trouble = ''

    def show(state: State) -> None:
        nonlocal before, trouble
        content = state.version
        news = content.ended_at, content.delivered, state.hold, state.attempt.tries
        if news == before or content.ended_at < 0:
            return
        before = news
        shown = {**about(settings), **seen(settings, state)}
        try:
            carefully(lambda: status_file.write(path, shown), path)
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
    named = {'watch': settings.name} if settings.name else {}
    return {
        'pid': os.getpid(), 'boot': procfs.boot(), 'interval': settings.interval,
        **named, **targets(settings),
    }


def targets(settings: Settings) -> dict[str, object]:
    """Return what is watched, and who is told."""
    said: dict[str, object] = {
        'paths': settings.paths, 'process': settings.process,
        'pidfile': settings.pidfile,
        'signal': settings.signal.name if signals(settings) else None,
    }
    if acts(settings):
        said['exec'] = [command[0] for command in settings.exec]
        said['url'] = [bare(url) for url in settings.url]
    return said


def audience(settings: Settings) -> str:
    """Return who is told, for a person."""
    who = []
    if signals(settings):
        who.append(f'{settings.process or settings.pidfile} and {settings.signal.name}')
    if acts(settings):
        from pollreload.core import actions
        who += [
            actions.named(settings, each) for each in range(actions.count(settings))
        ]
    return ', then '.join(who)


def seen(settings: Settings, state: State) -> dict[str, object]:
    """Return what --status-file says of the last look, and of what came of it.

    time: when it ended, in seconds of CLOCK_REALTIME; ended: in boot seconds.
    """
    content = visible(state).version
    return {
        'time': round(time.time() - procfs.now() + content.ended_at, 3),
        'ended': content.ended_at,
        'took': round(content.ended_at - content.read_at, 6),
        'content': content.state, 'seen': content.seen, 'done': content.delivered,
        'held': state.hold, 'tries': state.attempt.tries, 'unreadable': [
            (settings.paths[place], trouble.reason)
            for place, trouble in sorted(content.troubles.items())
        ],
    }
