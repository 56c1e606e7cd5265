"""gVisor: the app and the sidecar are two containers of one sandbox.

There inotify misses what others do to a volume, there is no pidfd, and
/proc does not say what a process does with a signal. So the target is notified by
kill(2) on a disposition that is unknown.
"""
from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterator

import pytest

from tests.sandbox import changes
from tests.sandbox.gvisor import LEDGER, WATCHED, GvisorPod, started
from tests.sandbox.gvisor_options import APP, EAGER, QUICK
from tests.sandbox.harness import Polls, silent, walk
from tests.servers.harness import until
from tests.support.sidecar import Event

INTERVAL = 0.2  # s, of QUICK
# gVisor looks at a volume again at each open, so that a change is seen by the next
# poll, settled by the one after, and delivered: half a second, which Polls holds it to
# in polls. s, after which nothing comes any more, however busy the machine:
BOUND = 10.0
YOUNG = 10.0  # s for which a target is held where its disposition is unknown


@pytest.fixture
def pod() -> Iterator[GvisorPod]:
    """Give a pod of which nothing runs but the sandbox."""
    with started() as pod:
        yield pod


def test_every_kind_of_change_is_delivered_once(pod: GvisorPod) -> None:
    """All of the five ways, by kill(2) and not knowing; inotify sees none of them."""
    app = pod.app('app')
    with (
            pod.inotifywait() as events,
            pod.watch(pod.sidecar(*QUICK, *EAGER, *APP)) as sidecar,
    ):
        sidecar.until('baseline')
        polls = Polls(sidecar)
        walk(pod.config, polls.counting_lines(app.lines.read), BOUND, polls.change)
        sidecar.polls()
        polls.assert_prompt(INTERVAL)
        assert app.untold()
        signalled = [each for each in sidecar.seen if each['event'] == 'signalled']
        assert len(signalled) == len(changes.KINDS)
        assert {(each['how'], each['disposition']) for each in signalled} == {
            ('kill', 'unknown'),
        }
        assert strays(sidecar.seen) == []
        assert silent(events)
        # It does see what is done inside, and of the changes before that nothing.
        pod.touch('inside')
        assert events.read().endswith('CREATE inside')


def test_a_young_target_is_notified_once_it_is_old_enough(pod: GvisorPod) -> None:
    """No one knows whether it has its handler yet, so it is given 10 s."""
    with pod.watch(pod.sidecar(*QUICK, '--process', 'young', *WATCHED)) as sidecar:
        sidecar.until('baseline')
        began = time.monotonic()
        app = pod.app('young')
        changes.in_place(str(pod.config), changes.text(1))
        held = sidecar.until('held', reason='too young')
        assert held['message'].endswith('is younger than 10 s (--min-uptime)')
        assert app.lines.read(YOUNG + BOUND).startswith('reloaded | text 000001')
        assert time.monotonic() - began >= YOUNG
        sidecar.polls()
        assert app.untold()


def test_doctor_says_what_is_unknown(pod: GvisorPod) -> None:
    """It passes, and warns of the handler and of kill(2) without pidfd."""
    pod.app('app')
    status, out, err = pod.once(pod.sidecar('doctor', '--output', 'json', *APP))
    assert (status, err) == (0, '')
    rows = {row['check']: row for row in json.loads(out)['rows']}
    assert rows['path']['says'].startswith('1 file, 9p')
    assert rows['handler']['verdict'] == 'warn'
    assert 'this kernel does not say' in rows['handler']['says']
    assert rows['permission']['verdict'] == 'ok'
    assert rows['delivery']['verdict'] == 'warn'
    assert rows['delivery']['says'].startswith('by kill(2)')


def test_smoke_passes(pod: GvisorPod) -> None:
    """With a read-only root, it takes a /tmp and nothing else."""
    smoke = pod.sidecar('smoke', shared=False)
    smoke = smoke._replace(mounts=(*smoke.mounts, ('/tmp', '')))
    status, out, err = pod.once(smoke)
    assert (status, err) == (0, ''), out


def test_it_is_installed_into_a_volume(pod: GvisorPod) -> None:
    """A second run replaces the first, and leaves one installation."""
    for _ in range(2):
        done = pod.once(pod.sidecar('install-to', LEDGER))
        assert done == (0, f'installed: {LEDGER}/pollreload\n', '')
        assert len(os.listdir(pod.place / 'ledger')) == 3
        assert (pod.place / 'ledger' / 'lib' / 'python3').is_file()
    lib = f'{LEDGER}/lib'
    started = pod.sidecar('--version')._replace(args=(
        f'{lib}/pollreload', '--library-path', lib, f'{lib}/python3', '-ISXutf8',
        '-m', 'pollreload', '--version',
    ))
    status, out, err = pod.once(started)
    assert (status, err) == (0, '')
    assert out.startswith('pollreload')


def test_doctor_delivers_to_the_app(pod: GvisorPod) -> None:
    """What doctor cannot know is tried: the app lives on after the signal."""
    app = pod.app('app')
    status, out, _ = pod.once(pod.sidecar(
        'doctor', '--deliver', '--output', 'json', '--settle', '0', *EAGER, *APP,
    ))
    assert status == 0, out
    assert app.lines.read().startswith('reloaded')
    assert app.untold()


