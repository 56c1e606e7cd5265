"""docs/comparison.md, made from what happened."""
from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from comparison.behaviours import BEHAVIOURS, Cell
from comparison.tools import RIVALS, shown
from comparison.world import DEADLINE, INTERVAL, SILENCE

# How each notices a change, how it notifies, and what follows; from its documentation.
NOT_RUN = {
    'configmap-reload': (
        'inotify on the directory of the volume: a new `..data`, whatever it contains',
        'an HTTP request; no signal, says its README',
        'tries again as often as `-webhook-retries` says',
    ),
    'prometheus-config-reloader': (
        'inotify, and a SHA-256 of the files each `--watch-interval` (3 min)',
        'an HTTP request, or HUP to a process by the name of its executable '
        '(`--reload-method signal`)',
        'tries again each `--retry-interval` (5 s)',
    ),
    'k8s-sidecar': (
        'a watch or a list of ConfigMaps and Secrets at the API server (needs RBAC); '
        'it writes the files itself',
        'an HTTP request (`REQ_URL`) or a script (`SCRIPT`)',
        'tries the request again (`REQ_RETRY_TOTAL`)',
    ),
    'Reloader': (
        'a watch of ConfigMaps and Secrets at the API server',
        'a rolling upgrade: every pod of the workload is replaced',
        'left to the Deployment or StatefulSet',
    ),
}

RIGHT, WRONG = '✓', '✗'


class Seen(NamedTuple):
    """What happened: tool -> its cells, in the order of BEHAVIOURS; the versions."""

    cells: dict[str, list[Cell]]
    versions: dict[str, str]
    beside: str


def load(text: str) -> Seen:
    """Return the results in results.json."""
    got = json.loads(text)
    cells = {
        name: [Cell(*cell) for cell in column] for name, column in got['cells'].items()
    }
    return Seen(cells, got['versions'], got['beside'])


def mark(cell: Cell) -> str:
    """Return a cell of the table."""
    return f'{RIGHT if cell.right else WRONG} {cell.text}'


def table(cells: Mapping[str, Sequence[Cell]]) -> list[str]:
    """Return the table, behaviour by tool."""
    return [
        f'| behaviour | {" | ".join(cells)} |', '|---' * (len(cells) + 1) + '|',
        *(
            f'| {at + 1}. {behaviour.title} | '
            + ' | '.join(mark(column[at]) for column in cells.values()) + ' |'
            for at, behaviour in enumerate(BEHAVIOURS)
        ),
    ]


def paragraph(text: str) -> str:
    """Return a text in lines of some length."""
    return textwrap.fill(
        ' '.join(text.split()), 88, break_long_words=False, break_on_hyphens=False,
    ) + '\n'


def page(seen: Seen) -> str:
    """Return the page."""
    parts = [
        '# Comparison with other tools\n',
        paragraph('''
            What pollreload and other tools do in the same situations, as measured.
            Every run can be repeated.
        '''),
        paragraph(f'''
            `sh comparison/run.sh` makes this page. Each cell is one run with real
            processes: a file, a program that reads it at its start and at every HUP
            and prints what it read, and a tool that should notify it. Each tool is used
            as its documentation says; those that poll do so every {INTERVAL} s. "Not
            notified" means not within {DEADLINE:g} s of a change; if that is right, not
            within {SILENCE:g} s and not before the next change.
        '''),
        '## What was done, and what is right\n',
        '| behaviour | what is done | right |', '|---|---|---|',
        *(
            f'| {at + 1}. {each.title} | {each.done} | {each.right} |'
            for at, each in enumerate(BEHAVIOURS)
        ),
        '',
        paragraph(f'''
            {RIGHT} is right, {WRONG} is not. More notifications than needed are wrong
            only if the table says so; their number is in the cell.
        '''),
        '## What happened\n', *table(seen.cells), '', *ours(seen), *choosing(seen),
        '## What was not run\n',
        paragraph('''
            These are published as container images. No package of PyPI, npm or Debian
            contains them, so none was run here, and no cell above is about them. This
            is what their documentation and their source say.
        '''),
        '| tool | notices a change by | notifies by | then |', '|---|---|---|---|',
        *(f'| {name} | {" | ".join(each)} |' for name, each in NOT_RUN.items()), '',
        '## Versions\n', f'{seen.beside}.\n', '| tool | version | |', '|---|---|---|',
        *(
            f'| {name} | {seen.versions[name]} | {RIVALS[name].note} |'
            for name in seen.cells
        ),
        '', '## How each was run\n',
        paragraph('''
            For a program called `app`, its file `/etc/app/app.conf` and its pidfile
            `/run/app.pid`. Each is given the file or its directory, whichever suits it
            better; in behaviours 1, 2 and 16 pollreload, nodemon and chokidar-cli are
            given `/etc/app`, too. A name of more than 15 bytes is given to pkill
            and pgrep as `-f '[a]pp'`.
        '''),
    ]
    for name in seen.cells:
        parts += [f'{name}:\n', textwrap.indent(shown(RIVALS[name]), '    '), '']
    parts.append(paragraph('''
        In behaviour 11 pollreload also has `--verify "grep -q 'version 001'
        /etc/app/app.conf" --command-timeout 1s`, which stands for a program that
        refuses the other version. The two loops are in `benchmarks/rivals`.
    '''))
    return '\n'.join(parts).rstrip() + '\n'


def ours(seen: Seen) -> list[str]:
    """Return a line for each of pollreload's cells that is not right."""
    return [
        f'pollreload, {behaviour.title}: {cell.text}; right is: {behaviour.right}.\n'
        for behaviour, cell in zip(
            BEHAVIOURS, seen.cells.get('pollreload', ()), strict=False,
        ) if not cell.right
    ]


def choosing(seen: Seen) -> list[str]:
    """Return a remark on the behaviours that pkill decides."""
    return [paragraph('''
        In behaviours 8 to 10 and 13 to 15 it is not the tool that chooses the process,
        but the command that it runs. If the program writes a pidfile, any of them can
        run `kill -HUP $(cat /run/app.pid)` instead, as monit does here; that was not
        run for the others. pollreload has `--pidfile` for it.
    ''')] if 'monit' in seen.cells else []
