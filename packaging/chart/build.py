"""Write the admission policies: python packaging/chart/build.py

From packaging/chart/source comes the manifest of examples/kubernetes/injection. The
options that an annotation may set, and what each accepts, come from the program's own
option table.
"""
from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import click

ROOT = os.path.abspath(os.path.join(__file__, '../../..'))
sys.path.insert(0, ROOT)

from pollreload.cli import options, values  # noqa: E402
from pollreload.cli.main import watch  # noqa: E402

CHART = os.path.join(ROOT, 'packaging/chart')
EXAMPLE = 'examples/kubernetes/injection/policies.yaml'
IMAGE = 'registry.example/pollreload:0.1.0'
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
# ASCII only: a variable is split at each line break of Unicode.
COMMAND = (
    r'[!#-&(-\[\]-~]([\t !#-&(-\[\]-~]|\\[\t -~]|\x27[\t -&(-~]*\x27'
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
FLAG = Accepted('true|false|yes|no|on|off|1|0', 'true or false')
COUNT = Accepted('[0-9]', 'a number from 0 to 9')
# By the function that parses a value, which is what a type is.
TYPES: Mapping[Callable[..., object], Accepted] = {
    values.duration: Accepted(
        r'[0-9]{1,7}([.][0-9]{1,6})?s?|[0-9]{1,10}ms|[0-9]{1,5}([.][0-9]{1,6})?m'
        r'|[0-9]{1,3}([.][0-9]{1,6})?h',
        DURATION,
    ),
    values.interval: Accepted(
        r'[1-9][0-9]{0,6}([.][0-9]{1,6})?s?|0[.][1-9][0-9]{0,5}s?|[1-9][0-9]{1,9}ms'
        r'|[1-9][0-9]{0,4}([.][0-9]{1,6})?m|[1-9][0-9]{0,2}([.][0-9]{1,6})?h',
        DURATION + ', at least 10ms',
    ),
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
    values.method: Accepted('[A-Za-z]{1,31}', 'a method such as POST'),
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


def read(name: str) -> str:
    """Return a file of packaging/chart/source."""
    with open(os.path.join(CHART, 'source', name), encoding='utf-8') as file:
        return file.read().rstrip('\n')


def filled(text: str, given: Mapping[str, str]) -> str:
    """Return text with each @NAME@ replaced, indented as the line that it is in."""
    while found := re.search(r'^( *)(.*?)@([A-Z_]+)@', text, re.MULTILINE):
        value = given[found[3]].replace('\n', '\n' + found[1])
        text = text[:found.end(2)] + value + text[found.end():]
    return text


ADDED = '''- expression: >-
    !variables.asked || variables.present || variables.problems.size() > 0
    || has(object.spec.template) || has(object.spec.jobTemplate)
  message: >-
    the sidecar was not added: this takes Kubernetes 1.36, and the
    MutatingAdmissionPolicy pollreload with its bindings'''
GIVEN = {
    'VARIABLES': read('variables.yaml'), 'OPTIONS': cel_options(),
    'LETTERS': str(LETTERS), 'NAMED': str(NAMED),
    'FIXED': ', '.join(map(literal, FIXED)),
    'NAME': 'pollreload', 'LABELS': '', 'NAMESPACES': '', 'FAILURE': 'Fail',
    'DEFAULTS': '{}', 'IMAGE': literal(IMAGE), 'PULL_POLICY': literal('IfNotPresent'),
    'REQUESTS': '{"cpu": "5m", "memory": "16Mi"}', 'LIMITS': '{"memory": "64Mi"}',
    'ADDED': ADDED,
}


def manifest() -> str:
    """Return the manifest of the examples."""
    return (
        '# Injection of the sidecar by the API server.\n'
        '# Written by packaging/chart/build.py: change packaging/chart/source.\n'
        f'{filled(read("policies.yaml"), GIVEN)}\n'
    )


def main() -> None:
    """Write what is generated."""
    with open(os.path.join(ROOT, EXAMPLE), 'w', encoding='utf-8') as file:
        file.write(manifest())


if __name__ == '__main__':
    main()
