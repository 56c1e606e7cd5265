"""Lines of logfmt: NAME=VALUE, separated by spaces."""
from __future__ import annotations

import json
import re
from collections.abc import Mapping

# What needs no quotes; a value that is empty or looks like another field does.
UNQUOTED = re.compile(r'[A-Za-z0-9_./:@%+,-]+')


def line(fields: Mapping[str, object]) -> str:
    """Return the fields on one line of ASCII; those that are None are left out."""
    return ' '.join(
        f'{name}={encoded(each)}' for name, each in fields.items() if each is not None
    )


def encoded(each: object) -> str:
    """Return a value; lists are JSON. Quoted values are escaped as in JSON."""
    text = each if isinstance(each, str) else json.dumps(each)
    return text if UNQUOTED.fullmatch(text) else json.dumps(text)
