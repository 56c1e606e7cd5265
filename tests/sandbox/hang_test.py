"""A file system that hangs: no signal is sent until it answers, and TERM works."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox import changes
from tests.sandbox.hanging import KINDS, ends, hung, mount_of_kind, stops
from tests.sandbox.harness import needed
from tests.sandbox.stuck import Mount, started
from tests.servers.harness import missing, until
from tests.support.sidecar import POLLRELOAD, Sidecar, environment, quick, unique, watch
from tests.support.targets import DEADLINE, only_child

STOPPING = (signal.SIGTERM, signal.SIGINT)
LARGE = 'large.conf'


@contextlib.contextmanager
def watch_while_hung(made: Mount, kind: str, *args: str) -> Iterator[Sidecar]:
    """Give a watch that starts while a mount hangs, to the end of this."""
    with hung(made, kind), watch(*args, under=made.under) as sidecar:
        try:
            yield sidecar
        finally:
            made.go_on()


def reading(sidecar: Sidecar) -> None:
    """Have a watch poll, and read on until it hangs in that."""
    sidecar.send(signal.SIGHUP)
    until(lambda: 'reading for' in sidecar.status(), 'it reads')


def forked(pid: int) -> bool:
    """Return whether a process has a child."""
    try:
        return bool(only_child(pid))
    except AssertionError:
        return False


@pytest.mark.parametrize('kind', KINDS)
def test_the_stall_is_logged_and_the_change_delivered_after_it(
        kind: str, tmp_path: Path,
) -> None:
    """While a read hangs that is logged, nothing is delivered and USR1 is answered;
    after it the change is delivered, once.
    """
    name = unique('app')
    with mount_of_kind(kind, tmp_path) as made:
        path = str(made.at / changes.PLAIN)
        with (
                started(name, [path], made.under) as app,
                watch('--process', name, path, under=made.under) as sidecar,
        ):
            sidecar.until('baseline')
            with hung(made, kind):
                changes.in_place(str(made.source), changes.text(1))
                reading(sidecar)
                sidecar.until('stalled')
                assert 'reading for' in sidecar.status()
                # Asked for once more: answered when it can be.
                sidecar.send(signal.SIGHUP)
                sidecar.status()
                assert app.mark() == 'ready'
            sidecar.until('readable')
            line = app.read()
            assert line == f'reloaded | {changes.text(1).strip()}'
            sidecar.until('delivered')
            sidecar.poll()
            assert app.mark() == line
            assert sidecar.count('signalled') == 1
            assert sidecar.count('stalled') == 1


@pytest.mark.parametrize('number', STOPPING)
@pytest.mark.parametrize('kind', KINDS)
def test_a_stop_signal_ends_a_watch_that_reads(
        kind: str, number: signal.Signals, tmp_path: Path,
) -> None:
    """Whatever its reader waits for."""
    with mount_of_kind(kind, tmp_path) as made:
        path = str(made.at / changes.PLAIN)
        with watch('--process', unique(), path, under=made.under) as sidecar:
            sidecar.until('baseline')
            with hung(made, kind):
                reading(sidecar)
                stops(sidecar, number)


@pytest.mark.parametrize('kind', KINDS)
def test_a_watch_may_start_while_it_hangs(kind: str, tmp_path: Path) -> None:
    """It has no baseline until the mount answers, and TERM ends it before that."""
    with mount_of_kind(kind, tmp_path) as made:
        args = ('--process', unique(), str(made.at))
        with watch_while_hung(made, kind, *args) as sidecar:
            sidecar.until('started')
            reading(sidecar)
            stops(sidecar)
        with watch_while_hung(made, kind, *args) as sidecar:
            sidecar.until('started')
            reading(sidecar)
            assert not sidecar.count('baseline')
            made.go_on()
            assert sidecar.until('baseline')['files'] == 2


@pytest.mark.parametrize('kind', KINDS)
def test_as_pid_1_it_stops_as_soon_as_the_kernel_lets_it(
        kind: str, tmp_path: Path,
) -> None:
    """It says so at once. A pid 1 is not gone before all in its namespace
    are (zap_pid_ns_processes in kernel/pid_namespace.c), so the answer may have to
    come first, where nothing else ends the reader.
    """
    with mount_of_kind(kind, tmp_path) as made:
        path = str(made.at / changes.PLAIN)
        alone = ('unshare', '--pid', '--fork', '--mount-proc', '--kill-child')
        under = (*made.under, *alone)
        with watch('--process', unique(), path, under=under) as sidecar:
            sidecar.until('baseline')
            sidecar.pid = only_child(sidecar.child.pid)
            with hung(made, kind):
                reading(sidecar)
                sidecar.send(signal.SIGTERM)
                assert sidecar.read()['event'] == 'stopped'
                if kind != 'taken':
                    assert ends(sidecar.child) == 0
            assert ends(sidecar.child) == 0


@contextlib.contextmanager
def command(
        made: Mount, *args: str, place: Path, **rest: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start pollreload in a space; at the end the mount answers, and it is gone.

    What it says goes to place/said, not into a pipe: a child of it that hangs
    would keep that open.
    """
    with open(place / 'said', 'wb') as file:
        run = subprocess.Popen(
            (*made.under, *POLLRELOAD, *args), env=environment(),
            stdin=subprocess.DEVNULL, **{'stdout': file, 'stderr': file, **rest},
        )
    try:
        yield run
    finally:
        made.go_on()
        run.kill()
        run.wait(DEADLINE)


