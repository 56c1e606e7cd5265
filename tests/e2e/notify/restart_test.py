"""Actions that go on after a restart."""
from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from pollreload.system import ledger_file
from tests.support import targets
from tests.support.sidecar import check, unique, watch, write
from tests.support.url_server import HANG, Book, Server, answer, events, watching


def test_a_restart_goes_on_where_it_was(
        conf: str, server: Server, book: Book, tmp_path: Path,
) -> None:
    """TERM after the first of two: only the second is done by the next watch."""
    server.answers.append(answer('500 No'))
    args = (
        '--state-file', str(tmp_path / 'ledger'), '--exec', book.note('a'), '--url',
        server.url('/x'), '--on-start', 'auto', conf,
    )
    with watch(*args) as it:
        it.until('failed', reason='url')
        assert it.stop() == 0
    with watch(*args) as it:
        it.until('delivered', url=server.url('/x'))
        write(conf, 'second')
        it.poll()
        it.until('delivered', url=server.url('/x'))
        it.stop()
    with watch(*args) as it:
        it.until('started')
        it.poll()
        it.poll()
        idle = events(it)

    assert book.read() == ['a', 'a']
    assert len(server.requests) == 3
    assert idle == []


def test_a_run_that_is_killed_leaves_the_mark(
        conf: str, server: Server, book: Book, tmp_path: Path,
) -> None:
    """KILL while a request hangs: no one knows what came of it, so it is sent again."""
    server.answers.append(HANG)
    path = str(tmp_path / 'ledger')
    args = (
        '--state-file', path, '--exec', book.note('a'), '--url', server.url('/x'),
        '--url-timeout', '1h', conf,
    )
    with watching(*args) as it:
        write(conf, 'second')
        it.poll()
        server.until(1)
        kept = ledger_file.peek(path)
        child = targets.only_child(it.pid)
        it.send(signal.SIGKILL)
        it.wait()
        # The child of a watch that is killed lives on until there is an answer.
        os.kill(child, signal.SIGKILL)
    with watch(*args) as it:
        it.until('delivered', url=server.url('/x'))

    assert kept is not None
    attempt: Any = kept['attempt']
    assert (kept['done'], attempt['acted']) == ('', 1)
    assert book.read() == ['a']
    assert len(server.requests) == 2


def test_the_mark_is_there_before_anything_is_begun(
        conf: str, tmp_path: Path,
) -> None:
    """A command can see it: what was done is not done any more."""
    path, seen = str(tmp_path / 'ledger'), tmp_path / 'seen'
    args = ('--state-file', path, '--exec', f'cp {path} {seen}')
    with watching(*args, conf) as it:
        it.poll()
        before = ledger_file.peek(path)
        write(conf, 'second')
        it.poll()
        it.until('delivered')
    marked = json.loads(seen.read_text())

    assert before is not None
    assert before['done']
    assert (marked['done'], marked['attempt']['acted']) == ('', 0)
    assert marked['attempt']['fingerprint'] == marked['seen'] != before['done']


def test_what_was_half_delivered_is_delivered_again_when_it_goes_back(
        conf: str, server: Server, book: Book,
) -> None:
    """Rule 2: the second failed half way, and the first is there again."""
    server.answers.append(answer('500 No'))
    args = ('--exec', book.note('a'), '--url', server.url('/x'))
    with watching(*args, conf) as it:
        write(conf, 'second')
        it.poll()
        it.until('failed', reason='url')
        write(conf, 'first')
        it.poll()
        it.until('delivered', url=server.url('/x'))

    assert book.read() == ['a', 'a']


def test_without_a_process_it_is_done_at_the_start(
        conf: str, server: Server, tmp_path: Path,
) -> None:
    """Once, because the version in use is unknown; with a ledger, that is known."""
    args = (
        '--state-file', str(tmp_path / 'ledger'), '--url', server.url('/x'),
        '--on-start', 'auto', conf,
    )
    with watch(*args) as it:
        baseline = it.until('baseline')
        it.until('delivered')
        it.poll()
    with watch(*args) as it:
        it.until('started')
        it.poll()

    assert baseline['message'].endswith(
        '; will be delivered once: the version in use is unknown',
    )
    assert len(server.requests) == 1


