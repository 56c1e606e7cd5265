"""The config file, watched: what is taken over of it, and in which order."""
from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

from pollreload.runtime import config_reload
from pollreload.runtime.config_reload import Reader
from pollreload.runtime.watch import Watch
from pollreload.settings import Plan, Settings, Signal, pack
from pollreload.system import children, ledger_file, ledger_location
from tests.servers.harness import until
from tests.support.sidecar import write
from tests.unit.runtime.watch_test import Log


@pytest.fixture
def log() -> Log:
    """Where the watches of a test say what they do."""
    return Log()


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch."""
    write(tmp_path / 'app.conf', 'first')
    return str(tmp_path / 'app.conf')


def made(conf: str, name: str, **more: Any) -> Settings:
    """Return the settings of a watch, for a process of its name."""
    return Settings(**{
        'paths': (conf,), 'process': name, 'name': name, 'settle': 0.0,
        'on_start': 'never', **more,
    })


# Reading


def ended(reader: Reader) -> int:
    """Return the status that a reader has in the end."""
    found: list[int] = []

    def ran() -> bool:
        status = reader.ran()
        found.extend([] if status is None else [status])
        return status is not None

    until(ran, 'the child has ended')
    return found[0]


@pytest.mark.parametrize(('again', 'take', 'trouble'), [
    (lambda: pack(Plan((Settings(('/a',), 'x'),), 'c')), '', ''),
    (lambda: pack(Plan((Settings(('/a',), 'x'),), 'c')), 'no port', 'no port'),
    (lambda: 'c:1: no', '', 'c:1: no'),
    (lambda: 1 // 0, '', 'ZeroDivisionError: integer division or modulo by zero'),
    (lambda: os._exit(3), '', 'a child ended with status 3'),
])
def test_a_reading_is_taken_over_or_is_a_failure(
        again: Callable[[], object], take: str, trouble: str,
) -> None:
    """With the reason; and when it last succeeded is known."""
    taken: list[Plan] = []

    def over(plan: Plan) -> str:
        taken.append(plan)
        return take

    reader = Reader(again, over, Log())
    assert reader.run((), {}) == ''
    assert ended(reader) == int(bool(trouble))

    assert reader.trouble == trouble
    assert (reader.taken > 0.0) is not bool(trouble)
    assert (reader.pid, reader.answer) == (0, -1)
    if taken:
        assert taken == [Plan((Settings(('/a',), 'x'),), 'c')]


def test_no_child_to_read_it_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another time there may be one."""
    def fork(*_: object) -> NoReturn:
        raise OSError(errno.EAGAIN, 'Resource temporarily unavailable')

    monkeypatch.setattr(children, 'fork', fork)
    reader = Reader(lambda: '', lambda _: '', Log())

    assert reader.run((), {}) == reader.trouble
    assert reader.trouble == 'no child to read it: Resource temporarily unavailable'


def test_a_reading_that_takes_too_long_is_a_failure() -> None:
    """It is ended; where there is none, there is nothing to say."""
    reader = Reader(lambda: os.read(os.pipe()[0], 1), lambda _: '', Log())
    reader.cancel()
    assert reader.trouble == ''

    reader.run((), {})
    pid = reader.pid
    reader.cancel()

    assert reader.trouble == 'the config file could not be read in time'
    assert (reader.pid, reader.answer) == (0, -1)
    until(lambda: children.ended(pid) == children.LOST, 'it has ended')


# What is said of it


def test_only_what_a_person_can_use_is_said(log: Log) -> None:
    """How the file is read is our own affair."""
    reader = Reader(lambda: '', lambda _: '', log)
    reader.trouble = 'c:1: no'
    say = config_reload.heard(reader)

    for event in (
            'started', 'baseline', 'polled', 'changed', 'held', 'delivered', 'failed',
            'unreadable', 'readable', 'stalled', 'status', 'verified', 'stopped',
    ):
        say(event, event)
    say('failed', 'exec c', exec='c', reason='exec')

    assert [event for event, _ in log.events] == [
        'changed', 'held', 'unreadable', 'readable', 'stalled', 'status', 'held',
    ]
    assert log.events[-1][1] == {
        'message': 'c:1: no; what was there before goes on', 'reason': 'config',
    }


@pytest.mark.parametrize(('intervals', 'settles', 'interval', 'settle'), [
    ((60.0, 30.0), (2.0, 3.0), 5.0, 1.0), ((60.0, 0.5), (2.0, 0.0), 0.5, 0.0),
])
def test_it_is_looked_at_as_often_as_any(
        conf: str, intervals: tuple[float, float], settles: tuple[float, float],
        interval: float, settle: float,
) -> None:
    """Every 5 s at least, for nobody waits for it; and it is logged as they are."""
    plan = Plan(tuple(
        made(conf, str(each), interval=seconds, settle=least, log_format='json',
             verbosity=1)
        for each, seconds, least in zip((1, 2), intervals, settles, strict=True)
    ), conf)

    itself, reader = config_reload.watch(plan, lambda: '', [], begun(Log()))

    assert itself.runner is reader
    assert itself.asked.paths == (conf,)
    assert (itself.asked.interval, itself.asked.settle) == (interval, settle)
    assert (itself.asked.log_format, itself.asked.verbosity) == ('json', 1)
    assert itself.asked.name == ''


