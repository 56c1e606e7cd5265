"""What may be meant by a name that no process has."""
from __future__ import annotations

from pathlib import Path

import pytest

from pollreload.core.process import Process
from pollreload.runtime import hints
from pollreload.settings import Settings
from pollreload.system import process_table, procfs, visibility
from tests.support import targets
from tests.support.proc_tree import beside, plant
from tests.support.sidecar import unique


def test_absent_names_what_is_there(root: str) -> None:
    """All of them if they are few; but only the one whose name has that in it."""
    plant(Path(root), 60, 'sleep')
    few = hints.unknown('nginx', root)
    plant(Path(root), 61, 'nginx: master')
    near = hints.unknown('nginx', root)

    none = "no process is called 'nginx'; "
    assert few == f"{none}there are 'init', 'shell' and 'sleep'"
    assert near == f"{none}there is 'nginx: master'"


@pytest.mark.parametrize(
    ('name', 'near'),
    [
        ('nginy', "there is 'nginx'"),
        ('gunicorn', "there is 'gunicorn: maste'"),
        ('server.js', "there is 'MainThread' (pid 62), which runs 'server.js': "
         "--process MainThread --cmdline 'server\\.js'"),
        ('java', "there is 'worker-1' (pid 63), which runs 'java': --process worker-1 "
         "--cmdline 'java'"),
        ('alertmanager', "there is 'prometheus-aler' (pid 65), which runs "
         "'alertmanager': --process prometheus-alertmanager"),
        ('kafka', "there is 'worker-1' (pid 63) with 'kafka' in its arguments: "
         "--process worker-1 --cmdline 'kafka'"),
        ('Nginx', "there is 'nginx'"),
        ('/usr/sbin/nginx', "there is 'nginx'"),
        ('nginx -g', "there is 'nginx'"),
        ('nginx-ingress', "there is 'nginx'"),
        ('httpd', "it is called 'apache2' here: --process apache2"),
        ('bind9', "it is called 'named' here: --process named"),
        ('num', "there are 'num0', 'num1', 'num2', 'num3' and 'num4'"),
    ],
)
def test_absent_names_what_may_be_meant(root: str, name: str, near: str) -> None:
    """Another name of the program, a program, a name like it, or an argument.

    Not the shell that runs us, nor another pollreload, nor a thread of the kernel.
    """
    tree = Path(root)
    for pid in range(100, 108):
        plant(tree, pid, f'num{pid - 100}')
    plant(tree, 60, 'nginx')
    plant(tree, 61, 'gunicorn: maste')
    plant(tree, 62, 'MainThread', cmdline=('node', '--x', '/srv/server.js'))
    plant(tree, 63, 'worker-1', cmdline=('/bin/java', '-cp', '/l', 'a.Kafka'))
    plant(tree, 64, '')
    plant(tree, 65, 'prometheus-aler', cmdline=('/bin/prometheus-alertmanager',))
    plant(tree, 66, 'apache2')
    plant(tree, 67, 'named')
    plant(tree, 9, 'python3', cmdline=('python3', 'pollreload', '--process', 'kafka'))
    plant(tree, 41, 'lighttpd', state='S')
    (tree / '40' / 'cmdline').write_text('sh\0-c\0exec kafka alertmanager\0')
    plant(tree, 8, 'knginy')
    stat = (tree / '8' / 'stat').read_text().split()
    stat[8] = str(procfs.PF_KTHREAD)
    (tree / '8' / 'stat').write_text(' '.join(stat))

    said = hints.unknown(name, root)

    assert said == f'no process is called {name!r}; {near}'


def test_pollreload_in_an_argument_does_not_hide_a_process(root: str) -> None:
    """Only another pollreload is left out, and the shell that runs it."""
    tree = Path(root)
    for pid in range(100, 108):
        plant(tree, pid, f'num{pid - 100}')
    plant(tree, 60, 'java', cmdline=('java', '-Da=/srv/pollreload', 'a.Kafka'))
    plant(tree, 61, 'sh', cmdline=('sh', '-c', 'pollreload watch --process kafka'))
    plant(tree, 62, 'python3', ppid=61, cmdline=(
        'python3', '-m', 'pollreload', 'watch', '--process', 'kafka',
    ))

    assert hints.unknown('kafka', root) == (
        "no process is called 'kafka'; there is 'java' (pid 60), which runs 'kafka': "
        "--process java --cmdline 'kafka'"
    )


