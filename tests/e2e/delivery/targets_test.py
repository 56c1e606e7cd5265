"""Which processes are targets."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pollreload.system import procfs
from tests.support import sidecar, targets
from tests.support.delivering import watching
from tests.support.sidecar import check, unique, watch, write
from tests.support.targets import unsignalled


def test_zombie_is_no_target(name: str, conf: str) -> None:
    """A kill of a zombie succeeds, and notifies no process."""
    with targets.start('handler', name=name) as target, watching(name, conf) as it:
        target.zombie()
        write(conf, 'second')
        it.poll()
        held = it.until('held')

    assert held['reason'] == 'no target'
    assert it.count('signalled') == 0


def test_absent_target_is_notified_once_it_is_there(name: str, conf: str) -> None:
    """A change stays due for ever, and the target is looked for at every poll."""
    with watching(name, conf, '--interval', '20ms') as it:
        write(conf, 'second')
        held = it.until('held', reason='no target')
        with targets.start('handler', name=name) as target:
            it.until('delivered', target_pid=target.pid)
            told = target.read()

    assert f'no process is called {name!r}' in held['message']
    assert told == 'HUP'


def test_target_that_was_restarted_is_notified_again(name: str, conf: str) -> None:
    """A pid and a start time are a target; another one under the name is notified too.
    """
    with watching(name, conf) as it:
        told = []
        for content in ('second', 'third'):
            with targets.start('handler', name=name) as target:
                write(conf, content)
                it.poll()
                it.until('delivered', target_pid=target.pid)
                told.append(target.read())

    assert told == ['HUP', 'HUP']
    assert it.count('signalled') == 2


def test_pid_that_was_reused_is_held(name: str, conf: str, tmp_path: Path) -> None:
    """A pidfile that is older than the process was written about another one."""
    pidfile = tmp_path / 'app.pid'
    with targets.start('handler', name=name) as target:
        pidfile.write_text(f'{target.pid}\n', encoding='ascii')
        with watch('--pidfile', str(pidfile), conf) as it:
            it.until('baseline')
            os.utime(pidfile, (1e9, 1e9))
            write(conf, 'second')
            it.poll()
            held = it.until('held')
            assert unsignalled(target)
            os.utime(pidfile)
            it.poll()
            it.until('delivered', target_pid=target.pid)
            told = target.read()

    assert held['reason'] == 'pidfile'
    assert f'is older than {name} (pid {target.pid})' in held['message']
    assert told == 'HUP'


def test_pidfile_of_a_process_of_another_name_is_held(
        name: str, conf: str, tmp_path: Path,
) -> None:
    """With --process too, the name must also match."""
    pidfile = tmp_path / 'app.pid'
    with targets.start('handler', name=unique()) as target:
        pidfile.write_text(f'{target.pid}\n', encoding='ascii')
        with watching(name, conf, '--pidfile', str(pidfile)) as it:
            write(conf, 'second')
            it.poll()
            held = it.until('held')
        alone = unsignalled(target)

    assert held['reason'] == 'no target'
    assert alone


def test_nested_namespace_is_matched_only_when_asked(name: str, conf: str) -> None:
    """A container seen from its host is somebody else's."""
    with (
        targets.start('handler', name=name, namespace=True) as target,
        watching(name, conf) as it,
        watching(name, conf, '--all-namespaces') as all_,
    ):
        write(conf, 'second')
        it.poll()
        held = it.until('held')
        assert unsignalled(target)
        all_.poll()
        all_.until('delivered', target_pid=target.pid)
        told = target.read()

    assert held['reason'] == 'no target'
    assert it.count('signalled') == 0
    assert told == 'HUP'


