"""How a kubelet updates the files of a ConfigMap, and what is delivered to the app."""
from __future__ import annotations

import pytest

from tests.kubernetes.harness import (
    DEADLINE,
    DIRECTORY,
    FILE,
    app,
    config,
    in_cluster,
    pod,
    sidecar,
    volume_mounts,
)

pytestmark = in_cluster()

OTHERS = 1000  # keys
# Print each time that the file could not be read for a moment, and for how long.
READS = f"""\
import time
began = 0.0
while True:
    now = time.monotonic()
    try:
        open('{FILE}').close()
    except PermissionError:
        began = began or now
    except FileNotFoundError:
        pass  # the directory it was in is gone by now
    else:
        if began:
            print(f'denied for {{(now - began) * 1000:.1f}} ms', flush=True)
        began = 0.0
    time.sleep(0.0005)
"""


def test_ten_updates_are_delivered_once_each(namespace: str, name: str) -> None:
    """Each with its own version."""
    with pod(namespace, name, {'app.conf': 'text 0\n'}) as made:
        log, watching = made.app_log(), made.watching()
        for number in range(1, 11):
            made.configure({'app.conf': f'text {number}\n'})
            assert log.read(DEADLINE) == f'reloaded | text {number}', log.seen
            made.poll(watching)
        made.quiet(log, watching)
        assert len(watching.events('signalled')) == 10


def test_update_of_another_key_is_not_delivered(namespace: str, name: str) -> None:
    """The kubelet swaps the whole directory, but the file has the same bytes."""
    data = {'app.conf': 'mine\n', 'other.conf': 'one\n'}
    with pod(namespace, name, data) as made:
        log, watching = made.app_log(), made.watching()
        led = made.run('app', 'readlink', f'{DIRECTORY}/..data')
        made.configure({**data, 'other.conf': 'two\n'})
        made.shows('two', f'{DIRECTORY}/other.conf')
        assert made.run('app', 'readlink', f'{DIRECTORY}/..data') != led
        made.quiet(log, watching)
        assert not watching.events('changed', 'unreadable')
        made.configure({'app.conf': 'mine again\n', 'other.conf': 'two\n'})
        assert log.read(DEADLINE) == 'reloaded | mine again'
        made.quiet(log, watching)


def test_key_that_comes_back_is_delivered_only_with_other_bytes(
        namespace: str, name: str,
) -> None:
    """A missing key is no change, and neither is its return with the same bytes."""
    with pod(namespace, name, {'app.conf': 'one\n', 'other.conf': ''}) as made:
        log, watching = made.app_log(), made.watching()
        for text in ('one', 'two', 'two'):
            made.configure({'other.conf': ''})
            watching.event('unreadable')
            made.quiet(log, watching)
            made.configure({'app.conf': f'{text}\n', 'other.conf': ''})
            watching.event('readable')
            if text == 'two' and len(watching.events('signalled')) == 0:
                assert log.read(DEADLINE) == 'reloaded | two'
            made.quiet(log, watching)
        assert len(watching.events('signalled')) == 1


def test_items_with_a_path_of_their_own_are_followed(namespace: str, name: str) -> None:
    """Here sub is a link to ..data/sub, and the file in it is no link at all."""
    path = f'{DIRECTORY}/sub/app.conf'
    volume = config(name, items=[{'key': 'app.conf', 'path': 'sub/app.conf'}])
    containers = app(path), sidecar(env={'FILE': path})
    data = {'app.conf': 'one\n', 'other.conf': 'one\n'}
    with pod(namespace, name, data, containers, [volume]) as made:
        log, watching = made.app_log(), made.watching()
        for text in ('two', 'three'):
            made.configure({'app.conf': f'{text}\n', 'other.conf': 'one\n'})
            assert log.read(DEADLINE) == f'reloaded | {text}'
        made.quiet(log, watching)


def test_file_that_is_denied_for_a_moment_is_not_unreadable(
        namespace: str, name: str,
) -> None:
    """With fsGroup the kubelet gives a file to the group some ms after the swap.

    Until then other users than root get EACCES, which is not reported at the first
    poll. Another container records that it happens; if a newer kubelet does it in
    another order, the test is skipped.
    """
    user = {'runAsUser': 1000, 'runAsGroup': 1000, 'fsGroup': 2000}
    # With fsGroup the ctime of a file proves nothing, see docs/kubernetes.md.
    containers = app(), sidecar(env={
        'POLLRELOAD_INTERVAL': '10ms', 'POLLRELOAD_ON_START': 'never',
    }), app(name='reads', command=['python3', '-c', READS])
    # The kubelet works in the order of names: these make the moment longer.
    many = {f'a{number:04}': '' for number in range(OTHERS)}
    with pod(
            namespace, name, {**many, 'app.conf': 'text 0\n'}, containers,
            [config(name, defaultMode=0o440)], securityContext=user,
    ) as made:
        log, watching = made.app_log(), made.watching()
        assert made.run('app', 'stat', '-L', '-c', '%a %g', FILE) == '440 2000\n'
        for number in range(1, 11):
            made.configure({**many, 'app.conf': f'text {number}\n'})
            assert log.read(DEADLINE) == f'reloaded | text {number}', log.seen
            made.poll(watching)
        made.quiet(log, watching)
        assert not watching.events('unreadable', 'readable', 'failed', 'held')
        assert len(watching.events('signalled')) == 10
        denied = made.kubectl('logs', made.name, '-c', 'reads').splitlines()
    if not denied:
        pytest.skip(
            'delivered each time, but this kubelet never denied the file in 10 swaps: '
            'that case was not tested',
        )


def test_doctor_says_that_a_subpath_never_gets_an_update(
        namespace: str, name: str,
) -> None:
    """The directory of the same ConfigMap is updated, the subPath is not."""
    whole = '/etc/whole'
    mounts = [
        {'name': 'config', 'mountPath': FILE, 'subPath': 'app.conf'},
        *volume_mounts(config=whole),
    ]
    containers = (
        app(volumeMounts=[*mounts, *volume_mounts(code='/code')]),
        sidecar(volumeMounts=mounts),
    )
    asked = 'pollreload', 'doctor', '--process', 'test-app'
    with pod(namespace, name, {'app.conf': 'one\n'}, containers) as made:
        log, watching = made.app_log(), made.watching()
        made.configure({'app.conf': 'two\n'})
        made.shows('two', f'{whole}/app.conf')
        made.quiet(log, watching)
        assert made.run('app', 'cat', FILE) == 'one\n'
        status, said = made.tried('pollreload', *asked, FILE)
        assert status == 1
        assert 'a Kubernetes subPath mount, which never gets an update' in said, said
        status, said = made.tried('pollreload', *asked, f'{whole}/app.conf')
        assert 'subPath' not in said
        assert not status, said
