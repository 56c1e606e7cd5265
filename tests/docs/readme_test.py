"""The README and the program agree: options, statuses, events, commands, files."""
from __future__ import annotations

import ast
import glob
import os
import re
import shlex

import click
import pytest
from click.testing import CliRunner

from pollreload import __main__, errors
from pollreload.cli import main, resolve
from pollreload.settings import IGNORED, Plan, Settings

ROOT = os.path.abspath(os.path.join(__file__, '../../..'))
DOCUMENTS = (
    'README.md', 'docs/how-it-works.md', 'examples/README.md', 'CONTRIBUTING.md',
)
ALL = ('watch', 'check', 'doctor')


def text(name: str) -> str:
    """Return what is in a file of the clone."""
    with open(os.path.join(ROOT, name), encoding='utf-8') as file:
        return file.read()


def table(heading: str) -> list[list[str]]:
    """Return the cells of the README's table below a heading, its own row left out."""
    section = text('README.md').split(f'\n## {heading}\n')[1].split('\n## ')[0]
    rows = [line for line in section.splitlines() if line.startswith('|')][2:]
    return [[cell.strip() for cell in row.strip('|').split('|')] for row in rows]


def block(heading: str) -> list[str]:
    """Return the lines of the first fenced block below a heading."""
    section = text('README.md').split(f'\n## {heading}\n')[1]
    return section.split('```')[1].splitlines()[1:]


def code(document: str) -> list[str]:
    """Return what a document shows as code: spans, and the lines of blocks."""
    indented = [
        line[4:] for line in document.splitlines() if line.startswith('    ')
    ]
    fences = document.split('```')
    fenced = [line for each in fences[1::2] for line in each.splitlines()]
    spans = re.findall(r'`([^`\n]+)`', ''.join(fences[::2]))
    return [line.strip() for line in (*indented, *fenced, *spans)]


def commands() -> list[tuple[str, ...]]:
    """Return the command lines of pollreload in all documents, each once."""
    found: dict[tuple[str, ...], None] = {}
    for name in DOCUMENTS:
        for line in code(text(name)):
            at = re.search(r'(?:^|[ /])pollreload (?=[a-z]|-)(.*)', line)
            if at and '[' not in line and '...' not in line:
                found[tuple(shlex.split(at[1], comments=True))] = None
    return list(found)


def options() -> dict[str, tuple[click.Option, set[str]]]:
    """Return each option of the program by its long name, and who has it."""
    found: dict[str, tuple[click.Option, set[str]]] = {}
    for name, command in main.pollreload.commands.items():
        for option in command.params:
            if isinstance(option, click.Option):
                found.setdefault(option.opts[-1], (option, set()))[1].add(name)
    return found


def default(option: click.Option) -> str:
    """Return the default of an option as the README writes it."""
    if option.show_default:
        words = option.show_default
        return words if isinstance(words, str) else str(option.default)
    in_words = re.search(r'by default (.*)\.$', option.help or '')
    if in_words:
        return in_words[1]
    return 'off' if option.is_flag else ''


def calls() -> set[str]:
    """Return the events that the program can log: what say() is called with."""
    found = set()
    for module in glob.iglob('pollreload/**/*.py', root_dir=ROOT, recursive=True):
        for node in ast.walk(ast.parse(text(module))):
            if isinstance(node, ast.Call) and node.args:
                called = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
                event = node.args[0]
                if called == 'say' and isinstance(event, ast.Constant):
                    found.add(str(event.value))
            if isinstance(node, ast.FunctionDef):
                # What hold() logs unless it is told otherwise.
                names = [each.arg for each in node.args.args[::-1]]
                for name, default in zip(names, node.args.defaults[::-1], strict=False):
                    if name == 'event' and isinstance(default, ast.Constant):
                        found.add(str(default.value))
    return found


