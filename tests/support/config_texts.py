"""Config files: texts with good values for every option, and the plan of a text."""
from __future__ import annotations

import json
from typing import NamedTuple

from hypothesis import strategies as st

from pollreload.cli import config_watches, options, resolve
from pollreload.settings import Plan

WATCH = '[[watch]]\npath = "/a"\nprocess = "x"\n'


def put(text: str | bytes) -> str:
    """Write a config file; return its name."""
    with open('w.toml', 'wb') as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return 'w.toml'


def plan(text: str | bytes) -> Plan:
    """Return what a config file says. Raises UsageError."""
    kinds = resolve.kinds(options.WATCH)
    return config_watches.plan(put(text), kinds, resolve.merge, {})


class Given(NamedTuple):
    """A value of an option: as TOML has it, and as the command line takes it."""

    toml: str
    words: tuple[str, ...]


def quoted(text: str) -> str:
    """Return text as a basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace('\x7f', '\\u007f')


def number(value: float) -> Given:
    """A number of seconds."""
    return Given(repr(value), (f'{value}',))


def flagged(value: bool) -> Given:
    """A flag; on a command line it is there or not."""
    return Given('true', ('',)) if value else Given('false', ())


def word(text: str) -> Given:
    """Text."""
    return Given(quoted(text), (text,))


def listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[Given]:
    """Several words, or one alone; over several lines or not."""
    several = st.lists(values, min_size=1, max_size=3).flatmap(lambda found: st.builds(
        lambda between: Given(
            f'[{between}{f",{between}".join(map(quoted, found))}]', tuple(found),
        ), st.sampled_from(('', ' ', '\n', ' # c\n  ')),
    ))
    return values.map(word) | several


def chosen(*words: str) -> st.SearchStrategy[Given]:
    """One of several words."""
    return st.sampled_from(words).map(word)


TEXT = st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\0'))
NAMES = st.text(
    st.characters(exclude_categories=['Cs'], exclude_characters='\0\n/'), min_size=1,
)
DURATIONS = (
    chosen('0', '250ms', '5s', ' 2 m ', '.5', '3.', '1h', '8760h', '007')
    | st.integers(0, 31_536_000).map(number)
    | st.integers(0, 31_536_000).map(lambda each: number(each / 1000))
)
COMMANDS = st.sampled_from((
    'true', 'blue-green 1e-5', "a 'b c' d", 'x\ty', '"é" \\ z', 'a=b # c',
))
URLS = st.sampled_from(('http://h', 'https://h:1/a/b%20', 'HTTP://[::1]:80/'))
VALID: dict[str, st.SearchStrategy[Given]] = {
    'process': NAMES.map(word) | chosen('blue-green', '1e-5'),
    'cmdline': chosen('', 'a.*b', '^/usr/bin/x( |$)', '[\\n]'),
    'uid': chosen('0', 'root', '4294967294') | st.integers(0, 2**32 - 2).map(number),
    'all-namespaces': st.booleans().map(flagged),
    'select': chosen('root', 'roots', 'oldest', 'newest', 'all'),
    'signal': chosen('HUP', 'sigusr1', '15', 'RTMIN+3', ' TERM ')
    | st.sampled_from((1, 9, 31, 34, 64)).map(number),
    'interval': chosen('10ms', '1h', '0.01') | st.integers(1, 3600).map(number)
    | st.integers(10, 999).map(lambda each: number(each / 1000)),
    **dict.fromkeys((
        'rehash', 'settle', 'empty-grace', 'min-uptime', 'survive', 'splay',
    ), DURATIONS),
    **dict.fromkeys(
        ('min-interval', 'command-timeout', 'url-timeout'), chosen('10ms', '1h', '0.5'),
    ),
    'on-missing': chosen('hold', 'notify'),
    'max-wait': chosen('8760h', '525600m'),
    'ignore': listed(TEXT.map(lambda text: text.replace('/', ''))),
    'max-file-size': chosen('4GiB', '512M', ' 64 k ', '007', '1b')
    | st.integers(1, 2**40).map(number),
    'handler-check': chosen('enforce', 'warn', 'off'),
    'validate': COMMANDS.map(word),
    'verify': COMMANDS.map(word),
    'verify-workers': st.booleans().map(flagged),
    'on-start': chosen('auto', 'always', 'never'),
    'exec': listed(COMMANDS),
    'url': listed(URLS),
    'url-method': chosen('post', 'GET'),
    'url-status': chosen('2xx', '200, 204', '200-299,5XX'),
}
# These have to stand in one place alone.
MINE: dict[str, st.SearchStrategy[Given]] = {
    'path': listed(TEXT.filter(bool)),
    'pidfile': TEXT.filter(bool).map(word),
    'url-header-file': chosen('/nowhere/of/all/headers'),
    'url-ca': chosen('/nowhere/of/all/authorities'),
    # Not what may be a path to watch too.
    'state-file': chosen('/nowhere/of/all/state'),
    'status-file': chosen('/nowhere/of/all/status'),
    'name': chosen('a', 'A.1_-@:'),
}
COMMON: dict[str, st.SearchStrategy[Given]] = {
    'log-format': chosen('text', 'json', 'logfmt'),
    'listen': chosen(':9533', '127.0.0.1:1', '[::]:65535', 'localhost:00080'),
}


@st.composite
def tables(
        draw: st.DrawFn, kinds: dict[str, st.SearchStrategy[Given]], *always: str,
) -> dict[str, Given]:
    """Options with good values, in any order."""
    names = draw(st.lists(st.sampled_from(sorted(kinds)), unique=True))
    return {name: draw(kinds[name]) for name in dict.fromkeys((*names, *always))}


def toml(table: dict[str, Given]) -> str:
    """Return the lines of a table."""
    return ''.join(f'{name} = {value.toml}\n' for name, value in table.items())
