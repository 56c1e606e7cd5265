"""The log of a watch in the process of a test."""
from __future__ import annotations

from pollreload.runtime.watch import Watch
from pollreload.settings import Settings
from tests.support.sidecar import write


class Log:
    """What was said, as events and their fields."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def __call__(self, event: str, message: str, /, **fields: object) -> None:
        self.events.append((event, {**fields, 'message': message}))

    def named(self, name: str) -> list[dict[str, object]]:
        """Return the fields of the events of a name."""
        return [fields for event, fields in self.events if event == name]


def poll(watch: Watch) -> None:
    """Step until a poll has ended: on a busy machine it may go on in a child."""
    watch.step()
    while watch.state.reading_since:
        watch.step()


def rested(settings: Settings, log: Log) -> Watch:
    """Return a watch that has its baseline."""
    watch = Watch(settings, log)
    poll(watch)
    assert watch.state.version.state == 'current'
    return watch


def due(settings: Settings, log: Log) -> Watch:
    """Return a watch that has something to deliver, and nothing to notify it to."""
    watch = rested(settings, log)
    write(settings.paths[0], 'second')
    watch.poll_now()
    poll(watch)
    assert watch.state.version.state == 'due'
    return watch
