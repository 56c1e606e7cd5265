"""Restarts of a sidecar and of its app, and pods that lack something."""
from __future__ import annotations

from tests.kubernetes.harness import (
    DEADLINE,
    DIRECTORY,
    FILE,
    Json,
    app,
    config,
    in_cluster,
    pod,
    sidecar,
    volume_mounts,
)
from tests.servers.harness import until

pytestmark = in_cluster()


def test_restarted_app_is_signalled_only_for_the_next_change(
        namespace: str, name: str,
) -> None:
    """It has a new pid and has read the current version."""
    with pod(namespace, name, {'app.conf': 'one\n'}) as made:
        log, watching = made.app_log(), made.watching()
        made.configure({'app.conf': 'two\n'})
        assert log.read(DEADLINE) == 'reloaded | two'
        watching.event('delivered')
        pid, = made.pids()
        made.send('KILL', pid=pid)
        made.restarted('app', 1)
        log = made.app_log()
        assert made.pids() != [pid]
        made.quiet(log, watching)
        made.configure({'app.conf': 'three\n'})
        assert log.read(DEADLINE) == 'reloaded | three'
        made.quiet(log, watching)
        assert len(watching.events('signalled')) == 2


def test_killed_sidecar_signals_once_in_all(namespace: str, name: str) -> None:
    """Its ledger is kept on an emptyDir, before the signal and after it."""
    containers = app(), sidecar(
        env={
            'POLLRELOAD_STATE_FILE': '/state/ledger', 'POLLRELOAD_SETTLE': '3s',
            'POLLRELOAD_SURVIVE': '3s',
        },
        volumeMounts=volume_mounts(config=DIRECTORY, state='/state'),
    )
    volumes = config(name), {'name': 'state', 'emptyDir': {}}
    with pod(namespace, name, {'app.conf': 'one\n'}, containers, volumes) as made:
        log, watching = made.app_log(), made.watching()

        def kill(times: int) -> None:
            pid = str(watching.events('started')[0]['pid'])
            made.send('KILL', pid=pid)
            made.restarted('pollreload', times)

        # Before the signal: the new version is there, and has not settled yet.
        made.configure({'app.conf': 'two\n'})
        made.shows('two', FILE)
        kill(1)
        watching.rest()
        assert not watching.events('signalled')
        watching = made.follow('pollreload')
        watching.event('delivered')
        assert log.read(DEADLINE) == 'reloaded | two'
        # After the signal, and before --survive is over.
        made.configure({'app.conf': 'three\n'})
        assert log.read(DEADLINE) == 'reloaded | three'
        kill(2)
        watching.rest()
        assert len(watching.events('signalled')) == 2
        assert len(watching.events('delivered')) == 1
        watching = made.follow('pollreload')
        watching.event('delivered')
        assert not watching.events('signalled')
        pid, = made.pids()
        made.send('USR1', pid=pid)
        assert log.read(DEADLINE) == 'marked'
        made.configure({'app.conf': 'four\n'})
        assert log.read(DEADLINE) == 'reloaded | four'


def test_pod_without_a_shared_pid_namespace_is_explained(
        namespace: str, name: str,
) -> None:
    """The app is invisible; the line names the field of the pod that is missing."""
    data = {'app.conf': 'one\n'}
    with pod(namespace, name, data, shareProcessNamespace=False) as made:
        log, watching = made.app_log(), made.watching()
        made.configure({'app.conf': 'two\n'})
        held = watching.event('held')
        assert held['reason'] == 'no target'
        assert 'in Kubernetes set shareProcessNamespace: true' in held['message']
        pid, = made.pids()
        made.send('USR1', pid=pid)
        assert log.read(DEADLINE) == 'marked'


def test_image_without_arguments_names_the_variables_it_needs(
        namespace: str, name: str,
) -> None:
    """Neither arguments nor FILE: status 2, and one line."""
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


def test_restricted_pod_is_notified(restricted: str, name: str) -> None:
    """Without root and capabilities, with a read-only root and the default seccomp.

    The namespace enforces the profile `restricted`, if the cluster is new enough
    (1.23).
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
        volumeMounts=volume_mounts(config=DIRECTORY, state='/state'),
        securityContext=alone,
    )
    volumes = config(name), {'name': 'state', 'emptyDir': {}}
    with pod(
            restricted, name, {'app.conf': 'one\n'}, containers, volumes,
            securityContext=user,
    ) as made:
        log, watching = made.app_log(), made.watching()
        status = made.run('app', 'cat', f'/proc/{made.pids("pollreload")[0]}/status')
        for line in ('Uid:\t1000', 'CapBnd:\t0000000000000000', 'NoNewPrivs:\t1',
                     'Seccomp:\t2'):
            assert line in status, status
        for text in ('two', 'three'):
            made.configure({'app.conf': f'{text}\n'})
            assert log.read(DEADLINE) == f'reloaded | {text}'
        made.quiet(log, watching)
        assert not watching.events('failed', 'held', 'unreadable')
        assert len(watching.events('signalled')) == 2


SIDECARS = {
    # name: its uid, its capabilities, and the users whose apps it may signal
    'root': (0, {}, {0, 1000}),
    'bare-root': (0, {'drop': ['ALL']}, {0}),
    'root-with-kill': (0, {'drop': ['ALL'], 'add': ['KILL']}, {0, 1000}),
    'same': (1000, {'drop': ['ALL']}, {1000}),
    'other': (2000, {'drop': ['ALL']}, set()),
    'other-with-kill': (2000, {'drop': ['ALL'], 'add': ['KILL']}, set()),
}


def test_signal_needs_the_same_uid_or_cap_kill(namespace: str, name: str) -> None:
    """The same uid, or root with CAP_KILL, which Kubernetes gives only to root.

    For another user, `add` changes only the bounding set, because there is no ambient
    set. Without permission there is one line that says what to do.
    """
    users = 0, 1000
    containers = [
        app(
            name=f'app-{user}', comm=f'test-{user}',
            securityContext={'runAsUser': user},
        ) for user in users
    ] + [
        sidecar(
            f'{each}-to-{user}', {'PROCESS': f'test-{user}'},
            securityContext={'runAsUser': uid, 'capabilities': capabilities},
        ) for each, (uid, capabilities, _) in SIDECARS.items() for user in users
    ]
    with pod(namespace, name, {'app.conf': 'one\n'}, containers) as made:
        apps = {user: made.app_log(f'app-{user}') for user in users}
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
            assert failed.startswith(f'not permitted to send SIGHUP to test-{user} (')
            assert f'uid {user}) as uid {uid}; run as the same uid' in failed, failed
            assert not log.events('signalled', 'delivered'), log.seen
        for user, log in apps.items():
            for _ in [each for each in SIDECARS if user in SIDECARS[each][2]]:
                assert log.read(DEADLINE) == 'reloaded | two'
            pid, = made.pids(f'test-{user}', f'app-{user}')
            made.send('USR1', pid=pid, container=f'app-{user}')
            assert log.read(DEADLINE) == 'marked'
