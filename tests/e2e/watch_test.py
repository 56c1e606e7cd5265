"""pollreload watch, by its command line: options, signals, and what the world does."""
from __future__ import annotations

import compileall
import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xxhash

from pollreload.system import ledger_file
from tests.support import sidecar, targets
from tests.support.sidecar import Mark, Sidecar, unique, watch, write

STRACE = shutil.which('strace')
CI = os.environ.get('CI')
MOST_MEMORY = 14_500  # kB, of a watch on one file


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch, with its first content."""
    path = str(tmp_path / 'app.conf')
    write(path, 'first')
    return path


@pytest.fixture
def target() -> Iterator[targets.Target]:
    """A process with a handler; its name is .name."""
    name = unique()
    with targets.start('handler', name=name) as it:
        yield it


def comm(target: targets.Target) -> str:
    """Return the name of a target."""
    with open(f'/proc/{target.pid}/comm', encoding='utf-8') as file:
        return file.read().removesuffix('\n')


@contextlib.contextmanager
def watching(target: targets.Target, *words: str, **rest: Any) -> Iterator[Sidecar]:
    """A watch on a target that has taken its baseline."""
    with watch('--process', comm(target), *words, **rest) as it:
        it.until('baseline')
        yield it


def untold(target: targets.Target) -> bool:
    """Return whether a target lives and has seen no signal since the last one read."""
    target.signal(signal.SIGUSR1)
    return target.read() == 'USR1'


def told(it: Sidecar, conf: str, target: targets.Target) -> bool:
    """Return whether a change that is made now is told, once."""
    write(conf, f'{conf} {time.monotonic_ns()}')
    it.poll()
    it.until('delivered')
    return target.read() == 'HUP' and not it.poll() and untold(target)


# From the first line to the last


def test_change_is_told_once_and_said_in_order(
        conf: str, target: targets.Target,
) -> None:
    """One line for each event, none for an idle poll, and 0 at the end."""
    with watching(target, conf) as it:
        idle = it.poll()
        write(conf, 'second')
        it.poll()
        it.until('delivered')
        got = target.read()
        write(conf, 'second')
        same = it.poll()
        alone = untold(target)
        status = it.stop()

    assert status == 0
    assert (idle, same, got, alone) == ([], [], 'HUP', True)
    assert [each['event'] for each in it.seen if each['event'] != 'status'] == [
        'started', 'baseline', 'changed', 'signalled', 'delivered', 'stopped',
    ]


def test_well_known_sidecar_variables_are_enough(
        conf: str, target: targets.Target,
) -> None:
    """FILE, PROCESS and SIGNAL: a manifest works with only the image changed."""
    env = {'FILE': conf, 'PROCESS': comm(target), 'SIGNAL': 'SIGHUP'}
    with watch(env=env) as it:
        it.until('baseline')
        assert told(it, conf, target)


def test_variables_that_kubernetes_makes_up_are_left_alone(
        conf: str, target: targets.Target,
) -> None:
    """A Service called pollreload must not stop the sidecar."""
    env = {
        'POLLRELOAD_SERVICE_HOST': '10.0.0.1', 'POLLRELOAD_PORT': 'tcp://10.0.0.1:80',
        'POLLRELOAD_SETTLE': '', 'POLLRELOAD_PROCESS': comm(target),
        'POLLRELOAD_FILE': f'{conf}:{conf}.other',
    }
    with watch(env=env) as it:
        started = it.until('started')
        it.until('baseline')

    assert started['paths'] == [conf, f'{conf}.other']


def test_usage_error_is_2() -> None:
    """What the child finds wrong with the words is our status."""
    with watch('--interval', '0') as it:
        status = it.wait()

    assert status == 2
    assert len(it.seen) == 1
    assert '--interval' in it.seen[0]['message']


def test_help_is_0() -> None:
    """--help prints on stdout and ends."""
    with watch('--help', stdout=subprocess.PIPE) as it:
        status = it.wait()
        assert it.child.stdout is not None
        said = it.child.stdout.read()

    assert status == 0
    assert b'--handler-check' in said


# Options


def test_settle_waits_for_a_second_sight(conf: str, target: targets.Target) -> None:
    """What was seen once, or not long enough, is not told."""
    with watching(target, '--settle', '1h', conf) as it:
        write(conf, 'second')
        it.poll()
        it.poll()
        status = it.status()
        alone = untold(target)

    assert 'content settling' in status
    assert alone
    assert it.count('changed') == 0


def test_settled_content_is_told_without_another_poll(
        conf: str, target: targets.Target,
) -> None:
    """After first sight the next look comes after --settle, not after the interval."""
    with watching(target, '--settle', '30ms', conf) as it:
        write(conf, 'second')
        it.poll()
        it.until('delivered')

    assert target.read() == 'HUP'


def test_empty_file_is_distrusted(conf: str, target: targets.Target) -> None:
    """A file that became empty is held, and told once --empty-grace is over."""
    with watching(target, '--empty-grace', '200ms', conf) as it:
        write(conf, '')
        it.poll()
        held = it.until('held', reason='became empty')
        assert untold(target)
        it.until('delivered')

    assert held['message'].startswith(f'{conf} became empty')
    assert target.read() == 'HUP'


def test_ignored_names_are_no_change(tmp_path: Path, target: targets.Target) -> None:
    """--ignore adds to the usual litter below a directory."""
    watched = tmp_path / 'conf.d'
    watched.mkdir()
    (watched / 'one.conf').write_text('first')
    with watching(target, '--ignore', '*.skip', str(watched)) as it:
        for litter in ('a.skip', 'a~', '.a.swp', '..a'):
            (watched / litter).write_text('x')
        it.poll()
        assert untold(target)
        (watched / 'one.conf').unlink()
        (watched / 'two.conf').write_text('x')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')

    assert changed['files'] == [f'{watched}/one.conf', f'{watched}/two.conf']
    assert changed['count'] == 2
    assert it.count('changed') == 1


def test_empty_ignore_forgets_the_litter(
        tmp_path: Path, target: targets.Target,
) -> None:
    """--ignore '' is how to watch a file that counts as litter."""
    watched = tmp_path / 'conf.d'
    watched.mkdir()
    with watching(target, '--ignore', '', str(watched)) as it:
        (watched / 'a~').write_text('x')
        it.poll()
        changed = it.until('changed')

    assert changed['files'] == [f'{watched}/a~']


def test_many_changes_are_one_line(tmp_path: Path, target: targets.Target) -> None:
    """Five names and how many more; the target is told once."""
    for number in range(9):
        (tmp_path / f'{number}').write_text('first')
    with watching(target, str(tmp_path)) as it:
        for number in range(9):
            (tmp_path / f'{number}').write_text('second')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')
        got = target.read()
        alone = untold(target)

    assert changed['message'].endswith('/4 and 4 more')
    assert changed['count'] == 9
    assert (got, alone) == ('HUP', True)


def test_young_target_is_spared(conf: str, target: targets.Target) -> None:
    """--min-uptime: a target that still starts may not have its handler yet."""
    with watching(target, '--min-uptime', '1h', conf) as it:
        write(conf, 'second')
        it.poll()
        held = it.until('held')
        alone = untold(target)

    assert held['reason'] == 'too young'
    assert 'younger than 3600 s (--min-uptime)' in held['message']
    assert alone


def test_survive_0_does_not_look(conf: str) -> None:
    """What was sent counts as delivered, also to a target that died of it."""
    with (
        targets.start('default', name=unique()) as target,
        watching(target, '--survive', '0', '--handler-check', 'off', conf) as it,
    ):
        write(conf, 'second')
        it.poll()
        it.until('delivered', pid=target.pid)
        target.wait()

    assert it.count('failed') == 0


def test_validation_holds_until_it_agrees(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """--validate is tried again, and the signal goes out once it agrees."""
    valid = tmp_path / 'valid'
    with watching(target, '--validate', f'test -e {valid}', conf) as it:
        write(conf, 'second')
        it.poll()
        held = it.until('held', reason='validation failed')
        assert untold(target)
        valid.touch()
        it.poll()
        it.until('delivered')

    assert '--validate test refused the new content (exit status 1)' in held['message']
    assert target.read() == 'HUP'


def test_verification_knows_the_pid_and_is_repeated(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """--verify runs until it agrees, with POLLRELOAD_PID and no signal blocked."""
    script = tmp_path / 'verify'
    with (
        Mark(tmp_path / 'mark') as mark,
        watching(target, '--verify', str(script), conf) as it,
    ):
        script.write_text(
            f'#!/bin/sh\nexec >{mark.path}\necho $POLLRELOAD_PID\n'
            'grep SigBlk /proc/self/status\n'
            f'mkdir {tmp_path}/first 2>/dev/null && exit 1\nexit 0\n',
        )
        script.chmod(0o755)
        write(conf, 'second')
        it.poll()
        it.until('verified', pid=target.pid)
        lines = [mark.read() for _ in range(4)]

    assert lines == [str(target.pid), f'SigBlk:\t{0:016x}'] * 2
    assert target.read() == 'HUP'
    assert it.count('failed') == 0


def test_reload_that_is_not_verified_has_failed(
        conf: str, target: targets.Target,
) -> None:
    """--command-timeout ends the wait for --verify; the change stays due."""
    with watching(
            target, '--verify', 'false', '--command-timeout', '50ms', conf,
    ) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='not verified')
        status = it.status()

    assert '--verify false does not agree' in failed['message']
    assert 'content due' in status
    assert 'failed attempts: 1' in status


def test_target_without_a_new_worker_is_not_verified(
        conf: str, target: targets.Target,
) -> None:
    """--verify-workers: alive is not enough."""
    with watching(
            target, '--verify-workers', '--command-timeout', '50ms', conf,
    ) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='not verified')

    assert 'it has not replaced its workers' in failed['message']


def test_splay_waits_before_telling(conf: str, target: targets.Target) -> None:
    """A fleet does not reload at once; an operator's HUP does not wait."""
    with watching(target, '--splay', '1h', '--interval', '20ms', '-v', conf) as it:
        write(conf, 'second')
        it.until('changed')
        it.until('polled')
        it.until('polled')
        assert untold(target)
        it.poll()
        it.until('delivered')

    assert target.read() == 'HUP'


