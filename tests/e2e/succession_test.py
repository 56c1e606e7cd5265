"""Rule 13 and 14 by the command line, with real processes that are no fixed things."""
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
from tests.support.sidecar import Sidecar, unique, watch, write
from tests.support.targets import DEADLINE

# Each process prints 'PID started VERSION' or 'PID notified VERSION' on one pipe.
COMMON = '''
import ctypes, os, signal, sys, time
conf, name = sys.argv[1:3]
def call(me):
    ctypes.CDLL(None).prctl(15, me.encode(), 0, 0, 0)
def say(what):
    os.write(1, f'{os.getpid()} {what} {open(conf).read()}\\n'.encode())
def notified(*_):
    say('notified')
call(name)
'''
DETACHES = '''
def detach(*_):
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGHUP, notified)
signal.signal(signal.SIGUSR1, detach)
say('started')
'''
PROGRAMS = {
    # As php-fpm and unicorn: a successor starts, and the notified process exits.
    'hands over': '''
def hand_over(*_):
    say('notified')
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    time.sleep(0.1)
    os._exit(0)
signal.signal(signal.SIGHUP, hand_over)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
say('started')
''',
    # As an nginx upgrade: USR2 starts another generation, QUIT ends the old one.
    'upgrades': '''
def upgrade(*_):
    if os.fork() == 0:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        say('started')
signal.signal(signal.SIGHUP, notified)
signal.signal(signal.SIGUSR2, upgrade)
signal.signal(signal.SIGQUIT, lambda *_: os._exit(0))
say('started')
''',
    # As Celery: its comm is another one after the first reload.
    'is renamed': '''
def rename(*_):
    call('other')
    say('notified')
signal.signal(signal.SIGHUP, rename)
say('started')
''',
    # As many daemons: it goes to the background once it is warm, here after USR1.
    'goes to the background': DETACHES,
    'goes to the background with a handler': '''
signal.signal(signal.SIGHUP, notified)
''' + DETACHES,
    'dies': '''
signal.signal(signal.SIGHUP, lambda *_: os._exit(1))
say('started')
''',
    # As gunicorn with a bad file: it exits, and its worker would die of the signal.
    'leaves a worker': '''
def leave(*_):
    if os.fork():
        os._exit(1)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    say('orphaned')
signal.signal(signal.SIGHUP, leave)
say('started')
''',
    # As a server that serves its clients to their end: it exits long after TERM.
    'drains': '''
signal.signal(signal.SIGTERM, notified)
signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
say('started')
''',
    # As syslog-ng: a supervising parent of the same name ignores the signal.
    'is supervised': '''
if os.fork():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
else:
    signal.signal(signal.SIGHUP, notified)
    say('started')
''',
}
WAIT = '''
while True:
    time.sleep(3600)
'''


