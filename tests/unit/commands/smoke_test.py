from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from pollreload.cli import main as cli
from pollreload.commands import smoke, smoke_setup
from pollreload.errors import UsageError
from pollreload.settings import Signal
from pollreload.system import signal_masks


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The directory for temporary files, empty again at the end."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    yield tmp_path
    assert os.listdir(tmp_path) == []


HUP = Signal(1, 'SIGHUP')


def play(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
        *acts: Callable[[smoke_setup.Setup], None],
) -> tuple[list[str], str]:
    """Return the verdicts of a smoke test with other steps, and all it printed."""
    steps = tuple((f'step {number}', act) for number, act in enumerate(acts, 1))
    monkeypatch.setattr(smoke, 'STEPS', steps)
    status = smoke.run(HUP, 'text')
    out = capsys.readouterr().out
    verdicts = [line[:4].strip() for line in out.splitlines() if ' step ' in line]
    assert status == ('fail' in verdicts)
    return verdicts, out


def test_every_step_is_proved_on_this_machine(temporary):
    """Each step is a line with its time; the whole takes less than 5 s."""
    done = subprocess.run(
        [sys.executable, '-m', 'pollreload', 'smoke'],
        capture_output=True, check=False, timeout=100,
    )

    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, lines
    assert done.stderr == b''
    assert [line[6:46].strip() for line in lines] == [name for name, _ in smoke.STEPS]
    assert all(line.startswith('ok    ') and line.endswith(' ms') for line in lines)
    assert all(line.split()[-2].isdecimal() for line in lines)


def test_the_answer_can_be_json(temporary, capsys):
    """One object, with the time of each step as a number; here with another signal."""
    assert cli.main(['smoke', '--output', 'json', '--signal', 'USR2']) == 0

    said = json.loads(capsys.readouterr().out)
    assert said['status'] == 0
    assert [step['verdict'] for step in said['steps']] == ['ok'] * len(smoke.STEPS)
    assert all(isinstance(step['ms'], int) for step in said['steps'])


def test_the_environment_does_not_reach_the_watch(temporary, monkeypatch, capsys):
    """The variables of other watches do not apply to this one."""
    monkeypatch.setenv('PROCESS', 'nginx')
    monkeypatch.setenv('POLLRELOAD_HANDLER_CHECK', 'off')
    monkeypatch.setenv('POLLRELOAD_INTERVAL', '1h')
    monkeypatch.setenv('PYTHONPATH', '/nonexistent')

    assert cli.main(['smoke']) == 0
    assert smoke_setup.child_environment()['PYTHONPATH'].endswith(':/nonexistent')
    capsys.readouterr()


@pytest.mark.parametrize('name', ['TERM', 'KILL', 'STOP'])
def test_a_signal_that_ends_proves_no_reload(name):
    """It is a usage error, before anything is started."""
    with pytest.raises(UsageError, match='proves no reload'):
        cli.main(['smoke', '--signal', name])


def test_a_failure_says_what_was_seen_and_what_the_watch_logged(
        temporary, monkeypatch, capsys,
):
    """The steps end there; the log follows."""
    def fail(setup):
        raise smoke_setup.Failed('seen')

    verdicts, out = play(monkeypatch, capsys, smoke.first_poll, fail, smoke.stop)

    assert verdicts == ['ok', 'fail']
    assert 'fail  step 2: seen\nwhat the watch logged:\n    {"time"' in out
    assert '"event": "baseline"' in out


def test_a_failure_in_json_has_the_log(temporary, monkeypatch, capsys):
    """It is still one object."""
    monkeypatch.setattr(smoke_setup, 'POLL', ('--bogus',))

    assert smoke.run(HUP, 'json') == 1
    said = json.loads(capsys.readouterr().out)

    assert said['status'] == 1
    assert said['steps'][0]['verdict'] == 'fail'
    assert said['steps'][0]['says'] == "the watch ended instead of logging 'baseline'"
    assert '--bogus' in said['log'][0]


def test_second_signal_for_one_version_is_seen(temporary, monkeypatch, capsys):
    """The next answer of the target is expected, and a signal comes instead."""
    def twice(setup):
        write = setup.target.write_line
        monkeypatch.setattr(setup.target, 'write_line', lambda text: (
            setup.target.process.send_signal(signal.SIGHUP), write(text),
        ))
        smoke.change(setup)

    verdicts, out = play(monkeypatch, capsys, smoke.first_poll, twice)

    assert verdicts == ['ok', 'fail']
    assert "the target did not get exactly one signal: it wrote 'signal'" in out


