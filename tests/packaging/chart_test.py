"""The chart: what Helm makes of it, its schema, and the templates it offers."""
from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.kubernetes.injection.cases import Policies, given, policies
from tests.packaging.chart import cases
from tests.packaging.chart.cases import build

# There is no helm-sdkpy for 3.11, and once in CI is enough: run.sh has a 3.12.
helm = pytest.mark.skipif(
    importlib.util.find_spec('helm_sdkpy') is None,
    reason='helm-sdkpy is installed only on Python 3.12',
)
CHART = build.chart()
SCHEMA = json.loads(CHART['values.schema.json'])


@helm
def test_chart_passes_lint_and_can_be_packaged(tmp_path: Path) -> None:
    """The recommendation of an icon is all that Helm has to say."""
    chart = str(cases.chart(tmp_path))

    lint, package = cases.helm(
        tmp_path, ('lint', chart), ('package', chart, str(tmp_path)),
    )

    messages = lint['result']['Messages']
    assert [each['Severity'] for each in messages] == [1], messages
    assert Path(package['result']).name == f'pollreload-{build.version()}.tgz'
    assert Path(package['result']).stat().st_size


@helm
@pytest.mark.parametrize('name', cases.NAMES)
def test_rendering_is_what_is_expected(name: str, tmp_path: Path) -> None:
    """Every object that Helm creates; those of Kubernetes also fit its schemas."""
    expected = (cases.HERE / f'expected/{name}.yaml').read_text()

    objects = cases.rendered(tmp_path, name)

    for each in objects:
        if 'monitoring.coreos.com' not in each['apiVersion']:
            kubernetes_validate.validate(each, '1.36', strict=True)
    assert cases.shortened(objects) == list(yaml.safe_load_all(expected))


def rendered_policies(place: Path, name: str) -> Policies:
    """Return the policies that Helm creates for a set of values."""
    return policies(yaml.safe_dump_all(cases.rendered(place, name)))


@helm
def test_default_options_are_those_of_pods_without_annotations(tmp_path: Path) -> None:
    """An annotation has precedence."""
    pod = given('plain')
    pod['metadata']['annotations'] = {'pollreload/interval': '1s'}

    answer = rendered_policies(tmp_path, 'options').answer(pod)

    (sidecar,) = answer['spec']['initContainers']
    env = {each['name']: each['value'] for each in sidecar['env']}
    assert env['POLLRELOAD_PROCESS'] == 'nginx'
    assert env['POLLRELOAD_INTERVAL'] == '1s'
    assert env['POLLRELOAD_EXEC'] == "sh -c 'echo <reloaded> & sync'"


@helm
def test_injection_needs_a_cluster_that_has_it(tmp_path: Path) -> None:
    """Helm refuses at once, and the message says which value to set."""
    chart = str(cases.chart(tmp_path))

    (answer,) = cases.helm(tmp_path, ('install', 'pollreload', chart, {}), old=True)

    assert 'injection takes Kubernetes 1.36' in answer['error']
    assert 'set injection.enabled to false' in answer['error']


@helm
def test_values_that_the_program_would_refuse_are_refused(tmp_path: Path) -> None:
    """As Helm's own validator reads the schema."""
    chart = str(cases.chart(tmp_path))
    wrong: list[tuple[Any, str]] = [
        ({'injection': {'options': {'proces': 'x'}}}, "'proces' not allowed"),
        ({'injection': {'options': {'signal': 'HUPP'}}}, "'HUPP' does not match"),
        ({'injection': {'options': {'interval': 5}}}, 'got number, want string'),
        ({'image': {'pullPolicy': 'Sometimes'}}, '/image/pullPolicy'),
        ({'replicas': 2}, "'replicas' not allowed"),
    ]

    answers = cases.helm(
        tmp_path, *(('install', 'pollreload', chart, each) for each, _ in wrong),
    )

    for answer, (_, message) in zip(answers, wrong, strict=True):
        assert message in answer['error']


@helm
def test_upgrade_and_uninstall_leave_nothing_behind(tmp_path: Path) -> None:
    """An upgrade changes what differs; after an uninstall the cluster is empty."""
    chart = str(cases.chart(tmp_path))
    all_of_it = cases.values('monitoring')

    first, second, last = cases.helm(
        tmp_path, ('install', 'pollreload', chart, all_of_it),
        ('upgrade', 'pollreload', chart, cases.values('namespaces')),
        ('uninstall', 'pollreload'),
    )

    kinds = {each['kind'] for each in first['objects']}
    assert {'PodMonitor', 'PrometheusRule', 'ConfigMap'} < kinds
    assert 'set the option listen' not in first['result']['info']['notes']
    left = {each['kind'] for each in second['objects']}
    assert not {'PodMonitor', 'ConfigMap'} & left
    assert {
        each['spec']['failurePolicy'] for each in second['objects']
        if each['kind'] in cases.KINDS
    } == {'Ignore'}
    assert last['objects'] == []


@helm
def test_notes_name_what_is_missing_for_metrics(tmp_path: Path) -> None:
    """A PodMonitor finds nothing if no sidecar listens."""
    chart = str(cases.chart(tmp_path))
    scraped = {'monitoring': {'podMonitor': {'enabled': True}}}

    with_injection, without = (
        answer['result']['info']['notes'] for answer in cases.helm(
            tmp_path, ('install', 'a', chart, scraped),
            ('upgrade', 'a', chart, cases.values(cases.OLD)),
        )
    )

    assert 'set injection.options.listen' in with_injection
    assert 'pollreload/inject: "true"' in with_injection
    assert 'No policy is installed' in without


def test_readme_has_the_values_of_today() -> None:
    """Written by packaging/chart/build.py; every value has its description."""
    names = dict(build.described())
    values = yaml.safe_load(CHART['values.yaml'])

    def leaves(found: Any, name: str = '') -> Any:
        if name in names:
            assert names[name].strip()
            yield name
            return
        for key, each in found.items():
            yield from leaves(each, f'{name}.{key}' if name else key)

    assert build.readme() == CHART['README.md'], 'run: python packaging/chart/build.py'
    assert list(leaves(values)) == list(names)


def test_default_values_fit_the_schema() -> None:
    """And the schema is one."""
    validator = jsonschema.Draft202012Validator(SCHEMA)

    validator.check_schema(SCHEMA)
    validator.validate(yaml.safe_load(CHART['values.yaml']))


def test_chart_follows_the_version_of_the_program() -> None:
    """And a release names its own repository everywhere."""
    made = build.chart('registry.test/acme/pollreload')

    chart = yaml.safe_load(made['Chart.yaml'])
    assert chart['version'] == chart['appVersion'] == build.version()
    assert 'registry.example' not in ''.join(
        text for path, text in made.items() if path != 'README.md'
    )
    assert yaml.safe_load(made['values.yaml'])['image']['repository'] == (
        'registry.test/acme/pollreload'
    )
    assert not any(re.search('@[A-Z_]+@', text) for text in made.values())
