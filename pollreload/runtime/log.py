"""Format events as lines and write them to stderr.

Text is for a person, JSON and logfmt are for programs; 'journal' is text for the
journal of systemd, which adds the time and takes the priority (sd-daemon(3)).
"""
from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping

from pollreload.core.state import Say
from pollreload.settings import Settings


def printable(text: str) -> str:
    """Escape text to one printable line: a file name may hold control characters."""
    if text.isprintable():
        return text
    return ''.join(
        each if each.isprintable() else each.encode(
            'unicode_escape' if each.isascii() or each > '\xff' else 'utf-8',
            'surrogateescape',
        ).decode('ascii', 'backslashreplace') for each in text
    )


def timestamp(seconds: float) -> str:
    """Format seconds of CLOCK_REALTIME as an RFC 3339 time in UTC, with ms."""
    whole = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))
    return f'{whole}.{int(seconds % 1 * 1000):03d}Z'


def event_line(
        form: str, seconds: float, event: str, message: str,
        fields: Mapping[str, object], watch: str = '',
) -> bytes:
    """Return the encoded line of an event.

    form: 'text', 'journal', 'json' or 'logfmt'. watch: the name of the watch, or ''.
    """
    if form in ('text', 'journal'):
        said = text_line(event, f'{watch}: {message}' if watch else message)
        start = f'<{PRIORITIES[level(event)]}>'
        if form == 'text':
            start = f'{timestamp(seconds)} '
        return (start + said).encode('utf-8', 'backslashreplace')
    said_of = {
        'time': timestamp(seconds), 'level': level(event), 'event': event,
        'message': message, 'watch': watch, 'pid': os.getpid(), **fields,
    }
    if form == 'json':
        return json_object(said_of).encode('ascii')
    from pollreload.runtime import logfmt
    return logfmt.line(said_of).encode('ascii')


def level(event: str) -> str:
    """Return 'info', 'warning' or 'error'."""
    return LEVELS.get(event, 'info')


def text_line(event: str, message: str) -> str:
    """Return 'EVENT: MESSAGE'."""
    return f'{event}: {printable(message)}'


def json_object(fields: Mapping[str, object]) -> str:
    """Return a JSON object on one line; bytes that are not UTF-8 become \\udcXX."""
    # Imported here because a sidecar that logs text does not need it.
    import json
    return json.dumps(fields)


# The rest is 'info'.
LEVELS = {
    'warning': 'warning', 'held': 'warning', 'unreadable': 'warning',
    'stalled': 'warning', 'failed': 'error',
}
PRIORITIES = {'info': 6, 'warning': 4, 'error': 3}  # syslog(3)
# Events that -q leaves out; and those that only -v shows in a check: a run that finds
# nothing due is silent.
CALM = frozenset((
    'started', 'baseline', 'polling', 'polled', 'changed', 'signalled', 'delivered',
    'verified', 'readable', 'stopped',
))
LONGEST_EVENT = select.PIPE_BUF - 1  # bytes of a line without its end
TALK = frozenset(('started', 'baseline', 'polled', 'stopped'))


def logger(
        settings: Settings, talk: frozenset[str] = frozenset(('polled',)),
        patient: bool = False,
) -> Say:
    """Return a function that writes events to stderr.

    talk: the events that only -v shows. patient: wait for a slow reader; a sidecar
    must not, because it could neither poll nor stop in that time.
    """
    skipped = CALM if settings.verbosity < 0 else talk if not settings.verbosity else ()
    form, watch = settings.log_format, settings.name
    if form == 'text' and journal():
        form = 'journal'
    if form == 'logfmt':
        # Not at the first event: an upgrade may have moved us away by then.
        from pollreload.runtime import logfmt  # noqa: F401

    def say(event: str, message: str, /, **fields: object) -> None:
        if event in skipped:
            return
        now = time.time()
        text = event_line(form, now, event, message, fields, watch)
        if len(text) > LONGEST_EVENT:
            # A character is 12 bytes of JSON at most: so this fits, and is whole.
            few = {
                name: value for name, value in fields.items() if len(ascii(value)) < 100
            }
            text = event_line(form, now, event, message[:200], few, watch)
        put(text[:LONGEST_EVENT], patient)

    return say


def journal() -> bool:
    """Return whether stderr leads to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    named = os.environ.get('JOURNAL_STREAM')
    if not named:
        return False
    info = os.fstat(2)
    return named == f'{info.st_dev}:{info.st_ino}'


def put(line: bytes, patient: bool) -> None:
    """Write a line to stderr at once, or lose it.

    POLLOUT of a pipe means that LONGEST_EVENT bytes go in without waiting.
    """
    ready = select.poll()
    ready.register(2, select.POLLOUT)
    if not patient and not ready.poll(0):
        return
    try:
        os.write(2, line + b'\n')
    except OSError:
        # A closed pipe or a full disk: the line cannot be written anywhere.
        pass