def test_swap_that_is_signalled_is_seen(temporary, monkeypatch, capsys):
    """Other bytes instead of the same ones: the watch has work to do."""
    publish = smoke_setup.publish

    def different(setup):
        monkeypatch.setattr(
            smoke, 'publish', lambda directory, text: publish(directory, text * 2),
        )
        smoke.identical(setup)

    verdicts, out = play(monkeypatch, capsys, smoke.first_poll, different)

    assert verdicts == ['ok', 'fail']
    assert 'the watch took it for a change: ' in out


def test_poll_in_a_child_is_waited_for(temporary, monkeypatch, capsys):
    """If a read may hang, the first status can come before the poll has ended."""
    answers = iter(['version current, reading for 0.0 s', 'saw it', 'version current'])
    asked = []

    def logged(_, event):
        asked.append(event)
        return {'message': next(answers)}

    def slow(setup):
        monkeypatch.setattr(smoke, 'wait_for', logged)
        smoke.identical(setup)

    verdicts, _ = play(monkeypatch, capsys, smoke.first_poll, slow)

    assert verdicts == ['ok', 'ok']
    assert asked == ['status', 'polled', 'status']


def test_fact_that_the_kernel_hides_is_skipped(temporary, monkeypatch, capsys):
    """gVisor shows no handlers: that is no failure, and a row says so."""
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: None)

    verdicts, out = play(monkeypatch, capsys, smoke.unhandled, smoke.first_poll)

    assert verdicts == ['skip', 'ok']
    assert 'this kernel does not show' in out


