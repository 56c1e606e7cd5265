"""The exit statuses of `check`."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pollreload.commands import check_answer as command
from pollreload.core import step
from pollreload.core.change import Memory
from pollreload.core.reading import Trouble
from pollreload.core.stage import (
    Acting,
    Confirming,
    Surviving,
    Validating,
    Verifying,
)
from pollreload.core.state import State
from pollreload.settings import Settings
from pollreload.system import ledger_file
from tests.support import sidecar, targets
from tests.support.checked import Watched
from tests.support.sidecar import Run, check, write
from tests.support.targets import unsignalled


def tree(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and the ctime of every file below a directory."""
    return {
        str(path): (path.read_bytes(), path.lstat().st_ctime_ns)
        for path in directory.rglob('*') if path.is_file()
    }


def messages(run: Run, name: str) -> list[str]:
    """Return all that the events of a name say."""
    return [event['message'] for event in run.named(name)]


def test_a_wait_that_is_not_needed_is_not_mentioned(watched: Watched) -> None:
    """A check has one attempt; the next run makes another at once."""
    with watched.handler():
        watched.check()
        write(watched.conf, 'second')
        run = watched.check('--verify', 'false', '--command-timeout', '30ms')

    assert run.status == 1
    assert [event['reason'] for event in run.named('failed')] == ['not verified']
    assert run.named('held') == []


def test_nothing_due_is_silence_and_0(watched: Watched) -> None:
    """A cron job that says nothing sends no mail."""
    with watched.handler():
        runs = [watched.check() for _ in range(2)]

    assert [(run.status, run.out, run.events) for run in runs] == [(0, '', [])] * 2


def test_first_run_without_a_process_warns_once(watched: Watched) -> None:
    """A misspelt name would otherwise show at the first change only."""
    first, second = watched.check('-q'), watched.check('-q')

    assert (first.status, second.status) == (0, 0)
    assert [(each['event'], each['reason']) for each in first.events] == [
        ('warning', 'no target'),
    ]
    assert first.events[0]['message'].startswith(
        f"nothing is due, and no process is called '{watched.name}'",
    )
    assert second.events == []


def test_first_run_without_a_pidfile_warns(watched: Watched) -> None:
    """The line says which file is not there."""
    pidfile = str(watched.directory / 'none.pid')

    run = check('--pidfile', pidfile, '--state-file', watched.ledger, watched.conf)

    assert run.events[0]['message'] == f'nothing is due, and there is no {pidfile}'


def test_default_ledger_below_a_watched_path_is_refused(tmp_path: Path) -> None:
    """As one that is named: each write would be a change."""
    run = check(
        '--process', 'x', str(tmp_path), env={'XDG_STATE_HOME': f'{tmp_path}/state'},
    )

    assert run.status == 2
    assert run.events[0]['message'].startswith(
        f'pollreload: the default ledger {tmp_path}/state/pollreload/',
    )
    assert 'is below a watched path' in run.events[0]['message']
    assert list(tmp_path.iterdir()) == []


def test_held_line_is_printed_once_for_each_version(watched: Watched) -> None:
    """cron mails every line; the exit status and the JSON answer still say it."""
    with watched.handler():
        watched.check()
    write(watched.conf, 'second')
    runs = [watched.check('-q') for _ in range(2)]
    answer = json.loads(watched.check('-q', '--output', 'json').out)
    loud = watched.check('-v')
    write(watched.conf, 'third')
    other = watched.check('-q')
    with watched.handler():
        watched.check('-q')
    write(watched.conf, 'fourth')
    later = watched.check('-q')

    assert [run.status for run in runs] == [1, 1]
    assert [len(run.named('held')) for run in (*runs, loud, other, later)] == [
        1, 0, 1, 1, 1,
    ]
    assert (runs[0].out.count('held: '), runs[1].out) == (1, '')
    assert answer['events'][-1]['event'] == 'held'


def test_held_line_is_printed_each_time_on_a_terminal(watched: Watched) -> None:
    """Who runs it by hand after cron did wants to know why it ends with 1."""
    watched.check()
    write(watched.conf, 'second')
    watched.check()
    ours, theirs = os.openpty()
    try:
        done = subprocess.run(
            (*sidecar.POLLRELOAD, 'check', *sidecar.quick(*watched.args())),
            env=sidecar.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=theirs, check=False,
            timeout=targets.DEADLINE,
        )
        printed = os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.close(theirs)

    assert done.returncode == 1
    assert '"event": "held"' in printed
    assert printed.count('no process is called') == 1


