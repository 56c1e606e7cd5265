"""The edges as a step gets them: eyes, hands, targets and what is said about them."""
from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pollreload import (
    change,
    children,
    contents,
    ledger,
    memory,
    pidfile,
    procfs,
    wiring,
)
from pollreload.change import Sight, Snapshot
from pollreload.errors import LedgerError, LedgerKept
from pollreload.process import Choice, Masks, Process
from pollreload.settings import Settings
from pollreload.state import State
from tests import targets
from tests.sidecar import unique, write


def failing(error: int) -> Callable[..., NoReturn]:
    """Return a function that the kernel refuses."""
    def call(*_: object, **__: object) -> NoReturn:
        raise OSError(error, os.strerror(error))
    return call


def beside(function: Callable[[], Any]) -> Any:
    """Return the value of a function from a child, of whom a target is no child."""
    pid, fd = children.fork(function)
    ended(pid)
    assert children.ended(pid) == 0
    return children.value(fd)


def chosen(settings: Settings) -> tuple[tuple[int, ...], str, str]:
    """Return the pids of the targets, the reason and its words."""
    def choose() -> object:
        choice = wiring.targets(settings)
        return tuple(each.pid for each in choice.targets), choice.reason, choice.says

    got: tuple[tuple[int, ...], str, str] = beside(choose)
    return got


def ended(pid: int) -> None:
    """Wait until a child is dead, and leave it to be reaped."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


# Chance, and the name of the host


def test_jitter_is_in_0_to_1_and_differs() -> None:
    """Two sidecars that start together must not poll together."""
    got = {wiring.jitter() for _ in range(100)}

    assert len(got) > 90
    assert all(0.0 <= each < 1.0 for each in got)


def test_splay_is_fixed_for_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """In [0, splay), the same every time, spread over the hosts of a fleet."""
    real = os.uname()

    def share(name: str) -> float:
        named = os.uname_result((real[0], name, *real[2:]))
        monkeypatch.setattr(os, 'uname', lambda: named)
        return wiring.splayed(60.0)

    shares = [share(f'node-{number}') for number in range(100)]

    assert shares == [share(f'node-{number}') for number in range(100)]
    assert all(0.0 <= each < 60.0 for each in shares)
    assert min(shares) < 10
    assert max(shares) > 50
    assert wiring.splayed(0.0) == 0.0


def test_us_is_the_effective_uid() -> None:
    """What the kernel asks for when a signal is sent."""
    assert wiring.us() == f'uid {os.geteuid()}'


# What is said, and where


@pytest.mark.parametrize(('verbosity', 'said'), [
    (-1, ['held']), (0, ['baseline', 'held']), (1, ['polled', 'baseline', 'held']),
])
def test_verbosity_says_which_events_are_said(
        capfd: pytest.CaptureFixture[str], verbosity: int, said: list[str],
) -> None:
    """-q leaves out what is calm, -v adds the polls."""
    say = wiring.logger(Settings(verbosity=verbosity, log_format='json'))
    for event in ('polled', 'baseline', 'held'):
        say(event, 'a message', extra=1)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    assert [line['event'] for line in lines] == said
    assert all((line['message'], line['extra']) == ('a message', 1) for line in lines)


def test_line_that_cannot_be_written_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: there is no one left to tell, and no reason to stop."""
    monkeypatch.setattr(os, 'write', failing(errno.ENOSPC))

    wiring.put(b'line', patient=True)
    wiring.put(b'line', patient=False)


# Eyes


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file system is one that can hang."""
    monkeypatch.setattr(contents, 'can_hang', lambda paths: True)


def test_look_where_nothing_can_hang_is_made_at_once(tmp_path: Path) -> None:
    """No child is needed for it."""
    write(tmp_path / 'a', 'x')
    eyes = wiring.Eyes(Settings((str(tmp_path / 'a'), '/nowhere')))
    got = eyes.look(True)

    assert got is not None
    assert [sight.kind for sight in got.sights] == ['file', '']
    assert got.newest > 0.0
    assert eyes.pid == 0


@pytest.mark.usefixtures('far')
def test_look_where_it_can_hang_is_made_by_a_child(tmp_path: Path) -> None:
    """It is asked for until it has ended, and is the same as one made at once."""
    for name in ('a', 'b'):
        write(tmp_path / name, 'x')
    paths = (str(tmp_path), '/nowhere')
    eyes = wiring.Eyes(Settings(paths))
    first = eyes.look(True)
    ended(eyes.pid)
    got = eyes.look(True)

    assert first is None
    assert got == contents.look(paths, (), True)
    assert eyes.pid == 0


@pytest.mark.usefixtures('far')
def test_look_that_goes_on_is_none_and_can_be_ended(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The child is killed, and nothing of it is left."""
    monkeypatch.setattr(contents, 'look', lambda *_: signal.pause())
    eyes = wiring.Eyes(Settings(('/a',)))
    looks = [eyes.look(False), eyes.look(False)]
    pid = eyes.pid
    eyes.close()
    eyes.close()

    assert looks == [None, None]
    assert eyes.pid == 0
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    assert procfs.started(pid) is None


