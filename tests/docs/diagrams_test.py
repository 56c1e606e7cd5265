"""The state diagrams of docs/how-it-works.md are those of the code."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args
from xml.etree import ElementTree

import pytest

from pollreload.core import attempt, change
from pollreload.core.stage import Stage
from pollreload.core.state import State
from tests.support.scripts import load
from tests.support.simulation import Simulation
from tests.support.walking import SYMBOLS, WATCH, walk

build = load('diagrams/build.py')
SVG = '{http://www.w3.org/2000/svg}'


def drawn(name: str) -> dict[tuple[str, str], str]:
    """Return the labels of the arrows in a picture, by the states they connect."""
    root = ElementTree.parse(build.PICTURES / f'{name}.svg')
    edges = [each for each in root.iter(f'{SVG}g') if each.get('class') == 'edge']
    labels = {}
    for edge in edges:
        one, other = edge.findtext(f'{SVG}title', '').split('->')
        lines = [line.text or '' for line in edge.iter(f'{SVG}text')]
        labels[one, other] = ' '.join(lines)
    return labels


def test_page_is_up_to_date() -> None:
    """Making the table again changes nothing, and each picture is shown."""
    text = build.PAGE.read_text('utf-8')

    assert build.page(text) == text
    for name in build.DIAGRAMS:
        assert f'](pictures/{name}.svg)' in text


@pytest.mark.parametrize('name', build.DIAGRAMS)
def test_every_transition_has_its_arrow(name: str) -> None:
    """Each picture has the arrows of its table, and one to the first state."""
    labels, first, _ = build.DIAGRAMS[name]

    assert drawn(name) == {('start', first): '', **labels}


@pytest.mark.parametrize(('name', 'table'), [
    ('version', change.TABLE), ('target', attempt.TABLE),
])
def test_arrows_are_those_of_the_table(
        name: str, table: Mapping[tuple[str, str], tuple[str, str]],
) -> None:
    """Read back from the picture: state, event and the state that follows."""
    found = {
        (one, event): other for (one, other), label in drawn(name).items()
        for event in label.split(', ') if event
    }

    assert found == {
        key: follows for key, (follows, _) in table.items() if follows != key[0]
    }


def test_stages_are_those_that_every_history_goes_through(monkeypatch) -> None:
    """Each change of the stage in any short history has its arrow, and no other.

    Histories of a watch that signals, and of one that runs commands.
    """
    seen: set[tuple[str, str]] = set()
    replace = State._replace

    def replaced(state: State, **changes: Any) -> State:
        new = replace(state, **changes)
        names = [
            type(each.stage).__name__ if each.stage else build.NO_STAGE
            for each in (state, new)
        ]
        if names[0] != names[1]:
            seen.add((names[0], names[1]))
        return new

    monkeypatch.setattr(State, '_replace', replaced)
    checked = WATCH._replace(validate=('validate',), verify=('verify',))
    acting = checked._replace(process=None, exec=(('one',),))
    symbols = {
        **{name: SYMBOLS[name] for name in ('version A', 'version B', 'time passes')},
        'unverified': lambda world: world.refuse_for(verify=60.0),
    }
    for watch, targets in ((WATCH, 1), (checked, 1), (acting, 0)):
        world = Simulation(watch, targets=targets)
        world.run(3.0)
        walk(world, [*symbols], 3, symbols)

    assert seen == set(build.STAGES)
    assert {each.__name__ for each in get_args(Stage)} < {one for one, _ in seen}


def test_page_without_a_place_is_refused() -> None:
    """A mark that was removed would leave an old table there for ever."""
    with pytest.raises(ValueError, match='no place for the table of the stages'):
        build.page('# How it works\n')