@pytest.mark.parametrize('form', ['text', 'json'])
def test_its_own_lines_have_the_new_format(
        conf: str, form: str, capfd: pytest.CaptureFixture[str],
) -> None:
    """How often it is polled stays as it was at the start."""
    first = made(conf, 'a', interval=2.0)
    plan = Plan((first,), conf)
    new = [Plan((first._replace(interval=0.2, log_format=form),), conf)]
    watches = [Watch(first, Log())]
    itself, reader = config_reload.watch(
        plan, lambda: pack(new[0]) if new else 'c:1: no', watches, begun(Log()),
    )
    watches.append(itself)

    def stepped() -> bool:
        itself.step()
        return itself.state.version.state == 'current' or bool(reader.trouble)

    until(stepped, 'it is read')
    assert itself.asked.interval == itself.settings.interval == 2.0

    new.clear()
    write(conf, 'second')
    itself.poll_now()
    until(lambda: stepped() and bool(reader.trouble), 'it is read once more')
    lines = capfd.readouterr().err.splitlines()
    assert ['{' in line for line in lines] == [form == 'json'] * 2
    assert 'changed' in lines[0]
    assert 'what was there before goes on' in lines[1]


def test_it_is_read_once_more_at_the_start(
        conf: str, capfd: pytest.CaptureFixture[str],
) -> None:
    """What has changed while we started is taken over, without a word."""
    first, second = made(conf, 'a'), made(conf, 'b')
    watches = [Watch(first, Log())]
    plan = Plan((first,), conf)
    itself, reader = config_reload.watch(
        plan, lambda: pack(Plan((second,), conf)), watches, begun(Log()),
    )
    watches.append(itself)

    def stepped() -> bool:
        itself.step()
        return itself.state.version.state == 'current'

    until(stepped, 'it is read')
    assert [each.asked for each in watches] == [second, itself.asked]
    assert reader.taken
    assert 'stopped' not in capfd.readouterr().err


@pytest.mark.parametrize(('listen', 'where', 'says'), [
    (('', 2), 'c:3: listen:', 'c:3: listen:'), (None, '--listen', '{}: listen:'),
])
def test_another_port_is_refused(
        conf: str, capfd: pytest.CaptureFixture[str], listen: tuple[str, int] | None,
        where: str, says: str,
) -> None:
    """And all of the file with it; with its line, as long as it has one."""
    first = made(conf, 'a')
    watches = [Watch(first, Log())]
    plan = Plan((first,), conf, ('', 1))
    new = plan._replace(listen=listen, where=where, watches=())
    itself, reader = config_reload.watch(
        plan, lambda: pack(new), watches, begun(Log()),
    )

    def stepped() -> bool:
        itself.step()
        return bool(reader.trouble)

    until(stepped, 'it is read')
    assert [each.asked for each in watches] == [first]
    said = f'held: {says.format(conf)} cannot change while it runs; start it anew; what'
    assert said in capfd.readouterr().err


# Who goes on as whom


def begun(log: Log) -> Callable[..., Watch]:
    """Return what begins watches that say what they do to a log."""
    def begin(settings: Settings, before: Watch | None = None, /) -> Watch:
        log('began', settings.name, before=before)
        return Watch(settings, log, before=before)

    return begin


def pairs(
        before: list[Settings], wanted: list[Settings],
) -> list[str | None]:
    """Return the names of those that go on as the wanted ones."""
    watches = [Watch(each, Log()) for each in before]
    return [
        each.asked.name if each else None
        for each in config_reload.paired(wanted, watches)
    ]


def test_who_tells_the_same_of_the_same_goes_on(conf: str) -> None:
    """Whatever its name, its place in the file and its other settings."""
    a, b, c = (made(conf, name) for name in 'abc')

    assert pairs([a, b, c], [c, a]) == ['c', 'a']
    assert pairs([a, b], [b._replace(name='x', interval=1.0), a]) == ['b', 'a']
    # Rather than who has the name.
    assert pairs([a, b], [a._replace(name='b'), b._replace(name='a')]) == ['a', 'b']


def test_who_has_the_name_goes_on_as_another(conf: str, tmp_path: Path) -> None:
    """Whatever it watches and tells now; but not by another name."""
    a, b = made(conf, 'a'), made(conf, 'b')
    other = a._replace(signal=Signal(10, 'SIGUSR1'))

    assert pairs([a, b], [other, b]) == ['a', 'b']
    assert pairs([a, b], [other._replace(paths=(f'{tmp_path}/b',))]) == ['a']
    assert pairs([a, b], [other._replace(name='c')]) == [None]
    # Nobody goes on as two.
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
    config_reload.over(plan, watches, config, begun(log))

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

    config_reload.over(Plan((new,)), watches, config, begun(log))

    assert [(event, fields['message']) for event, fields in log.events] == [
        ('stopped', 'is not in the config file any more'), ('began', 'b'),
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

    config_reload.over(
        Plan((a._replace(state_file=second), b._replace(state_file=first))), watches,
        config, begun(log),
    )

    assert not log.named('failed')
    for watch in watches[:2]:
        watch.step()
        assert watch.state.version.state == 'current'
    kept = [cast(Any, ledger_file.peek(path))['key'] for path in (second, first)]
    assert kept == [ledger_location.key(each, os.getcwd()) for each in (a, b)]
    for watch in watches[:2]:
        watch.ledger.let_go()
