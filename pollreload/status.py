"""The command status: what a watch last wrote to its --status-file."""
from __future__ import annotations

import time
from typing import Any

from pollreload import procfs, report, statusfile
from pollreload.errors import StatusError

WIDTH = 12  # of the first column


def run(path: str, oldest: float, output: str) -> int:
    """Print what the file says; return 0, or 1 where its last look is too old.

    oldest: --max-age in seconds. Raises StatusError where there is no such file.
    """
    shown: dict[str, Any] = statusfile.read(path)
    try:
        passed = age(shown)
        fresh = passed <= oldest
        if output == 'json':
            more = {'age': round(passed, 3), 'fresh': fresh}
            print(report.json_object({**shown, **more}))
        else:
            print(table(shown, passed, oldest))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StatusError(f'{path} is not the status file of a watch') from error
    return 0 if fresh else 1


def age(shown: dict[str, Any]) -> float:
    """Return how many seconds ago the last look ended.

    By the clock of the boot where it is the same, for nobody sets that.
    """
    if shown['boot'] and shown['boot'] == procfs.boot():
        return max(0.0, procfs.now() - float(shown['ended']))
    return max(0.0, time.time() - float(shown['time']))


def table(shown: dict[str, Any], passed: float, oldest: float) -> str:
    """Return the lines for a person."""
    late = '' if passed <= oldest else f', which is more than {oldest:g} s'
    target = shown['process'] or shown['pidfile']
    told = [('target', f'{target}, {shown["signal"]}')] if target else []
    told += [
        (name, each) for name in ('exec', 'url') for each in shown.get(name, ())
    ]
    rows = [
        ('last look', f'{passed:.1f} s ago{late}; it took {shown["took"]:.3f} s'),
        ('watch', f'pid {shown["pid"]}, every {shown["interval"]:g} s'),
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
        f'{name:{WIDTH}}{report.printable(str(says))}' for name, says in rows
    )