def test_option_table_names_every_option_and_no_other():
    """A row for each option of --help, and an option for each row."""
    rows = [re.findall(r'(--[a-z-]+)', row[0])[0] for row in table('Options')]

    assert len(rows) == len(set(rows))
    assert set(rows) == set(options())


def test_option_table_shows_every_spelling():
    """-v and -q are in the row of their long names."""
    for row in table('Options'):
        option = options()[re.findall(r'(--[a-z-]+)', row[0])[0]][0]

        assert set(re.findall(r'(?<![\w-])--?[a-z-]+', row[0])) == set(option.opts)


def test_option_table_shows_the_values_that_help_shows():
    """`--signal NAME` is NAME in --help too; a choice names its words in the row."""
    for row in table('Options'):
        option = options()[re.findall(r'(--[a-z-]+)', row[0])[0]][0]
        shown = re.findall(r'[a-z] ([A-Z]+)`', row[0])

        if isinstance(option.type, click.Choice):
            assert {*option.type.choices} <= {*re.findall(r'`(\w+)`', row[1] + row[3])}
        elif option.is_flag or option.count:
            assert shown == []
        else:
            assert shown == [option.type.name]


def test_option_table_has_the_defaults():
    """The default in the table is the one in --help, and in Settings."""
    for row in table('Options'):
        option = options()[re.findall(r'(--[a-z-]+)', row[0])[0]][0]

        assert row[1].replace('`', '') == default(option), row[0]


def test_defaults_of_help_are_the_defaults_of_the_settings():
    """What --help says is what a watch without options does."""
    got = main.main(['watch', '--process', 'app', 'app.conf'])

    assert got == Plan((Settings(paths=('app.conf',), process='app'),))


def test_option_table_says_which_commands_have_an_option():
    """'all' is watch, check and doctor; else they are listed."""
    for row in table('Options'):
        _, have = options()[re.findall(r'(--[a-z-]+)', row[0])[0]]
        said = ALL if row[2] == 'all' else row[2].split(', ')

        assert set(said) == have, row[0]


def test_every_option_can_come_from_the_environment():
    """POLLRELOAD_ and the name of the option, as the README says."""
    for name, (option, _) in options().items():
        variable = 'POLLRELOAD_' + name.removeprefix('--').upper().replace('-', '_')
        names = option.envvar

        assert isinstance(names, list)
        assert names[0] == variable


def test_exit_table_has_the_statuses_of_check_help():
    """The statuses that check --help lists are those of check in the table."""
    said = CliRunner().invoke(main.pollreload, ['check', '--help']).output
    said = ' '.join(said.split('Exit status:')[1].split('What to watch:')[0].split())
    listed = {int(word) for word in re.findall(r'(?:^|; )(\d+)', said.strip())}
    rows = {int(row[0]) for row in table('Exit status') if 'check' in row[1]}

    assert listed == rows - {__main__.FAULT, __main__.IO_ERROR}


def test_exit_table_has_the_statuses_of_the_code():
    """Every status that an error stands for has its row."""
    rows = {int(row[0]) for row in table('Exit status')}
    kinds = [
        each for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.PollreloadError)
    ]

    ours = {__main__.FAULT, __main__.IO_ERROR}
    assert {0, 1, 3, *ours, *(kind.status for kind in kinds)} == rows


def test_event_table_has_every_event_and_no_other():
    """What the program can log is in the table, and nothing else is."""
    rows = [name for row in table('Log') for name in re.findall(r'`(\w+)`', row[0])]

    assert len(rows) == len(set(rows))
    assert set(rows) == calls()


@pytest.mark.parametrize('words', commands(), ids=' '.join)
def test_every_command_line_is_accepted(words, monkeypatch):
    """Each `pollreload ...` in the documents has no usage error."""
    for name in [name for name in os.environ if name.startswith('POLLRELOAD_')]:
        monkeypatch.delenv(name)
    if words[0] == '--version':
        pytest.skip('needs an installed package')
    command = main.pollreload.commands[words[0]]
    # A recipe says --process and a path; a mere mention of a command does not.
    whole = len(words) > 1

    context = command.make_context(words[0], list(words[1:]))

    with context:
        given = dict(context.params)
        if whole and words[0] not in ('digest', 'status') and not given.get('config'):
            got = resolve.make_settings(given)
            assert got.paths
            assert got.process or got.pidfile or got.exec or got.url


