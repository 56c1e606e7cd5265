from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pollreload.system import children
from pollreload.system import command as command_of
from tests.support import seccomp

BLOCKED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD,
)


def wait(pid: int) -> int | None:
    """Wait until a child is dead, and return what ended() says."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return children.ended(pid)


def beside(function: Callable[[], Any]) -> Any:
    """Return the value of a function from a child that has our files."""
    pid, fd = children.fork(function, deaf=True)
    assert wait(pid) == 0
    return children.value(fd)


def run(*command: str, **environment: str) -> int | None:
    """Run a command to its end and return its status."""
    return wait(command_of.spawn(command, environment))


@pytest.fixture
def blocked() -> Iterator[None]:
    """Have signals blocked and ignored, as the loop has, and then as before."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    before = {number: signal.getsignal(number) for number in BLOCKED[:-1]}
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# spawn


# ended, end, reap


def test_status_of_a_command() -> None:
    """The exit status, or the signal as a negative number."""
    assert run('true') == 0
    assert run('sh', '-c', 'exit 3') == 3
    assert run('sh', '-c', 'kill -9 $$') == -9


def test_no_status_while_it_runs() -> None:
    """None, without waiting."""
    pid = command_of.spawn(['sleep', '1000'], {})
    running = children.ended(pid)
    children.end(pid)

    assert running is None


def test_status_of_one_that_others_reaped() -> None:
    """Lost is not success."""
    pid = command_of.spawn(['true'], {})
    os.waitpid(pid, 0)

    assert children.ended(pid) == 255


def closed(reader: int) -> bool:
    """Return whether, within some time, no process holds the other end any more."""
    readable, _, _ = select.select([reader], [], [], 20)
    return bool(readable) and os.read(reader, 1) == b''


