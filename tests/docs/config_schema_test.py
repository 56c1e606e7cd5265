"""The schema of the config file: what it takes is taken, what it refuses is refused.

But for a few things that no schema can say, which are named in UNSAID.
"""
from __future__ import annotations

import datetime
import functools
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import regress
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from pollreload.cli import config_watches, main, options, resolve
from pollreload.errors import UsageError
from tests.support import config_texts, sidecar
from tests.support.config_texts import (
    COMMON,
    MINE,
    VALID,
    Given,
    quoted,
    tables,
    toml,
)

ROOT = Path(sidecar.ROOT)
SCHEMA: dict[str, Any] = json.loads(
    (ROOT / 'packaging/schema/config.schema.json').read_text(),
)
DEFS = SCHEMA['$defs']
# What the schema takes and the program refuses, by what the program says of it.
UNSAID = {
    'one name for two watches': "name: '.*' is that of watch",
    'one watch twice': 'its paths and its target are that of watch',
    'one file for two uses': (
        'two would overwrite it|is the state-file too|is this very file'
        '|is the (pidfile|url-ca|url-header-file) (too|of watch)'
        '|is a path to watch; it would be overwritten'
        '|is a path that watch .* watches; it would be overwritten'
    ),
    'a user that is not here': 'uid: (there is no user|.* is not a uid)',
    'what is no regular expression': 'is not a regular expression',
    'the quotes of a command': 'cannot be split into arguments|verify: is empty|'
    'validate: is empty|exec: is empty|because no shell runs the command',
    'how long a duration is that is text': 'is longer than a year|is too short',
    'a limit below another time': 'is shorter than --settle',
    'statuses from high to low': "'[1-5]..-[1-5]..' is not a status",
    'an address in brackets that is none': 'no address in \\[\\]',
    'a whole number with a point': 'is a number, and must be .*a whole number',
    'a number that is none': "'nan' is not a duration",
    'a file that has something else': (
        'has no certificate; write|is not a header; write|is not a regular file'
    ),
}


@functools.cache
def expression(pattern: str) -> regress.Regex:
    """Return a regular expression as ECMA-262 reads it, which JSON Schema asks for."""
    return regress.Regex(pattern, 'u')


def pattern(
        _: object, wanted: str, value: object, __: object,
) -> Iterator[ValidationError]:
    """Judge text by a pattern; for jsonschema, which does so by Python's rules."""
    if isinstance(value, str) and not expression(wanted).find(value):
        yield ValidationError(f'{value!r} does not match {wanted!r}')


