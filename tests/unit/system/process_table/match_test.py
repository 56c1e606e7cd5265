"""Processes that match the conditions."""
from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pollreload.core.process import Masks, Process
from pollreload.system import process_table, procfs
from pollreload.system.signal_masks import masks as masks_of
from tests.support import targets
from tests.support.proc_tree import as_nobody, beside, plant
from tests.support.processes import found

MASKS = {'SigPnd': 0, 'ShdPnd': 0, 'SigBlk': 0, 'SigIgn': 0, 'SigCgt': 0}


def unique(name: str) -> str:
    """Return a name that no other run of these tests uses at the same time."""
    return f'{name}{os.getpid()}'


def test_matches_by_the_whole_comm(root: str) -> None:
    """A name is neither a prefix nor a part of comm, and all of its bytes count."""
    tree = Path(root)
    plant(tree, 60, 'app')
    plant(tree, 61, 'apps')
    plant(tree, 62, 'ap')
    plant(tree, 63, 'app ')
    plant(tree, 9, 'app')

    matches = process_table.matches('app', None, None, False, root)

    assert [each.pid for each in matches] == [9, 60]


def test_candidates_differ_in_what_follows(root: str) -> None:
    """A comm that goes on after a newline is another name, and read as such."""
    plant(Path(root), 60, 'app\nx')
    plant(Path(root), 61, 'app')

    assert process_table.candidates('app', root) == [61]


def test_match_has_every_field(root: str) -> None:
    """A row has every field of Process."""
    plant(
        Path(root), 60, 'app', ppid=40, started=321, cmdline=('/bin/app', '-x y'),
        lines=['Uid:\t7\t8\t9\t10', 'NSpid:\t60'],
    )

    matches = process_table.matches('app', None, None, False, root)

    assert matches == (Process(60, 40, 321, 'app', ('/bin/app', '-x y'), 8),)


def test_long_name_is_confirmed_by_its_arguments(root: str) -> None:
    """A decoy with the same 15 bytes never matches a longer name."""
    tree = Path(root)
    plant(tree, 60, 'config-reloader', cmdline=('/bin/config-reloader-x',))
    plant(tree, 61, 'config-reloader', cmdline=('/bin/config-reloader-y',))
    plant(tree, 62, 'config-reloader', cmdline=('python', '-u', '/config-reloader-x'))

    matches = process_table.matches('config-reloader-x', None, None, False, root)

    assert [each.pid for each in matches] == [60, 62]


def test_every_condition_must_hold(root: str) -> None:
    """The regular expression is searched in the joined arguments; uid is effective."""
    tree = Path(root)
    plant(tree, 60, cmdline=('app', '-c', 'a.conf'), lines=['Uid:\t0\t5\t0\t0'])
    plant(tree, 61, cmdline=('app', '-c', 'b.conf'), lines=['Uid:\t0\t5\t0\t0'])
    plant(tree, 62, cmdline=('app', '-c', 'a.conf'), lines=['Uid:\t5\t0\t5\t5'])
    plant(tree, 63, cmdline=('app', '-c', 'a.conf'))

    def pids(cmdline: str | None, uid: int | None) -> list[int]:
        matches = process_table.matches('app', cmdline, uid, False, root)
        return [each.pid for each in matches]

    assert pids(r'-c a\.', 5) == [60]
    assert pids(r'-c a\.', None) == [60, 62, 63]
    assert pids(None, 5) == [60, 61]
    assert pids('^c', None) == []


def test_no_more_of_the_arguments_is_read_than_a_bound(root: str) -> None:
    """A process can have gigabytes of its memory shown as them: also for its name."""
    tree = Path(root)
    plant(tree, 60, cmdline=('app', '-c', 'a.conf', 'x' * 20000, 'behind'))
    plant(tree, 61, 'other', cmdline=('x' * 100000,))

    first, = process_table.matches('app', r'-c a\.', None, False, root)

    assert len('\0'.join(first.cmdline)) == procfs.ARGUMENTS == 16384
    assert first.cmdline[:3] == ('app', '-c', 'a.conf')
    assert process_table.matches('app', 'behind', None, False, root) == ()
    assert len(process_table.others(root)[-1].cmdline[0]) == 16384


