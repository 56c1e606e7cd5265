from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pollreload.system import procfs, signals
from tests.support import seccomp, targets
from tests.support.proc_tree import beside

HUP, USR1 = signal.SIGHUP, signal.SIGUSR1


def as_nobody(function: Callable[[], Any]) -> Any:
    """Call a function as another user, and be root again."""
    os.setresuid(65534, 65534, 0)
    value = function()
    os.setresuid(0, 0, 0)
    return value


def born(target: targets.Target) -> int:
    """Return the start time of a target that is alive."""
    started = procfs.started(target.pid)
    assert started is not None
    return started


def tell(target: targets.Target, number: int = HUP) -> str:
    """Send a signal to a target as it is now."""
    return signals.send(target.pid, born(target), number, procfs.started)


def without_pidfd(patch: pytest.MonkeyPatch) -> None:
    """Be a Python that was built with headers older than pidfd_open."""
    patch.delattr(os, 'pidfd_open')


@pytest.fixture(params=['pidfd', 'kill'])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to send, in turn."""
    if request.param == 'kill':
        without_pidfd(monkeypatch)
    return str(request.param)


def test_signal_arrives_once(way: str) -> None:
    """A HUP that was sent is the next that the target sees, and then no other."""
    with targets.start('handler') as target:
        sent = tell(target)
        assert target.read() == 'HUP'
        assert tell(target, USR1) == way
        said = target.read()

    assert sent == way
    assert said == 'USR1'


@pytest.mark.parametrize('kind', ['blocked', 'sigwait', 'leaderless', 'forking'])
def test_signal_arrives_without_a_plain_handler(way: str, kind: str) -> None:
    """signalfd, sigwait, and a process whose first thread has exited."""
    with targets.start(kind) as target:
        sent = tell(target)
        said = target.read()

    assert sent == way
    assert said == 'HUP'


def test_real_time_signal(way: str) -> None:
    """Signals outside the standard ones are sent like any other."""
    number = signal.SIGRTMIN + 3
    with targets.start('default') as target:
        sent = tell(target, number)
        status = target.wait()

    assert sent == way
    assert status == -number


def test_reused_pid_gets_nothing(way: str) -> None:
    """Rule 9: another start time is another process, which gets no signal.

    USR1, which is sent after that, is read first.
    """
    with targets.start('handler') as target:
        sent = signals.send(target.pid, born(target) - 1, HUP, procfs.started)
        tell(target, USR1)
        said = target.read()

    assert sent == 'gone'
    assert said == 'USR1'


def test_zombie_is_gone(way: str) -> None:
    """kill(2) and pidfd_send_signal(2) to a zombie succeed; we must not say so."""
    with targets.start('handler') as target:
        started = born(target)
        target.zombie()
        sent = signals.send(target.pid, started, HUP, procfs.started)

    assert sent == 'gone'


def test_reaped_is_gone(way: str) -> None:
    """ESRCH is an answer."""
    with targets.start('handler') as target:
        started = born(target)

    assert signals.send(target.pid, started, HUP, procfs.started) == 'gone'


def test_exit_after_the_check_is_gone(way: str) -> None:
    """Between the check and the signal there is no one to be hit instead."""
    with targets.start('handler') as target:
        started = born(target)

        def look(pid: int) -> int:
            target.end()
            return started

        sent = signals.send(target.pid, started, HUP, look)

    assert sent == 'gone'


@pytest.mark.parametrize('pid', [0, -1, -(2 ** 31)])
def test_groups_are_never_signalled(pid: int) -> None:
    """0 and less would be whole groups to kill(2); not even a check is made."""
    def look(pid: int) -> NoReturn:
        raise AssertionError(pid)

    assert signals.send(pid, 1, 0, look) == 'gone'


def test_look_comes_after_the_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 9: first the pidfd, then the check; the other order leaves a gap."""
    order = []
    pidfd_open = os.pidfd_open

    def opened(pid: int) -> int:
        order.append('pidfd')
        return pidfd_open(pid)

    def look(pid: int) -> int | None:
        order.append('look')
        return procfs.started(pid)

    monkeypatch.setattr(os, 'pidfd_open', opened)
    with targets.start('handler') as target:
        signals.send(target.pid, born(target), HUP, look)

    assert order == ['pidfd', 'look']


def test_refused_to_another_user(way: str) -> None:
    """EPERM of the kernel is distinguished from a pidfd that seccomp refuses."""
    with targets.start('handler') as target:
        started = born(target)

        sent = beside(lambda: as_nobody(lambda: signals.send(
            target.pid, started, HUP, procfs.started,
        )))
        tell(target, USR1)
        said = target.read()

    assert sent == 'refused'
    assert said == 'USR1'


