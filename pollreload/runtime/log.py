"""Format events as lines of text or JSON and write them to stderr."""
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


def stamp(seconds: float) -> str:
    """Format seconds of CLOCK_REALTIME as an RFC 3339 time in UTC, with ms."""
    whole = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))
    return f'{whole}.{int(seconds % 1 * 1000):03d}Z'


def line(
        form: str, seconds: float, event: str, message: str,
        fields: Mapping[str, object],
) -> bytes:
    """Return the encoded line of an event; form: 'text' or 'json'."""
    if form == 'json':
        return json_line(seconds, event, message, fields).encode('ascii')
    return text_line(seconds, event, message).encode('utf-8', 'backslashreplace')


def text_line(seconds: float, event: str, message: str) -> str:
    """Return 'TIME EVENT: MESSAGE'."""
    return f'{stamp(seconds)} {event}: {printable(message)}'


def json_line(
        seconds: float, event: str, message: str, fields: Mapping[str, object],
) -> str:
    """Return one JSON object; bytes that are not UTF-8 become \\udcXX."""
    return json_object(
        {'time': stamp(seconds), 'event': event, 'message': message, **fields},
    )


def json_object(fields: Mapping[str, object]) -> str:
    """Return a JSON object on one line."""
    # Imported here because a sidecar that logs text does not need it.
    import json
    return json.dumps(fields)


# Events that -q leaves out; and those that only -v shows in a check: a run that finds
# nothing due is silent.
CALM = frozenset((
    'started', 'baseline', 'polling', 'polled', 'changed', 'signalled', 'delivered',
    'verified', 'readable', 'stopped',
))
LONGEST = select.PIPE_BUF - 1  # bytes of a line without its end
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

    def say(event: str, message: str, /, **fields: object) -> None:
        if event in skipped:
            return
        now = time.time()
        if settings.name:
            if settings.log_format == 'json':
                fields = {'watch': settings.name, **fields}
            else:
                message = f'{settings.name}: {message}'
        text = line(settings.log_format, now, event, message, fields)
        if len(text) > LONGEST:
            # A character is 12 bytes of JSON at most: so this fits, and is whole.
            few = {
                name: value for name, value in fields.items() if len(ascii(value)) < 100
            }
            text = line(settings.log_format, now, event, message[:200], few)
        put(text[:LONGEST], patient)

    return say


def put(line: bytes, patient: bool) -> None:
    """Write a line to stderr at once, or lose it.

    POLLOUT of a pipe means that LONGEST bytes go in without waiting.
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
