"""The README and docs: commands, files, the manifest, the picture, the comparison."""
from __future__ import annotations

import glob
import json
import os
import re
import shlex
from typing import Any
from xml.etree import ElementTree

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from pollreload.cli import main, resolve
from pollreload.settings import IGNORED, Plan

ROOT = os.path.abspath(os.path.join(__file__, '../../..'))
DOCUMENTS = (
    'README.md', 'examples/README.md', 'CONTRIBUTING.md',
    *sorted(glob.glob('docs/*.md', root_dir=ROOT)),
)
MAIN = ('watch', 'check', 'doctor')
# The rows of the README's comparison: number of the behaviour, and what is right.
BEHAVIOURS_SHOWN = {
    'the same bytes are written again': (2, {'not notified'}),
    'a file is emptied, and written later': (4, {'notified once'}),
    'the program has no handler yet': (7, {'waits'}),
    'the program has workers of its name': (9, {'the master only'}),
}


def text(name: str) -> str:
    """Return the text of a file of the clone."""
    with open(os.path.join(ROOT, name), encoding='utf-8') as file:
        return file.read()


def block(heading: str) -> list[str]:
    """Return the lines of the first fenced block below a heading."""
    section = text('README.md').split(f'\n## {heading}\n')[1]
    return section.split('```')[1].splitlines()[1:]


def manifest() -> dict[str, Any]:
    """Return the pod of the README."""
    found: dict[str, Any] = yaml.safe_load('\n'.join(block('Kubernetes')))
    return found


def code(document: str) -> list[str]:
    """Return the code of a document: spans, and the lines of blocks."""
    indented = [
        line[4:] for line in document.splitlines() if line.startswith('    ')
    ]
    fences = document.split('```')
    fenced = [line for each in fences[1::2] for line in each.splitlines()]
    spans = re.findall(r'`([^`\n]+)`', ''.join(fences[::2]))
    return [line.strip() for line in (*indented, *fenced, *spans)]


def commands() -> list[tuple[str, ...]]:
    """Return the command lines of pollreload in all documents, each once."""
    names = f'(?:--version|{"|".join(main.pollreload.commands)})'
    found: dict[tuple[str, ...], None] = {}
    for name in DOCUMENTS:
        for line in code(text(name)):
            at = re.search(rf'(?:^|[ /])pollreload ({names}(?= |$).*)', line)
            if at and '[' not in line and '...' not in line:
                here = at[1].partition(' & ')[0]
                found[tuple(shlex.split(here, comments=True))] = None
    return list(found)


@pytest.mark.parametrize('words', commands(), ids=' '.join)
def test_every_command_line_is_accepted(words, monkeypatch):
    """Each `pollreload ...` in the documents has no usage error."""
    for name in [name for name in os.environ if name.startswith('POLLRELOAD_')]:
        monkeypatch.delenv(name)
    if words[0] == '--version':
        pytest.skip('needs an installed package')
    command = main.pollreload.commands[words[0]]
    # A recipe has a path or a file; a mere mention of a command has none.
    whole = not all(word.startswith('-') for word in words[1:])
    if words[0] not in MAIN and not whole:
        return

    context = command.make_context(words[0], list(words[1:]))

    with context:
        given = dict(context.params)
        if whole and words[0] in MAIN and not given.get('config'):
            got = resolve.make_settings(given)
            assert got.paths
            assert got.process or got.pidfile or got.exec or got.url


def recipes() -> list[str]:
    """Return the options in the tables of servers.md, as code in the second cell."""
    rows = [line.split('|') for line in text('docs/servers.md').splitlines()]
    return [
        found for row in rows if len(row) > 3
        for found in re.findall('`(--[^`]+)`', row[2])
    ]


@pytest.mark.parametrize('options', recipes())
def test_recipes_of_servers_are_accepted(options: str) -> None:
    """The options for each server are those of a watch."""
    assert isinstance(main.main(['watch', *shlex.split(options), '/etc/app']), Plan)


def test_recipes_of_servers_are_found() -> None:
    """One for each server at least."""
    assert len(recipes()) >= 30


def test_commands_are_found():
    """The test above finds recipes, the lines of cron and CI, and the examples."""
    found = {words[0] for words in commands() if len(words) > 1}

    assert {'watch', 'check', 'doctor', 'status'} <= found
    assert len(commands()) >= 20


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
    """How to try it comes before anything else."""
    intro = text('README.md').split('\n## ')[0]

    assert intro.index('sh examples/quickstart.sh') < intro.index('sh tests/run.sh')


def test_manifest_fits_the_schemas() -> None:
    """Of the oldest Kubernetes that has native sidecars, and of the newest."""
    for version in ('1.29', kubernetes_validate.latest_version()):
        kubernetes_validate.validate(manifest(), version, strict=True)


