"""pollreload watch --config: several watches in one process, and their file."""
from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xxhash

from pollreload.system import ledger_file, process_table, procfs
from tests.servers.harness import swap, until
from tests.support import sidecar, targets
from tests.support.several import Several, put, started, table
from tests.support.sidecar import Mark, Sidecar, check, unique, write


class App:
    """A program that is told, and the file that it reads."""

    def __init__(self, place: Path, name: str, kind: str = 'handler') -> None:
        self.conf = str(place / f'{name}.conf')
        write(self.conf, 'first')
        self.name = name
        self.comm = unique()
        self.target = targets.start(kind, name=self.comm)
        self.texts = 0

    def table(self, **more: object) -> str:
        """Return the table of its watch."""
        return table(**{
            'name': self.name, 'path': self.conf, 'process': self.comm, **more,
        })

    def change(self) -> None:
        """Give the file another content."""
        self.texts += 1
        write(self.conf, f'text {self.texts}')

    def untold(self) -> bool:
        """Return whether it has seen no signal since the last one that was read."""
        self.target.signal(signal.SIGUSR1)
        return self.target.read() == 'USR1'


@pytest.fixture
def apps(tmp_path: Path) -> Iterator[tuple[App, App]]:
    """Two programs that are told."""
    with contextlib.ExitStack() as stack:
        made = []
        for name in ('one', 'two'):
            made.append(App(tmp_path, name))
            stack.callback(made[-1].target.end)
        yield made[0], made[1]


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The name of a config file that is not there yet."""
    return str(tmp_path / 'pollreload.toml')


def begun(path: str, *words: str, **rest: Any) -> Several:
    """Start a watch; it knows its contents, and has read its file once more."""
    it = started(path, *words, **rest)
    try:
        it.until('started')
        until(
            lambda: all(each.startswith('content current') for each in
                        it.statuses().values()), 'all is done',
        )
    except BaseException:
        it.end()
        raise
    it.found = len(it.seen)
    return it


def told(it: Several, app: App) -> bool:
    """Return whether a change that is made now is told, once."""
    app.change()
    it.poll()
    it.until('delivered', watch=app.name)
    # What follows in that step has been done before it answers.
    it.statuses()
    return app.target.read() == 'HUP' and app.untold()


# Several watches


def test_each_tells_its_own(config: str, apps: tuple[App, App]) -> None:
    """A change of one is told to one; its lines have its name, and in their order."""
    one, two = apps
    put(config, one.table(), two.table())
    with begun(config) as it:
        assert told(it, one)
        assert two.untold()
        assert told(it, two)
        assert one.untold()
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
    """And one of the config file does not."""
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
    assert [line.partition(' content')[0] for line in said[4:7]] == [
        'status: one:', 'status: two:', 'status:',
    ]
    assert said[-1] == 'stopped: on SIGTERM'


def test_each_has_an_interval_of_its_own(config: str, apps: tuple[App, App]) -> None:
    """One that polls fast does not make the other poll."""
    one, two = apps
    put(config, one.table(interval='20ms'), two.table())
    with begun(config, '-v') as it:
        for _ in range(5):
            it.until('polled', watch='one')
        assert it.count('polled', watch='two') == 1
        one.change()
        it.until('delivered', watch='one')


def test_each_has_a_memory_and_a_status_file_of_its_own(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """Of what it watches and tells, and under its name."""
    one, two = apps
    put(config, *(
        app.table(
            state_file=f'{tmp_path}/{app.name}.ledger',
            status_file=f'{tmp_path}/{app.name}.status',
        ) for app in apps
    ))
    with begun(config) as it:
        assert told(it, one)
        assert two.untold()
    one.change()
    with begun(config) as again:
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
    assert one.untold()
    assert two.untold()


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
    """Return what pollreload status says of a status file."""
    return subprocess.run(
        [*sidecar.POLLRELOAD, 'status', path], env=sidecar.environment(), check=True,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    ).stdout


def test_hup_polls_all_and_usr1_logs_each(config: str, apps: tuple[App, App]) -> None:
    """And the config file with them."""
    one, two = apps
    put(config, one.table(), two.table())
    with begun(config) as it:
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
        with begun(config) as it:
            one.change()
            two.change()
            it.poll()
            assert {mark.read(), mark.read()} == {'one', 'two'}
            status = it.stop(number)
            mark.close()
            assert mark.read() == ''

    assert status == 0
    last = it.seen[-1]
    assert (last['event'], last['signal'], 'watch' in last) == (
        'stopped', number.name, False,
    )
    assert one.untold()
    assert two.untold()


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
    with begun(config) as it:
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


def fails(it: Several, name: str, least: int) -> int:
    """Return how often a watch has failed in a row, once that is often enough."""
    def found() -> int:
        return int(it.statuses()[name].partition('failed attempts: ')[2] or 0)

    until(lambda: found() >= least, f'{name} fails {least} times')
    return found()


def test_what_fails_in_one_is_tried_again_for_that_one(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """The backoff of one is not that of the other."""
    one, two = apps
    put(config, one.table(validate=f'test -e {tmp_path}/good'), two.table())
    with begun(config) as it:
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
    with begun(config) as it:
        names = it.statuses().keys()

    assert names == {one.comm, f'{one.comm}-2', 'watch-3', ''}


# What is not loaded


def modules(*words: str) -> set[str]:
    """Return the modules that a watch has at its end, after its baseline."""
    # Without site, whose .pth files may import anything.
    packages = os.path.dirname(os.path.dirname(os.path.abspath(xxhash.__file__)))
    program = (
        'import os, sys\n'
        'from pollreload import __main__ as it\n'
        'status = it.main()\n'
        'os.write(2, " ".join(sys.modules).encode() + b"\\n")\n'
        'os._exit(status)\n'
    )
    with Sidecar(subprocess.Popen(
        (sys.executable, '-S', '-c', program, 'watch', *words),
        env=sidecar.environment({'PYTHONPATH': f'{sidecar.ROOT}:{packages}'}, False),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ), False) as it:
        while 'baseline: ' not in it.read()['message']:
            pass
        it.send(signal.SIGHUP)
        it.send(signal.SIGUSR1)
        while 'status: ' not in it.read()['message']:
            pass
        assert it.stop() == 0
    return set(it.seen[-1]['message'].split())


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
    # The ledger's key is what tells one watch from another.
    assert several & ours == {
        'pollreload.runtime.config_reload', 'pollreload.system.ledger_location',
        'pollreload.core.actions',
    }
    assert several & others <= {'json'}


# A config file that is wrong from the start


def test_a_bad_file_is_2_and_one_line(config: str) -> None:
    """Before the first look."""
    put(config, table(path='/a', process='x', intervall='5s'))
    with started(config) as it:
        assert it.wait() == 2

    assert [each['message'] for each in it.seen] == [
        f'pollreload: {config}:9: intervall: is not an option; did you mean interval?',
    ]


# A config file that changes


def test_a_watch_that_stays_is_not_touched(config: str, apps: tuple[App, App]) -> None:
    """What changes of one is nothing to the other, nor told again to itself."""
    one, two = apps
    put(config, one.table(), two.table())
    with begun(config) as it:
        assert told(it, one)
        assert told(it, two)
        put(config, one.table(), two.table(interval='30m'))
        it.rest()
        again = it.until('started', watch='two')
        it.poll()
        assert one.untold()
        assert two.untold()
        assert told(it, one)
        assert told(it, two)
        assert it.poll() == []

    assert 'every 1800 s' in again['message']
    assert it.named('one') == [
        'started', 'baseline', *(['changed', 'signalled', 'delivered'] * 2),
    ]
    assert it.named('two') == [
        'started', 'baseline', 'changed', 'signalled', 'delivered', 'started',
        'changed', 'signalled', 'delivered',
    ]
    assert it.named('') == ['changed']


def test_what_says_the_same_is_nothing(config: str, apps: tuple[App, App]) -> None:
    """The same bytes in another file are no change; a comment is one without a deed."""
    one, two = apps
    put(config, one.table(), two.table())
    with begun(config) as it:
        put(config, one.table(), two.table())
        same = it.rest()
        put(config, two.table() + '# new\n', one.table())
        comment = it.rest()
        assert told(it, one)
        assert told(it, two)

    assert same == []
    assert [each['event'] for each in comment] == ['changed']
    assert it.count('started') == 2


def test_what_is_due_stays_due(config: str, apps: tuple[App, App]) -> None:
    """And what was counted goes on: for it is the same content, and the same target."""
    one, two = apps
    put(config, one.table(validate='false'), two.table())
    with begun(config) as it:
        one.change()
        for times in (1, 2):
            it.poll()
            before = fails(it, 'one', times)
        put(config, one.table(validate='sh -c "exit 3"'), two.table())
        it.rest()
        it.until('held', watch='one', reason='validation failed')
        assert fails(it, 'one', before + 1) > before
        assert one.untold()
        put(config, one.table(validate='true'), two.table())
        it.rest()
        it.until('delivered', watch='one')
        assert one.target.read() == 'HUP'
        assert one.untold()


def test_signals_are_counted_over_a_change(tmp_path: Path, config: str) -> None:
    """Three in vain are the most, whatever else is changed meanwhile."""
    app = App(tmp_path, 'one')
    with app.target:
        put(config, app.table(verify='false', command_timeout='10ms'))
        with begun(config) as it:
            app.change()
            for times in range(1, 4):
                it.poll()
                assert app.target.read() == 'HUP'
                it.until('failed', watch='one')
                put(config, app.table(
                    verify='false', command_timeout='10ms', interval=f'{times}h',
                    rehash=f'{times}m',
                ))
                it.rest()
            it.poll()
            it.until('held', watch='one', reason='limit')
            assert app.untold()


def test_another_signal_is_told_what_is_due(config: str, apps: tuple[App, App]) -> None:
    """To the same program by another signal, of a content that it had not."""
    one, two = apps
    put(config, one.table(validate='false'), two.table())
    with begun(config) as it:
        one.change()
        it.poll()
        it.until('held', watch='one', reason='validation failed')
        put(config, one.table(signal='USR1'), two.table())
        it.rest()
        it.until('delivered', watch='one', signal='SIGUSR1')
        assert one.target.read() == 'USR1'
        assert it.poll() == []
        assert it.named('one').count('baseline') == 1
    assert one.untold()


def test_another_process_is_told_what_is_due(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """A name that was wrong is mended: nothing is lost, under the same name."""
    one, two = apps
    wrong = table(name='one', path=one.conf, process=unique('wrong'))
    put(config, wrong, two.table())
    with begun(config) as it:
        one.change()
        it.poll()
        it.until('held', watch='one', reason='no target')
        put(config, one.table(), two.table())
        it.rest()
        it.until('delivered', watch='one')
        assert one.target.read() == 'HUP'
        assert it.poll() == []


def test_other_paths_are_told_of_where_something_was_due(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """A path that was wrong is mended: whoever was to be told is told."""
    one, two = apps
    write(tmp_path / 'other.conf', 'first')
    put(config, one.table(validate='false'), two.table())
    with begun(config) as it:
        one.change()
        it.poll()
        it.until('held', watch='one', reason='validation failed')
        new = table(name='one', path=f'{tmp_path}/other.conf', process=one.comm)
        put(config, new, two.table())
        it.rest()
        it.until('delivered', watch='one')
        assert one.target.read() == 'HUP'
        # And nobody where nothing was.
        put(config, new, two.table(path=[two.conf, f'{tmp_path}/other.conf']))
        it.rest()
        it.until('baseline', watch='two')
        assert it.poll() == []
        assert one.untold()
        assert two.untold()


def test_work_under_way_is_begun_again_by_other_settings(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """As at a restart, and only in a watch whose settings are other ones."""
    one, two = apps
    write(tmp_path / 'run', 'exec > $2\necho $1\nsleep 1000\n')
    with Mark(tmp_path / 'mark') as mark:
        def runs(word: str) -> str:
            return f'sh {tmp_path}/run {word} {mark.path}'

        put(config, one.table(validate=runs('first')), two.table())
        with begun(config) as it:
            one.change()
            it.poll()
            assert mark.read() == 'first'
            put(config, one.table(validate=runs('first')), two.table(rehash='9m'))
            it.rest()
            it.until('started', watch='two')
            assert 'under way: validate' in it.statuses()['one']
            put(config, one.table(validate=runs('second')), two.table())
            it.rest()
            assert mark.read() == 'second'
            it.stop()
        mark.close()
        assert mark.read() == ''


@pytest.mark.parametrize('on_start', ['never', 'auto'])
def test_who_is_told_from_now_on_may_not_have_what_is_done(
        on_start: str, config: str, apps: tuple[App, App],
) -> None:
    """Another is told once, unless --on-start never says that it reads by itself."""
    one, two = apps
    put(config, one.table())
    with begun(config) as it:
        assert told(it, one)
        two.conf = one.conf
        put(
            config, table(name='one', path=one.conf, process=two.comm),
            on_start=on_start,
        )
        it.rest()
        if on_start == 'auto':
            it.until('delivered', watch='one')
            assert two.target.read() == 'HUP'
        assert it.poll() == []
        assert two.untold()
        assert one.untold()
        one.change()
        it.poll()
        assert two.target.read() == 'HUP'
        assert one.untold()


def test_one_that_is_removed_stops_and_lets_go_of_its_ledger(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """A check may have it then; the others go on."""
    one, two = apps
    path = str(tmp_path / 'ledger')
    words = ('--process', two.comm, '--state-file', path, two.conf)
    put(config, one.table(), two.table(state_file=path))
    with begun(config) as it:
        assert check(*words).status == 75
        put(config, one.table())
        it.rest()
        gone = it.until('stopped', watch='two')
        two.change()
        it.poll()
        run = check(*words)
        assert two.target.read() == 'HUP'
        assert told(it, one)
        assert it.statuses().keys() == {'one', ''}
        put(config, one.table(), two.table(state_file=path))
        it.rest()
        it.until('started', watch='two')
        assert it.poll() == []
        assert told(it, two)

    assert gone['reason'] == 'config'
    assert run.status == 0
    assert not it.count('failed')
    # It goes on with what the check has done.
    assert it.named('two').count('baseline') == 1


def test_one_that_is_new_begins(config: str, apps: tuple[App, App]) -> None:
    """With a baseline of its own, and without a word of the others."""
    one, two = apps
    put(config, one.table())
    with begun(config) as it:
        put(config, two.table(), one.table())
        it.rest()
        it.until('baseline', watch='two')
        assert it.statuses().keys() == {'one', 'two', ''}
        assert told(it, two)
        assert told(it, one)

    assert it.named('one').count('started') == 1


def test_one_that_is_removed_while_it_acts_is_broken_off(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """Its command ends with it."""
    one, two = apps
    write(tmp_path / 'run', 'exec > "$1"\necho run\nsleep 1000 & wait\n')
    with Mark(tmp_path / 'mark') as mark:
        put(config, one.table(), two.table(validate=f'sh {tmp_path}/run {mark.path}'))
        with begun(config) as it:
            two.change()
            it.poll()
            assert mark.read() == 'run'
            put(config, one.table())
            it.rest()
            it.until('stopped', watch='two')
            mark.close()
            assert mark.read() == ''
            assert told(it, one)
    assert two.untold()


def test_one_that_gets_another_name_goes_on(
        config: str, apps: tuple[App, App],
) -> None:
    """It tells the same of the same, so it is the same."""
    one, two = apps
    put(config, one.table(), two.table())
    with begun(config) as it:
        assert told(it, one)
        one.name = 'uno'
        put(config, one.table(), two.table())
        it.rest()
        it.until('started', watch='uno')
        assert it.poll() == []
        assert told(it, one)

    assert 'baseline' not in it.named('uno')
    assert not it.count('stopped', reason='config')


def test_a_ledger_goes_along(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """To another file, and away; what is known stays known in each."""
    one, two = apps
    old, new = f'{tmp_path}/old', f'{tmp_path}/new'
    put(config, one.table(state_file=old), two.table())
    with begun(config) as it:
        assert told(it, one)
        before = ledger_file.peek(old)
        put(config, one.table(state_file=new), two.table())
        it.rest()
        it.until('started', watch='one')
        it.poll()
        assert ledger_file.busy(new)
        assert not ledger_file.busy(old)
        after = ledger_file.peek(new)
        put(config, one.table(), two.table())
        it.rest()
        assert not ledger_file.busy(new)
        assert told(it, one)
        put(config, one.table(state_file=old), two.table())
        it.rest()
        assert ledger_file.busy(old)
        assert told(it, one)
        last = ledger_file.peek(old)

    assert before
    assert after
    assert last
    assert before['done'] == after['done'] != last['done']
    assert not it.count('failed')
    assert it.named('one').count('baseline') == 1


def test_another_target_has_the_same_ledger(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """It is written anew for whom it is of now, and goes on."""
    one, _ = apps
    path = f'{tmp_path}/ledger'
    put(config, one.table(state_file=path))
    with begun(config) as it:
        before = ledger_file.peek(path)
        put(config, one.table(state_file=path, signal='USR1'))
        it.rest()
        it.poll()
        after = ledger_file.peek(path)
        assert not it.count('failed')
    with begun(config) as again:
        assert again.poll() == []

    assert before
    assert after
    assert before['key'] != after['key']
    assert again.named('one') == ['started']


def test_two_may_swap_their_ledgers(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """Each goes on with what it knows, in the file that was the other's."""
    one, two = apps
    first, second = f'{tmp_path}/first', f'{tmp_path}/second'
    put(config, one.table(state_file=first), two.table(state_file=second))
    with begun(config) as it:
        assert told(it, one)
        assert told(it, two)
        before = ledger_file.peek(first), ledger_file.peek(second)
        put(config, one.table(state_file=second), two.table(state_file=first))
        it.rest()
        it.poll()
        after = ledger_file.peek(first), ledger_file.peek(second)
        assert ledger_file.busy(first)
        assert ledger_file.busy(second)
        assert told(it, one)
        assert told(it, two)
        assert not it.count('failed'), it.seen
    one.change()
    with begun(config) as again:
        assert one.target.read() == 'HUP'
        assert again.poll() == []

    assert all(before)
    assert [each and each['key'] for each in after] == [
        each and each['key'] for each in before[::-1]
    ]
    assert again.count('baseline') == 0
    assert again.count('failed') == 0