VALIDATOR = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {'pattern': pattern},
)(SCHEMA)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is written is gone after the test."""
    monkeypatch.chdir(tmp_path)


def refusal(text: str) -> str:
    """Return why the program refuses a document, or ''."""
    try:
        config_texts.plan(text)
    except UsageError as error:
        return str(error)
    return ''


def agreed(text: str) -> bool:
    """Return whether both take a document. Raises AssertionError if they differ."""
    says = refusal(text)
    faults = [each.message for each in VALIDATOR.iter_errors(tomllib.loads(text))]
    if says and not faults:
        assert any(re.search(each, says) for each in UNSAID.values()), (text, says)
    if not says:
        assert not faults, (text, faults)
    return not says


def written(value: object) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f'[{", ".join(map(written, value))}]'
    if isinstance(value, dict):
        each = (f'{quoted(name)} = {written(it)}' for name, it in value.items())
        return f'{{{", ".join(each)}}}'
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def document(top: dict[str, Any]) -> str:
    """Return a document in TOML; `watch` last, as tables if possible."""
    lines = [
        f'{quoted(name)} = {written(value)}\n' for name, value in top.items()
        if name != 'watch'
    ]
    tables = top.get('watch')
    if isinstance(tables, list) and all(isinstance(each, dict) for each in tables):
        for table in tables:
            lines.append('[[watch]]\n')
            lines += [f'{quoted(name)} = {written(it)}\n' for name, it in table.items()]
    elif tables is not None:
        lines.insert(0, f'watch = {written(tables)}\n')
    return ''.join(lines)


# The schema and the options


def test_the_schema_is_one() -> None:
    """By the schema of schemas; all that it defines is used, and nothing else."""
    Draft202012Validator.check_schema(SCHEMA)
    used = re.findall(r'"#/\$defs/([\w-]+)"', json.dumps(SCHEMA))

    assert {*used} == {*DEFS}


def test_every_option_is_in_the_schema_and_no_other() -> None:
    """Each where the program accepts it."""
    names = {param.opts[0].removeprefix('--') for param in main.watch.params}
    names = names - {'paths', 'config', '-v', '-q'} | {'path', 'name'}
    top, own = {*SCHEMA['properties']}, {*DEFS['watch']['properties']}

    assert top == names - {*config_watches.ALONE} | {'watch'}
    assert own == names - {*config_watches.COMMON}
    assert own | top == {*resolve.kinds(options.WATCH), 'watch'}


def test_it_says_what_help_says() -> None:
    """The text, the default and the values of each option."""
    for param in main.watch.params:
        name = param.opts[0].removeprefix('--')
        if not isinstance(param, click.Option) or name in ('config', '-v', '-q'):
            continue
        found = (SCHEMA['properties'] | DEFS['watch']['properties'])[name]
        found = DEFS.get(name, found)
        default = False if param.is_flag else param.default if param.show_default else 0

        assert found['description'] == param.help
        assert found.get('default', 0) == default, name
        if isinstance(param.type, click.Choice):
            assert found['enum'] == [*param.type.choices]
        else:
            assert 'enum' not in found


def test_every_key_has_a_description() -> None:
    """An editor shows it."""
    for properties in (SCHEMA['properties'], DEFS['watch']['properties']):
        for name in properties:
            says = properties[name]
            says = says if 'description' in says else DEFS[name]
            assert says['description'].endswith('.'), name


def test_it_is_strict() -> None:
    """Neither the document nor a watch may have a key that is none."""
    assert SCHEMA['additionalProperties'] is False
    assert DEFS['watch']['additionalProperties'] is False


# Both sides


TEXT = config_texts.WATCH


@settings(deadline=None)
@given(
    tables({**VALID, **COMMON}), tables({**VALID, **MINE}, 'path'),
    tables(VALID, 'process'),
)
def test_what_is_good_is_taken_by_both(
        top: dict[str, Given], mine: dict[str, Given], other: dict[str, Given],
) -> None:
    """Whatever options there are, in either place; also by Python's patterns."""
    text = f'{toml(top)}[[watch]]\n{toml(mine)}[[watch]]\npath = "b"\n{toml(other)}'

    if agreed(text):
        assert Draft202012Validator(SCHEMA).is_valid(tomllib.loads(text))


