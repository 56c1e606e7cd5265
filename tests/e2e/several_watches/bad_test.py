"""A config file that is wrong."""
from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.several import put, started, table
from tests.support.several_apps import App, current_watches, told
from tests.support.sidecar import write


def test_a_bad_file_is_2_and_one_line(config: str) -> None:
    """Before the first poll."""
    put(config, table(path='/a', process='x', intervall='5s'))
    with started(config) as it:
        assert it.wait() == 2

    assert [each['message'] for each in it.seen] == [
        f'pollreload: {config}:9: intervall: is not an option; did you mean interval?',
    ]


def test_a_bad_file_is_refused_and_the_old_goes_on(
        config: str, apps: tuple[App, App],
) -> None:
    """With file, line and key, as at the start; and a good one is taken over then."""
    one, two = apps
    put(config, one.table(), two.table())
    with current_watches(config) as it:
        put(config, one.table(), two.table(intervall='30m'))
        it.rest('version due')
        held = it.until('held', reason='config')
        status = it.statuses()['']
        assert told(it, one)
        assert told(it, two)
        put(config, one.table(), two.table(interval='soon'))
        it.rest('version due')
        other = held
        while 'soon' not in other['message']:
            # Those that are said once more, for all were asked to poll.
            other = it.until('held', reason='config')
        put(config, one.table(), two.table(interval='30m'))
        it.rest()
        it.until('started', watch='two')
        assert told(it, one)
        assert told(it, two)
        assert it.poll() == []

    assert not held['watch']
    says = f'{config}:14: intervall: is not an option; did you mean interval?'
    assert held['message'] == f'{says}; the watches go on as they were'
    assert status.endswith(f', held: {says}')
    assert 'exec' not in status
    assert f"{config}:14: interval: 'soon' is not a duration" in other['message']
    assert it.named('one').count('started') == 1


def test_a_bad_file_that_is_as_before_again_is_nothing(
        config: str, apps: tuple[App, App],
) -> None:
    """What was there before goes on, because it is what is there."""
    one, two = apps
    put(config, one.table(), two.table())
    with current_watches(config) as it:
        write(config, 'no TOML')
        it.rest('version due')
        held = it.until('held', reason='config')
        put(config, one.table(), two.table())
        it.rest()
        assert told(it, one)
        assert told(it, two)

    assert f"{config}:1: is not TOML: expected '=' after a key" in held['message']
    assert it.count('started') == 2
    assert it.count('held') == 1


def test_a_port_cannot_change(config: str, apps: tuple[App, App]) -> None:
    """A client would find nothing there; with it, nothing else is taken over.

    As with all that is refused, the file, the line and the key are said.
    """
    one, two = apps
    put(config, one.table())
    with current_watches(config) as it:
        put(config, one.table(), two.table(), listen='127.0.0.1:9')
        line = Path(config).read_text().partition('listen')[0].count('\n') + 1
        it.rest('version due')
        held = it.until('held', reason='config')
        put(config, one.table(), two.table())
        it.rest()
        it.until('started', watch='two')

    assert held['message'] == (
        f'{config}:{line}: listen: cannot change while it runs; start it again; the '
        f'watches go on as they were'
    )


def test_another_format_is_that_of_every_line(
        config: str, apps: tuple[App, App],
) -> None:
    """Also of the config file's own, and of the last."""
    one, _ = apps
    put(config, one.table(), log_format='json')
    with started(config, form='') as it:
        it.until('baseline', watch='one')
        put(config, one.table(), log_format='text')
        it.send(signal.SIGHUP)
        current_watches = it.until('line')
        write(config, 'no TOML')
        it.send(signal.SIGHUP)
        it.until('line')
        held = it.until('line')
        it.stop()
        *_, stopped = it.seen

    assert ' started: one: polling ' in current_watches['message']
    assert f' held: {config}:1: is not TOML' in held['message']
    assert stopped['message'].endswith(' stopped: on SIGTERM')


def test_a_file_that_goes_away_is_unreadable_and_the_old_goes_on(
        config: str, apps: tuple[App, App],
) -> None:
    """Also if a directory or a FIFO takes its place; and back again."""
    one, _ = apps
    put(config, one.table())
    with current_watches(config) as it:
        for number, make in enumerate((None, os.mkdir, os.mkfifo)):
            os.unlink(config)
            if make is not None:
                make(config)
            it.poll()
            gone = it.until('unreadable')
            assert told(it, one)
            if make is not None:
                os.rename(config, f'{config}.{number}')
            put(config, one.table(), splay=f'{number}ms')
            it.rest()
            it.until('readable')
            assert gone['path'] == config
            assert not gone['watch']
            assert told(it, one)


def test_a_file_that_becomes_empty_is_distrusted(
        config: str, apps: tuple[App, App],
) -> None:
    """It is likely to be written just now."""
    one, _ = apps
    put(config, one.table())
    with current_watches(config) as it:
        write(config, '')
        it.poll()
        it.until('held', reason='became empty')
        assert told(it, one)
        put(config, one.table(interval='30m'))
        it.rest()
        it.until('started', watch='one')