def test_init_of_a_namespace_without_handler_is_held(name: str, conf: str) -> None:
    """Pid 1 is spared what it has no handler for, while kill reports success."""
    with (
        targets.start('default', name=name, namespace=True) as target,
        watching(name, conf, '--all-namespaces') as it,
    ):
        write(conf, 'second')
        it.poll()
        held = it.until('held')
        alone = unsignalled(target)

    assert held['reason'] == 'no handler'
    assert 'ignores SIGHUP' in held['message']
    assert alone


def test_target_that_may_not_be_signalled_is_named_once(name: str, conf: str) -> None:
    """One line names both uids, however often it is tried; notified once permitted."""
    without = ('setpriv', '--bounding-set=-kill', '--inh-caps=-kill')
    with watching(name, conf, '--interval', '20ms', '-v', under=without) as it:
        with targets.start('handler', name=name, uid=65534) as foreign:
            write(conf, 'second')
            failed = it.until('failed', reason='not permitted')
            while 'failed attempts: 2' not in it.status():
                it.until('polled')
            assert unsignalled(foreign)
        with targets.start('handler', name=name) as ours:
            it.poll()
            it.until('delivered', target_pid=ours.pid)
            told = ours.read()

    assert failed['message'] == (
        f'not permitted to send SIGHUP to {name} (pid {foreign.pid}, uid 65534) as '
        f'uid 0; run as the same uid, or as root with CAP_KILL'
    )
    assert it.count('failed') == 1
    assert told == 'HUP'


def test_several_roots_are_listed_and_no_process_is_notified(
        name: str, conf: str,
) -> None:
    """Which of them is meant is for the user to say."""
    with (
        targets.start('handler', name=name) as one,
        targets.start('handler', name=name) as two,
    ):
        with watching(name, conf) as it:
            write(conf, 'second')
            it.poll()
            held = it.until('held')
        alone = unsignalled(one) and unsignalled(two)

    assert held['reason'] == 'ambiguous'
    assert {str(one.pid), str(two.pid)} < set(re.findall(r'\d+', held['message']))
    assert '--select roots' in held['message']
    assert alone


@pytest.mark.parametrize(('select', 'told'), [
    ('roots', {'old', 'new'}), ('all', {'old', 'new'}),
    ('oldest', {'old'}), ('newest', {'new'}),
])
def test_select_says_which_of_several_are_notified(
        name: str, conf: str, select: str, told: set[str],
) -> None:
    """Each of those that are chosen is notified once, and no other."""
    with (
        targets.start('handler', name=name) as old,
        watching(name, conf, '--select', select) as it,
        targets.start('handler', name=name) as new,
    ):
        write(conf, 'second')
        it.poll()
        for _ in told:
            it.until('delivered')
        got = {
            age for age, target in (('old', old), ('new', new)) if age in told
            and target.read() == 'HUP'
        }
        it.poll()
        alone = unsignalled(old) and unsignalled(new)

    assert got == told
    assert alone
    assert it.count('signalled') == len(told)


