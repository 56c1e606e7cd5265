"""What must be true of a random history, checked at a quiet point. Pure.

A history is what the targets recorded, what pollreload logged, and what the driver did,
all since the last quiet point. Each function returns the violations as text.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from tests.support.recorder import COMMAND, Record
from tests.support.sidecar import Event

TICK = 0.002  # s by which a time of the log may be early: it has milliseconds
SLOW = 5.0  # s from a signal to its line, on a machine that is busy


class History(NamedTuple):
    """All that happened between two quiet points.

    records: what the targets read. events: what every pollreload logged.
    ended: pid -> when the driver had reaped it, in seconds of CLOCK_REALTIME.
    changes: how many versions there can have been. touched: the files of these; with
        '' any file. starts: how many targets the driver started.
    kills: how often pollreload was killed, or began without a memory.
    targets: how many processes there may be to notify at a time.
    version: what is there now. have: pid -> what each living target read last.
    """

    records: Sequence[Record]
    events: Sequence[Event]
    ended: Mapping[int, float]
    changes: int
    touched: frozenset[str]
    starts: int
    kills: int
    targets: int
    version: str
    have: Mapping[int, str]


def at(event: Event) -> float:
    """Return when an event was logged, in seconds of CLOCK_REALTIME."""
    return datetime.fromisoformat(event['time']).timestamp()


def named(history: History, *names: str) -> list[Event]:
    """Return the events of some names."""
    return [each for each in history.events if each['event'] in names]


def notified(history: History) -> list[Record]:
    """Return the records of signals."""
    return [each for each in history.records if each.why == 'notified']


def outdated(history: History) -> list[str]:
    """Rule 1: each target has the last version."""
    return [
        f'pid {pid} has {read!r} and not {history.version!r}'
        for pid, read in history.have.items() if read != history.version
    ]


def excess(history: History) -> list[str]:
    """Rule 3: no signal without a change, a failure, or a process that is new."""
    failures = len(named(history, 'failed'))
    causes = history.targets * (history.changes + failures + history.kills)
    new = history.starts if causes else 0
    count = len(notified(history))
    if count <= causes + new:
        return []
    return [
        f'{count} signals for {history.changes} changes, {failures} failures, '
        f'{history.kills} kills and {history.starts} starts',
    ]


def repeated(history: History) -> list[str]:
    """Rule 3: a line says why a target is signalled once more."""
    found = []
    sent: set[int] = set()
    for event in history.events:
        if event['event'] in ('changed', 'failed', 'started'):
            sent.clear()
        elif event['event'] == 'signalled':
            if event['target_pid'] in sent:
                found.append(f'no reason for {event["message"]}')
            sent.add(event['target_pid'])
    return found


def unrecorded(history: History) -> list[str]:
    """Each signal that was logged was taken, and each that was taken was logged."""
    found = []
    taken = Counter(each.pid for each in notified(history))
    for name in 'delivered', 'verified':
        claims = [
            each for each in named(history, name)
            if 'successor' not in each and not any(
                # Said of another process, or of none in particular.
                words in each['message'] for words in ('took over', 'not checked')
            )
        ]
        claimed = Counter(each.get('target_pid', COMMAND) for each in claims)
        for pid, count in claimed.items():
            # A signal to a target that was killed then may have reached nothing, and
            # a pollreload that goes on with a ledger may log its end again.
            if pid not in history.ended and taken[pid] + history.kills < count:
                found.append(f'pid {pid} took {taken[pid]} signals, {count} {name}')
    for event in named(history, 'signalled', 'delivered'):
        if 'target_pid' not in event:
            continue  # a command
        gone = history.ended.get(event['target_pid'])
        sent = [
            at(each) for each in named(history, 'signalled')
            if each['target_pid'] == event['target_pid'] and at(each) <= at(event)
        ]
        if not sent and not history.kills:
            found.append(f'no signal was logged before: {event["message"]}')
        if sent and gone is not None and gone < sent[-1] - SLOW:
            found.append(f'the target had ended before: {event["message"]}')
    logged = len(named(history, 'signalled'))
    taken[COMMAND] = 0  # a command is logged once it has ended
    if taken.total() > logged + history.kills:
        found.append(f'{taken.total()} signals were taken, and {logged} logged')
    return found


def died(history: History) -> list[str]:
    """Nothing that is logged to have died reads anything afterwards."""
    return [
        f'it lives: {event["message"]}' for event in named(history, 'failed')
        if event.get('reason') == 'died' and (
            event['target_pid'] in history.have
            or any(
                each.pid == event['target_pid'] and each.at > at(event) + TICK
                and each.why == 'notified' for each in history.records
            )
        )
    ]


def succeeded(history: History) -> list[str]:
    """A successor that is named started after the signal to its predecessor."""
    started = {
        each.pid: each.at for each in history.records if each.why == 'started'
    }
    return [
        f'no such successor: {event["message"]}'
        for event in named(history, 'delivered', 'verified')
        if event.get('successor', event.get('target_pid')) not in started and (
            'successor' in event or 'took over' in event['message']
        )
    ]


def untouched(history: History) -> list[str]:
    """What is logged as changed was changed."""
    if '' in history.touched:
        return []
    return [
        f'{sorted({*event["files"]} - history.touched)} did not change'
        for event in named(history, 'changed')
        if not {*event.get('files', ())} <= history.touched
    ]


def faults(history: History) -> list[str]:
    """Nothing unexpected happens in pollreload, and each line is an event."""
    return [
        str(event['message']) for event in history.events
        if event['event'] == 'line' or event.get('reason') == 'fault'
    ]


TRUTHS = outdated, excess, repeated, unrecorded, died, succeeded, untouched, faults


def violations(history: History) -> list[str]:
    """Return everything that is not as it must be."""
    return [
        f'{truth.__name__}: {each}' for truth in TRUTHS for each in truth(history)
    ]
