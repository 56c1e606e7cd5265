"""The whole way to a target, by the real commands, on real processes.

That a target got no signal is proved by order: a USR1 is the next that it sees.
A watch polls when it is asked to, so what it did not do by the end of that poll
it does not do.
"""
from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pollreload.system import procfs, signal_masks
from tests.support import sidecar, targets
from tests.support.sidecar import Sidecar, check, unique, watch, write

JAVA = shutil.which('java')
GO = shutil.which('gron')


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch, with its first content."""
    path = str(tmp_path / 'app.conf')
    write(path, 'first')
    return path


@pytest.fixture
def name() -> str:
    """A name for a target."""
    return unique()


@contextlib.contextmanager
def watching(name: str, conf: str, *words: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch on a process of a name that has taken its baseline."""
    with watch('--process', name, *words, conf, **rest) as it:
        it.until('baseline')
        yield it


def untold(target: targets.Target) -> bool:
    """Return whether a target lives and has seen no signal since the last one read."""
    target.signal(signal.SIGUSR1)
    return target.read() == 'USR1'


# What the target would do with the signal


def test_target_without_handler_is_held_and_lives(name: str, conf: str) -> None:
    """Under enforce nobody is killed; the line says how to override that."""
    with targets.start('default', name=name) as target, watching(name, conf) as it:
        write(conf, 'second')
        it.poll()
        held = it.until('held')
        status = it.status()
        alive = untold(target)

    assert alive
    assert held['reason'] == 'no handler'
    assert f'{name} (pid {target.pid}) would die of SIGHUP' in held['message']
    assert '--handler-check off' in held['message']
    assert 'content due' in status
    assert it.count('signalled') == 0


def test_target_whose_handler_comes_late_is_told_then(name: str, conf: str) -> None:
    """What is held for want of a handler is told once there is one."""
    with (
        targets.start('late', name=name) as target,
        watching(name, conf, '--interval', '20ms') as it,
    ):
        write(conf, 'second')
        it.until('held', reason='no handler')
        assert untold(target)
        target.tell('handle')
        assert target.read() == 'handling'
        it.until('delivered', pid=target.pid)
        told = target.read()
        it.poll()
        alone = untold(target)

    assert told == 'HUP'
    assert alone
    assert it.count('signalled') == 1


def test_target_that_ignores_the_signal_is_held(name: str, conf: str) -> None:
    """A signal that is ignored would be no reload, so it is not sent."""
    with targets.start('ignored', name=name) as target, watching(name, conf) as it:
        write(conf, 'second')
        it.poll()
        held = it.until('held', reason='no handler')
        alone = untold(target)

    assert alone
    assert 'ignores SIGHUP' in held['message']
    assert it.count('signalled') == 0


@pytest.mark.parametrize('mode', ['warn', 'off'])
def test_ignored_signal_is_sent_where_the_user_says_so(
        name: str, conf: str, mode: str,
) -> None:
    """warn sends and says what is odd about it, off just sends."""
    with (
        targets.start('ignored', name=name),
        watching(name, conf, '--handler-check', mode) as it,
    ):
        write(conf, 'second')
        it.poll()
        sent = it.until('signalled')
        it.until('delivered')

    assert ('which has no handler for it' in sent['message']) == (mode == 'warn')


def test_signalfd_is_a_handler(name: str, conf: str) -> None:
    """A blocked signal that is read from a signalfd is delivered."""
    with targets.start('blocked', name=name) as target, watching(name, conf) as it:
        write(conf, 'second')
        it.poll()
        it.until('delivered', pid=target.pid)
        told = target.read()
        alone = untold(target)

    assert told == 'HUP'
    assert alone
    assert it.count('signalled', disposition='blocked') == 1


def test_signal_that_stays_pending_fails_and_is_not_sent_again(
        name: str, conf: str,
) -> None:
    """Pending is not delivered; a second signal would merge with the first."""
    with (
        targets.start('blocked-unread', name=name) as target,
        watching(name, conf) as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('failed', reason='pending', pid=target.pid)
        it.poll()
        it.until('held', reason='pending')
        it.poll()
        status = it.status()

    assert 'content due' in status
    assert it.count('signalled') == 1
    assert it.count('delivered') == 0


@pytest.mark.parametrize('kind', ['sigwait', 'sigwait-thread'])
def test_process_in_sigwait_is_signalled(name: str, conf: str, kind: str) -> None:
    """Its masks are those of a process that would die, and it is not held."""
    with targets.start(kind, name=name) as target, watching(name, conf) as it:
        write(conf, 'second')
        it.poll()
        signalled = it.until('signalled')
        it.until('delivered', pid=target.pid)
        told = target.read()

    assert signalled['disposition'] == 'unknown'
    assert told == 'HUP'


def test_stopped_target_gets_one_signal(name: str, conf: str) -> None:
    """Delivered once it goes on, without a second signal."""
    with targets.start('handler', name=name) as target, watching(name, conf) as it:
        target.stop()
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='pending')
        it.poll()
        it.until('held', reason='pending')
        target.signal(signal.SIGCONT)
        told = target.read()
        it.poll()
        it.until('delivered', pid=target.pid)
        status = it.status()
        alone = untold(target)

    assert 'stopped' in failed['message']
    assert told == 'HUP'
    assert alone
    assert 'content current' in status
    assert it.count('signalled') == 1


