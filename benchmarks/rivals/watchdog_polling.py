"""watchdog's PollingObserver: watchdog_polling.py SECONDS PID PATH."""
import os
import signal
import sys

from watchdog import events  # type: ignore[import-not-found,unused-ignore]
from watchdog.observers import polling  # type: ignore[import-not-found,unused-ignore]

interval, pid, path = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


class Reload(events.FileSystemEventHandler):  # type: ignore[misc,unused-ignore]
    def on_any_event(self, event: events.FileSystemEvent) -> None:
        os.kill(pid, signal.SIGHUP)


observer = polling.PollingObserver(timeout=interval)
observer.schedule(Reload(), path, recursive=True)
observer.start()
observer.join()
