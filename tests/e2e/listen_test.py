"""watch --listen, by its command line: what is asked of a process that really runs."""
from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import xxhash

from pollreload.errors import UsageError
from pollreload.monitoring import http
from pollreload.monitoring.endpoint import Endpoint
from pollreload.monitoring.record import Record
from pollreload.settings import Plan, Settings
from tests.servers.harness import free_port, needed, until
from tests.support import sidecar, targets
from tests.support.probe import HEALTHZ, METRICS, PATHS, READYZ, ask, scrape, status
from tests.support.sidecar import (
    POLLRELOAD,
    Mark,
    Sidecar,
    environment,
    unique,
    watch,
    write,
)
from tests.support.targets import DEADLINE

PATH = 'app.conf'
CI = os.environ.get('CI')


@pytest.fixture
def port() -> int:
    """A port that nobody has."""
    return free_port()


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch, with its first content."""
    path = str(tmp_path / PATH)
    write(path, 'first')
    return path


@contextlib.contextmanager
def listening(port: int, *words: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch that has begun to listen."""
    with watch('--listen', f'127.0.0.1:{port}', *words, **rest) as it:
        it.until('started')
        yield it


@contextlib.contextmanager
def configured(path: str, *words: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch of a config file; what it says comes as lines of text."""
    child = subprocess.Popen(
        (*POLLRELOAD, 'watch', '--config', path, *words), env=environment(),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **rest,
    )
    with Sidecar(child, namespace=False) as it:
        yield it


def said(it: Sidecar, words: str) -> str:
    """Return the next line with some words in it."""
    while words not in (line := it.until('line')['message']):
        pass
    return str(line)


def traced(trace: Path) -> list[list[str]]:
    """Return the names of the system calls of each poll, with the sleep after it."""
    names = [line.partition('(')[0] for line in trace.read_text().splitlines()]
    ends = [at for at, name in enumerate(names) if name == 'rt_sigtimedwait']
    return [names[one + 1:other + 1] for one, other in itertools.pairwise(ends)]


# What is told, and counted


def test_a_change_shows_from_the_baseline_to_done(conf: str, port: int) -> None:
    """The digests are those of the log; a success has its date."""
    name = unique()
    began = time.time()
    with (
            targets.start('handler', name=name) as target,
            listening(port, '--process', name, conf) as it,
    ):
        baseline = it.until('baseline')
        # What a step says comes before what is known after it.
        it.status()
        first = scrape(port)
        write(conf, 'second')
        it.poll()
        it.until('delivered')
        changed = next(each for each in it.seen if each['event'] == 'changed')
        it.status()
        second = scrape(port)
        assert target.read() == 'HUP'

    assert first.labels('done_info', 'fingerprint') == {baseline['fingerprint']}
    assert second.labels('done_info', 'fingerprint') == {changed['fingerprint']}
    delivered = {'watch': name, 'outcome': 'delivered', 'reason': ''}
    assert first.value('deliveries_total', **delivered) == 0
    assert second.value('deliveries_total', **delivered) == 1
    assert first.value('last_success_timestamp_seconds') == 0
    assert began <= second.value('last_success_timestamp_seconds') <= time.time()
    assert second.value('due') == 0
    assert second.value('look_duration_seconds_count') > first.value(
        'look_duration_seconds_count')
    assert first.value('read_bytes_total') >= len('first')
    assert first.value('look_age_limit_seconds') == 3 * 3600


def test_what_is_held_shows_why(conf: str, port: int) -> None:
    """As the line of the log does, and no longer than it is."""
    name = unique()
    with listening(port, '--process', name, conf) as it:
        it.until('baseline')
        write(conf, 'second')
        it.poll()
        it.until('held')
        held = scrape(port)
        with targets.start('default', name=name):
            it.poll()
            it.until('held', reason='no handler')
            other = scrape(port)
        with targets.start('handler', name=name):
            it.poll()
            it.until('delivered')
            it.status()
            done = scrape(port)

    assert held.value('held', watch=name, reason='no target') == 1
    assert held.value('due', watch=name) == 1
    assert other.labels('held', 'reason') == {'no handler'}
    assert done.labels('held', 'reason') == set()
    assert done.value('due', watch=name) == 0


def test_what_fails_is_counted_by_its_reason(conf: str, port: int) -> None:
    """Who dies of it, and the wait until it is tried again."""
    name = unique()
    with (
            targets.start('default', name=name),
            listening(port, '--process', name, '--handler-check', 'off', conf) as it,
    ):
        it.until('baseline')
        write(conf, 'second')
        it.poll()
        it.until('failed', reason='died')
        it.until('held', reason='no target')
        it.status()
        got = scrape(port)

    assert got.value('deliveries_total', outcome='failed', reason='died') == 1
    assert got.value('failed_attempts') == 1
    assert 0 <= got.value('backoff_seconds') <= 60
    assert got.value('last_success_timestamp_seconds') == 0


def test_every_try_that_fails_is_counted(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """As often as the command ran, though the log says it once."""
    with Mark(tmp_path / 'runs') as mark:
        command = f"sh -c 'echo run >{mark.path}; exit 1'"
        with listening(port, '--exec', command, conf) as it:
            it.until('baseline')
            write(conf, 'second')
            it.poll()
            counts: list[float] = []
            for _ in range(3):
                assert mark.read() == 'run'
                until(
                    lambda: scrape(port).value('failed_attempts') > len(counts),
                    'that has ended',
                )
                counts.append(scrape(port).value(
                    'deliveries_total', outcome='failed', reason='exec',
                ))
            it.status()

    assert counts == [1, 2, 3]
    assert it.count('failed', reason='exec') == 1


def test_a_path_that_cannot_be_read_is_counted(conf: str, port: int) -> None:
    """The watch is alive all the same: it looks."""
    with listening(port, '--process', unique(), conf, f'{conf}.other') as it:
        it.until('baseline')
        it.until('unreadable')
        it.status()
        got = scrape(port)
        alive = status(port, HEALTHZ)

    assert got.value('unreadable_paths') == 1
    assert alive == 200


def test_a_ledger_that_cannot_be_written_is_counted(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """Though it is no delivery."""
    file = str(tmp_path / 'none' / 'ledger')
    (tmp_path / 'none').write_text('a file')
    words = ('--process', unique(), '--state-file', file, conf)
    with listening(port, *words) as it:
        it.until('baseline')
        it.status()
        got = scrape(port)

    assert got.labels('deliveries_total', 'outcome') == {'delivered'}
    assert got.labels('write_errors_total', 'file') == {'ledger', 'status file'}
    assert got.value('write_errors_total', file='status file') == 0
    assert it.count('failed', reason='ledger') == 1
    assert got.value('write_errors_total', file='ledger') == 1


def test_actions_are_deliveries(tmp_path: Path, port: int) -> None:
    """A command, then a request; the failed one by its kind."""
    conf, other = tmp_path / 'conf', free_port()
    conf.write_text('first')
    plan = tmp_path / 'plan.toml'
    plan.write_text(f'''
listen = "127.0.0.1:{port}"
[[watch]]
path = "{conf}"
exec = "true"
url = "http://127.0.0.1:{other}/reload"
settle = 0
interval = "50ms"
''')
    with configured(str(plan)) as it:
        said(it, 'failed')
        until(lambda: scrape(port).labels('held', 'reason') == {'url'}, 'it is held')
        got = scrape(port)

    assert got.value('deliveries_total', outcome='delivered', reason='') == 1
    assert got.value('deliveries_total', outcome='failed', reason='url') >= 1
    assert got.value('last_success_timestamp_seconds') == 0


def test_nothing_of_what_is_secret_is_answered(tmp_path: Path, port: int) -> None:
    """No content, no path, no argument, no credentials; not even what failed."""
    conf = tmp_path / 'secret-conf'
    conf.write_text('secret-content')
    plan = tmp_path / 'plan.toml'
    plan.write_text(f'''
listen = "127.0.0.1:{port}"
[[watch]]
name = "web"
path = "{conf}"
exec = ["echo secret-argument"]
url = "http://me:secret-password@127.0.0.1:{free_port()}/?token=secret-token"
verify = "false secret-verify"
settle = 0
''')
    with configured(str(plan)) as it:
        said(it, 'failed')
        answers = [ask(port, path) for path in (*PATHS, '/')]

    assert 'outcome="failed",reason="url",watch="web"' in answers[0].body
    for each in answers:
        assert 'secret' not in each.body
        assert 'secret' not in str(each.headers)


# Whether it is alive, and ready


def test_ready_once_there_is_a_baseline(conf: str, port: int) -> None:
    """Until a path can be read there is none; healthy it is."""
    os.unlink(conf)
    with listening(port, '--process', unique(), conf) as it:
        it.until('unreadable')
        it.status()
        before = status(port, READYZ), status(port, HEALTHZ)
        write(conf, 'first')
        it.poll()
        it.until('baseline')
        it.status()
        after = status(port, READYZ), status(port, HEALTHZ)

    assert before == (503, 200)
    assert after == (200, 200)


def test_ready_once_every_watch_has_its_baseline(tmp_path: Path, port: int) -> None:
    """Of several; the line says which has none."""
    plan = tmp_path / 'plan.toml'
    plan.write_text(f'''
listen = "127.0.0.1:{port}"
interval = "50ms"
process = "{unique()}"
[[watch]]
name = "one"
path = "{plan}"
[[watch]]
name = "other"
path = "{tmp_path}/none"
''')
    with configured(str(plan)) as it:
        said(it, 'one: ')
        said(it, 'unreadable: other: ')
        until(lambda: 'one: baseline taken\n' in ask(port, READYZ).body, 'a baseline')
        before = ask(port, READYZ)
        (tmp_path / 'none').write_text('first')
        until(lambda: status(port, READYZ) == 200, 'all are ready')

    assert before.status == 503
    assert before.body == 'one: baseline taken\nother: no baseline\n'


# A loop that stands still: after some steps it says so, and does this for ever.
STANDING = {
    'waits': 'threading.Event().wait()',
    'sleeps': 'time.sleep(1e6)',
    'is busy': 'any(False for _ in iter(int, 1))',
}


@pytest.mark.parametrize('how', STANDING)
def test_a_loop_that_stands_still_is_found(how: str, conf: str, port: int) -> None:
    """Three intervals later, and a second at least; the age goes on."""
    program = (
        'import sys, threading, time\n'
        'from pollreload.runtime import watch as loop\n'
        'from pollreload.__main__ import main\n'
        'step = loop.Watch.step\n'
        'def stands(watch):\n'
        '    step(watch)\n'
        '    if watch.state.version.state == "current":\n'
        '        print("stands", file=sys.stderr, flush=True)\n'
        f'        {STANDING[how]}\n'
        'loop.Watch.step = stands\n'
        'sys.exit(main())\n'
    )
    words = ('--listen', f'127.0.0.1:{port}', '--process', unique(), conf)
    command = (sys.executable, '-c', program, 'watch', *sidecar.QUICK, *words)
    with subprocess.Popen(
        (*command, '--interval', '100ms'), env=environment(measured=False),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as child:
        try:
            assert child.stderr is not None
            while child.stderr.readline() != b'stands\n':
                pass
            at_first = status(port, HEALTHZ)
            age = scrape(port).value('look_age_seconds')
            until(lambda: status(port, HEALTHZ) == 503, 'it is found')
            late = ask(port, HEALTHZ).body
            got = scrape(port)
            ready = status(port, READYZ)
        finally:
            child.kill()

    # Scraped after the probe, so at the time of the probe it was less.
    assert at_first == 200 or age > got.value('look_age_limit_seconds')
    assert re.fullmatch(r'e2e\S+: last look \d+\.\d s ago\n', late)
    assert got.value('look_age_seconds') > got.value('look_age_limit_seconds') == 1
    assert ready == 200


def test_a_probe_that_comes_with_a_long_interval_finds_it_alive(
        conf: str, port: int,
) -> None:
    """Polls that are an hour apart are no reason to be ended."""
    with listening(port, '--process', unique(), conf) as it:
        it.until('baseline')
        age = scrape(port).value('look_age_seconds')
        until(
            lambda: scrape(port).value('look_age_seconds') > age + 0.3, 'it is later',
        )
        assert status(port, HEALTHZ) == 200


# What goes wrong


class Refusal(NamedTuple):
    """What was said before the first look."""

    status: int
    lines: list[str]


def refusal(*words: str, **env: str) -> Refusal:
    """Return how a watch ends that does not begin."""
    done = subprocess.run(
        (*POLLRELOAD, 'watch', *words), env=environment(env), check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE,
    )
    assert done.stdout == ''
    return Refusal(done.returncode, done.stderr.splitlines())


REFUSED = {
    'in use': ('127.0.0.1:{port}', 'address already in use'),
    'in use at one address': (':{port}', 'address already in use'),
    'not ours': ('192.0.2.1:9533', 'cannot assign requested address'),
    'no such host': ('nobody.invalid:9533', ''),
    'no host': ('a..b:9533', ''),
    'brackets': ('::1:9533', 'without brackets; write [::1]:9533'),
    'no port': ('localhost', 'has no port'),
    'no port of IPv6': ('[::1]', 'has no port; write'),
    'port 0': (':0', 'no port from 1 to 65535'),
    'port 65536': (':65536', 'no port from 1 to 65535'),
    'a name': (':http', 'no port from 1 to 65535'),
    'a URL': ('http://localhost:9533', 'is a URL; write :9533, or HOST:9533'),
}


@pytest.mark.parametrize(('address', 'says'), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_had_is_refused_before_the_first_look(
        address: str, says: str, conf: str, port: int, tmp_path: Path,
) -> None:
    """In one line, with exit status 2, that names the option; or the file and key."""
    address = address.format(port=port)
    watched = ('--process', unique(), conf)
    plan = str(tmp_path / 'plan.toml')
    table = f'[[watch]]\nprocess = "{unique()}"\npath = "{conf}"\n'
    write(plan, f'# it is\n\nlisten = "{address}"\n{table}')
    bare = str(tmp_path / 'bare.toml')
    write(bare, table)
    with socket.create_server(('127.0.0.1', port)):
        got = [
            refusal('--listen', address, *watched),
            refusal(*watched, POLLRELOAD_LISTEN=address),
            refusal('--config', bare, '--listen', address),
            refusal('--config', plan),
        ]

    for each in got:
        assert (each.status, len(each.lines)) == (2, 1), each
        assert says in each.lines[0]
        assert each.lines[0].startswith('pollreload: ')
    for each, names in zip(got[:3], (
            ('--listen',), ('POLLRELOAD_LISTEN', '--listen'), ('--listen',),
    ), strict=True):
        assert any(name in each.lines[0] for name in names)
        assert '.toml' not in each.lines[0]
    assert got[3].lines[0].startswith(f'pollreload: {plan}:3: listen: ')


def test_a_config_file_gives_way_to_the_command_line(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """The port that is given beside it is the one."""
    plan, other = tmp_path / 'plan.toml', free_port()
    write(plan, f'listen = "127.0.0.1:{other}"\n[[watch]]\nprocess = "a"\n'
                f'path = "{conf}"\n')
    with configured(str(plan), '--listen', f'127.0.0.1:{port}') as it:
        said(it, 'baseline')

        until(lambda: status(port, READYZ) == 200, 'it is ready')
        assert status(other, READYZ) == 0


@pytest.mark.parametrize('command', ['check', 'smoke', 'digest'])
def test_who_does_not_stay_has_no_port(command: str) -> None:
    """It is an option of those that watch, or would."""
    done = subprocess.run(
        (*POLLRELOAD, command, '--listen', ':9533', 'x'), env=environment(),
        capture_output=True, text=True, check=False, timeout=DEADLINE,
    )

    assert done.returncode == 2
    assert 'no such option' in done.stderr.lower()


# Who asks does not disturb


def test_whoever_asks_the_loop_goes_on(conf: str, port: int) -> None:
    """Clients that hang, send rubbish or go away, many at once; stderr is the log's."""
    name, over = unique(), threading.Event()
    rubbish = (b'', b'GET /metrics HTTP/1.0\r\n\r\n', b'\0' * 100 + b'\r\n\r\n',
               b'GET /healthz HTTP/1.1\r\nHost: a')

    def bother() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), socket.socket() as caller:
                caller.settimeout(0.05)
                caller.connect(('127.0.0.1', port))
                caller.sendall(rubbish[os.getpid() % 4])
                for words in rubbish:
                    caller.sendall(words)
                caller.recv(100)

    with (
            targets.start('handler', name=name) as target,
            listening(port, '--process', name, conf) as it,
    ):
        it.until('baseline')
        crowd = [threading.Thread(target=bother) for _ in range(4)]
        for each in crowd:
            each.start()
        try:
            for number in range(5):
                write(conf, f'content {number}')
                it.poll()
                it.until('delivered')
                assert target.read() == 'HUP'
        finally:
            over.set()
            for each in crowd:
                each.join()
        ended = it.stop()

    assert ended == 0
    assert {each['event'] for each in it.seen} == {
        'started', 'baseline', 'changed', 'signalled', 'delivered', 'status', 'stopped',
    }


