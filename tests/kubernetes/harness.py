"""A pod in a real cluster, its ConfigMap, and what its containers say.

All goes through kubectl, so that any cluster will do. A Pod is gone after its
`with`, and so is all that follows its logs. What did not happen is proved by
order: an app that is marked says so after whatever it was told before.
"""
from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.sandbox.harness import APP, Lines
from tests.servers.harness import until

KUBECTL = shlex.split(os.environ.get('KUBECTL', '')) or ['kubectl']
IMAGE = os.environ.get('POLLRELOAD_TEST_IMAGE', '')
APPS = os.environ.get('POLLRELOAD_TEST_APPS', '')
# A kubelet brings a ConfigMap after 75 s at the latest, by its defaults.
DEADLINE = 150.0
DIRECTORY = '/etc/app'
FILE = f'{DIRECTORY}/app.conf'
NAME = 'told-app'  # the comm of the app
NUMBERS = itertools.count(1)

Json = dict[str, Any]

# Print the pids of a comm, by a shell alone: sh -c PIDS COMM.
PIDS = (
    'for each in /proc/[0-9]*; do read -r comm <$each/comm && [ "$comm" = "$0" ] '
    '&& echo ${each#/proc/}; done 2>/dev/null; :'
)


def kubectl(*words: str, stdin: str = '', deadline: float = DEADLINE) -> str:
    """Return what kubectl prints. Raises AssertionError where it fails."""
    done = subprocess.run(
        [*KUBECTL, *words], input=stdin, capture_output=True, text=True,
        timeout=deadline, check=False,
    )
    assert not done.returncode, f'kubectl {" ".join(words)}: {done.stderr}'
    return done.stdout


@functools.cache
def absent() -> str:
    """Return what is missing for these tests; '' where nothing is."""
    needs = 'no cluster to test in (see tests/kubernetes/README.md): '
    for name in ('POLLRELOAD_TEST_IMAGE', 'POLLRELOAD_TEST_APPS'):
        if not os.environ.get(name):
            # kubectl alone may well lead to a cluster that is no place for tests.
            return f'{needs}{name} is not set'
    if shutil.which(KUBECTL[0]) is None:
        return f'{needs}there is no {KUBECTL[0]}'
    try:
        kubectl('get', 'nodes', '--request-timeout=5s')
    except AssertionError as error:
        return needs + ' '.join(str(error).split())
    return ''


def in_cluster() -> pytest.MarkDecorator:
    """Return the mark of all tests of a module; skip it where there is no cluster.

    In CI too: unlike a server, a cluster is nothing that it could install. At
    collection and from here, so that it is one line for all of them.
    """
    trouble = absent()
    if trouble:
        pytest.skip(trouble, allow_module_level=True)
    return pytest.mark.timeout(600)


