"""Write the chart: python packaging/chart/build.py DIRECTORY [REPOSITORY]

--policies [REPOSITORY]: print the manifest of the policies.
Without arguments: write what is generated and kept in git, that manifest and the table
of annotations in examples/kubernetes/injection, the table of values of the chart.
REPOSITORY: that of the image, instead of registry.example/pollreload. The options that
an annotation may set, and the values of each, come from the program's option table.
"""
from __future__ import annotations

import configparser
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click
import yaml

ROOT = os.path.abspath(os.path.join(__file__, '../../..'))
sys.path.insert(0, ROOT)

from pollreload.cli import options, values  # noqa: E402
from pollreload.cli.main import watch  # noqa: E402

EXAMPLE = 'examples/kubernetes/injection/policies.yaml'
PAGE = 'examples/kubernetes/injection/README.md'
README = 'packaging/chart/pollreload/README.md'
REPOSITORY = 'registry.example/pollreload'
VALUES = 'packaging/chart/pollreload/values.yaml'
# Files of the chart that are those of the examples.
COPIES = ('alerts.yaml', 'dashboard.json')
# What the injection sets itself, and an annotation may not.
FIXED = ('config', 'state-file', 'status-file')
LETTERS = list(range(24))  # the longest name that is recognised in part
# Unknown options that one refusal names: CEL has a budget, and 20 would exceed it.
NAMED = list(range(3))

PORT = (
    '([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]'
    '|6553[0-5])'
)
# Quotation marks are written as \x22 and \x27, so that no pattern has to be escaped.
# ASCII only: a variable is split at each line break of Unicode. Without quotes none of
# & ; < > |, because the program refuses an operator of a shell.
COMMAND = (
    r'[!#-%(-:=?-\[\]-{}~]([\t !#-%(-:=?-\[\]-{}~]|\\[\t -~]|\x27[\t -&(-~]*\x27'
    r'|\x22([\t !#-\[\]-~]|\\[\t -~])*\x22)*'
)
URL = (
    r'http://([A-Za-z0-9][A-Za-z0-9.-]{0,200}|\[::1\])(:' + PORT + r')?'
    r'(/[!-\x22$-?A-~]{0,900})?'
)
LITERAL = r'[A-Za-z0-9 _/:,=%~;<>@-]'
REGEX = (
    rf'\^?({LITERAL}|\\[./+*()-]|[.][*+?]?|\[([A-Za-z0-9_./]|a-z|A-Z|0-9)+\][*+?]?'
    rf'|\({LITERAL}+([|]{LITERAL}+)*\))+\$?'
)


def lines(pattern: str) -> str:
    """Return the pattern of several values, one a line."""
    return rf'\n*{pattern}(\n+{pattern})*\n*'


def signals() -> str:
    """Return the pattern of the signals of this machine, which is a Linux."""
    names = '|'.join(name.removeprefix('SIG') for name in sorted(options.NUMBERS))
    return (
        f'(SIG)?({names}|RTMIN([+]([0-9]|[12][0-9]|30))?|RTMAX(-([0-9]|[12][0-9]|30))?)'
        f'|[1-9]|[12][0-9]|3[01]'
    )


def status() -> str:
    """Return the pattern of statuses: a range must not run backwards."""
    ranges = '|'.join(
        f'{first}[0-9][0-9]-[{first + 1}-5][0-9][0-9]' for first in range(1, 5)
    )
    whole = '|'.join(f'{first}00-{first}[0-9][0-9]' for first in range(1, 6))
    one = f'([1-5]([0-9][0-9]|xx)|{ranges}|{whole})'
    return f'{one}(, ?{one})*'


class Accepted(NamedTuple):
    """What a type of an option accepts: a pattern for the whole value, and its text.

    The pattern is in the syntax of RE2. It may refuse what the program accepts, and
    never the other way round: a sidecar that exits with 2 keeps its pod from starting.
    """

    pattern: str
    text: str


