"""What a terminal gets: verdicts in colour, a progress bar, and no other escape.

NO_COLOR: no-color.org.
"""
from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from pollreload.cli import main
from tests.support import sidecar, targets
from tests.support.targets import DEADLINE

PREFERENCES = {
    'nothing asked': {},
    'NO_COLOR': {'NO_COLOR': '1'},
    'FORCE_COLOR': {'FORCE_COLOR': '1', 'CLICOLOR_FORCE': '1', 'PY_COLORS': '1'},
}


def shown(env: dict[str, str], *args: str, end: bytes = b'') -> bytes:
    """Return all that a command writes to a terminal.

    end: interrupt it once it has written this.
    """
    terminal, theirs = pty.openpty()
    kept = {
        name: value for name, value in sidecar.environment().items()
        if 'COLOR' not in name
    }
    child = subprocess.Popen(
        (*sidecar.POLLRELOAD, *args), stdin=theirs, stdout=theirs, stderr=theirs,
        env={**kept, 'TERM': 'xterm-256color', 'COLORTERM': 'truecolor', **env},
    )
    os.close(theirs)
    seen, until = b'', time.monotonic() + DEADLINE
    try:
        # EIO: no one has the other side open any more (pty(7)).
        with contextlib.suppress(OSError):
            while True:
                left = max(0.0, until - time.monotonic())
                assert select.select([terminal], [], [], left)[0], seen
                read = os.read(terminal, 65536)
                seen += read
                if end and end in seen:
                    child.terminate()
                    end = b''
        child.wait(DEADLINE)
    finally:
        child.kill()
        child.wait(DEADLINE)
        os.close(terminal)
    assert seen
    return seen


@pytest.mark.parametrize('preference', PREFERENCES)
@pytest.mark.parametrize('args', [
    *((name, '--help') for name in main.pollreload.commands),
    ('--help',), ('--version',), (), ('nonsense',), ('watch',), ('check', '--uid'),
    ('digest', f'{sidecar.ROOT}/setup.cfg', '/nowhere'),
    ('doctor', '--process', 'nobody-here', '/nowhere'),
    ('check', '--dry-run', '--process', 'nobody-here', '--output', 'json', '/nowhere'),
])
def test_a_terminal_gets_no_escape(preference: str, args: tuple[str, ...]) -> None:
    """Help, answers, errors: not one ESC, whatever the environment asks for."""
    assert b'\x1b' not in shown(PREFERENCES[preference], *args)


@pytest.mark.parametrize(('env', 'colour'), [
    ({}, True), ({'NO_COLOR': '1'}, False), ({'NO_COLOR': ''}, True),
    ({'TERM': 'dumb'}, False),
])
def test_verdicts_of_smoke_are_coloured(env: dict[str, str], colour: bool) -> None:
    """Green for ok, on a terminal that can; never with NO_COLOR."""
    seen = shown(env, 'smoke')

    assert (b'\x1b[32mok  \x1b[0m  ' in seen) is colour
    assert (b'\x1b' in seen) is colour


def test_digest_shows_a_bar_and_the_cursor_comes_back(tmp_path: Path) -> None:
    """Also if a signal ends it in the middle of a file that takes long to read."""
    path = tmp_path / 'sparse'
    path.touch()
    os.truncate(path, 1 << 40)

    seen = shown({}, 'digest', str(path), end=b'%')

    assert b'sparse  [-----' in seen
    assert seen.endswith(b'\x1b[?25h\r\n')


@pytest.mark.parametrize('preference', PREFERENCES)
@pytest.mark.parametrize('form', ['text', 'json', 'logfmt'])
def test_a_log_on_a_terminal_gets_no_escape(
        preference: str, form: str, tmp_path: Path,
) -> None:
    """Nor does one of a file whose name holds some."""
    conf, name = tmp_path / '\x1b[31mred', sidecar.unique()
    conf.write_text('x')
    with targets.start('handler', name=name):
        seen = shown(
            PREFERENCES[preference], 'watch', '-v', '--on-start', 'always', '--settle',
            '0', '--min-uptime', '0', '--survive', '0', '--log-format', form,
            '--process', name, str(conf), end=b'not verified',
        )

    assert b'\x1b' not in seen
    assert b'signalled' in seen
    assert b'stopped' in seen