class Service:
    """The processes of one program, which write to one pipe."""

    def __init__(self, program: str, conf: str, name: str) -> None:
        self.name = name
        self.child = subprocess.Popen(
            (sys.executable, '-c', COMMON + PROGRAMS[program] + WAIT, conf, name),
            stdout=subprocess.PIPE, start_new_session=True,
        )
        self.pids = {self.child.pid}

    def read(self) -> tuple[int, str, str]:
        """Return the next line: a pid, what it did, and the version that it read."""
        assert self.child.stdout is not None
        pid, what, version = self.child.stdout.readline().split()
        self.pids.add(int(pid))
        return int(pid), what.decode(), version.decode()

    def end(self) -> None:
        """End every process of the service; they share a process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(DEADLINE)
        assert self.child.stdout is not None
        self.child.stdout.close()


@contextlib.contextmanager
def serving(
        program: str, tmp_path: Path, *args: str, survive: str = '300ms',
) -> Iterator[tuple[Service, Sidecar, str]]:
    """A program that has read version 1, and a watch that has its baseline."""
    conf, name = str(tmp_path / 'app.conf'), unique()
    write(conf, '1')
    service = Service(program, conf, name)
    try:
        assert service.read()[1:] == ('started', '1')
        with watch(
                '--process', name, '--interval', '100ms', '--survive', survive, *args,
                conf,
        ) as it:
            it.until('baseline')
            yield service, it, conf
    finally:
        service.end()


def test_a_successor_is_up_to_date_and_its_predecessor_did_not_die(
        tmp_path: Path,
) -> None:
    """Rule 13: each change is one hand-over, and no breaker opens."""
    with serving('hands over', tmp_path, survive='2s') as (service, it, conf):
        for version in '2', '3', '4':
            write(conf, version)
            old, *notified = service.read()
            new, *started = service.read()
            assert (notified, started) == (['notified', version], ['started', version])
            done = it.until('delivered', target_pid=old)
            assert done['successor'] == new
            assert f'was replaced by {done["comm"]} (pid {new})' in done['message']

    assert it.count('signalled') == 3
    assert [each for each in it.seen if each['event'] in ('failed', 'held')] == []


def test_the_older_generation_that_remains_is_notified(tmp_path: Path) -> None:
    """Rule 13: it was there before the version, and the notified one has exited."""
    with serving('upgrades', tmp_path) as (service, it, conf):
        os.kill(service.child.pid, signal.SIGUSR2)
        new, *_ = service.read()
        write(conf, '2')
        assert service.read() == (service.child.pid, 'notified', '2')
        it.until('delivered', target_pid=service.child.pid)
        os.kill(service.child.pid, signal.SIGQUIT)
        it.until('changed', target_pid=new, reason='took over')
        assert service.read() == (new, 'notified', '2')
        it.until('delivered', target_pid=new)

    assert it.count('signalled') == 2


def test_the_older_generation_that_goes_on_within_survive_is_notified(
        tmp_path: Path,
) -> None:
    """Rule 13: the signalled one exits at once, which is no death of the signal."""
    with serving('upgrades', tmp_path, survive='2s') as (service, it, conf):
        os.kill(service.child.pid, signal.SIGUSR2)
        new, *_ = service.read()
        write(conf, '2')
        assert service.read() == (service.child.pid, 'notified', '2')
        os.kill(service.child.pid, signal.SIGQUIT)
        it.until('changed', target_pid=new, reason='took over')
        assert service.read() == (new, 'notified', '2')
        it.until('delivered', target_pid=new)

    assert (it.count('signalled'), it.count('failed')) == (2, 0)


def test_a_generation_that_started_after_the_signal_is_not_notified(
        tmp_path: Path,
) -> None:
    """Rule 13: it has read the version itself."""
    with serving('upgrades', tmp_path) as (service, it, conf):
        write(conf, '2')
        assert service.read() == (service.child.pid, 'notified', '2')
        it.until('delivered', target_pid=service.child.pid)
        os.kill(service.child.pid, signal.SIGUSR2)
        new, *started = service.read()
        assert started == ['started', '2']
        os.kill(service.child.pid, signal.SIGQUIT)
        service.child.wait(DEADLINE)
        it.poll()
        it.poll()
        write(conf, '3')
        assert service.read() == (new, 'notified', '3')
        it.until('delivered', target_pid=new)

    assert it.count('signalled') == 2


def test_a_process_that_took_over_from_one_without_a_handler_is_notified(
        tmp_path: Path,
) -> None:
    """Rules 8 and 13: it is younger than the version, and has what its parent read."""
    with serving('goes to the background', tmp_path) as (service, it, conf):
        write(conf, '2')
        it.until('held', reason='no handler')
        time.sleep(READ_IT + 1.0)  # by its start time alone it has read the version
        os.kill(service.child.pid, signal.SIGUSR1)
        pid, *notified = service.read()
        assert pid != service.child.pid
        assert notified == ['notified', '2']
        it.until('delivered', target_pid=pid)

    assert it.count('signalled') == 1


def test_a_process_that_was_forked_while_a_version_was_held_is_notified(
        tmp_path: Path,
) -> None:
    """Rule 8: it is younger than the version, and was not started by execve(2)."""
    valid = tmp_path / 'valid'
    validate = '--validate', f'test -e {valid}'
    program = 'goes to the background with a handler'
    with serving(program, tmp_path, *validate) as (service, it, conf):
        write(conf, '2')
        it.until('held', reason='validation failed')
        time.sleep(READ_IT + 1.0)
        os.kill(service.child.pid, signal.SIGUSR1)
        service.child.wait(DEADLINE)
        valid.touch()
        it.poll()
        pid, *notified = service.read()
        assert pid != service.child.pid
        assert notified == ['notified', '2']
        it.until('delivered', target_pid=pid)

    assert it.count('signalled') == 1


def test_a_notified_process_stays_a_target_under_another_name(tmp_path: Path) -> None:
    """Rule 13: pid and start time make a process, and its comm does not."""
    with serving('is renamed', tmp_path) as (service, it, conf):
        for version in '2', '3', '4':
            write(conf, version)
            assert service.read() == (service.child.pid, 'notified', version)
            it.until('delivered', target_pid=service.child.pid)

    assert [each for each in it.seen if each['event'] == 'held'] == []


def test_a_renamed_process_stays_a_target_after_a_restart_with_the_ledger(
        tmp_path: Path,
) -> None:
    """Rule 13: the ledger keeps its pid and start time."""
    ledger = ('--state-file', str(tmp_path / 'ledger'))
    with serving('is renamed', tmp_path, *ledger) as (service, it, conf):
        write(conf, '2')
        assert service.read() == (service.child.pid, 'notified', '2')
        it.until('delivered')
        it.stop()
        args = it.child.args
        write(conf, '3')
        with Sidecar(subprocess.Popen(
            args, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, 'PYTHONPATH': os.getcwd()},
        ), False) as again:
            assert service.read() == (service.child.pid, 'notified', '3')
            again.until('delivered', target_pid=service.child.pid)


def test_a_successor_takes_over_from_one_instance(tmp_path: Path) -> None:
    """Rule 13: the other instance of the program died."""
    args = '--select', 'roots', '--min-uptime', '0'
    with serving('hands over', tmp_path, *args, survive='2s') as (service, it, conf):
        other = Service('dies', conf, service.name)
        try:
            other.read()
            write(conf, '2')
            done = it.until('delivered')
            failed = it.until('failed')
        finally:
            other.end()

    assert done['target_pid'] == service.child.pid
    assert (failed['target_pid'], failed['reason']) == (other.child.pid, 'died')


def test_a_worker_that_outlives_its_master_does_not_take_over(tmp_path: Path) -> None:
    """Rule 13: the master handled the signal, and the worker does not."""
    with serving('leaves a worker', tmp_path) as (service, it, conf):
        write(conf, '2')
        worker, *_ = service.read()
        failed = it.until('failed', reason='died')
        held = it.until('held', reason='no handler')

    assert failed['target_pid'] == service.child.pid
    assert f'(pid {worker})' in str(held['message'])
    assert it.count('delivered') == 0


def test_a_target_that_drains_is_asked_to_end_only_once(tmp_path: Path) -> None:
    """A second TERM would cut off its clients; its end is the delivery."""
    ends = '--signal', 'TERM', '--command-timeout', '100ms'
    with serving('drains', tmp_path, *ends) as (service, it, conf):
        pid = service.child.pid
        write(conf, '2')
        assert service.read() == (pid, 'notified', '2')
        it.until('held', reason='still running')
        it.poll()
        it.poll()
        os.kill(pid, signal.SIGUSR1)
        done = it.until('delivered', target_pid=pid)

    assert done['message'].endswith('which ended')
    assert it.count('signalled') == 1


def test_the_child_of_a_parent_that_ignores_the_signal_is_notified(
        tmp_path: Path,
) -> None:
    """Rule 14: the parent bears the same name, and supervises."""
    conf, name = str(tmp_path / 'app.conf'), unique()
    write(conf, '1')
    service = Service('is supervised', conf, name)
    try:
        child, *_ = service.read()
        assert child != service.child.pid
        with watch('--process', name, '--interval', '100ms', conf) as it:
            it.until('baseline')
            write(conf, '2')
            assert service.read() == (child, 'notified', '2')
            it.until('delivered', target_pid=child)
    finally:
        service.end()


@pytest.mark.parametrize(('ignores', 'fate'), [
    (True, 'ignores'), (False, 'has no handler and would die of'),
])
def test_a_parent_of_another_name_leads_to_the_child(
        tmp_path: Path, ignores: bool, fate: str,
) -> None:
    """Rule 14: the message names the child, and how to select it."""
    conf, name = str(tmp_path / 'app.conf'), unique()
    write(conf, '1')
    parent = tmp_path / 'entrypoint'
    parent.symlink_to('/bin/sh')
    command = [
        str(parent), '-c', ('trap "" HUP; ' if ignores else '') + '"$@"; exit', 'x',
        sys.executable, '-c', COMMON + '''
signal.signal(signal.SIGHUP, notified)
say('started')
''' + WAIT, conf, name,
    ]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    try:
        pid = int(child.stdout.readline().split()[0])
        with watch('--process', 'entrypoint', '--interval', '100ms', conf) as it:
            it.until('baseline')
            write(conf, '2')
            held = it.until('held', reason='no handler')
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(DEADLINE)
        child.stdout.close()

    assert held['message'] == (
        f'entrypoint (pid {child.pid}) {fate} SIGHUP; its child {name} (pid {pid}) '
        f'handles SIGHUP: --process {name}'
    )
