"""Rule 12: a ledger that cannot be used."""
from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pollreload.commands import check as command
from pollreload.errors import LedgerError
from pollreload.settings import Plan, Settings
from pollreload.system import children, ledger_file
from tests.support import sidecar, targets
from tests.support.checked import Watched
from tests.support.sidecar import check, write
from tests.support.targets import unsignalled

NEWER = '{"version": 2, "key": "x"}'


@pytest.mark.parametrize(
    'text', ['', '{', '[]', '{}', NEWER, '{"version": 1}'],
    ids=['empty', 'cut', 'list', 'blank', 'newer', 'bare'],
)
def test_ledger_that_is_no_ledger_is_kept_and_no_process_is_notified(
        watched: Watched, text: str,
) -> None:
    """Rule 12: a damaged ledger is set aside, and no process is notified blindly.

    A baseline is taken whatever --on-start says; 4, and then all goes on.
    """
    write(watched.ledger, text)
    with watched.handler() as target:
        first = watched.check('--on-start', 'always')
        alone = unsignalled(target)
        write(watched.conf, 'second')
        then = watched.check()
        told = target.read()
    kept = [path.read_text() for path in watched.directory.glob('memory.kept-*')]

    assert (first.status, kept) == (4, [text])
    assert alone
    assert then.status == 0
    assert told == 'HUP'


def test_truncated_ledger_is_kept_and_no_process_is_notified(watched: Watched) -> None:
    """At whatever byte it was cut."""
    watched.check()
    text = Path(watched.ledger).read_text()
    write(watched.conf, 'second')
    with watched.handler() as target:
        for cut in (1, len(text) // 2, len(text) - 2):
            write(watched.ledger, text[:cut])
            assert watched.check('--on-start', 'always').status == 4
        alone = unsignalled(target)

    assert alone
    assert len(list(watched.directory.glob('memory.kept-*'))) == 3


@pytest.mark.parametrize('key', ['known', 'attempt', 'done', 'doubts', 'seen_at'])
def test_ledger_whose_parts_are_odd_is_kept_and_no_process_is_notified(
        watched: Watched, key: str,
) -> None:
    """JSON of the right version with a part that no run wrote is corrupt too."""
    watched.check()
    memory = json.loads(Path(watched.ledger).read_text())
    write(watched.conf, 'second')
    with watched.handler() as target:
        odds: tuple[object, ...] = (None, [7], 'odd', {})
        for odd in odds:
            write(watched.ledger, json.dumps({**memory, key: odd}))
            if (key, odd) in (('done', 'odd'), ('doubts', {})):
                continue
            run = watched.check('--on-start', 'always')
            assert (odd, run.status) == (odd, 4)
        alone = unsignalled(target)

    assert alone


@pytest.mark.parametrize('key', ['troubles', 'doubts', 'known'])
def test_ledger_with_a_path_too_many_is_kept(watched: Watched, key: str) -> None:
    """None of its entries may be about a path that the watch does not have."""
    watched.check()
    memory = json.loads(Path(watched.ledger).read_text())
    more = {
        'troubles': [1, 'no such file', 1.0, True], 'doubts': [1, '', 1.0, ''],
        'known': None,
    }[key]
    write(watched.ledger, json.dumps({**memory, key: [*memory[key], more]}))
    write(watched.conf, 'second')
    with watched.handler() as target:
        first = watched.check('--on-start', 'always')
        alone = unsignalled(target)
        write(watched.conf, 'third')
        then = watched.check()
        told = target.read()

    assert (first.status, then.status, alone, told) == (4, 0, True, 'HUP')


def test_ledger_behind_a_link_is_left_alone(watched: Watched, tmp_path: Path) -> None:
    """Rule 12: a ledger is never written through a link.

    The status is 4, no process is notified, and the file behind it is untouched.
    """
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.write_text('precious', encoding='ascii')
    os.symlink(elsewhere, watched.ledger)
    with watched.handler() as target:
        run = watched.check('--on-start', 'always')
        alone = unsignalled(target)

    assert run.status == 4
    assert 'is a symbolic link' in run.events[-1]['message']
    assert elsewhere.read_text(encoding='ascii') == 'precious'
    assert os.path.islink(watched.ledger)
    assert alone


def check_on_tmpfs(
        script: str, watched: Watched, *more: str,
) -> subprocess.CompletedProcess[str]:
    """Run a shell script where $M is a small file system that no one else sees.

    `check` is a check whose ledger is there;
    more: options of it.
    """
    mount = watched.directory / 'mount'
    mount.mkdir()
    args = ' '.join((
        *sidecar.POLLRELOAD, 'check', *sidecar.quick(
            *more, '--process', watched.name, '--state-file', f'{mount}/memory',
            watched.conf,
        ),
    ))
    return subprocess.run(
        ['unshare', '--mount', 'sh', '-euc',
         f'M={mount} F={watched.conf}; check() {{ {args} "$@"; }}\n'
         'mount -t tmpfs -o size=16k,mode=755 none "$M"\n' + script],
        env=sidecar.environment(), stdin=subprocess.DEVNULL, capture_output=True,
        timeout=targets.DEADLINE, check=False, text=True,
    )


def test_ledger_on_a_read_only_file_system_is_4(watched: Watched) -> None:
    """No process is notified if that could not be remembered."""
    with watched.handler() as target:
        done = check_on_tmpfs(
            'mount -o remount,ro "$M"; check', watched, '--on-start', 'always',
        )
        alone = unsignalled(target)

    assert done.returncode == 4
    assert 'read-only file system' in done.stderr
    assert alone


def test_ledger_on_a_full_file_system_is_4(watched: Watched) -> None:
    """The memory that was there stays whole, and no process is notified till there is
    room.
    """
    with watched.handler() as target:
        done = check_on_tmpfs(
            'check; echo second >"$F"\n'
            'cat /dev/zero >"$M/filler" || :\n'
            'status=0; check || status=$?\n'
            'echo "full: $status"; rm "$M/filler"; check; ls -A "$M"', watched,
        )
        told = target.read()
        alone = unsignalled(target)

    assert done.returncode == 0, done.stderr
    assert 'full: 4' in done.stdout
    assert 'no space left on device' in done.stderr
    assert done.stdout.endswith('memory\nmemory.lock\n')
    assert told == 'HUP'
    assert alone


def test_ledger_that_fails_after_the_signal_is_4(
        watched: Watched, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
) -> None:
    """The target was notified; that it is not remembered is reported, once."""
    watched.check()
    write(watched.conf, 'second')
    marks: list[object] = []

    def save(path: str, memory: dict[str, Any]) -> None:
        if marks:
            raise LedgerError(os.strerror(errno.ENOSPC))
        marks.extend(memory['attempt']['targets'])

    monkeypatch.setattr(ledger_file, 'save', save)
    settings = Settings(
        (watched.conf,), watched.name, state_file=watched.ledger, settle=0.0,
        survive=0.0, min_uptime=0.0, on_start='never',
    )
    with watched.handler() as target:
        pid, fd = children.fork(lambda: command.run(Plan((settings,))), deaf=True)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        told = target.read()

    assert children.poll_child(pid) == 0
    assert children.read_value(fd) == 4
    assert told == 'HUP'
    assert capfd.readouterr().err.count('No space left on device') == 1


def test_no_place_for_the_memory_is_4(watched: Watched) -> None:
    """Without a home the user is informed to name a file."""
    run = check('--process', watched.name, watched.conf,
                '--state-file', '/proc/nowhere/memory')

    assert run.status == 4
    assert '--state-file' in run.events[-1]['message']
