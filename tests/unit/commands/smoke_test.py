from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from pollreload.cli import main as cli
from pollreload.commands import smoke
from pollreload.commands.doctor import main as doctor
from pollreload.commands.doctor.rows import Row
from pollreload.errors import UsageError
from pollreload.runtime import interrupt
from pollreload.settings import Settings
from pollreload.system import signal_masks
from tests.support.targets import start


@pytest.fixture
def comm(request):
    """A name that no other process has."""
    return f's{os.getpid()}-{abs(hash(request.node.name)) % 10**6}'


@pytest.fixture
def room(tmp_path, monkeypatch):
    """The directory for temporary files, which nothing may be left in."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    yield tmp_path
    assert os.listdir(tmp_path) == []


@pytest.fixture
def conf():
    directory = tempfile.mkdtemp()
    with open(f'{directory}/app.conf', 'w', encoding='ascii') as file:
        file.write('a = 1\n')
    yield f'{directory}/app.conf'
    shutil.rmtree(directory)


def play(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
        *acts: Callable[[smoke.Scene], None],
) -> tuple[list[str], str]:
    """Return the verdicts of a smoke test with other steps, and all it printed."""
    steps = tuple((f'step {number}', act) for number, act in enumerate(acts, 1))
    monkeypatch.setattr(smoke, 'STEPS', steps)
    status = smoke.run(Settings())
    out = capsys.readouterr().out
    verdicts = [line[:4].strip() for line in out.splitlines() if ' step ' in line]
    assert status == ('fail' in verdicts)
    return verdicts, out


def deployed(*words: str) -> tuple[int, list[Row]]:
    """Return status and rows of a smoke test that is no parent of the targets."""
    done = subprocess.run(
        [sys.executable, '-m', 'pollreload', 'smoke', *words, '--output', 'json'],
        stdout=subprocess.PIPE, check=False,
    )
    said = json.loads(done.stdout)
    assert said['status'] == done.returncode
    return done.returncode, [Row(**row) for row in said['rows']]


def test_every_step_is_proved_on_this_machine(room):
    """Each step is a line with its time; the whole takes less than 5 s."""
    done = subprocess.run(
        [sys.executable, '-m', 'pollreload', 'smoke'],
        capture_output=True, check=False, timeout=30,
    )

    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, lines
    assert done.stderr == b''
    assert [line[6:46].strip() for line in lines] == [name for name, _ in smoke.STEPS]
    assert all(line.startswith('ok    ') and line.endswith(' ms') for line in lines)
    assert sum(int(line.split()[-2]) for line in lines) < 5000


def test_the_answer_can_be_json(room, capsys):
    """One object, with the time of each step as a number; here with another signal."""
    assert cli.main(['smoke', '--output', 'json', '--signal', 'USR2']) == 0

    said = json.loads(capsys.readouterr().out)
    assert said['status'] == 0
    assert [step['verdict'] for step in said['steps']] == ['ok'] * len(smoke.STEPS)
    assert all(isinstance(step['ms'], int) for step in said['steps'])


def test_the_environment_does_not_reach_the_watch(room, monkeypatch, capsys):
    """What the environment says to other watches is nothing to this one."""
    monkeypatch.setenv('PROCESS', 'nginx')
    monkeypatch.setenv('POLLRELOAD_HANDLER_CHECK', 'off')
    monkeypatch.setenv('POLLRELOAD_INTERVAL', '1h')
    monkeypatch.setenv('PYTHONPATH', '/nonexistent')

    assert cli.main(['smoke']) == 0
    assert smoke.environment()['PYTHONPATH'].endswith(':/nonexistent')
    capsys.readouterr()


@pytest.mark.parametrize('name', ['TERM', 'KILL', 'STOP'])
def test_a_signal_that_ends_proves_no_reload(name):
    """It is refused as a matter of usage, before anything is started."""
    with pytest.raises(UsageError, match='no signal to reload on'):
        cli.main(['smoke', '--signal', name])


def test_a_failure_says_what_was_seen_and_what_the_watch_logged(
        room, monkeypatch, capsys,
):
    """The steps end there; the log follows."""
    def fail(scene):
        raise smoke.Unproved('seen')

    verdicts, out = play(monkeypatch, capsys, smoke.baseline, fail, smoke.stop)

    assert verdicts == ['ok', 'fail']
    assert 'fail  step 2: seen\nwhat the watch logged:\n    {"time"' in out
    assert '"event": "baseline"' in out


def test_a_failure_in_json_has_the_log(room, monkeypatch, capsys):
    """The object is one, also then."""
    monkeypatch.setattr(smoke, 'POLL', ('--bogus',))

    assert smoke.run(Settings(output='json')) == 1
    said = json.loads(capsys.readouterr().out)

    assert said['status'] == 1
    assert said['steps'][0]['verdict'] == 'fail'
    assert said['steps'][0]['says'] == "the watch ended instead of logging 'baseline'"
    assert '--bogus' in said['log'][0]


def test_a_second_signal_for_one_content_is_seen(room, monkeypatch, capsys):
    """What the target says next has to be its answer, and is another signal."""
    def twice(scene):
        tell = smoke.tell
        monkeypatch.setattr(smoke, 'tell', lambda target, word: (
            target.process.send_signal(signal.SIGHUP), tell(target, word),
        ))
        smoke.change(scene)

    verdicts, out = play(monkeypatch, capsys, smoke.baseline, twice)

    assert verdicts == ['ok', 'fail']
    assert "the target did not take just one signal: it said 'signal'" in out


def test_a_swap_that_is_told_is_seen(room, monkeypatch, capsys):
    """Other bytes where the same ought to be: the watch is not at rest."""
    swap = smoke.swap

    def different(scene):
        monkeypatch.setattr(
            smoke, 'swap', lambda directory, content: swap(directory, content * 2),
        )
        smoke.identical(scene)

    verdicts, out = play(monkeypatch, capsys, smoke.baseline, different)

    assert verdicts == ['ok', 'fail']
    assert 'the watch is not at rest: content settling' in out


def test_a_look_in_a_child_is_waited_for(room, monkeypatch, capsys):
    """Where a read may hang the first status can come before the end of the look."""
    answers = iter(['content current, reading for 0.0 s', 'saw it', 'content current'])
    asked = []

    def logged(_, event):
        asked.append(event)
        return {'message': next(answers)}

    def slow(scene):
        monkeypatch.setattr(smoke, 'logged', logged)
        smoke.identical(scene)

    verdicts, _ = play(monkeypatch, capsys, smoke.baseline, slow)

    assert verdicts == ['ok', 'ok']
    assert asked == ['status', 'polled', 'status']


def test_what_a_kernel_does_not_say_is_skipped(room, monkeypatch, capsys):
    """In gVisor nobody knows who has a handler: that is no failure, and is said."""
    monkeypatch.setattr(signal_masks, 'masks', lambda pid: None)

    verdicts, out = play(monkeypatch, capsys, smoke.unhandled, smoke.baseline)

    assert verdicts == ['skip', 'ok']
    assert 'this kernel does not say' in out


@pytest.mark.parametrize('shared', [True, False])
def test_a_root_that_is_read_only_needs_no_other_room(tmp_path, monkeypatch, shared):
    """/dev/shm does, and where there is none, the line says what to mount."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'none'))
    monkeypatch.setattr(smoke, 'SHARED', str(tmp_path / ('' if shared else 'none')))

    if shared:
        assert os.path.dirname(smoke.room()) == str(tmp_path)
    else:
        with pytest.raises(smoke.Unproved, match='emptyDir'):
            smoke.room()


