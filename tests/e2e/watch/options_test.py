"""The options of `watch`."""
from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support import targets
from tests.support.sidecar import Mark, unique, watch, write
from tests.support.targets import unsignalled
from tests.support.watching import comm, watching


def test_settle_waits_for_a_second_sight(conf: str, target: targets.Target) -> None:
    """What was seen once, or not long enough, is not delivered."""
    with watching(target, '--settle', '1h', conf) as it:
        write(conf, 'second')
        it.poll()
        it.poll()
        status = it.status()
        alone = unsignalled(target)

    assert 'version settling' in status
    assert alone
    assert it.count('changed') == 0


def test_settled_content_is_delivered_without_another_poll(
        conf: str, target: targets.Target,
) -> None:
    """After first sight the next poll comes after --settle, not after the interval."""
    with watching(target, '--settle', '30ms', conf) as it:
        write(conf, 'second')
        it.poll()
        it.until('delivered')

    assert target.read() == 'HUP'


def test_empty_file_is_distrusted(conf: str, target: targets.Target) -> None:
    """A file that became empty is held, and delivered once --empty-grace is over."""
    with watching(target, '--empty-grace', '200ms', conf) as it:
        write(conf, '')
        it.poll()
        held = it.until('held', reason='became empty')
        assert unsignalled(target)
        it.until('delivered')

    assert held['message'].startswith(f'{conf} became empty')
    assert target.read() == 'HUP'


def test_ignored_names_are_no_change(tmp_path: Path, target: targets.Target) -> None:
    """--ignore adds to the usual litter below a directory."""
    watched = tmp_path / 'conf.d'
    watched.mkdir()
    (watched / 'one.conf').write_text('first')
    with watching(target, '--ignore', '*.skip', str(watched)) as it:
        for litter in ('a.skip', 'a~', '.a.swp', '..a'):
            (watched / litter).write_text('x')
        it.poll()
        assert unsignalled(target)
        (watched / 'one.conf').unlink()
        (watched / 'two.conf').write_text('x')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')

    assert changed['files'] == [f'{watched}/one.conf', f'{watched}/two.conf']
    assert changed['count'] == 2
    assert it.count('changed') == 1


def test_empty_ignore_forgets_the_litter(
        tmp_path: Path, target: targets.Target,
) -> None:
    """--ignore '' is how to watch a file that counts as litter."""
    watched = tmp_path / 'conf.d'
    watched.mkdir()
    with watching(target, '--ignore', '', str(watched)) as it:
        (watched / 'a~').write_text('x')
        it.poll()
        changed = it.until('changed')

    assert changed['files'] == [f'{watched}/a~']


def test_many_changes_are_one_line(tmp_path: Path, target: targets.Target) -> None:
    """Five names and how many more; the target is notified once."""
    for number in range(9):
        (tmp_path / f'{number}').write_text('first')
    with watching(target, str(tmp_path)) as it:
        for number in range(9):
            (tmp_path / f'{number}').write_text('second')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')
        got = target.read()
        alone = unsignalled(target)

    assert changed['message'].endswith('/4 and 4 more')
    assert changed['count'] == 9
    assert (got, alone) == ('HUP', True)


def test_young_target_is_spared(conf: str, target: targets.Target) -> None:
    """--min-uptime: a target that still starts may not have its handler yet."""
    with watching(target, '--min-uptime', '1h', conf) as it:
        write(conf, 'second')
        it.poll()
        held = it.until('held')
        alone = unsignalled(target)

    assert held['reason'] == 'too young'
    assert 'younger than 3600 s (--min-uptime)' in held['message']
    assert alone