def test_misspelt_variable_is_a_warning_once(watched: Watched) -> None:
    """It names the nearest option; what Kubernetes sets for a Service is none."""
    environ = {
        **os.environ, 'POLLRELOAD_SETTEL': '1', 'POLLRELOAD_PORT_80_TCP': 'tcp://a',
        'POLLRELOAD_FINGERPRINT_KEY': 'key',
    }
    with watched.handler():
        runs = [watched.check('-q', env=environ) for _ in range(2)]

    assert [[each['message'] for each in run.events] for run in runs] == [
        ['POLLRELOAD_SETTEL is not an option; did you mean POLLRELOAD_SETTLE?'], [],
    ]


def test_verbose_says_what_a_silent_run_saw(watched: Watched) -> None:
    """-v shows the baseline and the poll."""
    run = watched.check('-v')

    assert run.status == 0
    assert [event['event'] for event in run.events] == [
        'polled', 'baseline', 'warning',
    ]


def test_quiet_says_only_what_is_wrong(watched: Watched) -> None:
    """-q leaves the failures, and leaves out what went well."""
    watched.check()
    write(watched.conf, 'second')
    held = watched.check('-q')
    with watched.handler():
        done = watched.check('-q')

    assert [event['event'] for event in held.events] == ['held']
    assert (done.status, done.events) == (0, [])


def test_change_is_delivered_once_and_remembered(watched: Watched) -> None:
    """0: all is done; the next run finds nothing due."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target:
        done = watched.check()
        told = target.read()
        after = watched.check()
        alone = unsignalled(target)

    assert done.status == 0
    assert done.out == (
        f'delivered: SIGHUP to {watched.name} (pid {target.pid}); reload not verified\n'
    )
    assert told == 'HUP'
    assert (after.status, after.out, after.events) == (0, '', [])
    assert alone


def test_what_is_due_and_held_is_1_until_it_is_done(watched: Watched) -> None:
    """1: something was due and is not done; it stays due over runs."""
    watched.check()
    write(watched.conf, 'second')
    first, again = watched.check(), watched.check()
    with watched.handler() as target:
        done = watched.check()
        told = target.read()

    assert (first.status, again.status, done.status) == (1, 1, 0)
    # What follows are the names that are near: of processes that come and go.
    held = f"held: no process is called '{watched.name}'"
    assert first.out.startswith(held)
    assert again.out == ''
    assert told == 'HUP'


@pytest.mark.parametrize('args', [
    (), ('/nowhere',), ('--process', 'x'), ('--process', 'x', '--settle', 'soon', 'y'),
])
def test_usage_error_is_2_and_one_line(args: Sequence[str]) -> None:
    """2: the command line is wrong, and the line says where."""
    run = check(*args)

    assert run.status == 2
    assert run.out == ''
    assert len(run.events) == 1
    assert run.events[0]['message'].startswith('pollreload: ')


def test_missing_path_is_3(watched: Watched) -> None:
    """3: a path could not be read, and nothing is worse."""
    watched.check()
    os.unlink(watched.conf)
    run = watched.check()

    assert run.status == 3
    assert messages(run, 'unreadable') == [f'{watched.conf}: no such file']


def test_misspelt_path_is_warned_about_once(watched: Watched) -> None:
    """The path that is meant; cron mails both lines, and neither again."""
    misspelt = watched.conf.replace('app.conf', 'apq.conf')
    first, again = watched.check(misspelt), watched.check(misspelt)

    assert messages(first, 'unreadable') == [f'{misspelt}: no such file']
    assert messages(first, 'warning')[0] == (
        f'{misspelt}: no such file; did you mean {watched.conf}?'
    )
    assert not messages(again, 'unreadable') + messages(again, 'warning')


def test_path_that_was_never_there_is_3(watched: Watched) -> None:
    """Without a baseline there is nothing that could be due."""
    os.unlink(watched.conf)
    run = watched.check('--on-start', 'always')

    assert run.status == 3
    assert messages(run, 'unreadable') == [f'{watched.conf}: no such file']


@pytest.mark.parametrize('option', ['--dry-run', '-q'])
def test_path_that_is_still_missing_is_in_the_object(
        watched: Watched, option: str,
) -> None:
    """The line is logged once; a program that reads the object did not see that."""
    os.unlink(watched.conf)
    watched.check()
    run = watched.check('--output', 'json', option)

    assert not messages(run, 'unreadable')
    assert [
        event for event in json.loads(run.out)['events']
        if event['event'] == 'unreadable'
    ] == [{
        'event': 'unreadable', 'message': f'{watched.conf}: no such file',
        'path': watched.conf, 'reason': 'no such file',
    }]


def test_one_of_two_paths_missing_is_3_though_all_else_is_done(
        watched: Watched,
) -> None:
    """What can be read is delivered; the other is reported by the status."""
    other = f'{watched.conf}.other'
    watched.check(other)
    write(watched.conf, 'second')
    with watched.handler() as target:
        run = watched.check(other)
        told = target.read()

    assert run.status == 3
    assert told == 'HUP'


def test_unreadable_path_comes_back_with_the_same_bytes_undelivered(
        watched: Watched,
) -> None:
    """Rule 5: a whole path that goes away is not a change."""
    with watched.handler() as target:
        watched.check()
        os.unlink(watched.conf)
        gone = watched.check()
        write(watched.conf, 'first')
        back = watched.check()
        alone = unsignalled(target)

    assert (gone.status, back.status) == (3, 0)
    assert alone


def test_fault_in_pollreload_is_70(watched: Watched, tmp_path: Path) -> None:
    """70: a traceback and the request to report it, where our own code is broken."""
    (tmp_path / 'sitecustomize.py').write_text(
        'import os\nos.getcwd = None\n', encoding='ascii',
    )
    run = watched.check(env={'PYTHONPATH': f'{tmp_path}:{sidecar.ROOT}'})

    assert run.status == 70
    assert run.events[-1]['message'] == (
        'pollreload: this is a fault in pollreload; please report it to the '
        'issue tracker of pollreload, with these lines'
    )
    assert any('Traceback' in event['message'] for event in run.events)


def test_second_of_two_runs_at_once_is_75(watched: Watched) -> None:
    """75: another run holds the ledger; it is not waited for."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target, running(watched) as (first, _):
        second = watched.check()
        first.stop()
        alone = unsignalled(target)

    assert second.status == 75
    assert 'another run holds the ledger' in second.events[0]['message']
    assert alone


