"""Which processes /proc shows us."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pollreload.system import process_table, visibility
from tests.support import targets
from tests.support.proc_tree import beside, plant


def test_no_trouble_here() -> None:
    """The /proc of this machine names us."""
    assert visibility.why_hidden() == ''


def test_trouble_with_a_proc_that_is_not_ours(tmp_path: Path) -> None:
    """Not mounted, another's, or that of a pid namespace above ours."""
    assert visibility.why_hidden(str(tmp_path)) == f'{tmp_path} is not mounted'
    us = os.getpid()
    plant(tmp_path, us + 1)
    place = plant(tmp_path, us, lines=[f'NSpid:\t{us}'])
    link = tmp_path / 'self'
    other = f'{tmp_path} is of another pid namespace; mount a new one there'

    link.symlink_to('nobody')
    assert visibility.why_hidden(str(tmp_path)) == other
    link.unlink()
    link.symlink_to(str(us + 1))
    assert visibility.why_hidden(str(tmp_path)) == other
    link.unlink()
    link.symlink_to(str(us))
    assert visibility.why_hidden(str(tmp_path)) == ''
    (place / 'status').write_text(f'NSpid:\t{us}\t{us}\n')
    assert visibility.why_hidden(str(tmp_path)) == other


def test_real_proc_of_another_namespace() -> None:
    """In a new pid namespace with the old /proc everything is in doubt."""
    code = 'from pollreload.system import visibility; print(visibility.why_hidden())'
    said = subprocess.run(
        ['unshare', '--pid', '--fork', sys.executable, '-c', code],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3],
    ).stdout

    assert said == '/proc is of another pid namespace; mount a new one there\n'


def test_alone_with_ancestors_and_descendants(root: str) -> None:
    """Another process that is neither makes us not alone."""
    plant(Path(root), 60, ppid=50)
    before = visibility.alone(process_table.others(root), root)
    plant(Path(root), 61, ppid=1)

    assert before
    assert not visibility.alone(process_table.others(root), root)


def test_real_loneliness() -> None:
    """In a pid namespace of our own we are alone; here we are not."""
    code = (
        'from pollreload.system import process_table, visibility; '
        'print(visibility.alone(process_table.others()), visibility.why_hidden())'
    )
    said = subprocess.run(
        ['unshare', '--pid', '--fork', '--mount-proc', sys.executable, '-c', code],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3],
    ).stdout
    with targets.start('handler'):
        here = beside(lambda: visibility.alone(process_table.others()))

    assert said == 'True \n'
    assert not here


MOUNT = '23 1 0:5 / {at} rw,nosuid shared:9 - {kind} proc {options}'


@pytest.mark.parametrize(
    ('mounts', 'gids', 'effective', 'hides'),
    [
        ([('/proc', 'proc', 'rw,hidepid=2')], (65534,), '0', True),
        ([('/proc', 'proc', 'rw,gid=5,hidepid=invisible')], (65534,), '0', True),
        ([('/proc', 'proc', 'rw,hidepid=0')], (65534,), '0', False),
        ([('/proc', 'proc', 'rw,hidepid=off')], (65534,), '0', False),
        ([('/proc', 'proc', 'rw')], (65534,), '0', False),
        ([('/mnt', 'proc', 'rw,hidepid=2')], (65534,), '0', False),
        ([('/proc', 'tmpfs', 'rw,hidepid=2')], (65534,), '0', False),
        (
            [('/proc', 'proc', 'rw,hidepid=2'), ('/proc', 'proc', 'rw')], (65534,),
            '0', False,
        ),
        ([('/proc', 'proc', 'rw,hidepid=2')], (65534,), '80000', False),
        ([('/proc', 'proc', 'rw,hidepid=2')], (0,), '0', False),
        ([('/proc', 'proc', 'rw,hidepid=2')], (65534, 0), '0', False),
        ([('/proc', 'proc', 'rw,gid=5,hidepid=2')], (5,), '0', False),
        ([('/proc', 'proc', 'rw,gid=5,hidepid=2')], (0,), '0', True),
        ([('/proc', 'proc', 'rw,hidepid=ptraceable')], (0,), '0', True),
        ([('/proc', 'proc', 'rw,hidepid=4')], (65534, 0), '0', True),
        ([('/proc', 'proc', 'rw,gid=5,hidepid=ptraceable')], (5,), '0', True),
        ([('/proc', 'proc', 'rw,hidepid=ptraceable')], (0,), '80000', False),
        (
            [('/proc', 'proc', 'rw,hidepid=ptraceable'), ('/proc', 'proc', 'rw')],
            (0,), '0', False,
        ),
        ([], (65534,), '0', False),
    ],
)
def test_hidden_processes_are_recognised_by_the_mount_and_our_rights(
        root: str, monkeypatch: pytest.MonkeyPatch,
        mounts: list[tuple[str, str, str]], gids: tuple[int, ...], effective: str,
        hides: bool,
) -> None:
    """hidepid on the topmost /proc hides what is not ours, except from CAP_SYS_PTRACE
    and, except with `ptraceable`, from its group; gid= is offered if it helps.
    """
    (Path(root) / '50' / 'mountinfo').write_text(''.join(
        MOUNT.format(at=at, kind=kind, options=options) + '\n'
        for at, kind, options in mounts
    ))
    status = Path(root) / '50' / 'status'
    status.write_text(f'{status.read_text()}CapEff:\t{effective}\n')
    monkeypatch.setattr(os, 'getegid', lambda: gids[0])
    monkeypatch.setattr(os, 'getgroups', lambda: list(gids[1:]))

    said = visibility.hidden(root)

    asks = not any('ptraceable' in options or '=4' in options for *_, options in mounts)
    assert bool(said) == hides
    assert said.endswith('or gid= one of ours') == (hides and asks)


@pytest.mark.parametrize(('bounding', 'effective', 'bounded'), [
    ('20', '0', True), ('20', '20', False), ('1ffffffffff', '0', True),
    ('df', '0', False),
])
def test_a_capability_that_is_allowed_may_not_be_in_effect(
        tmp_path: Path, bounding: str, effective: str, bounded: bool,
) -> None:
    """CAP_KILL is bit 5."""
    (tmp_path / 'self').mkdir()
    lines = f'CapBnd:\t{bounding}\nCapEff:\t{effective}\n'
    (tmp_path / 'self/status').write_text(lines)

    assert visibility.lacks(5, str(tmp_path)) is bounded


def test_inner_pids_are_those_of_nested_namespaces(root: str) -> None:
    """The last number of NSpid, deeper than ours; never of our own children."""
    tree = Path(root)
    plant(tree, 60, lines=['NSpid:\t60\t7'])
    plant(tree, 61, lines=['NSpid:\t61\t2\t7'])
    plant(tree, 62, lines=['NSpid:\t62\t8'])
    plant(tree, 7, lines=['NSpid:\t7'])
    plant(tree, 63, ppid=50, lines=['NSpid:\t63\t7'])

    assert list(visibility.inner_pids(7, root)) == [60, 61]
