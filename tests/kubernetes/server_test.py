"""Real servers in a pod: what they serve after their ConfigMap has changed."""
from __future__ import annotations

from pathlib import Path

from tests.kubernetes.harness import (
    APPS,
    DEADLINE,
    IMAGE,
    applied,
    config,
    in_cluster,
    mounted,
    pod,
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


def test_an_apache_manifest_needs_only_another_image(namespace: str) -> None:
    """FILE, PROCESS and SIGNAL are enough, and Apache serves the new configuration."""
    manifest = MANIFEST.read_text('utf-8')
    for theirs, ours in (
            ('docker.io/library/httpd:2.4', APPS),
            ('registry.example/inotify-sidecar:1', IMAGE),
    ):
        assert manifest.count(theirs) == 1
        manifest = manifest.replace(theirs, ours)
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


def test_validate_runs_in_the_image_of_the_app(namespace: str, name: str) -> None:
    """There is its nginx -t: a broken configuration is held, a good one is told.

    An initContainer leaves pollreload in a volume of the pod.
    """
    place, installed = '/etc/nginx/conf.d', mounted(tools='/pollreload')
    here = {'image': APPS, 'imagePullPolicy': 'IfNotPresent'}
    first = {
        'name': 'install', 'image': IMAGE, 'imagePullPolicy': 'IfNotPresent',
        'args': ['install-to', '/pollreload'], 'volumeMounts': installed,
    }
    containers = ({
        **here, 'name': 'nginx', 'command': ['nginx', '-g', 'daemon off;'],
        'volumeMounts': mounted(config=place),
    }, {
        **here, 'name': 'pollreload', 'command': [
            '/pollreload/pollreload', 'watch', '--process', 'nginx', '--interval', '1s',
            '--validate', 'nginx -t -q', '--verify-workers', '--log-format', 'json',
            place,
        ],
        'volumeMounts': [*installed, *mounted(config=place)],
    })
    with pod(
            namespace, name, {'site.conf': NGINX.format('one')}, containers,
            [config(name), {'name': 'tools', 'emptyDir': {}}], initContainers=[first],
    ) as made:
        made.serves('one', 81)
        watching = made.watching()
        assert made.pids('pollreload', 'nginx'), 'ps shows it by another name'
        made.configure({'site.conf': NGINX.format('broken').replace(';', '')})
        held = watching.event('held')
        assert '--validate nginx refused the new content' in held['message'], held
        assert not watching.events('signalled')
        made.serves('one', 81)
        made.configure({'site.conf': NGINX.format('two')})
        watching.event('verified')
        made.serves('two', 81)
        assert len(watching.events('signalled')) == 1
