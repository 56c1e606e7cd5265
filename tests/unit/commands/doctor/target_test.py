"""The rows of doctor about /proc, the target and the signal."""
from __future__ import annotations

import os

import pytest

from pollreload.commands.doctor import rows as rows_module
from pollreload.commands.doctor import target as target_module
from pollreload.commands.doctor.rows import Row
from pollreload.core.process import GO, HANDLED, UNHANDLED, Choice, Masks, Process
from pollreload.runtime import targets as targets_module
from pollreload.settings import Settings, Signal
from pollreload.system import (
    signal_masks,
    signals,
    visibility,
)
from tests.support.doctor import (
    NOBODY,
    SOMEBODY,
    put,
    row_of,
    rows,
    rows_of,
)
from tests.support.targets import reaped, start


def test_missing_process_fails_with_the_nearest_names(comm, conf):
    """The checks of the target are skipped."""
    with start('handler', name=f'{comm}x'):
        found = rows(paths=(conf,), process=comm)

    row = row_of(found, 'process')
    assert row.verdict == 'fail'
    assert row.says == f'no process is called {comm!r}'
    assert f'{comm}x'[:15] in row.remedy
    assert row_of(found, 'handler').verdict == 'skip'
    assert row_of(found, 'permission').verdict == 'skip'


def test_workers_are_listed_and_the_master_is_chosen(comm, conf):
    """Each matching process has a row."""
    with start('forking', name=comm, workers=10) as target:
        found = rows_of(rows(paths=(conf,), process=comm), 'process')

    assert found[0].about == f'{comm} (pid {target.pid})'
    assert found[0].says.startswith('uid 0, up ')
    assert found[0].says.endswith(' s; chosen: its parent is no match')
    assert f'below pid {target.pid}, which matches too' in found[1].says
    assert found[-1].says == '3 more match'
    assert len(found) == target_module.MOST_MATCHES + 1


@pytest.mark.parametrize(('kind', 'workers', 'expected'), [
    ('forking', 10, ('ok', 'has 10 child processes; at least half of them have to be '
                     'replaced')),
    ('forking', 1, ('ok', 'has 1 child process; at least half of them have to be '
                    'replaced')),
    ('handler', 0, ('warn', 'has no child process now, and none means no proof of a '
                    'reload')),
])
def test_workers_are_counted_for_verify_workers(comm, conf, kind, workers, expected):
    """A target without workers can never be verified by them."""
    options = {'workers': workers} if workers else {}
    with start(kind, name=comm, **options) as target:
        found = rows(paths=(conf,), process=comm, verify_workers=True)
        without = rows(paths=(conf,), process=comm)

    row = row_of(found, 'verify-workers')
    assert (row.verdict, row.says) == expected
    assert row.about == f'{comm} (pid {target.pid})'
    assert bool(row.remedy) == (row.verdict == 'warn')
    assert rows_of(without, 'verify-workers') == []


def test_several_roots_fail_and_are_listed(comm, conf):
    """The remedy is an option that selects one of them."""
    with start('handler', name=comm), start('handler', name=comm):
        first, *others = rows_of(rows(paths=(conf,), process=comm), 'process')
        newest = rows_of(rows(paths=(conf,), process=comm, select='newest'), 'process')

    assert first.verdict == 'fail'
    assert first.says.startswith('2 processes match')
    assert '--select roots' in first.remedy
    assert all(row.says.endswith('; its parent is no match') for row in others)
    assert len(others) == 2
    assert newest[0].says.endswith('chosen: the newest')


def test_pidfile_is_the_reason_for_a_choice(comm, at, conf):
    """A missing pid file fails."""
    path = f'{at}/app.pid'
    missing = row_of(rows(paths=(conf,), pidfile=path), 'process')
    with start('handler', name=comm) as target:
        put(path, f'{target.pid}\n')
        chosen = row_of(rows(paths=(conf,), pidfile=path), 'process')

    assert missing.verdict == 'fail'
    assert path in missing.says
    assert chosen.verdict == 'ok'


