"""Several watches in one process."""
from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pollreload.system import ledger_file
from tests.servers.harness import until
from tests.support import loaded_modules, sidecar
from tests.support.several import put, started, table
from tests.support.several_apps import App, current_watches, fails, told
from tests.support.sidecar import Mark, write


def test_each_notifies_its_own(config: str, apps: tuple[App, App]) -> None:
    """A change of one is delivered to one; its lines have its name, and in their order.
    """
    one, two = apps
    put(config, one.table(), two.table())
    with current_watches(config) as it:
        assert told(it, one)
        assert two.unsignalled()
        assert told(it, two)
        assert one.unsignalled()
        idle = it.poll()
        status = it.stop()

    assert (idle, status) == ([], 0)
    for app in apps:
        assert it.named(app.name) == [
            'started', 'baseline', 'changed', 'signalled', 'delivered',
        ]
    assert it.named('') == ['stopped']


def test_a_line_of_text_begins_with_the_name(
        config: str, apps: tuple[App, App],
) -> None:
    """And one about the config file says so."""
    one, two = apps
    put(config, one.table(), two.table())
    with started(config, form='text') as it:
        found = [it.read()['message'] for _ in range(4)]
        it.send(signal.SIGUSR1)
        found += [it.read()['message'] for _ in range(3)]
        it.stop()
    found.append(it.seen[-1]['message'])

    said = [line.partition(' ')[2] for line in found]
    assert said[0].startswith(f'started: one: polling {one.conf} every 3600 s, for ')
    assert said[2:4] == [
        f'baseline: one: 1 file in {one.conf}', f'baseline: two: 1 file in {two.conf}',
    ]
    assert [line.partition(' version')[0] for line in said[4:7]] == [
        'status: one:', 'status: two:', 'status: config file:',
    ]
    assert said[-1] == 'stopped: on SIGTERM'


def test_each_has_an_interval_of_its_own(config: str, apps: tuple[App, App]) -> None:
    """One that polls fast does not make the other poll."""
    one, two = apps
    put(config, one.table(interval='20ms'), two.table())
    with current_watches(config, '-v') as it:
        for _ in range(5):
            it.until('polled', watch='one')
        assert it.count('polled', watch='two') == 1
        one.change()
        it.until('delivered', watch='one')


