"""The types of option values, for click."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click


class ValueType(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # since 8.2
    """The type of an option: a name for --help, and a function that parses text.

    parse: text -> value; raises ValueError with what is accepted.
    completes: 'file' or 'dir' for what a shell completes by itself, else ''.
    offers: yields the values that a shell offers.
    """

    envvar_list_splitter = ':'

    def __init__(
            self, name: str, parse: Callable[[str], object], completes: str = '',
            offers: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self.name = name
        self.parse = parse
        self.completes = completes
        self.offers = offers

    def convert(
            self, value: Any, param: click.Parameter | None, ctx: click.Context | None,
    ) -> Any:
        """Return the value of an argument; a default that is no text is one already."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
            self, ctx: click.Context, param: click.Parameter, incomplete: str,
    ) -> list[Any]:
        """Return the values that begin so; a shell completes files by itself."""
        from click.shell_completion import CompletionItem
        # click writes UTF-8. fish reads it back; the other shells ignore it.
        text = incomplete.encode('utf-8', 'replace').decode()
        if self.completes:
            return [CompletionItem(text, self.completes)]
        return [CompletionItem(each) for each in self.offers() if each.startswith(text)]


class LinesType(ValueType):
    """A type of which a variable holds several values, one a line."""

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """Return the lines that are not empty."""
        return [line for line in rv.splitlines() if line.strip()]
