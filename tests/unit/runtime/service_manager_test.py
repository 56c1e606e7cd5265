"""What the service manager is sent, and when."""
from __future__ import annotations

import os
import re
import socket
from typing import NamedTuple

import pytest

from pollreload.core.change import Memory
from pollreload.core.reading import Trouble
from pollreload.core.state import State
from pollreload.errors import UsageError
from pollreload.runtime import service_manager
from pollreload.runtime.service_manager import ServiceManager
from pollreload.settings import Settings
from pollreload.system.notify_socket import NotifySocket


class Watched(NamedTuple):
    """A watch, as far as the service manager is concerned."""

    state: State = State()
    asked: Settings = Settings()


def polled(at: float, state: str = 'current', name: str = '') -> Watched:
    """Return a watch whose last poll took a second and ended at some time."""
    memory = Memory(state=state, read_at=at - 1.0, ended_at=at)
    return Watched(State(memory), Settings(name=name))


def manager(watchdog: bool = False) -> tuple[ServiceManager, list[tuple[str, ...]]]:
    """Return a manager at 5 s of CLOCK_MONOTONIC, and all that it is sent."""
    sent: list[tuple[str, ...]] = []
    made = ServiceManager(
        lambda *assignments: sent.append(assignments), watchdog, lambda: 5_000_000_999,
    )
    return made, sent


def test_ready_follows_the_baseline_of_every_watch():
    """Once, however often it is asked; a new watch of the config file is no news."""
    it, sent = manager()

    it.update([polled(1.0, name='a'), polled(1.0, 'blank', 'b')])
    it.update([polled(2.0, name='a'), polled(2.0, name='b')])
    it.update([polled(3.0, name='a'), polled(3.0, 'blank', 'b')])

    assert [each for each in sent if 'READY=1' in each] == [
        ('STATUS=a: up to date; b: up to date', 'READY=1'),
    ]


def test_status_is_sent_when_it_changes():
    """Not at each poll: `systemctl status` shows the last one."""
    it, sent = manager()
    it.update([polled(1.0)])

    it.update([polled(2.0)])
    it.update([polled(3.0, 'settling')])

    assert sent[1:] == [('STATUS=settling',)]


@pytest.mark.parametrize(('state', 'text'), [
    (State(), 'waiting for the first version'),
    (State(Memory(state='due')), 'due'),
    (State(Memory(state='due'), hold='no target'), 'due, held: no target'),
    (State(Memory(state='due'), hold='a\nREADY=1'), r'due, held: a\nREADY=1'),
    (State(Memory(state='current', troubles={0: Trouble('missing', 1.0)})),
     'up to date, unreadable paths: 1'),
    (State(Memory(state='current'), stalled=1.0), 'up to date, a poll does not end'),
])
def test_status_is_one_line(state, text):
    """A name with a newline could add an assignment of its own."""
    it, sent = manager()

    it.update([Watched(state, Settings(name='web'))])

    assert sent[0][0] == f'STATUS=web: {text}'


def test_config_file_is_mentioned_if_it_is_refused():
    """Its own watch has no name, and how the file is read is an internal matter."""
    it, sent = manager()
    due = Watched(State(Memory(state='due')))
    held = Watched(State(Memory(state='due'), hold='--exec c failed'))

    it.update([polled(1.0, name='web'), due])
    it.update([polled(1.0, name='web'), held])

    assert [each[0] for each in sent] == [
        'STATUS=web: up to date',
        'STATUS=the config file is refused; web: up to date',
    ]


@pytest.mark.parametrize('count', [1, 200])
def test_status_fits_into_a_datagram(count):
    """systemd ignores one of more than 4096 bytes, and READY=1 in it."""
    it, sent = manager()
    hold = 'é' * (3000 if count == 1 else 5)

    it.update([
        Watched(
            State(Memory(state='due'), hold=hold),
            Settings(name=f'w{number}' if count > 1 else ''),
        ) for number in range(count)
    ])

    status, ready = sent[0]
    assert ready == 'READY=1'
    assert len(status.encode()) < 1200
    assert ('... (200 in all)' in status) is (count == 200)


def test_watchdog_is_fed_by_a_completed_poll_of_every_watch():
    """A watch whose read hangs is not covered by the others."""
    it, sent = manager(watchdog=True)

    it.update([polled(1.0), polled(1.0)])
    it.update([polled(2.0), polled(1.0)])
    it.update([polled(2.0), polled(2.0)])

    assert [('WATCHDOG=1' in each) for each in sent] == [True, True]


def test_watchdog_is_not_fed_unless_asked():
    """Without WatchdogSec a poll sends nothing at all."""
    it, sent = manager()
    it.update([polled(1.0)])

    it.update([polled(2.0)])

    assert len(sent) == 1


def test_reload_lasts_until_the_polls_that_it_asked_for():
    """A poll that began before SIGHUP does not end it."""
    it, sent = manager()
    it.update([polled(10.0)])

    it.reload(20.0)
    it.update([polled(20.5)])
    it.update([polled(21.0)])
    it.update([polled(22.0)])

    assert sent[1:] == [('RELOADING=1', 'MONOTONIC_USEC=5000000'), ('READY=1',)]


def test_reload_before_ready_is_part_of_the_start():
    """The manager still waits for the first READY=1."""
    it, sent = manager()
    it.update([polled(1.0, 'blank')])

    it.reload(20.0)

    assert len(sent) == 1


def test_stop_is_announced():
    """Before it ends."""
    it, sent = manager()

    it.stop()

    assert sent == [('STOPPING=1',)]


@pytest.mark.parametrize(('variables', 'seconds'), [
    ({}, 0.0), ({'WATCHDOG_USEC': '30000000'}, 30.0), ({'WATCHDOG_USEC': 'x'}, 0.0),
    ({'WATCHDOG_USEC': '1', 'WATCHDOG_PID': '1'}, 0.0),
    ({'WATCHDOG_USEC': '2000000', 'WATCHDOG_PID': str(os.getpid())}, 2.0),
])
def test_watchdog_is_that_of_this_process(variables, seconds):
    """WATCHDOG_PID names another process if a wrapper started pollreload."""
    assert service_manager.watchdog_of(variables) == seconds


def test_watchdog_shorter_than_two_polls_is_refused(tmp_path):
    """It would end pollreload again and again."""
    variables = {'NOTIFY_SOCKET': f'{tmp_path}/s', 'WATCHDOG_USEC': '9000000'}

    with pytest.raises(UsageError, match=re.escape(
            'waits 9 s (WatchdogSec), which is less than two polls (--interval 5s)',
    )):
        service_manager.connect_manager(variables, [Settings(), Settings(interval=1.0)])

    assert service_manager.connect_manager(
        variables, [Settings(interval=4.5)],
    ).watchdog


@pytest.mark.parametrize('abstract', [False, True])
def test_socket_is_a_path_or_abstract(abstract, tmp_path):
    """'@' stands for the 0 byte that an abstract name begins with."""
    name = f'@pollreload-{os.getpid()}' if abstract else f'{tmp_path}/socket'
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(name.replace('@', '\0'))
        server.settimeout(20.0)

        NotifySocket(name).send('READY=1', 'STATUS=é')

        assert server.recv(100).decode() == 'READY=1\nSTATUS=é'


@pytest.mark.parametrize('name', ['vsock:2:1', '/nowhere/socket', '@' + 'a' * 200, '@'])
def test_socket_that_takes_nothing_is_no_error(name):
    """Of another kind, gone, or a name that is too long."""
    NotifySocket(name).send('READY=1')
