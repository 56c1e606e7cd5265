"""What is refused: system calls, inotify, a sight of others, a place for the ledger.

And what is special about being pid 1.
"""
from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox import changes
from tests.sandbox.harness import APP, inotifywait, needed, silent, walk
from tests.sandbox.stuck import App, started
from tests.servers.harness import As, become, missing
from tests.support import seccomp, targets
from tests.support.sidecar import Sidecar, environment, quick, unique, watch
from tests.support.targets import DEADLINE, only_child

# s: nothing is cached here. Two polls, on a machine that does much else.
BOUND = 5.0
# Whether a target took the signal in time is not what is asked here.
CALM = ('--survive', '0')
PIDFD = ('pidfd_open', 'pidfd_send_signal')
INOTIFY = tuple(
    call for call in ('inotify_init', 'inotify_init1', 'inotify_add_watch')
    if call in seccomp.NUMBERS[os.uname().machine]
)
OTHER, APPS = As(65532, 65532), As(1000, 1000)
# setpriv(1): no capability is left, whatever the user.
BARE = ('setpriv', '--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all')
ALONE = ('unshare', '--pid', '--fork', '--mount-proc', '--kill-child')


def laid(open_directory: Path) -> list[str]:
    """Lay the files of changes in a directory, and return what should be watched."""
    changes.lay(str(open_directory), changes.text(0))
    return [str(open_directory / name) for name in (changes.PLAIN, changes.LINKED)]


def refusing(error: str, calls: Sequence[str]) -> tuple[str, ...]:
    """Return a command to run another by, to which system calls fail."""
    return (sys.executable, seccomp.__file__, error, ','.join(calls))


def walked(open_directory: Path, app: App, sidecar: Sidecar) -> None:
    """Walk the kinds of change, and have each delivered once."""
    sidecar.until('baseline')
    walk(open_directory, app.read, BOUND)
    sidecar.poll()
    app.mark()
    assert len(app.seen) == len(('ready', *changes.KINDS, 'marked')), app.seen
    assert sidecar.count('signalled') == len(changes.KINDS)


def test_the_signal_goes_by_kill_where_pidfd_is_refused(open_directory: Path) -> None:
    """ENOSYS to all of inotify and pidfd: each change is delivered once, and by
    kill(2), as strace sees it.
    """
    name, files = unique('app'), laid(open_directory)
    trace = open_directory / 'trace'
    under = (
        needed('strace', 'strace'), '-D', '-f', '-o', str(trace),
        '-e', 'trace=kill,pidfd_open,pidfd_send_signal', '-e', 'signal=none',
        *refusing('ENOSYS', (*INOTIFY, *PIDFD)),
    )
    with started(name, files, ()) as app:
        args = ('--process', name, '--interval', '100ms', *CALM, *files)
        # Measured it would be slow: each call of coverage's goes by strace.
        with watch(*args, under=under, measured=False) as sidecar:
            walked(open_directory, app, sidecar)
            assert sidecar.count('signalled', how='kill') == len(changes.KINDS)
        calls = trace.read_text('ascii')
        assert len(re.findall(rf'kill\({app.pid}, SIGHUP\) += 0', calls)) == (
            len(changes.KINDS)
        )
        assert re.search(rf'pidfd_open\({app.pid}, 0\) += -1 ENOSYS', calls)
        assert 'pidfd_send_signal' not in calls


@pytest.mark.parametrize('calls', [PIDFD, PIDFD[:1], PIDFD[1:]], ids=','.join)
@pytest.mark.parametrize('error', ['ENOSYS', 'EPERM'])
def test_every_change_is_delivered_where_pidfd_is_refused(
        error: str, calls: Sequence[str], open_directory: Path,
) -> None:
    """Old kernels say ENOSYS and old profiles EPERM, to one call or to both."""
    name, files = unique('app'), laid(open_directory)
    with started(name, files, ()) as app:
        args = ('--process', name, '--interval', '100ms', *CALM, *files)
        with watch(*args, under=refusing(error, calls)) as sidecar:
            walked(open_directory, app, sidecar)
            assert sidecar.count('signalled', how='kill') == len(changes.KINDS)


def limited(limit: str) -> tuple[str, ...]:
    """Return a command to run another by, in a user namespace if a limit is 0.

    Its root is ours, by uid, and so it may signal what runs as we do.
    """
    file = f'/proc/sys/user/{limit}'
    if not os.path.exists(file):
        missing(f'{file} is not here')
    return (
        'unshare', '--user', '--map-root-user',
        'sh', '-c', f'echo 0 > {file} && exec "$@"', 'sh',
    )