def test_verify_comes_last_and_says_so(
        conf: str, server: Server, book: Book, tmp_path: Path,
) -> None:
    """Without a process: asked until it agrees, with no pid in its environment."""
    args = (
        '--exec', book.note('a'), '--url', server.url('/x'), '--verify',
        book.note('v', f'echo ${{POLLRELOAD_PID-none}} >>{book.path}\n'
                       f'mkdir {tmp_path}/first 2>/dev/null && exit 1\nexit 0'),
    )
    with watching(*args, conf) as it:
        write(conf, 'second')
        it.poll()
        verified = it.until('verified')
        it.stop()

    assert verified['message'] == f'reloaded after POST {server.url("/x")}'
    assert {*verified} == {'time', 'level', 'event', 'message', 'watch', 'pid'}
    assert book.read() == ['a', 'v', 'none', 'v', 'none']
    assert 'not verified' not in str(it.seen)


def test_command_finds_what_changed_in_its_environment(
        tmp_path: Path, book: Book,
) -> None:
    """A shell loop over the names meets each file once, also one with a newline."""
    below = tmp_path / 'conf.d'
    below.mkdir()
    (below / 'one').write_text('first')
    loop = (
        f'[ -n "$POLLRELOAD_CHANGED" ] || exit 0\n'
        f'printf "%s\\n" "$POLLRELOAD_CHANGED" | while IFS= read -r name; do\n'
        f'test -f "$name" && echo "${{name#{below}/}}" >>{book.path}; done\n'
        f'echo "$POLLRELOAD_CHANGED_MORE" "${{POLLRELOAD_PID-none}}" '
        f'"[$POLLRELOAD_WATCH]" >>{book.path}\n'
        f'echo "$POLLRELOAD_PREVIOUS" "$POLLRELOAD_FINGERPRINT" >>{book.path}\n'
    )
    outer = {'POLLRELOAD_PID': '1', 'POLLRELOAD_CHANGED': '/outer'}
    with watching('--exec', book.note('ran', loop), str(below), env=outer) as it:
        (before,) = (each for each in it.seen if each['event'] == 'baseline')
        (below / 'one').write_text('second')
        (below / 'two words').write_text('new')
        (below / 'new\nline').write_text('new')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')
        it.stop()

    assert book.read() == [
        'ran', 'one', 'two', 'words', '1', 'none', '[]',
        before['fingerprint'], changed['fingerprint'],
    ]


def test_verify_that_disagrees_has_all_done_again(
        conf: str, server: Server, book: Book,
) -> None:
    """Three times in all, and then it is held until the files change."""
    args = (
        '--exec', book.note('a'), '--url', server.url('/x'), '--verify', 'false',
        '--command-timeout', '1s', conf,
    )
    with watching(*args) as it:
        write(conf, 'second')
        it.poll()
        for _ in range(3):
            failed = it.until('failed', reason='not verified')
            it.poll()
        held = it.until('held', reason='limit')
        it.poll()

    assert failed['message'] == (
        'every action succeeded, but 1 s later --verify false does not agree '
        '(exit status 1)'
    )
    assert held['message'] == (
        f'POST {server.url("/x")} succeeded 3 times for this version, and --verify '
        f'never agreed; held until the files change'
    )
    assert book.read() == ['a'] * 3
    assert len(server.requests) == 3


def test_check_does_it_and_is_silent_then(
        conf: str, server: Server, book: Book, tmp_path: Path,
) -> None:
    """0 where all is done; what it did is its answer, what is not due is none."""
    args = (
        '--state-file', str(tmp_path / 'ledger'), '--exec', book.note('a'), '--url',
        server.url('/x'), conf,
    )
    first = check(*args)
    write(conf, 'second')
    second = check(*args)
    third = check(*args)

    assert (first.status, second.status, third.status) == (0, 0, 0)
    assert (first.out, third.out, third.events) == ('', '', [])
    assert second.out.splitlines() == [
        f'delivered: --exec {book.directory}/a succeeded; reload not verified',
        f'delivered: POST {server.url("/x")} answered 200; reload not verified',
    ]
    assert book.read() == ['a']