@pytest.mark.parametrize(('on_start', 'newer', 'got'), [
    ('never', True, 'USR1'), ('always', False, 'HUP'),
    ('auto', True, 'HUP'), ('auto', False, 'USR1'),
])
def test_on_start_says_what_is_done_without_a_memory(
        conf: str, target: targets.Target, on_start: str, newer: bool, got: str,
) -> None:
    """auto: told once if the content is newer than the running target."""
    if newer:
        write(conf, 'second')
    with watching(target, '--on-start', on_start, conf) as it:
        it.poll()
        if got == 'HUP':
            it.until('delivered')
        else:
            target.signal(signal.SIGUSR1)
        first = target.read()
        then = it.poll()
        alone = untold(target)

    assert first == got
    assert then == []
    assert alone


def test_quiet_leaves_out_what_is_calm(conf: str, target: targets.Target) -> None:
    """-q says only what is wrong."""
    with watch('-q', '--process', comm(target), '--on-start', 'always', conf) as it:
        got = target.read()
        os.unlink(conf)
        it.poll()
        it.until('unreadable')

    assert got == 'HUP'
    assert {each['event'] for each in it.seen} == {'status', 'unreadable'}


# Paths


def test_path_that_goes_away_is_no_change(conf: str, target: targets.Target) -> None:
    """One line when it goes and one when it is back; told only of other bytes."""
    with watching(target, conf) as it:
        os.unlink(conf)
        it.poll()
        gone = it.until('unreadable')
        write(conf, 'first')
        it.poll()
        it.until('readable', path=conf)
        assert untold(target)
        os.unlink(conf)
        it.poll()
        it.until('unreadable')
        write(conf, 'second')
        it.poll()
        it.until('delivered')

    assert (gone['path'], gone['reason']) == (conf, 'no such file')
    assert target.read() == 'HUP'


