"""The edges of a step: chance, the name of the host, and what is logged."""
from __future__ import annotations

import errno
import json
import os

import pytest

from pollreload.runtime import log, world
from pollreload.settings import Settings
from tests.support.world import failing


def test_jitter_is_in_0_to_1_and_differs() -> None:
    """Two sidecars that start together must not poll together."""
    got = {world.jitter() for _ in range(100)}

    assert len(got) > 90
    assert all(0.0 <= each < 1.0 for each in got)


def test_splay_is_fixed_for_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """In [0, splay), the same every time, spread over the hosts of a fleet."""
    real = os.uname()

    def share(name: str) -> float:
        named = os.uname_result((real[0], name, *real[2:]))
        monkeypatch.setattr(os, 'uname', lambda: named)
        return world.splay_of_host(60.0)

    shares = [share(f'node-{number}') for number in range(100)]

    assert shares == [share(f'node-{number}') for number in range(100)]
    assert all(0.0 <= each < 60.0 for each in shares)
    assert min(shares) < 10
    assert max(shares) > 50
    assert world.splay_of_host(0.0) == 0.0


@pytest.mark.parametrize(('verbosity', 'said'), [
    (-1, ['held']), (0, ['baseline', 'held']), (1, ['polled', 'baseline', 'held']),
])
def test_verbosity_says_which_events_are_said(
        capfd: pytest.CaptureFixture[str], verbosity: int, said: list[str],
) -> None:
    """-q leaves out what is calm, -v adds the polls."""
    say = log.logger(Settings(verbosity=verbosity, log_format='json'))
    for event in ('polled', 'baseline', 'held'):
        say(event, 'a message', extra=1)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    assert [line['event'] for line in lines] == said
    assert all((line['message'], line['extra']) == ('a message', 1) for line in lines)


def test_line_that_cannot_be_written_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: there is no one left to inform, and no reason to stop."""
    monkeypatch.setattr(os, 'write', failing(errno.ENOSPC))

    log.put(b'line', patient=True)
    log.put(b'line', patient=False)
