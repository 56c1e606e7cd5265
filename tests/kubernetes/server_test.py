"""Real servers in a pod: what they serve after a change of their ConfigMap."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.kubernetes.harness import (
    APPS,
    DEADLINE,
    IMAGE,
    Follow,
    Pod,
    applied,
    config,
    in_cluster,
    pod,
    volume_mounts,
)

pytestmark = in_cluster()

MANIFEST = Path(__file__).parent / 'apache.yaml'
HTTPD = """\
Listen 80
ServerName localhost
PidFile logs/httpd.pid
ErrorLog /dev/stderr
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule dir_module modules/mod_dir.so
<IfModule !mod_unixd.c>
LoadModule unixd_module modules/mod_unixd.so
</IfModule>
User www-data
Group www-data
DocumentRoot conf
DirectoryIndex {}.txt
"""
NGINX = 'server {{ listen 81; location / {{ return 200 "{}"; }} }}\n'
BROKEN = NGINX.format('broken').replace(';', '')
PLACE = '/etc/nginx/conf.d'


def test_an_apache_manifest_needs_only_another_image(namespace: str) -> None:
    """FILE, PROCESS and SIGNAL are enough, and Apache serves the new configuration."""
    manifest = MANIFEST.read_text('utf-8')
    for theirs, image in (
            ('docker.io/library/httpd:2.4', APPS),
            ('registry.example/inotify-sidecar:1', IMAGE),
    ):
        assert manifest.count(theirs) == 1
        manifest = manifest.replace(theirs, image)
    answers = {'one.txt': 'one\n', 'two.txt': 'two\n', 'three.txt': 'three\n'}
    data = {**answers, 'httpd.conf': HTTPD.format('one')}
    with applied(namespace, 'apache', data, manifest) as made:
        made.serves('one', 80)
        log = made.follow('inotify')
        log.until('baseline: ', DEADLINE)
        for answer in ('two', 'three'):
            made.configure({**answers, 'httpd.conf': HTTPD.format(answer)})
            log.until('delivered: SIGHUP to httpd', DEADLINE)
            made.serves(answer, 80)
        assert sum(' signalled: ' in line for line in log.seen) == 2, log.seen
        assert made.status('httpd')['restartCount'] == 0


@contextlib.contextmanager
def nginx(namespace: str, name: str, *options: str) -> Iterator[tuple[Pod, Follow]]:
    """Create a pod with nginx, and a sidecar that runs in the image of nginx.

    An init container installs pollreload into a volume of the pod.
    """
    installed = volume_mounts(tools='/pollreload')
    here = {'image': APPS, 'imagePullPolicy': 'IfNotPresent'}
    first = {
        'name': 'install', 'image': IMAGE, 'imagePullPolicy': 'IfNotPresent',
        'args': ['install-to', '/pollreload'], 'volumeMounts': installed,
    }
    containers = ({
        **here, 'name': 'nginx', 'volumeMounts': volume_mounts(config=PLACE),
    }, {
        **here, 'name': 'pollreload', 'command': [
            '/pollreload/pollreload', 'watch', '--process', 'nginx', '--interval', '1s',
            '--log-format', 'json', *options, PLACE,
        ],
        'volumeMounts': [*installed, *volume_mounts(config=PLACE)],
    })
    with pod(
            namespace, name, {'site.conf': NGINX.format('one')}, containers,
            [config(name), {'name': 'tools', 'emptyDir': {}}], initContainers=[first],
    ) as made:
        made.serves('one', 81)
        yield made, made.watching()


def test_validate_runs_in_the_image_of_the_app(namespace: str, name: str) -> None:
    """nginx -t is there: a broken configuration is held, and a good one delivered."""
    asked = '--validate', 'nginx -t -q', '--verify-workers'
    with nginx(namespace, name, *asked) as (made, watching):
        assert made.pids('pollreload', 'nginx'), 'ps shows it by another name'
        made.configure({'site.conf': BROKEN})
        held = watching.event('held')
        assert '--validate nginx refused the new version' in held['message'], held
        assert not watching.events('signalled')
        made.serves('one', 81)
        made.configure({'site.conf': NGINX.format('two')})
        watching.event('verified')
        made.serves('two', 81)
        assert len(watching.events('signalled')) == 1


def test_verify_runs_in_the_image_of_the_app(namespace: str, name: str) -> None:
    """curl is there: nginx must answer as the ConfigMap says.

    nginx survives a configuration that it refuses, and keeps the one before. Without
    --verify pollreload could only claim that the signal was delivered.
    """
    agrees = f'grep -F "\\"$(curl -sS http://127.0.0.1:81/)\\"" {PLACE}/site.conf'
    asked = '--verify', f"sh -c '{agrees}'", '--command-timeout', '3s'
    with nginx(namespace, name, *asked) as (made, watching):
        made.configure({'site.conf': NGINX.format('two')})
        watching.event('verified')
        made.serves('two', 81)
        assert [each['event'] for each in watching.events()] == [
            'started', 'baseline', 'changed', 'signalled', 'delivered', 'verified',
        ]
        made.configure({'site.conf': BROKEN})
        failed = watching.event('failed')
        assert '--verify' in failed['message'], failed
        made.serves('two', 81)
        assert len(watching.events('verified')) == 1
        made.configure({'site.conf': NGINX.format('three')})
        watching.event('verified')
        made.serves('three', 81)
