"""Deletion and creation as changes (--on-missing notify), in a simulated world."""
from __future__ import annotations

from typing import Any

import pytest

from pollreload.settings import Settings
from tests.support.simulation import Simulation

WATCH = Settings(
    paths=('/c',), process='app', on_missing='notify', empty_grace=10.0,
)


def world_of(missing: bool = False, **changes: Any) -> Simulation:
    """Return a world after its baseline."""
    world = Simulation(WATCH._replace(**changes))
    world.missing = missing
    world.run(20.0)
    return world


def sent(world: Simulation) -> list[str]:
    """Return the versions that were signalled, in order."""
    return [each.version for each in world.sent]


def test_deletion_is_delivered_after_empty_grace():
    """Until then it is held, with a line that says so."""
    world = world_of()
    since = world.now
    world.missing = True
    world.run(40.0)

    assert sent(world) == ['gone']
    assert 10.0 <= world.sent[0].at - since <= 16.0
    (line,) = [each.message for each in world.events if each.event == 'held']
    assert line == '/c is missing; that is believed after 10 s (--empty-grace)'
    assert [each.event for each in world.events].count('unreadable') == 0
    assert world.idle()


def test_path_that_is_back_within_empty_grace_is_no_change():
    """Programs often delete a file and write it again."""
    world = world_of()
    world.missing = True
    world.run(8.0)
    world.missing = False
    world.run(30.0)

    assert (sent(world), world.idle()) == ([], True)


def test_creation_is_delivered_once_it_has_settled():
    """Whether the path was missing at the baseline, or was deleted later."""
    world = world_of(missing=True)
    world.missing = False
    since = world.now
    world.run(20.0)
    assert sent(world) == ['A']
    assert world.sent[0].at - since <= 7.0

    world.missing = True
    world.run(40.0)
    world.missing = False
    world.run(20.0)

    assert sent(world) == ['A', 'gone', 'A']
    assert world.idle()


@pytest.mark.parametrize('keep', [True, False])
def test_deleted_path_stays_deleted_over_a_restart(keep):
    """The ledger keeps a missing path like any other version."""
    world = world_of(state_file='/l')
    world.missing = True
    world.run(40.0)
    world.crash(keep)
    world.run(40.0)

    assert sent(world) == ['gone']
    assert world.idle()


def test_path_that_is_not_permitted_is_still_no_change():
    """It is not missing: its version is unknown."""
    world = world_of()
    world.hide()
    world.run(60.0)

    assert sent(world) == []
    assert [each.event for each in world.events].count('unreadable') == 1


def test_unreadable_path_that_is_deleted_cannot_be_read_again():
    """The line that ends the trouble says that the path is missing."""
    world = world_of()
    world.hide()
    world.run(20.0)
    world.readable, world.missing = True, True
    world.run(20.0)

    (line,) = [each.message for each in world.events if each.event == 'readable']
    assert line == '/c is missing, which counts as a change (--on-missing notify)'


def test_missing_path_is_no_change_by_default():
    """Rule 5: unless the user asks for that."""
    world = world_of(on_missing='hold')
    world.missing = True
    world.run(60.0)

    assert sent(world) == []