def test_the_interpreter_is_started_as_we_were(monkeypatch):
    """With a loader of its own, which is no argument of Python, and apart from the
    environment where we are."""
    own = smoke.interpreter()
    monkeypatch.setattr(sys, 'orig_argv', sys.orig_argv[1:])
    monkeypatch.setattr(sys, 'flags', SimpleNamespace(isolated=1))
    with_loader = smoke.interpreter()

    assert own == [sys.executable]
    assert with_loader[1:] == [sys.executable, '-I', '-S', '-X', 'utf8']
    assert with_loader[0]


def test_a_target_that_gets_nothing_is_seen(room, monkeypatch, capsys):
    """The wait for a signal ends."""
    def nothing(scene):
        monkeypatch.setattr(smoke, 'PATIENCE', 0.05)
        smoke.expect(scene.target, 'signal', 'the target got no signal')

    verdicts, out = play(monkeypatch, capsys, nothing)

    assert verdicts == ['fail']
    assert 'the target got no signal after 0.05 s' in out


def test_a_watch_that_does_not_log_is_seen(room, monkeypatch, capsys):
    """The wait for an event ends."""
    def silent(scene):
        monkeypatch.setattr(smoke, 'PATIENCE', 0.05)
        smoke.logged(scene.watch, 'verified')

    verdicts, out = play(monkeypatch, capsys, smoke.baseline, silent)

    assert verdicts == ['ok', 'fail']
    assert "the watch logged no 'verified' within 0.05 s" in out


