"""The default path of a ledger, and the key of the watch that it belongs to."""
from __future__ import annotations

import json
import os
from collections.abc import Mapping

import xxhash

from pollreload.errors import LedgerError
from pollreload.settings import Settings, acts, bare


def location(key: str, environ: Mapping[str, str], uid: int) -> str:
    """Return the default file for a key.

    uid: the effective one. A relative XDG_STATE_HOME is ignored, as the XDG
        base directory specification asks for.
    Raises LedgerError if there is no home directory for it.
    """
    state, home = environ.get('XDG_STATE_HOME', ''), environ.get('HOME', '')
    if not os.path.isabs(state):
        if uid == 0:
            state = '/var/lib'
        elif os.path.isabs(home):
            state = os.path.join(home, '.local', 'state')
        else:
            raise LedgerError(
                'no place for the ledger: neither XDG_STATE_HOME nor HOME is an '
                'absolute path; set one of them, or name a file with --state-file',
            )
    return os.path.join(state, 'pollreload', f'{key}.json')


def key(settings: Settings, cwd: str) -> str:
    """Return 16 hex digits for the paths, the target and its signal or actions.

    Paths count as os.path.abspath sees them, seen from cwd: a link that moves
    must not change the name of the memory.
    """
    def absolute(path: str) -> str:
        return os.path.normpath(os.path.join(cwd, path))

    parts = (
        [absolute(path) for path in settings.paths],
        settings.process,
        None if settings.pidfile is None else absolute(settings.pidfile),
        settings.cmdline,
        settings.uid,
        settings.all_namespaces,
        settings.select,
        settings.signal.number,
        *((
            settings.exec, [bare(url) for url in settings.url], settings.url_method,
        ) if acts(settings) else ()),
    )
    # JSON keeps ['a', 'b'] and ['ab'] apart, and escapes what is not UTF-8.
    return str(xxhash.xxh3_64_hexdigest(json.dumps(parts).encode('ascii')))
