"""TERM, INT and HUP while a one-shot command runs."""
from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from pollreload.runtime import interrupt
from tests.support.proc_tree import as_child


def interrupted(number: int) -> Callable[[], int]:
    """Return a function that waits after it sent a signal to itself."""
    def run() -> int:
        os.kill(os.getpid(), number)
        interrupt.wait_for_child(60.0)
        return 7
    return run


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_a_command_as_if_it_had_no_handler(number: int) -> None:
    """The parent sees which signal it was."""
    def run() -> int:
        signal.signal(number, signal.SIG_DFL)
        return interrupt.end_on_signal(interrupted(number))

    assert as_child(run) == -number


def test_ignored_signal_is_not_waited_for() -> None:
    """As nohup ignores HUP: the end of a child is what is waited for."""
    def run() -> int:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.kill(os.getpid(), signal.SIGHUP)
        return interrupt.end_on_signal(interrupted(signal.SIGCHLD))

    assert as_child(run) == 7


def test_wait_is_limited() -> None:
    """Nothing happened: the command goes on."""
    def wait() -> int:
        interrupt.wait_for_child(0.0)
        return 3

    assert as_child(lambda: interrupt.end_on_signal(wait)) == 3
