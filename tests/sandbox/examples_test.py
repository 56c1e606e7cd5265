"""The manifests of the examples, really run: by podman play kube and docker-compose.

Changed in them is only what this machine has not: the images (nginx is this one's own,
laid out as nginxinc/nginx-unprivileged is), the network, and 5 s between two polls.
"""
from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.sandbox import podman
from tests.sandbox.harness import Lines, fetched, needed
from tests.sandbox.podman import Machine
from tests.servers.harness import environment, until
from tests.support.examples import EXAMPLES, IMAGE

NGINX = 'docker.io/nginxinc/nginx-unprivileged:stable'
THEIRS = 'localhost/nginx:test'
BOUND = 20.0  # s, from a change to its last event
LONGEST = 60.0  # s that a tool may take
# As it is in nginxinc/nginx-unprivileged: all that it writes is below /tmp.
NGINX_CONF = """\
pid /tmp/nginx.pid;
error_log /dev/stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/client_temp;
    proxy_temp_path /tmp/proxy_temp;
    fastcgi_temp_path /tmp/fastcgi_temp;
    uwsgi_temp_path /tmp/uwsgi_temp;
    scgi_temp_path /tmp/scgi_temp;
    include conf.d/*.conf;
}
"""
LIKE_THEIRS = (
    'CMD ["nginx", "-g", "daemon off;"]', 'USER 101',
    'ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin',
)


def lay(root: Path) -> None:
    """Make the root of nginx's image: the program, a shell, and what they load."""
    programs = [needed('nginx', 'nginx'), '/bin/sh']
    said = subprocess.check_output(['ldd', *programs], text=True)
    libraries = re.findall(r'(/\S+) \(0x', said)
    for file in {*programs, *libraries}:
        copy = root / file.lstrip('/')
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(file), copy)
    for name in ('dev', 'etc/nginx/conf.d', 'proc', 'run', 'sys', 'tmp', 'var/log'):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / 'tmp').chmod(0o1777)
    (root / 'etc/passwd').write_text('root:x:0:0::/:/bin/sh\nnginx:x:101:101::/:\n')
    (root / 'etc/group').write_text('root:x:0:\nnginx:x:101:\n')
    (root / 'etc/nginx/nginx.conf').write_text(NGINX_CONF)


@pytest.fixture(scope='module')
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return an archive of nginx's root, while the other images are kept."""
    needed('curl', 'curl')
    place = tmp_path_factory.mktemp('nginx')
    lay(place / 'root')
    archive = place / 'nginx.tar'
    subprocess.run(['tar', '-C', place / 'root', '-cf', archive, '.'], check=True)
    with podman.images():
        yield archive


@pytest.fixture
def machine(nginx: Path) -> Iterator[Machine]:
    """Return a machine with both images; all that runs there ends with it."""
    with podman.machine() as made:
        changes = [f'--change={each}' for each in LIKE_THEIRS]
        made.run('import', '--quiet', *changes, str(nginx), THEIRS)
        yield made


@contextlib.contextmanager
def log(machine: Machine, container: str) -> Iterator[Lines]:
    """Provide what a sidecar has said, and says."""
    child = machine.start('logs', '--follow', container)
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        yield Lines(child.stderr.fileno())
    finally:
        child.kill()
        child.wait()
        # podman, which nsenter waited for, then has no one to write to.
        child.stdout.close()
        child.stderr.close()


class Site(NamedTuple):
    """An nginx that runs.

    container: its name.
    file: what it reads.
    """

    machine: Machine
    container: str
    file: Path

    def ask(self) -> str:
        """Return all that it answers."""
        said = self.machine.run('inspect', '--format={{.State.Pid}}', self.container)
        return subprocess.run(
            ['nsenter', f'--target={self.machine.pid}', '--mount', '--pid', 'nsenter',
             f'--target={said.stdout.strip()}', '--net', 'curl', '-s',
             'http://127.0.0.1:8080/'],
            capture_output=True, text=True, check=True, timeout=LONGEST,
        ).stdout

    def change(self, greeting: str) -> None:
        """Change what it is to answer."""
        text = re.sub(r'"\w+ from', f'"{greeting} from', self.file.read_text())
        self.file.write_text(text)


def here(name: str, config: Path) -> tuple[str, list[dict[str, Any]]]:
    """Return the pod's name, and a manifest for this machine.

    config: in the place of a directory of the host.
    """
    text = (EXAMPLES / name).read_text()
    assert text.count(NGINX) >= 1
    assert text.count(IMAGE) == 1
    text = text.replace(NGINX, THEIRS).replace(IMAGE, podman.IMAGE)
    found = list(yaml.safe_load_all(text))
    (pod,) = (each for each in found if each['kind'] in ('Pod', 'Deployment'))
    alone = pod['kind'] == 'Pod'
    spec = pod['spec'] if alone else pod['spec']['template']['spec']
    for container in spec['containers']:
        container.pop('ports', None)
        if container['name'] == 'pollreload':
            variable = {'name': 'POLLRELOAD_INTERVAL', 'value': '500ms'}
            container.setdefault('env', []).append(variable)
    for volume in spec['volumes']:
        if 'hostPath' in volume:
            volume['hostPath']['path'] = str(config)
    if 'initContainers' in spec:
        # Of a pod that is always started again, podman 4 does so with these too.
        spec['restartPolicy'] = 'Never'
    return 'web' if alone else 'web-pod-0', found


