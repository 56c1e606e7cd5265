"""Read a configuration file: TOML in, option values out, errors with line numbers.

Its keys are the names of the options, and the options parse their values. So a
value means the same in a file, in a variable and on the command line.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pollreload.cli.suggest import nearest
from pollreload.errors import UsageError
from pollreload.runtime.log import printable

KINDS: dict[type, str] = {
    bool: 'true or false', str: 'text in quotes', int: 'a whole number',
    float: 'a number', list: 'a list', dict: 'a table',
}
# What to write instead of a list.
INSTEAD_OF_LIST = {
    **dict.fromkeys(('process', 'pidfile'), '; write one [[watch]] for each'),
    **dict.fromkeys(('validate', 'verify'), '; write a command and its arguments as '
                    'one text'),
}
# The messages of tomllib about a duplicate key.
DUPLICATE = ('Cannot overwrite a value', 'Cannot mutate immutable namespace')
# What a line that is not TOML begins with -> what to write.
HINTS = (
    (r'\s*[\w-]+\s*=\s*(True|TRUE|[Yy]es|YES|[Oo]n|ON)\b', 'write true'),
    (r'\s*[\w-]+\s*=\s*(False|FALSE|[Nn]o|NO|[Oo]ff|OFF)\b', 'write false'),
    (r'\s*[\w-]+\s*=[\s[]*([A-Za-z/~*]|[0-9.]+[A-Za-z])', 'write text in quotes'),
    (
        r"""\s*[\w-]+\s*=\s*(\[.*)?("[^"]*"|'[^']*')[\s,]+["']""",
        'write several values as a list: ["a", "b"]',
    ),
    (r'\s*\[\[?\w*\]*\s*(#.*)?$', 'write [[watch]]'),
    (r'\s*[{]', 'this looks like JSON, and the file is TOML: key = "value"'),
    (r'\s*(- )?[\w-]+:(\s|$)',
     'this looks like YAML, and the file is TOML: key = "value"'),
    (r'\s*;', 'a comment begins with #'),
    (r'.*;\s*$', 'leave out the semicolon'),
)
# Options that concern one run, and cannot stand in a file.
COMMAND_LINE_ONLY = ('dry-run', 'output', 'quiet', 'timeout', 'verbose')


class Kind(NamedTuple):
    """What the value of a key may be.

    types: the TOML types. several: a list is allowed as well as one value.
    parse: the TOML value -> the value of the option; raises ValueError.
    """

    types: tuple[type, ...]
    several: bool
    parse: Callable[[Any], object]


class Table(NamedTuple):
    """One [[watch]] table, with the values at the top of the file merged in.

    number: its position, from 0. given: parameter -> value, as from the command line.
    own: the options that stand in the table itself.
    """

    number: int
    given: Mapping[str, object]
    own: frozenset[str]


class Source:
    """The text of a configuration file, to find the line of a key."""

    def __init__(self, path: str, text: str) -> None:
        self.path = printable(path)
        # TOML counts lines so (toml.io, v1.0.0: LF or CRLF).
        self.lines = text.split('\n')

    def error(self, message: str, *key: str | int) -> UsageError:
        """Return the error about a key, with file, line and name, on one line."""
        names = [name for name in key if isinstance(name, str)]
        what = f'{printable(names[-1])}: ' if names and names[-1] != 'watch' else ''
        return UsageError(f'{self.path}:{self.line(*key)}: {what}{printable(message)}')

    def line(self, *key: str | int) -> int:
        """Return the line on which a key begins, from 1."""
        for first, found in self.beginnings():
            if contains(found, key):
                return first
        return 1

    def broken_line(self) -> int:
        """Return the line of the first statement that is not TOML."""
        last = max((
            number for number in range(len(self.lines))
            if parse_toml(self.part(number)) is not None
        ), default=0)
        return last + 1

    def beginnings(self) -> Iterator[tuple[int, Any]]:
        """Yield (first line of a statement, all up to its end, parsed)."""
        began = 0
        for number in range(1, len(self.lines) + 1):
            found = parse_toml(self.part(number))
            if found is None:
                # In the middle of a value; an array can be closed here.
                found = parse_toml(self.part(number) + ']\n')
            if found is None:
                continue
            yield began + 1, found
            began = number

    def part(self, number: int) -> str:
        """Return that many lines from the beginning."""
        return '\n'.join(self.lines[:number]) + '\n'


def parse_toml(text: str) -> dict[str, Any] | None:
    """Return the document of a TOML text; None if it is not TOML."""
    import tomllib
    try:
        return tomllib.loads(text)
    except ValueError:
        # Not only TOMLDecodeError: a number may have too many digits for Python.
        return None


