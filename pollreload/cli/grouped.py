"""Commands of click whose --help begins with an example and groups the options."""
from __future__ import annotations

from typing import Any

import click

from pollreload.cli.options import GROUPS, HELP, Option

FEW = 5  # options that --help shows without a heading for each group


class OwnHelp:
    """Use our --help option: click would look up a translation for its own.

    That takes 3 ms of every check, and as much for --version.
    """

    def get_help_option(self, _: click.Context) -> click.Option:
        """Return our option."""
        return HELP


class Command(OwnHelp, click.Command):
    """A command whose --help begins with an example and groups its options."""

    def __init__(self, *args: Any, example: str, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.example = example

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; an option that takes one value may come only once."""
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        seen: set[str | None] = set()
        for param in order:
            if isinstance(param, click.Option) and not (
                    param.multiple or param.count or param.is_flag
            ):
                if param.name in seen:
                    raise click.UsageError(
                        f'{param.opts[-1]} takes one value, and is given twice',
                        ctx,
                    )
                seen.add(param.name)
        return super().parse_args(ctx, args)

    def format_help_text(
            self, ctx: click.Context, formatter: click.HelpFormatter,
    ) -> None:
        """Write the example, then the description."""
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(f'Example: {self.example}')
        super().format_help_text(ctx, formatter)

    def format_options(
            self, ctx: click.Context, formatter: click.HelpFormatter,
    ) -> None:
        """Write the options by group with its sentence; a few of them as one list."""
        found = [
            (param.group, row) for param in self.get_params(ctx)
            if isinstance(param, Option)
            and (row := param.get_help_record(ctx)) is not None
        ]
        groups = {
            group: rows for group in GROUPS
            if (rows := [row for its, row in found if its == group])
        }
        if len(found) <= FEW:
            with formatter.section('Options'):
                formatter.write_dl([row for rows in groups.values() for row in rows])
            return
        for group, rows in groups.items():
            with formatter.section(group):
                formatter.write_text(GROUPS[group])
                formatter.write_dl(rows)


class Group(OwnHelp, click.Group):
    """The group of all commands."""

    command_class = Command

    def resolve_command(
            self, ctx: click.Context, args: list[str],
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named, or raise UsageError with the nearest."""
        name = args[0]
        if self.get_command(ctx, name) is None and not (
                name.startswith('-') or ctx.resilient_parsing
        ):
            from pollreload.cli.suggest import unknown_command
            raise click.UsageError(unknown_command(name, self.commands), ctx)
        return super().resolve_command(ctx, args)