@pytest.mark.parametrize(('under', 'says'), [
    (lambda: refusing('ENOSYS', INOTIFY), 'initialize inotify'),
    (lambda: limited('max_inotify_instances'), 'initialize inotify'),
    (lambda: limited('max_inotify_watches'), 'limit on inotify watches reached'),
], ids=['ENOSYS', 'instances', 'watches'])
def test_every_change_is_delivered_where_inotify_is_refused(
        under: Any, says: str, open_directory: Path,
) -> None:
    """inotifywait does not even start in the same place."""
    name, files, how = unique('app'), laid(open_directory), under()
    program = needed('inotifywait', 'inotify-tools')
    refused = subprocess.run(
        (*how, program, '--timeout', '1', str(open_directory)),
        stdin=subprocess.DEVNULL,
        capture_output=True, timeout=DEADLINE, check=False, text=True,
    )
    assert refused.returncode == 1, refused
    assert says in refused.stderr
    with started(name, files, ()) as app:
        args = ('--process', name, '--interval', '100ms', *CALM, *files)
        with watch(*args, under=how) as sidecar:
            walked(open_directory, app, sidecar)


def hidden(options: str, *more: str) -> tuple[str, ...]:
    """Return a command to run another by that has a /proc with hidepid.

    more: a command between.
    """
    return (
        'unshare', '--mount', '--propagation', 'private',
        'sh', '-c', f'mount -t proc -o {options} proc /proc && exec "$@"', 'sh', *more,
    )


