"""The manual page: up to date, without a warning, and readable as intended."""
from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

import click
import pytest

from pollreload.cli import main
from tests.support.scripts import load

build = load('man/build.py')

CI = os.environ.get('CI')
PACKAGES = {'mandoc': 'mandoc', 'man': 'man-db', 'groff': 'groff-base'}


def tool(name: str) -> str:
    """Return a program by its name, or skip."""
    if not shutil.which(name):
        words = f'{name} is not here; install the Debian package {PACKAGES[name]}'
        if CI:
            pytest.fail(words)
        pytest.skip(words)
    return name


def said(*command: str) -> str:
    """Return the output of a command that must accept the page."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, 'LC_ALL': 'C.UTF-8', 'MANPAGER': 'cat', 'MANWIDTH': '1000'},
    )
    return done.stdout + done.stderr


def plain(text: str) -> str:
    """Return text without its bold type, in lines and blanks of its own."""
    return ' '.join(re.sub('.\b', '', text).split())


def readable() -> str:
    """Return the page as a reader sees it."""
    return re.sub('.\b', '', said(
        tool('mandoc'), '-Tutf8', '-Owidth=1000', build.PAGE,
    ))


def test_the_page_is_up_to_date() -> None:
    """The page is what packaging/man/build.py makes of --help."""
    with open(build.PAGE, encoding='utf-8') as file:
        assert file.read() == build.page(build.dated())


def test_date_changes_only_with_the_text(
        tmp_path: object, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page with the same text keeps its date; another one gets today's."""
    monkeypatch.setattr(build, 'PAGE', f'{tmp_path}/page')
    with open(build.PAGE, 'w', encoding='utf-8') as file:
        file.write(build.page('2001-01-01'))
    build.main()
    assert build.dated() == '2001-01-01'

    with open(build.PAGE, 'a', encoding='utf-8') as file:
        file.write('more\n')
    build.main()
    assert re.fullmatch(r'20[2-9]\d-\d\d-\d\d', build.dated())
    with open(build.PAGE, encoding='utf-8') as file:
        assert file.read() == build.page(build.dated())

    os.remove(build.PAGE)
    build.main()
    assert build.dated() > '2001-01-01'


def test_mandoc_has_nothing_to_say() -> None:
    """Not even about style."""
    assert said(tool('mandoc'), '-Tlint', '-Wall', build.PAGE) == ''


def test_man_has_nothing_to_warn_of() -> None:
    """groff's own warnings, all of them, and another reader of the same page."""
    tool('groff')
    got = said(tool('man'), '--warnings=w', '--local-file', '-Tutf8', '-Z', build.PAGE)

    assert 'warning:' not in got
    assert got.startswith('x T utf8\n')


def test_a_reader_sees_what_help_says() -> None:
    """Each option with its help, word for word, whatever troff makes of its signs."""
    page = plain(readable())

    for option, _ in build.options().values():
        assert plain(option.help or '').replace('`', '') in page, option.opts
    for name, command in main.pollreload.commands.items():
        assert plain(command.help or '').replace('`', '') in page, name
    assert plain(main.pollreload.help or '') in page


def test_a_reader_finds_every_option_at_the_beginning_of_a_line() -> None:
    """As `man -P 'less +/--verify'` looks for it, with plain hyphens."""
    lines = [line.strip() for line in readable().splitlines()]

    for option, _ in build.options().values():
        words = ', '.join(option.opts)
        assert any(re.match(rf'{words}( \S+)?$', line) for line in lines), words
    assert '-h, --help' in lines


def test_a_reader_learns_which_command_has_an_option() -> None:
    """What is said of an option is what the commands have."""
    page = plain(readable())

    assert 'Limit for the whole run, one attempt. Default: 60s. Of check only.' in page
    assert 'Signal to send. Default: HUP. --interval' in page


@pytest.mark.parametrize('heading', ['Exit status', 'Log'])
def test_the_tables_of_the_reference_are_in_it(heading: str) -> None:
    """Each row, without its marks."""
    page = plain(readable())

    for row in build.table(heading):
        assert plain(row[2 if heading == 'Exit status' else 1]).replace('`', '') in page
        assert row[0].replace('`', '') in page


@pytest.mark.parametrize('line', [line for _, line in build.EXAMPLES])
def test_examples_are_shown_and_accepted(line: str) -> None:
    """To be copied from the page, apostrophes and all."""
    words = shlex.split(line)
    command = main.pollreload.commands[words[1]]
    assert isinstance(command, click.Command)

    with click.Context(command, info_name=words[1]) as context:
        command.parse_args(context, words[2:])

    params = context.params
    assert params['paths'] == ('/etc/nginx',) or params['config'].endswith('.toml')
    assert line in readable()


def test_what_troff_would_take_for_its_own_is_shown() -> None:
    """A dot at the beginning of a line, a backslash, quotes, a tilde."""
    awkward = '.TP is not \\fB here; "a" \'b\' c^d ~e -f'
    lines = build.filled(build.escaped(awkward), *[build.escaped('.' * 90)] * 2)
    head = '.TH X 1 2026-01-01\n.SH NAME\nx \\- y\n.SH MORE\n'

    done = subprocess.run(
        (tool('mandoc'), '-Tutf8', '-Owidth=1000'), text=True, check=True, timeout=60,
        input=head + '\n'.join(lines) + '\n', capture_output=True,
    )

    assert f'{awkward} {"." * 90} {"." * 90}' in plain(done.stdout)


def test_every_hyphen_is_one_that_can_be_copied() -> None:
    """A bare one is a hyphen to groff, and not a minus, unless groff is patched."""
    with open(build.PAGE, encoding='utf-8') as file:
        lines = [line for line in file if not line.startswith(('.\\"', '.TH'))]

    assert not re.search(r'(?<!\\)-', ''.join(lines))
