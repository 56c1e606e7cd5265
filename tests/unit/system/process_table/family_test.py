"""Ancestors, boot ids and pid namespaces."""
from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

from pollreload.system import process_table, procfs, visibility
from tests.support import targets
from tests.support.proc_tree import plant

HUP, USR1 = signal.SIGHUP, signal.SIGUSR1


def test_family_is_the_process_and_its_live_children(root: str) -> None:
    """With start times and arguments; a zombie is no worker any more."""
    tree = Path(root)
    plant(tree, 60, started=100)
    plant(tree, 61, ppid=60, started=199)
    plant(tree, 62, ppid=60, started=300, state='Z')
    plant(tree, 63, ppid=1, started=300)
    (tree / '64').mkdir()

    found = process_table.family(60, root)

    assert [each[:2] for each in found] == [(60, 100), (61, 199)]
    assert process_table.family(64, root) == ()


def test_real_reload_starts_new_children() -> None:
    """After the HUP of a forking server there are younger ones."""
    with targets.start('forking') as target:
        before = process_table.family(target.pid)
        target.signal(HUP)
        assert target.read() == 'HUP'
        after = process_table.family(target.pid)

    assert {each[0] for each in before[1:]} == {*target.workers}
    assert before[0] == after[0]
    assert {*after} - {*before}


def test_where_and_since_when_we_are(root: str) -> None:
    """The ids of this boot and namespace; '' if they cannot be read."""
    assert len(procfs.boot()) == 36
    assert visibility.pid_namespace().startswith('pid:[')
    assert procfs.boot(root) == ''
    assert visibility.pid_namespace(root) == ''


def test_no_descriptor_is_left_open(root: str) -> None:
    """A sidecar runs for months."""
    first = os.dup(0)
    os.close(first)

    process_table.matches(None, '.', None, True)
    visibility.hidden()
    list(visibility.inner_pids(1))

    with open(os.devnull, encoding='ascii') as file:
        assert file.fileno() == first
        assert fcntl.fcntl(file, fcntl.F_GETFD) == fcntl.FD_CLOEXEC


def test_the_boot_of_a_sandbox_is_its_time(tmp_path: Path) -> None:
    """gVisor, without Sig* lines, makes up a boot id for each of its containers."""
    (tmp_path / 'sys/kernel/random').mkdir(parents=True)
    (tmp_path / 'sys/kernel/random/boot_id').write_text('made-up\n')
    (tmp_path / 'self').mkdir()
    (tmp_path / 'self/status').write_text('Name:\tx\n')
    nothing = procfs.boot(str(tmp_path))
    (tmp_path / 'stat').write_text('cpu 1 2\nbtime 1795459133\n')

    assert nothing == ''
    assert procfs.boot(str(tmp_path)) == 'btime 1795459133'
