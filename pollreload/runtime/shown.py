"""Fingerprints as they are shown: in the log, the status file and metrics.

A fingerprint is a fast hash without a key: whoever reads one finds a short secret,
like a PIN, by trying all of them. What is shown is hashed again with a random key.
The ledger keeps the key, so that it stays the same over a restart.
"""
from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping

from pollreload.core.state import Say, State
from pollreload.system.fingerprint import fingerprint as fingerprint_of

VARIABLE = 'POLLRELOAD_FINGERPRINT_KEY'
KEY = os.urandom(32).hex()
# Those of core/context that hold a fingerprint.
VARIABLES = ('POLLRELOAD_FINGERPRINT', 'POLLRELOAD_PREVIOUS')


def with_key(state: State) -> State:
    """Return a state that has a key, as the ledger keeps it."""
    return state if state.key else state._replace(key=KEY)


def shown(state: State, fingerprint: str) -> str:
    """Return a fingerprint of a watch as it is shown; '' for ''.

    $POLLRELOAD_FINGERPRINT_KEY takes the place of the key of the watch, so that
    hosts can be compared.
    """
    if not fingerprint:
        return ''
    return hashed(os.environ.get(VARIABLE) or state.key, fingerprint)


# Every poll shows the fingerprint to its log, which is the same as long as nothing
# changes.
@functools.lru_cache(maxsize=8)
def hashed(key: str, fingerprint: str) -> str:
    """Return a fingerprint hashed with a key.

    Twice, as HMAC does (RFC 2104): one hash of this kind can be inverted.
    """
    inner = fingerprint_of([{key: fingerprint.encode('ascii')}])
    return fingerprint_of([{key: inner.encode('ascii')}])


def shown_environment(state: State, additions: Mapping[str, str]) -> dict[str, str]:
    """Return additions to the environment of a command with fingerprints as shown."""
    return {**additions, **{
        name: shown(state, additions[name]) for name in VARIABLES if name in additions
    }}


def visible(state: State) -> State:
    """Return a state with its fingerprints as they are shown."""
    version = state.version
    return state._replace(version=version._replace(
        seen=shown(state, version.seen), delivered=shown(state, version.delivered),
    ))


def fingerprint_logger(log: Say, state: Callable[[], State]) -> Say:
    """Return a function that logs an event with its fingerprint as it is shown."""
    def say(event: str, message: str, /, **fields: object) -> None:
        found = fields.get('fingerprint')
        if isinstance(found, str):
            fields['fingerprint'] = shows = shown(state(), found)
            message = message.replace(found, shows) if found else message
        log(event, message, **fields)

    return say