@pytest.mark.parametrize('namespace', [False, True])
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_it_while_clients_hang(
        number: signal.Signals, namespace: bool, conf: str, port: int,
) -> None:
    """It does not wait for their deadline; also as pid 1. The port is free again."""
    program = (
        'import sys\n'
        'from pollreload.monitoring import http\n'
        'from pollreload.__main__ import main\n'
        'http.PATIENCE = 1e6\n'
        'sys.exit(main())\n'
    )
    words = ('--listen', f'127.0.0.1:{port}', '--process', unique(), conf)
    with watch(
            *words, namespace=namespace, program=(sys.executable, '-c', program),
    ) as it, contextlib.ExitStack() as stack:
        it.until('baseline')
        for _ in range(8):
            stack.enter_context(socket.create_connection(('127.0.0.1', port)))
        assert status(port, HEALTHZ) == 200
        it.send(number)
        it.until('stopped', signal=number.name)
        assert it.wait() == 0

    socket.create_server(('127.0.0.1', port)).close()


def test_what_a_command_leaves_behind_holds_no_port(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """A daemon that an --exec has started lives on, and the next watch has the port."""
    mark = tmp_path / 'pid'
    script = tmp_path / 'daemon'
    script.write_text(
        f'#!/bin/sh\nsetsid sh -c "echo \\$\\$ >{mark}.new; mv {mark}.new {mark}; '
        f'exec sleep 600" </dev/null >/dev/null 2>&1 &\n'
        f'until [ -e {mark} ]; do sleep 0.05; done\n',
    )
    script.chmod(0o755)
    words = ('--exec', str(script), '--on-start', 'always', conf)
    try:
        # What it logs of a command is judged elsewhere.
        with watch(
                '--listen', f':{port}', *words, '--log-format', 'text',
        ) as it:
            said(it, 'delivered')
            assert it.stop() == 0
        os.kill(int(mark.read_text()), 0)
        with listening(port, '--process', unique(), conf) as other:
            other.until('baseline')
            other.status()
            assert status(port, READYZ) == 200
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.kill(int(mark.read_text()), signal.SIGKILL)


# A config file that is read anew


def plan_of(port: int, conf: str, *names: str, more: str = '') -> str:
    """Return a config file with a watch for each name."""
    tables = ''.join(
        f'[[watch]]\nname = "{name}"\nprocess = "{name}-{os.getpid()}"\n'
        f'path = "{conf}"\n{more}' for name in names
    )
    return f'listen = "127.0.0.1:{port}"\ninterval = "50ms"\nsettle = 0\n{tables}'


def taken(port: int) -> float:
    """Return when the config file was last taken over."""
    return scrape(port).value('config_last_reload_success_timestamp_seconds')


def test_counts_go_on_over_a_config_that_is_read_anew(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """Of a watch that is the same; those of one that is gone go, a new one comes."""
    plan = str(tmp_path / 'plan.toml')
    write(plan, plan_of(port, conf, 'stays', 'goes'))
    with configured(plan) as it:
        until(lambda: status(port, READYZ) == 200, 'all are ready')
        looks = 'look_duration_seconds_count'
        until(lambda: scrape(port).value(looks, watch='stays') > 9, 'some looks')
        before, since = scrape(port), taken(port)
        write(plan, plan_of(port, conf, 'stays', 'comes', more='rehash = "24h"\n'))
        until(lambda: taken(port) > since, 'it is taken over')
        after = scrape(port)
        settings = ask(port, READYZ).body
        it.send(signal.SIGTERM)
        assert it.wait() == 0

    names = ('look_duration_seconds_count', 'look_duration_seconds_sum',
             'read_files_total', 'read_bytes_total')
    assert before.labels('due', 'watch') == {'stays', 'goes'}
    assert after.labels('due', 'watch') == {'stays', 'comes'}
    for name in names:
        assert after.value(name, watch='stays') >= before.value(name, watch='stays')
    assert before.value('config_last_reload_successful') == 1
    assert after.value('config_last_reload_successful') == 1
    assert settings.startswith('stays: baseline taken\n')


def test_a_config_that_is_refused_shows_until_it_is_mended(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """What was there before goes on; a port cannot change."""
    plan = str(tmp_path / 'plan.toml')
    good = plan_of(port, conf, 'web')
    write(plan, good)

    def successful(value: float) -> bool:
        return scrape(port).value('config_last_reload_successful') == value

    with configured(plan):
        until(lambda: status(port, READYZ) == 200, 'it is ready')
        for bad in ('nonsense', good.replace(str(port), str(free_port()))):
            write(plan, bad)
            until(lambda: successful(0), 'it is refused')
            since = taken(port)
            assert status(port, HEALTHZ) == 200
            write(plan, good)
            until(lambda: successful(1), 'it is mended')
            assert taken(port) > since


class Fake(SimpleNamespace):
    """A watch as far as an endpoint needs one."""


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is started."""
    monkeypatch.setattr(http.Server, 'start', lambda _: None)


@pytest.mark.usefixtures('quiet')
def test_record_goes_on_with_the_successor_of_a_watch(port: int) -> None:
    """It then goes by the new settings, and the old list is shown until it changes."""
    it = Endpoint(Plan((), '', ('127.0.0.1', port)))
    with it.server.listener:
        one, two = (
            Fake(record=it.record(Settings(process=name), None))
            for name in ('one', 'two')
        )
        watches: list[Any] = [one, two]
        it.follow(watches, None)
        first = it.records()
        settings = Settings(process='one', interval=60.0)
        successor = it.record(settings, one)  # type: ignore[arg-type]
        during = it.records()
        watches[:] = [Fake(record=successor)]

        assert it.config() is None
        assert first == during == [one.record, two.record]
        assert it.records() == [successor] == [one.record]
        assert successor.settings == settings


@pytest.mark.usefixtures('quiet')
def test_the_watch_of_the_config_file_has_no_record(port: int) -> None:
    """What it counts is shown as that of the file."""
    it = Endpoint(Plan((), '', ('127.0.0.1', port)))
    with it.server.listener:
        record = Record(Settings())
        watches: list[Any] = [Fake(record=None), Fake(record=record)]
        it.follow(watches, None)

        assert it.records() == [record]
        assert it.record(Settings(), watches[0]) is not record


def test_a_port_in_use_is_reported_by_its_origin(port: int) -> None:
    """As the plan names it."""
    plan = Plan((), 'f.toml', ('127.0.0.1', port), 'f.toml:3: listen:')
    with (
            socket.create_server(('127.0.0.1', port)),
            pytest.raises(UsageError, match=r'^f\.toml:3: listen: 127\.0\.0\.1:\d+: '),
    ):
        Endpoint(plan)


# What it costs


def modules(*words: str) -> set[str]:
    """Return what a watch has imported at its end, after a change was told."""
    packages = os.path.dirname(os.path.dirname(os.path.abspath(xxhash.__file__)))
    program = (
        'import atexit, os, sys\n'
        'say = lambda: os.write(2, " ".join(sys.modules).encode() + b"\\n")\n'
        'atexit.register(say)\n'
        'from pollreload.__main__ import main\n'
        'sys.exit(main())\n'
    )
    # Without site, whose .pth files may import anything.
    command = (sys.executable, '-S', '-c', program, 'watch', *sidecar.QUICK, *words)
    with Sidecar(subprocess.Popen(
        (*command, '--interval', '1h'),
        env=environment({'PYTHONPATH': f'{sidecar.ROOT}:{packages}'}, False),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ), False) as it:
        it.until('baseline')
        it.poll()
        it.stop()
    return {*it.seen[-1]['message'].split()}


def test_nobody_else_pays_for_it(conf: str, port: int) -> None:
    """A plain watch imports nothing of it, nor of HTTP, sockets and threads."""
    words = ('--process', unique(), conf)
    plain = modules(*words)
    listens = modules('--listen', f'127.0.0.1:{port}', *words)

    ours = {'pollreload.monitoring.metrics', 'pollreload.monitoring.http', 'socket'}
    costly = {
        'prometheus_client', 'http.server', 'socketserver', 'threading', 'email',
        'ssl', 'importlib.metadata', 'urllib',
    }
    assert 'pollreload.commands.watch' in plain
    assert plain.isdisjoint(ours | costly)
    assert listens > ours
    assert listens.isdisjoint(costly | {
        'click', 'pollreload.cli.main', 'pollreload.cli.config_file',
    })


def idle_poll(trace: Path, *words: str) -> list[str]:
    """Return the system calls of the loop in a poll that finds nothing, most often."""
    strace = needed('strace', 'strace')
    with watch(*words, '--interval', '20ms', '--rehash', '24h') as it:
        it.until('baseline')
        # Without -f: of the first thread alone, which is the loop.
        with subprocess.Popen(
            (strace, '-o', str(trace), '-p', str(it.pid)),
            stderr=subprocess.PIPE, text=True,
        ) as tracer:
            try:
                assert tracer.stderr is not None
                assert 'attached' in tracer.stderr.readline()
                until(
                    lambda: len(traced(trace)) > 20
                    and not any('read' in poll for poll in traced(trace)[-20:]),
                    'twenty polls that read nothing',
                )
            finally:
                tracer.terminate()
        it.stop()
    polls = Counter(tuple(poll) for poll in traced(trace)[-20:])
    return [*polls.most_common(1)[0][0]]


def test_an_idle_poll_is_the_same_with_a_port(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """The thread that answers costs the loop no system call, and waits by itself."""
    words = ('--process', unique(), conf)
    plain = idle_poll(tmp_path / 'plain', *words)
    listens = idle_poll(
        tmp_path / 'listens', '--listen', f'127.0.0.1:{port}', *words,
    )

    assert listens == plain
    assert len(plain) <= 5


def test_nobody_who_asks_costs_nothing(conf: str, port: int, tmp_path: Path) -> None:
    """While there is no client nothing of it wakes up, over more than a second."""
    strace = needed('strace', 'strace')
    trace = tmp_path / 'trace'
    words = ('-v', '--interval', '20ms', '--process', unique(), conf)
    with listening(port, *words) as it:
        it.until('baseline')
        assert status(port, HEALTHZ) == 200
        tasks = f'/proc/{it.pid}/task'
        assert len(os.listdir(tasks)) == 2
        with subprocess.Popen(
            (strace, '-f', '-o', str(trace), '-p', str(it.pid)),
            stderr=subprocess.PIPE, text=True,
        ) as tracer:
            try:
                assert tracer.stderr is not None
                assert 'attached' in tracer.stderr.readline()
                for _ in range(60):
                    it.until('polled')
            finally:
                tracer.terminate()
        it.stop()
    lines = trace.read_text().splitlines()
    others = [line for line in lines if not line.startswith(f'{it.pid} ')]

    assert len(lines) > 120
    # What it was waiting in when it was attached to, and that it was let go.
    assert len(others) <= 2, others


@pytest.mark.skipif(shutil.which('promtool') is None and not CI, reason='no promtool')
def test_promtool_has_nothing_to_say(conf: str, port: int) -> None:
    """Of names, types and help; and curl gets what it asks for."""
    with listening(port, '--process', unique(), conf) as it:
        it.until('baseline')
        got = subprocess.run(
            (needed('curl', 'curl'), '-sf', f'http://127.0.0.1:{port}{METRICS}'),
            capture_output=True, check=True, timeout=DEADLINE,
        )
    done = subprocess.run(
        (needed('promtool', 'prometheus'), 'check', 'metrics'), input=got.stdout,
        capture_output=True, check=False, timeout=DEADLINE,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b'', b'')


def words_of(help_of: Sequence[str]) -> str:
    """Return what a command says of itself, in one line."""
    done = subprocess.run(
        (*POLLRELOAD, *help_of, '--help'), env=environment(), capture_output=True,
        text=True, check=True, timeout=DEADLINE,
    )
    return ' '.join(done.stdout.split())


def test_help_says_where_it_answers() -> None:
    """All three paths."""
    says = words_of(('watch',))

    assert '--listen ADDRESS' in says
    for path in PATHS:
        assert path in says