DURATION = 'a duration such as 250ms, 5s, 2m or 1h'
POSITIVE = (
    r'[1-9][0-9]{0,6}([.][0-9]{1,6})?s?|0[.][1-9][0-9]{0,5}s?|[1-9][0-9]{1,9}ms'
    r'|[1-9][0-9]{0,4}([.][0-9]{1,6})?m|[1-9][0-9]{0,2}([.][0-9]{1,6})?h'
)
FLAG = Accepted('true|false|yes|no|on|off|1|0', 'true or false')
COUNT = Accepted('[0-9]', 'a number from 0 to 9')
# By the function that parses a value, which is what a type is.
TYPES: Mapping[Callable[..., object], Accepted] = {
    values.duration: Accepted(
        r'[0-9]{1,7}([.][0-9]{1,6})?s?|[0-9]{1,10}ms|[0-9]{1,5}([.][0-9]{1,6})?m'
        r'|[0-9]{1,3}([.][0-9]{1,6})?h',
        DURATION,
    ),
    values.interval: Accepted(POSITIVE, DURATION + ', at least 10ms'),
    values.pace: Accepted(POSITIVE, DURATION),
    values.path: Accepted(r'/[^\x00]*', 'an absolute path'),
    values.process_name: Accepted(
        r'[^/\n\x00]+', 'a name as in /proc/PID/comm, without a path',
    ),
    values.regex: Accepted(
        REGEX, 'a simple regular expression: characters, [classes], (a|b) and .*',
    ),
    values.uid: Accepted('[0-9]{1,9}', 'the number of a user'),
    values.command: Accepted(
        COMMAND, 'a command and its arguments in ASCII, quoted as in a shell',
    ),
    values.url: Accepted(URL, 'http://HOST[:PORT]/PATH'),
    values.url_method: Accepted('[A-Za-z]{1,31}', 'a method such as POST'),
    values.statuses: Accepted(status(), 'statuses such as 2xx, 204 or 200-299'),
    values.address: Accepted(
        r'([A-Za-z0-9.-]{0,200}|\[[0-9A-Fa-f:.]+\]):' + PORT,
        'an address such as :9533',
    ),
    options.SIZE.parse: Accepted(
        '[1-9][0-9]{0,5}([kKMGT]i?)?B?', 'a size such as 4GiB, 512M or 64k',
    ),
    options.SIGNAL.parse: Accepted(signals(), 'a signal such as HUP or USR1'),
    options.GLOB.parse: Accepted(r'[^\x00]+', 'a glob'),
}


def accepted(param: click.Parameter) -> Accepted:
    """Return what an option accepts. Raises LookupError for a type that is not here."""
    kind: Any = param.type
    if isinstance(kind, click.Choice):
        names = [re.escape(str(each)) for each in kind.choices]
        return Accepted('|'.join(names), ', '.join(names[:-1]) + ' or ' + names[-1])
    if isinstance(param, click.Option) and param.is_flag:
        return FLAG
    if isinstance(param, click.Option) and param.count:
        return COUNT
    if isinstance(param, click.Argument):
        # The injection compares them with the mounts.
        return Accepted(
            r'/[^:\n\x00]*(:/[^:\n\x00]*)*', 'absolute paths, separated by :',
        )
    try:
        found = TYPES[kind.parse]
    except (AttributeError, KeyError):
        raise LookupError(
            f'no pattern for the type {kind.name} of {param.opts}: add it to TYPES',
        ) from None
    if param.multiple and isinstance(kind, options.LinesType):
        return Accepted(lines(found.pattern), found.text + '; several, one a line')
    return found


def table() -> dict[str, Accepted]:
    """Return what each option of `watch` accepts, by the name of its annotation."""
    found = {}
    for param in watch.params:
        variable = next(iter(param.envvar or ()), '')
        name = variable.removeprefix('POLLRELOAD_').lower().replace('_', '-')
        if name and name not in FIXED:
            found[name] = accepted(param)
    return found


def literal(text: str) -> str:
    """Return a string of CEL."""
    return json.dumps(text)


def cel_options() -> str:
    """Return the list of options in CEL: name, pattern, description."""
    rows = [
        f'[{literal(name)}, r\'^({each.pattern})$\', {literal(each.text)}]'
        for name, each in table().items()
    ]
    return '[' + ',\n'.join(rows) + ']'


def read(path: str) -> str:
    """Return a file of this checkout."""
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


def version() -> str:
    """Return the version of pollreload, which that of the chart follows."""
    config = configparser.ConfigParser()
    config.read_string(read('setup.cfg'))
    return config['metadata']['version']