def said(place: Path) -> str:
    """Return all that the last command has said."""
    return (place / 'said').read_text('utf-8')


@contextlib.contextmanager
def check(
        made: Mount, place: Path, *args: str, **rest: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a check whose ledger is place/ledger; as command."""
    if '--state-file' not in args:
        args = ('--state-file', str(place / 'ledger'), *args)
    args = quick(*args)
    with command(made, 'check', *args, place=place, **rest) as run:
        yield run


@pytest.mark.parametrize('kind', KINDS)
def test_a_check_ends_by_its_timeout(kind: str, tmp_path: Path) -> None:
    """It says so, exits with 3 and notifies no process. What changed in the meantime is
    delivered by a check once the mount answers.
    """
    name = unique('app')
    with mount_of_kind(kind, tmp_path) as made:
        path = str(made.at / changes.PLAIN)
        args = ('--process', name, '--timeout', '1s', path)
        with started(name, [path], made.under) as app:
            with check(made, tmp_path, *args) as run:
                assert ends(run) == 0
            changes.in_place(str(made.source), changes.text(1))
            with hung(made, kind), check(made, tmp_path, *args) as run:
                assert ends(run) == 3
                assert 'still waiting for a poll' in said(tmp_path)
                assert app.mark() == 'ready'
            with check(made, tmp_path, *args) as run:
                assert ends(run) == 0
            assert app.read() == f'reloaded | {changes.text(1).strip()}'
            with check(made, tmp_path, *args) as run:
                assert ends(run) == 0
            assert app.mark().startswith('reloaded')


@pytest.mark.parametrize('kind', KINDS)
def test_a_check_that_has_ended_holds_no_ledger(kind: str, tmp_path: Path) -> None:
    """The next one does not find it held, while its reader hangs.
    """
    with mount_of_kind(kind, tmp_path) as made:
        args = ('--process', unique(), '--timeout', '1s', str(made.at))
        with (
                hung(made, kind),
                check(made, tmp_path, *args) as first,
        ):
            assert ends(first) == 3
            with check(made, tmp_path, *args) as second:
                assert ends(second) == 3, said(tmp_path)


@pytest.mark.parametrize('kind', KINDS)
def test_who_reads_what_a_check_says_has_the_end_of_it(
        kind: str, tmp_path: Path,
) -> None:
    """When it ends, whatever its reader still waits for: cron goes on only then."""
    with mount_of_kind(kind, tmp_path) as made:
        args = ('--process', unique(), '--timeout', '1s', str(made.at))
        pipe = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT}
        with hung(made, kind), check(made, tmp_path, *args, **pipe) as run:
            assert run.stdout is not None
            with run.stdout:
                assert ends(run) == 3
                os.set_blocking(run.stdout.fileno(), False)
                while read := run.stdout.read():
                    assert b'still waiting for a poll' in read
                assert read == b'', 'somebody has it open still'


@pytest.mark.parametrize('kind', KINDS)
def test_term_ends_a_check_that_reads(kind: str, tmp_path: Path) -> None:
    """Also one that would wait for a minute."""
    with mount_of_kind(kind, tmp_path) as made:
        args = ('--process', unique(), str(made.at))
        with hung(made, kind), check(made, tmp_path, *args) as run:
            until(lambda: forked(run.pid), 'a child reads')
            run.terminate()
            assert ends(run) == -signal.SIGTERM


@pytest.mark.parametrize('option', ['', '--state-file', '--pidfile'])
@pytest.mark.parametrize('kind', ['killable', 'taken'])
def test_doctor_says_what_does_not_answer(
        kind: str, option: str, tmp_path: Path,
) -> None:
    """A path, the ledger or the pidfile has a row that says so, and doctor ends."""
    name, here = unique('app'), tmp_path / 'here'
    here.write_text('before\n', 'ascii')
    with (
            mount_of_kind(kind, tmp_path) as made,
            started(name, [str(here)], made.under),
    ):
        file = str(made.at / changes.PLAIN)
        args = ('doctor', '--process', name, *(
            (option, file, str(here)) if option else (file,)
        ))
        with hung(made, kind), command(made, *args, place=tmp_path) as run:
            assert ends(run) == 1
            row = next(line for line in said(tmp_path).splitlines() if file in line)
            assert row.startswith('fail'), said(tmp_path)
            assert 'does not answer' in row, said(tmp_path)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize('kind', KINDS)
def test_a_signal_ends_a_digest_that_reads(
        kind: str, number: signal.Signals, tmp_path: Path,
) -> None:
    """digest has no timeout; so whoever waits for it can end it."""
    with mount_of_kind(kind, tmp_path) as made:
        args = ('digest', str(made.at / changes.PLAIN))
        with hung(made, kind), command(made, *args, place=tmp_path) as run:
            until(lambda: forked(run.pid), 'a child reads')
            run.send_signal(number)
            assert ends(run) == -number


@pytest.mark.parametrize('kind', KINDS)
def test_a_ledger_that_hangs_costs_the_ledger(kind: str, tmp_path: Path) -> None:
    """The change of a file elsewhere is delivered, one line says what hangs, and TERM
    ends the watch while it tries.
    """
    name, here = unique('app'), tmp_path / 'here'
    here.write_text('before\n', 'ascii')
    with mount_of_kind(kind, tmp_path) as made:
        args = ('--process', name, '--state-file', str(made.at / 'ledger'), str(here))
        with (
                started(name, [str(here)], made.under) as app,
                watch(*args, under=made.under) as sidecar,
        ):
            sidecar.until('baseline')
            sidecar.poll()
            assert (made.source / 'ledger').exists()
            with hung(made, kind):
                here.write_text('after\n', 'ascii')
                sidecar.send(signal.SIGHUP)
                assert app.read() == 'reloaded | after'
                failed = sidecar.until('failed', reason='ledger')['message']
                assert 'does not answer' in failed
                sidecar.until('delivered')
                sidecar.status()
                assert sidecar.count('failed') == 1
                here.write_text('last\n', 'ascii')
                sidecar.send(signal.SIGHUP)
                until(lambda: forked(sidecar.pid), 'it writes the ledger')
                stops(sidecar)


@pytest.mark.parametrize('kind', KINDS)
def test_a_watch_may_start_while_its_ledger_hangs(kind: str, tmp_path: Path) -> None:
    """It goes on without, says so, and TERM ends it also before that."""
    name, here = unique('app'), tmp_path / 'here'
    here.write_text('before\n', 'ascii')
    with mount_of_kind(kind, tmp_path) as made:
        ledger = str(made.at / 'ledger')
        args = ('--process', name, '--state-file', ledger, str(here))
        with watch_while_hung(made, kind, *args) as sidecar:
            sidecar.until('started')
            until(lambda: forked(sidecar.pid), 'it reads the ledger')
            stops(sidecar)
        with (
                started(name, [str(here)], made.under) as app,
                watch_while_hung(made, kind, *args) as sidecar,
        ):
            failed = sidecar.until('failed', reason='ledger')['message']
            assert ledger in failed
            assert 'does not answer' in failed
            sidecar.until('baseline')
            here.write_text('after\n', 'ascii')
            sidecar.poll()
            assert app.read() == 'reloaded | after'


@pytest.mark.parametrize('kind', KINDS)
def test_a_ledger_that_hangs_is_unusable_for_a_check(
        kind: str, tmp_path: Path,
) -> None:
    """It exits with 4, in one line."""
    here = tmp_path / 'here'
    here.write_text('before\n', 'ascii')
    with mount_of_kind(kind, tmp_path) as made:
        ledger = ('--state-file', str(made.at / 'ledger'))
        args = ('--process', unique(), *ledger, str(here))
        with hung(made, kind), check(made, tmp_path, *args) as run:
            assert ends(run) == 4
            (line,) = said(tmp_path).splitlines()
            assert 'does not answer' in line


@pytest.mark.parametrize('kind', KINDS)
def test_a_pidfile_that_hangs_holds_the_signal(kind: str, tmp_path: Path) -> None:
    """That is said, TERM ends the watch while it reads, and anyone who is named is
    notified when the mount answers.
    """
    name, here = unique('app'), tmp_path / 'here'
    here.write_text('before\n', 'ascii')
    with (
            mount_of_kind(kind, tmp_path) as made,
            started(name, [str(here)], made.under) as app,
    ):
        (made.source / 'pid').write_text(f'{app.pid}\n', 'ascii')
        args = ('--pidfile', str(made.at / 'pid'), str(here))
        with watch(*args, under=made.under) as sidecar:
            sidecar.until('baseline')
            with hung(made, kind):
                here.write_text('after\n', 'ascii')
                sidecar.send(signal.SIGHUP)
                held = sidecar.until('held', reason='pidfile')['message']
                assert 'does not answer' in held
                assert app.mark() == 'ready'
            sidecar.send(signal.SIGHUP)
            assert app.read() == 'reloaded | after'
            sidecar.until('delivered')
            with hung(made, kind):
                here.write_text('last\n', 'ascii')
                sidecar.send(signal.SIGHUP)
                until(lambda: forked(sidecar.pid), 'it reads the pidfile')
                stops(sidecar)


@contextlib.contextmanager
def over(made: Mount, what: str, place: Path) -> Iterator[Path]:
    """Yield the place of a file system that lies on a mount, with its files.

    what: 'overlay', or 'loop': an image that a loop device (loop(4)) reads.
    """
    # More than what is read ahead when an image is mounted.
    large = os.urandom(2 << 20)
    (made.source / LARGE).write_bytes(large)
    at = place / 'over'
    at.mkdir()
    if what == 'overlay':
        upper, work = place / 'upper', place / 'work'
        upper.mkdir()
        work.mkdir()
        options = f'lowerdir={made.at},upperdir={upper},workdir={work}'
        made.space.run('mount', '-t', 'overlay', 'overlay', '-o', options, str(at))
    else:
        if not os.path.exists('/dev/loop-control'):
            missing('/dev/loop-control is not here: modprobe loop')
        files, image = place / 'files', made.source / 'image'
        files.mkdir()
        (files / LARGE).write_bytes(large)
        with open(image, 'wb') as file:
            file.truncate(8 << 20)
        program = needed('mkfs.ext4', 'e2fsprogs')
        subprocess.run(
            [program, '-q', '-d', str(files), str(image)], check=True,
            timeout=DEADLINE,
        )
        made.space.run('mount', '-o', 'loop', str(made.at / 'image'), str(at))
    try:
        yield at
    finally:
        made.go_on()
        made.space.run('umount', str(at), check=False)


@pytest.mark.parametrize(('kind', 'what'), [
    ('killable', 'overlay'), ('taken', 'overlay'), ('bindfs', 'loop'),
])
def test_what_lies_on_a_mount_may_hang_as_it_does(
        kind: str, what: str, tmp_path: Path,
) -> None:
    """An overlay, or an image, of files there: TERM ends a watch that reads it."""
    with (
            mount_of_kind(kind, tmp_path) as made,
            over(made, what, tmp_path) as at,
    ):
        # Not before it hangs: what an image holds is cached by the first poll.
        args = ('--process', unique(), str(at / LARGE))
        with watch_while_hung(made, kind, *args) as sidecar:
            sidecar.until('started')
            until(lambda: forked(sidecar.pid), 'a child reads')
            stops(sidecar)
