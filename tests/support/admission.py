"""Admission policies evaluated without an API server: their CEL, by a real CEL.

The types Object and JSONPatch exist only in the API server. They are
rewritten to maps that keep the name of their type, which has to be that of their place.
"""
from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]
from cel_expr_python.ext import (  # type: ignore[import-untyped]
    ext_optional,
    ext_strings,
)

Json = dict[str, Any]
TYPE = '$type'
VARIABLES = ('object', 'oldObject', 'request', 'namespaceObject', 'variables')


def environment() -> Any:
    """Return the part of the API server's CEL environment that the policies use."""
    return cel.NewEnv(
        variables=dict.fromkeys(VARIABLES, cel.Type.DYN),
        extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional()],
    )


def as_maps(expression: str) -> str:
    """Return a mutation whose Object.x{y: 1} is {'$type': 'Object.x', 'y': 1}."""
    text = re.sub(r'\b(JSONPatch|Object[.\w]*)\{', rf"{{'{TYPE}': '\1', ", expression)
    return re.sub(r'([{,]\s*)(\w+): ', r"\1'\2': ", text)


def typed(value: Any, path: str) -> Any:
    """Return a value without its types. Raises AssertionError if one is misplaced."""
    if isinstance(value, list):
        return [typed(each, path) for each in value]
    if not isinstance(value, dict):
        return value
    given = value.get(TYPE, path)
    assert given == path, f'{given} stands where {path} belongs'
    return {
        key: typed(each, f'{path}.{key}') for key, each in value.items() if key != TYPE
    }


def patched(target: Json, operations: list[Json]) -> Json:
    """Return an object after operations of JSON Patch, all of them `add`."""
    made = copy.deepcopy(target)
    for each in operations:
        assert each[TYPE] == 'JSONPatch'
        assert each['op'] == 'add'
        *way, last = each['path'].removeprefix('/').split('/')
        place: Any = made
        for step in way:
            place = place[int(step) if isinstance(place, list) else step]
        names = [step for step in (*way, last) if not re.fullmatch('-|[0-9]+', step)]
        value = typed(each['value'], '.'.join(('Object', *names)))
        if not isinstance(place, list):
            place[last] = value
        else:
            place.insert(len(place) if last == '-' else int(last), value)
    return made


def selected(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a label selector selects an object with these labels."""
    checks = {
        'Exists': lambda each: each['key'] in labels,
        'DoesNotExist': lambda each: each['key'] not in labels,
    }
    return selector.get('matchLabels', {}).items() <= labels.items() and all(
        checks[each['operator']](each) for each in selector.get('matchExpressions', ())
    )


class Policy:
    """A MutatingAdmissionPolicy or ValidatingAdmissionPolicy, and its bindings."""

    def __init__(self, manifests: Sequence[Json], kind: str) -> None:
        (manifest,) = (each for each in manifests if each['kind'] == kind)
        self.spec = manifest['spec']
        self.name = manifest['metadata']['name']
        self.bindings = [
            each['spec'] for each in manifests
            if each['kind'] == f'{kind}Binding'
            and each['spec']['policyName'] == self.name
        ]
        env = environment()
        self.variables = [
            (each['name'], env.compile(each['expression']))
            for each in self.spec['variables']
        ]
        self.conditions = [
            env.compile(each['expression'])
            for each in self.spec.get('matchConditions', ())
        ]
        self.mutations = [
            env.compile(as_maps(each['jsonPatch']['expression']))
            for each in self.spec.get('mutations', ())
        ]
        self.validations = [
            (
                env.compile(each['expression']), each['message'],
                env.compile(each.get('messageExpression', "''")),
            ) for each in self.spec.get('validations', ())
        ]

    def bound(self, given: Json, namespace: Mapping[str, str]) -> int:
        """Return how many bindings select an object."""
        resource = given['kind'].lower() + 's'
        rules = self.spec['matchConstraints']['resourceRules']
        return sum(
            all(selected(match.get(name, {}), labels) for name, labels in (
                ('objectSelector', given['metadata'].get('labels', {})),
                ('namespaceSelector', namespace),
            )) and any(
                resource in rule['resources']
                for rule in match.get('resourceRules', rules)
            ) for match in (each.get('matchResources', {}) for each in self.bindings)
        )

    def values(self, given: Json, namespace: Mapping[str, str], old: Any) -> Json:
        """Return the values of an expression, with the variables computed in order."""
        data: Json = {
            'object': given, 'oldObject': old, 'request': {'namespace': 'shop'},
            'namespaceObject': {'metadata': {'labels': dict(namespace)}},
            'variables': {},
        }
        for name, program in self.variables:
            data['variables'][name] = program.eval(data=data).plain_value()
        return data

    def matches(self, data: Json) -> bool:
        """Return whether all match conditions hold."""
        return all(each.eval(data=data).plain_value() for each in self.conditions)

    def mutate(self, given: Json, namespace: Mapping[str, str]) -> Json:
        """Return an object as the policy makes it."""
        if not self.bound(given, namespace):
            return given
        data = self.values(given, namespace, None)
        if not self.matches(data):
            return given
        for program in self.mutations:
            given = patched(given, program.eval(data=data).plain_value())
        return given

    def refusals(
            self, given: Json, namespace: Mapping[str, str], old: Any = None,
    ) -> list[str]:
        """Return the messages by which the policy refuses an object."""
        if not self.bound(given, namespace):
            return []
        data = self.values(given, namespace, old)
        if not self.matches(data):
            return []
        return [
            str(message.eval(data=data).plain_value()) or text
            for program, text, message in self.validations
            if not program.eval(data=data).plain_value()
        ]
