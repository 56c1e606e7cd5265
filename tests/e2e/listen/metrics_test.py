"""The metrics that a running watch counts."""
from __future__ import annotations

import time
from pathlib import Path

from tests.servers.harness import free_port, until
from tests.support import targets
from tests.support.listening import configured, listening, said
from tests.support.probe import HEALTHZ, PATHS, ask, scrape, status
from tests.support.sidecar import (
    Mark,
    unique,
    write,
)


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
    args = ('--process', unique(), '--state-file', file, conf)
    with listening(port, *args) as it:
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
    """No version, no path, no argument, no credentials; not even what failed."""
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