def test_only_the_master_of_workers_is_notified(name: str, conf: str) -> None:
    """A HUP to a worker, which has the default disposition, would kill it."""
    with (
        targets.start('forking', name=name) as target,
        watching(name, conf, '--verify-workers') as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('verified', target_pid=target.pid)
        told = target.read()
        it.poll()

    assert told == 'HUP'
    assert it.count('signalled') == 1


def test_workers_that_would_die_are_held_among_all(name: str, conf: str) -> None:
    """--select all under enforce notifies the master, reports the workers, kills none.
    """
    with (
        targets.start('forking', name=name) as target,
        watching(name, conf, '--select', 'all') as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('delivered', target_pid=target.pid)
        told = target.read()
        it.poll()
        held = it.until('held')
        pids = re.findall(r'pid (\d+)', held['message'])
        alive = [procfs.started(int(pid)) is not None for pid in pids]

    assert told == 'HUP'
    assert held['reason'] == 'no handler'
    assert alive == [True, True]
    assert it.count('signalled') == 1


@pytest.mark.parametrize('decoy', ['as argv[0]', 'as a script'])
def test_decoy_of_the_same_15_bytes_is_never_signalled(
        conf: str, tmp_path: Path, decoy: str,
) -> None:
    """A name that does not fit into comm is confirmed by the command line."""
    short = f'long-{unique()}'.ljust(15, '-')[-15:]
    real, other = tmp_path / f'{short}real', tmp_path / f'{short}other'
    for link in (real, other):
        link.symlink_to(sys.executable)
    rest: dict[str, Any] = (
        {'program': str(other)} if decoy == 'as argv[0]' else {'name': short}
    )
    with (
        targets.start('handler', **rest) as wrong,
        watching(f'{short}real', conf) as it,
    ):
        write(conf, 'second')
        it.poll()
        held = it.until('held')
        with targets.start('handler', program=str(real)) as right:
            it.poll()
            it.until('delivered', target_pid=right.pid)
            told = right.read()
        alone = unsignalled(wrong)

    assert held['reason'] == 'no target'
    assert told == 'HUP'
    assert alone


@pytest.mark.parametrize('template', [
    '{} b) (c', '({}) S 1', 'a\\b {}', '{}é', ') Z 0 0 {}',
])
def test_name_may_hold_what_stat_is_split_at(conf: str, template: str) -> None:
    """Spaces and parentheses in a name mislead whoever splits stat at the first one."""
    name = template.format(unique()[-6:])
    with targets.start('handler', name=name) as target:
        done = check('--process', name, '--on-start', 'always', '--state-file',
                     f'{conf}.ledger', conf)
        told = target.read()

    assert done.status == 0
    assert told == 'HUP'


def test_shell_that_runs_us_yields_to_the_target(
        name: str, conf: str, tmp_path: Path,
) -> None:
    """A shell that is pollreload's parent, and goes by the name, is not notified."""
    shell = tmp_path / name
    shell.symlink_to('/bin/sh')
    command = ' '.join((
        *sidecar.POLLRELOAD, 'check', *sidecar.quick(
            '--on-start', 'always', '--handler-check', 'off',
            '--state-file', f'{conf}.ledger', '--process', name, conf,
        ),
    ))
    with targets.start('handler', name=name) as target:
        done = subprocess.run(
            [str(shell), '-c', f'{command}; echo survived'], check=False,
            env=sidecar.environment(), capture_output=True, timeout=targets.DEADLINE,
        )
        told = target.read()

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == b'survived'
    assert f'delivered: SIGHUP to {name} (pid {target.pid})'.encode() in done.stdout
    assert told == 'HUP'


def test_shell_that_runs_us_is_held_if_it_is_alone(
        name: str, conf: str, tmp_path: Path,
) -> None:
    """Under enforce the shell, which would die of it, lives and is reported."""
    shell = tmp_path / name
    shell.symlink_to('/bin/sh')
    command = ' '.join((
        *sidecar.POLLRELOAD, 'check', *sidecar.quick(
            '--on-start', 'always', '--state-file', f'{conf}.ledger',
            '--process', name, conf,
        ),
    ))
    done = subprocess.run(
        [str(shell), '-c', f'{command}; echo survived $?'], check=False,
        env=sidecar.environment(), capture_output=True, timeout=targets.DEADLINE,
    )

    assert done.stdout.splitlines()[-1] == b'survived 1'
    assert b'no handler' in done.stdout


def test_validation_of_the_same_name_is_never_notified(
        name: str, conf: str, tmp_path: Path,
) -> None:
    """Our own child is no target, as the `nginx -t` that validates is none."""
    program = tmp_path / name
    program.symlink_to('/bin/sh')
    with (
        targets.start('handler', name=name) as target,
        watching(name, conf, '--validate', f'{program} -c "kill -0 $$; :"') as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('delivered', target_pid=target.pid)
        told = target.read()

    assert told == 'HUP'
    assert it.count('signalled') == 1
