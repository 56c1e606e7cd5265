"""watch --listen on a file system that hangs: it says so, and TERM and its port go on.

The ways to hang are those of hanging.py.
"""
from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.sandbox import changes
from tests.sandbox.hanging import KINDS, hung, mount_of_kind, stops
from tests.servers.harness import free_port, until
from tests.support.probe import HEALTHZ, READYZ, ask, scrape, status
from tests.support.sidecar import unique, watch

QUICKLY = ('--interval', '100ms')


@pytest.mark.parametrize('kind', KINDS)
def test_a_probe_fails_while_a_mount_hangs(kind: str, tmp_path: Path) -> None:
    """Three intervals later, and not after it; ready it was, and stays."""
    port = free_port()
    with mount_of_kind(kind, tmp_path) as made:
        path = str(made.at / changes.PLAIN)
        args = ('--listen', f':{port}', '--process', unique(), *QUICKLY, path)
        with watch(*args, under=made.under) as sidecar:
            sidecar.until('baseline')
            until(lambda: status(port, READYZ) == 200, 'it is ready')
            before = status(port, HEALTHZ)
            with hung(made, kind):
                until(lambda: status(port, HEALTHZ) == 503, 'the probe fails')
                late, ready = scrape(port), status(port, READYZ)
            until(lambda: status(port, HEALTHZ) == 200, 'the probe is well')
            after = scrape(port)

    assert (before, ready) == (200, 200)
    assert late.value('look_age_seconds') > late.value('look_age_limit_seconds') == 1
    looks = 'look_duration_seconds_bucket'
    # The one that hung took that long.
    assert after.value(looks, le='+Inf') > after.value(looks, le='0.5')


@pytest.mark.parametrize('kind', KINDS)
def test_one_that_begins_while_a_mount_hangs_is_not_ready(
        kind: str, tmp_path: Path,
) -> None:
    """Nor healthy, after a second; both once it answers."""
    port = free_port()
    with mount_of_kind(kind, tmp_path) as made:
        path = str(made.at / changes.PLAIN)
        args = ('--listen', f':{port}', '--process', unique(), *QUICKLY, path)
        with hung(made, kind), watch(*args, under=made.under) as sidecar:
            try:
                sidecar.until('started')
                until(lambda: status(port, HEALTHZ) == 503, 'the probe fails')
                ready = ask(port, READYZ)
            finally:
                made.go_on()
            until(lambda: status(port, READYZ) == 200, 'it is ready')
            until(lambda: status(port, HEALTHZ) == 200, 'it is healthy')

    assert ready.status == 503
    assert ready.body.endswith(': no baseline\n')


@pytest.mark.parametrize('kind', KINDS)
def test_what_hangs_on_holds_no_port(kind: str, tmp_path: Path) -> None:
    """TERM ends it, and the next one has the port at once, though a poll of the first
    may be there still.
    """
    port = free_port()
    with mount_of_kind(kind, tmp_path) as made:
        path = str(made.at / changes.PLAIN)
        args = ('--listen', f':{port}', '--process', unique(), *QUICKLY, path)
        with watch(*args, under=made.under) as sidecar:
            sidecar.until('baseline')
            with hung(made, kind):
                until(lambda: status(port, HEALTHZ) == 503, 'the probe fails')
                # Somebody asks at this very moment.
                with socket.create_connection(('127.0.0.1', port)):
                    stops(sidecar)
                with watch(*args, under=made.under) as other:
                    try:
                        other.until('started')
                        until(lambda: status(port, READYZ) == 503, 'it answers')
                    finally:
                        made.go_on()
