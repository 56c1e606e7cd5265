"""The pods of the injection, and the answer of the API server to each.

pods/NAME.yaml is what a user applies; expected/NAME.yaml is that object as it is
stored, or `refused:` and the message. Write the expected ones with the CEL of the
policies: python -m tests.kubernetes.injection.cases
"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.support.admission import Policy
from tests.support.scripts import load

HERE = Path(__file__).parent
POLICIES = HERE.parents[2] / 'examples/kubernetes/injection/policies.yaml'
NAMES = sorted(path.stem for path in (HERE / 'pods').glob('*.yaml'))
Json = dict[str, Any]


def given(name: str) -> Json:
    """Read the object that a user applies."""
    made: Json = yaml.safe_load((HERE / f'pods/{name}.yaml').read_text())
    return made


def namespaces() -> dict[str, Mapping[str, str]]:
    """Return the labels of each namespace."""
    found = yaml.safe_load_all((HERE / 'namespaces.yaml').read_text())
    return {
        each['metadata']['name']: each['metadata'].get('labels', {}) for each in found
    }


class Policies(NamedTuple):
    """The two policies of a manifest, evaluated by their CEL alone."""

    mutating: Policy
    validating: Policy

    def answer(self, target: Json) -> Json:
        """Return an object as they admit it, or {'refused': message}."""
        labels = namespaces()[target['metadata']['namespace']]
        if target['kind'] == 'Pod':
            target = self.mutating.mutate(target, labels)
        refused = self.validating.refusals(target, labels)
        return {'refused': refused[0]} if refused else target


def policies(text: str) -> Policies:
    """Return the policies of a manifest."""
    found = list(yaml.safe_load_all(text))
    return Policies(
        Policy(found, 'MutatingAdmissionPolicy'),
        Policy(found, 'ValidatingAdmissionPolicy'),
    )


def included(expected: Any, actual: Any, where: str = 'object') -> str:
    """Return the first place where an object lacks what is expected of it; else ''.

    An API server adds defaults, and a service account adds a volume and its mounts.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            if trouble := included(value, actual.get(key), f'{where}.{key}'):
                return trouble
        return ''
    if isinstance(expected, list) and isinstance(actual, list):
        more = where.endswith(('.volumes', '.volumeMounts'))
        if len(expected) != len(actual) and not more:
            return f'{where} has {len(actual)} items instead of {len(expected)}'
        for number, value in enumerate(expected):
            got = actual[number] if number < len(actual) else None
            if trouble := included(value, got, f'{where}[{number}]'):
                return trouble
        return ''
    same = expected == actual
    return '' if same else f'{where} is {actual!r} instead of {expected!r}'


def main() -> None:
    """Write what is expected."""
    load('chart/build.py').main()
    made = policies(POLICIES.read_text())
    for name in NAMES:
        text = yaml.safe_dump(made.answer(given(name)), width=1000)
        (HERE / f'expected/{name}.yaml').write_text(text)


if __name__ == '__main__':
    main()
