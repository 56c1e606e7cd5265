"""What becomes of a sidecar, of its app, and of a pod that is not made for it."""
from __future__ import annotations

from tests.kubernetes.harness import (
    DEADLINE,
    DIRECTORY,
    FILE,
    Json,
    app,
    config,
    in_cluster,
    mounted,
    pod,
    sidecar,
)
from tests.servers.harness import until

pytestmark = in_cluster()


def test_an_app_that_came_back_is_told_of_the_next_change(
        namespace: str, name: str,
) -> None:
    """It has a new pid and has read the file: it is not told of what is in there."""
    with pod(namespace, name, {'app.conf': 'one\n'}) as made:
        told, watching = made.told(), made.watching()
        made.configure({'app.conf': 'two\n'})
        assert told.read(DEADLINE) == 'told | two'
        watching.event('delivered')
        pid, = made.pids()
        made.send('KILL', pid=pid)
        made.restarted('app', 1)
        told = made.told()
        assert made.pids() != [pid]
        made.quiet(told, watching)
        made.configure({'app.conf': 'three\n'})
        assert told.read(DEADLINE) == 'told | three'
        made.quiet(told, watching)
        assert len(watching.events('signalled')) == 2


def test_a_sidecar_that_is_killed_tells_once_in_all(namespace: str, name: str) -> None:
    """Its ledger outlives it on an emptyDir, before the signal and after it."""
    containers = app(), sidecar(
        env={
            'POLLRELOAD_STATE_FILE': '/state/ledger', 'POLLRELOAD_SETTLE': '3s',
            'POLLRELOAD_SURVIVE': '3s',
        },
        volumeMounts=mounted(config=DIRECTORY, state='/state'),
    )
    volumes = config(name), {'name': 'state', 'emptyDir': {}}
    with pod(namespace, name, {'app.conf': 'one\n'}, containers, volumes) as made:
        told, watching = made.told(), made.watching()

        def kill(times: int) -> None:
            pid = str(watching.events('started')[0]['pid'])
            made.send('KILL', pid=pid)
            made.restarted('pollreload', times)

        # Before it is told: the new content is there, and not yet settled.
        made.configure({'app.conf': 'two\n'})
        made.shows('two', FILE)
        kill(1)
        watching.rest()
        assert not watching.events('signalled')
        watching = made.follow('pollreload')
        watching.event('delivered')
        assert told.read(DEADLINE) == 'told | two'
        # After that, and before it is known that the app has survived it.
        made.configure({'app.conf': 'three\n'})
        assert told.read(DEADLINE) == 'told | three'
        kill(2)
        watching.rest()
        assert len(watching.events('signalled')) == 2
        assert len(watching.events('delivered')) == 1
        watching = made.follow('pollreload')
        watching.event('delivered')
        assert not watching.events('signalled')
        pid, = made.pids()
        made.send('USR1', pid=pid)
        assert told.read(DEADLINE) == 'marked'
        made.configure({'app.conf': 'four\n'})
        assert told.read(DEADLINE) == 'told | four'


def test_a_pod_without_a_shared_pid_namespace_is_named(
        namespace: str, name: str,
) -> None:
    """The app is not to be seen; the line says which field of the pod is missing."""
    data = {'app.conf': 'one\n'}
    with pod(namespace, name, data, shareProcessNamespace=False) as made:
        told, watching = made.told(), made.watching()
        made.configure({'app.conf': 'two\n'})
        held = watching.event('held')
        assert held['reason'] == 'no target'
        assert 'in Kubernetes set shareProcessNamespace: true' in held['message']
        pid, = made.pids()
        made.send('USR1', pid=pid)
        assert told.read(DEADLINE) == 'marked'


def test_an_image_that_is_told_nothing_says_what_it_needs(
        namespace: str, name: str,
) -> None:
    """No arguments and no FILE: status 2, and one line that shows the variables."""
    containers = {**sidecar(), 'env': []},
    with pod(
            namespace, name, {}, containers, wait=False, restartPolicy='Never',
    ) as made:
        def ended() -> Json:
            state = made.status('pollreload').get('state', {})
            got: Json = state.get('terminated', {})
            return got
        until(lambda: bool(ended()), 'pollreload ends', DEADLINE)
        assert ended()['exitCode'] == 2
        line, = made.follow('pollreload').rest()
        for variable in ('FILE', 'PROCESS', 'SIGNAL'):
            assert variable in line, line


