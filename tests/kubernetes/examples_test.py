"""The manifests of examples/kubernetes, applied to a real cluster.

Only the images are replaced, and the namespace of the manifest that creates its own.
nginx is set up as in nginxinc/nginx-unprivileged, see get-apps.sh.
"""
from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator, Sequence

import pytest
import yaml

from tests.kubernetes import harness
from tests.kubernetes.harness import (
    APPS,
    DEADLINE,
    IMAGE,
    KUBECTL,
    NUMBERS,
    Follow,
    Pod,
)
from tests.servers.harness import until
from tests.support.examples import IMAGE as PUBLISHED
from tests.support.examples import (
    NATIVE,
    Object,
    command,
    containers,
    objects,
    sidecars,
)

pytestmark = harness.in_cluster()

IMAGES = {'docker.io/nginxinc/nginx-unprivileged:stable': APPS, PUBLISHED: IMAGE}
ONE_SIDECAR = ('kubernetes/plain-sidecar.yaml', 'kubernetes/restricted.yaml', 'overlay')
APP_IMAGE = 'kubernetes/app-image.yaml'
GVISOR = 'kubernetes/gvisor.yaml'


@pytest.fixture(scope='module')
def places() -> Iterator[contextlib.ExitStack]:
    """Keep the namespaces until all tests are done: deleting one takes a minute."""
    with contextlib.ExitStack() as made:
        yield made


@pytest.fixture
def own_namespace(namespace: str, places: contextlib.ExitStack) -> Iterator[str]:
    """Create a namespace for one manifest, because they all use the same names."""
    made = harness.namespace(f'{namespace}-{next(NUMBERS)}')
    name = places.enter_context(made)
    yield name
    # Its pods end while the other tests run.
    harness.kubectl('-n', name, 'delete', 'deployments', '--all', '--wait=false')


@pytest.fixture
def stack(own_namespace: str) -> Iterator[contextlib.ExitStack]:
    """Provide a stack that is closed before the pods are deleted."""
    with contextlib.ExitStack() as made:
        yield made


def here(manifest: str, own_namespace: str) -> list[Object]:
    """Return the objects of a manifest for this cluster."""
    found = objects(manifest)
    for each in found:
        if each['kind'] == 'Namespace':
            each['metadata']['name'] = own_namespace
        elif 'namespace' in each['metadata']:
            each['metadata']['namespace'] = own_namespace
        if each['kind'] == 'Deployment':
            for container in containers(each['spec']['template']['spec']):
                container['image'] = IMAGES[container['image']]
    return found


def kind(found: Sequence[Object], name: str) -> Object:
    """Return the object of a kind that is called web."""
    (one,) = (
        each for each in found
        if each['kind'] == name and each['metadata']['name'] == 'web'
    )
    return one


def apply(own_namespace: str, found: Sequence[Object]) -> None:
    """Apply objects, as kubectl does with a file."""
    text = yaml.safe_dump_all(found)
    harness.kubectl('-n', own_namespace, 'apply', '-f', '-', stdin=text)


def tried(found: Sequence[Object], own_namespace: str) -> tuple[int, str]:
    """Return the exit status of kubectl, and the answer of the API server to objects.
    """
    done = subprocess.run(
        [*KUBECTL, '-n', own_namespace, 'apply', '--dry-run=server', '-f', '-'],
        input=yaml.safe_dump_all(found), capture_output=True, text=True,
        timeout=DEADLINE, check=False,
    )
    return done.returncode, done.stdout + done.stderr


class Site:
    """The running nginx of a manifest, its ConfigMap, and the log of its sidecar."""

    def __init__(
            self, where: str, own_namespace: str, stack: contextlib.ExitStack,
    ) -> None:
        self.place = own_namespace
        self.found = here(where, own_namespace)
        self.map = kind(self.found, 'ConfigMap')
        apply(own_namespace, self.found)
        wait = f'--timeout={DEADLINE}s'
        harness.kubectl(
            '-n', own_namespace, 'rollout', 'status', 'deployment/web', wait,
        )
        options = '-n', own_namespace, 'get', 'pods', '-l', 'app=web', '-o', 'name'
        (name,) = harness.kubectl(*options).split()
        self.pod = Pod(own_namespace, name.removeprefix('pod/'), stack)
        self.log: Follow = self.pod.follow('pollreload')
        self.log.until(' baseline: ', DEADLINE)

    def change(self, text: str) -> None:
        """Apply the whole manifest again, with another configuration."""
        self.map['data']['site.conf'] = text
        apply(self.place, self.found)
        self.pod.nudge()

    def greets(self, word: str) -> str:
        """Return the configuration that answers with a word."""
        text: str = self.map['data']['site.conf']
        assert ' from nginx' in text
        return re.sub(r'"\w+ from', f'"{word} from', text)

    def serves(self, word: str) -> None:
        """Wait until nginx answers with a word."""
        self.pod.serves(f'{word} from nginx', 8080)

    def poll(self) -> None:
        """Make the sidecar poll, and wait for its status line.

        The signals come from the container of nginx: the sidecar's may have no shell.
        """
        pid, = self.pod.pids('pollreload', 'nginx')
        self.pod.send('HUP', 'USR1', pid=pid, container='nginx')
        self.log.until(' status: ', DEADLINE)

    def events(self) -> list[str]:
        """Return the events so far, without those that the test requested.

        nginx -t writes lines of its own.
        """
        found = (re.match(r'\S+Z (\w+): ', line) for line in self.log.seen)
        asked = 'polling', 'status'
        return [each[1] for each in found if each and each[1] not in asked]

    def unbroken(self) -> None:
        """Check that no container of the pod was restarted."""
        for name in ('nginx', 'pollreload'):
            assert self.pod.status(name)['restartCount'] == 0


