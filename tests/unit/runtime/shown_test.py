"""Fingerprints as they are shown: keyed, so that they do not give a secret away."""
from __future__ import annotations

import itertools

import pytest
import xxhash

from pollreload.core import change, ledger_format
from pollreload.core.reading import Known
from pollreload.core.state import State
from pollreload.runtime import shown
from pollreload.system.fingerprint import fingerprint as fingerprint_of

HERE = ledger_format.Here('key', 'boot', 'pids')


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runner has no key of its own."""
    monkeypatch.delenv(shown.VARIABLE, raising=False)


def fingerprint(secret: str) -> str:
    """Return the fingerprint of a file that holds a secret."""
    return fingerprint_of([{'pin': xxhash.xxh3_128(secret.encode()).digest()}])


def test_short_secret_cannot_be_found_by_trying_all() -> None:
    """All PINs of three digits, hashed as we hash a file."""
    state = shown.with_key(State())
    seen = shown.shown(state, fingerprint('042'))

    tried = {
        fingerprint(''.join(pin)) for pin in itertools.product('0123456789', repeat=3)
    }

    assert fingerprint('042') in tried
    assert seen not in tried
    assert seen not in {shown.shown(State(), each) for each in tried}


def test_same_version_is_shown_alike_and_another_is_not() -> None:
    """Also over a restart, by the key in the ledger."""
    state = shown.with_key(State(version=change.Memory(
        state='current', known=(Known('file', {}),), delivered='a' * 32,
        seen='a' * 32,
    )))

    revived = ledger_format.revive(
        ledger_format.dump(state, HERE), HERE, fingerprint_of,
    )

    assert revived is not None
    assert revived.key == state.key != ''
    assert shown.shown(revived, 'a' * 32) == shown.shown(state, 'a' * 32)
    assert shown.shown(state, 'a' * 32) != shown.shown(state, 'b' * 32)
    assert len(shown.shown(state, 'a' * 32)) == 32


def test_key_of_the_environment_makes_hosts_comparable(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever their ledgers hold; an empty variable counts as unset."""
    one, other = State(key='one'), State(key='other')
    monkeypatch.setenv(shown.VARIABLE, '')
    assert shown.shown(one, 'a' * 32) != shown.shown(other, 'a' * 32)

    monkeypatch.setenv(shown.VARIABLE, 'fleet')
    assert shown.shown(one, 'a' * 32) == shown.shown(other, 'a' * 32)


def test_no_version_has_no_fingerprint() -> None:
    """An empty label is none to Prometheus."""
    assert shown.shown(State(key='key'), '') == ''


def test_events_show_the_keyed_fingerprint() -> None:
    """All other fields are passed on as they are."""
    said = []

    def log(event: str, message: str, /, **fields: object) -> None:
        said.append((event, message, fields))

    state = State(key='key')
    say = shown.fingerprint_logger(log, lambda: state)
    say('changed', 'words', fingerprint='a' * 32, count=1)
    say('polled', f'saw {"a" * 32} in 1 s', fingerprint='a' * 32)
    say('polled', 'saw nothing', fingerprint='')
    say('stopped', 'words')

    assert said == [
        ('changed', 'words', {
            'fingerprint': shown.shown(state, 'a' * 32), 'count': 1,
        }),
        (
            'polled', f'saw {shown.shown(state, "a" * 32)} in 1 s',
            {'fingerprint': shown.shown(state, 'a' * 32)},
        ),
        ('polled', 'saw nothing', {'fingerprint': ''}),
        ('stopped', 'words', {}),
    ]
