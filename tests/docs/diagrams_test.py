"""The state diagrams of docs/how-it-works.md are those of the tables in the code."""
from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from pollreload.core import attempt, change
from tests.support.scripts import load

build = load('diagrams/build.py')
TABLES: dict[str, Mapping[tuple[str, str], tuple[str, str]]] = {
    'version': change.TABLE, 'target': attempt.TABLE,
}


def drawn(name: str) -> str:
    """Return the text between the marks of a diagram."""
    text = build.PAGE.read_text('utf-8')
    return str(text.split(f'<!-- drawn: {name} -->')[1].split('<!-- end')[0])


def test_page_is_up_to_date() -> None:
    """Drawing the diagrams again changes nothing."""
    text = build.PAGE.read_text('utf-8')

    assert build.page(text) == text


@pytest.mark.parametrize('name', TABLES)
def test_every_transition_between_states_has_its_arrow(name: str) -> None:
    """Read back from the page: state, event and the state that follows."""
    found = {
        (one.replace('_', ' '), event): other.replace('_', ' ')
        for one, other, events in re.findall(r'(\w+) --> (\w+): (.+)', drawn(name))
        for event in events.split(', ')
    }

    assert found == {
        key: follows for key, (follows, _) in TABLES[name].items() if follows != key[0]
    }


def test_page_without_a_place_is_refused() -> None:
    """A mark that was removed would leave an old diagram there for ever."""
    with pytest.raises(ValueError, match='no place for the diagram of the version'):
        build.page('# How it works\n')
