"""The command status: what a watch last wrote to its --status-file."""
from __future__ import annotations

import time
from typing import Any

from pollreload.errors import StatusError
from pollreload.runtime import log
from pollreload.system import procfs, status_file

WIDTH = 12  # of the first column
LEAST = 30.0  # s that a look may be old at least
INTERVALS = 3  # that it may be old
AHEAD = 1.0  # s that a clock may be set back by between two looks
NUMBERS = 'time', 'ended', 'took', 'interval'
LAST = 1e12  # s: what is more is no time


def run(path: str, oldest: float | None, output: str) -> int:
    """Print what the file says; return 0, or 1 where its last look is too old.

    oldest: --max-age in seconds; None: as the interval of the watch is.
    Raises StatusError where there is no such file.
    """
    shown: dict[str, Any] = status_file.read(path)
    try:
        for name in NUMBERS:
            if type(shown[name]) not in (int, float) or not 0 <= shown[name] < LAST:
                raise StatusError(f'{path} cannot be believed: its {name} is no number')
        limit = max(LEAST, INTERVALS * shown['interval']) if oldest is None else oldest
        passed = age(shown)
        fresh = 0.0 <= passed <= limit
        if output == 'json':
            more = {'age': round(passed, 3), 'fresh': fresh}
            print(log.json_object({**shown, **more}))
        else:
            print(table(shown, passed, limit))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StatusError(f'{path} is not the status file of a watch') from error
    return 0 if fresh else 1


def age(shown: dict[str, Any]) -> float:
    """Return how many seconds ago the last look ended; less than 0: it is to come.

    By the clock of the boot where it is the same, for nobody sets that.
    """
    passed: float = time.time() - shown['time']
    if shown['boot'] and shown['boot'] == procfs.boot():
        passed = procfs.now() - shown['ended']
    return passed if passed < -AHEAD else max(0.0, passed)


def ago(passed: float, limit: float) -> str:
    """Return for a person when the last look ended."""
    if passed < 0.0:
        return f'{-passed:.1f} s in the future, so nobody knows how old it is'
    late = f', which is more than {limit:g} s' if passed > limit else ''
    return f'{passed:.1f} s ago{late}'


def table(shown: dict[str, Any], passed: float, limit: float) -> str:
    """Return the lines for a person."""
    name = f'{shown["watch"]}, ' if 'watch' in shown else ''
    target = shown['process'] or shown['pidfile']
    told = [('target', f'{target}, {shown["signal"]}')] if target else []
    told += [
        (name, each) for name in ('exec', 'url') for each in shown.get(name, ())
    ]
    rows = [
        ('last look', f'{ago(passed, limit)}; it took {shown["took"]:.3f} s'),
        ('watch', f'{name}pid {shown["pid"]}, every {shown["interval"]:g} s'),
        ('paths', ' '.join(shown['paths'])),
        *told,
        ('content', shown['content']),
        ('seen', shown['seen'] or 'nothing'),
        ('done', shown['done'] or 'unknown'),
    ]
    if shown['held']:
        rows.append(('held', shown['held']))
    if shown['tries']:
        rows.append(('failed', f'{shown["tries"]} attempts in a row'))
    rows += [('unreadable', f'{each}: {why}') for each, why in shown['unreadable']]
    return '\n'.join(
        f'{name:{WIDTH}}{log.printable(str(says))}' for name, says in rows
    )
