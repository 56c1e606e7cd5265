"""The target that a pidfile names."""
from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pollreload.core.process import Choice, Process
from pollreload.runtime import guard, pidfile_target, targets
from pollreload.settings import Settings
from pollreload.system import mounts, pidfile, process_table, procfs, visibility
from pollreload.system.wall_clock import CLOCK
from tests.support import targets as processes
from tests.support.proc_tree import beside
from tests.support.sidecar import unique


def chosen(settings: Settings) -> tuple[tuple[int, ...], str, str]:
    """Return the pids of the targets, the reason and its message."""
    def choose() -> object:
        choice = targets.find_targets(settings)
        return tuple(each.pid for each in choice.targets), choice.reason, choice.says

    got: tuple[tuple[int, ...], str, str] = beside(choose)
    return got


@pytest.fixture(autouse=True)
def nothing_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier test believed does not count."""
    monkeypatch.setattr(pidfile_target, 'BELIEVED', set())


def test_pidfile_that_cannot_be_reached_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and the loop goes on."""
    monkeypatch.setattr(mounts, 'can_hang', lambda paths: True)
    monkeypatch.setattr(guard, 'STUCK', {})
    monkeypatch.setattr(guard, 'ACCESS_TIMEOUT', 0.05)
    monkeypatch.setattr(pidfile, 'read', lambda path: signal.pause())
    got = targets.find_targets(Settings(pidfile='/a'))

    assert (got.targets, got.reason) == ((), 'pidfile')
    assert got.says.startswith('/a ')


def test_missing_pidfile_is_a_missing_target(tmp_path: Path) -> None:
    """The program has not started yet."""
    path = str(tmp_path / 'none')
    got = targets.find_targets(Settings(pidfile=path))

    assert (got.targets, got.reason) == ((), 'no target')
    assert path in got.says


def test_pidfile_with_rubbish_holds(tmp_path: Path) -> None:
    """It is named, with what is wrong with it."""
    path = tmp_path / 'app.pid'
    path.write_text('rubbish')
    got = targets.find_targets(Settings(pidfile=str(path)))

    assert got == Choice((), 'pidfile', f'{path} does not hold a pid')