def test_survive_0_does_not_look(conf: str) -> None:
    """What was sent counts as delivered, also to a target that died of it."""
    with (
        targets.start('default', name=unique()) as target,
        watching(target, '--survive', '0', '--handler-check', 'off', conf) as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('delivered', target_pid=target.pid)
        target.wait()

    assert it.count('failed') == 0


def test_validation_holds_until_it_agrees(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """--validate is tried again, and the signal goes out once it agrees."""
    valid = tmp_path / 'valid'
    with watching(target, '--validate', f'test -e {valid}', conf) as it:
        write(conf, 'second')
        it.poll()
        held = it.until('held', reason='validation failed')
        assert unsignalled(target)
        valid.touch()
        it.poll()
        it.until('delivered')

    assert '--validate test refused the new version (exit status 1)' in held['message']
    assert target.read() == 'HUP'


def test_verification_knows_the_pid_and_is_repeated(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """--verify runs until it agrees, with POLLRELOAD_PID and no signal blocked."""
    script = tmp_path / 'verify'
    with (
        Mark(tmp_path / 'mark') as mark,
        watching(target, '--verify', str(script), conf) as it,
    ):
        script.write_text(
            f'#!/bin/sh\nexec >{mark.path}\necho $POLLRELOAD_PID\n'
            'grep SigBlk /proc/self/status\n'
            f'mkdir {tmp_path}/first 2>/dev/null && exit 1\nexit 0\n',
        )
        script.chmod(0o755)
        write(conf, 'second')
        it.poll()
        it.until('verified', target_pid=target.pid)
        lines = [mark.read() for _ in range(4)]

    assert lines == [str(target.pid), f'SigBlk:\t{0:016x}'] * 2
    assert target.read() == 'HUP'
    assert it.count('failed') == 0


def test_reload_that_is_not_verified_has_failed(
        conf: str, target: targets.Target,
) -> None:
    """--command-timeout ends the wait for --verify; the change stays due."""
    with watching(
            target, '--verify', 'false', '--command-timeout', '50ms', conf,
    ) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='not verified')
        status = it.status()

    assert '--verify false does not agree' in failed['message']
    assert 'version due' in status
    assert 'failed attempts: 1' in status


def test_target_without_a_new_worker_is_not_verified(
        conf: str, target: targets.Target,
) -> None:
    """--verify-workers: alive is not enough."""
    with watching(
            target, '--verify-workers', '--command-timeout', '50ms', conf,
    ) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='not verified')

    assert 'it has not replaced its workers' in failed['message']


def test_splay_waits_before_notifying(conf: str, target: targets.Target) -> None:
    """A fleet does not reload at once; an operator's HUP does not wait."""
    with watching(target, '--splay', '1h', '--interval', '20ms', '-v', conf) as it:
        write(conf, 'second')
        it.until('changed')
        it.until('polled')
        it.until('polled')
        assert unsignalled(target)
        it.poll()
        it.until('delivered')

    assert target.read() == 'HUP'


@pytest.mark.parametrize(('on_start', 'newer', 'got'), [
    ('never', True, 'USR1'), ('always', False, 'HUP'),
    ('auto', True, 'HUP'), ('auto', False, 'USR1'),
])
def test_on_start_says_what_is_done_without_a_memory(
        conf: str, target: targets.Target, on_start: str, newer: bool, got: str,
) -> None:
    """auto: delivered once if the version is newer than the running target."""
    if newer:
        write(conf, 'second')
    with watching(target, '--on-start', on_start, conf) as it:
        it.poll()
        if got == 'HUP':
            it.until('delivered')
        else:
            target.signal(signal.SIGUSR1)
        first = target.read()
        then = it.poll()
        alone = unsignalled(target)

    assert first == got
    assert then == []
    assert alone


@pytest.mark.parametrize('path', ['conf.d/a.conf', 'conf.d', '*/a.conf'])
def test_directory_above_that_was_renamed_into_place_is_newer(
        tmp_path: Path, path: str,
) -> None:
    """auto: the files are older than the target, and it read others by these names."""
    (tmp_path / 'new/conf.d').mkdir(parents=True)
    write(tmp_path / 'new/conf.d/a.conf', 'second')
    with targets.start('handler', name=unique()) as target:
        (tmp_path / 'new').rename(tmp_path / 'app')
        with watching(
                target, '--on-start', 'auto', f'{tmp_path}/app/{path}',
        ) as it:
            it.until('delivered')

        assert target.read() == 'HUP'


def test_quiet_leaves_out_what_is_calm(conf: str, target: targets.Target) -> None:
    """-q says only what is wrong."""
    with watch('-q', '--process', comm(target), '--on-start', 'always', conf) as it:
        got = target.read()
        os.unlink(conf)
        it.poll()
        it.until('unreadable')

    assert got == 'HUP'
    assert {each['event'] for each in it.seen} == {'status', 'unreadable'}
