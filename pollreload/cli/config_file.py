"""The file of several watches: TOML in, options out, and where what is wrong stands.

Its keys are the names of the options. What each may be is asked of them, so that
a word means the same in a file, in a variable and on a command line.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pollreload.errors import UsageError
from pollreload.runtime.log import printable

KINDS: dict[type, str] = {
    bool: 'true or false', str: 'text in quotes', int: 'a whole number',
    float: 'a number', list: 'a list', dict: 'a table',
}
# What tomllib says of a key that is there already.
TWICE = ('Cannot overwrite a value', 'Cannot mutate immutable namespace')
# What is of one run, and not of a file.
SPOKEN = ('dry-run', 'output', 'quiet', 'timeout', 'verbose')


class Kind(NamedTuple):
    """What an option may be in a file.

    types: those of TOML. several: a list of them, or one alone.
    read: what a file gives -> its value; raises ValueError.
    """

    types: tuple[type, ...]
    several: bool
    read: Callable[[Any], object]


class Table(NamedTuple):
    """One [[watch]]: what is given there or above, and where it stands.

    number: from 0. given: option -> value, as a command line would give it.
    own: the options that are written in it.
    """

    number: int
    given: Mapping[str, object]
    own: frozenset[str]


class Text:
    """A file of ours as it is written, to find where a key stands."""

    def __init__(self, path: str, text: str) -> None:
        self.path = printable(path)
        # As TOML counts lines (toml.io, v1.0.0: LF or CRLF).
        self.lines = text.split('\n')

    def wrong(self, says: str, *key: str | int) -> UsageError:
        """Return the error about a key: its file, line and name in one line."""
        names = [name for name in key if isinstance(name, str)]
        what = f'{printable(names[-1])}: ' if names and names[-1] != 'watch' else ''
        return UsageError(f'{self.path}:{self.line(*key)}: {what}{printable(says)}')

    def line(self, *key: str | int) -> int:
        """Return the line that a key begins at, from 1."""
        for first, found in self.beginnings():
            if holds(found, key):
                return first
        return 1

    def broken(self) -> int:
        """Return the line of the first statement that is no TOML."""
        last = max((
            number for number in range(len(self.lines))
            if parsed(self.part(number)) is not None
        ), default=0)
        return last + 1

    def beginnings(self) -> Iterator[tuple[int, Any]]:
        """Give lines that something begins at, and what those up to its end say."""
        began = 0
        for number in range(1, len(self.lines) + 1):
            found = parsed(self.part(number))
            if found is None:
                # In the middle of a value; an array may be read to here.
                found = parsed(self.part(number) + ']\n')
            if found is None:
                continue
            yield began + 1, found
            began = number

    def part(self, number: int) -> str:
        """Return the first lines."""
        return '\n'.join(self.lines[:number]) + '\n'


def parsed(text: str) -> dict[str, Any] | None:
    """Return what TOML says, None for what is none."""
    import tomllib
    try:
        return tomllib.loads(text)
    except ValueError:
        # Not only TOMLDecodeError: a number may have more digits than Python takes.
        return None


def holds(found: Any, key: Sequence[str | int]) -> bool:
    """Return whether there is such a key."""
    try:
        for name in key:
            found = found[name]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def read(
        path: str, text: bytes, kinds: Mapping[str, Kind], common: Sequence[str],
        alone: Sequence[str],
) -> tuple[dict[str, object], list[Table]]:
    """Return what is given for all together, and the tables of the watches.

    kinds: option -> what it may be. common: those that stand at the top alone;
    alone: those that stand in a [[watch]] alone; any other stands in it, or at
    the top for all that do not have it.
    Raises UsageError with file, line and key.
    """
    import tomllib
    try:
        words = decoded(text)
    except UnicodeDecodeError as error:
        line = text.count(b'\n', 0, error.start) + 1
        raise UsageError(f'{printable(path)}:{line}: is not UTF-8') from None
    where = Text(path, words)
    try:
        found = tomllib.loads(words)
    except tomllib.TOMLDecodeError as error:
        raise syntax(where, str(error)) from None
    except ValueError:
        # sys.set_int_max_str_digits
        line = where.broken()
        says = 'has a number of too many digits'
        raise UsageError(f'{where.path}:{line}: {says}') from None
    except RecursionError:
        raise UsageError(f'{where.path}: is nested too deeply') from None
    top = found.copy()
    tables = top.pop('watch', None)
    if isinstance(tables, dict):
        raise where.wrong('write [[watch]], in two brackets on each side', 'watch')
    if tables is not None and not isinstance(tables, list):
        raise where.wrong('write [[watch]] tables', 'watch')
    # First: a misspelt [[watch]] is among them.
    given = dict(values(where, (), top, {
        name: kind for name, kind in kinds.items() if name not in alone
    }, kinds))
    if not tables:
        raise UsageError(
            f'{where.path}: there is no watch in it; begin one with a line [[watch]]',
        )
    shared = {name: given.pop(name) for name in common if name in given}
    mine = {name: kind for name, kind in kinds.items() if name not in common}
    made = []
    for number, table in enumerate(tables):
        if not isinstance(table, dict):
            raise where.wrong('write [[watch]] tables', 'watch', number)
        own = dict(values(where, ('watch', number), table, mine, kinds))
        made.append(Table(number, {**given, **own}, frozenset(own)))
    return shared, made


def values(
        where: Text, at: tuple[str | int, ...], table: Mapping[str, object],
        kinds: Mapping[str, Kind], everywhere: Mapping[str, Kind],
) -> Iterator[tuple[str, object]]:
    """Give the options of one table. Raises UsageError.

    kinds: those that may stand here; everywhere: those that may stand anywhere.
    """
    for name, value in table.items():
        if name not in kinds:
            raise where.wrong(stranger(name, kinds, everywhere, bool(at)), *at, name)
        kind = kinds[name]
        each = value if kind.several and isinstance(value, list) else [value]
        if not each:
            raise where.wrong('is an empty list; leave it out', *at, name)
        try:
            got = [converted(kind, one) for one in each]
        except ValueError as error:
            raise where.wrong(str(error), *at, name) from None
        yield name, tuple(got) if kind.several else got[0]


def converted(kind: Kind, value: object) -> object:
    """Return the value of an option. Raises ValueError."""
    # type() and not isinstance(): true is an int too.
    if type(value) not in kind.types:
        wanted = ' or '.join(
            KINDS[each] for each in kind.types
            if each is not int or float not in kind.types
        )
        is_so = KINDS.get(type(value), 'a date or a time')
        raise ValueError(f'is {is_so}, and has to be {wanted}')
    return kind.read(value)


def stranger(
        name: str, kinds: Mapping[str, Kind], everywhere: Mapping[str, Kind],
        inside: bool,
) -> str:
    """Return what is wrong with a key that cannot stand here."""
    import difflib
    if name in everywhere:
        place = 'at the top, before the first [[watch]]' if inside else 'in a [[watch]]'
        return f'has to stand {place}'
    if name in SPOKEN:
        return f'has to be given on the command line, as --{name}'
    known = {**dict.fromkeys(kinds), **({} if inside else {'watch': None})}
    near = difflib.get_close_matches(name.replace('_', '-'), known, 1)
    hint = f'did you mean {near[0]}?' if near else 'see pollreload watch --help'
    return f'is no option; {hint.replace(" watch?", " [[watch]]?")}'


def decoded(text: bytes) -> str:
    """Return the text of a file, without the mark that some editors begin it with."""
    return text.decode('utf-8-sig')


def syntax(where: Text, says: str) -> UsageError:
    """Return the error for what is no TOML. No value is shown: it may be a secret."""
    # 'Expected ... (at line 3, column 5)', '... (at end of document)'.
    what, _, place = says.rpartition(' (at ')
    match = re.match(r'line (\d+), column', place)
    line = where.broken()
    written = where.lines[line - 1]
    if what in TWICE or (what.startswith('Cannot declare') and written[:1] == '['):
        key = written.strip() if written[:1] == '[' else written.partition('=')[0]
        name = f'{key.strip()}: ' if re.fullmatch(r"""[\w\s."'\[\]-]+""", key) else ''
        return UsageError(f'{where.path}:{line}: {name}is there already')
    if match:
        line = max(line, int(match[1]))
    # What tomllib says may hold a letter of the file, no more.
    what = printable(f'{what[:1].lower()}{what[1:]}')
    return UsageError(f'{where.path}:{line}: is no TOML: {what}')
