"""The policies that inject the sidecar: their CEL, their options, their schema."""
from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import click
import hypothesis
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import strategies

from pollreload.cli import resolve
from pollreload.cli.main import watch
from tests.kubernetes.injection import cases
from tests.support.scripts import load

build = load('chart/build.py')
MANIFEST = cases.POLICIES.read_text()
POLICIES = cases.policies(MANIFEST)
SINCE = '1.36'  # the first Kubernetes with MutatingAdmissionPolicy v1
OPTIONS = {
    param.envvar[0].removeprefix('POLLRELOAD_').lower().replace('_', '-'): param
    for param in watch.params if param.envvar
}


def plain(**annotations: str) -> Any:
    """Return the plain pod, with other annotations than process and signal."""
    pod = cases.given('plain')
    pod['metadata']['annotations'] = {
        f'pollreload/{name.replace("_", "-")}': value
        for name, value in annotations.items()
    }
    return pod


def refusal(pod: Any) -> str:
    """Return why a pod or a workload is refused; '' if it is admitted."""
    return str(POLICIES.answer(pod).get('refused', ''))


def sidecar(pod: Any) -> Any:
    """Return the container that is injected into a pod."""
    (made,) = (
        each for each in POLICIES.answer(pod)['spec']['initContainers']
        if each['name'] == 'pollreload'
    )
    return made


@pytest.mark.parametrize('name', cases.NAMES)
def test_a_pod_becomes_what_is_expected(name: str) -> None:
    """The API server evaluates the same CEL; tests/kubernetes asks a real one."""
    expected = (cases.HERE / f'expected/{name}.yaml').read_text()

    assert POLICIES.answer(cases.given(name)) == yaml.safe_load(expected)


@pytest.mark.parametrize('name', cases.NAMES)
def test_an_injected_pod_fits_the_schema(name: str) -> None:
    """That of the first version that injects, which the API server checks later."""
    given = cases.given(name)
    answer = POLICIES.answer(given)

    kubernetes_validate.validate(given, SINCE, strict=True)
    if 'refused' not in answer:
        kubernetes_validate.validate(answer, SINCE, strict=True)
        assert POLICIES.answer(answer) == answer, 'a second review changes the pod'


def test_policies_are_generated_and_fit_the_schema() -> None:
    """What is in the examples is what packaging/chart/build.py writes today."""
    build_says = build.manifest()

    assert build_says == MANIFEST, 'run: python packaging/chart/build.py'
    for each in yaml.safe_load_all(MANIFEST):
        kubernetes_validate.validate(each, SINCE, strict=True)


def test_an_annotation_for_each_option_of_watch() -> None:
    """Those that the injection sets itself are the only exceptions."""
    (listed,) = (
        program.eval(data={}).plain_value()
        for name, program in POLICIES.validating.variables if name == 'options'
    )

    assert {each[0] for each in listed} == set(OPTIONS) - set(build.FIXED)
    assert set(build.FIXED) < set(OPTIONS)


def test_page_lists_the_annotations_of_today() -> None:
    """Each with the text by which a wrong value is refused."""
    page = (cases.POLICIES.parent / 'README.md').read_text('utf-8')

    assert build.page() == page, 'run: python packaging/chart/build.py'
    assert page.count('\n| `pollreload/') == len(build.table())


def test_a_type_without_a_pattern_is_an_error() -> None:
    """An option of a new type cannot be missed."""
    option = click.Option(('--new',), type=click.DateTime())

    with pytest.raises(LookupError, match='no pattern for the type datetime'):
        build.accepted(option)


@pytest.mark.parametrize('name', build.table())
def test_default_fits_its_pattern(name: str) -> None:
    """Else a user could not write down what holds anyway."""
    default = OPTIONS[name].default

    if isinstance(default, str):
        assert re.fullmatch(build.table()[name].pattern, default)


@pytest.mark.parametrize('name', build.table())
@hypothesis.given(data=strategies.data())
@hypothesis.settings(max_examples=30, deadline=None, database=None, derandomize=True)
def test_what_fits_a_pattern_is_accepted_by_the_program(
        name: str, data: strategies.DataObject,
) -> None:
    """A sidecar that exits with 2 would keep the pod from starting."""
    strategy = strategies.from_regex(
        f'^(?:{build.table()[name].pattern})$', fullmatch=True,
        alphabet=strategies.characters(codec='utf-8'),
    )
    text = data.draw(strategy).removesuffix('\n')

    with click.Context(watch) as context:
        param = OPTIONS[name]
        value: object = text
        if param.multiple or param.nargs == -1:
            value = param.type.split_envvar_value(text)
        param.type_cast_value(context, value)


