"""One watch among several: what it begins with, and what it hands on."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pollreload.core import ledger_format
from pollreload.core import step as step_module
from pollreload.core.attempt import Attempt, Target
from pollreload.core.process import Process
from pollreload.core.state import State
from pollreload.errors import LedgerError
from pollreload.runtime import describe, ledger, shown
from pollreload.runtime import watch as watch_module
from pollreload.runtime.watch import Watch
from pollreload.settings import Settings, Signal
from pollreload.system import (
    children,
    ledger_file,
    procfs,
    status_file,
    visibility,
)
from pollreload.system.fingerprint import fingerprint
from tests.servers.harness import until
from tests.support.sidecar import unique, write


class Log:
    """What was said, as events and their fields."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def __call__(self, event: str, message: str, /, **fields: object) -> None:
        self.events.append((event, {**fields, 'message': message}))

    def named(self, name: str) -> list[dict[str, object]]:
        """Return the fields of the events of a name."""
        return [fields for event, fields in self.events if event == name]


@pytest.fixture
def log() -> Log:
    """Where the watches of a test say what they do."""
    return Log()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A watch of a file, for a process that is not there."""
    write(tmp_path / 'app.conf', 'first')
    return Settings(
        (f'{tmp_path}/app.conf',), unique('none'), settle=0.0, on_start='never',
        name='one',
    )


def rested(settings: Settings, log: Log) -> Watch:
    """Return a watch that has its baseline."""
    watch = Watch(settings, log)
    watch.step()
    assert watch.state.version.state == 'current'
    return watch


def due(settings: Settings, log: Log) -> Watch:
    """Return a watch that has something to tell, and nothing to notify it to."""
    watch = rested(settings, log)
    write(settings.paths[0], 'second')
    watch.poll_now()
    watch.step()
    assert watch.state.version.state == 'due'
    return watch


TOLD = Target(Process(41, 1, 7, 'app'), 2, 'sent', 5.0, 500, 'caught')


def attempted(watch: Watch) -> None:
    """Have a watch remember that it tried to tell somebody, in vain."""
    content = watch.state.version
    watch.state = watch.state._replace(
        deaths=2, deadly='caught', stage='survive', attempt=Attempt(
            content.seen, (TOLD, TOLD._replace(process=Process(42, 1, 8, 'app'),
                                               phase='up to date')),
            tries=3, again=procfs.now() + 60.0, validated=True,
        ),
    )


# Steps


def test_a_watch_is_due_when_it_is_time(settings: Settings, log: Log) -> None:
    """Or where a child may have ended: whose, only a step can tell."""
    watch = rested(settings, log)

    assert not watch.due(watch.at - 0.1)
    assert watch.due(watch.at)
    watch.observer.pid = 1
    assert watch.due(0.0)
    watch.observer.pid, watch.runner.pid = 0, 1
    assert watch.due(0.0)


def test_a_step_is_followed_by_who_asked_for_it(settings: Settings, log: Log) -> None:
    """With the state after it, each time."""
    watch = Watch(settings, log)
    seen: list[State] = []
    watch.after.append(seen.append)

    watch.step()
    watch.step()

    assert [each.version.state for each in seen] == ['current', 'current']
    assert seen[-1] is watch.state


def test_an_operators_wish_is_done_at_once(settings: Settings, log: Log) -> None:
    """The next step looks, however long it is till the next poll."""
    watch = rested(settings, log)
    write(settings.paths[0], 'second')
    watch.step()
    assert watch.state.version.state == 'current'

    watch.poll_now()

    assert watch.due(0.0)
    watch.step()
    assert watch.state.version.state == 'due'


def test_a_watch_without_a_log_says_it_on_stderr(
        settings: Settings, capfd: pytest.CaptureFixture[str],
) -> None:
    """With its name."""
    Watch(settings).step()

    assert ' baseline: one: 1 file in ' in capfd.readouterr().err


# What it begins with


def corrupt(path: str) -> None:
    write(path, 'none')


def foreign(path: str) -> None:
    here = ledger_format.Here('another', procfs.boot(), visibility.pid_namespace())
    ledger.store(path, ledger_format.dump(State(), here))


def linked(path: str) -> None:
    os.symlink('elsewhere', path)


@pytest.mark.parametrize(('spoil', 'says', 'saves', 'on_start'), [
    (corrupt, 'taking a baseline', True, 'never'),
    (foreign, 'going on without it', False, 'always'),
    (linked, 'going on without it', False, 'always'),
])
def test_a_ledger_that_is_of_no_use_ends_nothing(
        spoil: Callable[[str], None], says: str, saves: bool, on_start: str,
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """It is said once; what cannot be trusted is a reason to tell nobody."""
    path = f'{tmp_path}/ledger'
    spoil(path)
    settings = settings._replace(state_file=path, on_start='always')

    watch = Watch(settings, log)
    watch.step()

    (failed,) = log.named('failed')
    assert failed['reason'] == 'ledger'
    assert str(failed['message']).endswith(says)
    assert (watch.ledger.save is not ledger.nowhere) is saves
    assert watch.settings.on_start == on_start
    assert watch.asked == settings
    # Where it is not used, another may have it.
    assert ledger_file.busy(path) is saves
    watch.ledger.let_go()
    assert not ledger_file.busy(path)


def test_a_ledger_that_another_holds_is_left_to_it_until_it_ends(
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """What that leaves is older than what is known here, and would be believed."""
    path = f'{tmp_path}/ledger'
    held = ledger_file.lock(path)

    watch = rested(settings._replace(state_file=path), log)

    assert 'going on without it' in str(log.named('failed')[0]['message'])
    assert not watch.ledger.save(watch.state)
    assert not os.path.exists(path)
    assert watch.save(watch.state)  # that keeps from nothing
    assert len(log.named('failed')) == 1
    os.close(held)
    watch.step()
    assert not os.path.exists(path)  # not at each poll
    watch.behind = watch.at = 1.0
    watch.step()

    assert ledger_file.busy(path)
    assert watch.behind == 0.0
    kept = ledger_file.load(path)
    assert kept is not None
    assert kept['done'] == watch.state.version.delivered
    watch.ledger.let_go()
    assert not ledger_file.busy(path)


def test_a_ledger_that_breaks_is_said_once(
        settings: Settings, log: Log, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once for each reason, and again after it was mended."""
    watch = rested(settings._replace(state_file=f'{tmp_path}/ledger'), log)
    faults = ['a', 'a', 'b', '', 'b']

    def store(*_: object) -> None:
        fault = faults.pop(0)
        if fault:
            raise LedgerError(fault)

    monkeypatch.setattr(ledger, 'store', store)

    assert [watch.ledger.save(watch.state) for _ in range(5)] == [
        False, False, False, True, False,
    ]
    assert [each['message'] for each in log.named('failed')] == [
        f'{fault}; going on without it' for fault in 'abb'
    ]
    watch.ledger.let_go()