def test_arguments_of_whom_no_condition_leaves_are_not_read(
        monkeypatch: pytest.MonkeyPatch, root: str,
) -> None:
    """Of another user or name: it could hold us up by what they are."""
    tree = Path(root)
    plant(tree, 60, lines=['Uid:\t0\t5\t0\t0'])
    plant(tree, 61, lines=['Uid:\t0\t6\t0\t0'])
    plant(tree, 62, 'other', lines=['Uid:\t0\t5\t0\t0'])
    read: list[str] = []

    def cmdline(place: str) -> tuple[str, ...]:
        read.append(place)
        return ()

    monkeypatch.setattr(process_table, 'cmdline', cmdline)

    same = process_table.matches('app', None, 5, False, root)
    assert [each.pid for each in same] == [60]
    assert process_table.matches('app', None, 5, False, root, only=62) == ()
    assert read == [f'{root}/60']


def test_without_a_name_all_are_candidates(root: str) -> None:
    """None stands for any name; ourselves still excepted."""
    matches = process_table.matches(None, None, None, False, root)

    assert [(each.pid, each.ancestor) for each in matches] == [(1, True), (40, True)]


def test_only_one_pid_is_looked_at(root: str) -> None:
    """A pidfile names one; the name must match all the same."""
    tree = Path(root)
    plant(tree, 60, 'app')
    plant(tree, 61, 'app')

    def pids(name: str | None, only: int) -> list[int]:
        matches = process_table.matches(name, None, None, False, root, only=only)
        return [each.pid for each in matches]

    assert pids('app', 61) == [61]
    assert pids(None, 61) == [61]
    assert pids('other', 61) == []
    assert pids('app', 62) == []


def test_never_ourselves_nor_what_we_started(root: str) -> None:
    """Descendants of any depth are no targets, whatever they are called."""
    tree = Path(root)
    plant(tree, 60, 'pollreload', ppid=50)
    plant(tree, 61, 'pollreload', ppid=60)
    plant(tree, 62, 'pollreload', ppid=40)

    matches = process_table.matches('pollreload', None, None, True, root)

    assert [each.pid for each in matches] == [62]


@pytest.mark.parametrize('name', [None, 'kswapd0'])
def test_threads_of_the_kernel_never_match(root: str, name: str | None) -> None:
    """A program may have the name of one, which takes no signal."""
    tree = Path(root)
    plant(tree, 60, 'kswapd0', flags=procfs.PF_KTHREAD | 0x40)
    plant(tree, 61, 'kswapd0', flags=0x40)

    matches = process_table.matches(name, None, None, False, root)

    assert 61 in {each.pid for each in matches}
    assert 60 not in {each.pid for each in matches}
    assert process_table.find(60, root) is None


def test_a_ring_of_parents_ends(root: str) -> None:
    """Pids reused between two readings can make a ring; nothing hangs."""
    tree = Path(root)
    plant(tree, 60, 'app', ppid=61)
    plant(tree, 61, 'app', ppid=60)

    matches = process_table.matches('app', None, None, False, root)

    assert [each.pid for each in matches] == [60, 61]


def test_nested_only_with_all_namespaces(root: str) -> None:
    """A longer NSpid than ours is a container; its last number its own pid."""
    plant(Path(root), 60, lines=['NSpid:\t60\t1'])
    plant(Path(root), 61, lines=['NSpid:\t61\t7'])
    plant(Path(root), 62, lines=['NSpid:\t62'])

    here = process_table.matches('app', None, None, False, root)
    everywhere = process_table.matches('app', None, None, True, root)

    assert [each.pid for each in here] == [62]
    assert [(each.pid, each.nested, each.init) for each in everywhere] == [
        (60, True, True), (61, True, False), (62, False, False),
    ]


def test_nested_is_counted_from_our_level(root: str) -> None:
    """In a /proc from above ours, a process as deep as ours is not below it."""
    tree = Path(root)
    (tree / '50' / 'status').write_text('NSpid:\t50\t5\n')
    plant(tree, 60, lines=['NSpid:\t60\t6'])
    plant(tree, 61, lines=['NSpid:\t61\t7\t1'])

    matches = process_table.matches('app', None, None, True, root)

    assert [(each.pid, each.nested) for each in matches] == [(60, False), (61, True)]


def test_without_nspid_nothing_is_nested(tmp_path: Path) -> None:
    """gVisor prints no NSpid: there only pid 1 is an init."""
    plant(tmp_path, 1, 'app', ppid=0)
    plant(tmp_path, 2, 'app')

    matches = process_table.matches('app', None, None, False, str(tmp_path))

    assert [(each.pid, each.nested, each.init) for each in matches] == [
        (1, False, True), (2, False, False),
    ]