VALUES = {
    'process': 'nginx', 'pidfile': '/etc/nginx/conf.d/pid', 'exec': 'true',
    'url': 'http://127.0.0.1/', 'cmdline': 'master', 'uid': '101',
    'all-namespaces': 'true', 'verify-workers': 'true',
}


def combinations() -> Iterator[tuple[str, ...]]:
    """Yield every choice of the options that depend on each other."""
    for size in range(len(VALUES) + 1):
        yield from itertools.combinations(VALUES, size)


def test_a_combination_is_admitted_only_if_the_program_accepts_it() -> None:
    """All 256 choices of the options that name a target or depend on one."""
    for names in combinations():
        given = {name.replace('-', '_'): VALUES[name] for name in names}
        try:
            resolve.merge({'paths': ['/etc/nginx/conf.d'], **given})
            accepted = True
        except resolve.OptionError:
            accepted = False
        assert (not refusal(plain(**given))) is accepted, names


def test_a_value_reaches_the_program_as_it_was_written() -> None:
    """Kubernetes expands $(NAME) and $$ in the value of a variable."""
    text = "sh -c 'kill $$ $(cat /pid)'"

    (value,) = (
        each['value'] for each in sidecar(plain(process='nginx', exec=text))['env']
        if each['name'] == 'POLLRELOAD_EXEC'
    )

    assert re.sub(r'\$(\$|\(\w+\))', lambda found: '$', value) == text


@pytest.mark.parametrize(('wrong', 'right'), [
    ('proces', 'process'), ('processs', 'process'), ('prcoess', 'process'),
    ('interval-', 'interval'), ('verify-worker', 'verify-workers'),
    ('handler_check', 'handler-check'), ('Process', 'process'),
])
def test_nearest_option_is_named(wrong: str, right: str) -> None:
    """One letter is wrong, missing, extra, or two are exchanged."""
    pod = plain(process='nginx')
    pod['metadata']['annotations'][f'pollreload/{wrong}'] = 'x'

    assert refusal(pod) == (
        f'pollreload/{wrong} is no option of pollreload watch; '
        f'did you mean pollreload/{right}?'
    )


def test_many_unknown_options_do_not_exhaust_the_budget() -> None:
    """The first three are named, whatever the number."""
    pod = plain(process='nginx', **{f'what_{number}': 'x' for number in range(40)})

    assert refusal(pod).count('is no option') == 3


def test_without_the_mutating_policy_a_pod_is_refused() -> None:
    """A pod that asks for a sidecar never starts without one unnoticed."""
    labels = cases.namespaces()['injection-plain']

    (message,) = POLICIES.validating.refusals(cases.given('plain'), labels)

    assert message.startswith('the sidecar was not added: ')


def test_a_workload_is_refused_only_for_a_new_template() -> None:
    """It can still be scaled, and deleted, after the policy came."""
    labels = cases.namespaces()['injection-plain']
    old = cases.given('refused-deployment')
    scaled = {**old, 'spec': {**old['spec'], 'replicas': 3}}
    changed = cases.given('refused-deployment')
    changed['spec']['template']['metadata']['annotations']['team'] = 'shop'

    assert not POLICIES.validating.refusals(scaled, labels, old)
    assert POLICIES.validating.refusals(changed, labels, old)


def test_a_stored_pod_may_have_more_than_expected() -> None:
    """Defaults and the volume of the service account; nothing less, nothing else."""
    expected = {'spec': {'volumes': [{'name': 'a'}], 'initContainers': [{'name': 'b'}]}}
    stored: Any = {'spec': {
        'volumes': [{'name': 'a', 'x': 1}, {'name': 'kube-api-access-1'}],
        'initContainers': [{'name': 'b', 'terminationMessagePath': '/dev/log'}],
    }}

    assert not cases.included(expected, stored)
    stored['spec']['initContainers'].append({'name': 'c'})
    assert cases.included(expected, stored) == (
        'object.spec.initContainers has 2 items instead of 1'
    )
    stored['spec'].update(initContainers=[{'name': 'c'}])
    assert cases.included(expected, stored) == (
        "object.spec.initContainers[0].name is 'c' instead of 'b'"
    )
    stored['spec'].update(initContainers=[{'name': 'b'}], volumes=[])
    assert cases.included(expected, stored) == (
        "object.spec.volumes[0] is None instead of {'name': 'a'}"
    )