ODD = st.sampled_from((
    True, False, 0, 1, -1, 9, 33, 64, 65, 0.005, 1.5, 2.0, 31536000, 31536001, 1e300,
    4294967294, 4294967295, 10**20, float('inf'), float('nan'), '', ' ', 'x', '5s',
    '1ms', '9999h', '10ms', 'HUP', 'all', 'text', 'http://h/', ':1', '/a', '/b',
    'w.toml', 'a\n', '(', "'", '""', '2xx', '299-200', 'root', 'nobody-here', 'GET',
    [], [''], ['a'], ['/a', '/b'], [1], [[]], ['http://h/'], {}, {'a': 1},
    datetime.date(2026, 1, 1),
))
KEYS = st.sampled_from(sorted({
    *VALID, *MINE, *COMMON, 'watch', 'paths', 'Path', 'min_uptime', 'verbose', 'config',
    'timeout', '', 'a.b', 'é',
}))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Documents that were good, and may not be so any more."""
    top = draw(tables({**VALID, **COMMON}))
    found = tomllib.loads(toml(top))
    found['watch'] = []
    for number in range(draw(st.integers(1, 2))):
        more = toml(draw(tables({**VALID, **MINE})))
        found['watch'].append({'path': f'p{number}', **tomllib.loads(more)})
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from((found, *found.get('watch', ()))))
        key = draw(KEYS | st.sampled_from(sorted(at) or ['path']))
        if draw(st.booleans()):
            at[key] = draw(ODD)
        else:
            at.pop(key, None)
        if not isinstance(found.get('watch', []), list):
            break
        if not all(isinstance(each, dict) for each in found.get('watch', [])):
            break
    return document(found)


@pytest.mark.timeout(600)  # a busy machine takes minutes
@settings(max_examples=800, deadline=None)
@given(mutated())
def test_what_was_good_is_judged_alike(text: str) -> None:
    """Wrong types, keys and places; what is missing; what is out of range."""
    agreed(text)


def edited(good: list[str]) -> st.SearchStrategy[str]:
    """Return accepted values with letters added, removed and exchanged."""
    letters = st.sampled_from(
        '\t\n  "\'#%+,-..//0012345:;?@AGHIMNPRSTUX[\\]_ahimnpstx{}~\x7fé',
    )
    edits = st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 1), letters | st.just('')),
        max_size=3,
    )

    def apply(text: str, changes: list[tuple[int, int, str]]) -> str:
        for at, less, more in changes:
            place = at % (len(text) + 1)
            text = text[:place] + more + text[place + less:]
        return text

    return st.builds(apply, st.sampled_from(good), edits)


WORDS = {
    'name': ['a', 'A.1_-@:z', 'x' * 64],
    'path': ['/a', 'é'],
    'process': ['nginx', 'gunicorn: maste'],
    'pidfile': ['/run/a.pid'],
    'cmdline': ['a.*b'],
    'uid': ['0', 'root', '4294967294'],
    'select': ['root', 'oldest'],
    'signal': [
        'HUP', 'SIGUSR1', 'sigterm', '1', '64', '034', '31', 'RTMIN+3', 'RTMAX-30',
        'SIGRTMIN', 'RTMIN+30', 'rtmax', 'RTMAX+-0', ' Int ',
    ],
    'interval': ['10ms', '5s'],
    'settle': ['0', '250ms', '5.5s', '.5', '5. m', '365h', '1' * 18, '1.' + '0' * 17],
    'on-missing': ['hold', 'notify'],
    'min-interval': ['10ms', '.5', '5.5s', '2 m', '365h'],
    'max-wait': ['1s', '5.5s', '2 m', '365h'],
    'ignore': ['*~'],
    'max-file-size': ['4GiB', '512M', '1', ' 0010 kb ', '1' * 18, '7i'],
    'handler-check': ['off'],
    'on-start': ['auto'],
    'validate': ['nginx -t', "a 'b c'", '""'],
    'exec': ['systemctl reload x'],
    'url': [
        'http://h/', 'https://h:8443/a/b?c=d', 'http://[::1]:80/', 'http://u:p@h',
        'http://h:65535?a', 'http://a@b@c/', 'HTTP://h:/', 'http://h:00080',
        'http://h/'.ljust(2000, 'a'),
    ],
    'url-method': ['POST', 'x' * 31],
    'url-status': ['2xx', '200,204', '200-299', ' 2 X x , 301-302'],
    'listen': [':9533', '127.0.0.1:9533', '[::1]:9533', 'localhost:65535', 'h:00080'],
    'log-format': ['json'],
}


def test_every_kind_of_value_is_tried() -> None:
    """Each option that takes text, except those that are like another."""
    alike = {
        'verify': 'validate', 'state-file': 'pidfile', 'status-file': 'pidfile',
        'url-header-file': 'pidfile', 'url-ca': 'pidfile',
        **dict.fromkeys(
            ('rehash', 'empty-grace', 'min-uptime', 'survive', 'splay'), 'settle',
        ),
        **dict.fromkeys(('command-timeout', 'url-timeout'), 'min-interval'),
    }
    flags = {'all-namespaces', 'verify-workers'}
    kinds = {**DEFS['watch']['properties'], **DEFS, **SCHEMA['properties']}

    assert {*WORDS} == {*resolve.kinds(options.WATCH)} - {*alike} - flags
    for name, other in alike.items():
        own, as_is = DEFS.get(name, kinds[name]), DEFS.get(other, kinds[other])
        assert own['$ref'] == as_is['$ref']


@pytest.mark.parametrize('name', WORDS)
def test_values_are_judged_alike(name: str) -> None:
    """Accepted values, and values that are nearly so."""
    @settings(max_examples=200, deadline=None)
    @given(edited(WORDS[name]))
    def check(word: str) -> None:
        assume(not re.search('[Ff]ile', name) or word != 'w.toml')
        line = f'{name} = {quoted(word)}\n'
        if name in config_watches.COMMON:
            agreed(line + TEXT)
        elif name in ('path', 'process'):
            agreed(re.sub(f'(?m)^{name} .*\n', lambda _: line, TEXT))
        else:
            agreed(TEXT + line)

    check()
    for word in WORDS[name]:
        line = f'{name} = {quoted(word)}\n'
        if name not in ('path', 'process', *config_watches.COMMON) and word not in (
                '""', '1' * 18,
        ):
            assert agreed(TEXT + line), word


# What a schema cannot say


FILES = f'{TEXT}state-file = "s"\n[[watch]]\npath = "/b"\nprocess = "x"\n'


@pytest.mark.parametrize(('name', 'text'), [
    ('one name for two watches', f'{TEXT}name = "a"\n[[watch]]\npath = "/b"\n'
     'process = "x"\nname = "a"'),
    ('one watch twice', f'{TEXT}{TEXT}'),
    ('one file for two uses', f'{FILES}status-file = "s"'),
    ('one file for two uses', f'{TEXT}state-file = "s"\nstatus-file = "s"'),
    ('one file for two uses', f'{TEXT}state-file = "w.toml"'),
    ('one file for two uses', f'{TEXT}state-file = "/a"'),
    ('a user that is not here', f'{TEXT}uid = "nobody-here"'),
    ('a user that is not here', f'{TEXT}uid = "4294967295"'),
    ('what is no regular expression', f'{TEXT}cmdline = "("'),
    ('the quotes of a command', f'{TEXT}verify = "\'"'),
    ('the quotes of a command', f"{TEXT}verify = '\"\"'"),
    ('how long a duration is that is text', f'{TEXT}splay = "9999h"'),
    ('how long a duration is that is text', f'{TEXT}interval = "1ms"'),
    ('statuses from high to low', f'{TEXT}url-status = "299-200"'),
    ('an address in brackets that is none', f'{TEXT}url = "http://[.]/"'),
    ('a limit below another time', f'{TEXT}max-wait = "0.5s"'),
    ('a whole number with a point', f'{TEXT}uid = 0.0'),
    ('a number that is none', f'{TEXT}settle = nan'),
    ('a file that has something else', f'{TEXT}url-header-file = "w.toml"'),
    ('a file that has something else', f'{TEXT}url = "https://h"\nurl-ca = "w.toml"'),
])
def test_what_it_does_not_say(name: str, text: str) -> None:
    """Each exception is one: the schema takes it, and the program says why not."""
    assert VALIDATOR.is_valid(tomllib.loads(text))
    assert re.search(UNSAID[name], refusal(text))


@pytest.mark.parametrize('text', [
    '', 'watch = []', '[watch]', f'{TEXT}paths = "/b"', f'path = "/a"\n{TEXT}',
    f'{TEXT}listen = ":1"', f'name = "a"\n{TEXT}', '[[watch]]\nprocess = "x"',
    '[[watch]]\npath = "/a"', f'{TEXT}interval = 0.005', f'{TEXT}exec = []',
    f'{TEXT}uid = 4294967295', f'{TEXT}signal = "FOO"', f'{TEXT}signal = 33',
    f'{TEXT}command-timeout = 0', f'{TEXT}url-timeout = "0s"',
    f'{TEXT}min-interval = 0', f'{TEXT}max-wait = 0', f'{TEXT}max-wait = "0.0s"',
    f'{TEXT}settle = 31536001', f'{TEXT}all-namespaces = "true"', f'{TEXT}uid = true',
    'uid = 0\n[[watch]]\npath = "/a"\nexec = "x"',
    '[[watch]]\npath = "/a"\nexec = "x"\nverify-workers = true',
    'verify-workers = true\n[[watch]]\npath = "/a"\nexec = "x"',
    f'all-namespaces = true\n{TEXT}[[watch]]\npath = "/a"\nexec = "x"',
    f'{TEXT}ignore = "logs/"', f'{TEXT}ignore = ["a", "logs/*.log"]',
    f'{TEXT}ignore = 1979-05-27', f'{TEXT}settle = -1', f'{TEXT}splay = -0.5',
    'process = "x"\n[[watch]]\npath = []', f'{TEXT}url = []', f'{TEXT}url = "http://[::1]80/"',
])
def test_what_it_refuses(text: str) -> None:
    """Common mistakes; the program refuses them as well."""
    assert not VALIDATOR.is_valid(tomllib.loads(text))
    assert refusal(text)


@pytest.mark.parametrize('text', [
    'verify-workers = true\n[[watch]]\npath = "/a"\nexec = "x"\nverify-workers = false',
    'process = "x"\nuid = 0\n[[watch]]\npath = "/a"\nexec = "x"',
    f'cmdline = "x"\n{TEXT}', 'watch = [{path = ["/a"], url = "http://h/"}]',
])
def test_what_it_takes(text: str) -> None:
    """What looks wrong and is not."""
    assert agreed(text)


# What we show


EXAMPLES = [
    os.path.relpath(path, ROOT) for path in sorted(ROOT.glob('examples/**/*.toml'))
]


@pytest.mark.parametrize('name', EXAMPLES)
def test_the_examples_are_taken(name: str) -> None:
    """And name the schema for the editor that reads them."""
    text = (ROOT / name).read_text()
    first, _, _ = text.partition('\n')
    schema = first.removeprefix('#:schema ')

    assert agreed(text)
    assert (ROOT / name).parent.joinpath(schema).resolve() == (
        ROOT / 'packaging/schema/config.schema.json'
    )


@pytest.mark.parametrize('name', ['docs/config.md'])
def test_the_documents_are_taken(name: str) -> None:
    """What they show as TOML is a config file of today."""
    blocks = re.findall('^```toml\n(.*?)^```', (ROOT / name).read_text(), re.M | re.S)

    assert blocks
    for block in blocks:
        assert agreed(block)


def test_the_documents_let_no_program_wait_for_another() -> None:
    """A watch with several commands stops at the first that fails: one each."""
    page = (ROOT / 'docs/config.md').read_text()
    texts = re.findall('^```toml\n(.*?)^```', page, re.M | re.S)
    texts.append((ROOT / 'examples/config/pollreload.toml').read_text())

    for text in texts:
        for watch in tomllib.loads(text)['watch']:
            assert not isinstance(watch.get('exec'), list)


def test_the_document_says_what_is_so() -> None:
    """The line that it quotes, the limit, and the place of each key."""
    text = (ROOT / 'docs/config.md').read_text()
    (quoted,) = re.findall('^    pollreload: /etc/pollreload.toml:(.*)$', text, re.M)
    line, _, says = quoted.partition(': ')
    rows = re.findall(r'^\| (`[^|]+`) \| (a `\[\[watch\]\]`|the top) \|', text, re.M)
    keys = {
        place: [
            key for row, where in rows if where == place
            for key in re.findall('`([a-z-]+)`', row)
        ] for place in ('the top', 'a `[[watch]]`')
    }

    blank = '\n' * (int(line) - 4)
    assert refusal(f'{TEXT}{blank}intervall = 1') == f'w.toml:{quoted}'
    assert says.startswith('intervall: ')
    assert f'more than {config_watches.LARGEST_CONFIG >> 10} KiB' in text
    assert sorted(keys['the top']) == sorted(config_watches.COMMON)
    assert sorted(keys['a `[[watch]]`']) == sorted(config_watches.ALONE)


def test_the_commands_of_the_document_are_accepted() -> None:
    """Each is a command line of today."""
    text = (ROOT / 'docs/config.md').read_text()
    found = re.findall('^    pollreload ([a-z].*)$', text, re.M)

    assert len(found) == 3
    for words in map(str.split, found):
        command = main.pollreload.commands[words[0]]
        with command.make_context(words[0], words[1:]) as context:
            assert context.params['config'] == '/etc/pollreload.toml'
