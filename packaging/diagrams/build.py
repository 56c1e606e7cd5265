"""Draw the state diagrams of docs/how-it-works.md: python packaging/diagrams/build.py

The transitions of a version and of a target are those of the tables in
pollreload/core. Those of the stages are in STAGES, which
tests/docs/diagrams_test.py compares with what every history of the simulated world
goes through. The page keeps its other text; the test fails if it is not up to date.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

from pollreload.core import attempt, change, stage

PAGE = Path(__file__).resolve().parents[2] / 'docs/how-it-works.md'

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


def diagram(arrows: Mapping[tuple[str, str], str], first: str) -> str:
    """Return a state diagram in the language of Mermaid."""
    states = dict.fromkeys(each for pair in arrows for each in pair)
    ids = {name: name.replace(' ', '_') for name in states}
    lines = ['```mermaid', 'stateDiagram-v2']
    lines += [f'    state "{name}" as {ids[name]}' for name in states if ' ' in name]
    lines += [f'    [*] --> {ids[first]}']
    lines += [
        f'    {ids[one]} --> {ids[other]}: {label}'
        for (one, other), label in arrows.items()
    ]
    return '\n'.join((*lines, '```'))


def stages() -> Iterator[str]:
    """Yield the rows of the stages of a delivery, from their docstrings."""
    yield '| stage | while it lasts |'
    yield '|---|---|'
    for each in get_args(stage.Stage):
        sentence = (each.__doc__ or '').strip().split('\n')[0]
        yield f'| `{each.__name__}` | {sentence} |'


def page(text: str) -> str:
    """Return the text of the page with the diagrams drawn again."""
    drawn = {
        'version': diagram(arrows(change.TABLE), 'blank'),
        'target': diagram(arrows(attempt.TABLE), 'untried'),
        'stage': diagram(STAGES, NO_STAGE),
        'stages': '\n'.join(stages()),
    }
    for name, lines in drawn.items():
        begin, end = f'<!-- drawn: {name} -->\n\n', f'\n\n<!-- end: {name} -->'
        text, found = re.subn(
            f'{begin}.*?{end}', lambda _, lines=lines, a=begin, b=end: a + lines + b,
            text, flags=re.DOTALL,
        )
        if found != 1:
            raise ValueError(f'{PAGE}: no place for the diagram of the {name}')
    return text


if __name__ == '__main__':
    PAGE.write_text(page(PAGE.read_text('utf-8')), 'utf-8')