def test_pidfile_among_several_matches_is_named(conf):
    """It is the reason why one of them was selected."""
    process = Process(reaped(), 1, 1, 'app')

    row, = target_module.list_matches(
        Settings(pidfile='/run/app.pid'), Choice((process,), matches=(process,)),
    )

    assert row.says.endswith('chosen: named by /run/app.pid')


def test_process_of_another_pid_namespace_is_shown(comm, conf):
    """The remedy is the option that includes it."""
    with start('handler', name=comm, namespace=True) as target:
        missing, inner = rows_of(rows(paths=(conf,), process=comm), 'process')
        inside = rows(paths=(conf,), process=comm, all_namespaces=True)
        taken = row_of(inside, 'process')

    assert missing.verdict == 'fail'
    assert inner.verdict == 'warn'
    assert inner.about == f'{comm} (pid {target.pid})'
    assert '--all-namespaces' in inner.remedy
    assert 'in a nested pid namespace; chosen' in taken.says


def test_truncated_name_is_explained(conf):
    """A name over 15 bytes is matched by its first 15 and then confirmed."""
    row = row_of(rows(paths=(conf,), process='a-name-of-20-letters'), 'name')

    assert row.verdict == 'ok'
    assert "matched as 'a-name-of-20-le'" in row.says


@pytest.mark.parametrize(('kind', 'mode', 'verdict', 'says'), [
    ('handler', 'enforce', 'ok', 'has a handler for SIGHUP'),
    ('blocked', 'enforce', 'ok', 'blocks SIGHUP'),
    ('default', 'enforce', 'fail', 'would die of it; it is held'),
    ('ignored', 'enforce', 'fail', 'ignores SIGHUP; it is held'),
    ('default', 'warn', 'warn', 'sent all the same (--handler-check warn)'),
    ('ignored', 'off', 'warn', 'sent all the same (--handler-check off)'),
])
def test_verdict_of_a_disposition_follows_handler_check(
        comm, conf, kind, mode, verdict, says,
):
    """The row says what the target would do, and whether the signal would be sent."""
    with start(kind, name=comm):
        row = row_of(rows(paths=(conf,), process=comm, handler_check=mode), 'handler')

    assert row.verdict == verdict
    assert says in row.says
    assert bool(row.remedy) == (verdict == 'fail')


def test_unknown_disposition_is_a_warning(comm, conf, monkeypatch):
    """Missing evidence is no evidence: the signal would be sent."""
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: None)
    with start('default', name=comm):
        row = row_of(rows(paths=(conf,), process=comm), 'handler')

    assert row.verdict == 'warn'
    assert 'this kernel does not say' in row.says


def test_runtime_that_catches_every_signal_is_a_warning(comm, conf, monkeypatch):
    """A program in Go has the same mask whether or not it handles the signal."""
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: Masks(GO | 1, 0, 0, 0))
    with start('handler', name=comm):
        found = rows(paths=(conf,), process=comm)

    row = row_of(found, 'handler')
    assert row.verdict == 'warn'
    assert row.says.startswith('catches SIGHUP in its runtime (Go, JVM, Ruby')
    assert '--deliver' in row.remedy
    assert rows_module.exit_status(found) == 0


def test_every_disposition_has_a_sentence():
    """Without one doctor would end with a traceback."""
    assert {*target_module.DOES} == {*HANDLED, *UNHANDLED, 'unknown'}


def test_signals_that_are_handled_instead_are_named(comm, conf):
    """Those on which programs commonly reload."""
    with start('default', name=comm):
        row = row_of(rows(paths=(conf,), process=comm), 'handler')

    assert row.says.endswith('it is held; it handles USR1, not HUP')


def test_child_that_handles_the_signal_is_the_remedy(monkeypatch):
    """As for a shell or tini as pid 1, whose child has another name."""
    child = Process(9, 1, 1, 'my app')
    parent = Process(1, 0, 1, 'tini')
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: Masks(0, 0, 0, 0))
    monkeypatch.setattr(targets_module, 'handling_descendant', lambda *_: child)

    row, = target_module.dispositions(Settings(), Choice((parent,)))

    assert row.verdict == 'fail'
    assert row.remedy == "its child my app (pid 9) handles SIGHUP: --process 'my app'"


