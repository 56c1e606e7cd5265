"""Warn about environment variables that are misspelt options."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pollreload.settings import Note

PREFIX = 'POLLRELOAD_'
# What pollreload reads or sets that is no option.
OTHERS = frozenset((
    'CHANGED', 'CHANGED_MORE', 'FINGERPRINT', 'FINGERPRINT_KEY', 'PID', 'PREVIOUS',
    'WATCH',
))
# What Kubernetes sets in every pod beside a Service called pollreload (or
# pollreload-...), as Docker links did.
SERVICE = '(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_.*)?)'


def variable_warnings(watch: str, environ: Mapping[str, str]) -> tuple[Note, ...]:
    """Return a warning for each POLLRELOAD_ variable that no command reads.

    watch: the name of the watch that logs it.
    """
    names = [
        name for name in environ
        if name.startswith(PREFIX) and environ[name]
        and name.removeprefix(PREFIX) not in OTHERS
        and not re.fullmatch(SERVICE, name.removeprefix(PREFIX))
    ]
    if not names:
        return ()
    known = sorted(known_variables())
    return tuple(
        Note(watch, 'unknown variable', name, f'{name} is not an option{meant}')
        for name in sorted({*names} - {*known})
        for meant in (nearest_hint(name, known),)
    )


def known_variables() -> Iterator[str]:
    """Yield the names of the variables that any command reads."""
    from pollreload.cli.main import pollreload
    for command in pollreload.commands.values():
        for param in command.params:
            if isinstance(param.envvar, list):
                yield from param.envvar


def nearest_hint(name: str, known: list[str]) -> str:
    """Return '; did you mean ...?' with the nearest name."""
    from pollreload.cli.suggest import nearest as meant
    options = {each.removeprefix(PREFIX).lower().replace('_', '-'): each
               for each in known if each.startswith(PREFIX)}
    found = meant(name.removeprefix(PREFIX), options)
    return f'; did you mean {options[found]}?' if found else '; see --help'
