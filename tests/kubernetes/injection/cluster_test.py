"""The policies in a real API server: every fixture, as a dry run.

In a cluster without MutatingAdmissionPolicy v1 (before Kubernetes 1.36) it is skipped.
"""
from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator

import pytest
import yaml

from tests.kubernetes.harness import DEADLINE, KUBECTL, in_cluster, kubectl
from tests.kubernetes.injection import cases
from tests.servers.harness import until

pytestmark = in_cluster()

API = '/apis/admissionregistration.k8s.io/v1'


def apply(text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Create objects with kubectl."""
    return subprocess.run(
        [*KUBECTL, 'create', '-f', '-', *options], input=text, capture_output=True,
        text=True, timeout=DEADLINE, check=False,
    )


@pytest.fixture(scope='module')
def names() -> Iterator[dict[str, str]]:
    """Return the namespaces of the fixtures by their name there, with the policies."""
    resources = json.loads(kubectl('get', '--raw', API))['resources']
    if 'mutatingadmissionpolicies' not in {each['name'] for each in resources}:
        pytest.skip('this cluster has no MutatingAdmissionPolicy v1')
    suffix = uuid.uuid4().hex[:8]
    found = {name: f'{name}-{suffix}' for name in cases.namespaces()}
    spaces = list(yaml.safe_load_all((cases.HERE / 'namespaces.yaml').read_text()))
    for each in spaces:
        each['metadata']['name'] = found[each['metadata']['name']]
    made = yaml.safe_dump_all(spaces), cases.POLICIES.read_text()
    try:
        for text in made:
            done = apply(text)
            assert not done.returncode, done.stderr
        until(lambda: active(found), 'the policies are in force', DEADLINE)
        yield found
    finally:
        for text in reversed(made):
            kubectl('delete', '--ignore-not-found', '-f', '-', stdin=text)


def active(names: dict[str, str]) -> bool:
    """Return whether both policies, and the service accounts, are there already."""
    refused = dry_run('refused-unknown-option', names)
    injected = [dry_run(name, names) for name in ('plain', 'namespace-annotated')]
    return 'no option' in refused.stderr and all(
        'initContainers' in each.stdout for each in injected
    )


def dry_run(name: str, names: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Ask the API server for its answer to a fixture."""
    target = cases.given(name)
    target['metadata']['namespace'] = names[target['metadata']['namespace']]
    return apply(yaml.safe_dump(target), '--dry-run=server', '-o', 'json')


@pytest.mark.parametrize('name', cases.NAMES)
def test_the_api_server_answers_as_expected(name: str, names: dict[str, str]) -> None:
    """Its CEL agrees with the one that wrote the expected pods."""
    expected = yaml.safe_load((cases.HERE / f'expected/{name}.yaml').read_text())

    done = dry_run(name, names)

    if 'refused' in expected:
        assert done.returncode
        assert expected['refused'] in done.stderr
        return
    assert not done.returncode, done.stderr
    del expected['metadata']['namespace']
    assert not cases.included(expected, json.loads(done.stdout))