def test_target_that_dies_of_the_signal_is_a_failure(name: str, conf: str) -> None:
    """Alive after --survive is what makes a delivery."""
    with (
        targets.start('default', name=name) as target,
        watching(name, conf, '--handler-check', 'off') as it,
    ):
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', pid=target.pid)
        it.until('held', reason='no target')
        status = target.wait()

    assert failed['reason'] == 'died'
    assert status == -signal.SIGHUP
    assert it.count('delivered') == 0


def test_signal_that_ends_is_a_success_where_it_was_meant_to(
        name: str, conf: str,
) -> None:
    """TERM is not checked for a handler, and the end is the success."""
    with (
        targets.start('default', name=name) as target,
        watching(name, conf, '--signal', 'term') as it,
    ):
        write(conf, 'second')
        it.poll()
        delivered = it.until('delivered', pid=target.pid)
        status = it.status()
        ended = target.wait()

    assert 'which ended' in delivered['message']
    assert 'content current' in status
    assert ended == -signal.SIGTERM


# Who is a target


def test_zombie_is_no_target(name: str, conf: str) -> None:
    """A kill of a zombie succeeds, and tells nobody."""
    with targets.start('handler', name=name) as target, watching(name, conf) as it:
        target.zombie()
        write(conf, 'second')
        it.poll()
        held = it.until('held')

    assert held['reason'] == 'no target'
    assert it.count('signalled') == 0


def test_absent_target_is_told_once_it_is_there(name: str, conf: str) -> None:
    """A change stays due for ever, and the target is looked for at every poll."""
    with watching(name, conf, '--interval', '20ms') as it:
        write(conf, 'second')
        held = it.until('held', reason='no target')
        with targets.start('handler', name=name) as target:
            it.until('delivered', pid=target.pid)
            told = target.read()

    assert f'no process is called {name!r}' in held['message']
    assert told == 'HUP'


def test_target_that_was_restarted_is_told_anew(name: str, conf: str) -> None:
    """A pid and a start time are a target; another one under the name is told too."""
    with watching(name, conf) as it:
        told = []
        for content in ('second', 'third'):
            with targets.start('handler', name=name) as target:
                write(conf, content)
                it.poll()
                it.until('delivered', pid=target.pid)
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
            assert untold(target)
            os.utime(pidfile)
            it.poll()
            it.until('delivered', pid=target.pid)
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
        alone = untold(target)

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
        assert untold(target)
        all_.poll()
        all_.until('delivered', pid=target.pid)
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
        alone = untold(target)

    assert held['reason'] == 'no handler'
    assert 'ignores SIGHUP' in held['message']
    assert alone


def test_target_that_may_not_be_signalled_is_named_once(name: str, conf: str) -> None:
    """One line names both uids, however often it is tried; told once permitted."""
    without = ('setpriv', '--bounding-set=-kill', '--inh-caps=-kill')
    with watching(name, conf, '--interval', '20ms', '-v', under=without) as it:
        with targets.start('handler', name=name, uid=65534) as foreign:
            write(conf, 'second')
            failed = it.until('failed', reason='not permitted')
            while 'failed attempts: 2' not in it.status():
                it.until('polled')
            assert untold(foreign)
        with targets.start('handler', name=name) as ours:
            it.poll()
            it.until('delivered', pid=ours.pid)
            told = ours.read()

    assert failed['message'] == (
        f'not permitted to send SIGHUP to {name} (pid {foreign.pid}, uid 65534) as '
        f'uid 0; run as the same uid, or as root with CAP_KILL'
    )
    assert it.count('failed') == 1
    assert told == 'HUP'


def test_several_roots_are_listed_and_nobody_is_told(name: str, conf: str) -> None:
    """Which of them is meant is for the user to say."""
    with (
        targets.start('handler', name=name) as one,
        targets.start('handler', name=name) as two,
    ):
        with watching(name, conf) as it:
            write(conf, 'second')
            it.poll()
            held = it.until('held')
        alone = untold(one) and untold(two)

    assert held['reason'] == 'ambiguous'
    assert {str(one.pid), str(two.pid)} < set(re.findall(r'\d+', held['message']))
    assert '--select roots' in held['message']
    assert alone