def test_what_vanishes_or_is_refused_does_not_match(
        root: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither gone at the open (ENOENT) nor at the read (ESRCH) is an error."""
    plant(Path(root), 60, 'app')
    plant(Path(root), 61, 'app')
    plant(Path(root), 62, 'app')
    (Path(root) / '60' / 'comm').unlink()
    open_, read = os.open, os.read
    gone: set[int] = set()

    def opened(path: str, *rest: int) -> int:
        fd = open_(path, *rest)
        gone.difference_update({fd})
        gone.update({fd} if '/61/' in path else ())
        return fd

    def got(fd: int, size: int) -> bytes:
        if fd in gone:
            raise ProcessLookupError(errno.ESRCH, 'No such process')
        return read(fd, size)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'open', opened)
        patch.setattr(os, 'read', got)
        matches = process_table.matches('app', None, None, False, root)
        unread = process_table.find(61, root)

    assert [each.pid for each in matches] == [62]
    assert unread is None


def test_no_proc_no_processes(tmp_path: Path) -> None:
    """If nothing is mounted there are no processes, and no error."""
    root = str(tmp_path / 'none')

    assert process_table.matches('app', None, None, False, root) == ()
    assert process_table.others(root) == []


def test_real_names_of_any_bytes_match() -> None:
    """Spaces, parentheses and newlines are letters like any other."""
    for name in ('a) R (b', ' a b ', '(', 'a\nb', 'x\udcff'):
        with targets.start('handler', name=name) as target:
            process = process_table.find(target.pid)
            matched = found(name, None, None, False)

        assert process is not None
        assert (process.comm, process.ppid) == (name, os.getpid())
        assert target.pid in matched


def test_real_descendants_never_match() -> None:
    """Our own child is no target; seen from beside, the same one is."""
    name = unique('own')
    with targets.start('handler', name=name) as target:
        assert process_table.matches(name, None, None, True) == ()
        assert found(name, None, None, False) == {target.pid}


def test_real_decoys_have_the_same_15_bytes(tmp_path: Path) -> None:
    """Of two programs with the same comm only the one named matches."""
    wanted, decoy = unique('long-program-name-a'), unique('long-program-name-b')
    for name in (wanted, decoy):
        (tmp_path / name).symlink_to(sys.executable)
    with (
        targets.start('handler', program=str(tmp_path / wanted)) as right,
        targets.start('handler', program=str(tmp_path / decoy)) as wrong,
    ):
        both = found(wanted[:15], None, None, False)
        one = found(wanted, None, None, False)

    assert {right.pid, wrong.pid} <= both
    assert one == {right.pid}


def test_real_workers_have_the_name_of_their_master() -> None:
    """All of them match, and the ppid of a worker is its master."""
    name = unique('forker')
    with targets.start('forking', name=name) as target:
        rows = beside(lambda: [
            (each.pid, each.ppid)
            for each in process_table.matches(name, None, None, False)
        ])

    assert dict(rows).keys() == {target.pid, *target.workers}
    assert {dict(rows)[pid] for pid in target.workers} == {target.pid}


def test_real_conditions() -> None:
    """uid and arguments of a real process, one of another user."""
    name = unique('cond')
    with (
        targets.start('handler', name=name, uid=65534, arguments=['one']) as one,
        targets.start('handler', name=name, arguments=['two']) as two,
    ):
        assert found(name, None, 65534, False) == {one.pid}
        assert found(name, None, os.geteuid(), False) == {two.pid}
        assert found(name, 'two$', None, False) == {two.pid}


def test_real_pid_namespace() -> None:
    """The pid 1 of an inner namespace is nested and an init, its child no init."""
    name = unique('nest')
    with targets.start('forking', name=name, namespace=True, workers=1) as target:
        init = process_table.find(target.pid)
        worker = process_table.family(target.pid)[1][0]
        here = found(name, None, None, False)
        everywhere = found(name, None, None, True)
        child = process_table.find(worker or 0)

    assert init is not None
    assert (init.nested, init.init) == (True, True)
    assert child is not None
    assert (child.nested, child.init) == (True, False)
    assert here == set()
    assert everywhere == {target.pid, worker}


def test_we_descend_from_our_parent() -> None:
    """ancestor is true up the chain, and of no other process."""
    parent = process_table.find(os.getppid())
    with targets.start('handler') as target:
        child = process_table.find(target.pid)

    assert parent is not None
    assert child is not None
    assert (parent.ancestor, child.ancestor) == (True, False)


def test_zombies_are_not_there(root: str) -> None:
    """State Z or X, and no other thread alive."""
    tree = Path(root)
    for pid, state in ((60, 'Z'), (61, 'X'), (62, 'x')):
        place = plant(tree, pid, state=state)
        plant(place / 'task', pid, state=state)
        plant(place / 'task', pid + 100, state='Z')
        (place / 'task' / '999').mkdir()

    for pid in (60, 61, 62, 63):
        assert process_table.find(pid, root) is None
        assert procfs.started(pid, root) is None
        assert masks_of(pid, root) is None


def test_leader_may_exit_before_its_threads(root: str) -> None:
    """A Z with a live thread is alive, and its arguments are that thread's."""
    place = plant(Path(root), 60, state='Z', started=7)
    plant(place / 'task', 60, state='Z', masks={**MASKS, 'SigBlk': 0})
    plant(
        place / 'task', 61, started=9, cmdline=('app', '-x'),
        masks={**MASKS, 'SigBlk': 1},
    )

    process = process_table.find(60, root)
    masks = masks_of(60, root)

    assert process is not None
    assert (process.started, process.cmdline) == (7, ('app', '-x'))
    assert procfs.started(60, root) == 7
    assert masks == Masks(0, 0, 1, 0)


def test_gone_between_stat_and_comm(root: str) -> None:
    """Half a process is none."""
    (plant(Path(root), 60) / 'comm').unlink()

    assert process_table.find(60, root) is None


def test_real_zombie() -> None:
    """One that has not been reaped is gone, though kill(2) to it succeeds."""
    with targets.start('handler') as target:
        before = procfs.started(target.pid)
        target.zombie()
        os.kill(target.pid, 0)

        assert before is not None
        assert procfs.started(target.pid) is None
        assert process_table.find(target.pid) is None
        assert masks_of(target.pid) is None


def test_real_leader_that_exited() -> None:
    """It looks like a zombie, still matches, and its threads say what it blocks."""
    name = unique('headless')
    with targets.start('leaderless', name=name, arguments=['word']) as target:
        state = targets.states(target.pid)
        matched = found(name, 'word$', None, False)
        masks = masks_of(target.pid)

    assert b'Z' in state
    assert matched == {target.pid}
    assert masks is not None
    assert not masks.caught & 1


def test_real_start_time_is_on_our_clock() -> None:
    """ticks() and now() are the units that start times are in."""
    before = procfs.now()
    with targets.start('handler') as target:
        started = procfs.started(target.pid)
    after = procfs.now()

    assert started is not None
    assert before - 0.02 <= started / procfs.ticks() <= after


def test_real_program_is_known_by_its_file() -> None:
    """The same for the same file; '' if we may not read it, or it is gone."""
    with targets.start('handler') as target, targets.start('default') as other:
        with open('/bin/sleep', 'rb') as file:
            sleep = os.fstat(file.fileno())
        child = subprocess.Popen(['/bin/sleep', '600'])
        try:
            mine, theirs = procfs.program(target.pid), procfs.program(other.pid)
            # Between fork and exec it is another program still.
            targets.settle(child.pid)
            slept = procfs.program(child.pid)
        finally:
            child.kill()
            child.wait()
        refused = beside(as_nobody(lambda: procfs.program(target.pid)))

    assert mine == theirs != ''
    assert slept.split()[0] == os.path.realpath('/bin/sleep')
    assert slept.split()[2] == str(sleep.st_ino)
    assert refused == procfs.program(child.pid) == ''


def test_program_without_a_mapping_is_unknown(root: str) -> None:
    """What maps does not show says nothing about the file."""
    place = plant(Path(root), 60)
    (place / 'exe').symlink_to('/bin/app')
    (place / 'maps').write_text('55-56 r-xp 0 08:01 7 /bin/other\n\n')
    before = procfs.program(60, root)
    with open(place / 'maps', 'a', encoding='ascii') as maps:
        maps.write('57-58 r--p 0 08:01 9                 /bin/app\n')

    assert before == ''
    assert procfs.program(60, root) == '/bin/app 08:01 9'