def test_a_restricted_pod_is_told(restricted: str, name: str) -> None:
    """No root, no capability, nothing to write to but the ledger, seccomp's default.

    The namespace enforces the profile `restricted`, where the cluster is not older
    than that (1.23).
    """
    user = {
        'runAsNonRoot': True, 'runAsUser': 1000, 'runAsGroup': 1000,
        'seccompProfile': {'type': 'RuntimeDefault'},
    }
    alone = {
        'allowPrivilegeEscalation': False, 'readOnlyRootFilesystem': True,
        'capabilities': {'drop': ['ALL']},
    }
    containers = app(securityContext=alone), sidecar(
        env={'POLLRELOAD_STATE_FILE': '/state/ledger'},
        volumeMounts=mounted(config=DIRECTORY, state='/state'),
        securityContext=alone,
    )
    volumes = config(name), {'name': 'state', 'emptyDir': {}}
    with pod(
            restricted, name, {'app.conf': 'one\n'}, containers, volumes,
            securityContext=user,
    ) as made:
        told, watching = made.told(), made.watching()
        status = made.run('app', 'cat', f'/proc/{made.pids("pollreload")[0]}/status')
        for line in ('Uid:\t1000', 'CapBnd:\t0000000000000000', 'NoNewPrivs:\t1',
                     'Seccomp:\t2'):
            assert line in status, status
        for text in ('two', 'three'):
            made.configure({'app.conf': f'{text}\n'})
            assert told.read(DEADLINE) == f'told | {text}'
        made.quiet(told, watching)
        assert not watching.events('failed', 'held', 'unreadable')
        assert len(watching.events('signalled')) == 2


SIDECARS = {
    # name: its uid, what its manifest says of capabilities, and whom it may signal
    'root': (0, {}, {0, 1000}),
    'bare-root': (0, {'drop': ['ALL']}, {0}),
    'root-with-kill': (0, {'drop': ['ALL'], 'add': ['KILL']}, {0, 1000}),
    'same': (1000, {'drop': ['ALL']}, {1000}),
    'other': (2000, {'drop': ['ALL']}, set()),
    'other-with-kill': (2000, {'drop': ['ALL'], 'add': ['KILL']}, set()),
}


def test_who_may_signal_whom(namespace: str, name: str) -> None:
    """The same uid, root's own, or CAP_KILL, which Kubernetes gives only to root.

    A user that is not root gets what `add` names in its bounding set alone, for
    there is no ambient set. Whoever may not says so in one line, and what to do.
    """
    users = 0, 1000
    containers = [
        app(
            name=f'app-{user}', comm=f'told-{user}',
            securityContext={'runAsUser': user},
        ) for user in users
    ] + [
        sidecar(
            f'{each}-to-{user}', {'PROCESS': f'told-{user}'},
            securityContext={'runAsUser': uid, 'capabilities': capabilities},
        ) for each, (uid, capabilities, _) in SIDECARS.items() for user in users
    ]
    with pod(namespace, name, {'app.conf': 'one\n'}, containers) as made:
        told = {user: made.told(f'app-{user}') for user in users}
        watching = {
            (each, user): made.watching(f'{each}-to-{user}')
            for each in SIDECARS for user in users
        }
        made.configure({'app.conf': 'two\n'})
        for (each, user), log in watching.items():
            uid, _, allowed = SIDECARS[each]
            if user in allowed:
                log.event('delivered')
                assert not log.events('failed', 'held'), log.seen
                continue
            failed = log.event('failed')['message']
            assert failed.startswith(f'not permitted to send SIGHUP to told-{user} (')
            assert f'uid {user}) as uid {uid}; run as the same uid' in failed, failed
            assert not log.events('signalled', 'delivered'), log.seen
        for user, log in told.items():
            for _ in [each for each in SIDECARS if user in SIDECARS[each][2]]:
                assert log.read(DEADLINE) == 'told | two'
            pid, = made.pids(f'told-{user}', f'app-{user}')
            made.send('USR1', pid=pid, container=f'app-{user}')
            assert log.read(DEADLINE) == 'marked'
