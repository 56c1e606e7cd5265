"""Which watches go on when their config file changes."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from pollreload.runtime import config_reload
from pollreload.runtime.watch import Watch
from pollreload.settings import Plan, Settings, Signal
from pollreload.system import ledger_file, ledger_location
from tests.support.config_reload import made, recording
from tests.support.watch_log import Log


def pairs(
        before: list[Settings], wanted: list[Settings],
) -> list[str | None]:
    """Return the names of those that go on as the wanted ones."""
    watches = [Watch(each, Log()) for each in before]
    return [
        each.asked.name if each else None
        for each in config_reload.running_watches(wanted, watches)
    ]


def test_a_watch_of_the_same_paths_and_target_goes_on(conf: str) -> None:
    """Whatever its name, its place in the file and its other settings."""
    a, b, c = (made(conf, name) for name in 'abc')

    assert pairs([a, b, c], [c, a]) == ['c', 'a']
    assert pairs([a, b], [b._replace(name='x', interval=1.0), a]) == ['b', 'a']
    # Rather than who has the name.
    assert pairs([a, b], [a._replace(name='b'), b._replace(name='a')]) == ['a', 'b']


def test_who_has_the_name_goes_on_as_another(conf: str, tmp_path: Path) -> None:
    """Whatever it watches and notifies now; but not by another name."""
    a, b = made(conf, 'a'), made(conf, 'b')
    other = a._replace(signal=Signal(10, 'SIGUSR1'))

    assert pairs([a, b], [other, b]) == ['a', 'b']
    assert pairs([a, b], [other._replace(paths=(f'{tmp_path}/b',))]) == ['a']
    assert pairs([a, b], [other._replace(name='c')]) == [None]
    # No one goes on as two.
    assert pairs([a], [other, a]) == [None, 'a']
    third = other._replace(signal=Signal(12, 'SIGUSR2'))
    assert pairs([a], [other, third]) == ['a', None]
    assert pairs([], [a]) == [None]


def test_what_stays_is_not_touched(conf: str, log: Log) -> None:
    """It is the very same watch, and the watch of the file stays the last."""
    a, b, c = (made(conf, name) for name in 'abc')
    watches = [Watch(each, log) for each in (a, b, c)]
    first, second, third = watches
    config = Watch(made(conf, ''), log)
    watches.append(config)

    plan = Plan((c, b._replace(interval=9.0), a))
    config_reload.continue_watches(plan, watches, config, recording(log))

    assert watches[0] is third
    assert watches[1].asked.interval == 9.0
    assert watches[2] is first
    assert watches[3] is config
    assert log.events == [('began', {'message': 'b', 'before': second})]


def test_what_is_new_begins_after_what_is_gone_has_ended(
        conf: str, log: Log, tmp_path: Path,
) -> None:
    """So that it may have its files."""
    path = f'{tmp_path}/ledger'
    old = Watch(made(conf, 'a', state_file=path), log)
    assert ledger_file.busy(path)
    config = Watch(made(conf, ''), log)
    watches = [old, config]
    new = made(conf, 'b', state_file=path)

    config_reload.continue_watches(Plan((new,)), watches, config, recording(log))

    assert [(event, fields['message']) for event, fields in log.events] == [
        ('stopped', 'this watch is not in the config file any more'), ('began', 'b'),
    ]
    assert log.events[0][1]['reason'] == 'config'
    assert [each.asked for each in watches] == [new, config.asked]
    assert ledger_file.busy(path)
    watches[0].ledger.let_go()


def test_two_that_swap_their_ledgers_have_them(
        conf: str, log: Log, tmp_path: Path,
) -> None:
    """Each lets go before any of them takes another."""
    first, second = f'{tmp_path}/first', f'{tmp_path}/second'
    a, b = made(conf, 'a', state_file=first), made(conf, 'b', state_file=second)
    config = Watch(made(conf, ''), log)
    watches = [Watch(a, log), Watch(b, log)]
    for each in watches:
        each.step()
    watches.append(config)

    config_reload.continue_watches(
        Plan((a._replace(state_file=second), b._replace(state_file=first))), watches,
        config, recording(log),
    )

    assert not log.named('failed')
    for watch in watches[:2]:
        watch.step()
        assert watch.state.version.state == 'current'
    kept = [cast(Any, ledger_file.peek(path))['key'] for path in (second, first)]
    assert kept == [ledger_location.key(each, os.getcwd()) for each in (a, b)]
    for watch in watches[:2]:
        watch.ledger.let_go()