@pytest.mark.parametrize('error', [errno.ENOSYS, errno.EPERM])
@pytest.mark.parametrize('call', ['pidfd_open', 'pidfd_send_signal'])
def test_seccomp_may_refuse_pidfd(call: str, error: int) -> None:
    """Old kernels say ENOSYS, old profiles EPERM, to one call or to both."""
    with targets.start('handler') as target:
        started = born(target)

        def send() -> tuple[str, bool]:
            seccomp.refuse([call], error)
            sent = signals.send(target.pid, started, HUP, procfs.started)
            return sent, signals.has_pidfd()

        answer = beside(send)
        said = target.read()

    assert answer == ('kill', False)
    assert said == 'HUP'


def test_look_again_before_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the pidfd cannot send, the check before it is too old for kill(2)."""
    monkeypatch.delattr(signal, 'pidfd_send_signal')
    with targets.start('handler') as target:
        looks = iter([7, 8])
        sent = signals.send(target.pid, 7, HUP, lambda pid: next(looks))
        tell(target, USR1)
        said = target.read()

    assert sent == 'gone'
    assert said == 'USR1'
    assert not signals.has_pidfd()


def test_full_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """EAGAIN: what the queue has no room for was not sent."""
    def kill(pid: int, number: int) -> NoReturn:
        raise BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable')

    without_pidfd(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(os, 'kill', kill)
        sent = signals.send(os.getpid(), 7, HUP, lambda pid: 7)

    assert sent == 'full'


def test_proc_of_another_namespace_is_foreign() -> None:
    """What such a /proc says about a pid is about somebody else."""
    code = (
        'import os; from pollreload.system import signals as delivery\n'
        'pid = os.fork() or os.read(0, 1) and os._exit(0)\n'
        'print(delivery.send(pid, 7, 9, lambda pid: 7), flush=True)\n'
        'print(os.waitpid(pid, os.WNOHANG))\n'
    )
    with subprocess.Popen(
        ['unshare', '--pid', '--fork', sys.executable, '-c', code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[3],
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(2)]
        child.communicate('x')

    assert said == ['foreign\n', '(0, 0)\n']


def test_pidfd_names_its_pid() -> None:
    """fdinfo says the pid, -1 once it was reaped, and nothing of other files."""
    with targets.start('handler') as target:
        fd = os.pidfd_open(target.pid)
        alive = signals.pidfd_pid(fd)
    reaped = signals.pidfd_pid(fd)
    os.close(fd)
    closed = signals.pidfd_pid(fd)

    assert (alive, reaped, closed) == (target.pid, -1, None)
    assert signals.pidfd_pid(0) is None


def test_no_evidence_in_fdinfo_is_no_reason_not_to_send(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not every kernel prints the line."""
    monkeypatch.setattr(signals, 'pidfd_pid', lambda fd: None)
    with targets.start('handler') as target:
        sent = tell(target)

    assert sent == 'pidfd'


def test_no_descriptor_is_left_open() -> None:
    """Whatever the answer, the pidfd is closed."""
    with targets.start('handler') as target:
        pid, started = target.pid, born(target)
        before = os.dup(0)
        os.close(before)
        signals.send(pid, started, USR1, procfs.started)
        signals.send(pid, started + 1, USR1, procfs.started)
        signals.has_pidfd()
        after = os.dup(0)
        os.close(after)

    assert after == before


def test_permitted() -> None:
    """A process of another user is not ours to signal, one that is gone is no one's."""
    with targets.start('handler') as target:
        allowed = signals.permitted(target.pid)
        refused = beside(lambda: as_nobody(lambda: (
            signals.permitted(os.getpid()), signals.permitted(target.pid),
        )))

    assert allowed == ''
    assert refused == ('', 'refused')
    assert signals.permitted(target.pid) == ''


def test_security_module_is_distinguished_from_a_uid(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AppArmor and SELinux answer EACCES, the kernel itself EPERM."""
    def deny(*_: object) -> NoReturn:
        raise PermissionError(errno.EACCES, 'denied')

    monkeypatch.setattr(os, 'kill', deny)

    assert signals.permitted(1) == 'denied'
    assert signals.kill(1, 7, signal.SIGHUP, lambda pid: 7) == 'denied'


@pytest.mark.parametrize('line', ['Pid:\t\n', 'Pid:\tmany\n', ''])
def test_descriptor_whose_pid_cannot_be_parsed_is_unknown(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str,
) -> None:
    """An odd kernel is an observation, never a fault."""
    (tmp_path / 'info').write_text(line)
    real = open
    monkeypatch.setattr(
        'builtins.open', lambda path, *rest: real(tmp_path / 'info', *rest),
    )

    assert signals.pidfd_pid(5) is None


def test_has_pidfd() -> None:
    """Tried on ourselves, with the signal 0 that does nothing."""
    assert signals.has_pidfd() == (sys.platform == 'linux')