def test_one_may_have_the_ledger_of_one_that_is_removed(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """Its lock is free by then; what is in it is of another, and is said to be."""
    one, two = apps
    path = f'{tmp_path}/ledger'
    put(config, one.table(), two.table(state_file=path))
    with begun(config) as it:
        put(config, one.table(state_file=path))
        it.rest()
        it.poll()
        assert told(it, one)


def opened(pid: int) -> int:
    """Return how many descriptors and children a process has."""
    children = [
        each for each in procfs.pids('/proc')
        if process_table.parent(procfs.stat(f'/proc/{each}')) == pid
    ]
    return len(os.listdir(f'/proc/{pid}/fd')) + len(children)


def test_changes_leave_nothing_open(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """However often the file changes: no descriptor, and no child."""
    one, two = apps
    write(tmp_path / 'run', 'exec > "$1"\necho run\nsleep 1000\n')
    with Mark(tmp_path / 'mark') as mark:
        shapes = (
            (one.table(state_file=f'{tmp_path}/a'), two.table()),
            (two.table(validate=f'sh {tmp_path}/run {mark.path}'),),
            (one.table(state_file=f'{tmp_path}/b'), two.table(signal='USR1')),
        )
        put(config, *shapes[0])
        with begun(config) as it:
            before = opened(it.pid)
            for number in range(4):
                for shape in (*shapes[1:], shapes[0]):
                    put(config, *shape, splay=f'{number}ms')
                    it.rest()
                    if shape is shapes[1]:
                        two.change()
                        it.poll()
                        assert mark.read() == 'run'
                # In the middle of a step it may have a file more.
                until(lambda: opened(it.pid) <= before, 'nothing else is open')


# A config file that is bad


def test_a_bad_file_is_refused_and_the_old_goes_on(
        config: str, apps: tuple[App, App],
) -> None:
    """With file, line and key, as at the start; and a good one is taken over then."""
    one, two = apps
    put(config, one.table(), two.table())
    with begun(config) as it:
        put(config, one.table(), two.table(intervall='30m'))
        it.rest('content due')
        held = it.until('held', reason='config')
        status = it.statuses()['']
        assert told(it, one)
        assert told(it, two)
        put(config, one.table(), two.table(interval='soon'))
        it.rest('content due')
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

    assert 'watch' not in held
    says = f'{config}:14: intervall: is not an option; did you mean interval?'
    assert held['message'] == f'{says}; what was there before goes on'
    assert status.endswith(f', held: {says}')
    assert 'exec' not in status
    assert f"{config}:14: interval: 'soon' is not a duration" in other['message']
    assert it.named('one').count('started') == 1


def test_a_bad_file_that_is_as_before_again_is_nothing(
        config: str, apps: tuple[App, App],
) -> None:
    """What was there before goes on, for it is what is there."""
    one, two = apps
    put(config, one.table(), two.table())
    with begun(config) as it:
        write(config, 'no TOML')
        it.rest('content due')
        held = it.until('held', reason='config')
        put(config, one.table(), two.table())
        it.rest()
        assert told(it, one)
        assert told(it, two)

    assert f"{config}:1: is not TOML: expected '=' after a key" in held['message']
    assert it.count('started') == 2
    assert it.count('held') == 1


def test_a_port_cannot_change(config: str, apps: tuple[App, App]) -> None:
    """Who asks there would find nobody; with it, nothing else is taken over.

    As with all that is refused, the file, the line and the key are said.
    """
    one, two = apps
    put(config, one.table())
    with begun(config) as it:
        put(config, one.table(), two.table(), listen='127.0.0.1:9')
        line = Path(config).read_text().partition('listen')[0].count('\n') + 1
        it.rest('content due')
        held = it.until('held', reason='config')
        put(config, one.table(), two.table())
        it.rest()
        it.until('started', watch='two')

    assert held['message'] == (
        f'{config}:{line}: listen: cannot change while it runs; start it anew; what '
        f'was there before goes on'
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
        begun = it.until('line')
        write(config, 'no TOML')
        it.send(signal.SIGHUP)
        it.until('line')
        held = it.until('line')
        it.stop()
        *_, stopped = it.seen

    assert ' started: one: polling ' in begun['message']
    assert f' held: {config}:1: is not TOML' in held['message']
    assert stopped['message'].endswith(' stopped: on SIGTERM')


def test_a_file_that_goes_away_is_unreadable_and_the_old_goes_on(
        config: str, apps: tuple[App, App],
) -> None:
    """Also where a directory or a FIFO takes its place; and back again."""
    one, _ = apps
    put(config, one.table())
    with begun(config) as it:
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
            assert 'watch' not in gone
            assert told(it, one)


def test_a_file_that_becomes_empty_is_distrusted(
        config: str, apps: tuple[App, App],
) -> None:
    """It is likely to be written just now."""
    one, _ = apps
    put(config, one.table())
    with begun(config) as it:
        write(config, '')
        it.poll()
        it.until('held', reason='became empty')
        assert told(it, one)
        put(config, one.table(interval='30m'))
        it.rest()
        it.until('started', watch='one')


# How a config file is replaced


@pytest.mark.parametrize('how', ['by a rename', 'in place'])
def test_a_file_may_be_replaced(how: str, config: str, apps: tuple[App, App]) -> None:
    """As editors do, and as shells do."""
    one, two = apps
    put(config, one.table())
    with begun(config) as it:
        if how == 'in place':
            with open(config, 'a', encoding='utf-8') as file:
                file.write(two.table())
        else:
            put(config, one.table(), two.table())
        it.rest()
        it.until('baseline', watch='two')
        assert told(it, two)


def test_a_file_may_be_in_a_config_map(tmp_path: Path, apps: tuple[App, App]) -> None:
    """Behind a ..data link, which is swapped; also for a bad one and back."""
    one, two = apps
    put(tmp_path / 'a', one.table())
    put(tmp_path / 'b', one.table(), two.table())
    texts = [(tmp_path / name).read_text() for name in ('a', 'b')]
    swap(f'{tmp_path}/map', {'w.toml': texts[0]})
    with begun(f'{tmp_path}/map/w.toml') as it:
        swap(f'{tmp_path}/map', {'w.toml': 'none'})
        it.rest('content due')
        it.until('held', reason='config')
        swap(f'{tmp_path}/map', {'w.toml': texts[1]})
        it.rest()
        it.until('baseline', watch='two')
        swap(f'{tmp_path}/map', {'w.toml': texts[0]})
        it.rest()
        it.until('stopped', watch='two')
        assert told(it, one)


def test_a_relative_file_is_found_again(
        tmp_path: Path, config: str, apps: tuple[App, App],
) -> None:
    """Where it was at the start."""
    one, two = apps
    put(config, one.table())
    with begun('pollreload.toml', cwd=tmp_path) as it:
        put(config, two.table())
        it.rest()
        it.until('stopped', watch='one')
        it.until('baseline', watch='two')


def test_a_change_while_it_starts_is_not_missed(
        tmp_path: Path, config: str, apps: tuple[App, App],
) -> None:
    """Between the first reading, by a child, and the first look."""
    one, two = apps
    put(tmp_path / 'later', one.table(interval='30m'), two.table())
    put(config, one.table())
    program = (
        'import os, sys\n'
        'from pollreload import __main__ as it\n'
        'from pollreload.commands import watch\n'
        'run = watch.run\n'
        'def late(*arguments):\n'
        f'    os.rename({str(tmp_path / "later")!r}, {config!r})\n'
        '    return run(*arguments)\n'
        'watch.run = late\n'
        'sys.exit(it.main())\n'
    )
    words = ('watch', '--config', config, '--log-format', 'json')
    with Several(subprocess.Popen(
        (sys.executable, '-c', program, *words), env=sidecar.environment(),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ), False) as it:
        it.until('baseline', watch='two')
        assert it.count('started', watch='one') == 2
        assert told(it, one)
        assert told(it, two)


def test_what_is_beside_the_file_stays(config: str, apps: tuple[App, App]) -> None:
    """The words of the command line go before what a later file says, too."""
    one, two = apps
    put(config, one.table(), log_format='text')
    with begun(config, '-v', form='json') as it:
        put(config, one.table(), two.table(), log_format='text')
        it.rest()
        it.until('polled', watch='two')

    assert not it.count('line')
