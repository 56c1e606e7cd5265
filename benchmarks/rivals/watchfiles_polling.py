"""watchfiles, made to poll: watchfiles_polling.py SECONDS PID PATH."""
import os
import signal
import sys

from watchfiles import watch  # type: ignore[import-not-found,unused-ignore]

interval, pid, path = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for _ in watch(path, force_polling=True, poll_delay_ms=int(interval * 1000)):
    os.kill(pid, signal.SIGHUP)