def test_target_that_started_pollreload_fails_without_a_ledger():
    """Each restart would be a start without a memory; the remedy is --state-file."""
    choice = Choice((Process(1, 0, 1, 'supervisord', ancestor=True),))

    row, = target_module.ancestors(Settings(), choice)

    assert (row.verdict, row.about) == ('fail', 'supervisord (pid 1)')
    assert '--state-file' in row.remedy
    assert [*target_module.ancestors(Settings(state_file='/s'), choice)] == []


def test_signal_that_ends_the_target_is_not_checked(comm, conf):
    """TERM is meant to end its target, with or without a handler."""
    with start('default', name=comm):
        row = row_of(rows(
            paths=(conf,), process=comm, signal=Signal(15, 'SIGTERM'),
        ), 'handler')

    assert row.verdict == 'ok'
    assert row.says.startswith('not checked: SIGTERM is meant to end it')


@pytest.mark.parametrize(('bounded', 'remedy'), [
    (False, 'run as the same uid, or as root with CAP_KILL'),
    (True, 'run as the same uid, or as root with CAP_KILL, which is not in effect '
     'for uid 65534'),
])
def test_missing_permission_names_both_uids(
        comm, conf, as_nobody, monkeypatch, bounded, remedy,
):
    """The remedy mentions capabilities only as far as they help."""
    monkeypatch.setattr(visibility, 'lacks', lambda number: bounded)
    os.seteuid(0)
    with start('handler', name=comm, uid=SOMEBODY):
        os.seteuid(NOBODY)
        row = row_of(rows(paths=(conf,), process=comm), 'permission')
        os.seteuid(0)

    assert row.verdict == 'fail'
    assert row.says == 'we (uid 65534) may not signal it (uid 65533)'
    assert row.remedy == remedy


def test_proc_of_another_pid_namespace_fails_and_skips_the_rest(conf, monkeypatch):
    """Its processes are not those that doctor could signal."""
    foreign = '/proc is foreign; mount a new one'
    monkeypatch.setattr(visibility, 'why_hidden', lambda: foreign)

    found = rows(paths=(conf,), process='x')

    assert row_of(found, 'proc') == Row(
        'proc', 'fail', '', '/proc is foreign', 'mount a new one',
    )
    assert row_of(found, 'process').verdict == 'skip'


@pytest.mark.parametrize(('name', 'remedy'), [
    ('hidden', 'hidepid=0'), ('alone', 'shareProcessNamespace: true'),
])
def test_few_processes_are_a_warning(conf, monkeypatch, name, remedy):
    """If others are hidden, or there are none, the row says how to make them visible.
    """
    monkeypatch.setattr(visibility, name, lambda *_: remedy)

    row = row_of(rows(paths=(conf,), process='x'), 'proc')

    assert row.verdict == 'warn'
    assert remedy in row.remedy


def test_refused_pidfd_is_a_warning(conf, monkeypatch):
    """kill(2) works as well, with less certainty."""
    monkeypatch.setattr(signals, 'has_pidfd', lambda: False)

    row = row_of(rows(paths=(conf,), process='x'), 'delivery')

    assert row.verdict == 'warn'
    assert 'kill(2)' in row.says


@pytest.mark.parametrize(('seconds', 'says'), [
    (0.0, '0 s'), (119.9, '119 s'), (120.0, '2 min'), (7200.0, '2 h'),
    (172800.0, '2 d'),
])
def test_age_is_shown_in_a_suitable_unit(seconds, says):
    """3 min, and not 187.2 s."""
    assert target_module.format_age(seconds) == says


def test_unknown_uid_is_shown_as_unknown():
    """/proc/PID/status may not show it."""
    assert target_module.user(Process(reaped(), 1, 1, 'app')) == 'uid unknown'


def test_target_that_must_not_be_signalled_fails(monkeypatch):
    """Both uids are named, and what to do."""
    monkeypatch.setattr(signals, 'permitted', lambda pid: 'refused')
    target = Process(reaped(), 1, 1, 'app', uid=7)

    row, = target_module.permissions(Choice((target,)))

    assert row.verdict == 'fail'
    assert f'uid {os.geteuid()}' in row.says
    assert 'uid 7' in row.says
    assert 'CAP_KILL' in row.remedy