def test_a_ledger_that_could_not_be_written_is_written_later(
        settings: Settings, log: Log, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or the next run would believe the old one: that what is there is told."""
    full, real = True, ledger.store

    def store(path: str, kept: dict[str, object]) -> None:
        if full:
            raise LedgerError('no space left')
        real(path, kept)

    path = f'{tmp_path}/ledger'
    watch = rested(settings._replace(state_file=path), log)
    monkeypatch.setattr(ledger, 'store', store)
    write(settings.paths[0], 'second')
    watch.poll_now()
    watch.step()
    before = ledger_file.load(path)
    full = False
    watch.step()
    early = ledger_file.load(path)
    assert watch.behind > procfs.now()
    watch.behind = 1.0
    watch.step()
    after = ledger_file.load(path)

    assert before == early != after
    assert after is not None
    assert after['seen'] == watch.state.version.seen
    assert watch.behind == 0.0
    watch.ledger.let_go()


# What goes wrong


def test_fault_in_a_watch_is_logged_once_and_ends_nothing(
        settings: Settings, log: Log, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It goes on a minute later; another fault is another line."""
    def fail(*_: Any) -> State:
        raise RuntimeError(faults.pop(0))

    faults = ['one', 'one', 'two']
    watch = rested(settings, log)
    real = step_module.step
    monkeypatch.setattr(step_module, 'step', fail)
    now = procfs.now()
    while faults:
        watch.step()
    late = watch.at
    monkeypatch.setattr(step_module, 'step', real)
    watch.step()

    assert late >= now + 60.0
    assert watch.at < now + 60.0
    assert [str(each['message']).partition(';')[0] for each in log.named('failed')] == [
        f'a fault in pollreload (RuntimeError at {os.path.basename(__file__)}:'
        f'{fail.__code__.co_firstlineno + 1}: {says})' for says in ('one', 'two')
    ]


def test_fault_without_a_traceback_has_no_place() -> None:
    """An exception that was never raised."""
    assert watch_module.origin(RuntimeError()) == 'an unknown place'


# What it hands on


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

    assert after.state == shown.keyed(State())
    assert after.ledger.save is not ledger.nowhere
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
    assert after.state.stage == ''
    after.ledger.let_go()


def test_what_is_done_stays_done(settings: Settings, log: Log) -> None:
    """The next look finds it so: no baseline, no change, no telling."""
    before = rested(settings, log)
    log.events.clear()

    after = Watch(
        settings._replace(interval=7.0, on_start='always'), log, before=before,
    )
    after.step()

    assert after.state.version.state == 'current'
    assert after.state.version.delivered == before.state.version.delivered
    assert [event for event, _ in log.events] == ['polled']


def test_what_is_due_stays_due(settings: Settings, log: Log) -> None:
    """And is not said to have changed once more."""
    before = due(settings, log)
    log.events.clear()

    after = Watch(settings._replace(interval=7.0), log, before=before)
    after.step()

    assert after.state.version.state == 'due'
    assert after.state.hold == 'no target'
    assert not log.named('changed')


@pytest.mark.parametrize('on_start', ['auto', 'always', 'never'])
def test_somebody_else_is_told_what_is_due(
        on_start: str, settings: Settings, log: Log,
) -> None:
    """Whatever --on-start says; how often the other was tried does not count."""
    before = due(settings, log)
    attempted(before)

    after = Watch(
        settings._replace(process=unique('other'), on_start=on_start), log,
        before=before,
    )
    assert after.state.attempt == Attempt()
    assert after.state.deaths == 0
    after.step()

    assert after.state.version.state == 'due'


@pytest.mark.parametrize(('on_start', 'state'), [
    ('auto', 'due'), ('always', 'due'), ('never', 'current'),
])
def test_it_is_not_known_whether_somebody_else_has_what_is_done(
        on_start: str, state: str, settings: Settings, log: Log,
) -> None:
    """So --on-start says whether they are told."""
    before = rested(settings, log)

    after = Watch(
        settings._replace(exec=(('true',),), on_start=on_start), log, before=before,
    )
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

    assert (after.runner.pid, after.state.stage) == (0, '')
    until(lambda: children.ended(pid) == children.LOST, 'the command has ended')
    sent = [told.sends for told in after.state.attempt.targets]
    same = not {'process', 'paths'} & {*more}
    assert sent == ([told.sends for told in attempt.targets] if same else [])


@pytest.mark.parametrize('more', [{'interval': 7.0}, {'validate': ('true',)}])
def test_a_look_that_hangs_is_begun_anew(
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
    until(lambda: children.ended(pid) == children.LOST, 'it has ended')


@pytest.mark.parametrize(('begin', 'on_start', 'told'), [
    (due, 'never', True), (due, 'auto', True), (rested, 'never', False),
    (rested, 'always', True),
])
def test_other_paths_have_a_baseline_of_their_own(
        begin: Callable[[Settings, Log], Watch], on_start: str, told: bool,
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """Where something was due of the old ones, whoever is there is told of these."""
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


# What it shows


def test_the_status_file_is_written_for_what_is_new(
        settings: Settings, log: Log, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After each look that ended, and not before the first."""
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(status_file, 'write', lambda _, it: written.append(it))
    show = describe.showing(settings, f'{tmp_path}/status', log)
    watch = Watch(settings, log)

    show(watch.state)
    watch.step()
    show(watch.state)
    show(watch.state)

    (only,) = written
    assert only['watch'] == 'one'
    assert only['content'] == 'current'
    assert only['seen'] == only['done'] == shown.shown(
        watch.state, fingerprint([
            it.files for it in watch.state.version.known if it is not None
        ]),
    )


def test_a_status_file_that_breaks_is_said_once(
        settings: Settings, log: Log, tmp_path: Path,
) -> None:
    """And ends nothing."""
    watch = Watch(settings._replace(status_file=f'{tmp_path}/none/status'), log)
    for number in range(3):
        write(settings.paths[0], f'{number}')
        watch.poll_now()
        watch.step()
    assert len(log.named('failed')) == 1
    os.mkdir(tmp_path / 'none')
    watch.poll_now()
    watch.step()
    assert status_file.read(f'{tmp_path}/none/status')['watch'] == 'one'
    os.unlink(tmp_path / 'none/status')
    os.rmdir(tmp_path / 'none')
    watch.poll_now()
    watch.step()

    assert [each['reason'] for each in log.named('failed')] == ['status file'] * 2


def test_who_is_told_is_said_in_order() -> None:
    """The process first, then commands, then requests; a URL without its secrets."""
    settings = Settings(
        process='x', exec=(('a', 'b'),), url=('http://me:secret@host/a?b',),
    )

    assert describe.audience(settings) == (
        'x and SIGHUP, then --exec a, then POST http://host/a'
    )
    assert describe.audience(Settings(pidfile='/p', signal=Signal(10, 'SIGUSR1'))) == (
        '/p and SIGUSR1'
    )
    assert describe.targets(settings) == {
        'paths': (), 'process': 'x', 'pidfile': None, 'signal': 'SIGHUP',
        'exec': ['a'], 'url': ['http://host/a'],
    }
    assert describe.targets(settings._replace(process=None))['signal'] is None


def test_nothing_holds_nothing() -> None:
    """What stands for a ledger where there is none."""
    assert ledger.nowhere(State())


@pytest.mark.parametrize('spelt', ['{}/', '{}/.', '{}/../d', './d'])
def test_a_path_that_is_spelt_otherwise_is_the_same(
        settings: Settings, log: Log, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, spelt: str,
) -> None:
    """What was written since the last look is a change, and no baseline."""
    monkeypatch.chdir(tmp_path)
    path = f'{tmp_path}/d'
    os.mkdir(path)
    write(f'{path}/f', 'first')
    settings = settings._replace(paths=(path,), on_start='never')
    before = rested(settings, log)
    write(f'{path}/f', 'second')
    log.events.clear()

    after = Watch(settings._replace(paths=(spelt.format(path),)), log, before=before)
    for _ in range(3):
        after.poll_now()
        after.step()

    assert after.state.version.state == 'due'
    assert not log.named('baseline')
    assert len(log.named('changed')) == 1
