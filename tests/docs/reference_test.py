"""docs/reference.md: up to date, and it agrees with the program.

Its events are those of the schema, which log_schema_test.py compares with the source.
"""
from __future__ import annotations

import json
import re

import click
from click.testing import CliRunner

from pollreload import __main__, errors
from pollreload.cli import main
from pollreload.settings import Plan, Settings
from tests.support.scripts import load

build = load('reference/build.py')

MAIN = ('watch', 'check', 'doctor')


def table(heading: str) -> list[list[str]]:
    """Return the cells of the tables below a heading, without the head of each."""
    section = build.PAGE.read_text('utf-8').split(f'\n## {heading}\n')[1]
    lines = section.split('\n## ')[0].splitlines()
    rows = [
        line for line, after in zip(lines, [*lines[1:], ''], strict=True)
        if line.startswith('| ') and not after.startswith('|---')
    ]
    cells = [re.split(r'(?<!\\)\|', row)[1:-1] for row in rows]
    return [[cell.strip().replace('\\|', '|') for cell in row] for row in cells]


def options() -> dict[str, tuple[click.Option, set[str]]]:
    """Return each option of the program by its long name, and the commands with it."""
    found: dict[str, tuple[click.Option, set[str]]] = {}
    for name, command in main.pollreload.commands.items():
        for option in command.params:
            if isinstance(option, click.Option):
                found.setdefault(option.opts[-1], (option, set()))[1].add(name)
    return found


def test_page_is_up_to_date() -> None:
    """The page is what packaging/reference/build.py makes of the program."""
    assert build.PAGE.read_text('utf-8') == re.sub(r' +\n', '\n', build.page())


def test_option_tables_have_every_option_and_no_other() -> None:
    """One row for each option of --help, in every spelling."""
    rows = [re.findall(r'(?<![\w-])--?[a-z-]+', row[0]) for row in table('Options')]

    assert sorted(rows) == sorted(option.opts for option, _ in options().values())


def test_option_tables_have_values_defaults_and_help() -> None:
    """A choice lists its values; the default and the meaning are those of --help."""
    for row in table('Options'):
        option = options()[re.findall(r'(--[a-z-]+)', row[0])[0]][0]
        shown = re.findall(r'`--[a-z-]+ (\S+)`', row[0])

        if isinstance(option.type, click.Choice):
            assert shown == ['|'.join(option.type.choices)]
        elif option.is_flag or option.count:
            assert shown == []
        else:
            assert shown == [option.type.name]
        assert row[1] == (f'`{option.default}`' if option.show_default else '')
        assert row[4].startswith(option.help or '?')


def test_option_tables_say_which_commands_have_an_option() -> None:
    """'all' is watch, check and doctor; otherwise they are listed."""
    for row in table('Options'):
        _, have = options()[re.findall(r'(--[a-z-]+)', row[0])[0]]
        said = MAIN if row[2] == 'all' else row[2].split(', ')

        assert set(said) == have, row[0]


def test_every_option_can_be_set_by_the_environment() -> None:
    """POLLRELOAD_ and the name of the option, as its row says."""
    rows = {re.findall(r'(--[a-z-]+)', row[0])[0]: row for row in table('Options')}
    for name, (option, _) in options().items():
        variable = 'POLLRELOAD_' + name.removeprefix('--').upper().replace('-', '_')
        names = option.envvar

        assert isinstance(names, list)
        assert names[0] == variable
        assert rows[name][3] == f'`{variable}`'


def test_defaults_of_help_are_the_defaults_of_the_settings() -> None:
    """What --help says is what a watch without options does."""
    got = main.main(['watch', '--process', 'app', 'app.conf'])

    assert got == Plan((Settings(paths=('app.conf',), process='app'),))


def test_notes_are_about_options_that_exist() -> None:
    """A note of an option that was removed would be lost silently."""
    assert {*build.NOTES} <= {*options()}


def test_exit_table_has_the_statuses_of_check_help() -> None:
    """The statuses that check --help lists are those of check in the table."""
    said = CliRunner().invoke(main.pollreload, ['check', '--help']).output
    said = ' '.join(said.split('Exit status:')[1].split('What to watch:')[0].split())
    listed = {int(word) for word in re.findall(r'(?:^|; )(\d+)', said.strip())}
    rows = {int(row[0]) for row in table('Exit status') if 'check' in row[1]}

    assert listed == rows - {__main__.FAULT, __main__.IO_ERROR}


def test_exit_table_has_the_statuses_of_the_code() -> None:
    """Every status that an error stands for has its row."""
    rows = {int(row[0]) for row in table('Exit status')}
    kinds = [
        each for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.PollreloadError)
    ]

    own = {__main__.FAULT, __main__.IO_ERROR}
    assert {0, 1, 3, *own, *(kind.status for kind in kinds)} == rows


def test_every_reason_of_the_schema_is_explained() -> None:
    """Each reason of `held`, `failed` and `changed` has a row."""
    schema = json.loads(build.SCHEMA.read_text('utf-8'))['$defs']
    rows = [(row[0].strip('`'), row[1].strip('`')) for row in table('Reasons')]

    assert len(rows) == len(set(rows))
    for event in ('held', 'failed'):
        wanted = schema[event]['properties']['reason']['enum']
        assert sorted(wanted) == sorted(each for of, each in rows if of == event)
    changed = {
        reason for each in schema['changed']['oneOf']
        for reason in each['properties'].get('reason', {}).get('enum', ())
    }
    assert changed == {each for of, each in rows if of == 'changed'}
