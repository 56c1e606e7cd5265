"""Inform the service manager of the state of all watches (systemd, Type=notify).

Imported only if NOTIFY_SOCKET is set; a plain watch pays nothing for it.
"""
from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from pollreload.core.state import State
from pollreload.errors import UsageError
from pollreload.runtime.log import printable
from pollreload.settings import Settings
from pollreload.system.notify_socket import NotifySocket

# Letters; systemd ignores a datagram of more than 4096 bytes, also its READY=1.
LONGEST_STATUS = 500


class Watched(Protocol):
    """What is read of a watch: see runtime.watch.Watch."""

    @property
    def asked(self) -> Settings: ...

    @property
    def state(self) -> State: ...


class ServiceManager:
    """What was sent to the service manager, and what is sent next.

    send: sends assignments. watchdog: whether it waits for WATCHDOG=1.
    ready: READY=1 was sent. reloading: when SIGHUP came, boot seconds; 0.0: the
        polls that it asked for have ended. status: the last STATUS.
    polled: when the oldest of the last polls ended, at the last WATCHDOG=1.
    """

    def __init__(
            self, send: Callable[..., None], watchdog: bool,
            clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.send = send
        self.watchdog = watchdog
        self.clock = clock
        self.ready = False
        self.reloading = 0.0
        self.status = ''
        self.polled = -1.0

    def update(self, watches: Sequence[Watched]) -> None:
        """Send what has changed since the last time."""
        states = [each.state for each in watches]
        new = []
        text = status_of_all(watches)
        if text != self.status:
            self.status = text
            new.append(f'STATUS={text}')
        if self.reloading and all(
                each.version.read_at >= self.reloading for each in states
        ):
            self.reloading = 0.0
            new.append('READY=1')
        if not self.ready and all(each.version.state != 'blank' for each in states):
            self.ready = True
            new.append('READY=1')
        polled = min(each.version.ended_at for each in states)
        if self.watchdog and polled > self.polled:
            self.polled = polled
            new.append('WATCHDOG=1')
        if new:
            self.send(*new)

    def reload(self, now: float) -> None:
        """Announce the polls that SIGHUP asks for; now: boot seconds."""
        if self.ready:
            self.reloading = now
            # In microseconds of CLOCK_MONOTONIC, sd_notify(3).
            self.send('RELOADING=1', f'MONOTONIC_USEC={self.clock() // 1000}')

    def stop(self) -> None:
        """Announce that pollreload stops."""
        self.send('STOPPING=1')


def status_of_all(watches: Sequence[Watched]) -> str:
    """Return the STATUS of all watches, shortened.

    With a config file each has a name, except the watch of that file itself.
    """
    found = [
        f'{each.asked.name}: {summary(each.state)}'
        for each in watches if each.asked.name
    ]
    if not found:
        return summary(watches[0].state)[:LONGEST_STATUS]
    if any(each.state.hold for each in watches if not each.asked.name):
        found.insert(0, 'the config file is refused')
    text = '; '.join(found)
    if len(text) <= LONGEST_STATUS:
        return text
    return f'{text[:LONGEST_STATUS]}... ({len(found)} in all)'


def summary(state: State) -> str:
    """Return the state of a watch in a phrase, for `systemctl status`."""
    version = state.version
    if version.state == 'blank':
        found = 'waiting for the first version'
    elif version.state == 'current':
        found = 'up to date'
    elif state.hold:
        found = f'{version.state}, held: {state.hold}'
    else:
        found = version.state
    if state.stalled:
        found += ', a poll does not end'
    if version.troubles:
        found += f', unreadable paths: {len(version.troubles)}'
    return printable(found)


def connect_manager(
        environment: Mapping[str, str], watches: Iterable[Settings],
) -> ServiceManager:
    """Return the service manager that NOTIFY_SOCKET names.

    Raises UsageError if it would end pollreload between two polls (WatchdogSec).
    """
    trouble = watchdog_trouble(environment, watches)
    if trouble:
        raise UsageError(trouble)
    socket = NotifySocket(environment['NOTIFY_SOCKET'])
    return ServiceManager(socket.send, bool(watchdog_of(environment)))


def watchdog_trouble(
        environment: Mapping[str, str], watches: Iterable[Settings],
) -> str:
    """Return why the watchdog would end pollreload between two polls, or ''."""
    limit = watchdog_of(environment)
    slowest = max(each.interval for each in watches)
    if not limit or limit >= 2 * slowest:
        return ''
    return (
        f'the watchdog of the service manager waits {limit:g} s (WatchdogSec), which '
        f'is less than two polls (--interval {slowest:g}s)'
    )


def watchdog_of(environment: Mapping[str, str]) -> float:
    """Return how long the service manager waits for WATCHDOG=1, in s; 0.0: never."""
    # Another process than ours if a wrapper started us: sd_watchdog_enabled(3).
    if environment.get('WATCHDOG_PID', str(os.getpid())) != str(os.getpid()):
        return 0.0
    found = environment.get('WATCHDOG_USEC', '')
    return int(found) / 1e6 if found.isascii() and found.isdigit() else 0.0