@pytest.mark.parametrize(('select', 'told'), [
    ('roots', {'old', 'new'}), ('all', {'old', 'new'}),
    ('oldest', {'old'}), ('newest', {'new'}),
])
def test_select_says_which_of_several_are_told(
        name: str, conf: str, select: str, told: set[str],
) -> None:
    """Each of those that are chosen is told once, and no other."""
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
        alone = untold(old) and untold(new)

    assert got == told
    assert alone
    assert it.count('signalled') == len(told)


def test_only_the_master_of_workers_is_told(name: str, conf: str) -> None:
    """A HUP to a worker, which has the default disposition, would kill it."""
    with (
        targets.start('forking', name=name) as target,
        watching(name, conf, '--verify-workers') as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('verified', pid=target.pid)
        told = target.read()
        it.poll()

    assert told == 'HUP'
    assert it.count('signalled') == 1


def test_workers_that_would_die_are_held_among_all(name: str, conf: str) -> None:
    """--select all under enforce tells the master, reports the workers, kills none."""
    with (
        targets.start('forking', name=name) as target,
        watching(name, conf, '--select', 'all') as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('delivered', pid=target.pid)
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
            it.until('delivered', pid=right.pid)
            told = right.read()
        alone = untold(wrong)

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
    """A shell that is pollreload's parent, and goes by the name, is not told."""
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


def test_shell_that_runs_us_is_held_where_it_is_alone(
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


def test_validation_of_the_same_name_is_never_told(
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
        it.until('delivered', pid=target.pid)
        told = target.read()

    assert told == 'HUP'
    assert it.count('signalled') == 1


# Run-times that catch every signal, and die of HUP all the same


def go(link: Path) -> subprocess.Popen[bytes]:
    """Start a program that is written in Go and waits for its stdin.

    link: a link to it, whose name it then goes by.
    """
    return subprocess.Popen([link], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def java(source: Path) -> subprocess.Popen[bytes]:
    """Start a JVM that says ready and waits for its stdin."""
    assert JAVA
    source.write_text(
        'class Wait { public static void main(String[] a) throws Exception {'
        ' System.out.println("ready"); System.in.read(); } }', encoding='ascii',
    )
    return subprocess.Popen(
        [JAVA, '-Xint', '-XX:+UseSerialGC', str(source)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )


@contextlib.contextmanager
def ended(child: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Have a child, and kill and reap it."""
    with child:
        try:
            yield child
        finally:
            child.kill()


def expected(program: str | None, where: str) -> pytest.MarkDecorator:
    """Skip a test where there is no such program; in CI that is a failure."""
    return pytest.mark.skipif(
        program is None and not os.environ.get('CI'), reason=f'needs {where}',
    )


@expected(GO, "gron, a small Go program, of Debian's package gron")
def test_go_program_that_dies_is_signalled_once(
        name: str, conf: str, tmp_path: Path,
) -> None:
    """Go catches every signal; one death shows that the program handles none of it.

    Until pollreload gets SIGHUP, no other process of that program file is killed.
    """
    link = tmp_path / name
    link.symlink_to(str(GO))
    with watching(name, conf, '--interval', '20ms', '--survive', '400ms') as it:
        with ended(go(link)) as child:
            settled(child.pid)
            write(conf, 'content of the first')
            signalled = it.until('signalled', pid=child.pid, disposition='runtime')
            assert child.wait(targets.DEADLINE) != 0
            it.until('failed', pid=child.pid, reason='died')
        with ended(go(link)) as child:
            settled(child.pid)
            write(conf, 'content for the second')
            held = it.until('held', reason='breaker')
            assert child.poll() is None
            it.poll()
            it.until('signalled', pid=child.pid)

    assert 'its language runtime catches every signal' in signalled['message']
    assert held['message'].startswith(f'the runtime of {name} catches SIGHUP, and the ')
    assert it.count('delivered') == 0


@pytest.mark.skipif(JAVA is None, reason='needs a JVM')
def test_jvm_dies_and_that_is_reported(conf: str, tmp_path: Path) -> None:
    """The JVM catches HUP and runs its shutdown hooks: an end, and no reload."""
    pidfile = tmp_path / 'java.pid'
    with (
        ended(java(tmp_path / 'Wait.java')) as child,
        watch('--pidfile', str(pidfile), '--survive', '2s', conf) as it,
    ):
        it.until('baseline')
        assert child.stdout is not None
        assert child.stdout.readline() == b'ready\n'
        pidfile.write_text(str(child.pid), encoding='ascii')
        write(conf, 'second')
        it.poll()
        it.until('signalled', pid=child.pid, disposition='runtime')
        failed = it.until('failed')

    assert failed['reason'] == 'died'
    assert it.count('delivered') == 0


def settled(pid: int) -> None:
    """Wait until a program has started: all its threads sleep, and it catches HUP."""
    for _ in itertools.count():
        masks = signal_masks.masks(pid)
        if masks is not None and masks.caught & 1:
            break
    targets.settle(pid)
