"""A pod in a real cluster, its ConfigMap, and the output of its containers.

Everything goes through kubectl, so that any cluster will do. A Pod is deleted after its
`with`, and nothing follows its logs any longer. That something did not happen is proved
by the order of lines: a marked app prints that after all earlier reloads.
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
NAME = 'test-app'  # the comm of the app
NUMBERS = itertools.count(1)

Json = dict[str, Any]

# Print the pids of a comm, by a shell alone: sh -c PIDS COMM.
PIDS = (
    'for each in /proc/[0-9]*; do read -r comm <$each/comm && [ "$comm" = "$0" ] '
    '&& echo ${each#/proc/}; done 2>/dev/null; :'
)


def kubectl(*arguments: str, stdin: str = '', deadline: float = DEADLINE) -> str:
    """Return the output of kubectl. Raises AssertionError if it fails."""
    done = subprocess.run(
        [*KUBECTL, *arguments], input=stdin, capture_output=True, text=True,
        timeout=deadline, check=False,
    )
    assert not done.returncode, f'kubectl {" ".join(arguments)}: {done.stderr}'
    return done.stdout


@functools.cache
def absent() -> str:
    """Return what is missing for these tests, or ''."""
    needs = 'no cluster to test in (see tests/kubernetes/README.md): '
    for name in ('POLLRELOAD_TEST_IMAGE', 'POLLRELOAD_TEST_APPS'):
        if not os.environ.get(name):
            # kubectl alone may reach a cluster that is not meant for tests.
            return f'{needs}{name} is not set'
    if shutil.which(KUBECTL[0]) is None:
        return f'{needs}there is no {KUBECTL[0]}'
    try:
        kubectl('get', 'nodes', '--request-timeout=5s')
    except AssertionError as error:
        return needs + ' '.join(str(error).split())
    return ''


def in_cluster() -> pytest.MarkDecorator:
    """Return the mark of all tests of a module; skip the module without a cluster.

    In CI as well: unlike a server, a cluster cannot simply be installed. It is done at
    collection, so that there is one line for all of the tests.
    """
    trouble = absent()
    if trouble:
        pytest.skip(trouble, allow_module_level=True)
    return pytest.mark.timeout(600)


class Follow(Lines):
    """The output of a container, from its start to its end."""

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

        Raises AssertionError if there is none within the deadline, in seconds.
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
        """Return the events that a sidecar has logged so far, or those of some names.
        """
        every = [json.loads(line) for line in self.seen if line.startswith('{')]
        return [event for event in every if not names or event['event'] in names]

    def rest(self) -> list[str]:
        """Return all lines once the container has ended."""
        while self.read(DEADLINE):
            pass
        return self.seen

    def end(self) -> None:
        """Stop following the log, and drop the unread lines."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.communicate()


