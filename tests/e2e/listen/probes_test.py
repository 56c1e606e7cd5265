"""/healthz and /readyz of a running watch."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.harness import until
from tests.support import sidecar
from tests.support.listening import configured, listening, said
from tests.support.probe import HEALTHZ, READYZ, ask, scrape, status
from tests.support.sidecar import (
    environment,
    unique,
    write,
)


def test_ready_once_there_is_a_baseline(conf: str, port: int) -> None:
    """Until a path can be read there is none; healthy it is."""
    os.unlink(conf)
    with listening(port, '--process', unique(), conf) as it:
        it.until('unreadable')
        it.status()
        before = status(port, READYZ), status(port, HEALTHZ)
        write(conf, 'first')
        it.poll()
        it.until('baseline')
        it.status()
        after = status(port, READYZ), status(port, HEALTHZ)

    assert before == (503, 200)
    assert after == (200, 200)


def test_ready_once_every_watch_has_its_baseline(tmp_path: Path, port: int) -> None:
    """Of several; the line says which has none."""
    plan = tmp_path / 'plan.toml'
    plan.write_text(f'''
listen = "127.0.0.1:{port}"
interval = "50ms"
process = "{unique()}"
[[watch]]
name = "one"
path = "{plan}"
[[watch]]
name = "other"
path = "{tmp_path}/none"
''')
    with configured(str(plan)) as it:
        said(it, 'one: ')
        said(it, 'unreadable: other: ')
        until(lambda: 'one: baseline taken\n' in ask(port, READYZ).body, 'a baseline')
        before = ask(port, READYZ)
        (tmp_path / 'none').write_text('first')
        until(lambda: status(port, READYZ) == 200, 'all are ready')

    assert before.status == 503
    assert before.body == 'one: baseline taken\nother: no baseline\n'


# A loop that stands still: after some steps it says so, and does this for ever.
STANDING = {
    'waits': 'threading.Event().wait()',
    'sleeps': 'time.sleep(1e6)',
    'is busy': 'any(False for _ in iter(int, 1))',
}


@pytest.mark.parametrize('how', STANDING)
def test_a_loop_that_stands_still_is_found(how: str, conf: str, port: int) -> None:
    """Three intervals later, and a second at least; the age goes on."""
    program = (
        'import sys, threading, time\n'
        'from pollreload.runtime import watch as loop\n'
        'from pollreload.__main__ import main\n'
        'step = loop.Watch.step\n'
        'def stands(watch):\n'
        '    step(watch)\n'
        '    if watch.state.version.state == "current":\n'
        '        print("stands", file=sys.stderr, flush=True)\n'
        f'        {STANDING[how]}\n'
        'loop.Watch.step = stands\n'
        'sys.exit(main())\n'
    )
    args = ('--listen', f'127.0.0.1:{port}', '--process', unique(), conf)
    command = (sys.executable, '-c', program, 'watch', *sidecar.QUICK, *args)
    with subprocess.Popen(
        (*command, '--interval', '100ms'), env=environment(measured=False),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as child:
        try:
            assert child.stderr is not None
            while child.stderr.readline() != b'stands\n':
                pass
            at_first = status(port, HEALTHZ)
            age = scrape(port).value('look_age_seconds')
            until(lambda: status(port, HEALTHZ) == 503, 'it is found')
            late = ask(port, HEALTHZ).body
            got = scrape(port)
            ready = status(port, READYZ)
        finally:
            child.kill()

    # Scraped after the probe, so at the time of the probe it was less.
    assert at_first == 200 or age > got.value('look_age_limit_seconds')
    assert re.fullmatch(r'e2e\S+: last poll \d+\.\d s ago\n', late)
    assert got.value('look_age_seconds') > got.value('look_age_limit_seconds') == 1
    assert ready == 200


def test_a_probe_that_comes_with_a_long_interval_finds_it_alive(
        conf: str, port: int,
) -> None:
    """Polls that are an hour apart are no reason to be ended."""
    with listening(port, '--process', unique(), conf) as it:
        it.until('baseline')
        age = scrape(port).value('look_age_seconds')
        until(
            lambda: scrape(port).value('look_age_seconds') > age + 0.3, 'it is later',
        )
        assert status(port, HEALTHZ) == 200
