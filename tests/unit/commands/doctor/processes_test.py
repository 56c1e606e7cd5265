"""The list of processes that doctor prints without a target."""
from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from pollreload.cli import main as cli
from pollreload.commands.doctor import paths, processes
from pollreload.commands.doctor.rows import Row
from pollreload.core.process import GO, Masks, Process
from pollreload.core.reading import Reading
from pollreload.runtime import interrupt
from pollreload.settings import Settings
from pollreload.system import process_table, signal_masks, visibility
from tests.support import targets
from tests.support.sidecar import POLLRELOAD, environment, unique, watch, write


def listed(*paths: str) -> dict[int, dict[str, object]]:
    """Return the line of doctor about each process, by pid, run in another process."""
    done = subprocess.run(
        (*POLLRELOAD, 'doctor', '--output', 'json', *paths), env=environment(None),
        capture_output=True, check=True,
    )
    return {each['pid']: each for each in json.loads(done.stdout)['processes']}


def test_process_is_listed_with_the_command_that_notifies_it(tmp_path: Path) -> None:
    """The printed command selects exactly that process, by a signal it handles."""
    conf, name = str(tmp_path / 'app.conf'), unique()
    write(conf, 'first')
    with targets.start('handler', name=name) as target:
        found = listed(conf)[target.pid]
        command = found['command']
        assert isinstance(command, list)
        done = subprocess.run(
            (*POLLRELOAD, 'doctor', *command[2:]), env=environment(None),
            capture_output=True, check=False,
        )

    assert (found['comm'], found['uid']) == (name, os.geteuid())
    assert 'HUP' in str(found['handles'])
    assert command == ['pollreload', 'watch', '--process', name, conf]
    assert done.returncode == 0, done.stdout
    assert f'{name} (pid {target.pid})' in done.stdout.decode()


def test_worker_is_notified_by_its_parent() -> None:
    """No command selects it alone; another signal is named if HUP has no handler."""
    name, other = unique(), unique()
    with (
        targets.start('forking', name=name, workers=1) as target,
        targets.start('default', name=other) as deaf,
    ):
        found = listed()

    worker, = (each for each in found.values() if each['parent'] == target.pid)
    assert worker['command'] is None
    assert found[deaf.pid]['command'] == [
        'pollreload', 'watch', '--process', other, '--signal', 'USR1', 'PATH',
    ]
    assert found[target.pid]['command'] == [
        'pollreload', 'watch', '--process', name, 'PATH',
    ]


