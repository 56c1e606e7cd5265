"""Children that end, are ended, and are reaped."""
from __future__ import annotations

import os
import select
import signal

import pytest

from pollreload.system import children
from pollreload.system import command as command_of
from tests.support.commands import beside, run_command, wait


def test_status_of_a_command() -> None:
    """The exit status, or the signal as a negative number."""
    assert run_command('true') == 0
    assert run_command('sh', '-c', 'exit 3') == 3
    assert run_command('sh', '-c', 'kill -9 $$') == -9


def test_no_status_while_it_runs() -> None:
    """None, without waiting."""
    pid = command_of.spawn(['sleep', '1000'], {})
    running = children.poll_child(pid)
    children.end(pid)

    assert running is None


def test_status_of_one_that_others_reaped() -> None:
    """Lost is not success."""
    pid = command_of.spawn(['true'], {})
    os.waitpid(pid, 0)

    assert children.poll_child(pid) == 255


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
    assert (children.poll_child(pid), status) == (255, 255 if 'exit' in script else -9)


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
        alive = children.poll_child(pid)
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
        kept = children.poll_child(dead)
        children.reap(())  # no child at all
        dead = command_of.spawn(['true'], {})
        os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
        alive = command_of.spawn(['sleep', '1000'], {})
        children.reap({alive})
        lost, running = children.poll_child(dead), children.poll_child(alive)
        children.end(alive)
        return [kept, lost, running]

    assert beside(reap) == [0, 255, None]
