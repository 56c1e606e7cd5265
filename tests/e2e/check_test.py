"""pollreload check, by its command line: exit statuses, and memory between runs."""
from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pollreload.commands import check as command
from pollreload.core import step
from pollreload.core.change import Memory, Trouble
from pollreload.core.state import State
from pollreload.errors import LedgerError
from pollreload.settings import Settings
from pollreload.system import children, ledger_file
from tests.support import sidecar, targets
from tests.support.sidecar import Run, check, unique, write


class Watched:
    """A file, a name for its target and a ledger: what a check is about."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.conf = str(directory / 'app.conf')
        self.ledger = str(directory / 'memory')
        self.name = unique()
        write(self.conf, 'first')

    def words(self, *more: str) -> tuple[str, ...]:
        """Return a command line."""
        ledger = () if '--state-file' in more else ('--state-file', self.ledger)
        return '--process', self.name, *ledger, *more, self.conf

    def check(self, *more: str, **rest: Any) -> Run:
        """Run a check."""
        return check(*self.words(*more), **rest)

    def handler(self) -> targets.Target:
        """Start a target with a handler."""
        return targets.start('handler', name=self.name)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """A file with its first content, and no memory of it yet."""
    return Watched(tmp_path)


def untold(target: targets.Target) -> bool:
    """Return whether a target lives and has seen no signal since the last one read."""
    target.signal(signal.SIGUSR1)
    return target.read() == 'USR1'


def tree(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and the ctime of every file below a directory."""
    return {
        str(path): (path.read_bytes(), path.lstat().st_ctime_ns)
        for path in directory.rglob('*') if path.is_file()
    }


def messages(run: Run, name: str) -> list[str]:
    """Return what the events of a name say."""
    return [event['message'] for event in run.named(name)]


# The exit statuses


def test_a_wait_that_nobody_waits_is_not_spoken_of(watched: Watched) -> None:
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
    runs = [watched.check() for _ in range(2)]

    assert [(run.status, run.out, run.events) for run in runs] == [(0, '', [])] * 2


def test_verbose_says_what_a_silent_run_saw(watched: Watched) -> None:
    """-v shows the baseline and the poll."""
    run = watched.check('-v')

    assert run.status == 0
    assert [event['event'] for event in run.events] == ['polled', 'baseline']


def test_quiet_says_only_what_is_wrong(watched: Watched) -> None:
    """-q leaves the failures, and leaves out what went well."""
    watched.check()
    write(watched.conf, 'second')
    held = watched.check('-q')
    with watched.handler():
        done = watched.check('-q')

    assert [event['event'] for event in held.events] == ['held']
    assert (done.status, done.events) == (0, [])


def test_change_is_told_once_and_remembered(watched: Watched) -> None:
    """0: all is done; the next run finds nothing due."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target:
        done = watched.check()
        told = target.read()
        after = watched.check()
        alone = untold(target)

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
    assert again.out.startswith(held)
    assert told == 'HUP'


@pytest.mark.parametrize('words', [
    (), ('/nowhere',), ('--process', 'x'), ('--process', 'x', '--settle', 'soon', 'y'),
])
def test_usage_error_is_2_and_one_line(words: Sequence[str]) -> None:
    """2: the command line is wrong, and the line says where."""
    run = check(*words)

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


def test_path_that_was_never_there_is_3(watched: Watched) -> None:
    """Without a baseline there is nothing that could be due."""
    os.unlink(watched.conf)
    run = watched.check('--on-start', 'always')

    assert run.status == 3
    assert messages(run, 'unreadable') == [f'{watched.conf}: no such file']


def test_one_of_two_paths_missing_is_3_though_all_else_is_done(
        watched: Watched,
) -> None:
    """What can be read is told; the other is reported by the status."""
    other = f'{watched.conf}.other'
    watched.check(other)
    write(watched.conf, 'second')
    with watched.handler() as target:
        run = watched.check(other)
        told = target.read()

    assert run.status == 3
    assert told == 'HUP'


def test_unreadable_path_comes_back_with_the_same_bytes_untold(
        watched: Watched,
) -> None:
    """Rule 5: a whole path that goes away is not a change."""
    with watched.handler() as target:
        watched.check()
        os.unlink(watched.conf)
        gone = watched.check()
        write(watched.conf, 'first')
        back = watched.check()
        alone = untold(target)

    assert (gone.status, back.status) == (3, 0)
    assert alone


def test_fault_of_ours_is_70(watched: Watched, tmp_path: Path) -> None:
    """70: a traceback and the request to report it, where our own code is broken."""
    (tmp_path / 'sitecustomize.py').write_text(
        'import os\nos.getcwd = None\n', encoding='ascii',
    )
    run = watched.check(env={'PYTHONPATH': f'{tmp_path}:{sidecar.ROOT}'})

    assert run.status == 70
    assert run.events[-1]['message'] == (
        'pollreload: this is a fault in pollreload; please report it'
    )
    assert any('Traceback' in event['message'] for event in run.events)


def test_second_of_two_runs_at_once_is_75(watched: Watched) -> None:
    """75: another run holds the ledger; it is not waited for."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target, running(watched) as (first, _):
        second = watched.check()
        first.stop()
        alone = untold(target)

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
            *watched.words('--validate', f"sh -c '{script}'"),
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
        alone = untold(target)

    assert status == -number
    assert left == ''
    assert alone


