"""Children of an observer."""
from __future__ import annotations

import os


def ended(pid: int) -> None:
    """Wait until a child is dead, and leave it to be reaped."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