def test_text_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each process below a header, after rows about paths and /proc."""
    name = unique()
    with targets.start('handler', name=name) as target:
        # Not below this process.
        done = subprocess.run(
            (*POLLRELOAD, 'doctor', '/etc/my app', name), env=environment(None),
            capture_output=True, check=False, text=True,
        )

    path, word, first, header, *lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert path.startswith('fail  path /etc/my app')
    assert word.endswith(f'no such file -- did you mean --process {name}?')
    line, = (each for each in lines if each.startswith(f'{target.pid} '))
    assert first.startswith(('ok    proc ', 'warn  proc '))
    assert header.split() == ['PID', 'UID', 'HANDLES', 'NAME', 'TO', 'NOTIFY', 'IT']
    assert line.endswith(f"pollreload watch --process {name} '/etc/my app' {name}")
    assert header.index('NAME') == line.index(name)


def test_proc_of_another_namespace_fails(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    """Its pids mean nothing here."""
    monkeypatch.setattr(visibility, 'why_hidden', lambda: '/proc is foreign; mount it')

    assert cli.main(('doctor',)) == 1
    assert capsys.readouterr().out.startswith('fail  proc  /proc is foreign -- mount')


def process(pid: int, **more: object) -> Process:
    """Return a root process."""
    return Process(pid, 1, 1, 'app')._replace(**more)  # type: ignore[arg-type]


@pytest.mark.parametrize(('others', 'options'), [
    ((), ()),
    ((process(8, uid=2),), ('--uid', '1')),
    ((process(8, uid=1, cmdline=('app', '-b')),), ('--cmdline', r'^app\ \-a$')),
    ((process(8, uid=1, cmdline=('app', '-a')),), None),
])
def test_processes_of_one_name_are_distinguished(
        others: tuple[Process, ...], options: tuple[str, ...] | None,
) -> None:
    """By the user, else by the arguments, else not at all."""
    this = process(7, uid=1, cmdline=('app', '-a'))

    assert processes.narrowed(this, (this, *others)) == options


@pytest.mark.parametrize(('masks', 'handles', 'signal'), [
    (Masks(GO | 1, 0, 0, 0), 'runtime', ()), (None, 'unknown', ()),
    (Masks(1 << 11, 0, 0, 0), 'USR2', ('--signal', 'USR2')),
    (Masks(1 << 27, 0, 0, 0), 'WINCH', None), (Masks(0, 0, 0, 0), '-', None),
])
def test_signal_to_reload_on_is_one_that_it_handles(
        monkeypatch: pytest.MonkeyPatch, masks: Masks | None, handles: str,
        signal: tuple[str, ...] | None,
) -> None:
    """What cannot be seen is named, and HUP is tried."""
    this = process(7)
    monkeypatch.setattr(process_table, 'others', lambda: [this])
    monkeypatch.setattr(process_table, 'find', lambda pid: this)
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: masks)

    one, = processes.visible_processes(('/a',))

    assert processes.columns(one)[:4] == ('7', '?', handles, 'app')
    if signal is None:
        assert processes.columns(one)[4] == 'handles none to reload on'
    else:
        assert one.command == (
            'pollreload', 'watch', '--process', 'app', *signal, '/a',
        )


ALIKE = 'unknown, and others look like it; one of them by --pidfile'


@pytest.mark.parametrize(('masks', 'how'), [
    (Masks(1, 0, 0, 0), 'pollreload watch --process app --select roots /a'),
    (Masks(GO | 1, 0, 0, 0), ALIKE), (None, ALIKE),
])
def test_processes_that_look_alike_are_signalled_together_only_if_they_handle_it(
        monkeypatch: pytest.MonkeyPatch, masks: Masks | None, how: str,
) -> None:
    """A command that is copied from the table ends no process."""
    alike = [process(7), process(8)]
    monkeypatch.setattr(process_table, 'others', lambda: alike)
    monkeypatch.setattr(process_table, 'find', lambda pid: alike[pid - 7])
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: masks)

    found = [*processes.visible_processes(('/a',))]

    assert [processes.columns(each)[4] for each in found] == [how, how]


@pytest.mark.parametrize(('masks', 'legend'), [
    (Masks(GO | 1, 0, 0, 0), ['runtime: its language runtime catches every signal']),
    (None, ['unknown: the kernel does not show what it handles']),
    (Masks(1, 0, 0, 0), []),
])
def test_doubt_is_explained_below_the_table(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
        masks: Masks | None, legend: list[str],
) -> None:
    """Only a word that stands in the table."""
    monkeypatch.setattr(process_table, 'others', lambda: [process(7)])
    monkeypatch.setattr(process_table, 'find', process)
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: masks)
    monkeypatch.setattr(visibility, 'why_hidden', lambda: '')

    processes.run((), 'text')

    printed = capsys.readouterr().out
    _, _, below = printed.partition('PATH\n')
    assert [each.partition(';')[0] for each in below.splitlines()] == legend


def test_row_of_a_worker_names_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a root has a command of its own."""
    every = {7: process(7), 8: process(8)._replace(ppid=7)}
    monkeypatch.setattr(process_table, 'others', lambda: [*every.values()])
    monkeypatch.setattr(process_table, 'find', every.get)
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: Masks(1, 0, 0, 0))

    root, worker = processes.visible_processes(('/a',))

    assert root.command
    assert not worker.command
    assert processes.columns(worker)[4] == 'by its parent, pid 7'


def test_another_pollreload_is_a_row_of_doctor(tmp_path: Path) -> None:
    """Two watches of one program notify it twice."""
    conf, name = str(tmp_path / 'app.conf'), unique()
    write(conf, 'first')
    with watch('--process', name, conf) as sidecar:
        sidecar.until('baseline')
        done = subprocess.run(
            (*POLLRELOAD, 'doctor', '--process', name, conf), env=environment(None),
            capture_output=True, check=False, text=True,
        )
        alone = subprocess.run(
            (*POLLRELOAD, 'doctor', '--process', f'{name}x', conf),
            env=environment(None), capture_output=True, check=False, text=True,
        )

    assert f'(pid {sidecar.pid})' in done.stdout
    assert 'another pollreload notifies the same target' in done.stdout
    assert 'another pollreload' not in alone.stdout


@pytest.mark.parametrize(('arguments', 'same'), [
    (('pollreload', 'watch', '--pidfile=/run/a.pid'), True),
    (('pollreload', 'watch', '--pidfile', '/run/a.pid'), True),
    (('pollreload', 'check', '--pidfile', '/run/a.pid'), False),
    (('other', 'watch', '--pidfile', '/run/a.pid'), False),
    (('pollreload', 'watch', '--pidfile', '/run/b.pid'), False),
])
def test_same_target_is_the_same_name_or_pidfile(
        monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], same: bool,
) -> None:
    """As it stands in the arguments of the other one."""
    this = process(7, cmdline=arguments)
    monkeypatch.setattr(process_table, 'others', lambda: [this])

    rows = [*processes.other_pollreloads(None, '/run/a.pid')]

    assert rows == ([Row(
        'watch', 'warn', 'app (pid 7)', 'another pollreload notifies the same target',
        'stop one, unless they watch different files',
    )] if same else [])


def test_stop_signal_while_a_path_is_read_ends_it(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exit status names the signal, as a shell has it."""
    def readings(settings: Settings) -> list[Reading | None]:
        raise interrupt.Ended(signal.SIGTERM)

    monkeypatch.setattr(paths, 'readings', readings)
    with pytest.raises(SystemExit) as ended:
        processes.run(['/etc/app'], 'text')

    assert ended.value.code == 128 + signal.SIGTERM
