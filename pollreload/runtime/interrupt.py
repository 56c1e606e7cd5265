"""TERM, INT and HUP while a one-shot command runs."""
from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOP_SIGNALS = frozenset((
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD,
))


class Ended(Exception):
    """A signal that asks to end arrived."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def end_on_signal(function: Callable[[], int]) -> int:
    """Call a function and return its value; if it raises Ended, die of that signal.

    STOP_SIGNALS and SIGCHLD are blocked in it; wait_for_child() waits for them.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Except those that nohup and the like made us ignore.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {
        number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN
    })
    try:
        return function()
    except Ended as error:
        # As if it had never been blocked: the shell sees which signal it was.
        signal.signal(error.number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.kill(os.getpid(), error.number)
        return 128 + error.number


def wait_for_child(seconds: float) -> None:
    """Wait for the end of a child, some seconds at most. Raises Ended."""
    got = signal.sigtimedwait(STOP_SIGNALS, seconds)
    if got is not None and got.si_signo != signal.SIGCHLD:
        raise Ended(got.si_signo)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block SIGCHLD and the stop signals, for code that waits for them.

    Ended, raised in it, becomes SystemExit with the exit status of a shell.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    except Ended as ended:
        raise SystemExit(128 + ended.number) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