def test_a_target_that_died_is_seen(room, monkeypatch, capsys):
    """Its pipe is broken, and that is no fault of ours."""
    def dead(scene):
        scene.target.process.kill()
        scene.target.process.wait()
        smoke.unhandled(scene)

    verdicts, out = play(monkeypatch, capsys, smoke.baseline, dead)

    assert verdicts == ['ok', 'fail']
    assert 'the target did not drop its handler: it ended' in out


def test_a_hold_for_another_reason_is_seen(room, monkeypatch, capsys):
    """That it was held proves nothing: it has to be for the lack of a handler."""
    def other(scene):
        monkeypatch.setattr(smoke, 'logged', lambda *_: {'reason': 'ambiguous'})
        smoke.unhandled(scene)

    verdicts, out = play(monkeypatch, capsys, smoke.baseline, other)

    assert verdicts == ['ok', 'fail']
    assert 'the watch held it for another reason: ambiguous' in out


def test_a_watch_that_does_not_stop_is_seen_and_killed(room, monkeypatch, capsys):
    """One that is stopped does not take TERM."""
    def stopped(scene):
        monkeypatch.setattr(smoke, 'STOPPED', 0.05)
        scene.watch.process.send_signal(signal.SIGSTOP)
        smoke.stop(scene)

    verdicts, out = play(monkeypatch, capsys, smoke.baseline, stopped)

    assert verdicts == ['ok', 'fail']
    assert 'the watch still runs 0.05 s after TERM' in out


def test_a_watch_that_ends_badly_is_seen(room, monkeypatch, capsys):
    """A stop by TERM is status 0."""
    def killed(scene):
        scene.watch.process.kill()
        smoke.stop(scene)

    verdicts, out = play(monkeypatch, capsys, smoke.baseline, killed)

    assert verdicts == ['ok', 'fail']
    assert 'the watch ended with status -9' in out


def test_no_room_for_a_temporary_file_is_a_failed_step(monkeypatch, capsys):
    """What a person can mend is no traceback."""
    monkeypatch.setattr(tempfile, 'tempdir', '/nonexistent')
    monkeypatch.setattr(smoke, 'SHARED', '/nonexistent')

    verdicts, out = play(monkeypatch, capsys, smoke.baseline)

    assert verdicts == ['fail']
    assert 'there is no directory to write to; mount a tmpfs' in out
    assert out.endswith('what the watch logged:\n    nothing\n')


def test_term_ends_all_that_was_started(room, monkeypatch):
    """The directory, the target and the watch are gone, and handlers as before."""
    scenes = []

    def ended(scene):
        scenes.append(scene)
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(smoke, 'STEPS', (('step', ended),))

    with pytest.raises(SystemExit) as end:
        smoke.run(Settings())

    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    # Reaped, so that they certainly ended.
    assert scenes[0].target.process.returncode == -9
    assert scenes[0].watch.process.returncode == -9


