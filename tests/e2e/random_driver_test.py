"""Random histories of the real process, and whether a violation would be found.

RANDOM_DRIVER_SEED and RANDOM_DRIVER_SECONDS set other values than these.
"""
from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from tests.support import truths
from tests.support.recorder import Record
from tests.support.sidecar import ROOT, environment

SEED = os.environ.get('RANDOM_DRIVER_SEED', 'ci')
SECONDS = os.environ.get('RANDOM_DRIVER_SECONDS', '18')
PID = 7


@pytest.mark.timeout(240)  # a quiet point is waited for on a busy machine
@pytest.mark.parametrize('part', range(6))
def test_random_history_has_no_violation(part: int) -> None:
    """Rules 1, 3 and 4, and that no target dies of a signal and no line is untrue."""
    done = subprocess.run(
        (
            sys.executable, '-m', 'tests.e2e.random_driver', '--seed', f'{SEED}{part}',
            '--seconds', SECONDS, '--each', '6',
        ),
        cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )

    print(done.stdout, done.stderr)  # with the seed
    assert done.returncode == 0


def event(name: str, **fields: Any) -> dict[str, Any]:
    """Return an event of the log, logged in second 10 of the history."""
    return {
        'event': name, 'time': '1970-01-01T00:00:10.000Z', 'message': name,
        'target_pid': PID, **fields,
    }


# A history in which one change was delivered to one target.
GOOD = truths.History(
    records=(Record(5.0, PID, 'started', 'A'), Record(10.0, PID, 'notified', 'B')),
    events=(
        event('changed', files=['/c']), event('signalled'), event('delivered'),
        event('verified'),
    ),
    ended={}, changes=1, touched=frozenset({'/c'}), starts=0, kills=0, targets=1,
    version='B', have={PID: 'B'},
)
DIED = event('failed', reason='died')


def test_good_history_has_no_violation() -> None:
    """Otherwise the following would show nothing."""
    assert truths.violations(GOOD) == []


@pytest.mark.parametrize(('truth', 'changes'), [
    pytest.param('outdated', {'version': 'C'}, id='last version missing'),
    pytest.param('excess', {'changes': 0}, id='signal without a change'),
    pytest.param('excess', {
        'records': (*GOOD.records, Record(11.0, PID, 'notified', 'B')),
        'events': (*GOOD.events, event('signalled')),
    }, id='second signal'),
    pytest.param('repeated', {
        'events': (*GOOD.events, event('signalled')),
    }, id='second signal without a reason'),
    pytest.param('unrecorded', {'records': GOOD.records[:1]}, id='signal not taken'),
    pytest.param('unrecorded', {'events': GOOD.events[2:]}, id='signal not logged'),
    pytest.param('unrecorded', {'ended': {PID: 1.0}}, id='target was dead'),
    pytest.param('died', {'events': (*GOOD.events, DIED)}, id='target lives'),
    pytest.param('succeeded', {
        'events': (*GOOD.events[:2], event('delivered', successor=8)),
    }, id='no successor'),
    pytest.param('untouched', {'touched': frozenset()}, id='file did not change'),
    pytest.param('faults', {
        'events': (*GOOD.events, event('failed', reason='fault')),
    }, id='fault'),
])
def test_violation_is_found(truth: str, changes: dict[str, Any]) -> None:
    """One thing in the good history is another, and a truth does not hold."""
    found = truths.violations(GOOD._replace(**changes))

    assert truth in [each.partition(':')[0] for each in found]