@contextlib.contextmanager
def running(watched: Watched) -> Iterator[tuple[sidecar.Sidecar, sidecar.Mark]]:
    """A check while its --validate runs, which has a child and a mark."""
    with sidecar.Mark(watched.directory / 'mark') as mark:
        script = f'exec 3>{mark.path}; sleep 600 & echo validating >&3; wait'
        command = (
            *sidecar.POLLRELOAD, 'check', *sidecar.QUICK,
            *watched.args('--validate', f"sh -c '{script}'"),
        )
        with sidecar.Sidecar(subprocess.Popen(
            command, env=sidecar.environment(), stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ), False) as it:
            assert mark.read() == 'validating'
            mark.close()
            yield it, mark


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_a_check_and_all_that_its_command_started(
        watched: Watched, number: int,
) -> None:
    """The status shows the signal, as a shell expects; the process group is gone."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target, running(watched) as (it, mark):
        status = it.stop(number)
        left = mark.read()
        alone = unsignalled(target)

    assert status == -number
    assert left == ''
    assert alone


def test_next_check_waits_for_the_rest_of_survive(watched: Watched) -> None:
    """The time is that of the signal, which the check before sent."""
    watched.check()
    write(watched.conf, 'second')
    command = (
        *sidecar.POLLRELOAD, 'check',
        *sidecar.quick(*watched.args('-v', '--survive', '1h')),
    )
    with watched.handler() as target:
        with sidecar.Sidecar(subprocess.Popen(
            command, env=sidecar.environment(), stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ), False) as it:
            it.until('signalled')
            it.stop(signal.SIGTERM)
        run = watched.check('--survive', '1h', '--timeout', '1s')
        told = target.read()

    assert (run.status, told) == (1, 'HUP')
    assert [event['reason'] for event in run.named('failed')] == ['timeout']
    assert run.named('delivered') == []


def test_signal_ends_a_check_that_is_pid_1(watched: Watched) -> None:
    """It is spared the signal that it then sends itself; the status is a shell's."""
    command = (
        'unshare', '--pid', '--fork', '--mount-proc', '--kill-child',
        *sidecar.POLLRELOAD, 'check', *sidecar.quick(
            *watched.args('-v', '--on-start', 'always', '--settle', '1h'),
        ),
    )
    with sidecar.Sidecar(subprocess.Popen(
        command, env=sidecar.environment(), stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ), False) as it:
        it.until('baseline')
        it.pid = targets.only_child(it.child.pid)
        status = it.stop(signal.SIGTERM)

    assert status == 128 + signal.SIGTERM