class Follow(Lines):
    """What a container says, from its start to its end."""

    def __init__(self, namespace: str, pod: str, container: str) -> None:
        # A group of its own: KUBECTL may be a script, and kubectl its grandchild.
        self.child = subprocess.Popen(
            [*KUBECTL, '-n', namespace, 'logs', '-f', pod, '-c', container],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )
        assert self.child.stdout is not None
        super().__init__(self.child.stdout.fileno())
        self.found = 0

    def event(self, name: str, deadline: float = DEADLINE, **fields: object) -> Json:
        """Return the next event of a sidecar with a name and such fields.

        Raises AssertionError when there is none for the deadline, in seconds.
        """
        end = time.monotonic() + deadline
        while True:
            for got in self.events()[self.found:]:
                self.found += 1
                if got['event'] == name and fields.items() <= got.items():
                    return got
            left = max(0.0, end - time.monotonic())
            assert self.read(left), f'it ended without {name}: {self.seen}'

    def events(self, *names: str) -> list[Json]:
        """Return the events that a sidecar has said so far, or those of some names."""
        every = [json.loads(line) for line in self.seen if line.startswith('{')]
        return [event for event in every if not names or event['event'] in names]

    def rest(self) -> list[str]:
        """Return all the lines once there will be no more."""
        while self.read(DEADLINE):
            pass
        return self.seen

    def end(self) -> None:
        """End what follows, and forget what is unread."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.communicate()


class Pod:
    """A pod of a name, and the ConfigMap of that name."""

    def __init__(self, namespace: str, name: str, stack: contextlib.ExitStack) -> None:
        self.namespace = namespace
        self.name = name
        self.stack = stack

    def kubectl(self, *words: str, stdin: str = '') -> str:
        """Return what kubectl prints in the namespace."""
        return kubectl('-n', self.namespace, *words, stdin=stdin)

    def configure(self, data: Mapping[str, str], nudge: bool = True) -> None:
        """Replace the ConfigMap, and have the kubelet bring it soon, or in its time."""
        self.apply(data, 'replace')
        if nudge:
            self.nudge()

    def apply(self, data: Mapping[str, str], how: str) -> None:
        """Create or replace the ConfigMap."""
        self.kubectl(how, '-f', '-', stdin=json.dumps({
            'apiVersion': 'v1', 'kind': 'ConfigMap',
            'metadata': {'name': self.name}, 'data': dict(data),
        }))

    def nudge(self) -> None:
        """Have the kubelet look at the pod: a change of its own does that."""
        self.kubectl('annotate', '--overwrite', 'pod', self.name, f'n={next(NUMBERS)}')

    def follow(self, container: str) -> Follow:
        """Return what a container says, which is followed up to the pod's end."""
        follow = Follow(self.namespace, self.name, container)
        self.stack.callback(follow.end)
        return follow

    def told(self, container: str = 'app') -> Follow:
        """Return what an app says from when it is ready."""
        follow = self.follow(container)
        follow.until('ready', DEADLINE)
        return follow

    def watching(self, container: str = 'pollreload') -> Follow:
        """Return what a sidecar says from when it has looked at the file."""
        follow = self.follow(container)
        follow.event('baseline')
        return follow

    def run(self, container: str, *words: str) -> str:
        """Return what a command prints in a container."""
        return self.kubectl('exec', self.name, '-c', container, '--', *words)

    def tried(self, container: str, *words: str) -> tuple[int, str]:
        """Return the exit status of a command in a container, and what it prints."""
        done = subprocess.run(
            [*KUBECTL, '-n', self.namespace, 'exec', self.name, '-c', container, '--',
             *words],
            capture_output=True, text=True, timeout=DEADLINE, check=False,
        )
        return done.returncode, done.stdout

    def pids(self, comm: str = NAME, container: str = 'app') -> list[str]:
        """Return the pids of a comm, as a container sees them."""
        return self.run(container, 'sh', '-c', PIDS, comm).split()

    def send(self, *signals: str, pid: str, container: str = 'app') -> None:
        """Send signals to a pid, from a container that may do so."""
        kills = '; '.join(f'kill -{each} {pid}' for each in signals)
        self.run(container, 'sh', '-c', kills)

    def poll(self, sidecar: Follow) -> None:
        """Have a sidecar poll, so that quick updates are no feedback loop."""
        started, = sidecar.events('started')
        self.send('HUP', pid=str(started['pid']))

    def quiet(self, app: Follow, sidecar: Follow, comm: str = NAME) -> None:
        """Let a sidecar poll, and prove that its app is told nothing by that.

        The sidecar has to act on first sight (--settle 0).
        """
        started, = sidecar.events('started')
        self.send('HUP', 'USR1', pid=str(started['pid']))
        sidecar.event('status')
        pid, = self.pids(comm)
        self.send('USR1', pid=pid)
        assert app.read(DEADLINE) == 'marked', app.seen

    def shows(self, text: str, path: str, container: str = 'app') -> None:
        """Wait until a container sees that a file says something."""
        def seen() -> bool:
            status, said = self.tried(container, 'cat', path)
            return (said.strip() if not status else '') == text
        until(seen, f'{path} says {text!r}', DEADLINE)

    def serves(self, text: str, port: int) -> None:
        """Wait until the server of the pod answers a text."""
        path = f'/api/v1/namespaces/{self.namespace}/pods/{self.name}:{port}/proxy/'

        def answers() -> bool:
            try:
                return self.kubectl('get', '--raw', path).strip() == text
            except AssertionError:  # kubectl has a 502 while it does not listen
                return False
        until(answers, f'the server answers {text!r}', DEADLINE)

    def status(self, container: str) -> Json:
        """Return the status of a container (v1.ContainerStatus)."""
        pod = json.loads(self.kubectl('get', 'pod', self.name, '-o', 'json'))
        return container_status(pod, container)

    def restarted(self, container: str, times: int) -> None:
        """Wait until a container runs again, after so many restarts in all."""
        def runs() -> bool:
            status = self.status(container)
            return status['restartCount'] == times and 'running' in status['state']
        until(runs, f'{container} runs again', DEADLINE)

    def ready(self) -> None:
        """Wait until all its containers run; else say how the pod is."""
        words = '--for=condition=Ready', f'--timeout={DEADLINE - 10}s'
        try:
            self.kubectl('wait', *words, f'pod/{self.name}')
        except AssertionError as error:
            raise AssertionError(self.kubectl('describe', 'pod', self.name)) from error