@pytest.mark.parametrize(('uid', 'capabilities', 'permitted'), [
    (1000, (), False),
    # gVisor has no ambient set, so that exec(2) takes it from all but root.
    (1000, ('CAP_KILL',), False),
    (0, (), False),
    (0, ('CAP_KILL',), True),
])
def test_who_may_signal_another_user(
        pod: GvisorPod, uid: int, capabilities: tuple[str, ...], permitted: bool,
) -> None:
    """Only root with CAP_KILL; anyone who may not says in one line what to do."""
    app = pod.app('app')
    made = pod.sidecar(*QUICK, *EAGER, *APP, uid=uid, capabilities=capabilities)
    with pod.watch(made) as sidecar:
        sidecar.until('baseline')
        changes.in_place(str(pod.config), changes.text(1))
        if permitted:
            assert app.lines.read(BOUND).startswith('reloaded | text 000001')
            return
        failed = sidecar.until('failed')
        assert failed['message'].startswith('not permitted to send SIGHUP to app (pid ')
        assert f'uid 65532) as uid {uid}; run as the same uid' in failed['message']
        assert '\n' not in failed['message']
        assert app.untold()


def test_a_pid_namespace_of_its_own_is_named(pod: GvisorPod) -> None:
    """A sidecar that sees no one says which line of the pod is missing."""
    app = pod.app('app')
    made = pod.sidecar(*QUICK, *EAGER, *APP, shared=False)
    with pod.watch(made) as sidecar:
        sidecar.until('baseline')
        changes.in_place(str(pod.config), changes.text(1))
        held = sidecar.until('held')
        assert 'set shareProcessNamespace: true' in held['message']
        assert app.untold()


@pytest.mark.parametrize(('event', 'phase'), [('changed', ''), ('signalled', 'sent')])
def test_a_killed_sidecar_goes_on_with_its_ledger(
        pod: GvisorPod, event: str, phase: str,
) -> None:
    """Killed in an update, before or after the signal: the app is notified just once.

    After means once the ledger says so: in doubt it would be notified again.
    """
    ledger = pod.place / 'ledger' / 'ledger'
    app = pod.app('app')
    # Time enough to be killed in, before the signal or after it.
    slow = {'changed': '--splay', 'signalled': '--survive'}[event]
    args = (*QUICK, *EAGER, '--state-file', f'{LEDGER}/ledger', *APP)
    slowly = [*args, slow, '1h']
    if slow in args:
        slowly = [*args]
        slowly[slowly.index(slow) + 1] = '1h'
    with pod.watch(pod.sidecar(*slowly)) as first:
        first.until('baseline')
        changes.swapped(str(pod.config), changes.text(1))
        first.until(event)
        until(lambda: f'"{phase}' in ledger.read_text(), f'{phase} in the ledger')
        first.end()
    with pod.watch(pod.sidecar(*args)) as second:
        assert app.lines.read(BOUND).startswith('reloaded')
        second.until('delivered')
        second.polls()
        assert app.untold()
        changes.swapped(str(pod.config), changes.text(2))
        assert app.lines.read(BOUND).endswith('text 000002')
        second.polls()
        assert app.untold()


def test_a_restarted_app_is_not_notified_again(pod: GvisorPod) -> None:
    """It has read the version that was delivered before; the next one is delivered.
    """
    app = pod.app('app')
    with pod.watch(pod.sidecar(*QUICK, *EAGER, *APP)) as sidecar:
        sidecar.until('baseline')
        changes.renamed(str(pod.config), changes.text(1))
        before = app.lines.read(BOUND)
        assert before.startswith('reloaded')
        pid = sidecar.until('delivered')['target_pid']
        app.end()
        sidecar.polls()
        app = pod.app('app')
        sidecar.polls()
        assert app.untold()
        changes.renamed(str(pod.config), changes.text(2))
        assert app.lines.read(BOUND).startswith('reloaded | text 000002')
        assert sidecar.until('delivered')['target_pid'] != pid
        sidecar.polls()
        assert app.untold()


def test_a_watch_idles_and_stops(pod: GvisorPod) -> None:
    """It says nothing and takes next to no time of the processor; TERM ends it."""
    pod.app('app')
    args = ('watch', '--log-format', 'json', *APP)
    with pod.watch(pod.sidecar(*args)) as sidecar:
        sidecar.until('baseline')
        sidecar.status()
        before = used(pod.pid)
        assert sidecar.child.stderr is not None
        silence = 10.0
        assert not select.select([sidecar.child.stderr], [], [], silence)[0]
        # A busy loop takes all of it, and that on each processor it has.
        assert used(pod.pid) - before < silence / 4
        assert sidecar.stop() == 0
        assert sidecar.seen[-1]['event'] == 'stopped'
        assert strays(sidecar.seen) == []


def strays(seen: list[Event]) -> list[str]:
    """Return the lines that are no events, such as the output of a library."""
    return [each['message'] for each in seen if each['event'] == 'line']


def used(pid: int) -> float:
    """Return the seconds of processor that a process and those below it took."""
    rows = {}
    for entry in filter(str.isdecimal, os.listdir('/proc')):
        try:
            with open(f'/proc/{entry}/stat', encoding='utf-8') as file:
                rows[int(entry)] = file.read().rpartition(')')[2].split()
        except OSError:
            pass  # ended since it was listed
    family = {pid}
    while more := {each for each in rows if int(rows[each][1]) in family} - family:
        family |= more
    # utime, stime, and those of the children that were waited for.
    ticks = sum(int(field) for each in family for field in rows[each][11:15])
    return ticks / os.sysconf('SC_CLK_TCK')