@pytest.mark.parametrize('process', [None, 'x'])
def test_pidfile_of_a_process_that_ended_is_a_missing_target(
        tmp_path: Path, process: str | None,
) -> None:
    """Its pid is said, and what to do; a zombie does not run either."""
    path = tmp_path / 'app.pid'
    settings = Settings(pidfile=str(path), process=process)
    pid = os.posix_spawn('/bin/true', ['true'], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    path.write_text(f'{pid}\n')
    zombie = targets.find_targets(settings)
    os.waitpid(pid, 0)
    got = targets.find_targets(settings)

    assert zombie == got == Choice(
        (), 'no target', f'{path} names pid {pid}, which does not run; start the '
        f'program, or remove the file; if it runs in another container, share the pid '
        f'namespace (shareProcessNamespace: true)',
    )


def test_pidfile_of_a_process_that_is_hidden_is_not_said_to_be_old(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With hidepid that cannot be known."""
    path = tmp_path / 'app.pid'
    path.write_text(f'{processes.reaped()}\n')
    monkeypatch.setattr(procfs, 'started', lambda pid: None)
    monkeypatch.setattr(visibility, 'hidden', lambda: 'unhide them')

    assert targets.find_targets(Settings(pidfile=str(path))) == Choice((), 'no target')


def test_pidfile_of_a_stranger_holds(tmp_path: Path) -> None:
    """It must belong to root, to us or to the target's uid."""
    path = tmp_path / 'app.pid'
    settings = Settings(pidfile=str(path))
    with processes.start('handler', name=unique()) as target:
        path.write_text(f'{target.pid}\n')
        ours = chosen(settings)
        os.chown(path, 4321, -1)
        pids, reason, says = chosen(settings)

    assert ours == ((target.pid,), '', '')
    assert (pids, reason) == ((), 'pidfile')
    assert 'belongs to uid 4321' in says


@pytest.mark.parametrize('above', [False, True])
def test_pidfile_by_the_link_of_a_stranger_holds(tmp_path: Path, above: bool) -> None:
    """The owner of a link can make it lead to the pidfile of any other process."""
    there, link = tmp_path / 'there', tmp_path / 'link'
    there.mkdir()
    link.symlink_to(there if above else 'there/app.pid')
    settings = Settings(pidfile=str(link / 'app.pid' if above else link))
    with processes.start('handler', name=unique()) as target:
        (there / 'app.pid').write_text(f'{target.pid}\n')
        ours = chosen(settings)
        os.lchown(link, 4321, -1)
        pids, reason, says = chosen(settings)

    assert ours == ((target.pid,), '', '')
    assert (pids, reason) == ((), 'pidfile')
    assert 'is reached by a link of uid 4321' in says


def test_pidfile_of_the_targets_user_is_believed(tmp_path: Path) -> None:
    """A program that drops its privileges writes it as itself."""
    path = tmp_path / 'app.pid'
    with processes.start('handler', name=unique(), uid=65534) as target:
        path.write_text(f'{target.pid}\n')
        os.chown(path, 65534, -1)
        got = chosen(Settings(pidfile=str(path)))

    assert got == ((target.pid,), '', '')


BORN = 1_700_000_000.0


@pytest.fixture
def born(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process started at one time, or up to an hour earlier: a step is known."""
    monkeypatch.setattr(
        CLOCK, 'born', lambda started: (BORN - 3600.0 * (started == 2), BORN),
    )


def doubt(file: pidfile.Pidfile, about: Process, **settings: Any) -> str:
    """Return why a pidfile is not believed about a process."""
    given = Settings(pidfile='/run/app.pid', **settings)
    return pidfile_target.doubt(given, '/run/app.pid', file, about)


@pytest.mark.usefixtures('born')
def test_pidfile_may_be_a_second_older_than_its_process() -> None:
    """Coarse time stamps, and start times that are cut to clock ticks."""
    pid = pidfile.Pidfile(os.getpid(), written=BORN - 0.9)
    app = Process(os.getpid(), 0, 1, 'app', uid=0)

    assert doubt(pid, app) == ''
    assert doubt(pid._replace(written=BORN - 1.1), app) == (
        f'is older than {app}, so it was written about another one, unless the clock '
        f'was set since; restart the program, or if that is the program, add --process '
        f'app'
    )


@pytest.mark.usefixtures('born')
def test_pidfile_from_before_a_step_of_the_clock_is_believed() -> None:
    """By the clock of then it was written after the start; or the name matches."""
    file = pidfile.Pidfile(os.getpid(), written=BORN - 3500.0)

    assert doubt(file, Process(os.getpid(), 0, 2, 'app', uid=0)) == ''
    assert doubt(file, Process(os.getpid(), 0, 1, 'app', uid=0), process='app') == ''
    assert doubt(file, Process(os.getpid(), 0, 1, 'app', uid=0), cmdline='x') == ''


@pytest.mark.usefixtures('born')
def test_old_pidfile_is_not_believed_about_a_worker(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its number was another process's before: the name is that of the master, too."""
    master, worker = Process(7, 1, 1, 'app', uid=0), Process(9, 7, 1, 'app', uid=0)
    monkeypatch.setattr(process_table, 'matches', lambda *_, **__: (master, worker))
    file = pidfile.Pidfile(9, written=BORN - 3500.0)

    assert 'is older than app (pid 9), a child' in doubt(file, worker, process='app')
    assert doubt(file, master, process='app') == ''


@pytest.mark.parametrize(('directory', 'uid', 'everybody', 'says'), [
    ('/run/php', 33, False, 'is in /run/php, where uid 33 can put another file'),
    ('/shared', 0, True, 'is in /shared, where everybody can put another file'),
    ('/run/app', 7, False, ''), ('/run', 0, False, ''),
])
@pytest.mark.usefixtures('born')
def test_directory_of_a_stranger_needs_a_name(
        directory: str, uid: int, everybody: bool, says: str,
) -> None:
    """Its owner chooses which process is named, unless it has to be called app."""
    file = pidfile.Pidfile(
        os.getpid(), written=BORN, directories=((directory, uid, everybody),),
    )
    app = Process(os.getpid(), 0, 1, 'app', uid=7)

    assert doubt(file, app).startswith(says)
    assert bool(doubt(file, app)) == bool(says)
    assert doubt(file, app, process='app') == ''


@pytest.mark.usefixtures('born')
def test_pidfile_that_was_written_late_needs_something_in_common() -> None:
    """Its path in the arguments, a word, or that it was believed before in this run."""
    file = pidfile.Pidfile(os.getpid(), written=BORN + 3600.0)
    other = Process(os.getpid(), 0, 1, 'other', ('other',), 0)

    assert 'was written long after other' in doubt(file, other)
    assert doubt(file, other._replace(comm='app')) == ''
    assert doubt(file, other._replace(cmdline=('x', '-p', '/run/app.pid'))) == ''
    pidfile_target.BELIEVED.add(('/run/app.pid', os.getpid(), 1))
    assert doubt(file, other) == ''


@pytest.mark.usefixtures('born')
def test_number_that_any_pid_namespace_has_needs_a_name() -> None:
    """Pid 1, a thread of the kernel, and what we were started by."""
    file = pidfile.Pidfile(1, written=BORN)

    assert 'every pid namespace has a pid 1' in doubt(
        file, Process(1, 0, 1, 'init', uid=0),
    )
    assert 'which pollreload was started by' in doubt(
        file, Process(os.getppid(), 0, 1, 'sh', uid=0, ancestor=True),
    )
    assert doubt(file, Process(1, 0, 1, 'init', uid=0), process='init') == ''


@pytest.mark.usefixtures('born')
def test_kernel_thread_is_no_target_of_a_pidfile(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Small numbers are those of the kernel on a machine."""
    monkeypatch.setattr(procfs, 'stat', lambda path: procfs.Stat(b'S', 2, 1, True))

    assert 'a thread of the kernel' in doubt(
        pidfile.Pidfile(9, written=BORN), Process(9, 2, 1, 'kworker', uid=0),
    )


def test_number_of_a_process_in_a_container_needs_a_name(tmp_path: Path) -> None:
    """It may mean the process that has it in a nested pid namespace.

    Whether it runs here as well or not, that process is named.
    """
    path = tmp_path / 'app.pid'
    with processes.start('handler', name=unique(), namespace=True) as inner:
        path.write_text('1\n')
        settings = Settings(pidfile=str(path))
        first = chosen(settings)
        path.write_text(f'{inner.pid}\n')
        outer = chosen(settings)
        both = chosen(settings._replace(all_namespaces=True))

        def twin(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
            other = Process(inner.pid + 1, 1, 1, 'x', uid=0)
            named = Process(inner.pid + 1, 1, 1, 'service', uid=0)
            found = (inner.pid,)
            monkeypatch.setattr(visibility, 'inner_pids', lambda pid: iter(found))
            after = pidfile.Pidfile(other.pid, written=time.time())
            before = pidfile.Pidfile(other.pid, written=time.time() - 3600.0)
            return (
                pidfile_target.foreign_pid(str(path), after, other),
                pidfile_target.explain_hidden(1),
                # The container is younger than the file.
                pidfile_target.foreign_pid(str(path), before, other),
                # The file bears the name of the process that has its number here.
                pidfile_target.foreign_pid('/run/service.pid', after, named),
            )

        with pytest.MonkeyPatch.context() as patch:
            says = beside(lambda: twin(patch))

    assert first[:2] == ((), 'pidfile')
    assert outer[:2] == ((), 'no target')
    assert '--all-namespaces' in outer[2]
    assert both == ((inner.pid,), '', '')
    assert 'has that number in its own pid namespace' in says[0]
    assert '--all-namespaces' in says[1]
    assert says[2:] == ('', '')


def test_number_of_pollreload_itself_is_of_another_namespace(tmp_path: Path) -> None:
    """Pid namespaces are not shared, and that is named; so is our child."""
    path = tmp_path / 'app.pid'
    settings = Settings(pidfile=str(path))
    path.write_text(f'{os.getpid()}\n')
    itself = targets.find_targets(settings)
    with processes.start('handler', name=unique()) as child:
        path.write_text(f'{child.pid}\n')
        ours = targets.find_targets(settings)

    assert (itself.targets, itself.reason) == ((), 'pidfile')
    assert 'is pollreload itself' in itself.says
    assert 'shareProcessNamespace' in itself.says
    assert 'was started below pollreload' in ours.says


@pytest.mark.parametrize(('alone', 'share'), [(True, True), (False, False)])
def test_process_of_a_pidfile_that_meets_no_condition_is_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool, share: bool,
) -> None:
    """With the conditions, and the pid namespace if no other program is visible."""
    path = tmp_path / 'app.pid'
    monkeypatch.setattr(visibility, 'alone', lambda others: alone)
    with processes.start('handler', name=unique()) as target:
        path.write_text(f'{target.pid}\n')
        pids, reason, says = chosen(Settings(pidfile=str(path), process='no-such'))

    assert (pids, reason) == ((), 'no target')
    assert 'which does not meet --process no-such' in says
    assert ('shareProcessNamespace' in says) == share


@pytest.mark.usefixtures('born')
def test_alone_in_a_pid_namespace_sharing_it_is_named(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The number is then one of a namespace that we do not see."""
    monkeypatch.setattr(visibility, 'alone', lambda others: True)
    monkeypatch.setattr(visibility, 'inner_pids', lambda pid: iter(()))

    assert 'shareProcessNamespace' in pidfile_target.explain_hidden(7)
    assert 'shareProcessNamespace' in doubt(
        pidfile.Pidfile(1, written=BORN), Process(1, 0, 1, 'sh', uid=0),
    )


@pytest.mark.usefixtures('born')
def test_process_in_a_container_that_ends_is_no_evidence(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is gone between two reads of the table."""
    monkeypatch.setattr(visibility, 'inner_pids', lambda pid: iter((pid,)))
    monkeypatch.setattr(visibility, 'alone', lambda others: False)
    monkeypatch.setattr(process_table, 'find', lambda pid: None)

    assert pidfile_target.explain_hidden(7).startswith('which does not run;')
    file = pidfile.Pidfile(7, written=BORN)
    assert pidfile_target.foreign_pid('/x', file, Process(7, 0, 1, 'app', uid=0)) == ''