def test_manifest_is_short_and_has_what_the_example_has() -> None:
    """At most 25 lines; the containers are those of sidecar.yaml in the examples."""
    *_, example = yaml.safe_load_all(text('examples/kubernetes/sidecar.yaml'))
    of_example = example['spec']['template']['spec']
    pod = manifest()['spec']

    assert len(block('Kubernetes')) <= 25
    assert pod['shareProcessNamespace'] is of_example['shareProcessNamespace'] is True
    both = [
        [*each['initContainers'], *each['containers']] for each in (pod, of_example)
    ]
    for got, wanted in zip(*both, strict=True):
        for key in ('name', 'image', 'resources', 'securityContext', 'restartPolicy'):
            assert got.get(key) == wanted.get(key)
        mounts = {each['name']: each for each in got['volumeMounts']}
        assert mounts['config'] == {
            'name': 'config', 'mountPath': '/etc/nginx/conf.d', 'readOnly': True,
        }


def test_manifest_runs_the_sidecar() -> None:
    """The arguments in the manifest are a command line of watch."""
    sidecar = manifest()['spec']['initContainers'][0]

    got = main.main(sidecar['args'])

    assert isinstance(got, Plan)
    (only,) = got.watches
    assert only.state_file
    mounts = [each['mountPath'] for each in sidecar['volumeMounts']]
    assert [*only.paths, os.path.dirname(only.state_file)] == mounts
    assert (only.process, only.signal.name) == ('nginx', 'SIGHUP')
    assert only.verify_workers


def opening(name: str) -> list[str]:
    """Return the words of the first block below the title of a page."""
    blocks = [each for each in text(name).split('\n\n') if each[:1] not in '#<']
    return blocks[0].split()


PAGES = sorted(glob.glob('docs/*.md', root_dir=ROOT))


@pytest.mark.parametrize('name', PAGES)
def test_page_begins_with_a_short_paragraph(name: str) -> None:
    """It says what the page is about, before any command, list or table."""
    words = opening(name)

    assert words[0][0].isalpha() or words[0][0] == '`'
    assert 10 <= len(words) <= 70


def test_pages_begin_in_words_of_their_own() -> None:
    """A formula at the top of every page is skipped by its readers."""
    beginnings = {tuple(opening(name)[:3]) for name in PAGES}

    assert len(beginnings) == len(PAGES)


def test_readme_is_short() -> None:
    """A README is read in minutes: what does not fit goes to docs/."""
    assert len(text('README.md').split()) <= 1000


def test_comparison_in_the_readme_is_that_of_the_page() -> None:
    """Five rows: four behaviours, right or wrong as measured, and the sums."""
    rows = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in text('README.md').splitlines() if line.startswith('|')
    ]
    names, _, *behaviours, sums = rows
    cells = json.loads(text('comparison/results.json'))['cells']

    assert len(behaviours) == 4
    for row in behaviours:
        number, right = BEHAVIOURS_SHOWN[row[0]]
        for name, said in zip(names[1:], row[1:], strict=True):
            assert (said in right) == cells[name][number - 1][0], (name, row[0])
    assert sums[1:] == [str(sum(cell[0] for cell in cells[name])) for name in names[1:]]
    assert sums[0].endswith(f'of {len(cells["pollreload"])}')


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb, as WCAG 2.1 defines it."""
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4
        for each in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_picture_can_be_read_on_light_and_dark() -> None:
    """Text is in boxes of its own; arrows stand out from white and from black."""
    root = ElementTree.fromstring(text('docs/pictures/overview.svg'))
    name = '{http://www.w3.org/2000/svg}'
    boxes = [each.attrib['fill'] for each in root.iter(f'{name}rect')]
    texts = [
        each.attrib['fill'] for each in root.iter(f'{name}g')
        if each.find(f'{name}text') is not None
    ]
    (arrows,) = [each.attrib['stroke'] for each in root.iter(f'{name}g')
                 if 'stroke' in each.attrib]

    assert boxes
    assert texts
    assert all(contrast(box, ink) >= 4.5 for box in boxes for ink in texts)
    assert all(contrast(arrows, page) >= 3 for page in ('#ffffff', '#0d1117'))


def test_every_name_that_is_ignored_by_default_is_documented():
    """docs/how-it-works.md lists them all, and no other."""
    section = text('docs/how-it-works.md').split('\n## Ignored names\n')[1]
    rows = [line for line in section.split('\n## ')[0].splitlines() if line[:1] == '|']
    listed = re.findall('`([^`]+)`', ' '.join(row.split('|')[1] for row in rows))

    assert sorted(listed) == sorted([*IGNORED, '..*'])
