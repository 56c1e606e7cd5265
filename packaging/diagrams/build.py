"""Draw the state diagrams of docs/how-it-works.md: python packaging/diagrams/build.py

The transitions are those of the tables in pollreload/core; the page keeps its other
text. tests/docs/diagrams_test.py fails if the page is not up to date.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

from pollreload.core import attempt, change, stage

PAGE = Path(__file__).resolve().parents[2] / 'docs/how-it-works.md'


def diagram(table: Mapping[tuple[str, str], tuple[str, str]], first: str) -> str:
    """Return a state diagram in the language of Mermaid.

    Events that lead from and to the same states share an arrow; those that stay in
    a state have none.
    """
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), (follows, _) in table.items():
        if follows != state:
            arrows.setdefault((state, follows), []).append(event)
    states = dict.fromkeys(each for pair in arrows for each in pair)
    ids = {name: name.replace(' ', '_') for name in states}
    lines = ['```mermaid', 'stateDiagram-v2']
    lines += [f'    state "{name}" as {ids[name]}' for name in states if ' ' in name]
    lines += [f'    [*] --> {ids[first]}']
    lines += [
        f'    {ids[one]} --> {ids[other]}: {", ".join(events)}'
        for (one, other), events in arrows.items()
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
        'version': diagram(change.TABLE, 'blank'),
        'target': diagram(attempt.TABLE, 'untried'),
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
