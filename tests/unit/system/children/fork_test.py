"""Functions that run in a child, and their values."""
from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable

import pytest

from pollreload.system import children
from tests.support import seccomp
from tests.support.commands import beside, wait


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
    assert len(children.read_value(fd)) == 5  # type: ignore[arg-type]


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
    assert children.read_value(fd) == (0, [True] * len(children.CLEARED))

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
        fd = children.anonymous_file()
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

    assert children.read_value(fd) == 0
    with pytest.raises(OSError, match='Bad file descriptor'):
        os.fstat(fd)


def test_work_that_fails_in_a_child_is_an_error():
    """With what the child said of it."""
    with pytest.raises(OSError, match='ZeroDivisionError'):
        children.within(lambda: 1 // 0, 20.0, lambda: False)


def test_work_in_a_child_is_given_up_when_a_stop_is_asked_for():
    """TERM is answered also while a disk does not answer."""
    with pytest.raises(TimeoutError, match='does not answer'):
        children.within(signal.pause, 20.0, lambda: True)


@pytest.mark.parametrize('wait', [children.within, children.call_in_child])
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
