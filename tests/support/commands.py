"""Commands and functions that run in a child to their end."""
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pollreload.system import children
from pollreload.system import command as command_of


def wait(pid: int) -> int | None:
    """Wait until a child is dead, and return what ended() says."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return children.poll_child(pid)


def beside(function: Callable[[], Any]) -> Any:
    """Return the value of a function from a child that has our files."""
    pid, fd = children.fork(function, deaf=True)
    assert wait(pid) == 0
    return children.read_value(fd)


def run_command(*command: str, **environment: str) -> int | None:
    """Run a command to its end and return its status."""
    return wait(command_of.spawn(command, environment))
