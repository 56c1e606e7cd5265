"""The values that a shell offers for an option: signals, processes, users."""
from __future__ import annotations

import re
import signal
from collections.abc import Iterator

from pollreload.system import procfs

# Other names would have to be quoted, which no shell does for us.
PLAIN_NAME = re.compile(r'[\w.+@%/-]+')


def signal_names() -> Iterator[str]:
    """Yield the names of the signals, without SIG, by number."""
    for each in sorted(signal.Signals):
        yield each.name.removeprefix('SIG')


def process_names() -> Iterator[str]:
    """Yield the names of the visible processes, without kernel threads."""
    names = {
        procfs.comm(f'/proc/{pid}') for pid in procfs.pids('/proc')
        if not (fields := procfs.stat(f'/proc/{pid}')) or not fields.kernel
    }
    yield from sorted(name for name in names if name and PLAIN_NAME.fullmatch(name))


def users() -> Iterator[str]:
    """Yield the names of the users."""
    import pwd  # only a shell asks for it
    for each in pwd.getpwall():
        yield each.pw_name
