"""NFS 4.2 for real: server and client in a User-Mode Linux (see nfs_guest.py)."""
from __future__ import annotations

import json

import pytest

from pollreload.core.state import State
from pollreload.runtime.shown import shown
from tests.sandbox import changes
from tests.sandbox.nfs import Guest, guest

pytestmark = pytest.mark.timeout(300)  # a machine of its own takes its time
ACTIMEO = 3.0  # s that the client may believe what it has
OPTIONS = f'vers=4.2,actimeo={ACTIMEO:.0f}'
POLL, SETTLE = 0.5, 0.2  # s, as the guest has them
BUSY = 5.0  # s that the machine may take for all that a change starts
# s from TERM to the end. With both processors taken by others it is below 0.1; if a
# process waits for the server after all, it is 3 s at least.
PROMISED = 1.0
# A name is believed to be gone, or a link to lead to its old target, for as long as the
# attributes of its directory. What is opened is asked about each time.
BELIEVED = ('turned', 'gone', 'back')


def test_every_kind_of_change_is_delivered_once() -> None:
    """By the first poll after it, or the first after actimeo; inotify sees none."""
    with guest('changed', OPTIONS) as machine:
        assert 'acdirmax=3' in machine.fact('mounted')['line']
        for kind in (*changes.KINDS, *BELIEVED):
            fact = machine.fact('delay')
            assert fact['kind'] == kind
            if kind in BELIEVED:
                assert fact['late'] < ACTIMEO, fact
            else:
                assert fact['polls'] == 1, fact
            if kind != 'gone':
                assert fact['text'] in fact['line'], fact
        for kind in changes.KINDS:
            fact = machine.fact('reloaded')
            assert fact['kind'] == kind
            # The file is away for a moment, and may be believed to be.
            believed = ACTIMEO if kind == 'recreated' else 0.0
            assert fact['seconds'] < believed + POLL + SETTLE + BUSY, fact
        assert machine.fact('next')['line'] == 'marked'
        assert machine.fact('signalled')['count'] == len(changes.KINDS)
        fact = machine.fact('inotify')
        assert fact['here'] == ['/mounted/walk/ CREATE last']
        assert fact['there'][-1] == '/served/walk/ CREATE last'
        assert len(fact['there']) > len(changes.KINDS)
        machine.fact('done')


def stopped(machine: Guest, what: str) -> None:
    """Assert that a watch ended by TERM, as soon as is promised."""
    fact = machine.fact('ended')
    assert fact['what'] == what
    assert fact['status'] == 0, fact
    assert fact['seconds'] < PROMISED, fact


def test_nothing_is_delivered_while_the_server_is_away() -> None:
    """The stall is logged, TERM and --timeout are kept, and after it all is delivered.
    """
    with guest('hung', OPTIONS) as machine:
        machine.fact('mounted')
        for _ in range(2):
            said = machine.fact('stalled')['message']
            assert 'nothing is delivered until it ends' in said
        stopped(machine, 'a read hangs')
        fact = machine.fact('ran')
        assert fact['what'] == 'check'
        assert fact['status'] == 3, fact
        last = json.loads(fact['said'].splitlines()[-1])
        assert last['reason'] == 'timeout'
        assert machine.fact('next')['line'] == 'marked'
        fact = machine.fact('back')
        assert fact['line'] == f'reloaded | {fact["text"]}'
        assert machine.fact('next')['line'] == 'marked'
        assert machine.fact('seen')['events'] == [
            'started', 'baseline', 'stalled', 'readable', 'changed', 'signalled',
            'delivered',
        ]
        stopped(machine, 'the server is back')
        machine.fact('done')


def test_a_ledger_that_hangs_stops_nothing() -> None:
    """What can be read is delivered, TERM is kept, and the rest says what is wrong."""
    with guest('kept', OPTIONS) as machine:
        machine.fact('mounted')
        fact = machine.fact('beside')
        assert fact['line'] == f'reloaded | {fact["text"]}'
        stopped(machine, 'a save hangs')
        stopped(machine, 'a read hangs')
        for what, status in (('check', 4), ('check --dry-run', 4), ('doctor', 1)):
            fact = machine.fact('ran')
            assert fact['what'] == what
            assert fact['status'] == status, fact
        fact = machine.fact('back')
        assert fact['line'] == f'reloaded | {fact["text"]} | {fact["text"]}'
        fact = machine.fact('ledger')
        kept = json.loads(fact['text'])
        state = State(key=kept['fingerprint_key'])
        assert fact['fingerprint'] == shown(state, kept['done'])
        stopped(machine, 'the server is back')
        machine.fact('done')