class Pod:
    """A pod, and the ConfigMap of the same name."""

    def __init__(self, namespace: str, name: str, stack: contextlib.ExitStack) -> None:
        self.namespace = namespace
        self.name = name
        self.stack = stack

    def kubectl(self, *arguments: str, stdin: str = '') -> str:
        """Return the output of kubectl. Raises AssertionError if it fails."""
        return kubectl('-n', self.namespace, *arguments, stdin=stdin)

    def configure(self, data: Mapping[str, str], nudge: bool = True) -> None:
        """Replace the ConfigMap; nudge: and let the kubelet update its files at once.
        """
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
        """Make the kubelet update the pod at once, by changing an annotation of it."""
        self.kubectl('annotate', '--overwrite', 'pod', self.name, f'n={next(NUMBERS)}')

    def follow(self, container: str) -> Follow:
        """Follow the output of a container until the pod is deleted."""
        follow = Follow(self.namespace, self.name, container)
        self.stack.callback(follow.end)
        return follow

    def app_log(self, container: str = 'app') -> Follow:
        """Return the output of an app that is ready."""
        follow = self.follow(container)
        follow.until('ready', DEADLINE)
        return follow

    def watching(self, container: str = 'pollreload') -> Follow:
        """Return the output of a sidecar that has taken its baseline."""
        follow = self.follow(container)
        follow.event('baseline')
        return follow

    def run(self, container: str, *arguments: str) -> str:
        """Return the output of a command in a container."""
        return self.kubectl('exec', self.name, '-c', container, '--', *arguments)

    def tried(self, container: str, *arguments: str) -> tuple[int, str]:
        """Return the exit status and the output of a command in a container."""
        done = subprocess.run(
            [*KUBECTL, '-n', self.namespace, 'exec', self.name, '-c', container, '--',
             *arguments],
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
        """Make a sidecar poll, so that quick updates are no feedback loop."""
        started, = sidecar.events('started')
        self.send('HUP', pid=str(started['pid']))

    def quiet(self, app: Follow, sidecar: Follow, comm: str = NAME) -> None:
        """Make a sidecar poll, and prove that it does not signal its app.

        The sidecar must deliver at the first poll (--settle 0).
        """
        started, = sidecar.events('started')
        self.send('HUP', 'USR1', pid=str(started['pid']))
        sidecar.event('status')
        pid, = self.pids(comm)
        self.send('USR1', pid=pid)
        assert app.read(DEADLINE) == 'marked', app.seen

    def shows(self, text: str, path: str, container: str = 'app') -> None:
        """Wait until a container reads that text from a file."""
        def seen() -> bool:
            status, said = self.tried(container, 'cat', path)
            return (said.strip() if not status else '') == text
        until(seen, f'{path} says {text!r}', DEADLINE)

    def serves(self, text: str, port: int) -> None:
        """Wait until the server of the pod answers with a text."""
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
        """Wait until a container runs again, after that many restarts in all."""
        def runs() -> bool:
            status = self.status(container)
            return status['restartCount'] == times and 'running' in status['state']
        until(runs, f'{container} runs again', DEADLINE)

    def ready(self) -> None:
        """Wait until all its containers run, or fail with the description of the pod.
        """
        options = '--for=condition=Ready', f'--timeout={DEADLINE - 10}s'
        try:
            self.kubectl('wait', *options, f'pod/{self.name}')
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


def volume_mounts(**volumes: str) -> list[Json]:
    """Return volume mounts; volumes: name of the volume -> path."""
    return [{'name': name, 'mountPath': path} for name, path in volumes.items()]


def app(*files: str, name: str = 'app', comm: str = NAME, **more: object) -> Json:
    """Return a container of the app that prints each reload."""
    return {
        'name': name, 'image': APPS, 'imagePullPolicy': 'IfNotPresent',
        'command': ['python3', '/code/app.py', comm, *(files or (FILE,))],
        'volumeMounts': volume_mounts(config=DIRECTORY, code='/code'), **more,
    }


def sidecar(
        name: str = 'pollreload', env: Mapping[str, str] | None = None, **more: object,
) -> Json:
    """Return a container of pollreload that watches the file for the app.

    It delivers at the first poll and logs JSON, unless env sets something else.
    """
    variables = {
        'FILE': FILE, 'PROCESS': NAME, 'SIGNAL': 'HUP', 'POLLRELOAD_SETTLE': '0',
        'POLLRELOAD_INTERVAL': '500ms', 'POLLRELOAD_SURVIVE': '100ms',
        'POLLRELOAD_LOG_FORMAT': 'json', **(env or {}),
    }
    return {
        'name': name, 'image': IMAGE, 'imagePullPolicy': 'IfNotPresent',
        'env': [{'name': key, 'value': value} for key, value in variables.items()],
        'volumeMounts': volume_mounts(config=DIRECTORY), **more,
    }


@contextlib.contextmanager
def pod(
        namespace: str, name: str, data: Mapping[str, str],
        containers: Sequence[Json] = (), volumes: Sequence[Json] = (),
        wait: bool = True, **spec: object,
) -> Iterator[Pod]:
    """Create a pod with a ConfigMap of some data; it is deleted afterwards.

    containers: an app and a sidecar by default. volumes: in addition to the code of the
    app; the ConfigMap by default. wait: until all its containers run.
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
    """Create the pod of a manifest, and a ConfigMap of its name; see pod()."""
    with contextlib.ExitStack() as stack:
        made = Pod(namespace, name, stack)
        made.apply(data, 'create')
        stack.callback(made.kubectl, 'delete', 'configmap', name)
        made.kubectl('create', '-f', '-', stdin=manifest)
        # Its containers end now. The namespace can be deleted only after the pod,
        # which an old kubelet removes half a minute later.
        stack.callback(made.kubectl, 'delete', 'pod', name, '--wait=false')
        if wait:
            made.ready()
        yield made


@contextlib.contextmanager
def namespace(name: str, *labels: str) -> Iterator[str]:
    """Create a namespace with the code of the app; it is deleted afterwards."""
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
