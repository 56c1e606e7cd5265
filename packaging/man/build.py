"""Write the manual page, packaging/man/pollreload.1: python packaging/man/build.py

Its text is that of --help, taken from the commands themselves, and the tables of
docs/reference.md for what --help has no room for: exit statuses and events. The page
is checked in, and tests/docs/man_test.py fails if it is not up to date.
"""
from __future__ import annotations

import datetime
import os
import re
import textwrap
from importlib.metadata import version

import click

from pollreload.cli import main as main_module
from pollreload.cli import options as options_module

ROOT = os.path.abspath(os.path.join(__file__, '../../..'))
PAGE = os.path.join(ROOT, 'packaging/man/pollreload.1')
MAIN = ('watch', 'check', 'doctor', 'smoke')
# A long description stands in one place; here is the shortest way to use it.
EXAMPLES = (
    (
        'A sidecar for nginx, which polls every five seconds:',
        "pollreload watch --process nginx --validate 'nginx -t -q' --verify-workers "
        '/etc/nginx',
    ),
    (
        'Once, from cron or a systemd timer; silent when nothing is due:',
        "pollreload check -q --process nginx --validate 'nginx -t -q' /etc/nginx",
    ),
    (
        'Several watches in one process, by a TOML file that may change while it runs:',
        'pollreload watch --config /etc/pollreload.toml',
    ),
    (
        'Would it work here? Nothing is sent, and nothing changed:',
        'pollreload doctor --process nginx /etc/nginx',
    ),
)


def escaped(text: str) -> str:
    """Return text as troff prints it as it is (groff_char(7), groff_man_style(7))."""
    text = text.replace('\\', '\\e').replace('-', '\\-')
    text = text.replace("'", '\\(aq').replace('`', '\\(ga').replace('^', '\\(ha')
    return text.replace('~', '\\(ti').replace('"', '\\(dq')


def marked(text: str) -> str:
    """Return escaped text in which what Markdown has as code is bold."""
    return re.sub(r'\\\(ga(.+?)\\\(ga', r'\\fB\1\\fR', escaped(text))


def bold(text: str) -> str:
    """Return escaped text in bold."""
    return f'\\fB{escaped(text)}\\fR'


def italic(text: str) -> str:
    """Return escaped text in italics, as what is to be filled in."""
    return f'\\fI{escaped(text)}\\fR'


def filled(*sentences: str) -> list[str]:
    """Return the lines of text that is escaped, each sentence on lines of its own.

    For that is how troff knows the end of one, and mandoc wants 80 columns at most.
    """
    lines = [
        line for each in sentences for line in textwrap.wrap(
            each, 78, break_long_words=False, break_on_hyphens=False,
        )
    ]
    # A dot that begins a line would make it a request; no apostrophe is left.
    return [f'\\&{line}' if line.startswith('.') else line for line in lines]


def text_lines(text: str) -> list[str]:
    """Return the lines of a text of --help or the reference."""
    sentences = re.split(r'(?<=[.?]) (?=[A-Z])', ' '.join(text.split()))
    return filled(*map(marked, sentences))


def paragraphs(text: str) -> list[str]:
    """Return the lines of the paragraphs of a help."""
    found: list[str] = []
    for each in text.split('\n\n'):
        found += ['.PP', *text_lines(each)]
    return found[1:]


def commands() -> dict[str, click.Command]:
    """Return the commands: those of everyday first."""
    every = main_module.pollreload.commands
    return {name: every[name] for name in (*MAIN, *sorted({*every} - {*MAIN}))}


def arguments(command: click.Command) -> str:
    """Return the arguments of a command, as its usage line has them."""
    names = [
        each.metavar or (each.name or '').upper() for each in command.params
        if isinstance(each, click.Argument)
    ]
    return re.sub(
        r'[A-Z]+', lambda found: italic(found[0]), ' '.join(map(escaped, names)),
    )


def synopsis(name: str, command: click.Command) -> str:
    """Return how a command is called."""
    any_options = any(isinstance(each, click.Option) for each in command.params)
    words = [bold('pollreload'), bold(name)]
    words += [f'[{italic("OPTIONS")}]'] if any_options else []
    return ' '.join((*words, arguments(command))).rstrip()


def options() -> dict[str, tuple[click.Option, list[str]]]:
    """Return each option by its long name, and the commands that have it."""
    found: dict[str, tuple[click.Option, list[str]]] = {}
    for name, command in commands().items():
        for option in command.params:
            if isinstance(option, click.Option):
                found.setdefault(option.opts[-1], (option, []))[1].append(name)
    return found


def spelled(option: click.Option) -> str:
    """Return an option and its value."""
    words = ', '.join(bold(each) for each in option.opts)
    if isinstance(option.type, click.Choice):
        return f'{words} {"|".join(bold(each) for each in option.type.choices)}'
    if option.is_flag or option.count:
        return words
    return f'{words} {italic(option.type.name)}'


def described(option: click.Option, names: list[str]) -> list[str]:
    """Return the entry of an option."""
    lines = ['.TP', spelled(option), *text_lines(option.help or '')]
    if option.show_default:
        lines.append(f'Default: {bold(str(option.default))}.')
    if option.multiple:
        lines.append('Repeatable.')
    if names != list(MAIN):
        lines.append(f'Of {", ".join(map(bold, names))} only.')
    return lines