def test_int_ends_the_command_and_leaves_nothing(room):
    """Interrupted while it runs, the whole command cleans up after itself."""
    child = subprocess.Popen(
        [sys.executable, '-m', 'pollreload', 'smoke'], stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith(b'ok')
        child.send_signal(signal.SIGINT)

        assert child.wait(20) == 130


def test_without_deliver_nothing_is_sent(comm, conf):
    """The rows are the doctor's, and one that says that nothing was sent."""
    with start('handler', name=comm) as target:
        status, rows = deployed(conf, '--process', comm)
        target.signal(signal.SIGUSR1)

        assert target.read() == 'USR1'
    assert status == 0
    assert [row.check for row in rows[:2]] == ['path', 'proc']
    assert rows[-1] == Row(
        'deliver', 'skip', 'SIGHUP', 'nothing was sent',
        '--deliver sends one real signal',
    )


def test_with_deliver_one_signal_is_sent_and_survived(comm, conf, tmp_path):
    """One signal; the target lives; no ledger is made."""
    ledger = tmp_path / 'ledger'
    with start('handler', name=comm) as target:
        status, rows = deployed(
            conf, '--process', comm, '--deliver', '--survive', '100ms', '--splay', '1h',
            '--state-file', str(ledger),
        )
        target.signal(signal.SIGUSR1)

        assert [target.read(), target.read()] == ['HUP', 'USR1']
    assert status == 0
    assert rows[-1].verdict == 'ok'
    assert rows[-1].says.endswith('reload not verified')
    assert os.listdir(tmp_path) == []


def test_verification_is_part_of_a_delivery(comm, conf):
    """With --verify-workers new workers are waited for, and one row says so."""
    with start('forking', name=comm):
        status, rows = deployed(
            conf, '--process', comm, '--deliver', '--survive', '100ms',
            '--verify-workers', '--verify', 'true',
        )

    assert status == 0
    assert [row.verdict for row in rows if row.check == 'deliver'] == ['ok', 'ok']
    assert 'reloaded after SIGHUP' in rows[-1].says


def test_a_target_that_dies_fails(comm, conf):
    """It is the one failure, and what a watch would do next is not told."""
    with start('exits', name=comm) as target:
        status, rows = deployed(conf, '--process', comm, '--deliver')
        assert target.wait() == 0

    assert status == 1
    failed = [row for row in rows if row.verdict == 'fail']
    assert len(failed) == 1
    assert 'died within 1 s of SIGHUP' in failed[0].says


def test_what_the_doctor_fails_is_not_delivered(comm, conf):
    """A target without a handler gets nothing, and lives."""
    with start('default', name=comm) as target:
        status, rows = deployed(conf, '--process', comm, '--deliver')
        target.signal(signal.SIGUSR1)

        assert target.read() == 'USR1'
    assert status == 1
    assert rows[-1].verdict == 'skip'
    assert rows[-1].says.startswith('nothing was sent')


def test_what_holds_a_delivery_is_the_reason_of_its_failure(comm, conf):
    """A content that --validate refuses is not told."""
    with start('handler', name=comm) as target:
        status, rows = deployed(
            conf, '--process', comm, '--deliver', '--validate', 'false',
        )
        target.signal(signal.SIGUSR1)

        assert target.read() == 'USR1'
    assert status == 1
    assert rows[-1].says.startswith('held: --validate false refused the new content')


def test_text_has_the_rows_before_the_delivery(comm, conf, capsys):
    """Both in the same columns."""
    status = smoke.run(Settings(paths=(conf,), process=comm, deliver=True))

    first, *_, last = capsys.readouterr().out.splitlines()
    assert status == 1
    assert first.startswith('ok    path ')
    assert last.startswith('skip  deliver SIGHUP ')
    assert first.index('1 file') == last.index('nothing was sent')


def test_a_path_that_is_gone_by_then_fails(conf, comm):
    """With nothing to read nothing is told, whatever the doctor saw before."""
    with doctor.waiting(interrupt.ENDING):
        row, = smoke.delivered(Settings(paths=(f'{conf}x',), process=comm))

    assert row.verdict == 'fail'
    assert row.says.startswith('held: content blank')


def test_a_stop_signal_ends_a_delivery(conf, comm, monkeypatch):
    """It exits as a shell names an end by that signal, and runs nothing more."""
    def rows(settings):
        signal.raise_signal(signal.SIGTERM)
        return []

    monkeypatch.setattr(doctor, 'rows', rows)

    with pytest.raises(SystemExit) as ended:
        smoke.run(Settings(
            paths=(conf,), process=comm, deliver=True, output='json',
        ))

    assert ended.value.code == 143


def test_a_watch_does_not_import_what_this_needs():
    """A sidecar's memory is part of its quality."""
    words = (
        'import sys, pollreload.commands.watch; '
        'print(sorted({"pollreload.commands.smoke", "pollreload.commands.doctor.main", '
        '"subprocess", "tempfile"} & set(sys.modules)))'
    )

    said = subprocess.check_output([sys.executable, '-c', words])

    assert said == b'[]\n'


def test_what_the_kernel_refuses_is_a_failed_step(room, monkeypatch, capsys):
    """No right to start a process, no room for a file: it is named."""
    def refused(scene):
        raise PermissionError(13, 'Permission denied', '/bin/python')

    verdicts, out = play(monkeypatch, capsys, refused)

    assert verdicts == ['fail']
    assert '/bin/python: Permission denied' in out
