"""The headers in the file of --url-header-file: a bearer token, as a rule.

The file is read for each request, because a token rotates. No error repeats a part
of the file.
"""
from __future__ import annotations

import re

from pollreload.system.safe_open import NotRegular, open_regular

ACCEPTED = "write one 'NAME: VALUE' a line"
LARGEST_HEADERS = 1 << 16  # bytes
TOKEN = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
# Those that describe the message itself; http.client sends them.
OWN = frozenset(('host', 'content-length', 'transfer-encoding', 'connection'))


def load_headers(path: str) -> dict[str, str]:
    """Return the headers in a file.

    Raises OSError, and ValueError with what is wrong and what is accepted.
    """
    try:
        fd = open_regular(path)
    except NotRegular:
        raise ValueError('is not a regular file') from None
    with open(fd, 'rb') as file:
        text = file.read(LARGEST_HEADERS + 1)
    if len(text) > LARGEST_HEADERS:
        raise ValueError(f'is larger than {LARGEST_HEADERS} bytes; {ACCEPTED}')
    return parse_headers(text.decode('latin-1'))


def parse_headers(text: str) -> dict[str, str]:
    """Return the headers in the text of a file; empty lines are skipped.

    Raises ValueError.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.split('\n'), 1):
        if not line.strip():
            continue
        name, colon, value = line.partition(':')
        value = value.strip()
        # Printable ASCII and tabs: RFC 9110, 5.5, without obs-text.
        fits = all(' ' <= each <= '~' or each == '\t' for each in value)
        if not (colon and TOKEN.fullmatch(name) and value and fits):
            raise ValueError(f'line {number} is not a header; {ACCEPTED}')
        if name.lower() in OWN:
            raise ValueError(f'line {number} has a header that pollreload sets itself')
        if any(name.lower() == other.lower() for other in found):
            raise ValueError(f'line {number} repeats a header; {ACCEPTED}')
        found[name] = value
    if not found:
        raise ValueError(f'has no header; {ACCEPTED}')
    return found