def container_status(pod: Json, container: str) -> Json:
    """Return the status of a container, also of a native sidecar."""
    status = pod['status']
    return next((
        each for field in ('containerStatuses', 'initContainerStatuses')
        for each in status.get(field, ()) if each['name'] == container
    ), {})


def config(name: str, **more: object) -> Json:
    """Return a volume of a ConfigMap."""
    return {'name': 'config', 'configMap': {'name': name, **more}}


def mounted(**volumes: str) -> list[Json]:
    """Return volume mounts: name of the volume -> where."""
    return [{'name': name, 'mountPath': path} for name, path in volumes.items()]


def app(*files: str, name: str = 'app', comm: str = NAME, **more: object) -> Json:
    """Return a container of the app that says what it is told."""
    return {
        'name': name, 'image': APPS, 'imagePullPolicy': 'IfNotPresent',
        'command': ['python3', '/code/app.py', comm, *(files or (FILE,))],
        'volumeMounts': mounted(config=DIRECTORY, code='/code'), **more,
    }


def sidecar(
        name: str = 'pollreload', env: Mapping[str, str] | None = None, **more: object,
) -> Json:
    """Return a container of pollreload that watches the file for the app.

    It acts on first sight and logs JSON, where env does not say otherwise.
    """
    variables = {
        'FILE': FILE, 'PROCESS': NAME, 'SIGNAL': 'HUP', 'POLLRELOAD_SETTLE': '0',
        'POLLRELOAD_INTERVAL': '500ms', 'POLLRELOAD_SURVIVE': '100ms',
        'POLLRELOAD_LOG_FORMAT': 'json', **(env or {}),
    }
    return {
        'name': name, 'image': IMAGE, 'imagePullPolicy': 'IfNotPresent',
        'env': [{'name': key, 'value': value} for key, value in variables.items()],
        'volumeMounts': mounted(config=DIRECTORY), **more,
    }


@contextlib.contextmanager
def pod(
        namespace: str, name: str, data: Mapping[str, str],
        containers: Sequence[Json] = (), volumes: Sequence[Json] = (),
        wait: bool = True, **spec: object,
) -> Iterator[Pod]:
    """Give a pod whose ConfigMap says something; it is gone after this.

    containers: an app and a sidecar, where none are named. volumes: besides the
    code of the app; the ConfigMap, where none are named. wait: until all its
    containers run.
    """
    body = {
        'shareProcessNamespace': True, 'terminationGracePeriodSeconds': 5,
        'containers': list(containers or (app(), sidecar())),
        'volumes': [
            {'name': 'code', 'configMap': {'name': 'code'}},
            *(volumes or (config(name),)),
        ], **spec,
    }
    with applied(namespace, name, data, json.dumps({
        'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name}, 'spec': body,
    }), wait) as made:
        yield made


@contextlib.contextmanager
def applied(
        namespace: str, name: str, data: Mapping[str, str], manifest: str,
        wait: bool = True,
) -> Iterator[Pod]:
    """Give the pod of a manifest, beside a ConfigMap of its name; as pod."""
    with contextlib.ExitStack() as stack:
        made = Pod(namespace, name, stack)
        made.apply(data, 'create')
        stack.callback(made.kubectl, 'delete', 'configmap', name)
        made.kubectl('create', '-f', '-', stdin=manifest)
        # Its containers end now. The namespace is gone only once it is, which an
        # old kubelet sees to half a minute later.
        stack.callback(made.kubectl, 'delete', 'pod', name, '--wait=false')
        if wait:
            made.ready()
        yield made


@contextlib.contextmanager
def namespace(name: str, *labels: str) -> Iterator[str]:
    """Give a new namespace, with the code of the app in it; it is gone after this."""
    kubectl('create', 'namespace', name)
    try:
        if labels:
            kubectl('label', 'namespace', name, *labels)

        def account() -> bool:
            found = kubectl('-n', name, 'get', 'serviceaccounts', '-o', 'name')
            return 'serviceaccount/default' in found.split()
        # Without it no pod is admitted.
        until(account, 'the default service account', DEADLINE)
        kubectl('-n', name, 'create', 'configmap', 'code', f'--from-file={APP}')
        yield name
    finally:
        # After the last of its pods, see applied.
        kubectl('delete', 'namespace', name, deadline=3 * DEADLINE)