def held() -> tuple[int, int]:
    """Return a pipe whose writing end all that we start will hold."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    return reader, writer


@pytest.mark.parametrize('script', ['sleep 1000 & wait', 'sleep 1000 & exit 0'])
def test_end_kills_the_whole_group(script: str) -> None:
    """What a command left behind ends too, also where its leader is dead already."""
    reader, writer = held()
    pid = command_of.spawn(['sh', '-c', script], {'PATH': os.environ['PATH']})
    os.close(writer)
    if 'exit' in script:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    children.end(pid)

    assert closed(reader)
    os.close(reader)
    # Reaped at once if it was dead; else by the next call.
    status = 255 if 'exit' in script else wait(pid)
    assert (children.ended(pid), status) == (255, 255 if 'exit' in script else -9)


def test_end_of_what_is_gone() -> None:
    """ESRCH is fine: it was to end."""
    pid = command_of.spawn(['true'], {})
    assert wait(pid) == 0

    children.end(pid)


def test_end_of_what_became_another_user() -> None:
    """EPERM is fine, and does not keep us from reaping the leader."""
    def end() -> int | None:
        pid = os.fork()
        if not pid:
            os.setpgid(0, 0)
            os.setuid(65533)
            os.kill(os.getpid(), signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)
        os.seteuid(65534)
        children.end(pid)
        alive = children.ended(pid)
        os.seteuid(0)
        children.end(pid)
        return alive

    assert beside(end) is None


def test_reap_buries_the_unwaited_for_alone() -> None:
    """What end() left and orphans are reaped; a child that is kept has a status."""
    def reap() -> list[int | None]:
        dead = command_of.spawn(['true'], {})
        os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
        children.reap({dead})
        kept = children.ended(dead)
        children.reap(())  # no child at all
        dead = command_of.spawn(['true'], {})
        os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
        alive = command_of.spawn(['sleep', '1000'], {})
        children.reap({alive})
        lost, running = children.ended(dead), children.ended(alive)
        children.end(alive)
        return [kept, lost, running]

    assert beside(reap) == [0, 255, None]


# fork, value


def test_value_of_any_size_comes_back() -> None:
    """More than a pipe would hold, of all plain types."""
    value = {'': b'x' * 1_000_000, 'b': (1, 2.5, None, True, 'x\udcff')}

    assert beside(lambda: value) == value


@pytest.mark.parametrize('deaf', [True, False])
def test_look_that_raises_says_so_in_a_line(
        capfd: pytest.CaptureFixture[str], deaf: bool,
) -> None:
    """70 and one line, and what follows in the parent is not run twice."""
    def look() -> object:
        raise OSError(errno.EIO, 'I/O error', '/x')

    pid, fd = children.fork(look, deaf)

    assert wait(pid) == 70
    said = "OSError: [Errno 5] I/O error: '/x'"
    assert children.fault(70, fd) == ('a child ended with status 70' if deaf else said)
    assert capfd.readouterr().err == (f'pollreload: {said}\n' if deaf else '')


def test_value_that_cannot_be_written_is_a_fault() -> None:
    """marshal takes plain types only."""
    pid, fd = children.fork(object)

    assert wait(pid) == 70
    assert children.fault(70, fd) == 'ValueError: unmarshallable object'


def test_child_keeps_none_of_our_files() -> None:
    """It may hang for ever: no one who waits for our end must wait for its."""
    ours, theirs = os.pipe()
    go, start = os.pipe()
    pid, fd = children.fork(lambda: sorted(os.listdir('/proc/self/fd')))
    os.close(theirs)
    # The end of it: no other process has it open.
    assert os.read(ours, 1) == b''
    for each in (ours, go, start):
        os.close(each)

    assert wait(pid) == 0
    # Its three, its value, and the one that lists.
    assert len(children.value(fd)) == 5  # type: ignore[arg-type]


@pytest.mark.usefixtures('blocked')
def test_forked_child_can_be_ended() -> None:
    """It neither blocks nor ignores nor handles what its parent does."""
    def look() -> tuple[int, list[bool]]:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return len(mask), [
            signal.getsignal(number) is signal.SIG_DFL for number in children.CLEARED
        ]

    pid, fd = children.fork(look)
    assert wait(pid) == 0
    assert children.value(fd) == (0, [True] * len(children.CLEARED))

    pid, fd = children.fork(signal.pause)
    os.close(fd)
    os.kill(pid, signal.SIGTERM)
    assert wait(pid) == -signal.SIGTERM


def test_forked_child_leads_its_own_group() -> None:
    """So that end() ends it, from the first moment."""
    pid, fd = children.fork(signal.pause)
    os.close(fd)
    group = os.getpgid(pid)
    children.end(pid)

    assert group == pid


def test_no_fork_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """If there can be no child, nothing is left open."""
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable')

    before = os.dup(0)
    os.close(before)
    with monkeypatch.context() as patch:
        patch.setattr(os, 'fork', fork)
        with pytest.raises(BlockingIOError):
            children.fork(int)
    after = os.dup(0)
    os.close(after)

    assert after == before


@pytest.mark.parametrize('error', [errno.ENOSYS, errno.EPERM])
def test_memfd_may_be_refused(error: int) -> None:
    """Then a file without a name in /tmp carries the value."""
    def look() -> tuple[object, str]:
        seccomp.refuse(['memfd_create'], error)
        fd = children.memory()
        place = os.readlink(f'/proc/self/fd/{fd}')
        os.close(fd)
        return beside(lambda: 41), place

    value, place = beside(look)

    assert value == 41
    assert place.startswith('/tmp/')
    assert place.endswith('(deleted)')


def test_value_is_not_inherited_by_commands() -> None:
    """The descriptor closes on exec, and value() closes it for us."""
    pid, fd = children.fork(int)
    assert not os.get_inheritable(fd)
    assert wait(pid) == 0

    assert children.value(fd) == 0
    with pytest.raises(OSError, match='Bad file descriptor'):
        os.fstat(fd)


# missing


def test_work_that_fails_in_a_child_is_an_error():
    """With what the child said of it."""
    with pytest.raises(OSError, match='ZeroDivisionError'):
        children.within(lambda: 1 // 0, 20.0, lambda: False)


def test_work_in_a_child_is_given_up_when_a_stop_is_asked_for():
    """TERM is answered also while a disk does not answer."""
    with pytest.raises(TimeoutError, match='does not answer'):
        children.within(signal.pause, 20.0, lambda: True)


@pytest.mark.parametrize('wait', [children.within, children.keep])
def test_a_stop_is_noticed_within_a_second(
        wait: Callable[..., object], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two questions of whether to stop the wait sleeps for less than that."""
    slept: list[float] = []
    monkeypatch.setattr(time, 'sleep', slept.append)
    answers = iter([False] * 4 + [True])

    with pytest.raises(TimeoutError):
        wait(signal.pause, 1e9, lambda: next(answers))

    assert len(slept) == 4
    assert all(0.0 < each < 1.0 for each in slept)


def test_work_in_a_child_hands_its_value_back():
    """As if it had been done here."""
    assert children.within(os.getppid, 20.0, lambda: False) == os.getpid()


