"""What kernels, gVisor and 9p print in /proc."""
from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pollreload.system import process_table, procfs, visibility, wall_clock
from pollreload.system.signal_masks import masks as masks_of
from tests.support import targets
from tests.support.proc_tree import beside, plant, tree


@pytest.mark.parametrize(('uids', 'uid', 'answer'), [
    ([0, 0, 0, 0], 0, True), ([33, 33, 33, 33], 33, True),
    # A setuid program that another user started, also after seteuid(2).
    ([1000, 0, 0, 0], 0, False), ([0, 0, 1000, 0], 0, False),
    ([1000, 33, 33, 33], 33, False),
    # Root may be any user for a while.
    ([0, 33, 0, 33], 33, True), ([0, 33, 0, 33], 0, False),
    ([], 0, False), ([0], 0, False),
])
def test_real_and_saved_uid_count_for_uid(
        uids: list[int], uid: int, answer: bool,
) -> None:
    """Any user can start a setuid program by a link of any name."""
    assert process_table.runs_as(uids, uid) == answer


def test_setuid_program_of_another_user_does_not_match_root(root: str) -> None:
    """It cannot hold up a reload by being the second match, either."""
    plant(Path(root), 60, 'app', lines=['Uid:\t0\t0\t0\t0'])
    plant(Path(root), 61, 'app', lines=['Uid:\t1000\t0\t0\t0'])

    matches = process_table.matches('app', None, 0, False, root)

    assert [each.pid for each in matches] == [60]


def test_real_setuid_program_of_another_user_does_not_match_root() -> None:
    """As seen in the real /proc: the real uid stays that of the user."""
    with targets.start('handler') as target:
        def forge() -> list[bool]:
            os.setresuid(65534, 0, 0)
            mine = process_table.find(os.getpid(), uid=0)
            os.setresuid(0, 0, 0)
            return [mine is None, process_table.find(os.getpid(), uid=0) is not None]

        both = beside(forge)
        other = process_table.find(target.pid, uid=0)

    assert both == [True, True]
    assert other is not None


LINES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([
        b'', b'60 (app) S', b'60 (a) b) S 1 2 3', b'60 (app) S x ' + b'1 ' * 30,
        b'60 (app) S ' + b'-1 ' * 30, b'60 (app) S ' + b'9' * 5000,
        b'Uid:\t0', b'Uid:\tx\ty', b'NSpid:\t60\tx', b'NSpid:', b'NSpid:\t-1',
        b'SigCgt:\tzz\nSigIgn:\t\nSigBlk:\t1 2\nSigPnd:\t0\nShdPnd:\t0',
        b'State:\n', b'CapEff:\tx\nCapBnd:', b'Uid\n:\n',
    ]),
)
MOUNTS = st.one_of(st.binary(max_size=200), st.sampled_from([
    b'36 35 98:0 / /proc rw - proc ', b'36 35 98:0 / /proc rw - proc proc rw,gid=x',
    b'36 35 98:0 / /proc rw - 9p aname=drvfs;path=C:\\Users;uid=0', b' - ',
    b'36 35 x / /proc rw - proc proc rw,hidepid=,gid=5',
]))


@given(stat=LINES, status=LINES, comm=LINES, cmdline=LINES, mounts=MOUNTS)
@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_line_that_cannot_be_parsed_is_an_observation(
        tmp_path: Path, stat: bytes, status: bytes, comm: bytes, cmdline: bytes,
        mounts: bytes,
) -> None:
    """Nothing that a /proc prints, about us or others, ends a command."""
    place = tmp_path / 'any'
    shutil.rmtree(place, ignore_errors=True)
    root = tree(place)
    files = ('stat', stat), ('status', status), ('comm', comm), ('cmdline', cmdline)
    plant(place, 60)
    for where in (place / '60', place / '60' / 'task' / '60', place / '50'):
        where.mkdir(parents=True, exist_ok=True)
        for name, text in (*files, ('wchan', comm), ('mountinfo', mounts)):
            (where / name).write_bytes(text)

    process_table.matches(None, 'x', None, False, root)
    process_table.matches('app', None, 0, True, root)
    process_table.others(root)
    procfs.started(60, root)
    process_table.family(1, root)
    procfs.boot(root)
    masks_of(60, root)
    visibility.why_hidden(root)
    visibility.hidden(root)
    visibility.lacks(5, root)
    list(visibility.inner_pids(60, root))
    wall_clock.lowest_offset(0, root)