def test_each_has_a_memory_and_a_status_file_of_its_own(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """Of what it watches and notifies, and under its name."""
    one, two = apps
    put(config, *(
        app.table(
            state_file=f'{tmp_path}/{app.name}.ledger',
            status_file=f'{tmp_path}/{app.name}.status',
        ) for app in apps
    ))
    with current_watches(config) as it:
        assert told(it, one)
        assert two.unsignalled()
    one.change()
    with current_watches(config) as again:
        assert one.target.read() == 'HUP'
        shown = {app.name: said(f'{tmp_path}/{app.name}.status') for app in apps}
        done = {
            app.name: ledger_file.peek(f'{tmp_path}/{app.name}.ledger') for app in apps
        }

    assert it.count('baseline') == 2
    assert again.count('baseline') == 0
    for app in apps:
        assert f'{app.comm}, SIGHUP' in shown[app.name]
        assert app.conf in shown[app.name]
        assert (done[app.name] or {})['done']
    assert one.unsignalled()
    assert two.unsignalled()


@pytest.mark.parametrize('kind', ['directory', 'glob'])
def test_ledger_below_what_another_watches_is_refused(
        kind: str, config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """Each ledger that is written would be a change to the other watch."""
    one, two = apps
    top = tmp_path / 'a'
    top.mkdir()
    put(
        config, one.table(state_file=f'{top}/one.ledger'),
        two.table(path=str(top if kind == 'directory' else top / '*')),
    )
    done = subprocess.run(
        (*sidecar.POLLRELOAD, 'watch', '--config', config), check=False,
        env=sidecar.environment(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "state-file: is below a path that watch 'two'" in line


def said(path: str) -> str:
    """Return all that pollreload status says of a status file."""
    return subprocess.run(
        [*sidecar.POLLRELOAD, 'status', path], env=sidecar.environment(), check=True,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    ).stdout


def test_hup_polls_all_and_usr1_logs_each(config: str, apps: tuple[App, App]) -> None:
    """And the config file with them."""
    one, two = apps
    put(config, one.table(), two.table())
    with current_watches(config) as it:
        for app in apps:
            app.change()
        put(config, one.table(), two.table(), splay='1ms')
        it.rest()
        assert it.statuses().keys() == {'one', 'two', ''}
        for app in apps:
            assert app.target.read() == 'HUP'
        assert it.count('changed') == 3


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_all_at_once(
        config: str, apps: tuple[App, App], tmp_path: Path, number: signal.Signals,
) -> None:
    """Whatever runs in each of them, with all that it has started."""
    one, two = apps
    write(tmp_path / 'run', 'exec > "$2"\necho "$1"\nsleep 1000 & wait\n')
    with Mark(tmp_path / 'mark') as mark:
        put(config, *(
            app.table(validate=f'sh {tmp_path}/run {app.name} {mark.path}')
            for app in apps
        ))
        with current_watches(config) as it:
            one.change()
            two.change()
            it.poll()
            assert {mark.read(), mark.read()} == {'one', 'two'}
            status = it.stop(number)
            mark.close()
            assert mark.read() == ''

    assert status == 0
    last = it.seen[-1]
    assert (last['event'], last['signal'], last['watch']) == (
        'stopped', number.name, '',
    )
    assert one.unsignalled()
    assert two.unsignalled()


@pytest.fixture
def deaf() -> Iterator[str]:
    """The URL of a server that takes a request, and never answers."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        yield f'http://127.0.0.1:{server.getsockname()[1]}/'


@pytest.mark.parametrize('option', ['validate', 'verify', 'exec', 'url'])
def test_what_hangs_in_one_delays_no_other(
        option: str, config: str, apps: tuple[App, App], deaf: str,
) -> None:
    """A command or a request that does not end."""
    one, two = apps
    hangs: dict[str, Any] = {option: deaf if option == 'url' else 'sleep 1000'}
    put(config, one.table(**hangs), two.table(), url_timeout='1h', command_timeout='1h')
    with current_watches(config) as it:
        one.change()
        it.poll()
        until(lambda: 'under way: ' in it.statuses()['one'], 'it hangs')
        assert told(it, two)
        stage = it.statuses()['one'].partition('under way: ')[2]
        put(config, one.table(**hangs), two.table(splay='1ms'), url_timeout='1h',
            command_timeout='1h')
        it.rest()
        assert it.count('started', watch='two') == 2
        assert told(it, two)
        assert it.statuses()['one'].endswith(f'under way: {stage}')
        assert it.stop() == 0

    assert stage.partition(',')[0] in ('validate', 'verify', 'act')
    assert it.named('one').count('started') == 1


def test_what_fails_in_one_is_tried_again_for_that_one(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """The backoff of one is not that of the other."""
    one, two = apps
    put(config, one.table(validate=f'test -e {tmp_path}/good'), two.table())
    with current_watches(config) as it:
        one.change()
        for times in range(1, 4):
            it.poll()
            fails(it, 'one', times)
            assert told(it, two)
        assert 'failed attempts' not in it.statuses()['two']
        write(tmp_path / 'good', '')
        it.poll()
        it.until('delivered', watch='one')
        assert one.target.read() == 'HUP'


def test_a_watch_without_a_name_has_that_of_its_process(
        config: str, apps: tuple[App, App],
) -> None:
    """So that each line says which."""
    one, two = apps
    put(
        config, table(path=one.conf, process=one.comm),
        table(path=two.conf, process=one.comm), table(path=two.conf, exec='true'),
    )
    with current_watches(config) as it:
        names = it.statuses().keys()

    assert names == {one.comm, f'{one.comm}-2', 'watch-3', ''}


def modules(*args: str) -> set[str]:
    """Return the modules that a watch has at its end, after its baseline."""
    with loaded_modules.started(*args) as it:
        while 'baseline: ' not in it.read()['message']:
            pass
        it.send(signal.SIGHUP)
        it.send(signal.SIGUSR1)
        while 'status: ' not in it.read()['message']:
            pass
        return loaded_modules.printed(it)


def test_the_plain_sidecar_loads_nothing_of_it(tmp_path: Path) -> None:
    """Who watches for one program pays for no other; with a file, a child reads it."""
    write(tmp_path / 'app.conf', 'first')
    put(tmp_path / 'w.toml', table(path=f'{tmp_path}/app.conf', process='x'))

    plain = modules('--process', 'x', f'{tmp_path}/app.conf')
    several = modules('--config', f'{tmp_path}/w.toml')

    ours = {f'pollreload.{name}' for name in (
        'cli.config_file', 'cli.config_watches', 'cli.main', 'core.actions',
        'monitoring.http', 'monitoring.metrics', 'runtime.config_reload',
        'system.http_request', 'system.ledger_file', 'system.ledger_location',
        'system.status_file',
    )}
    others = {'tomllib', 'click', 'json', 'difflib', 'shlex', 'threading'}
    assert 'pollreload.commands.watch' in plain
    assert plain.isdisjoint(ours | others)
    # The ledger's key is what distinguishes one watch from another.
    assert several & ours == {
        'pollreload.runtime.config_reload', 'pollreload.system.ledger_location',
        'pollreload.core.actions',
    }
    assert several & others <= {'json'}
