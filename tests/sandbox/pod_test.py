"""podman: a pod made from YAML, which users may signal there, and bad input.

The image is the real one. Of what a container may do podman and Kubernetes have
different ideas, which podman is made to follow in turn; see podman.py.
"""
from __future__ import annotations

import contextlib
import itertools
import json
import re
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.sandbox import changes
from tests.sandbox.harness import Lines, Polls, walk
from tests.sandbox.podman import (
    BASE,
    CONFIG,
    IMAGE,
    ContainerTarget,
    Machine,
    Watch,
    end,
    machine,
    program,
    untold,
)
from tests.support.sidecar import quick

TEMPLATE = Path(__file__).with_name('pod.yaml')
# s, as pod.yaml has it. A change is seen by the next poll and settled after 100 ms:
# less than half a second, which Polls holds it to in polls.
INTERVAL = 0.2
BOUND = 10.0  # s, after which nothing comes any more, however busy the machine
MOST_MEMORY = 16 * 1024  # kB; the README says about 12 MB
ROOT, SAME, OTHER = 0, 65532, 1000
WATCHED = (f'{CONFIG}/{changes.PLAIN}',)


@pytest.fixture(scope='module')
def podman() -> Iterator[Machine]:
    """Give a machine for all tests here, each of which removes its containers."""
    with machine() as made:
        yield made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give a directory of configuration that every user can read."""
    made = tmp_path / 'config'
    made.mkdir(0o755)
    changes.lay(str(made), changes.text(0))
    return made


Row = dict[str, str]


class PodmanPod(NamedTuple):
    """The pod of pod.yaml: what its app and its sidecar say."""

    app: Lines
    sidecar: Watch


@contextlib.contextmanager
def played(podman: Machine, config: Path, shared: bool = True) -> Iterator[PodmanPod]:
    """Give a pod that podman has made from YAML, once the sidecar has its baseline.

    shared: its pid namespace is.
    """
    manifest = config.parent / 'pod.yaml'
    manifest.write_text(string.Template(TEMPLATE.read_text('utf-8')).substitute(
        CONFIG=config, PROGRAM=program(podman), SHARED=str(shared).lower(),
    ), 'utf-8')
    with contextlib.ExitStack() as stack:
        stack.callback(podman.run, 'pod', 'rm', '--force', '--time=0', 'pod')
        podman.run('play', 'kube', '--network=none', str(manifest))
        child = podman.start('logs', '--follow', 'pod-app')
        stack.callback(end, podman, 'pod-app', child)
        assert child.stdout is not None
        app = Lines(child.stdout.fileno())
        app.until('ready')
        sidecar = stack.enter_context(Watch(
            podman, 'pod-sidecar', podman.start('logs', '--follow', 'pod-sidecar'),
        ))
        sidecar.until('baseline')
        yield PodmanPod(app, sidecar)


def test_every_kind_of_change_is_delivered_once(podman: Machine, config: Path) -> None:
    """All of the five ways, by a sidecar that may do nothing but what its uid may."""
    with played(podman, config) as pod:
        polls = Polls(pod.sidecar)
        took = walk(config, polls.counting_lines(pod.app.read), BOUND, polls.change)
        print({kind: f'{seconds:.2f} s' for kind, seconds in took.items()})
        pod.sidecar.polls()
        polls.assert_prompt(INTERVAL)
        assert untold(podman, {'pod-app': pod.app})
        assert pod.sidecar.count('signalled') == len(changes.KINDS)
        assert pod.sidecar.count('failed') == 0


def test_the_sidecar_is_what_the_pod_asks_for(podman: Machine, config: Path) -> None:
    """By its name, without any capability, small; and TERM ends it."""
    with played(podman, config) as pod:
        status = podman.status('pod-sidecar')
        assert status['Name'] == 'pollreload'
        assert status['Uid'].split() == [str(SAME)] * 4
        assert {status[f'Cap{kind}'] for kind in ('Prm', 'Eff', 'Bnd', 'Amb')} == {
            '0' * 16,
        }
        assert status['NoNewPrivs'] == '1'
        read_only = podman.run(
            'inspect', '--format={{.HostConfig.ReadonlyRootfs}}', 'pod-sidecar',
        )
        assert read_only.stdout == 'true\n'
        assert writable(podman.mounts('pod-sidecar')) == set()
        print({name: status[name] for name in ('VmRSS', 'RssAnon', 'RssFile')})
        assert int(status['VmRSS'].split()[0]) < MOST_MEMORY
        # The second is podman's patience, after which it would be 137.
        assert podman.stop('pod-sidecar', 1) == 0
        assert pod.sidecar.wait() == 0
        assert pod.sidecar.seen[-1]['event'] == 'stopped'


def test_a_pid_namespace_of_its_own_is_named(podman: Machine, config: Path) -> None:
    """A sidecar that sees no one says which line of the pod is missing; and as the
    first process of its namespace, TERM ends it all the same.
    """
    with played(podman, config, shared=False) as pod:
        changes.in_place(str(config), changes.text(1))
        held = pod.sidecar.until('held')
        assert held['message'].endswith('in Kubernetes set shareProcessNamespace: true')
        assert untold(podman, {'pod-app': pod.app})
        assert podman.status('pod-sidecar')['NSpid'].split()[-1] == '1'
        assert podman.stop('pod-sidecar', 1) == 0
        assert pod.sidecar.wait() == 0
        assert pod.sidecar.seen[-1]['event'] == 'stopped'


# Who is notified, by the uid of the sidecar and what it is given: a process may signal
# those of its own uid, and with an effective CAP_KILL all (kill(2)). Root has what is
# given. Another user has none of podman's defaults; what is added by name podman makes
# ambient, and Kubernetes does not, so that exec(2) takes it away.
ALL_USERS = {ROOT, SAME, OTHER}
DEFAULT, DROPPED, ADDED = (), ('--cap-drop=ALL',), ('--cap-drop=ALL', '--cap-add=KILL')
NAMES = {DEFAULT: 'default', DROPPED: 'drop-all', ADDED: 'drop-all-add-kill'}
NOTIFIED = {
    #                 by podman    by Kubernetes
    (ROOT, DEFAULT): (ALL_USERS, ALL_USERS),
    (ROOT, DROPPED): ({ROOT}, {ROOT}),
    (ROOT, ADDED): (ALL_USERS, ALL_USERS),
    (SAME, DEFAULT): ({SAME}, {SAME}),
    (SAME, DROPPED): ({SAME}, {SAME}),
    (SAME, ADDED): (ALL_USERS, {SAME}),
}
# What is said to anyone who may not. In vain is a CAP_KILL that may be had and is not
# in effect, which both a default and an addition leave to a user who is not root.
ADD = 'run as the same uid, or as root with CAP_KILL'
IN_VAIN = 'run as the same uid, or as root with CAP_KILL, which is not in effect for'
RUNTIMES = {'podman': 'runc', 'kubernetes': 'kubernetes'}
CAP_KILL = 1 << 5  # linux/capability.h


class Apps(NamedTuple):
    """An app of every uid, by uid, all in one pid namespace and called `app`."""

    config: Path
    targets: dict[int, ContainerTarget]
    numbers: Iterator[int]  # of changes


@pytest.fixture(scope='module')
def apps(
        podman: Machine, tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Apps]:
    """Give an app of every uid."""
    config = tmp_path_factory.mktemp('apps') / 'config'
    config.mkdir(0o755)
    changes.lay(str(config), changes.text(0))
    with contextlib.ExitStack() as stack:
        targets: dict[int, ContainerTarget] = {}
        shared: Sequence[str] = ()
        for uid in sorted(ALL_USERS):
            targets[uid] = ContainerTarget(podman, config, uid, *shared)
            stack.callback(targets[uid].end)
            shared = (f'--pid=container:{targets[ROOT].name}',)
        yield Apps(config, targets, itertools.count(1))


# Without the second podman mounts a tmpfs at /tmp, /run and /var/tmp.
READ_ONLY = ('--read-only', '--read-only-tmpfs=false')


def beside(
        apps: Apps, uid: int, given: Sequence[str], runtime: str, *args: str,
) -> list[str]:
    """Return how podman is to run our image beside the apps."""
    return [
        f'--runtime={runtime}', 'run', '--rm', '--network=none', '--name=sidecar',
        *READ_ONLY, '--security-opt=no-new-privileges', f'--user={uid}:{uid}',
        *given, f'--pid=container:{apps.targets[ROOT].name}',
        f'--volume={apps.config}:{CONFIG}:ro', IMAGE, *args,
        '--process', 'app', '--select', 'all', *WATCHED,
    ]


@pytest.mark.parametrize('given_by', ['podman', 'kubernetes'])
@pytest.mark.parametrize(
    ('uid', 'given'), NOTIFIED,
    ids=[f'{uid}-{NAMES[given]}' for uid, given in NOTIFIED],
)
def test_signal_needs_the_same_uid_or_cap_kill(
        podman: Machine, apps: Apps, uid: int, given: tuple[str, ...], given_by: str,
) -> None:
    """A process that is not notified is named in one line that says what to do; doctor
    foretells it.

    One sidecar for three cells: anyone who cannot be notified keeps no one else from
    it.
    """
    notified = NOTIFIED[uid, given][list(RUNTIMES).index(given_by)]
    refused = ALL_USERS - notified
    advice = ADD if given == DROPPED else f'{IN_VAIN} uid {uid}'
    runtime = RUNTIMES[given_by]
    status, rows = doctor(podman, beside(apps, uid, given, runtime, 'doctor'))
    assert {user for user, row in rows.items() if row['verdict'] == 'ok'} == notified
    assert {user for user, row in rows.items() if row['verdict'] == 'fail'} == refused
    assert [rows[user]['remedy'] for user in refused] == [advice] * len(refused)
    assert status == (1 if refused else 0)
    args = beside(
        apps, uid, given, runtime, 'watch', *quick('--interval', '200ms', '-v'),
    )
    with Watch(podman, 'sidecar', podman.start(*args)) as sidecar:
        sidecar.until('baseline')
        effective = podman.status('sidecar')['CapEff']
        assert bool(int(effective, 16) & CAP_KILL) == (notified == ALL_USERS)
        text = changes.text(next(apps.numbers))
        changes.in_place(str(apps.config), text)
        for user in notified:
            assert apps.targets[user].lines.read(BOUND) == f'reloaded | {text.strip()}'
        if refused:
            says = sidecar.until('failed', reason='not permitted')['message']
            for user in refused:
                # 'app (pid 6)' of doctor is 'app (pid 6, uid 1000)' here.
                who = rows[user]['about'].replace(')', f', uid {user})')
                assert (
                    f'not permitted to send SIGHUP to {who} as uid {uid}; {advice}'
                ) in says
            assert says.count('not permitted') == len(refused)
            assert '\n' not in says
        sidecar.polls()
        assert sidecar.count('signalled') == len(notified)
        assert sidecar.count('failed') == (1 if refused else 0)
        assert untold(podman, {
            target.name: target.lines for target in apps.targets.values()
        })


def doctor(podman: Machine, args: Sequence[str]) -> tuple[int, dict[int, Row]]:
    """Return the exit status of a doctor, and what it says of signals, by uid."""
    done = podman.run(*args, '--output', 'json', check=False)
    found = {}
    for row in json.loads(done.stdout)['rows']:
        if row['check'] == 'permission':
            whose = re.search(r'signal it \(uid (\d+)\)$', row['says'])
            assert whose, row
            found[int(whose[1])] = row
    return done.returncode, found


def test_missing_variables_are_named(podman: Machine) -> None:
    """The image alone is a usage error, which shows the three names in one line."""
    done = podman.run('run', '--rm', '--network=none', IMAGE, check=False)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr.count('\n') == 1
    assert all(name in done.stderr for name in ('FILE', 'PROCESS', 'SIGNAL'))


def writable(mounts: str) -> set[str]:
    """Return all that may be written of a container, where its mounts are listed.

    All but the files of the kernel, and /dev with its /dev/shm, of which every
    container has its own.
    """
    rows = [line.split() for line in mounts.splitlines()]
    return {
        at for _, at, _, options, *_ in rows
        if 'rw' in options.split(',')
        and at.split('/')[1] not in ('dev', 'proc', 'sys')
    }


def test_the_image_asks_for_nothing(podman: Machine) -> None:
    """It proves itself read-only, without capability, user, network or sources; and
    read-only is all of it, also /tmp.
    """
    read = podman.run(
        'run', '--rm', *READ_ONLY, '--network=none',
        '--entrypoint=/usr/local/lib/python3', IMAGE, '-ISXutf8', '-c',
        'print(open("/proc/mounts").read(), end="")',
    )
    assert writable(read.stdout) == set()
    done = podman.run(
        'run', '--rm', *READ_ONLY, '--cap-drop=ALL', '--user=12345',
        '--security-opt=no-new-privileges', '--network=none', IMAGE, 'smoke',
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(('image', 'there'), [(IMAGE, False), (BASE, True)])
def test_there_is_no_shell(podman: Machine, image: str, there: bool) -> None:
    """None that a container could be started with; in the base there are."""
    for shell in ('sh', 'bash'):
        done = podman.run(
            'run', '--rm', '--network=none', f'--entrypoint={shell}', image, '-c', ':',
            check=False,
        )
        # 127: there is no such command (podman-run(1)).
        assert done.returncode == (0 if there else 127), done.stderr