def test_check_goes_on_where_the_last_one_failed(
        conf: str, server: Server, book: Book, tmp_path: Path,
) -> None:
    """1 while it is not done; each run is one try."""
    server.answers += [answer('500 No', 'why')] * 2
    args = (
        '--state-file', str(tmp_path / 'ledger'), '--exec', book.note('a'), '--url',
        server.url('/x'), '--output', 'json', conf,
    )
    check(*args)
    write(conf, 'second')
    runs = [check(*args) for _ in range(4)]

    assert [each.status for each in runs] == [1, 1, 0, 0]
    assert book.read() == ['a']
    said = json.loads(runs[0].out)
    assert said['status'] == 1
    assert said['events'][-1] == {
        'event': 'failed', 'message': f'POST {server.url("/x")} answered 500: why',
        'reason': 'url', 'url': server.url('/x'),
    }


def test_check_ends_in_time(conf: str, server: Server, tmp_path: Path) -> None:
    """--timeout is for all of it; what is under way is ended, and stays due."""
    server.answers.extend([HANG] * 100)
    args = ('--state-file', str(tmp_path / 'ledger'), '--url', server.url('/x'), conf)
    check(*args)
    write(conf, 'second')

    # On a busy machine the time may be over before the request is sent.
    while not server.requests:
        got = check(*args, '--timeout', '500ms')
    server.until(1, closed=1)
    server.answers.clear()
    again = check(*args)

    assert (got.status, again.status) == (1, 0)
    assert got.named('failed')[0]['message'] == (
        f'not done within 0.5 s (--timeout), still waiting for POST {server.url("/x")}'
    )


@pytest.mark.parametrize('process', [True, False])
def test_dry_run_says_all_that_it_would_do(
        conf: str, server: Server, book: Book, tmp_path: Path, process: bool,
) -> None:
    """Names what would be notified and done; nothing is, and nothing is written.
    """
    name = unique()
    path = tmp_path / 'ledger'
    args = (
        *(('--process', name) if process else ()), '--state-file', str(path), '--exec',
        book.note('a'), conf,
    )
    env = {'POLLRELOAD_URL': server.url('/x?y=z')}
    with targets.start('handler', name=name) as target:
        check(*args, env=env)
        write(conf, 'second')
        before = path.read_bytes()
        got = check(*args, '--dry-run', env=env)
        target.signal(signal.SIGUSR1)
        assert target.read() == 'USR1'

    signalled = [f'would: send SIGHUP to {name} (pid {target.pid})'] * process
    assert got.out.splitlines() == [
        *signalled, f'would: do --exec {book.directory}/a',
        f'would: do POST {server.url("/x")}',
    ]
    assert got.status == 1
    assert (book.read(), server.requests, path.read_bytes()) == ([], [], before)


def test_each_has_a_ledger_of_its_own(
        conf: str, server: Server, tmp_path: Path,
) -> None:
    """What is done is part of what is remembered; the process that asks is not."""
    env = {'XDG_STATE_HOME': str(tmp_path / 'state')}
    for args in (
        ('--exec', 'true'), ('--exec', 'true 1'), ('--url', server.url('/x')),
        ('--url', server.url('/x'), '--url-method', 'PUT'),
        ('--url', server.url('/x'), '--exec', 'true'),
        ('--process', unique(), '--exec', 'true'),
    ):
        assert check('-v', *args, conf, env=env).named('baseline')
        assert not check('-v', *args, conf, env=env).named('baseline')
    secret = {**env, 'POLLRELOAD_URL': server.url('/x', 'us3r:pa55word@')}

    assert not check('-v', conf, env=secret).named('baseline')
