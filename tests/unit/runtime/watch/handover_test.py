"""What a watch hands on to the one that replaces it."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pollreload.core.attempt import Attempt, Target
from pollreload.core.process import Process
from pollreload.core.stage import Surviving
from pollreload.core.state import State
from pollreload.runtime import ledger, shown
from pollreload.runtime.watch import Watch
from pollreload.settings import Settings
from pollreload.system import (
    children,
    ledger_file,
    procfs,
)
from tests.servers.harness import until
from tests.support.sidecar import unique, write
from tests.support.watch_log import Log, due, rested

TOLD = Target(Process(41, 1, 7, 'app'), 2, 'sent', 5.0, 500, 'caught')


def attempted(watch: Watch) -> None:
    """Have a watch remember a signal that failed."""
    content = watch.state.version
    watch.state = watch.state._replace(
        deaths=2, deadly='caught', stage=Surviving(9.0), attempt=Attempt(
            content.seen, (TOLD, TOLD._replace(process=Process(42, 1, 8, 'app'),
                                               phase='up to date')),
            tries=3, again=procfs.now() + 60.0, validated=True,
        ),
    )


@pytest.mark.parametrize('more', [
    {'interval': 7.0}, {'validate': ('true',)}, {'process': 'y'}, {'paths': ('/',)},
])
def test_what_knows_nothing_hands_on_nothing(
        more: dict[str, Any], settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """Its ledger is free for the next, which begins as if it were the first."""
    settings = settings._replace(state_file=f'{tmp_path}/ledger')
    before = Watch(settings, log)

    after = Watch(settings._replace(**more), log, before=before)

    assert after.state == shown.with_key(State())
    assert after.ledger.save is not ledger.save_nothing
    assert not log.events
    assert ledger_file.busy(f'{tmp_path}/ledger')
    after.ledger.let_go()


def test_what_is_known_goes_on_as_over_a_restart(
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """With a ledger the next run would know as much, and no more."""
    settings = settings._replace(state_file=f'{tmp_path}/ledger')
    before = due(settings, log)
    attempted(before)
    before.ledger.save(before.state)
    run = ledger.recall(settings, f'{tmp_path}/ledger', ledger.whereabouts(settings))

    after = Watch(settings._replace(validate=('true',)), log, before=before)

    assert after.state == run._replace(saved=None)
    assert after.state.attempt.tries == 3
    assert after.state.deaths == 2
    assert [(each.sends, each.phase) for each in after.state.attempt.targets] == [
        (2, 'pending'), (2, 'up to date'),
    ]
    assert after.state.stage is None
    after.ledger.let_go()


def test_what_is_done_stays_done(settings: Settings, log: Log) -> None:
    """The next poll finds it so: no baseline, no change, no notifying."""
    before = rested(settings, log)
    log.events.clear()

    after = Watch(
        settings._replace(interval=7.0, on_start='always'), log, before=before,
    )
    after.step()

    assert after.state.version.state == 'current'
    assert after.state.version.delivered == before.state.version.delivered
    assert after.state.version.read_at > before.state.version.read_at
    assert not log.events


def test_what_is_due_stays_due(settings: Settings, log: Log) -> None:
    """And is not said to have changed once more."""
    before = due(settings, log)
    log.events.clear()

    after = Watch(settings._replace(interval=7.0), log, before=before)
    after.step()

    assert after.state.version.state == 'due'
    assert after.state.hold.startswith('no target')
    assert not log.named('changed')


@pytest.mark.parametrize('on_start', ['auto', 'always', 'never'])
def test_what_is_due_is_delivered_to_another_target(
        on_start: str, settings: Settings, log: Log,
) -> None:
    """Whatever --on-start says; failures with the old target do not count."""
    before = due(settings, log)
    attempted(before)

    after = Watch(
        settings._replace(process=unique('other'), on_start=on_start), log,
        before=before,
    )
    assert after.state.attempt == Attempt()
    assert after.state.deaths == 0
    after.step()
    after.step()

    assert after.state.version.state == 'due'


@pytest.mark.parametrize(('on_start', 'state'), [
    ('auto', 'current'), ('always', 'due'), ('never', 'current'),
])
def test_another_target_begins_with_a_baseline(
        on_start: str, state: str, settings: Settings, log: Log,
) -> None:
    """As at the start: --on-start says whether it is notified."""
    before = rested(settings, log)
    log.events.clear()

    after = Watch(
        settings._replace(exec=(('true',),), on_start=on_start), log, before=before,
    )
    after.step()
    after.step()

    assert after.state.version.state == state
    assert len(log.named('baseline')) == 1


@pytest.mark.parametrize('more', [
    {'interval': 7.0}, {'splay': 7.0}, {'validate': ('y',)}, {'process': 'y'},
    {'paths': ('/a',)},
])
def test_work_under_way_is_ended_by_other_settings(
        more: dict[str, Any], settings: Settings, log: Log,
) -> None:
    """As at a restart: what the old watch has sent is known, if the target is its own.

    The command ends with its process group.
    """
    before = due(settings, log)
    attempted(before)
    assert before.runner.run(('sleep', '1000'), {}) == ''
    pid, attempt = before.runner.pid, before.state.attempt

    after = Watch(settings._replace(**more), log, before=before)

    assert (after.runner.pid, after.state.stage) == (0, None)
    until(lambda: children.poll_child(pid) == children.LOST, 'the command has ended')
    sent = [told.sends for told in after.state.attempt.targets]
    same = not {'process', 'paths'} & {*more}
    assert sent == ([told.sends for told in attempt.targets] if same else [])


@pytest.mark.parametrize('more', [{'interval': 7.0}, {'validate': ('true',)}])
def test_a_poll_that_hangs_is_begun_again(
        more: dict[str, Any], settings: Settings, log: Log,
) -> None:
    """The child of the old observer is ended."""
    before = due(settings, log)
    pid, before.observer.fd = children.fork(lambda: os.read(os.pipe()[0], 1))
    before.observer.pid = pid
    began = procfs.now() - 100.0
    before.state = before.state._replace(reading_since=began, stalled=began)
    log.events.clear()

    after = Watch(settings._replace(**more), log, before=before)
    after.step()

    assert 'polled' in [event for event, _ in log.events]
    assert not log.named('readable')
    assert after.state.version.read_at > began
    until(lambda: children.poll_child(pid) == children.LOST, 'it has ended')


@pytest.mark.parametrize(('begin', 'on_start', 'told'), [
    (due, 'never', True), (due, 'auto', True), (rested, 'never', False),
    (rested, 'always', True),
])
def test_other_paths_have_a_baseline_of_their_own(
        begin: Callable[[Settings, Log], Watch], on_start: str, told: bool,
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """If something was due of the old ones, anyone who is there is notified of these.
    """
    before = begin(settings, log)
    write(tmp_path / 'other.conf', 'first')
    log.events.clear()

    after = Watch(
        settings._replace(paths=(f'{tmp_path}/other.conf',), on_start=on_start), log,
        before=before,
    )
    after.step()
    after.step()

    assert len(log.named('baseline')) == 1
    assert after.state.version.state == ('due' if told else 'current')


def test_other_paths_may_have_a_ledger_already(
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """What it holds is what was done of them."""
    write(tmp_path / 'other.conf', 'first')
    other = settings._replace(
        paths=(f'{tmp_path}/other.conf',), state_file=f'{tmp_path}/other',
    )
    earlier = rested(other, log)
    earlier.ledger.let_go()
    before = rested(settings, log)
    log.events.clear()

    after = Watch(other, log, before=before)
    after.step()

    assert after.state.version.delivered == earlier.state.version.delivered
    assert not log.named('baseline')
    after.ledger.let_go()


def test_a_ledger_that_stays_is_held_all_the_time(
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """And is written by the one that goes on, from now on."""
    path = f'{tmp_path}/ledger'
    settings = settings._replace(state_file=path)
    before = rested(settings, log)

    after = Watch(settings._replace(interval=7.0), log, before=before)
    assert ledger_file.busy(path)
    after.step()
    written = os.stat(path).st_ino
    after.step()
    assert os.stat(path).st_ino == written
    write(settings.paths[0], 'second')
    after.poll_now()
    after.step()

    assert os.stat(path).st_ino != written
    after.ledger.let_go()
    assert not ledger_file.busy(path)


def test_a_ledger_that_stays_is_of_the_new_watch(
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """It is written at the next step, though nothing has changed."""
    path = f'{tmp_path}/ledger'
    settings = settings._replace(state_file=path)
    before = rested(settings, log)
    other = settings._replace(process=unique('other'))

    after = Watch(other, log, before=before)
    after.step()

    assert (ledger_file.peek(path) or {})['key'] == ledger.whereabouts(other).key
    after.ledger.let_go()


def test_a_ledger_that_was_of_no_use_stays_so(
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """Another holds it, and has it still."""
    path = f'{tmp_path}/ledger'
    held = ledger_file.lock(path)
    before = rested(settings._replace(state_file=path), log)

    after = Watch(
        settings._replace(state_file=path, interval=7.0), log, before=before,
    )
    after.step()

    assert after.state.version.delivered == before.state.version.delivered
    assert not os.path.exists(path)
    os.close(held)


@pytest.mark.parametrize(('first', 'second'), [
    ('', 'a'), ('a', ''), ('a', 'b'), ('a', '../HERE/a'),
])
def test_a_ledger_may_become_another(
        first: str, second: str, settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """What is known goes along; the old one is free."""
    def place(name: str) -> str | None:
        where = name.replace('HERE', tmp_path.name)
        return f'{tmp_path}/{where}' if name else None

    before = due(settings._replace(state_file=place(first)), log)
    log.events.clear()

    after = Watch(
        settings._replace(state_file=place(second)), log, before=before,
    )
    after.step()

    assert not log.named('failed')
    assert after.state.version.delivered == before.state.version.delivered
    assert after.state.version.state == 'due'
    if first in ('a', '') and second == 'b':
        assert not ledger_file.busy(f'{tmp_path}/{first}')
    if second:
        path = place(second)
        assert path
        assert ledger_file.busy(path)
        assert (ledger_file.peek(path) or {})['done'] == before.state.version.delivered
    after.ledger.let_go()