# keep


def test_a_kept_child_keeps_what_it_has_opened(tmp_path: Path) -> None:
    """Until we end, however that is; its value comes at once."""
    lock = tmp_path / 'lock'
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        def locked() -> str:
            fcntl.flock(os.open(lock, os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
            return 'locked'
        os.write(tell, children.keep(locked, 20.0, lambda: False)[0].encode())
        signal.pause()
    said = os.read(told, 9)
    with open(lock, 'rb') as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        # This waits for as long as the child lives.
        fcntl.flock(file, fcntl.LOCK_EX)

    assert said == b'locked'


@pytest.mark.parametrize('stop', [True, False])
def test_a_child_that_hangs_is_not_kept(stop: bool) -> None:
    """It is killed when the time is over, or when we are to stop."""
    seconds = 20.0 if stop else 0.05
    with pytest.raises(TimeoutError):
        children.keep(signal.pause, seconds, lambda: stop)


def test_a_child_that_fails_is_not_kept(capfd: pytest.CaptureFixture[str]) -> None:
    """What it cannot answer is our error, and it is gone."""
    with pytest.raises(OSError, match='ended without an answer'):
        children.keep(lambda: 1 // 0, 20.0, lambda: False)


@pytest.mark.parametrize('function', [lambda: 'x', lambda: 1 // 0])
def test_a_kept_child_ends_by_kill(
        monkeypatch: pytest.MonkeyPatch, function: Callable[[], Any],
) -> None:
    """Nothing else breaks off a close that waits for a server."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, 'kill', lambda *args: sent.append(args))
    monkeypatch.setattr(children, 'forget', lambda *kept: None)
    life, alive = os.pipe()
    answer, answers = os.pipe()
    os.close(alive)
    with contextlib.suppress(ZeroDivisionError):
        children.hold(function, answers, life)
    for fd in (life, answer, answers):
        os.close(fd)

    assert sent == [(os.getpid(), signal.SIGKILL)]


def test_a_kept_child_does_not_keep_our_output() -> None:
    """Who reads it to its end must not wait for the child."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(theirs, 1)
        children.keep(lambda: 'x', 20.0, lambda: False)
        os.write(1, b'said')
        # Neither one is to end: only what they have open counts.
        os.close(theirs)
        os.close(1)
        signal.pause()
    os.close(theirs)
    said = os.read(ours, 9)
    end = os.read(ours, 9)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(ours)

    assert (said, end) == (b'said', b'')


def test_files_are_closed_without_a_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is not mounted, by their numbers."""
    def listdir(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, 'listdir', listdir)
    ours, theirs = os.pipe()
    pid, fd = children.fork(lambda: 'x')
    os.close(theirs)
    assert os.read(ours, 1) == b''
    os.close(ours)

    assert wait(pid) == 0
    assert children.value(fd) == 'x'


def test_group_is_killed_before_its_leader_is_reaped(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Afterwards the number of the group can be that of another one."""
    calls = []
    for name in ('killpg', 'waitpid'):
        real = getattr(os, name)

        def call(*given: int, name: str = name, real: Any = real) -> Any:
            calls.append(name)
            return real(*given)

        monkeypatch.setattr(os, name, call)
    pid = command_of.spawn(['sh', '-c', 'sleep 1000 & exit 3'], dict(os.environ))
    status = wait(pid)
    again = children.ended(pid)

    assert (status, again) == (3, children.LOST)
    assert calls == ['killpg', 'waitpid']


def test_child_that_hangs_is_known_until_it_is_reaped(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A later child may have its number, and is not waited for in its place."""
    monkeypatch.setattr(children, 'HANGING', set())
    monkeypatch.setattr(children, 'kill_group', lambda pid: None)
    pids = [command_of.spawn(['sleep', '1000'], dict(os.environ)) for _ in range(2)]
    for pid in pids:
        children.end(pid)
    hang = [children.hangs(pid) for pid in pids]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    asked = children.hangs(pids[0])
    children.reap(())

    assert hang == [True, True]
    assert not asked
    assert set() == children.HANGING
    assert [children.hangs(pid) for pid in pids] == [False, False]


def test_nowhere_is_a_file_without_a_dev_null(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare mount namespace has none: what is read is empty, and all is accepted."""
    monkeypatch.setattr(os, 'devnull', '/nowhere/null')
    fd = children.nowhere()
    try:
        assert os.read(fd, 10) == b''
        assert os.write(fd, b'x') == 1
    finally:
        os.close(fd)