@pytest.mark.usefixtures('far')
def test_child_that_dies_is_a_path_that_cannot_be_read(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing from the world stops the loop: the next poll has another child."""
    monkeypatch.setattr(
        contents, 'look', lambda *_: os.kill(os.getpid(), signal.SIGKILL),
    )
    eyes = wiring.Eyes(Settings(('/a', '/b')))
    eyes.look(False)
    ended(eyes.pid)
    got = eyes.look(False)

    assert got == Snapshot(
        (Sight('', {}, {'': 'the look ended with status -9'}),) * 2,
    )
    assert eyes.pid == 0


@pytest.mark.usefixtures('far')
@pytest.mark.parametrize('error', [errno.EAGAIN, errno.ENOMEM])
def test_child_that_cannot_be_had_is_a_path_that_cannot_be_read(
        monkeypatch: pytest.MonkeyPatch, error: int,
) -> None:
    """No process or no memory to spare now."""
    monkeypatch.setattr(os, 'fork', failing(error))
    got = wiring.Eyes(Settings(('/a',))).look(False)

    assert got is not None
    assert got.sights[0].unreadable[''].startswith('no child to read it: ')


def test_path_for_which_there_is_no_memory_cannot_be_read(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A directory that has grown too large stops nobody."""
    def look(*_: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(contents, 'look', look)
    got = wiring.Eyes(Settings(('/a',))).look(False)

    assert got == Snapshot((Sight('', {}, {'': 'not enough memory to read it'}),))


def test_stop_ends_a_look(tmp_path: Path) -> None:
    """TERM, which is blocked while we work, is seen by the look all the same."""
    write(tmp_path / 'a', 'x' * (2 << 20))

    def look() -> object:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        os.kill(os.getpid(), signal.SIGTERM)
        return wiring.Eyes(Settings((str(tmp_path / 'a'),))).look(False) is None

    assert beside(look) is True


# What may hang besides a look


@pytest.mark.usefixtures('far')
def test_value_of_what_may_hang_comes_from_a_child() -> None:
    """Whatever it would do to us, it does to the child."""
    assert wiring.carefully('/a', os.getppid) == os.getpid()


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch, far: None) -> None:
    """What is read or written on a file system that can hang does hang."""
    monkeypatch.setattr(wiring, 'PATIENCE', 0.05)
    monkeypatch.setattr(wiring, 'reach', lambda path: signal.pause())
    monkeypatch.setattr(pidfile, 'read', lambda path: signal.pause())
    monkeypatch.setattr(ledger, 'read', lambda path: signal.pause())
    monkeypatch.setattr(ledger, 'save', lambda path, kept: signal.pause())


@pytest.mark.usefixtures('stuck')
def test_pidfile_that_cannot_be_reached_holds() -> None:
    """It is named, and the loop goes on."""
    got = wiring.targets(Settings(pidfile='/a'))

    assert (got.targets, got.reason) == ((), 'pidfile')
    assert got.says.startswith('/a ')


@pytest.mark.usefixtures('stuck')
def test_ledger_that_cannot_be_reached_is_an_error_that_names_it(
        tmp_path: Path,
) -> None:
    """Neither to begin with nor to write to is it waited for."""
    path = str(tmp_path / 'memory')
    with pytest.raises(LedgerError, match=path):
        wiring.claim(path)
    with pytest.raises(LedgerError, match=path):
        wiring.store(path, {})


@pytest.mark.usefixtures('stuck')
def test_program_that_cannot_be_reached_is_not_run() -> None:
    """To start it would be to wait for it."""
    hands = wiring.Hands()

    assert hands.run(('/bin/true',), {}).startswith('/bin/true: ')
    assert hands.pid == 0


@pytest.mark.usefixtures('far')
def test_ledger_and_program_that_can_be_reached_are_used(tmp_path: Path) -> None:
    """By way of a child, and with the same result."""
    path = str(tmp_path / 'memory')
    os.close(wiring.claim(path))
    wiring.store(path, {'key': 'x'})
    hands = wiring.Hands()
    trouble = hands.run(('/bin/true',), {})
    ended(hands.pid)

    assert ledger.load(path) == {'key': 'x'}
    assert (trouble, hands.ran()) == ('', 0)


def test_ledger_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    """As the ledger itself says it."""
    with pytest.raises(LedgerError, match='no such file or directory'):
        wiring.store(str(tmp_path / 'none' / 'memory'), {})


# Hands


def test_command_runs_with_additions_and_its_output_is_kept(tmp_path: Path) -> None:
    """The end of what it printed, of each command anew."""
    hands = wiring.Hands()
    nothing = hands.said()
    assert hands.run(('sh', '-c', 'echo first; echo $EXTRA >&2; exit 3'),
                     {'EXTRA': 'more'}) == ''
    ended(hands.pid)
    status, said = hands.ran(), hands.said()
    hands.run(('sh', '-c', 'seq 1 9999; echo end'), {})
    ended(hands.pid)
    hands.ran()

    assert nothing == ''
    assert (status, said) == (3, 'first\nmore')
    assert hands.said().endswith('9999\nend')
    assert len(hands.said()) <= wiring.SAID


def test_command_that_runs_has_no_status_yet_and_can_be_cancelled() -> None:
    """With all of its group; to cancel nothing is nothing."""
    hands = wiring.Hands()
    hands.run(('sleep', '600'), {})
    running = hands.ran()
    hands.cancel()
    hands.cancel()

    assert running is None
    assert hands.pid == 0


def test_command_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    """Named, and in words."""
    hands = wiring.Hands()
    directory = str(tmp_path)

    assert hands.run(('/nowhere',), {}) == '/nowhere: no such file or directory'
    assert hands.run((directory,), {}) == f'{directory}: permission denied'
    assert hands.pid == 0


# Targets


def test_proc_that_is_not_ours_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 9: what another namespace's /proc says is about other processes."""
    monkeypatch.setattr(procfs, 'trouble', lambda: 'it is not ours')

    assert wiring.targets(Settings(process='x')) == Choice((), 'proc', 'it is not ours')


def test_missing_pidfile_is_a_missing_target(tmp_path: Path) -> None:
    """The program has not started yet."""
    path = str(tmp_path / 'none')
    got = wiring.targets(Settings(pidfile=path))

    assert (got.targets, got.reason) == ((), 'no target')
    assert path in got.says


def test_pidfile_with_rubbish_holds(tmp_path: Path) -> None:
    """It is named, with what is wrong with it."""
    path = tmp_path / 'app.pid'
    path.write_text('rubbish')
    got = wiring.targets(Settings(pidfile=str(path)))

    assert got == Choice((), 'pidfile', f'{path} does not hold a pid')


def test_pidfile_of_a_stranger_holds(tmp_path: Path) -> None:
    """It must belong to root, to us or to the target's uid."""
    path = tmp_path / 'app.pid'
    settings = Settings(pidfile=str(path))
    with targets.start('handler', name=unique()) as target:
        path.write_text(f'{target.pid}\n')
        ours = chosen(settings)
        os.chown(path, 4321, -1)
        pids, reason, says = chosen(settings)

    assert ours == ((target.pid,), '', '')
    assert (pids, reason) == ((), 'pidfile')
    assert 'belongs to uid 4321' in says


def test_pidfile_of_the_targets_user_is_believed(tmp_path: Path) -> None:
    """A program that drops its privileges writes it as itself."""
    path = tmp_path / 'app.pid'
    with targets.start('handler', name=unique(), uid=65534) as target:
        path.write_text(f'{target.pid}\n')
        os.chown(path, 65534, -1)
        got = chosen(Settings(pidfile=str(path)))

    assert got == ((target.pid,), '', '')


def test_pidfile_may_be_a_second_older_than_its_process() -> None:
    """Coarse time stamps, and start times that are cut to clock ticks."""
    process = Process(1, 0, 500 * procfs.ticks(), 'x', uid=0)
    born = wiring.born(process)

    assert wiring.doubted(0, born - 0.9, [process]) == ''
    assert 'is older than x (pid 1)' in wiring.doubted(0, born - 1.1, [process])


@pytest.mark.parametrize(('settings', 'says'), [
    (Settings(pidfile='/a'), 'no process meets --pidfile /a'),
    (Settings(cmdline='^x', uid=7), 'no process meets --cmdline ^x --uid 7'),
    (Settings(process='no-such', uid=7), "no process is called 'no-such'"),
])
def test_absent_target_is_described_by_its_conditions(
        settings: Settings, says: str,
) -> None:
    """So that the user sees which of them fails."""
    assert wiring.absent(settings).startswith(says)


def test_absent_target_whose_name_is_there() -> None:
    """The name is right, and another condition is not met."""
    name = unique()
    with targets.start('handler', name=name):
        got = beside(lambda: wiring.absent(Settings(process=name, uid=4321)))

    assert got == f"no process called '{name}' meets --uid 4321"


# A target after the signal


def test_health_of_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone, pending, or alive; a pid whose start time differs is another's."""
    with targets.start('blocked-unread', name=unique()) as target:
        started = procfs.started(target.pid)
        assert started is not None
        process = Process(target.pid, 0, started, 'x')
        alive = wiring.health(process, signal.SIGHUP)
        other = wiring.health(process._replace(started=started - 1), signal.SIGHUP)
        target.signal(signal.SIGHUP)
        pending = wiring.health(process, signal.SIGHUP)
        monkeypatch.setattr(procfs, 'masks', lambda pid: None)
        unknown = wiring.health(process, signal.SIGHUP)
        target.zombie()
        gone = wiring.health(process, signal.SIGHUP)

    assert (alive, other, pending, gone) == ('alive', 'gone', 'pending', 'gone')
    assert unknown == 'alive'


def test_init_of_a_namespace_ignores_what_it_has_no_handler_for(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what ends nobody by default is ignored as well."""
    monkeypatch.setattr(procfs, 'masks', lambda pid: Masks(0, 0, 0, 0))
    settings = Settings()

    assert wiring.disposed(settings, Process(1, 0, 0, 'x', init=True)) == 'ignored'
    assert wiring.disposed(settings, Process(2, 0, 0, 'x')) == 'default'


# The ledger


def recalled(path: Path, paths: tuple[str, ...] = ('/a',), **rest: Any) -> State:
    """Return what a run recalls from a ledger."""
    settings = Settings(paths, 'x', state_file=str(path), **rest)
    return wiring.recall(settings, str(path), wiring.whereabouts(settings))


def test_state_is_recalled_as_it_was_kept(tmp_path: Path) -> None:
    """Blank where there is no ledger; that of another watch is left alone."""
    path = tmp_path / 'memory'
    none = recalled(path)
    here = wiring.whereabouts(Settings(('/a',), 'x'))
    content = change.Memory(
        'done', (change.Known('file', {'': b'x' * 16}),), 'print', 'seen', 1.0, 'done',
    )
    ledger.save(str(path), memory.dump(State(content=content), here))

    assert none == State()
    assert recalled(path).content.done == 'done'
    with pytest.raises(LedgerError, match='is of another watch'):
        recalled(path, ('/another',))
    assert path.exists()


@pytest.mark.parametrize('dry_run', [False, True])
def test_ledger_of_an_odd_shape_is_kept_aside(tmp_path: Path, dry_run: bool) -> None:
    """Unless nothing may be written: then it is only reported."""
    path = tmp_path / 'memory'
    here = wiring.whereabouts(Settings(('/a',), 'x'))
    ledger.save(str(path), {'key': here.key, 'known': 7})
    text = path.read_bytes()
    with pytest.raises(LedgerKept, match='corrupt'):
        recalled(path, dry_run=dry_run)

    assert [each.read_bytes() for each in tmp_path.iterdir()] == [text]
    assert path.exists() == dry_run


def test_whereabouts_without_a_working_directory(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was removed: an absolute path has the same key as ever."""
    settings = Settings(('/a',), 'x')
    before = wiring.whereabouts(settings)
    monkeypatch.setattr(os, 'getcwd', failing(errno.ENOENT))

    assert wiring.whereabouts(settings) == before
    assert before.boot == procfs.boot()


def test_ledger_that_speaks_of_the_future_is_kept_aside(tmp_path: Path) -> None:
    """Its times are of another clock, and would never come."""
    path = str(tmp_path / 'memory')
    here = memory.Here('key', procfs.boot(), procfs.pid_namespace())
    known = change.Known('file', {'': b'0' * 16})
    state = State(content=change.Memory(
        state='done', known=(known,), seen='a', done='a', seen_at=procfs.now() + 60.0,
    ))
    ledger.save(path, memory.dump(state, here))

    with pytest.raises(LedgerKept, match='kept as'):
        wiring.recall(Settings(), path, here)
    assert not os.path.exists(path)