def change_events(where: str) -> list[str]:
    """Return the events of one change, by the options of the sidecar."""
    template = kind(objects(where), 'Deployment')['spec']['template']
    (sidecar,) = sidecars(template['spec'])
    verified = ['verified'] if '--verify-workers' in (command(sidecar) or []) else []
    return ['changed', 'signalled', 'delivered', *verified]


@pytest.mark.parametrize('where', ONE_SIDECAR)
def test_change_is_delivered_once(
        where: str, own_namespace: str, stack: contextlib.ExitStack,
) -> None:
    """And nginx serves the new configuration."""
    site, events = Site(where, own_namespace, stack), change_events(where)
    site.serves('hello')
    # There is no annotation for another signal, which the component supports.
    assert ', for nginx and SIGHUP' in site.log.seen[0], site.log.seen

    for number, word in enumerate(('bye', 'again'), 1):
        site.change(site.greets(word))
        site.log.until(f' {events[-1]}: ', DEADLINE)
        site.serves(word)
        site.poll()
        assert site.events() == ['started', 'baseline', *events * number]

    site.unbroken()


def test_only_the_labelled_deployment_gets_a_sidecar(own_namespace: str) -> None:
    """The other Deployment of the overlay keeps its single container."""
    apply(own_namespace, here('overlay', own_namespace))

    wait = f'--timeout={DEADLINE}s'
    harness.kubectl('-n', own_namespace, 'rollout', 'status', 'deployment/other', wait)
    options = '-n', own_namespace, 'get', 'pods', '-l', 'app=other', '-o', 'json'
    (pod,) = json.loads(harness.kubectl(*options))['items']
    assert [each['name'] for each in pod['status']['containerStatuses']] == ['nginx']


def test_the_component_needs_its_annotation(
        own_namespace: str, stack: contextlib.ExitStack,
) -> None:
    """Without it the variable is empty: the sidecar ends and says what it needs."""
    found = here('overlay', own_namespace)
    template = kind(found, 'Deployment')['spec']['template']
    del template['metadata']['annotations']
    apply(own_namespace, found)

    def state() -> tuple[str, Object]:
        options = '-n', own_namespace, 'get', 'pods', '-l', 'app=web', '-o', 'json'
        for pod in json.loads(harness.kubectl(*options))['items']:
            for each in pod['status'].get('containerStatuses', ()):
                if each['name'] == 'pollreload':
                    ended = {**each['lastState'], **each['state']}.get('terminated', {})
                    return pod['metadata']['name'], ended
        return '', {}
    until(lambda: bool(state()[1]), 'pollreload ends', DEADLINE)
    name, ended = state()
    assert ended['exitCode'] == 2
    log = Pod(own_namespace, name, stack).follow('pollreload')
    assert 'PROCESS' in log.read(DEADLINE), log.seen


def test_the_component_needs_its_volume(own_namespace: str) -> None:
    """A pod without that volume is refused, and the line names it."""
    found = here('overlay', own_namespace)
    spec = kind(found, 'Deployment')['spec']['template']['spec']
    spec['volumes'] = [each for each in spec['volumes'] if each['name'] != 'config']
    status, said = tried(found, own_namespace)

    assert status
    assert 'volumeMounts[0].name: Not found: "config"' in said, said


def test_app_image_validates(own_namespace: str, stack: contextlib.ExitStack) -> None:
    """A version that nginx -t refuses is held; the next good one is delivered once."""
    site, events = Site(APP_IMAGE, own_namespace, stack), change_events(APP_IMAGE)
    assert events[-1] == 'verified'
    good = site.greets('bye')

    site.change(f'{good}broken')
    held = site.log.until(' held: ', DEADLINE)
    assert '--validate nginx refused the new version' in held
    site.serves('hello')
    assert site.events() == ['started', 'baseline', 'changed', 'held']
    site.change(good)
    site.log.until(' verified: ', DEADLINE)

    site.serves('bye')
    site.poll()
    assert site.events() == ['started', 'baseline', 'changed', 'held', *events]
    site.unbroken()


def test_gvisor_is_admitted(own_namespace: str) -> None:
    """By the API server alone, with the RuntimeClass: no node needs runsc."""
    status, said = tried(here(GVISOR, own_namespace), own_namespace)

    assert not status, said
    for name in ('runtimeclass.node.k8s.io/gvisor', 'deployment.apps/web'):
        assert name in said, said


def test_native_sidecar_runs_or_is_refused(
        own_namespace: str, stack: contextlib.ExitStack,
) -> None:
    """An older cluster names the field that it does not know; a newer one runs it."""
    version = json.loads(harness.kubectl('version', '-o', 'json'))['serverVersion']
    number = int(version['major']), int(re.sub(r'\D.*', '', version['minor']))
    if number == (1, 28):
        pytest.skip('1.28 has native sidecars behind a gate, and else drops the field')
    if number < (1, 28):
        status, said = tried(here(NATIVE, own_namespace), own_namespace)
        assert status, said
        assert 'unknown field' in said, said
        assert 'restartPolicy' in said, said
        return

    site, events = Site(NATIVE, own_namespace, stack), change_events(NATIVE)
    site.change(site.greets('bye'))
    site.log.until(f' {events[-1]}: ', DEADLINE)

    site.serves('bye')
    site.poll()
    assert site.events() == ['started', 'baseline', *events]