def test_dry_run_says_who_would_be_notified_and_leaves_no_trace(
        watched: Watched,
) -> None:
    """No process is notified, no command is run, nothing is written."""
    watched.check()
    write(watched.conf, 'second')
    before = tree(watched.directory)
    with watched.handler() as target:
        run = watched.check('--dry-run', '--validate', 'touch ran')
        alone = unsignalled(target)

    assert run.status == 1
    assert run.out == (
        f'would: send SIGHUP to {watched.name} (pid {target.pid}), if --validate touch '
        f'accepts it (a dry run does not run it)\n'
    )
    assert alone
    assert tree(watched.directory) == before


def test_dry_run_says_who_would_be_notified_though_nothing_is_due(
        watched: Watched,
) -> None:
    """Who asks for it wants to know; a check without it stays silent."""
    watched.check()
    with watched.handler() as target:
        run = watched.check('--dry-run')
        made = watched.check(
            '--dry-run', '--output', 'json', '--exec', 'true', '--on-start', 'never',
            '--state-file', f'{watched.ledger}.other',
        )
        quiet = watched.check()
    who = f'{watched.name} (pid {target.pid}) by SIGHUP'

    assert run.status == quiet.status == 0
    assert run.out == f'would: nothing is due; a change would be delivered to {who}\n'
    assert [event['event'] for event in run.events] == ['would']
    assert (quiet.out, quiet.events) == ('', [])
    last = json.loads(made.out)['events'][-1]
    assert last['reason'] == 'nothing due'
    assert last['message'].endswith(f'delivered to {who}, then --exec true')


def test_dry_run_says_why_no_process_would_be_notified(watched: Watched) -> None:
    """As in the output of `held`."""
    watched.check()
    absent = watched.check('--dry-run')
    with targets.start('default', name=watched.name) as target:
        deadly = watched.check('--dry-run')
        young = watched.check('--dry-run', '--handler-check', 'off',
                              '--min-uptime', '1h')

    begins = 'would: nothing is due; a change would be'
    assert absent.out.startswith(f'{begins} held: no process is called ')
    assert deadly.out.startswith(
        f'{begins} held: {watched.name} (pid {target.pid}) would die of SIGHUP',
    )
    assert young.out == (
        f'{begins} delivered to {watched.name} (pid {target.pid}) by SIGHUP\n'
    )


def test_dry_run_says_what_would_be_done_without_a_process(watched: Watched) -> None:
    """In order; nothing is done."""
    run = check(
        '--dry-run', '--on-start', 'never', '--state-file', watched.ledger,
        '--exec', 'true', '--exec', 'false', watched.conf,
    )

    assert run.out == (
        'would: nothing is due; a change would be delivered by --exec true, then '
        '--exec false\n'
    )
    assert run.status == 0


def test_dry_run_of_what_cannot_be_read_says_no_more(watched: Watched) -> None:
    """It is not known whether anything is due."""
    watched.check()
    os.unlink(watched.conf)
    run = watched.check('--dry-run')

    assert (run.status, run.out) == (3, '')


def test_what_is_waited_for_has_a_phrase_in_every_case() -> None:
    """Each stage, each wait and each thing to settle; no mention of the inside."""
    settings = Settings(exec=(('sleep', '9'),))
    waited = [
        *(State(stage=each) for each in (
            Validating(9.0), Surviving(9.0), Verifying(9.0, 0.0), Confirming(9.0),
            Acting(9.0),
        )),
        State(reading_since=1.0),
        *(State(waiting=each) for each in ('act', 'poll', 'splay', 'uptime')),
        *(State(Memory(waiting=each)) for each in ('doubt', 'recheck', 'settle')),
    ]
    said = {step.awaited(each): command.wait_phrase(settings, each) for each in waited}

    assert {*said} == {*command.WAITS, 'act'}
    assert said['act'] == 'for --exec sleep'
    assert said['settle'] == 'for the version to settle (--settle)'


