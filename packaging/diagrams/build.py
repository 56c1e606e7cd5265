"""Draw the state diagrams of docs/how-it-works.md: python packaging/diagrams/build.py

Needs `dot` of Debian's graphviz. The transitions of a version and of a target are those
of the tables in pollreload/core. Those of the stages are in STAGES. The table of the
stages in the page is made of their docstrings. tests/docs/diagrams_test.py compares
the pictures with the tables, and STAGES with what every history of the simulated world
goes through.
"""
from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

from pollreload.core import attempt, change, stage

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/how-it-works.md'
PICTURES = ROOT / 'docs/pictures'
WIDTH = 17  # characters of a line on an arrow

NO_STAGE = 'no stage'
# From one stage to the next, and when.
STAGES = {
    (NO_STAGE, 'Validating'): 'a version is due, with --validate',
    ('Validating', NO_STAGE): 'it ended, or the files changed',
    (NO_STAGE, 'Surviving'): 'a signal was sent',
    ('Surviving', NO_STAGE): 'delivered or failed, with nothing to verify',
    ('Surviving', 'Verifying'): 'delivered, with --verify or --verify-workers',
    (NO_STAGE, 'Acting'): 'a command or a request begins',
    ('Acting', NO_STAGE): 'it ended',
    (NO_STAGE, 'Verifying'): 'all actions succeeded, with --verify',
    ('Verifying', NO_STAGE): 'not verified, or a newer version is due',
    ('Verifying', 'Confirming'): 'verified',
    ('Confirming', NO_STAGE): 'a poll saw the same version, or another',
}


def arrows(
        table: Mapping[tuple[str, str], tuple[str, str]],
) -> dict[tuple[str, str], str]:
    """Return the label of each arrow by the states that it connects.

    Events that lead from and to the same states share an arrow; those that stay in
    a state have none.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for (state, event), (follows, _) in table.items():
        if follows != state:
            found.setdefault((state, follows), []).append(event)
    return {pair: ', '.join(events) for pair, events in found.items()}


# The name of each picture, its arrows, its first state, and whether it goes down or to
# the right.
DIAGRAMS = {
    'version': (arrows(change.TABLE), 'blank', 'LR'),
    'target': (arrows(attempt.TABLE), 'untried', 'TB'),
    'stages': (STAGES, NO_STAGE, 'LR'),
}


def source(
        labels: Mapping[tuple[str, str], str], first: str, direction: str,
) -> str:
    """Return a diagram in the language of graphviz, on a ground of its own."""
    lines = [
        'digraph {',
        f'graph [bgcolor="#ffffff", pad=0.2, nodesep=0.25, rankdir={direction}]',
        'node [shape=box, style="rounded,filled", fillcolor="#dbeafe",'
        ' color="#1e3a8a", fontname="Helvetica", fontsize=13]',
        'edge [color="#374151", fontcolor="#111827", fontname="Helvetica",'
        ' fontsize=11]',
        'start [shape=circle, label="", width=0.15, fillcolor="#111827"]',
        f'start -> "{first}"',
    ]
    for (one, other), label in labels.items():
        broken = '\\n'.join(textwrap.wrap(label, WIDTH))
        lines.append(f'"{one}" -> "{other}" [label="{broken}"]')
    return '\n'.join((*lines, '}'))


def draw(name: str) -> str:
    """Return a diagram as SVG, without the version of graphviz."""
    drawn = subprocess.run(
        ('dot', '-Tsvg'), input=source(*DIAGRAMS[name]), capture_output=True,
        text=True, check=True,
    ).stdout
    return re.sub(r'<!--.*?-->\n?|<!DOCTYPE.*?>\n?', '', drawn, flags=re.DOTALL)


def stages() -> Iterator[str]:
    """Yield the rows of the stages of a delivery, from their docstrings."""
    yield '| stage | while it lasts |'
    yield '|---|---|'
    for each in get_args(stage.Stage):
        sentence = (each.__doc__ or '').strip().split('\n')[0]
        yield f'| `{each.__name__}` | {sentence} |'


def page(text: str) -> str:
    """Return the text of the page with the table of the stages made again."""
    begin, end = '<!-- made: stages -->\n\n', '\n\n<!-- end: stages -->'
    made = begin + '\n'.join(stages()) + end
    text, found = re.subn(f'{begin}.*?{end}', lambda _: made, text, flags=re.DOTALL)
    if found != 1:
        raise ValueError(f'{PAGE}: no place for the table of the stages')
    return text


if __name__ == '__main__':
    PAGE.write_text(page(PAGE.read_text('utf-8')), 'utf-8')
    for each in DIAGRAMS:
        (PICTURES / f'{each}.svg').write_text(draw(each), 'utf-8')