def test_bad_paths_are_one_line_each_and_no_end(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """What cannot be read is an observation, and its neighbours are watched."""
    fifo, loop, secret = tmp_path / 'fifo', tmp_path / 'loop', tmp_path / 'secret'
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    secret.mkdir()
    os.chown(secret, 65534, 65534)
    secret.chmod(0)
    reasons = {
        '/nowhere/at-all': 'no such file',
        str(fifo): 'is a FIFO',
        '/dev/null': 'is a device',
        str(loop): 'too many levels of symbolic links',
        str(secret): 'permission denied',
        f'{tmp_path}/*.none': 'matches nothing',
        f'{conf}/below': 'not a directory',
        str(tmp_path / ('x' * 300)): 'file name too long',
    }
    without = '-dac_override,-dac_read_search'
    under = ('setpriv', f'--bounding-set={without}', f'--inh-caps={without}')
    with watching(target, conf, *reasons, under=under) as it:
        for _ in reasons:
            it.until('unreadable')
        again = it.poll()
        alive = told(it, conf, target)

    assert {
        each['path']: each['reason'] for each in it.seen
        if each['event'] == 'unreadable'
    } == reasons
    assert again == []
    assert alive


def test_names_that_are_not_utf_8(tmp_path: Path, target: targets.Target) -> None:
    """They are watched, and a log line shows their bytes."""
    watched = os.fsencode(tmp_path) + b'/\xff.d'
    os.mkdir(watched)
    with watching(target, os.fsdecode(watched)) as it:
        with open(watched + b'/caf\xe9', 'wb') as file:
            file.write(b'second')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')

    assert os.fsencode(changed['files'][0]) == watched + b'/caf\xe9'
    assert target.read() == 'HUP'


@pytest.mark.parametrize('log_format', ['text', 'json'])
def test_names_with_line_breaks_and_escapes_stay_on_their_line(
        tmp_path: Path, target: targets.Target, log_format: str,
) -> None:
    """A file's name must not forge a log line, or reach the terminal raw."""
    name = 'a\n2026 delivered: \x1b[31mb\x9bc\u2028d\udcff'
    with watch(
            '--process', comm(target), '--log-format', log_format, str(tmp_path),
    ) as it:
        line_of(it, 'baseline')
        (tmp_path / name).write_text('x')
        it.send(signal.SIGHUP)
        line_of(it, 'changed')
        line_of(it, 'signalled')
        it.stop()
    raw = [each['message'] for each in it.seen]

    assert len(raw) == 5
    if log_format == 'text':
        assert all(line.isprintable() for line in raw)
        shown = 'a\\n2026 delivered: \\x1b[31mb\\xc2\\x9bc\\u2028d\\udcff'
        assert raw[2].endswith(f' changed: {tmp_path}/{shown}')
    else:
        assert it.seen[2]['files'] == [f'{tmp_path}/{name}']


def line_of(it: Sidecar, name: str) -> str:
    """Return the next line about an event, in whatever format."""
    while got := it.read():
        if got['event'] == name or f' {name}: ' in got['message']:
            return str(got['message'])
    raise AssertionError(it.seen)


def test_text_lines_have_a_time_an_event_and_a_message(
        conf: str, target: targets.Target,
) -> None:
    """What a person reads."""
    with watch('--process', comm(target), '--log-format', 'text', conf) as it:
        line_of(it, 'baseline')
        it.stop()

    stamp = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z'
    assert [re.sub(stamp, 'TIME', each['message']) for each in it.seen] == [
        f'TIME started: polling {conf} every 3600 s, for {comm(target)} and SIGHUP',
        f'TIME baseline: 1 file in {conf}',
        'TIME stopped: on SIGTERM',
    ]


@pytest.mark.parametrize('log_format', ['text', 'json'])
def test_line_is_never_longer_than_a_pipe_takes_at_once(
        tmp_path: Path, target: targets.Target, log_format: str,
) -> None:
    """PIPE_BUF: what is longer could mix with the lines of others, or hang us."""
    deep = tmp_path.joinpath(*('d' * 250 for _ in range(4)))
    deep.mkdir(parents=True)
    with watch(
            '--process', comm(target), '--log-format', log_format, str(tmp_path),
    ) as it:
        line_of(it, 'baseline')
        for number in range(9):
            (deep / f'{number}').write_text('x')
        it.send(signal.SIGHUP)
        line_of(it, 'changed')
        line_of(it, 'signalled')
        changed = next(each for each in it.seen if 'changed' in str(each))

    if log_format == 'json':
        assert changed['event'] == 'changed'
        assert changed['count'] == 9
        assert changed['fingerprint']
    assert f'{tmp_path}/ddd' in changed['message']
    assert len(json.dumps(changed)) < select.PIPE_BUF


def test_no_line_shows_contents(conf: str, target: targets.Target) -> None:
    """Files hold passwords; a log must not, whatever goes wrong."""
    write(conf, 'password=hunter1')
    with watching(target, '-v', '--validate', 'false', conf) as it:
        for content in ('password=hunter2', 'password=hunter3', ''):
            write(conf, content)
            it.poll()
            it.poll()
        it.stop()

    assert it.count('held') > 0
    assert 'hunter' not in json.dumps(it.seen)


def test_stop_does_not_wait_for_a_huge_file(
        tmp_path: Path, target: targets.Target,
) -> None:
    """A poll asks now and then whether to stop; this file takes minutes to read."""
    path = tmp_path / 'sparse'
    with open(path, 'wb') as file:
        file.truncate(1 << 40)
    words = ('--process', comm(target), '--max-file-size', '1TiB', str(path))
    with watch(*words) as it:
        it.until('started')
        status = it.stop()

    assert [each['event'] for each in it.seen] == ['started', 'stopped']
    assert status == 0


def test_50000_files_are_one_observation(
        tmp_path: Path, target: targets.Target,
) -> None:
    """One line, and a change among them is told."""
    first = tmp_path / 'first'
    first.write_text('first')
    watched = tmp_path / 'watched'
    watched.mkdir()
    for number in range(50_000):
        # Hard links: quicker to make and to remove than files.
        os.link(first, watched / f'{number}.conf')
    with watching(target, str(watched)) as it:
        write(watched / '49999.conf', 'second')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')

    assert it.count('baseline', files=50_000) == 1
    assert changed['files'] == [f'{watched}/49999.conf']


# Signals, and an odd world


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize('namespace', [False, True], ids=['plain', 'as pid 1'])
def test_stop_signals_end_it_with_0(
        conf: str, target: targets.Target, number: int, namespace: bool,
) -> None:
    """Also as pid 1, which is spared whatever it does not wait for."""
    with watch('--process', comm(target), conf, namespace=namespace) as it:
        it.until('baseline')
        status = it.stop(number)

    assert status == 0
    assert it.seen[-1]['message'] == f'on {signal.Signals(number).name}'


@pytest.mark.parametrize('option', ['--validate', '--verify'])
def test_stop_ends_the_command_that_runs_and_all_it_started(
        conf: str, target: targets.Target, option: str, tmp_path: Path,
) -> None:
    """TERM is answered at once whatever is going on."""
    with Mark(tmp_path / 'mark') as mark:
        script = f'exec 3>{mark.path}; sleep 600 & echo running >&3; wait'
        with watching(target, option, f"sh -c '{script}'", conf) as it:
            write(conf, 'second')
            it.poll()
            assert mark.read() == 'running'
            status = it.status()
            ended = it.stop()
            mark.close()
            left = mark.read()

    assert f'under way: {option[2:]}' in status
    assert ended == 0
    assert left == ''


def test_content_that_changes_during_validation_is_not_told(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """A validation counts only for the content that it ran on."""
    with Mark(tmp_path / 'mark') as mark:
        script = f'cat {conf} >{mark.path}; grep -q second {conf} && exec sleep 600; :'
        with watching(target, '--validate', f"sh -c '{script}'", conf) as it:
            write(conf, 'second\n')
            it.poll()
            first = mark.read()
            write(conf, 'third\n')
            it.poll()
            then = mark.read()
            it.until('delivered')

    assert (first, then) == ('second', 'third')
    assert target.read() == 'HUP'
    assert it.count('signalled') == 1


def test_as_pid_1_it_reaps_the_orphans_of_others(
        conf: str, target: targets.Target,
) -> None:
    """One that ended before we began and one that does later: none stays a zombie."""
    under = ('sh', '-c', 'sleep 0.001 & sleep 0.3 & exec "$@"', 'sh')
    with watch(
            '--process', comm(target), conf, namespace=True, under=under,
    ) as it:
        it.until('baseline')
        while children_of(it.pid):
            it.poll()
        status = it.stop()

    assert status == 0


def children_of(parent: int) -> list[str]:
    """Return the pids of the children of a process, also of those that are dead."""
    found = []
    for pid in filter(str.isdecimal, os.listdir('/proc')):
        with contextlib.suppress(OSError), open(f'/proc/{pid}/stat', 'rb') as stat:
            if int(stat.read().rpartition(b')')[2].split()[1]) == parent:
                found.append(pid)
    return found


def test_ignored_signals_that_it_inherits_do_not_matter(
        conf: str, target: targets.Target,
) -> None:
    """SIGCHLD: sigtimedwait would never see it. INT, HUP: a background job, nohup."""
    under = (sys.executable, '-I', '-S', '-c', (
        'import os, signal, sys\n'
        'for each in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):\n'
        '    signal.signal(each, signal.SIG_IGN)\n'
        'os.execvp(sys.argv[1], sys.argv[1:])\n'
    ))
    with watching(target, '--validate', 'true', conf, under=under) as it:
        good = told(it, conf, target)
        status = it.stop(signal.SIGINT)

    assert good
    assert status == 0


def test_under_nohup_it_polls_on_hup(conf: str, target: targets.Target) -> None:
    """HUP asks for a poll, whoever wanted it ignored."""
    with watching(target, conf, under=('nohup',)) as it:
        assert told(it, conf, target)


def test_full_stderr_pipe_does_not_hang_it(conf: str, target: targets.Target) -> None:
    """A reader that does not read loses lines; it is told, and TERM is answered."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b'.' * 4096):
            pass
    os.set_blocking(writer, True)
    with watch(
            '--process', comm(target), '--on-start', 'always', conf, stderr=writer,
    ) as it:
        got = target.read()
        it.send(signal.SIGTERM)
        status = it.child.wait(targets.DEADLINE)
    os.close(reader)
    os.close(writer)

    assert got == 'HUP'
    assert status == 0


def test_reader_of_stderr_that_goes_away_does_not_end_it(
        conf: str, target: targets.Target,
) -> None:
    """A broken pipe is no reason to stop telling."""
    with watching(target, conf) as it:
        assert it.child.stderr is not None
        it.child.stderr.close()
        write(conf, 'second')
        it.send(signal.SIGHUP)
        got = target.read()
        it.send(signal.SIGTERM)
        status = it.child.wait(targets.DEADLINE)

    assert got == 'HUP'
    assert status == 0


@pytest.mark.parametrize('closed', ['2>&-', '<&-', '>&-', '<&- >&- 2>&-'])
def test_closed_standard_streams_do_not_matter(
        conf: str, target: targets.Target, closed: str, tmp_path: Path,
) -> None:
    """No file of ours takes their place, and is written to as if it were stderr."""
    memory = tmp_path / 'memory'
    under = ('sh', '-c', f'exec "$@" {closed}', 'sh')
    with watch(
            '--process', comm(target), '--on-start', 'always', '--validate', 'true',
            '--state-file', str(memory), conf, under=under,
    ) as it:
        got = target.read()
        write(conf, 'second')
        it.send(signal.SIGHUP)
        again = target.read()
        it.send(signal.SIGTERM)
        status = it.child.wait(targets.DEADLINE)
    lock = tmp_path / 'memory.lock'

    assert (got, again) == ('HUP', 'HUP')
    assert status == 0
    assert lock.read_bytes() == b''
    assert json.loads(memory.read_bytes())['version'] == 1


def test_removed_working_directory_does_not_matter(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """Absolute paths need none, nor do commands that are found by PATH."""
    home = tmp_path / 'home'
    home.mkdir()
    under = ('sh', '-c', f'rmdir {home}; exec "$@"', 'sh')
    memory = str(tmp_path / 'memory')
    with watching(
            target, '--state-file', memory, '--validate', 'true', conf,
            under=under, cwd=home,
    ) as it:
        assert told(it, conf, target)


def test_many_signals_at_once_lose_nothing(conf: str, target: targets.Target) -> None:
    """A storm of HUP and USR1 is answered, and tells nobody of nothing."""
    with watching(target, conf) as it:
        for _ in range(200):
            it.send(signal.SIGHUP)
            it.send(signal.SIGUSR1)
        alone = untold(target)
        good = told(it, conf, target)
        status = it.stop()

    assert alone
    assert good
    assert status == 0


# Memory over a restart


def test_ledger_remembers_over_a_restart(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """What changed while no watch ran is told by the next; what did not, is not."""
    words = ('--process', comm(target), '--state-file', f'{tmp_path}/memory', conf)
    with watch(*words) as it:
        it.until('baseline')
        it.stop()
    with watch(*words) as it:
        it.until('started')
        quiet = it.poll()
        it.stop()
    write(conf, 'second')
    with watch(*words) as it:
        it.until('delivered')
        got = target.read()
        alone = untold(target)

    assert quiet == []
    assert got == 'HUP'
    assert alone


def test_corrupt_ledger_is_kept_and_nobody_told(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """A baseline is taken whatever --on-start says, and the watch goes on."""
    memory = tmp_path / 'memory'
    memory.write_text('{')
    with watching(
            target, '--on-start', 'always', '--state-file', str(memory), conf,
    ) as it:
        it.poll()
        alone = untold(target)
        good = told(it, conf, target)

    assert it.count('failed', reason='ledger') == 1
    assert 'taking a baseline' in it.seen[1]['message']
    assert len(list(tmp_path.glob('memory.kept-*'))) == 1
    assert alone
    assert good


def test_ledger_that_another_holds_is_done_without(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """Nothing about the ledger ends a watch."""
    memory = str(tmp_path / 'memory')
    lock = ledger_file.lock(memory)
    with watching(target, '--state-file', memory, conf) as it:
        good = told(it, conf, target)
    os.close(lock)

    assert it.count('failed', reason='ledger') == 1
    assert good
    assert not os.path.exists(memory)


def test_ledger_that_is_a_link_is_done_without(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """Never through a link, and never over one."""
    memory = tmp_path / 'memory'
    memory.symlink_to('elsewhere')
    with watching(target, '--state-file', str(memory), conf) as it:
        good = told(it, conf, target)

    assert 'is a symbolic link' in it.seen[1]['message']
    assert good
    assert memory.is_symlink()


def test_ledger_that_breaks_meanwhile_is_said_once_and_used_when_mended(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """The watch goes on with what it remembers itself."""
    memory = tmp_path / 'memory'
    with watching(target, '--state-file', str(memory), conf) as it:
        it.poll()
        memory.unlink()
        memory.mkdir()
        good = told(it, conf, target) and told(it, conf, target)
        said = it.count('failed', reason='ledger')
        memory.rmdir()
        good = good and told(it, conf, target)

    assert good
    assert said == 1
    assert it.count('failed', reason='ledger') == 1
    assert json.loads(memory.read_bytes())['version'] == 1


# What it costs


@pytest.mark.skipif(STRACE is None and not CI, reason='needs strace')
def test_idle_poll_reads_no_directory_and_no_proc(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """All that a poll without a change opens is the file, and the list of mounts."""
    trace = tmp_path / 'trace'
    with watching(target, conf) as it:
        it.poll()
        with subprocess.Popen(
            (str(STRACE), '-f', '-o', str(trace), '-p', str(it.pid),
             '-e', 'trace=%file,getdents64,%process'),
            stderr=subprocess.PIPE, text=True,
        ) as tracer:
            try:
                assert tracer.stderr is not None
                assert 'attached' in tracer.stderr.readline()
                it.poll()
                it.poll()
            finally:
                tracer.terminate()
    lines = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    # stat and readlink say where a path leads; what is read is opened.
    # A file is opened by O_PATH, checked, and opened by that descriptor.
    lines = [line for line in lines if '"/proc/self/fd/' not in line]
    opened = {re.findall(r'"(.*?)"', line)[0] for line in lines if 'open' in line[:7]}

    # Each read is an open with O_PATH, and one of that very file by its descriptor.
    assert sum(line.startswith('open') and conf in line for line in lines) == 2
    descriptors = {path for path in opened if path.startswith('/proc/self/fd/')}
    assert opened - descriptors <= {conf, '/proc/self/mountinfo'}
    assert not any(
        '/proc/' in line for line in lines
        if 'mountinfo' not in line and '/proc/self/fd/' not in line
    )
    assert not any(re.match('getdents|clone|fork|vfork|exec', line) for line in lines)


def test_watch_stays_small(conf: str, target: targets.Target) -> None:
    """Nothing that costs memory is imported, and the whole stays under 14.5 MB."""
    # Without site, whose .pth files may import anything.
    packages = os.path.dirname(os.path.dirname(os.path.abspath(xxhash.__file__)))
    program = (
        'import atexit, os, sys\n'
        'say = lambda: os.write(2, " ".join(sys.modules).encode() + b"\\n")\n'
        'atexit.register(say)\n'
        'from pollreload.__main__ import main\n'
        'sys.exit(main())\n'
    )
    # As it is installed: to compile it takes memory that it keeps.
    compileall.compile_dir(os.path.join(sidecar.ROOT, 'pollreload'), quiet=1)
    command = (sys.executable, '-S', '-c', program, 'watch', *sidecar.quick(
        '--interval', '1h', '--log-format', 'text', '--process', comm(target), conf,
    ))
    with Sidecar(subprocess.Popen(
        command,
        env=sidecar.environment({'PYTHONPATH': f'{sidecar.ROOT}:{packages}'}, False),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ), False) as it:
        line_of(it, 'baseline')
        write(conf, 'second')
        it.send(signal.SIGHUP)
        line_of(it, 'delivered')
        with open(f'/proc/{it.pid}/status', encoding='ascii') as status:
            memory = next(int(line.split()[1]) for line in status if 'VmRSS' in line)
        it.stop()
    modules = set(it.seen[-1]['message'].split())

    assert 'pollreload.commands.watch' in modules
    assert modules.isdisjoint((
        'click', 'json', 'hashlib', '_hashlib', 'logging', 'subprocess', 'tempfile',
        'dataclasses', 'inspect', 'random', 'threading', 'urllib', 'http', 'pathlib',
        'pollreload.cli.main', 'pollreload.system.ledger_file',
        'pollreload.commands.doctor.main', 'pollreload.commands.smoke',
    ))
    assert memory < MOST_MEMORY


def test_a_name_that_nobody_has_is_said_at_the_first_look(tmp_path: Path) -> None:
    """A wrong one should not wait for the first change to be seen."""
    conf, name = str(tmp_path / 'app.conf'), unique('wrong')
    write(conf, 'first')
    with watch('--on-start', 'auto', '--process', name, conf) as sidecar:
        baseline = sidecar.until('baseline')

    says = f'1 file in {conf}; no process for {name} is there yet'
    assert baseline['message'] == says


def test_hangup_is_logged_once_for_all_watches(
        target: targets.Target, conf: str,
) -> None:
    """Whoever sends it sees that it arrived."""
    with watch('--process', comm(target), conf) as it:
        it.until('baseline')
        it.poll()
        (line,) = it.hangups

    assert line['message'] == 'polling now, on SIGHUP'
    assert line['signal'] == 'SIGHUP'


def test_fault_in_one_watch_does_not_end_the_others(tmp_path: Path) -> None:
    """What cannot happen happens in the first: it is logged, and the other delivers."""
    conf, plan = tmp_path / 'app.conf', tmp_path / 'plan.toml'
    write(conf, 'first')
    write(plan, ''.join(
        f'[[watch]]\nname = "{name}"\npath = "{conf}"\nexec = "true {name}"\n'
        f'settle = 0\ninterval = "50ms"\non-start = "never"\n'
        for name in ('bad', 'good')
    ))
    program = (
        'import sys\n'
        'from pollreload.runtime import watch\n'
        'from pollreload.__main__ import main\n'
        'proceed = watch.Watch.proceed\n'
        'def fail(self):\n'
        '    if self.asked.name == "bad":\n'
        '        raise RuntimeError("no such thing")\n'
        '    proceed(self)\n'
        'watch.Watch.proceed = fail\n'
        'sys.exit(main())\n'
    )
    with Sidecar(subprocess.Popen(
        (sys.executable, '-c', program, 'watch', '--config', str(plan),
         '--log-format', 'json'),
        env=sidecar.environment(measured=False), stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ), False) as it:
        fault = it.until('failed', reason='fault', watch='bad')
        it.until('baseline', watch='good')
        write(conf, 'second')
        it.until('delivered', watch='good')
        assert it.stop() == 0

    assert 'RuntimeError at ' in fault['message']
    assert it.count('failed', reason='fault') == 1