def test_dry_run_makes_no_ledger(watched: Watched, tmp_path: Path) -> None:
    """If there is no memory it is not begun, and no directory is made for it."""
    state = tmp_path / 'state'
    run = check('--process', watched.name, '--dry-run', watched.conf,
                env={'XDG_STATE_HOME': str(state)})

    assert run.status == 0
    assert not state.exists()


def test_dry_run_leaves_a_corrupt_ledger_in_place(watched: Watched) -> None:
    """It is reported, by the status too, and kept aside by another run."""
    for text in ('{', '{"version": 1}'):
        write(watched.ledger, text)
        before = tree(watched.directory)
        run = watched.check('--dry-run')
        assert run.status == 4
        assert tree(watched.directory) == before


@pytest.mark.parametrize('args', [(), ('-q',)])
def test_answer_is_there_once_where_both_streams_are_one(
        watched: Watched, args: Sequence[str],
) -> None:
    """cron mails both, and a terminal shows both."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler():
        done = subprocess.run(
            (*sidecar.POLLRELOAD, 'check', *sidecar.quick(
                '--log-format', 'text', *watched.args(*args),
            )),
            env=sidecar.environment(), stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            timeout=targets.DEADLINE,
        )

    assert done.returncode == 0
    assert done.stdout.count('delivered: ') == 1


def test_json_output_is_one_object_whatever_happens(watched: Watched) -> None:
    """What a program reads has the same shape in every case."""
    got = {}
    got['baseline'] = watched.check('--output', 'json')
    write(watched.conf, 'second')
    got['would'] = watched.check('--output', 'json', '--dry-run')
    got['held'] = watched.check('--output', 'json')
    with watched.handler():
        got['delivered'] = watched.check('--output', 'json')
    os.unlink(watched.conf)
    got['unreadable'] = watched.check('--output', 'json')
    write(watched.ledger, '{')
    got['corrupt'] = watched.check('--output', 'json')
    objects = {name: json.loads(run.out) for name, run in got.items()}

    assert {name: said['status'] for name, said in objects.items()} == {
        'baseline': 0, 'would': 1, 'held': 1, 'delivered': 0, 'unreadable': 3,
        'corrupt': 4,
    }
    assert all(run.out.count('\n') == 1 for run in got.values())
    assert objects['delivered']['outcome'] == 'done'
    assert [event['event'] for event in objects['delivered']['events']][-1] == (
        'delivered'
    )


@pytest.mark.parametrize('status', [4, 75])
def test_json_output_is_one_object_if_the_ledger_cannot_be_had(
        watched: Watched, status: int,
) -> None:
    """Also a run that could not begin reports why."""
    lock = -1
    if status == 75:
        lock = ledger_file.lock(watched.ledger)
    else:
        os.symlink('elsewhere', watched.ledger)
    run = watched.check('--output', 'json')
    if lock >= 0:
        os.close(lock)
    said = json.loads(run.out)

    assert run.status == status
    assert said['status'] == status


def test_timeout_ends_a_run_that_waits(watched: Watched) -> None:
    """One attempt, in all of --timeout; what it waited for is said."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target:
        run = watched.check('--timeout', '50ms', '--min-uptime', '1h')
        alone = unsignalled(target)

    assert run.status == 1
    assert run.events[-1]['reason'] == 'timeout'
    assert 'still waiting for the target to be old enough' in run.events[-1]['message']
    assert alone


def test_content_is_delivered_once_settled(watched: Watched) -> None:
    """A single run waits for --settle, and then notifies."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target:
        run = watched.check('--settle', '30ms')
        told = target.read()

    assert run.status == 0
    assert told == 'HUP'


@pytest.mark.parametrize(('state', 'status'), [
    (State(), 3),
    (State(reading_since=1.0), 3),
    (State(version=Memory('settling')), 1),
    (State(version=Memory('due', seen='x')), 1),
    (State(version=Memory('current', seen='x')), 0),
    (State(version=Memory('current', seen='x', troubles={0: Trouble('gone', 0.0)})), 3),
    (State(version=Memory('due', seen='x', troubles={0: Trouble('gone', 0.0)})), 1),
    (State(version=Memory('settling', troubles={0: Trouble('gone', 0.0)})), 3),
    (State(version=Memory(
        'current', seen='x', troubles={0: Trouble('a member', 0.0, whole=False)},
    )), 0),
])
def test_verdict_of_a_state(state: State, status: int) -> None:
    """Nothing seen: 3; due and not done: 1; done: 0, or 3 with a path missing."""
    assert command.answer_status(state) == status
