"""Events as lines, for a person or for a machine. Pure."""
from __future__ import annotations

import time
from collections.abc import Mapping


def printable(text: str) -> str:
    """Return text on one line: a file's name may hold anything but '/' and NUL."""
    if text.isprintable():
        return text
    return ''.join(
        each if each.isprintable() else each.encode(
            'unicode_escape' if each.isascii() or each > '\xff' else 'utf-8',
            'surrogateescape',
        ).decode('ascii', 'backslashreplace') for each in text
    )


def stamp(seconds: float) -> str:
    """Return a time of CLOCK_REALTIME as RFC 3339 has it, in UTC with ms."""
    whole = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))
    return f'{whole}.{int(seconds % 1 * 1000):03d}Z'


def line(
        form: str, seconds: float, event: str, message: str,
        fields: Mapping[str, object],
) -> bytes:
    """Return the line of an event as it is written; form: 'text' or 'json'."""
    if form == 'json':
        return json_line(seconds, event, message, fields).encode('ascii')
    return text_line(seconds, event, message).encode('utf-8', 'backslashreplace')


def text_line(seconds: float, event: str, message: str) -> str:
    """Return 'TIME EVENT: MESSAGE'."""
    return f'{stamp(seconds)} {event}: {printable(message)}'


def json_line(
        seconds: float, event: str, message: str, fields: Mapping[str, object],
) -> str:
    """Return one JSON object; bytes of a name that are no UTF-8 as \\udcXX."""
    return json_object(
        {'time': stamp(seconds), 'event': event, 'message': message, **fields},
    )


def json_object(fields: Mapping[str, object]) -> str:
    """Return a JSON object on one line."""
    # Not for the sidecar that logs text.
    import json
    return json.dumps(fields)
