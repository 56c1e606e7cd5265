"""A watch with one target."""
from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from tests.support import targets
from tests.support.sidecar import Sidecar, watch, write
from tests.support.targets import unsignalled


def comm(target: targets.Target) -> str:
    """Return the name of a target."""
    with open(f'/proc/{target.pid}/comm', encoding='utf-8') as file:
        return file.read().removesuffix('\n')


@contextlib.contextmanager
def watching(target: targets.Target, *args: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch on a target that has taken its baseline."""
    with watch('--process', comm(target), *args, **rest) as it:
        it.until('baseline')
        yield it


def told(it: Sidecar, conf: str, target: targets.Target) -> bool:
    """Return whether a change that is made now is delivered, once."""
    write(conf, f'{conf} {time.monotonic_ns()}')
    it.poll()
    it.until('delivered')
    return target.read() == 'HUP' and not it.poll() and unsignalled(target)


def line_of(it: Sidecar, name: str) -> str:
    """Return the next line about an event, in whatever format."""
    while got := it.read():
        if got['event'] == name or f' {name}: ' in got['message']:
            return str(got['message'])
    raise AssertionError(it.seen)