def test_signal_ends_a_check_that_is_pid_1(watched: Watched) -> None:
    """It is spared the signal that it then sends itself; the status is a shell's."""
    command = (
        'unshare', '--pid', '--fork', '--mount-proc', '--kill-child',
        *sidecar.POLLRELOAD, 'check', *sidecar.quick(
            *watched.words('-v', '--on-start', 'always', '--settle', '1h'),
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


# --dry-run, --output, --timeout


def test_dry_run_says_who_would_be_told_and_leaves_no_trace(watched: Watched) -> None:
    """Nobody is told, no command is run, nothing is written."""
    watched.check()
    write(watched.conf, 'second')
    before = tree(watched.directory)
    with watched.handler() as target:
        run = watched.check('--dry-run', '--validate', 'touch ran')
        alone = untold(target)

    assert run.status == 1
    assert run.out == f'would: send SIGHUP to {watched.name} (pid {target.pid})\n'
    assert alone
    assert tree(watched.directory) == before


def test_dry_run_says_who_would_be_told_though_nothing_is_due(watched: Watched) -> None:
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
    assert run.out == f'would: nothing is due; a change would be told to {who}\n'
    assert [event['event'] for event in run.events] == ['would']
    assert (quiet.out, quiet.events) == ('', [])
    last = json.loads(made.out)['events'][-1]
    assert last['reason'] == 'nothing due'
    assert last['message'].endswith(f'told to {who}, then --exec true')


def test_dry_run_says_why_nobody_would_be_told(watched: Watched) -> None:
    """In the words of `held`."""
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
        f'{begins} told to {watched.name} (pid {target.pid}) by SIGHUP\n'
    )


def test_dry_run_says_what_would_be_done_without_a_process(watched: Watched) -> None:
    """In order; nothing is done."""
    run = check(
        '--dry-run', '--on-start', 'never', '--state-file', watched.ledger,
        '--exec', 'true', '--exec', 'false', watched.conf,
    )

    assert run.out == (
        'would: nothing is due; a change would be told by --exec true, then '
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
    """Each stage, each wait and each thing to settle; no word of the inside."""
    settings = Settings(exec=(('sleep', '9'),))
    waited = [
        *(State(stage=each) for each in step.STAGES), State(reading_since=1.0),
        *(State(waiting=each) for each in ('act', 'look', 'splay', 'uptime')),
        *(State(settling=each) for each in ('doubt', 'recheck', 'settle')),
    ]
    said = {step.awaited(each): command.waits(settings, each) for each in waited}

    assert {*said} == {*command.WAITS, 'act'}
    assert said['act'] == 'for --exec sleep'
    assert said['settle'] == 'for the content to settle (--settle)'


def test_dry_run_makes_no_ledger(watched: Watched, tmp_path: Path) -> None:
    """Where there is no memory it is not begun, and no directory is made for it."""
    state = tmp_path / 'state'
    run = check('--process', watched.name, '--dry-run', watched.conf,
                env={'XDG_STATE_HOME': str(state)})

    assert run.status == 0
    assert not state.exists()


def test_dry_run_leaves_a_corrupt_ledger_where_it_is(watched: Watched) -> None:
    """It is reported, by the status too, and kept aside by another run."""
    for text in ('{', '{"version": 1}'):
        write(watched.ledger, text)
        before = tree(watched.directory)
        run = watched.check('--dry-run')
        assert run.status == 4
        assert tree(watched.directory) == before


@pytest.mark.parametrize('words', [(), ('-q',)])
def test_answer_is_there_once_where_both_streams_are_one(
        watched: Watched, words: Sequence[str],
) -> None:
    """cron mails both, and a terminal shows both."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler():
        done = subprocess.run(
            (*sidecar.POLLRELOAD, 'check', *sidecar.quick(
                '--log-format', 'text', *watched.words(*words),
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
def test_json_output_is_one_object_where_the_ledger_cannot_be_had(
        watched: Watched, status: int,
) -> None:
    """Also a run that could not begin tells a program why."""
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
        alone = untold(target)

    assert run.status == 1
    assert run.events[-1]['reason'] == 'timeout'
    assert 'still waiting for the target to be old enough' in run.events[-1]['message']
    assert alone


def test_content_is_told_once_settled(watched: Watched) -> None:
    """A single run waits for --settle, and then tells."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target:
        run = watched.check('--settle', '30ms')
        told = target.read()

    assert run.status == 0
    assert told == 'HUP'


# The memory between runs


def test_memory_lives_below_xdg_state_home(watched: Watched, tmp_path: Path) -> None:
    """0600 in 0700, one for each combination of paths, target and signal."""
    env = {'XDG_STATE_HOME': str(tmp_path / 'state')}
    name = ('--process', watched.name)
    for words in (name, (*name, '--signal', 'USR1'), ('--process', 'other')):
        check(*words, watched.conf, env=env)
    home = tmp_path / 'state' / 'pollreload'
    ledgers = sorted(home.glob('*.json'))

    assert len(ledgers) == 3
    assert {path.stat().st_mode & 0o777 for path in ledgers} == {0o600}
    assert home.stat().st_mode & 0o777 == 0o700
    assert home.parent.stat().st_mode & 0o777 == 0o700


def test_relative_and_absolute_path_share_a_memory(
        watched: Watched, tmp_path: Path,
) -> None:
    """A combination of absolute paths is what names the memory."""
    env = {'XDG_STATE_HOME': str(tmp_path / 'state')}
    check('--process', watched.name, watched.conf, env=env)
    write(watched.conf, 'second')
    run = check('--process', watched.name, 'app.conf', env=env, cwd=tmp_path)

    assert run.status == 1


def test_memory_of_another_watch_is_left_alone(watched: Watched) -> None:
    """A --state-file that was written for other paths, target or signal: 4."""
    watched.check()
    before = Path(watched.ledger).read_bytes()
    write(watched.conf, 'second')
    run = watched.check('--signal', 'USR1')

    assert run.status == 4
    assert 'is of another watch' in run.events[-1]['message']
    assert Path(watched.ledger).read_bytes() == before


def test_failed_attempt_is_made_good_when_the_content_goes_back(
        watched: Watched,
) -> None:
    """Rule 2: B was signalled and not done, so A is told again, then never more."""
    refusing = ('--verify', 'false', '--command-timeout', '30ms')
    with watched.handler() as target:
        # It is there before: one that started meanwhile is told again anyway.
        watched.check()
        write(watched.conf, 'second')
        failed = watched.check(*refusing)
        first = target.read()
        write(watched.conf, 'first')
        back = watched.check()
        second = target.read()
        after = watched.check()
        alone = untold(target)

    assert (failed.status, back.status, after.status) == (1, 0, 0)
    assert failed.named('failed')[0]['reason'] == 'not verified'
    assert (first, second) == ('HUP', 'HUP')
    assert alone


def test_content_that_was_refused_and_goes_back_is_not_told(watched: Watched) -> None:
    """Nobody has heard of B, so A is what the target has."""
    with watched.handler() as target:
        watched.check()
        write(watched.conf, 'second')
        refused = watched.check('--validate', 'false')
        write(watched.conf, 'first')
        back = watched.check()
        alone = untold(target)

    assert (refused.status, back.status) == (1, 0)
    assert back.named('signalled') == []
    assert alone


def test_target_is_signalled_3_times_at_most_for_one_content(watched: Watched) -> None:
    """Rule 1: then it is held, over runs, until the content changes."""
    refusing = ('--verify', 'false', '--command-timeout', '30ms')
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target:
        runs = [watched.check(*refusing) for _ in range(5)]
        told = [target.read() for _ in range(3)]
        alone = untold(target)
        write(watched.conf, 'third')
        done = watched.check('--verify', 'true')
        again = target.read()

    assert [run.status for run in runs] == [1] * 5
    assert [len(run.named('signalled')) for run in runs] == [1, 1, 1, 0, 0]
    assert runs[4].events[-1]['reason'] == 'limit'
    assert told == ['HUP'] * 3
    assert alone
    assert done.status == 0
    assert done.events[-1]['event'] == 'verified'
    assert again == 'HUP'


def test_each_target_is_told_once_per_content_over_runs(watched: Watched) -> None:
    """Rule 3: one that stays behind does not make the others reload again."""
    watched.check('--select', 'all')
    write(watched.conf, 'second')
    with (
        watched.handler() as good,
        targets.start('default', name=watched.name) as bad,
    ):
        runs = [watched.check('--select', 'all') for _ in range(2)]
        told = good.read()
        alone = untold(good) and untold(bad)

    assert [run.status for run in runs] == [1, 1]
    assert [len(run.named('signalled')) for run in runs] == [1, 0]
    assert told == 'HUP'
    assert alone


def test_validation_that_refuses_is_1_and_asked_again_by_the_next_run(
        watched: Watched,
) -> None:
    """--validate holds the signal; its reason is told."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target:
        refused = watched.check('--validate', 'sh -c "exit 3"')
        missing = watched.check('--validate', '/nowhere/validate')
        killed = watched.check('--validate', 'sh -c "kill -9 $$"')
        late = watched.check('--validate', 'sleep 60', '--command-timeout', '30ms')
        alone = untold(target)
        agreed = watched.check('--validate', 'true')
        told = target.read()

    assert [run.status for run in (refused, missing, killed, late)] == [1] * 4
    assert 'refused the new content (exit status 3)' in refused.out
    assert 'cannot run --validate: /nowhere/validate: no such file' in missing.out
    assert 'ended by signal 9' in killed.out
    assert 'did not end within 0.03 s' in late.out
    assert alone
    assert agreed.status == 0
    assert told == 'HUP'


def test_validation_may_print_more_than_a_pipe_holds(watched: Watched) -> None:
    """It is not kept waiting, and the end of what it said is what is shown."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target:
        refused = watched.check('--validate', 'sh -c "seq 1 99999; exit 1"')
        agreed = watched.check('--validate', 'seq 1 99999')
        told = target.read()

    held = refused.named('held')[0]
    assert refused.status == 1
    assert '99999' in held['message']
    assert agreed.status == 0
    assert told == 'HUP'


# Rule 12: a ledger that cannot be used


NEWER = '{"version": 2, "key": "x"}'


@pytest.mark.parametrize(
    'text', ['', '{', '[]', '{}', NEWER, '{"version": 1}'],
    ids=['empty', 'cut', 'list', 'blank', 'newer', 'bare'],
)
def test_ledger_that_is_no_ledger_is_kept_and_nobody_told(
        watched: Watched, text: str,
) -> None:
    """A baseline is taken whatever --on-start says; 4, and then all goes on."""
    write(watched.ledger, text)
    with watched.handler() as target:
        first = watched.check('--on-start', 'always')
        alone = untold(target)
        write(watched.conf, 'second')
        then = watched.check()
        told = target.read()
    kept = [path.read_text() for path in watched.directory.glob('memory.kept-*')]

    assert (first.status, kept) == (4, [text])
    assert alone
    assert then.status == 0
    assert told == 'HUP'


def test_truncated_ledger_is_kept_and_nobody_told(watched: Watched) -> None:
    """At whatever byte it was cut."""
    watched.check()
    text = Path(watched.ledger).read_text()
    write(watched.conf, 'second')
    with watched.handler() as target:
        for cut in (1, len(text) // 2, len(text) - 2):
            write(watched.ledger, text[:cut])
            assert watched.check('--on-start', 'always').status == 4
        alone = untold(target)

    assert alone
    assert len(list(watched.directory.glob('memory.kept-*'))) == 3


@pytest.mark.parametrize('key', ['known', 'attempt', 'done', 'doubts', 'seen_at'])
def test_ledger_whose_parts_are_odd_is_kept_and_nobody_told(
        watched: Watched, key: str,
) -> None:
    """JSON of the right version with a part that no run wrote is corrupt too."""
    watched.check()
    memory = json.loads(Path(watched.ledger).read_text())
    write(watched.conf, 'second')
    with watched.handler() as target:
        odds: tuple[object, ...] = (None, [7], 'odd', {})
        for odd in odds:
            write(watched.ledger, json.dumps({**memory, key: odd}))
            if (key, odd) in (('done', 'odd'), ('doubts', {})):
                continue
            run = watched.check('--on-start', 'always')
            assert (odd, run.status) == (odd, 4)
        alone = untold(target)

    assert alone


def test_ledger_behind_a_link_is_left_alone(watched: Watched, tmp_path: Path) -> None:
    """Never through a link: 4, nobody is told, and what it leads to is untouched."""
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.write_text('precious', encoding='ascii')
    os.symlink(elsewhere, watched.ledger)
    with watched.handler() as target:
        run = watched.check('--on-start', 'always')
        alone = untold(target)

    assert run.status == 4
    assert 'is a symbolic link' in run.events[-1]['message']
    assert elsewhere.read_text(encoding='ascii') == 'precious'
    assert os.path.islink(watched.ledger)
    assert alone


def mounted(
        script: str, watched: Watched, *more: str,
) -> subprocess.CompletedProcess[str]:
    """Run a shell script where $M is a small file system that no one else sees.

    `check` is a check whose ledger is there; more: options of it.
    """
    mount = watched.directory / 'mount'
    mount.mkdir()
    words = ' '.join((
        *sidecar.POLLRELOAD, 'check', *sidecar.quick(
            *more, '--process', watched.name, '--state-file', f'{mount}/memory',
            watched.conf,
        ),
    ))
    return subprocess.run(
        ['unshare', '--mount', 'sh', '-euc',
         f'M={mount} F={watched.conf}; check() {{ {words} "$@"; }}\n'
         'mount -t tmpfs -o size=16k,mode=755 none "$M"\n' + script],
        env=sidecar.environment(), stdin=subprocess.DEVNULL, capture_output=True,
        timeout=targets.DEADLINE, check=False, text=True,
    )


def test_ledger_on_a_read_only_file_system_is_4(watched: Watched) -> None:
    """Nobody is told where that could not be remembered."""
    with watched.handler() as target:
        done = mounted(
            'mount -o remount,ro "$M"; check', watched, '--on-start', 'always',
        )
        alone = untold(target)

    assert done.returncode == 4
    assert 'read-only file system' in done.stderr
    assert alone


def test_ledger_on_a_full_file_system_is_4(watched: Watched) -> None:
    """The memory that was there stays whole, and nobody is told till there is room."""
    with watched.handler() as target:
        done = mounted(
            'check; echo second >"$F"\n'
            'cat /dev/zero >"$M/filler" || :\n'
            'status=0; check || status=$?\n'
            'echo "full: $status"; rm "$M/filler"; check; ls -A "$M"', watched,
        )
        told = target.read()
        alone = untold(target)

    assert done.returncode == 0, done.stderr
    assert 'full: 4' in done.stdout
    assert 'no space left on device' in done.stderr
    assert done.stdout.endswith('memory\nmemory.lock\n')
    assert told == 'HUP'
    assert alone


def test_ledger_that_fails_after_the_signal_is_4(
        watched: Watched, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
) -> None:
    """The target was told; that it is not remembered is reported, once."""
    watched.check()
    write(watched.conf, 'second')
    marks: list[object] = []

    def save(path: str, memory: dict[str, Any]) -> None:
        if marks:
            raise LedgerError(os.strerror(errno.ENOSPC))
        marks.extend(memory['attempt']['told'])

    monkeypatch.setattr(ledger_file, 'save', save)
    settings = Settings(
        (watched.conf,), watched.name, state_file=watched.ledger, settle=0.0,
        survive=0.0, min_uptime=0.0, on_start='never',
    )
    with watched.handler() as target:
        pid, fd = children.fork(lambda: command.run((settings,)), deaf=True)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        told = target.read()

    assert children.ended(pid) == 0
    assert children.value(fd) == 4
    assert told == 'HUP'
    assert capfd.readouterr().err.count('No space left on device') == 1


def test_no_place_for_the_memory_is_4(watched: Watched) -> None:
    """Without a home the user is told to name a file."""
    run = check('--process', watched.name, watched.conf,
                '--state-file', '/proc/nowhere/memory')

    assert run.status == 4
    assert '--state-file' in run.events[-1]['message']


# What a state comes to


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
    assert command.verdict(state) == status
