"""The manifests of examples/, and what pollreload is called with in them."""
from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.sandbox.harness import fetched
from tests.servers.harness import environment

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / 'examples'
KUBERNETES = EXAMPLES / 'kubernetes'
OVERLAY = KUBERNETES / 'kustomize' / 'overlay'
IMAGE = 'registry.example/pollreload:0.1.0'
NATIVE = 'kubernetes/sidecar.yaml'
LONGEST = 60.0  # s that a tool may take
Object = dict[str, Any]


class Call(NamedTuple):
    """A command line of pollreload in an example.

    arguments: after `pollreload`.
    variables: what else its environment has.
    """

    where: str
    words: list[str]
    variables: Mapping[str, str] = {}


class PodManifest(NamedTuple):
    """A pod, or what a Deployment makes pods of;
    where: its file or its folder.
    """

    where: str
    name: str
    annotations: Mapping[str, str]
    spec: Object


def tool_output(*words: str | Path, **more: Any) -> str:
    """Return all that a tool prints. Raises AssertionError with all of it if it fails.
    """
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=LONGEST, check=False,
        stdin=subprocess.DEVNULL, **{'env': environment(), **more},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@functools.cache
def kustomized() -> str:
    """Return all that kubectl makes of the overlay."""
    return tool_output(fetched('newer/kubectl', 'get-newer.sh'), 'kustomize', OVERLAY)


def below(path: Path) -> str:
    """Return the name of a file as the tests show it."""
    return str(path.relative_to(EXAMPLES))


def objects(where: str) -> list[Object]:
    """Return the objects of a manifest; of `overlay`, those that kubectl makes."""
    text = kustomized() if where == 'overlay' else (EXAMPLES / where).read_text()
    return [each for each in yaml.safe_load_all(text) if each]


# Every manifest of Kubernetes by its name; those of kustomize come as one.
MANIFESTS = [
    *(below(path) for path in sorted(EXAMPLES.glob('*/pod.yaml'))),
    *(below(path) for path in sorted(KUBERNETES.glob('*.yaml'))),
    'monitoring/sidecar.yaml', 'overlay',
]


def pods(where: str) -> Iterator[PodManifest]:
    """Yield the pods of a manifest."""
    for each in objects(where):
        name = each['metadata']['name']
        if each['kind'] not in ('Pod', 'Deployment'):
            continue
        made = each if each['kind'] == 'Pod' else each['spec']['template']
        annotations = made['metadata'].get('annotations', {})
        yield PodManifest(where, name, annotations, made['spec'])


def containers(spec: Object) -> list[Object]:
    """Return all containers of a pod, the first to start first."""
    return [*spec.get('initContainers', []), *spec['containers']]


def command(container: Object) -> list[str] | None:
    """Return the arguments after `pollreload` that a container runs, if it does."""
    words: list[str] = container.get('command', [])
    if words:
        return words[1:] if words[0].endswith('/pollreload') else None
    # ENTRYPOINT and CMD of its own image.
    ours = 'pollreload' in container['image']
    return container.get('args', ['watch']) if ours else None


def variables(container: Object, annotations: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a container; from an absent annotation comes ''."""
    found = {}
    for each in container.get('env', []):
        value = each.get('value')
        if value is None:
            field = each['valueFrom']['fieldRef']['fieldPath']
            annotation = re.fullmatch(r"metadata\.annotations\['(.+)'\]", field)
            assert annotation, field
            value = annotations.get(annotation[1], '')
        found[each['name']] = value
    return found


def sidecars(spec: Object) -> list[Object]:
    """Return the containers of a pod that watch."""
    return [each for each in containers(spec) if (command(each) or [''])[0] == 'watch']


def of_manifests() -> Iterator[Call]:
    """Yield the calls in manifests."""
    for where in MANIFESTS:
        for pod in pods(where):
            for container in containers(pod.spec):
                words = command(container)
                if words is not None:
                    yield Call(where, words, variables(container, pod.annotations))