@pytest.mark.parametrize('name', ['ngin.*', 'ngin*', '(nginx', '*nginx'])
def test_pattern_is_no_name(root: str, name: str) -> None:
    """--process takes an exact name; what the pattern matches is named."""
    tree = Path(root)
    for pid in range(100, 108):
        plant(tree, pid, f'num{pid - 100}')
    plant(tree, 60, 'nginx')

    assert hints.unknown(name, root) == (
        f'no process is called {name!r}, and --process takes an exact name, not a '
        f"pattern; there is 'nginx'"
    )


def test_absent_of_nothing_like_it(root: str) -> None:
    """Among many processes none of which is near, none is named."""
    for pid in range(100, 108):
        plant(Path(root), pid, f'num{pid}')

    assert hints.unknown('xyzzy', root) == (
        "no process is called 'xyzzy'; pollreload doctor without --process lists what "
        "runs"
    )


def test_absent_only_when_alone_speaks_of_kubernetes(root: str) -> None:
    """The advice would be wrong where other containers are visible."""
    said = hints.unknown('nginx', root)

    assert said == (
        "no process is called 'nginx'; there are 'init' and 'shell'; "
        'in Kubernetes set shareProcessNamespace: true'
    )


def test_absent_does_not_deny_what_is_there(root: str) -> None:
    """It started after the search for the target."""
    plant(Path(root), 60, 'app')

    assert hints.unknown('app', root) == 'app (pid 60) started only now'


def test_hidden_processes_are_named_for_a_pidfile_too(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process that it names may well be there."""
    monkeypatch.setattr(visibility, 'hidden', lambda: 'unhide them')
    says = hints.explain_no_match(Settings(pidfile='/run/a.pid'))

    named = hints.explain_no_match(Settings(process='app'))

    assert says == (
        f'{visibility.HIDDEN}, so one may meet --pidfile /run/a.pid; unhide them'
    )
    assert named == f"{visibility.HIDDEN}, so 'app' may be one of them; unhide them"


@pytest.mark.parametrize(('settings', 'says'), [
    (Settings(pidfile='/a'), 'no process meets --pidfile /a'),
    (Settings(cmdline='^x', uid=7), 'no process meets --cmdline ^x --uid 7'),
    (Settings(process='no-such', uid=7), "no process is called 'no-such'"),
])
def test_absent_target_is_described_by_its_conditions(
        settings: Settings, says: str,
) -> None:
    """So that the user sees which of them fails."""
    assert hints.explain_no_match(settings).startswith(says)


def test_absent_target_whose_name_is_there() -> None:
    """The name is right, and another condition is not met."""
    name = unique()
    with targets.start('handler', name=name):
        got = beside(lambda: hints.explain_no_match(Settings(process=name, uid=4321)))

    assert got == f"no process called '{name}' meets --uid 4321"


def test_absent_target_that_is_our_child() -> None:
    """It is never signalled, and that is why, whatever else is asked for."""
    name = unique()
    with targets.start('handler', name=name):
        got = hints.explain_no_match(Settings(process=name, uid=4321))

    assert 'was started below pollreload' in got


def test_absent_target_that_runs_in_a_container() -> None:
    """A process in a nested pid namespace is left out by default."""
    name = unique()
    with targets.start('handler', name=name, namespace=True) as target:
        says = beside(lambda: hints.explain_no_match(Settings(process=name)))
        pid = target.pid

    assert says == (
        f'{name} (pid {pid}) runs in another pid namespace (a container); add '
        f'--all-namespaces to signal it there'
    )


@pytest.mark.parametrize(('name', 'runs', 'says'), [
    ('httpd', 'apache2', "no process is called 'httpd'; it is called 'apache2' here: "
     "--process apache2"),
    ('httpd', 'lighttpd', ''), ('nginx-1', 'nginx', ''), ('apache2', 'apache2', ''),
])
def test_other_name_of_a_program_is_certain_at_the_start(
        monkeypatch: pytest.MonkeyPatch, name: str, runs: str, says: str,
) -> None:
    """A name that is merely like it may be that of another program of the pod."""
    process = Process(7, 1, 100, runs)
    monkeypatch.setattr(process_table, 'candidates', lambda asked: (
        [7] if asked == runs else []
    ))
    monkeypatch.setattr(process_table, 'others', lambda _: [process])

    assert hints.alias_hint(name) == says
