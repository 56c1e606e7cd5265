"""The command status: show what a watch last wrote to its --status-file."""
from __future__ import annotations

import time
from typing import Any

from pollreload.errors import StatusError
from pollreload.runtime import log
from pollreload.system import procfs, status_file

NAME_WIDTH = 12  # columns for the name of a row
LEAST_AGE = 30.0  # s that a poll may be old, however short the interval
INTERVALS = 3  # that a poll may be old, if that is longer
CLOCK_SLACK = 1.0  # s by which a clock may have been set back since the poll


def run(path: str, max_age: float | None, output: str) -> int:
    """Print the status file; return 0, or 1 if its last poll is too old.

    max_age: in seconds; None: depends on the interval of the watch.
    Raises StatusError if the file cannot be read or is not a status file.
    """
    shown: dict[str, Any] = status_file.read(path)
    try:
        limit = max_age
        if limit is None:
            limit = max(LEAST_AGE, INTERVALS * shown['interval'])
        passed = poll_age(shown)
        fresh = 0.0 <= passed <= limit
        if output == 'json':
            more = {'age': round(passed, 3), 'fresh': fresh}
            print(log.json_object({**shown, **more}))
        else:
            print(status_table(shown, passed, limit))
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise StatusError(f'{path} is not the status file of a watch') from error
    return 0 if fresh else 1


def poll_age(shown: dict[str, Any]) -> float:
    """Return the seconds since the last poll ended; negative: it is in the future.

    Within one boot this is measured by the clock of the boot, which nobody can set.
    """
    passed: float = time.time() - shown['time']
    if shown['boot'] and shown['boot'] == procfs.boot():
        passed = procfs.now() - shown['ended']
    return passed if passed < -CLOCK_SLACK else max(0.0, passed)


def describe_age(passed: float, limit: float) -> str:
    """Return the age of the last poll as text."""
    if passed < 0.0:
        return f'{-passed:.1f} s in the future, so its age is unknown'
    late = f', which is more than {limit:g} s' if passed > limit else ''
    return f'{passed:.1f} s ago{late}'


def status_table(shown: dict[str, Any], passed: float, limit: float) -> str:
    """Return the status file as lines of text."""
    name = f'{shown["watch"]}, ' if 'watch' in shown else ''
    target = shown['process'] or shown['pidfile']
    notified = [('target', f'{target}, {shown["signal"]}')] if target else []
    notified += [
        (name, each) for name in ('exec', 'url') for each in shown.get(name, ())
    ]
    rows = [
        ('last poll', f'{describe_age(passed, limit)}; it took {shown["took"]:.3f} s'),
        ('watch', f'{name}pid {shown["pid"]}, every {shown["interval"]:g} s'),
        ('paths', ' '.join(shown['paths'])),
        *notified,
        ('version', shown['content']),
        ('seen', shown['seen'] or 'nothing'),
        ('delivered', shown['done'] or 'unknown'),
    ]
    if shown['held']:
        rows.append(('held', shown['held']))
    if shown['tries']:
        rows.append(('failed', f'{shown["tries"]} attempts in a row'))
    rows += [('unreadable', f'{each}: {why}') for each, why in shown['unreadable']]
    return '\n'.join(
        f'{name:{NAME_WIDTH}}{log.printable(str(text))}' for name, text in rows
    )
