"""What a change of a config file logs."""
from __future__ import annotations

import pytest

from pollreload.runtime import config_reload
from pollreload.runtime.config_reload import Reader
from pollreload.runtime.watch import Watch
from pollreload.settings import Plan, pack
from tests.servers.harness import until
from tests.support.config_reload import made, recording
from tests.support.sidecar import write
from tests.support.watch_log import Log


def test_only_what_a_user_can_use_is_said(log: Log) -> None:
    """How the file is read is our own affair, and the status names what it is of."""
    reader = Reader(lambda: '', lambda _: '', log)
    reader.trouble = 'c:1: no'
    say = config_reload.public_logger(reader)

    for event in (
            'started', 'baseline', 'polled', 'changed', 'held', 'delivered', 'failed',
            'unreadable', 'readable', 'stalled', 'status', 'verified', 'stopped',
    ):
        say(event, event)
    say('failed', 'exec c', exec='c', reason='exec')

    assert [event for event, _ in log.events] == [
        'changed', 'held', 'unreadable', 'readable', 'stalled', 'status', 'held',
    ]
    assert log.events[-2][1] == {'message': 'config file: status, held: c:1: no'}
    assert log.events[-1][1] == {
        'message': 'c:1: no; the watches go on as they were', 'reason': 'config',
    }


@pytest.mark.parametrize(('intervals', 'settles', 'interval', 'settle'), [
    ((60.0, 30.0), (2.0, 3.0), 5.0, 1.0), ((60.0, 0.5), (2.0, 0.0), 0.5, 0.0),
])
def test_it_is_looked_at_as_often_as_any(
        conf: str, intervals: tuple[float, float], settles: tuple[float, float],
        interval: float, settle: float,
) -> None:
    """Every 5 s at least, because no one waits for it; and it is logged as they are."""
    plan = Plan(tuple(
        made(conf, str(each), interval=seconds, settle=least, log_format='json',
             verbosity=1, empty_grace=6.0 + each)
        for each, seconds, least in zip((1, 2), intervals, settles, strict=True)
    ), conf)

    itself, reader = config_reload.watch_config(plan, lambda: '', [], recording(Log()))

    assert itself.runner is reader
    assert itself.asked.paths == (conf,)
    assert (itself.asked.interval, itself.asked.settle) == (interval, settle)
    assert itself.asked.empty_grace == 7.0
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
    itself, reader = config_reload.watch_config(
        plan, lambda: pack(new[0]) if new else 'c:1: no', watches, recording(Log()),
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
    assert 'the watches go on as they were' in lines[1]


def test_it_is_read_once_more_at_the_start(
        conf: str, capfd: pytest.CaptureFixture[str],
) -> None:
    """What has changed while we started is taken over, without a line."""
    first, second = made(conf, 'a'), made(conf, 'b')
    watches = [Watch(first, Log())]
    plan = Plan((first,), conf)
    itself, reader = config_reload.watch_config(
        plan, lambda: pack(Plan((second,), conf)), watches, recording(Log()),
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
    itself, reader = config_reload.watch_config(
        plan, lambda: pack(new), watches, recording(Log()),
    )

    def stepped() -> bool:
        itself.step()
        return bool(reader.trouble)

    until(stepped, 'it is read')
    assert [each.asked for each in watches] == [first]
    what = says.format(conf)
    said = f'held: {what} cannot change while it runs; start it again; the'
    assert said in capfd.readouterr().err


def test_interval_that_outlasts_the_watchdog_is_refused(
        conf: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The service manager would end pollreload between two polls."""
    monkeypatch.setenv('NOTIFY_SOCKET', '/none')
    monkeypatch.setenv('WATCHDOG_USEC', '9000000')
    monkeypatch.delenv('WATCHDOG_PID', raising=False)
    first = made(conf, 'a', interval=1.0)
    watches = [Watch(first, Log())]
    new = [5.0, 4.5]
    itself, reader = config_reload.watch_config(
        Plan((first,), conf),
        lambda: pack(Plan((first._replace(interval=new[0]),), conf)),
        watches, recording(Log()),
    )
    watches.append(itself)

    def stepped() -> bool:
        itself.step()
        return bool(reader.trouble or reader.taken)

    until(stepped, 'it is read')
    assert [each.asked for each in watches] == [first, itself.asked]
    assert 'which is less than two polls' in capfd.readouterr().err

    new.pop(0)
    reader.trouble = ''
    itself.poll_now()
    until(stepped, 'it is read once more')
    assert watches[0].asked.interval == 4.5
