"""Delivery by what the target would do with the signal."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pollreload.core.attempt import READ_IT
from tests.support import targets
from tests.support.delivering import watching
from tests.support.sidecar import write
from tests.support.targets import unsignalled


def test_target_without_handler_is_held_and_lives(name: str, conf: str) -> None:
    """Under enforce no process is killed; the line says how to override that."""
    with targets.start('default', name=name) as target, watching(name, conf) as it:
        write(conf, 'second')
        it.poll()
        held = it.until('held')
        status = it.status()
        alive = unsignalled(target)

    assert alive
    assert held['reason'] == 'no handler'
    assert f'{name} (pid {target.pid}) would die of SIGHUP' in held['message']
    assert '--handler-check off' in held['message']
    assert 'version due' in status
    assert it.count('signalled') == 0


def test_restart_by_hand_of_a_target_without_handler_is_enough(
        name: str, conf: str,
) -> None:
    """Edit, restart: it has read the version, and there is nothing left to hold."""
    with watching(name, conf) as it:
        with targets.start('default', name=name) as target:
            it.poll()
            write(conf, 'second')
            os.kill(target.pid, signal.SIGKILL)
        time.sleep(0.1)  # start times and dates are cut to a clock tick
        with targets.start('default', name=name) as target:
            it.poll()
            held = it.until('held', reason='no handler')
            time.sleep(READ_IT)
            it.poll()
            done = it.until('baseline', reason='needless')
            status = it.status()
            alive = unsignalled(target)

    assert f'{name} (pid {target.pid}) would die of SIGHUP' in held['message']
    assert 'or is restarted' in held['message']
    assert done['target_pid'] == target.pid
    assert 'version current' in status
    assert alive


def test_target_whose_handler_comes_late_is_notified_then(name: str, conf: str) -> None:
    """What is held for want of a handler is delivered once there is one."""
    with (
        targets.start('late', name=name) as target,
        watching(name, conf, '--interval', '20ms') as it,
    ):
        write(conf, 'second')
        it.until('held', reason='no handler')
        assert unsignalled(target)
        target.tell('handle')
        assert target.read() == 'handling'
        it.until('delivered', target_pid=target.pid)
        told = target.read()
        it.poll()
        alone = unsignalled(target)

    assert told == 'HUP'
    assert alone
    assert it.count('signalled') == 1


def test_target_that_ignores_the_signal_is_held(name: str, conf: str) -> None:
    """A signal that is ignored would be no reload, so it is not sent."""
    with targets.start('ignored', name=name) as target, watching(name, conf) as it:
        write(conf, 'second')
        it.poll()
        held = it.until('held', reason='no handler')
        alone = unsignalled(target)

    assert alone
    assert 'ignores SIGHUP' in held['message']
    assert it.count('signalled') == 0


@pytest.mark.parametrize('mode', ['warn', 'off'])
def test_ignored_signal_is_sent_if_the_user_says_so(
        name: str, conf: str, mode: str,
) -> None:
    """warn sends and says what is odd about it, off just sends."""
    with (
        targets.start('ignored', name=name),
        watching(name, conf, '--handler-check', mode) as it,
    ):
        write(conf, 'second')
        it.poll()
        sent = it.until('signalled')
        it.until('delivered')

    assert ('which has no handler for it' in sent['message']) == (mode == 'warn')


def test_signalfd_is_a_handler(name: str, conf: str) -> None:
    """A blocked signal that is read from a signalfd is delivered."""
    with targets.start('blocked', name=name) as target, watching(name, conf) as it:
        write(conf, 'second')
        it.poll()
        it.until('delivered', target_pid=target.pid)
        told = target.read()
        alone = unsignalled(target)

    assert told == 'HUP'
    assert alone
    assert it.count('signalled', disposition='blocked') == 1


def test_signal_that_stays_pending_fails_and_is_not_sent_again(
        name: str, conf: str,
) -> None:
    """Pending is not delivered; a second signal would merge with the first."""
    with (
        targets.start('blocked-unread', name=name) as target,
        watching(name, conf) as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('failed', reason='pending', target_pid=target.pid)
        it.poll()
        it.until('held', reason='pending')
        it.poll()
        status = it.status()

    assert 'version due' in status
    assert it.count('signalled') == 1
    assert it.count('delivered') == 0


@pytest.mark.parametrize('kind', ['sigwait', 'sigwait-thread'])
def test_process_in_sigwait_is_signalled(name: str, conf: str, kind: str) -> None:
    """Its masks are those of a process that would die, and it is not held."""
    with targets.start(kind, name=name) as target, watching(name, conf) as it:
        write(conf, 'second')
        it.poll()
        signalled = it.until('signalled')
        it.until('delivered', target_pid=target.pid)
        told = target.read()

    assert signalled['disposition'] == 'unknown'
    assert told == 'HUP'


def test_stopped_target_gets_one_signal(name: str, conf: str) -> None:
    """Delivered once it goes on, without a second signal."""
    with targets.start('handler', name=name) as target, watching(name, conf) as it:
        target.stop()
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='pending')
        it.poll()
        it.until('held', reason='pending')
        target.signal(signal.SIGCONT)
        told = target.read()
        it.poll()
        it.until('delivered', target_pid=target.pid)
        status = it.status()
        alone = unsignalled(target)

    assert 'stopped' in failed['message']
    assert told == 'HUP'
    assert alone
    assert 'version current' in status
    assert it.count('signalled') == 1


@pytest.mark.parametrize('kind', ['sigwait-other', 'sigwait-other-thread'])
def test_process_that_awaits_another_signal_lives(
        name: str, conf: str, kind: str,
) -> None:
    """It would die of this one."""
    with targets.start(kind, name=name) as target, watching(
            name, conf, '--min-uptime', '0',
    ) as it:
        write(conf, 'second')
        it.poll()
        it.until('held', reason='no handler')
        it.poll()
        alone = unsignalled(target)

    assert alone
    assert it.count('signalled') == 0


def test_target_that_dies_of_the_signal_is_a_failure(name: str, conf: str) -> None:
    """Alive after --survive is what makes a delivery."""
    with (
        targets.start('default', name=name) as target,
        watching(name, conf, '--handler-check', 'off') as it,
    ):
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', target_pid=target.pid)
        it.until('held', reason='no target')
        status = target.wait()

    assert failed['reason'] == 'died'
    assert status == -signal.SIGHUP
    assert it.count('delivered') == 0


def test_signal_that_ends_is_a_success_if_it_was_meant_to(
        name: str, conf: str,
) -> None:
    """TERM is not checked for a handler, and the end is the success."""
    with (
        targets.start('default', name=name) as target,
        watching(name, conf, '--signal', 'term') as it,
    ):
        write(conf, 'second')
        it.poll()
        delivered = it.until('delivered', target_pid=target.pid)
        status = it.status()
        ended = target.wait()

    assert 'which ended' in delivered['message']
    assert 'version current' in status
    assert ended == -signal.SIGTERM


SPAWNER = '''
import ctypes, os, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
print('ready', flush=True)
while True:
    os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)
'''


HELD_IN_VFORK = '''
import ctypes, os, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
print('ready', flush=True)
opens = (os.POSIX_SPAWN_OPEN, 0, sys.argv[2], os.O_RDONLY, 0)
os.posix_spawn('/bin/true', ['true'], {}, file_actions=[opens])
print('released', flush=True)
sys.stdin.read()
'''


@contextlib.contextmanager
def running(program: str, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end, once it has said that it is ready."""
    with subprocess.Popen(
            (sys.executable, '-c', program, *args),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            yield child
        finally:
            child.kill()


def test_program_that_is_long_in_vfork_lives(
        name: str, conf: str, tmp_path: Path,
) -> None:
    """Its child opens a FIFO before it calls execve(2), and the parent waits for it."""
    fifo = str(tmp_path / 'fifo')
    os.mkfifo(fifo)
    with running(HELD_IN_VFORK, name, fifo) as child:
        try:
            with watching(name, conf, '--interval', '20ms') as it:
                write(conf, 'second')
                it.until('held', reason='no handler')
                time.sleep(5.0)
                with open(fifo, 'w'):
                    assert child.stdout is not None
                    released = child.stdout.readline()
                it.poll()
                it.poll()
                count = it.count('signalled')
                ended = child.poll()
        finally:
            os.close(os.open(fifo, os.O_RDWR))  # its child goes on, too

    assert released == b'released\n'
    assert ended is None
    assert count == 0


def test_program_that_starts_others_all_the_time_lives(name: str, conf: str) -> None:
    """posix_spawn(3) blocks every signal for a moment, which is no handler."""
    with (
            running(SPAWNER, name) as child,
            watching(name, conf, '--interval', '20ms') as it,
    ):
        write(conf, 'second')
        it.until('held', reason='no handler')
        time.sleep(5.0)
        ended = child.poll()
        count = it.count('signalled')

    assert ended is None
    assert count == 0