def contains(found: Any, key: Sequence[str | int]) -> bool:
    """Return whether a document contains a key, given by its path."""
    try:
        for name in key:
            found = found[name]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def read_config(
        path: str, text: bytes, kinds: Mapping[str, Kind], common: Sequence[str],
        alone: Sequence[str],
) -> tuple[dict[str, object], list[Table]]:
    """Return the values for the whole run, and the tables of the watches.

    kinds: option -> its Kind. common: the options that may stand only at the top;
    alone: those that may stand only in a [[watch]]. Any other may stand in both;
    at the top it is the default of all watches.
    Raises UsageError with file, line and key.
    """
    import tomllib
    try:
        document = decoded(text)
    except UnicodeDecodeError as error:
        line = text.count(b'\n', 0, error.start) + 1
        raise UsageError(f'{printable(path)}:{line}: is not UTF-8') from None
    source = Source(path, document)
    try:
        found = tomllib.loads(document)
    except tomllib.TOMLDecodeError as error:
        raise syntax_error(source, str(error)) from None
    except ValueError:
        # sys.set_int_max_str_digits
        line = source.broken_line()
        message = 'has a number with too many digits'
        raise UsageError(f'{source.path}:{line}: {message}') from None
    except RecursionError:
        raise UsageError(f'{source.path}: is nested too deeply') from None
    top = found.copy()
    tables = top.pop('watch', None)
    if isinstance(tables, dict):
        raise source.error('write [[watch]], in two brackets on each side', 'watch')
    if tables is not None and not isinstance(tables, list):
        raise source.error('write [[watch]] tables', 'watch')
    # Before the check for watches: a misspelt [[watch]] is among these.
    given = dict(values(source, (), top, {
        name: kind for name, kind in kinds.items() if name not in alone
    }, kinds))
    if not tables:
        raise UsageError(
            f'{source.path}: contains no watch; begin one with a line [[watch]]',
        )
    shared = {name: given.pop(name) for name in common if name in given}
    mine = {name: kind for name, kind in kinds.items() if name not in common}
    made = []
    for number, table in enumerate(tables):
        if not isinstance(table, dict):
            raise source.error('write [[watch]] tables', 'watch', number)
        own = dict(values(source, ('watch', number), table, mine, kinds))
        made.append(Table(number, {**given, **own}, frozenset(own)))
    return shared, made


def values(
        source: Source, at: tuple[str | int, ...], table: Mapping[str, object],
        kinds: Mapping[str, Kind], everywhere: Mapping[str, Kind],
) -> Iterator[tuple[str, object]]:
    """Yield the options of one table, parsed. Raises UsageError.

    kinds: the options that may stand here; everywhere: all options of a file.
    """
    for name, value in table.items():
        if name not in kinds:
            message = unknown_key(name, value, kinds, everywhere, bool(at))
            raise source.error(message, *at, name)
        kind = kinds[name]
        each = value if kind.several and isinstance(value, list) else [value]
        if not each:
            raise source.error('is an empty list; leave it out', *at, name)
        try:
            got = [converted(kind, one) for one in each]
        except ValueError as error:
            advice = INSTEAD_OF_LIST.get(name, '') if isinstance(value, list) else ''
            raise source.error(f'{error}{advice}', *at, name) from None
        yield name, tuple(got) if kind.several else got[0]


def converted(kind: Kind, value: object) -> object:
    """Return the parsed value of an option. Raises ValueError."""
    # type() and not isinstance(): true is an int too.
    if type(value) not in kind.types:
        wanted = ' or '.join(
            KINDS[each] for each in kind.types
            if each is not int or float not in kind.types
        )
        actual = KINDS.get(type(value), 'a date or a time')
        raise ValueError(f'is {actual}, and must be {wanted}')
    return kind.parse(value)


def unknown_key(
        name: str, value: object, kinds: Mapping[str, Kind],
        everywhere: Mapping[str, Kind], inside: bool,
) -> str:
    """Return the message about a key that cannot stand here."""
    if name in everywhere:
        place = 'at the top, before the first [[watch]]' if inside else 'in a [[watch]]'
        return f'must stand {place}'
    if name in COMMAND_LINE_ONLY:
        return f'must be given on the command line, as --{name}'
    near = nearest(name, (*kinds, *COMMAND_LINE_ONLY, *(() if inside else ('watch',))))
    hint = f'did you mean {near}?' if near else 'see pollreload watch --help'
    if near == 'watch' or (not near and isinstance(value, dict) and not inside):
        hint = 'did you mean [[watch]]?'
    elif near in COMMAND_LINE_ONLY:
        hint = f'did you mean --{near}, on the command line?'
    return f'is not an option; {hint}'


def decoded(text: bytes) -> str:
    """Return the text of a file, without a byte order mark."""
    return text.decode('utf-8-sig')


def syntax_error(source: Source, message: str) -> UsageError:
    """Return the error for a file that is not TOML, without values: secrets."""
    # 'Expected ... (at line 3, column 5)', '... (at end of document)'.
    what, _, place = message.rpartition(' (at ')
    match = re.match(r'line (\d+), column', place)
    line = source.broken_line()
    written = source.lines[line - 1]
    if what in DUPLICATE or (what.startswith('Cannot declare') and written[:1] == '['):
        key = written.strip() if written[:1] == '[' else written.partition('=')[0]
        name = f'{key.strip()}: ' if re.fullmatch(r"""[\w\s."'\[\]-]+""", key) else ''
        return UsageError(f'{source.path}:{line}: {name}is already defined')
    if match:
        line = max(line, int(match[1]))
    # The message of tomllib quotes one character of the file at most.
    what = printable(f'{what[:1].lower()}{what[1:]}')
    return UsageError(f'{source.path}:{line}: is not TOML: {what}{hint(written)}')


def hint(line: str) -> str:
    """Return advice about a line that is not TOML, or ''."""
    for pattern, says in HINTS:
        if re.match(pattern, line):
            return f'; {says}'
    return ''