def environment() -> list[str]:
    """Return the variables, and the options that they stand for."""
    lines = filled(
        f'The command line wins, then {bold("POLLRELOAD_*")}, then the short names, '
        f'then the default.', 'An empty variable is an unset one.',
    )
    paths = next(
        each for each in options_module.target_options()
        if isinstance(each, click.Argument)
    )
    short = {
        str(each.envvar[-1]): each
        for each in options_module.target_options(sidecar=True)
        if each.envvar is not None and len(each.envvar) > 1
    }
    lines += ['.TP', bold(str((paths.envvar or [''])[0]))]
    lines += [f'The {italic("PATH")}s, with {bold(":")} between them.']
    lines += ['.TP', bold('POLLRELOAD_') + italic('NAME')]
    lines += [f'Any option: {bold("POLLRELOAD_HANDLER_CHECK")} for '
              f'{bold("--handler-check")}.']
    several = [
        str(each.envvar[0]) for each in options_module.ACTIONS
        if each.multiple and each.envvar
    ]
    lines += ['.TP', ', '.join(map(bold, several))]
    lines += filled(
        'One a line.', f'Here a URL may have a name and a password in it: '
        f'{bold("http://user:password@host/")}.',
    )
    lines += ['.TP', ', '.join(map(bold, short))]
    lines += [f'As the well\\-known inotify sidecar has them, for {bold("watch")}.']
    lines += ['.TP', ', '.join(map(bold, ('NOTIFY_SOCKET', 'WATCHDOG_USEC')))]
    lines += [f'Set by systemd for {bold("Type=notify")} and {bold("WatchdogSec=")}.']
    for name, meaning in table('Environment of commands'):
        lines += ['.TP', marked(name), *text_lines(f'For commands: {meaning}.')]
    lines += ['.TP', bold(main_module.COMPLETE)]
    lines += filled(
        f'Asks for shell completion: {bold("bash_source")}, {bold("zsh_source")} or '
        f'{bold("fish_source")} prints what a shell has to read.',
    )
    return lines


def table(heading: str) -> list[list[str]]:
    """Return the rows of the reference's table below a heading."""
    with open(os.path.join(ROOT, 'docs/reference.md'), encoding='utf-8') as file:
        section = file.read().split(f'\n## {heading}\n')[1].split('\n## ')[0]
    rows = [line for line in section.splitlines() if line.startswith('|')][2:]
    return [[cell.strip() for cell in row.strip('|').split('|')] for row in rows]


def page(date: str) -> str:
    """Return the page, as of a date."""
    number = version('pollreload')
    short = 'reload a program when its files change'
    lines = [
        '.\\" Made by packaging/man/build.py from --help; do not edit.',
        f'.TH POLLRELOAD 1 {date} "pollreload {number}" "User Commands"',
        # Neither hyphens nor blanks that nobody wrote.
        '.nh', '.ad l',
        '.SH NAME', f'pollreload \\- {short}', '.SH SYNOPSIS',
    ]
    for name, command in commands().items():
        lines += [synopsis(name, command), '.br']
    lines += [f'{bold("pollreload")} {bold("--help")} | {bold("--version")}']
    lines += ['.SH DESCRIPTION', *paragraphs(main_module.pollreload.help or '')]
    lines += ['.SH COMMANDS']
    for name, command in commands().items():
        lines += [f'.SS {name.replace("-", chr(92) + "-")}']
        lines += paragraphs(command.help or '')
    lines += ['.SH OPTIONS']
    lines += filled(
        f'Those of {", ".join(map(bold, MAIN))}, where nothing else is said.',
        f'A {italic("DURATION")} is {bold("250ms")}, {bold("5s")}, {bold("2m")}, '
        f'{bold("1h")} or plain seconds. A {italic("SIZE")} is {bold("4GiB")}, '
        f'{bold("512M")}, {bold("64k")} or bytes.',
    )
    for option, names in options().values():
        lines += described(option, names)
    lines += ['.TP', f'{bold("-h")}, {bold("--help")}', str(options_module.HELP.help)]
    version_help = str(options_module.VERSION.help)
    lines += ['Of every command.', '.TP', bold('--version'), version_help]
    lines += ['.SH ENVIRONMENT', *environment()]
    lines += ['.SH EXIT STATUS']
    for status, whose, meaning in table('Exit status'):
        who = '' if {*whose.split(', ')} == {*commands()} else f' ({whose})'
        head = bold(status) + who.replace('-', '\\-')
        lines += ['.TP', head, *text_lines(f'{meaning}.')]
    lines += ['.SH LOG', 'One line on stderr for each event.']
    lines += filled(f'With {bold("--log-format json")} one object, whose '
                    f'{bold("event")} is this word.')
    for events, meaning, _ in table('Log'):
        lines += ['.TP', marked(events), *text_lines(f'{meaning}.')]
    lines += ['.SH EXAMPLES']
    for position, (says, line) in enumerate(EXAMPLES):
        lines += ['.PP'] if position else []
        lines += [escaped(says), '.PP', '.RS 4', '.nf', escaped(line), '.fi', '.RE']
    lines += ['.SH SEE ALSO', '.BR kill (1),', '.BR proc (5),', '.BR signal (7)']
    return '\n'.join(lines) + '\n'


def dated() -> str:
    """Return the date of the page that is there; '' where there is none."""
    try:
        with open(PAGE, encoding='utf-8') as file:
            found = re.search(r'(?m)^\.TH \S+ 1 (\S+)', file.read())
    except FileNotFoundError:
        return ''
    return found[1] if found else ''


def main() -> None:
    """Write the page, with the date of today if its words have changed."""
    date = dated()
    if date:
        with open(PAGE, encoding='utf-8') as file:
            if file.read() == page(date):
                return
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    with open(PAGE, 'w', encoding='utf-8') as file:
        file.write(page(today))


if __name__ == '__main__':
    main()
