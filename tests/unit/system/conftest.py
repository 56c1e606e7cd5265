"""The fixtures of the tests below this directory."""
from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

BLOCKED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD,
)


@pytest.fixture
def blocked() -> Iterator[None]:
    """Have signals blocked and ignored, as the loop has, and then as before."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    before = {number: signal.getsignal(number) for number in BLOCKED[:-1]}
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
