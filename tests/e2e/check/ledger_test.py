"""What `check` remembers between two runs."""
from __future__ import annotations

from pathlib import Path

from tests.support import targets
from tests.support.checked import Watched
from tests.support.sidecar import check, write
from tests.support.targets import unsignalled


def test_memory_lives_below_xdg_state_home(watched: Watched, tmp_path: Path) -> None:
    """0600 in 0700, one for each combination of paths, target and signal."""
    env = {'XDG_STATE_HOME': str(tmp_path / 'state')}
    name = ('--process', watched.name)
    for args in (name, (*name, '--signal', 'USR1'), ('--process', 'other')):
        check(*args, watched.conf, env=env)
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
    """Rule 2: B was signalled and not done, so A is delivered again, then never more.
    """
    refusing = ('--verify', 'false', '--command-timeout', '30ms')
    with watched.handler() as target:
        # It is there before: one that started in the meantime is notified again anyway.
        watched.check()
        write(watched.conf, 'second')
        failed = watched.check(*refusing)
        first = target.read()
        write(watched.conf, 'first')
        back = watched.check()
        second = target.read()
        after = watched.check()
        alone = unsignalled(target)

    assert (failed.status, back.status, after.status) == (1, 0, 0)
    assert failed.named('failed')[0]['reason'] == 'not verified'
    assert (first, second) == ('HUP', 'HUP')
    assert alone


def test_content_that_was_refused_and_goes_back_is_not_delivered(
        watched: Watched,
) -> None:
    """No one has heard of B, so A is what the target has."""
    with watched.handler() as target:
        watched.check()
        write(watched.conf, 'second')
        refused = watched.check('--validate', 'false')
        write(watched.conf, 'first')
        back = watched.check()
        alone = unsignalled(target)

    assert (refused.status, back.status) == (1, 0)
    assert back.named('signalled') == []
    assert alone


def test_target_is_signalled_3_times_at_most_for_one_version(watched: Watched) -> None:
    """Rule 1: then it is held, over runs, until the content changes."""
    refusing = ('--verify', 'false', '--command-timeout', '30ms')
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target:
        runs = [watched.check(*refusing) for _ in range(5)]
        told = [target.read() for _ in range(3)]
        alone = unsignalled(target)
        write(watched.conf, 'third')
        done = watched.check('--verify', 'true')
        again = target.read()

    assert [run.status for run in runs] == [1] * 5
    assert [len(run.named('signalled')) for run in runs] == [1, 1, 1, 0, 0]
    assert [run.events[-1]['reason'] for run in runs if run.named('held')] == ['limit']
    assert told == ['HUP'] * 3
    assert alone
    assert done.status == 0
    assert done.events[-1]['event'] == 'verified'
    assert again == 'HUP'


def test_each_target_is_notified_once_per_content_over_runs(watched: Watched) -> None:
    """Rule 3: one that stays behind does not make the others reload again."""
    watched.check('--select', 'all')
    write(watched.conf, 'second')
    with (
        watched.handler() as good,
        targets.start('default', name=watched.name) as bad,
    ):
        runs = [watched.check('--select', 'all') for _ in range(2)]
        told = good.read()
        alone = unsignalled(good) and unsignalled(bad)

    assert [run.status for run in runs] == [1, 1]
    assert [len(run.named('signalled')) for run in runs] == [1, 0]
    assert told == 'HUP'
    assert alone


def test_validation_that_refuses_is_1_and_asked_again_by_the_next_run(
        watched: Watched,
) -> None:
    """--validate holds the signal; its reason is logged."""
    watched.check()
    write(watched.conf, 'second')
    with watched.handler() as target:
        refused = watched.check('--validate', 'sh -c "exit 3"')
        missing = watched.check('--validate', '/nowhere/validate')
        killed = watched.check('--validate', 'sh -c "kill -9 $$"')
        late = watched.check('--validate', 'sleep 60', '--command-timeout', '30ms')
        alone = unsignalled(target)
        agreed = watched.check('--validate', 'true')
        told = target.read()

    assert [run.status for run in (refused, missing, killed, late)] == [1] * 4
    assert 'refused the new version (exit status 3)' in refused.out
    assert 'cannot run --validate: /nowhere/validate: no such file' in missing.out
    assert 'ended by signal 9' in killed.out
    assert 'did not end within 0.03 s' in late.out
    assert alone
    assert agreed.status == 0
    assert told == 'HUP'


def test_refusal_is_printed_once_whatever_the_command_prints(watched: Watched) -> None:
    """cron mails every line, and nginx -t begins its own with the time and its pid."""
    refusing = ('--validate', 'sh -c "echo $$; exit 1"')
    watched.check()
    write(watched.conf, 'second')
    with watched.handler():
        first, second = watched.check(*refusing), watched.check(*refusing)
        write(watched.conf, 'third')
        third = watched.check(*refusing)

    assert [len(run.named('held')) for run in (first, second, third)] == [1, 0, 1]
    assert [run.status for run in (first, second, third)] == [1, 1, 1]


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