def filled(text: str, given: Mapping[str, str]) -> str:
    """Return text with each @NAME@ replaced, indented as the line that it is in.

    A line that has only a name, and gets an empty value, is removed.
    """
    while found := re.search(r'^( *)(.*?)@([A-Z_]+)@(\n?)', text, re.MULTILINE):
        value = given[found[3]].replace('\n', '\n' + found[1])
        if not value and not found[2] and found[4]:
            text = text[:found.start()] + text[found.end():]
        else:
            text = text[:found.end(2)] + value + text[found.start(4):]
    return text


ADDED = """- expression: >-
    !variables.asked || variables.present || variables.problems.size() > 0
    || has(object.spec.template) || has(object.spec.jobTemplate)
  message: >-
    the sidecar was not added: this takes Kubernetes 1.36, and the
    MutatingAdmissionPolicy @NAME@ with its bindings"""


def policies(given: Mapping[str, str]) -> str:
    """Return the policies and their bindings, filled in for a manifest or the chart."""
    return filled(read('packaging/chart/policies.yaml'), {
        'VARIABLES': read('packaging/chart/variables.yaml').rstrip('\n'),
        'OPTIONS': cel_options(), 'LETTERS': str(LETTERS), 'NAMED': str(NAMED),
        'FIXED': ', '.join(map(literal, FIXED)), 'ADDED': ADDED, **given,
    })


def manifest(repository: str = REPOSITORY) -> str:
    """Return the manifest of the policies."""
    return (
        '# Injection of the sidecar by the API server.\n'
        '# Written by packaging/chart/build.py: change packaging/chart/policies.yaml.\n'
    ) + policies({
        'NAME': 'pollreload', 'LABELS': '', 'NAMESPACES': '', 'FAILURE': 'Fail',
        'LABELLED': 'namespaceSelector:\n  matchLabels: {pollreload/inject: "true"}',
        'DEFAULTS': '{}', 'IMAGE': literal(f'{repository}:{version()}'),
        'PULL_POLICY': literal('IfNotPresent'),
        'REQUESTS': '{"cpu": "5m", "memory": "16Mi"}', 'LIMITS': '{"memory": "64Mi"}',
    })


def template() -> str:
    """Return the policies as a template of the chart."""
    selector = '.Values.injection.namespaceSelector'
    labelled = '(dict "matchLabels" (dict "pollreload/inject" "true"))'
    return (
        '{{- if .Values.injection.enabled }}\n'
        '{{- if not (.Capabilities.APIVersions.Has '
        '"admissionregistration.k8s.io/v1/MutatingAdmissionPolicy") }}\n'
        '{{- fail "injection takes Kubernetes 1.36, with MutatingAdmissionPolicy of '
        'admissionregistration.k8s.io/v1: set injection.enabled to false" }}\n'
        '{{- end }}\n'
    ) + policies({
        'NAME': '{{ include "pollreload.name" . }}',
        'LABELS': 'labels:\n  {{- include "pollreload.labels" . | nindent 4 }}',
        'NAMESPACES': f'{{{{- with {selector} }}}}\nnamespaceSelector:\n'
        '  {{- toYaml . | nindent 6 }}\n{{- end }}',
        'LABELLED': 'namespaceSelector:\n  {{- toYaml (mustMergeOverwrite (deepCopy '
        f'{selector}) {labelled}) | nindent 6 }}}}',
        'FAILURE': '{{ .Values.injection.failurePolicy }}',
        'DEFAULTS': '{{ .Values.injection.options | toJson }}',
        'IMAGE': '{{ include "pollreload.image" .Values | toJson }}',
        'PULL_POLICY': '{{ .Values.image.pullPolicy | toJson }}',
        'REQUESTS': '{{ .Values.resources.requests | default dict | toJson }}',
        'LIMITS': '{{ .Values.resources.limits | default dict | toJson }}',
    }) + '{{- end }}\n'


def described() -> Iterator[tuple[str, str]]:
    """Yield the name of each value, and its description in values.yaml."""
    for line in read(VALUES).splitlines():
        if found := re.fullmatch(r' *# ([\w.]+): (.*)', line):
            yield found[1], found[2].removesuffix('.')


def value(name: str) -> Any:
    """Return the default of a value, by its name with dots."""
    found = yaml.safe_load(read(VALUES))
    for key in name.split('.'):
        found = found[key]
    return found