def test_commands_are_found():
    """The test above has something to try: recipes, cron, CI, and the examples."""
    found = {words[0] for words in commands() if len(words) > 1}

    assert found == {'watch', 'check', 'doctor', 'status'}
    assert len(commands()) >= 10


def test_recipes_say_why_a_content_is_refused():
    """haproxy -q would leave the line `held` without a reason: it says nothing then.

    nginx -q leaves out only what is said of a good one.
    """
    recipes = {row[0]: row[1] for row in table('Recipes')}

    assert ' -q ' not in recipes['HAProxy']
    assert 'haproxy -c -f ' in recipes['HAProxy']


def test_recipes_validate_and_verify():
    """A recipe for a server checks the config before and the workers after."""
    for _, line in table('Recipes'):
        words = shlex.split(line.strip('`'))

        assert '--validate' in words
        assert '--verify-workers' in words


@pytest.mark.parametrize('document', DOCUMENTS)
def test_every_file_that_is_named_exists(document):
    """Links, and what `sh` is to run, are there."""
    said = text(document)
    below = os.path.dirname(document)
    links = [
        os.path.join(below, link) for link in re.findall(r'\]\(([^):#]+)\)', said)
    ]
    scripts = re.findall(r'\bsh ((?:examples|tests)/\S+?\.sh)', said)
    built = re.findall(r'docker build -f (\w+)', said)

    for name in (*links, *scripts, *built):
        assert os.path.exists(os.path.join(ROOT, name)), name


def test_the_two_commands_come_first():
    """Whoever reads the README sees how to try it before anything else."""
    intro = text('README.md').split('\n## ')[0]

    assert intro.index('sh examples/quickstart.sh') < intro.index('sh tests/run.sh')


def test_yaml_is_laid_out_as_yaml():
    """The manifest: no tab, no odd indentation, a key on each line, brackets closed.

    Not a parser of YAML, which would be a dependency for these lines alone.
    """
    lines = block('Sidecar')
    deepest = 0

    for line in lines:
        depth = len(line) - len(line.lstrip(' '))
        item = re.fullmatch(r' *(?:- )?([\w]+:(?: \S.*)?|\{.*\})', line)
        assert item, line
        assert depth % 2 == 0, line
        assert depth <= deepest, line
        # A key without a value, and the first key of an item, open a level.
        opens = (line.endswith(':'), line.startswith('- ', depth))
        deepest = depth + 2 * sum(opens)
        for opening, closing in ('{}', '[]'):
            assert line.count(opening) == line.count(closing), line


def test_yaml_runs_the_sidecar(monkeypatch):
    """The variables of the manifest are a whole command line for watch."""
    manifest = '\n'.join(block('Sidecar'))
    given = dict(re.findall(r'\{name: ([A-Z]+), value: (\S+)\}', manifest))
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    got = main.main(['watch'])

    assert isinstance(got, Plan)
    (only,) = got.watches
    assert only.paths == (given['FILE'],)
    assert f'mountPath: {given["FILE"]}}}' in manifest
    assert (only.process, only.signal.name) == ('nginx', 'SIGHUP')
    assert 'shareProcessNamespace: true' in manifest


def test_every_name_that_is_ignored_by_default_is_documented():
    """docs/how-it-works.md lists them all, and no other."""
    section = text('docs/how-it-works.md').split('\n## Ignored names\n')[1]
    rows = [line for line in section.split('\n## ')[0].splitlines() if line[:1] == '|']
    listed = re.findall('`([^`]+)`', ' '.join(row.split('|')[1] for row in rows))

    assert sorted(listed) == sorted([*IGNORED, '..*'])