def play(machine: Machine, name: str) -> tuple[Site, str]:
    """Start the pod of a manifest; return its nginx, and the name of its sidecar."""
    config = machine.place / 'conf.d'
    shutil.copytree(EXAMPLES / 'podman/conf.d', config)
    pod, manifest = here(name, config)
    file = machine.place / 'manifest.yaml'
    file.write_text(yaml.safe_dump_all(manifest))
    machine.run('play', 'kube', '--network=none', str(file))
    if any(each['kind'] == 'ConfigMap' for each in manifest):
        # The copy that podman made of it, in place of the kubelet's.
        said = machine.run('volume', 'inspect', '--format={{.Mountpoint}}', 'web')
        config = Path(said.stdout.strip())
    return Site(machine, f'{pod}-nginx', config / 'site.conf'), f'{pod}-pollreload'


def events(lines: Sequence[str]) -> list[str]:
    """Return the names of the events in a log."""
    return [line.split()[1].rstrip(':') for line in lines if ': ' in line]


DELIVERED = ['changed', 'signalled', 'delivered', 'verified']
MANIFESTS = ('podman/pod.yaml', 'kubernetes/plain-sidecar.yaml',
             'kubernetes/restricted.yaml')


@pytest.mark.parametrize('name', MANIFESTS)
def test_pod_is_notified_once(name: str, machine: Machine) -> None:
    """A change is delivered once, also if the sidecar is started again after it."""
    site, sidecar = play(machine, name)
    with log(machine, sidecar) as said:
        said.until(' baseline: ')
        assert site.ask() == 'hello from nginx\n'
        site.change('bye')
        said.until(' verified: ', BOUND)
        assert events(said.seen) == ['started', 'baseline', *DELIVERED]
    assert site.ask() == 'bye from nginx\n'

    machine.run('restart', '--time=5', sidecar)

    with log(machine, sidecar) as said:
        said.until(' stopped: ')
        said.until(' started: ')
        site.change('again')
        said.until(' verified: ', BOUND)
        once = ['started', 'baseline', *DELIVERED, 'stopped']
        assert events(said.seen) == [*once, 'started', *DELIVERED]
    assert site.ask() == 'again from nginx\n'


def test_app_image_validates(machine: Machine) -> None:
    """In nginx's image `nginx -t` runs: what it refuses is held until it is fixed."""
    site, sidecar = play(machine, 'kubernetes/app-image.yaml')
    with log(machine, sidecar) as said:
        said.until(' baseline: ')
        site.change('bye')
        said.until(' verified: ', BOUND)
        good = site.file.read_text()
        site.file.write_text(f'{good}broken')
        assert '--validate nginx refused' in said.until(' held: ', BOUND)
        assert site.ask() == 'bye from nginx\n'
        site.file.write_text(good.replace('bye', 'again'))
        said.until(' verified: ', BOUND)
        assert events(said.seen).count('signalled') == 2
    assert site.ask() == 'again from nginx\n'


# What this machine has not, for compose.yaml.
OVERRIDE = f"""\
services:
  nginx: {{image: {THEIRS}, network_mode: none, ports: !reset []}}
  pollreload:
    image: {podman.IMAGE}
    environment: {{POLLRELOAD_INTERVAL: 500ms}}
"""


@contextlib.contextmanager
def composed(machine: Machine, folder: Path) -> Iterator[Callable[..., None]]:
    """Give docker-compose for a folder, with podman for a Docker."""
    tool = fetched('newer/docker-compose', 'get-newer.sh')
    socket = machine.place / 'podman.sock'
    service = machine.start('system', 'service', '--time=0', f'unix://{socket}')

    def compose(*args: str) -> None:
        done = subprocess.run(
            [tool, '-f', 'compose.yaml', '-f', 'override.yaml', *args], cwd=folder,
            env={**environment(), 'DOCKER_HOST': f'unix://{socket}'}, text=True,
            capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=LONGEST,
        )
        assert done.returncode == 0, done.stderr

    try:
        until(socket.exists, 'podman listens')
        yield compose
    finally:
        service.kill()
        service.wait()
        for pipe in (service.stdout, service.stderr):
            assert pipe is not None
            pipe.close()


def test_compose_is_notified_once(machine: Machine) -> None:
    """A change is delivered; a restart of nginx takes the sidecar along, which
    remembers.
    """
    folder = machine.place / 'compose'
    shutil.copytree(EXAMPLES / 'compose', folder)
    (folder / 'override.yaml').write_text(OVERRIDE)
    # As its README.md says.
    made = ['install', '-d', '-o', '101', '-m', '700', 'state']
    subprocess.run(made, cwd=folder, check=True)
    site = Site(machine, 'web-nginx-1', folder / 'conf.d/site.conf')
    with composed(machine, folder) as compose:
        compose('up', '--detach')
        with log(machine, 'web-pollreload-1') as said:
            said.until(' baseline: ')
            site.change('bye')
            said.until(' verified: ', BOUND)
            assert events(said.seen) == ['started', 'baseline', *DELIVERED]
        assert site.ask() == 'bye from nginx\n'

        compose('restart', '--timeout', '5', 'nginx')

        with log(machine, 'web-pollreload-1') as said:
            said.until(' verified: ')
            said.until(' started: ')
            site.change('again')
            said.until(' verified: ', BOUND)
            assert events(said.seen)[-4:] == DELIVERED
            assert events(said.seen).count('baseline') == 1
            assert events(said.seen).count('signalled') == 2
        assert site.ask() == 'again from nginx\n'