def values_table() -> str:
    """Return the table of values in Markdown."""
    rows = [
        f'| `{name}` | `{json.dumps(value(name))}` | {text} |'
        for name, text in described()
    ]
    return '\n'.join(('| value | default | meaning |', '|---|---|---|', *rows))


def annotations_table() -> str:
    """Return the table of annotations in Markdown."""
    rows = [
        f'| `pollreload/{name}` | {each.text.replace("|", chr(92) + "|")} |'
        for name, each in table().items()
    ]
    return '\n'.join(('| annotation | value |', '|---|---|', *rows))


def updated(path: str, name: str, rows: str) -> str:
    """Return a page with its table of some name as it is today."""
    whole = f'<!-- {name} -->\n\n{rows}\n\n<!-- end of {name} -->'
    return re.sub(
        f'<!-- {name} -->.*<!-- end of {name} -->', lambda found: whole, read(path),
        flags=re.DOTALL,
    )


def readme() -> str:
    """Return the README of the chart."""
    return updated(README, 'values', values_table())


def page() -> str:
    """Return the page about the injection."""
    return updated(PAGE, 'annotations', annotations_table())


def schema(default: Any, name: str = '') -> Any:
    """Return the schema of a value, by its default in values.yaml."""
    if name == 'injection.options':
        properties = {
            option: {'type': 'string', 'pattern': f'^({each.pattern})$'}
            for option, each in table().items()
        }
        return {
            'type': 'object', 'properties': properties, 'additionalProperties': False,
        }
    if name == 'injection.failurePolicy':
        return {'enum': ['Fail', 'Ignore']}
    if name == 'image.pullPolicy':
        return {'enum': ['Always', 'IfNotPresent', 'Never']}
    if isinstance(default, bool):
        return {'type': 'boolean'}
    if isinstance(default, str):
        return {'type': 'string'}
    # An object of the user's own: labels, a selector, resources.
    if name in dict(described()):
        return {'type': 'object'}
    properties = {
        key: schema(each, f'{name}.{key}' if name else key)
        for key, each in default.items()
    }
    if not name:
        # What Helm itself adds for a chart that is a dependency.
        properties |= {'global': {'type': 'object'}}
    return {'type': 'object', 'properties': properties, 'additionalProperties': False}


def chart(repository: str = REPOSITORY) -> dict[str, str]:
    """Return the files of the chart by their path in it."""
    top = 'packaging/chart/pollreload'
    made = {
        os.path.relpath(os.path.join(where, name), os.path.join(ROOT, top)): read(
            os.path.join(where, name))
        for where, _, names in os.walk(os.path.join(ROOT, top)) for name in names
    }
    fixed = ' '.join(map(literal, FIXED))
    given = {'VERSION': version(), 'REPOSITORY': repository, 'FIXED': fixed}
    made = {
        path: filled(text, given) if path.endswith('.tpl') else text
        for path, text in made.items()
    }
    made['Chart.yaml'] = re.sub(
        r'(?m)^(version|appVersion): .*$', rf'\1: {version()}', made['Chart.yaml'],
    )
    made['values.yaml'] = made['values.yaml'].replace(REPOSITORY, repository)
    made['values.schema.json'] = json.dumps({
        '$schema': 'https://json-schema.org/draft/2020-12/schema',
        **schema(yaml.safe_load(read(VALUES))),
    }, indent=1)
    made['templates/policies.yaml'] = template()
    for name in COPIES:
        made[f'files/{name}'] = read(f'examples/monitoring/{name}')
    return made


def write(top: str, files: Mapping[str, str]) -> None:
    """Write files below a directory."""
    for path, text in files.items():
        place = os.path.join(top, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, 'w', encoding='utf-8') as file:
            file.write(text)


def main(arguments: Sequence[str] = ()) -> None:
    """Write or print what is generated; see the top of this file."""
    if arguments[:1] == ['--policies']:
        print(manifest(*arguments[1:2]), end='')
    elif arguments:
        write(os.path.join(arguments[0], 'pollreload'), chart(*arguments[1:2]))
    else:
        write(ROOT, {EXAMPLE: manifest(), PAGE: page(), README: readme()})


if __name__ == '__main__':
    main(sys.argv[1:])