@contextlib.contextmanager
def running_as(
        user: As | None, under: Sequence[str], command: str, *args: str,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of pollreload as a user, or as we are; its output is in pipes.
    """
    python, variables, held = [sys.executable], dict[str, str](), list[int]()
    if user is not None:
        python, variables, held = become(user)
    try:
        child = subprocess.Popen(
            (*under, *python, '-m', 'pollreload', command, *args),
            env=environment(variables, measured=False), pass_fds=held, cwd='/',
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
    finally:
        for fd in held:
            os.close(fd)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def tried(
        user: As | None, under: Sequence[str], path: Path, *args: str,
) -> str:
    """Return why a change of a file is held from a target that cannot be seen."""
    with running_as(
            user, under, 'watch', *quick('--interval', '1h', *args), str(path),
    ) as child:
        sidecar = Sidecar(child, False)
        sidecar.until('baseline')
        changes.write(str(path), 'after\n')
        sidecar.poll()
        return str(sidecar.until('held')['message'])


def doctored(user: As | None, under: Sequence[str], *args: str) -> str:
    """Return all that doctor says, if it has to find fault."""
    with running_as(user, under, 'doctor', *args) as child:
        out, err = child.communicate(timeout=DEADLINE)
        assert (child.returncode, err) == (1, b''), out
        return out.decode()


def names_hidepid(says: str) -> None:
    """Check that it is hidepid that is named, what to do, and nothing misleading."""
    assert 'hidepid' in says
    assert 'run as the uid of the target' in says
    assert 'shareProcessNamespace' not in says
    assert 'no such process' not in says
    # It may well be there.
    assert 'no process is called' not in says


@pytest.mark.parametrize('how', ['process', 'pidfile'])
@pytest.mark.parametrize('level', ['1', '2', 'ptraceable'])
def test_hidepid_is_named_with_what_to_do(
        level: str, how: str, open_directory: Path,
) -> None:
    """watch and doctor say that others are hidden from anyone who has another uid, and
    not that there is none.
    """
    name, file = unique('app'), open_directory / 'file'
    changes.write(str(file), 'before\n')
    with targets.start('handler', name=name, uid=APPS.uid) as target:
        args = ('--process', name)
        if how == 'pidfile':
            changes.write(str(open_directory / 'pid'), f'{target.pid}\n')
            args = ('--pidfile', str(open_directory / 'pid'))
        under = hidden(f'hidepid={level}')
        says = tried(OTHER, under, file, *args)
        names_hidepid(says)
        rows = doctored(OTHER, under, *args, str(file))
        names_hidepid(rows)


def test_hidepid_hides_from_a_root_without_capabilities(open_directory: Path) -> None:
    """uid 0 sees others by its gid, or by CAP_SYS_PTRACE, and may have neither."""
    name, file = unique('app'), open_directory / 'file'
    changes.write(str(file), 'before\n')
    with targets.start('handler', name=name, uid=APPS.uid):
        who = ('setpriv', f'--regid={OTHER.gid}', '--clear-groups')
        under = hidden('hidepid=2', *who, *BARE)
        names_hidepid(tried(None, under, file, '--process', name))
        names_hidepid(doctored(None, under, '--process', name, str(file)))


@contextlib.contextmanager
def owned(user: As, name: str, path: Path) -> Iterator[App]:
    """Give an app that a user has started, and not one that has become that user:
    such a one is hidden from its own user too (PR_SET_DUMPABLE of prctl(2)).
    """
    python, variables, held = become(user)
    try:
        child = subprocess.Popen(
            # Its file may be in a place that the user cannot enter.
            (*python, '-I', '-S', '-c', APP.read_text('utf-8'), name, str(path)),
            env={**os.environ, **variables}, pass_fds=held, cwd='/',
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )
    finally:
        for fd in held:
            os.close(fd)
    assert child.stdout is not None
    with child.stdout:
        app = App(child.stdout.fileno(), child.pid)
        try:
            app.until('ready')
            yield app
        finally:
            child.kill()
            child.wait(DEADLINE)


@pytest.mark.parametrize('level', ['1', '2', 'ptraceable'])
def test_hidepid_does_not_hide_ones_own(level: str, open_directory: Path) -> None:
    """A sidecar with the uid of the target delivers each change."""
    name, file = unique('app'), open_directory / 'file'
    changes.write(str(file), 'before\n')
    args = quick('--process', name, '--interval', '1h', str(file))
    with (
            owned(APPS, name, file) as app,
            running_as(APPS, hidden(f'hidepid={level}'), 'watch', *args) as child,
    ):
        sidecar = Sidecar(child, False)
        sidecar.until('baseline')
        changes.write(str(file), 'after\n')
        sidecar.poll()
        assert sidecar.count('signalled') == 1, sidecar.seen
        assert app.read() == 'reloaded | after'


def test_hidepid_hides_nothing_from_its_group(open_directory: Path) -> None:
    """Its gid, 0 if no other is named, sees all (proc(5)), as OpenShift's arbitrary
    users do. What is not there is then not there.
    """
    file = open_directory / 'file'
    changes.write(str(file), 'before\n')
    args = ('--process', unique('app'), str(file))
    rows = doctored(As(OTHER.uid, 0), hidden('hidepid=2'), *args)
    assert 'no process is called' in rows
    assert 'hidepid' not in rows


def test_ptraceable_hides_from_its_group_too(open_directory: Path) -> None:
    """hidepid=ptraceable asks for no group: uid 0 with gid 0 and no capability sees no
    one else, and no line says that a gid= would help.
    """
    name, file = unique('app'), open_directory / 'file'
    changes.write(str(file), 'before\n')
    with targets.start('handler', name=name, uid=APPS.uid):
        under = hidden('hidepid=ptraceable,gid=0', *BARE)
        says = tried(None, under, file, '--process', name)
        rows = doctored(None, under, '--process', name, str(file))
    for text in (says, rows):
        names_hidepid(text)
        assert 'gid=' not in text


@contextlib.contextmanager
def within(pid: int, *command: str) -> Iterator[App]:
    """Give an app that runs in the pid namespace and the mounts of a process."""
    enter = ('nsenter', f'--target={pid}', '--pid', '--mount')
    name, *files = command
    with started(name, files, enter) as app:
        # nsenter(1) forks to be in there.
        app.pid = only_child(app.pid)
        try:
            yield app
        finally:
            os.kill(app.pid, signal.SIGKILL)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_pid_1_watches_and_stops(number: signal.Signals, open_directory: Path) -> None:
    """The kernel spares a pid 1 whatever it has no handler for; watch stops all the
    same, and delivers each change before.
    """
    name, files = unique('app'), laid(open_directory)
    args = ('--process', name, '--interval', '100ms', *CALM, *files)
    with watch(*args, namespace=True) as sidecar:
        with within(sidecar.pid, name, *files) as app:
            walked(open_directory, app, sidecar)
        assert sidecar.stop(number) == 0
        assert sidecar.count('stopped', signal=number.name) == 1


@contextlib.contextmanager
def beside(pid: int, *args: str) -> Iterator[Sidecar]:
    """Give a watch that runs in the pid namespace and the mounts of a process."""
    enter = ('nsenter', f'--target={pid}', '--pid', '--mount')
    with watch(*args, under=enter) as sidecar:
        sidecar.until('started')
        sidecar.pid = only_child(sidecar.child.pid)
        yield sidecar


def test_a_target_that_is_pid_1_is_notified(open_directory: Path) -> None:
    """A handler is what makes a pid 1 take a signal."""
    name, files = unique('app'), laid(open_directory)
    with started(name, files, ALONE) as app:
        app.pid = only_child(app.pid)
        args = ('--process', name, '--interval', '100ms', *CALM, *files)
        with beside(app.pid, *args) as sidecar:
            walked(open_directory, app, sidecar)
            assert sidecar.until('signalled')['target_pid'] == 1


def test_a_target_that_is_pid_1_without_a_handler_is_held(open_directory: Path) -> None:
    """kill(2) would succeed, and nothing happen. It is notified once it has a handler.
    """
    name, file = unique('app'), open_directory / 'file'
    changes.write(str(file), 'before\n')
    with (
            targets.start('late', name=name, namespace=True) as target,
            beside(target.pid, '--process', name, str(file)) as sidecar,
    ):
        sidecar.until('baseline')
        changes.write(str(file), 'after\n')
        sidecar.poll()
        held = sidecar.until('held')
        assert 'ignores SIGHUP' in held['message'], held
        assert not sidecar.count('signalled')
        target.tell('handle')
        assert target.read() == 'handling'
        sidecar.poll()
        assert target.read() == 'HUP'
        sidecar.until('delivered')


def readonly() -> tuple[str, ...]:
    """Return a command to run another by, whose root is read-only."""
    return (
        needed('bwrap', 'bubblewrap'), '--ro-bind', '/', '/', '--dev', '/dev',
        '--proc', '/proc', '--die-with-parent', '--',
    )


def test_a_watch_goes_on_without_a_ledger_that_cannot_be_written(
        open_directory: Path,
) -> None:
    """One line says so, and each change is delivered once."""
    name, files = unique('app'), laid(open_directory)
    args = (
        '--process', name, '--interval', '100ms', *CALM,
        '--state-file', str(open_directory / 'state' / 'ledger'), *files,
    )
    with started(name, files, ()) as app:
        with watch(*args, under=readonly()) as sidecar:
            # bwrap(1) forks.
            sidecar.pid = sidecar.until('started')['pid']
            walked(open_directory, app, sidecar)
            assert sidecar.stop() == 0
        (failed,) = (each for each in sidecar.seen if each['event'] == 'failed')
        assert failed['reason'] == 'ledger'
        assert 'read-only file system' in failed['message']
        assert failed['message'].endswith('going on without it')
    assert not (open_directory / 'state').exists()


@pytest.mark.parametrize('args', [(), ('--state-file', '/usr/ledger')], ids=[
    'default', 'named',
])
def test_a_check_exits_4_where_its_ledger_cannot_be_written(
        args: Sequence[str], open_directory: Path,
) -> None:
    """One line says why and what to do, and no process is notified."""
    name, file = unique('app'), open_directory / 'file'
    changes.write(str(file), 'before\n')
    with targets.start('handler', name=name) as target:
        under = ('env', f'XDG_STATE_HOME={open_directory}/state', *readonly())
        more = ('--on-start', 'always', '--process', name, str(file))
        with running_as(None, under, 'check', *args, *more) as child:
            out, err = child.communicate(timeout=DEADLINE)
        assert (child.returncode, out) == (4, b'')
        (line,) = err.decode().splitlines()
        assert 'read-only file system' in line
        assert 'name another with --state-file' in line
        target.signal(signal.SIGUSR1)
        assert target.read() == 'USR1'
    assert not (open_directory / 'state').exists()


def test_doctor_says_that_the_ledger_cannot_be_written(open_directory: Path) -> None:
    """Before anything is due."""
    name, file = unique('app'), open_directory / 'file'
    changes.write(str(file), 'before\n')
    with targets.start('handler', name=name):
        ledger = str(open_directory / 'ledger')
        args = ('--process', name, '--state-file', ledger, str(file))
        rows = doctored(None, readonly(), *args).splitlines()
        (failed,) = (row for row in rows if row.startswith('fail'))
        assert 'read-only file system' in failed
        assert 'name another with --state-file' in failed


def test_the_control_sees_inotify(open_directory: Path) -> None:
    """Where nothing is refused inotifywait starts, and says what is changed."""
    laid(open_directory)
    with inotifywait(open_directory) as events:
        changes.in_place(str(open_directory), changes.text(1))
        events.until('MODIFY')
        assert not silent(events)
