from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pollreload import children
from tests import seccomp

BLOCKED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD,
)


def wait(pid: int) -> int | None:
    """Wait until a child is dead, and return what ended() says."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return children.ended(pid)


def beside(function: Callable[[], Any]) -> Any:
    """Return the value of a function from a child of ours."""
    pid, fd = children.fork(function)
    assert wait(pid) == 0
    return children.value(fd)


def run(*command: str, **environment: str) -> int | None:
    """Run a command to its end and return its status."""
    return wait(children.spawn(command, environment))


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


def test_command_gets_its_environment_and_arguments(
        capfd: pytest.CaptureFixture[str],
) -> None:
    """Both, and nothing else; its stdout is our stderr."""
    status = run('sh', '-c', 'echo "$1|$POLLRELOAD_PID"; env', 'sh', 'a b',
                 POLLRELOAD_PID='41')

    said = capfd.readouterr()
    assert status == 0
    assert said.out == ''
    assert said.err.startswith('a b|41\n')
    assert 'HOME=' not in said.err


def test_command_reads_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """stdin is /dev/null: a command that asks gets an end, not our input."""
    def with_input() -> int | None:
        reader, _ = os.pipe()
        os.dup2(reader, 0)
        return run('readlink', '/proc/self/fd/0')

    assert beside(with_input) == 0
    assert capfd.readouterr().err == '/dev/null\n'


@pytest.mark.usefixtures('blocked')
def test_command_has_clean_signals(capfd: pytest.CaptureFixture[str]) -> None:
    """What we block or ignore (Python: PIPE, XFSZ) is neither in the command."""
    status = run('grep', '-E', 'Sig(Blk|Ign)', '/proc/self/status')

    said = capfd.readouterr().err.split()
    cleared = sum(1 << (number - 1) for number in children.CLEARED)
    assert status == 0
    assert said[:2] == ['SigBlk:', '0' * 16]
    assert int(said[3], 16) & cleared == 0
    assert cleared & 1 << (signal.SIGXFSZ - 1)


def test_command_leads_its_own_group() -> None:
    """Its group is its pid, and not ours."""
    pid = children.spawn(['sleep', '1000'], {})
    group = os.getpgid(pid)
    children.end(pid)

    assert group == pid


@pytest.mark.parametrize(
    ('command', 'error'),
    [
        ([], errno.ENOENT),
        ([''], errno.ENOENT),
        (['no-such-program'], errno.ENOENT),
        (['./no-such-program'], errno.ENOENT),
        (['./directory'], errno.EACCES),
        (['./not-executable'], errno.EACCES),
        (['./no-interpreter'], errno.ENOENT),
        (['./no-shebang'], errno.ENOEXEC),
        (['./not-executable/x'], errno.ENOTDIR),
    ],
)
def test_command_that_cannot_be_started(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        command: list[str], error: int,
) -> None:
    """It is an OSError here, not a status of a child; and no shell is tried."""
    (tmp_path / 'directory').mkdir()
    (tmp_path / 'not-executable').write_text('#!/bin/sh\n')
    for name, text in (('no-interpreter', '#!/no/such\n'), ('no-shebang', 'exit 0\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(OSError) as caught:
        children.spawn(command, {})

    assert caught.value.errno == error


# ended, end, reap


def test_status_of_a_command() -> None:
    """The exit status, or the signal as a negative number."""
    assert run('true') == 0
    assert run('sh', '-c', 'exit 3') == 3
    assert run('sh', '-c', 'kill -9 $$') == -9


def test_no_status_while_it_runs() -> None:
    """None, and nobody waits."""
    pid = children.spawn(['sleep', '1000'], {})
    running = children.ended(pid)
    children.end(pid)

    assert running is None


def test_status_of_one_that_others_reaped() -> None:
    """Lost is not success."""
    pid = children.spawn(['true'], {})
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
    pid = children.spawn(['sh', '-c', script], {'PATH': os.environ['PATH']})
    os.close(writer)
    if 'exit' in script:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    children.end(pid)

    assert closed(reader)
    os.close(reader)
    # Reaped at once where it was dead; else that is for the next look.
    status = 255 if 'exit' in script else wait(pid)
    assert (children.ended(pid), status) == (255, 255 if 'exit' in script else -9)


def test_end_of_what_is_gone() -> None:
    """ESRCH is fine: it was to end."""
    pid = children.spawn(['true'], {})
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
    """What end() left and orphans are reaped; who is kept still has a status."""
    def reap() -> list[int | None]:
        dead = children.spawn(['true'], {})
        os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
        children.reap({dead})
        kept = children.ended(dead)
        children.reap(())  # no child at all
        dead = children.spawn(['true'], {})
        os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
        alive = children.spawn(['sleep', '1000'], {})
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


def test_look_that_raises_says_so_in_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    """70 and one line, and what follows in the parent is not run twice."""
    def look() -> object:
        raise OSError(errno.EIO, 'I/O error', '/x')

    pid, fd = children.fork(look)
    os.close(fd)

    assert wait(pid) == 70
    assert capfd.readouterr().err == "pollreload: OSError: [Errno 5] I/O error: '/x'\n"


def test_value_that_cannot_be_written_is_a_fault(
        capfd: pytest.CaptureFixture[str],
) -> None:
    """marshal takes plain types only."""
    pid, fd = children.fork(object)
    os.close(fd)

    assert wait(pid) == 70
    assert capfd.readouterr().err == 'pollreload: ValueError: unmarshallable object\n'


@pytest.mark.usefixtures('blocked')
def test_forked_child_can_be_ended() -> None:
    """It neither blocks nor ignores nor handles what its parent does."""
    def look() -> tuple[int, list[bool]]:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return len(mask), [
            signal.getsignal(number) is signal.SIG_DFL for number in children.CLEARED
        ]

    assert beside(look) == (0, [True] * len(children.CLEARED))

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
    """Where there can be no child, nothing is left open."""
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


@pytest.mark.parametrize(
    ('command', 'says'),
    [
        (['good', '-t'], ''),
        (['{}/b/good'], ''),
        (['both'], ''),
        (['sub/good'], 'no such program: sub/good'),
        (['none'], 'no such program: none'),
        (['plain'], 'not executable: {}/a/plain'),
        (['directory'], 'not executable: {}/a/directory'),
        ([''], 'no command'),
        ([], 'no command'),
    ],
)
def test_missing(tmp_path: Path, command: Sequence[str], says: str) -> None:
    """Looked for as exec would, along the PATH; a reason for each that fails."""
    for directory in ('a/directory', 'b'):
        (tmp_path / directory).mkdir(parents=True)
    for name, mode in (
            ('b/good', 0o755), ('a/plain', 0o644), ('a/both', 0o644), ('b/both', 0o755),
    ):
        (tmp_path / name).touch(mode)
    path = f'{tmp_path}/a:{tmp_path}/b'

    said = children.missing([word.format(tmp_path) for word in command], path)

    assert said == says.format(tmp_path)


def test_missing_in_the_working_directory(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An empty entry of PATH is the working directory, environ(7)."""
    (tmp_path / 'good').touch(0o755)
    monkeypatch.chdir(tmp_path)

    assert children.missing(['good'], '/nowhere:') == ''
    assert children.missing(['./good'], '/nowhere') == ''
    assert children.missing(['good'], '/nowhere') != ''


def test_work_that_fails_in_a_child_is_an_error():
    """Whatever the child said of it, its status is named."""
    with pytest.raises(OSError, match='status 70'):
        children.within(lambda: 1 // 0, 20.0, lambda: False)


def test_work_in_a_child_is_given_up_when_a_stop_is_asked_for():
    """TERM is answered also while a disk does not answer."""
    with pytest.raises(TimeoutError, match='does not answer'):
        children.within(signal.pause, 20.0, lambda: True)


def test_work_in_a_child_hands_its_value_back():
    """As if it had been done here."""
    assert children.within(os.getppid, 20.0, lambda: False) == os.getpid()