@pytest.mark.parametrize('shared', [True, False])
def test_read_only_root_needs_no_other_directory(tmp_path, monkeypatch, shared):
    """/dev/shm does. Without one, the line says what to mount."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'none'))
    place = tmp_path if shared else tmp_path / 'none'
    monkeypatch.setattr(smoke_setup, 'SHARED', str(place))

    if shared:
        assert os.path.dirname(smoke_setup.make_directory()) == str(tmp_path)
    else:
        with pytest.raises(smoke_setup.Failed, match='emptyDir'):
            smoke_setup.make_directory()


def test_interpreter_is_started_as_this_one_was(monkeypatch):
    """With a loader of its own, which is no argument of Python, and apart from the
    environment where we are."""
    own = smoke_setup.interpreter()
    monkeypatch.setattr(sys, 'orig_argv', sys.orig_argv[1:])
    monkeypatch.setattr(sys, 'flags', SimpleNamespace(isolated=1))
    with_loader = smoke_setup.interpreter()

    assert own == [sys.executable]
    assert with_loader[1:] == [sys.executable, '-I', '-S', '-X', 'utf8']
    assert with_loader[0]


def test_target_that_gets_no_signal_fails(temporary, monkeypatch, capsys):
    """The wait for a signal ends."""
    def nothing(setup):
        monkeypatch.setattr(smoke_setup, 'STEP_TIMEOUT', 0.05)
        smoke_setup.expect(setup.target, 'signal', 'the target got no signal')

    verdicts, out = play(monkeypatch, capsys, nothing)

    assert verdicts == ['fail']
    assert 'the target got no signal after 0.05 s' in out


def test_watch_that_does_not_log_fails(temporary, monkeypatch, capsys):
    """The wait for an event ends."""
    def silent(setup):
        monkeypatch.setattr(smoke_setup, 'STEP_TIMEOUT', 0.05)
        smoke.wait_for(setup.watch, 'verified')

    verdicts, out = play(monkeypatch, capsys, smoke.first_poll, silent)

    assert verdicts == ['ok', 'fail']
    assert "the watch logged no 'verified' within 0.05 s" in out


def test_target_that_died_fails(temporary, monkeypatch, capsys):
    """Its pipe is broken, which is not a fault in pollreload."""
    def dead(setup):
        setup.target.process.kill()
        setup.target.process.wait()
        smoke.unhandled(setup)

    verdicts, out = play(monkeypatch, capsys, smoke.first_poll, dead)

    assert verdicts == ['ok', 'fail']
    assert 'the target did not drop its handler: it ended' in out


def test_hold_for_another_reason_fails(temporary, monkeypatch, capsys):
    """That it was held proves nothing: it has to be for the lack of a handler."""
    def other(setup):
        monkeypatch.setattr(smoke, 'wait_for', lambda *_: {'reason': 'ambiguous'})
        smoke.unhandled(setup)

    verdicts, out = play(monkeypatch, capsys, smoke.first_poll, other)

    assert verdicts == ['ok', 'fail']
    assert 'the watch held it for another reason: ambiguous' in out


def test_watch_that_does_not_stop_fails_and_is_killed(temporary, monkeypatch, capsys):
    """A stopped process does not handle TERM."""
    def stopped(setup):
        monkeypatch.setattr(smoke_setup, 'STEP_TIMEOUT', 0.05)
        setup.watch.process.send_signal(signal.SIGSTOP)
        smoke.stop(setup)

    verdicts, out = play(monkeypatch, capsys, smoke.first_poll, stopped)

    assert verdicts == ['ok', 'fail']
    assert 'the watch still runs 0.05 s after TERM' in out


def test_watch_that_ends_with_an_error_fails(temporary, monkeypatch, capsys):
    """A stop by TERM is status 0."""
    def killed(setup):
        setup.watch.process.kill()
        smoke.stop(setup)

    verdicts, out = play(monkeypatch, capsys, smoke.first_poll, killed)

    assert verdicts == ['ok', 'fail']
    assert 'the watch ended with status -9' in out


def test_full_temporary_directory_is_a_failed_step(monkeypatch, capsys):
    """A mistake that the user can fix gives no traceback."""
    monkeypatch.setattr(tempfile, 'tempdir', '/nonexistent')
    monkeypatch.setattr(smoke_setup, 'SHARED', '/nonexistent')

    verdicts, out = play(monkeypatch, capsys, smoke.first_poll)

    assert verdicts == ['fail']
    assert 'no directory is writable; mount a tmpfs' in out
    assert out.endswith('what the watch logged:\n    nothing\n')


def test_term_ends_all_that_was_started(temporary, monkeypatch):
    """The directory, the target and the watch are gone, and handlers as before."""
    setups = []

    def ended(setup):
        setups.append(setup)
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(smoke, 'STEPS', (('step', ended),))

    with pytest.raises(SystemExit) as end:
        smoke.run(HUP, 'text')

    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    # Reaped, so that they certainly ended.
    assert setups[0].target.process.returncode == -9
    assert setups[0].watch.process.returncode == -9


def test_int_ends_the_command_and_leaves_nothing(temporary):
    """Interrupted while it runs, the whole command cleans up after itself."""
    child = subprocess.Popen(
        [sys.executable, '-m', 'pollreload', 'smoke'], stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith(b'ok')
        child.send_signal(signal.SIGINT)

        assert child.wait(20) == 130


def test_a_watch_does_not_import_what_this_needs():
    """A sidecar has to need little memory."""
    words = (
        'import sys, pollreload.commands.watch; '
        'print(sorted({"pollreload.commands.smoke", "pollreload.commands.doctor.main", '
        '"subprocess", "tempfile"} & set(sys.modules)))'
    )

    said = subprocess.check_output([sys.executable, '-c', words])

    assert said == b'[]\n'


def test_refused_system_call_is_a_failed_step(temporary, monkeypatch, capsys):
    """No right to start a process, no space for a file: it is named."""
    def refused(setup):
        raise PermissionError(13, 'Permission denied', '/bin/python')

    verdicts, out = play(monkeypatch, capsys, refused)

    assert verdicts == ['fail']
    assert '/bin/python: Permission denied' in out


@pytest.mark.parametrize(('verdict', 'code'), [
    ('ok', '32'), ('fail', '31'), ('skip', '33'),
])
def test_verdict_has_the_colour_of_what_it_means(verdict: str, code: str) -> None:
    """The rest of the line has none, and without a terminal there is none at all."""
    step = smoke.Step('a step', verdict, 5, 'why')

    assert smoke.verdict_line(step) == f'{verdict:4}  a step: why'
    coloured = f'\x1b[{code}m{verdict:4}\x1b[0m  a step: why'
    assert smoke.verdict_line(step, True) == coloured
