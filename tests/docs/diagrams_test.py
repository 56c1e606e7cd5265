"""The state diagrams of docs/how-it-works.md are those of the code."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

import pytest

from pollreload.core import attempt, change
from pollreload.core.stage import Stage
from pollreload.core.state import State
from tests.support.scripts import load
from tests.support.simulation import Simulation
from tests.support.walking import SYMBOLS, WATCH, walk

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
        **{name: SYMBOLS[name] for name in ('content A', 'content B', 'time passes')},
        'unverified': lambda world: world.refuse_for(verify=60.0),
    }
    for watch, targets in ((WATCH, 1), (checked, 1), (acting, 0)):
        world = Simulation(watch, targets=targets)
        world.run(3.0)
        walk(world, [*symbols], 3, symbols)

    assert seen == set(build.STAGES)
    assert {each.__name__ for each in get_args(Stage)} < {one for one, _ in seen}
    assert re.findall(r'(\w+) --> (\w+): (.+)', drawn('stage')) == [
        (one.replace(' ', '_'), other.replace(' ', '_'), label)
        for (one, other), label in build.STAGES.items()
    ]


def test_page_without_a_place_is_refused() -> None:
    """A mark that was removed would leave an old diagram there for ever."""
    with pytest.raises(ValueError, match='no place for the diagram of the version'):
        build.page('# How it works\n')
