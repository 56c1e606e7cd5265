"""pollreload check --config: all watches of a file, looked at once."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pollreload.system import ledger_file
from tests.support import sidecar, targets
from tests.support.several import put, table
from tests.support.sidecar import Mark, Run, unique, write


class Watched:
    """Two files, the names of their programs, and a config file."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.config = str(place / 'w.toml')
        self.comms = {name: unique() for name in ('one', 'two')}
        for name in self.comms:
            write(self.conf(name), 'first')

    def conf(self, name: str) -> str:
        """Return the file of a watch."""
        return str(self.place / f'{name}.conf')

    def ledger(self, name: str) -> str:
        """Return the ledger of a watch."""
        return str(self.place / f'{name}.ledger')

    def table(self, name: str, **more: object) -> str:
        """Return the table of a watch."""
        return table(**{
            'name': name, 'path': self.conf(name), 'process': self.comms[name],
            'state_file': self.ledger(name), **more,
        })

    def put(self, **more: object) -> None:
        """Write the config file;
        more: for both.
        """
        put(self.config, self.table('one', **more), self.table('two', **more))

    def check(self, *args: str, **rest: Any) -> Run:
        """Run a check."""
        command = (*sidecar.POLLRELOAD, 'check', '--config', self.config)
        form = () if '--log-format' in args else ('--log-format', 'json')
        done = subprocess.run(
            (*command, *form, *args), check=False,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=targets.DEADLINE,
            **{'env': sidecar.environment(), **rest},
        )
        return Run(
            done.returncode, done.stdout.decode(),
            [sidecar.event(line) for line in done.stderr.splitlines()],
        )

    def handler(self, name: str) -> targets.Target:
        """Start the program of a watch."""
        return targets.start('handler', name=self.comms[name])


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """Two watches that have a memory of what is there."""
    made = Watched(tmp_path)
    made.put()
    assert made.check().status == 0
    return made


@pytest.fixture
def both(watched: Watched) -> Iterator[list[targets.Target]]:
    """The programs of both."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(watched.handler(name)) for name in ('one', 'two')]


def test_what_is_due_of_each_is_delivered(
        watched: Watched, both: list[targets.Target],
) -> None:
    """Once; a line for each has its name, and there is none where nothing is due."""
    write(watched.conf('two'), 'second')
    run = watched.check()
    assert both[1].read() == 'HUP'
    again = watched.check()

    for target in both:
        target.signal(signal.SIGUSR1)
        assert target.read() == 'USR1'
    assert run.status == 0
    assert run.out == (
        f'delivered: two: SIGHUP to {watched.comms["two"]} (pid {both[1].pid}); reload '
        f'not verified\n'
    )
    assert [(each['event'], each['watch']) for each in run.events] == [
        ('changed', 'two'), ('signalled', 'two'), ('delivered', 'two'),
    ]
    assert again == Run(0, '', [])


def test_all_run_at_a_time(watched: Watched, both: list[targets.Target]) -> None:
    """One that waits for the other has it: here by a FIFO, in both directions."""
    os.mkfifo(watched.place / 'a')
    os.mkfifo(watched.place / 'b')
    put(
        watched.config,
        watched.table('one', validate='sh -c "echo > a; cat b"'),
        watched.table('two', validate='sh -c "cat a; echo > b"'),
    )
    for name in watched.comms:
        write(watched.conf(name), 'second')

    run = watched.check(cwd=watched.place)

    assert run.status == 0, run
    assert [target.read() for target in both] == ['HUP', 'HUP']


WORDS = {
    0: 'nothing is due', 3: 'its path is not there', 1: 'nobody is there to be told',
    75: 'its ledger is held', 4: 'its ledger is corrupt',
}


def trouble(watched: Watched, name: str, status: int) -> int:
    """Have a watch end with a status; return a descriptor to close, or -1."""
    match status:
        case 3:
            os.unlink(watched.conf(name))
        case 1:
            write(watched.conf(name), 'second')
        case 75:
            return ledger_file.lock(watched.ledger(name))
        case 4:
            write(watched.ledger(name), 'none')
    return -1


@pytest.mark.parametrize(('one', 'two', 'all_of_them'), [
    (0, 0, 0), (0, 3, 3), (3, 1, 1), (1, 0, 1), (1, 75, 75), (75, 3, 75), (75, 4, 4),
    (4, 0, 4), (75, 75, 75),
])
def test_the_exit_status_is_the_worst(
        watched: Watched, one: int, two: int, all_of_them: int,
) -> None:
    """And each has its own in --output json, in the object with its name."""
    held = [
        trouble(watched, name, status) for name, status in (('one', one), ('two', two))
    ]
    try:
        # A corrupt one is kept aside, and is none then.
        run = watched.check('--output', 'json')
    finally:
        for fd in held:
            if fd >= 0:
                os.close(fd)
    found = {each['watch']: each for each in map(json.loads, run.out.splitlines())}

    assert run.status == all_of_them, run
    assert {name: each['status'] for name, each in found.items()} == {
        'one': one, 'two': two,
    }
    for name, status in (('one', one), ('two', two)):
        reasons = {each.get('reason') for each in found[name]['events']}
        wanted = {1: 'no target', 75: 'ledger', 4: 'ledger'}.get(status)
        assert wanted is None or wanted in reasons, WORDS[status]
    logged = {
        (each['watch'], each['reason']) for each in run.events
        if each['event'] == 'failed'
    }
    assert logged == {
        (name, 'ledger') for name, status in (('one', one), ('two', two))
        if status in (75, 4)
    }


def test_what_holds_one_back_keeps_no_other(
        watched: Watched, both: list[targets.Target],
) -> None:
    """The other is notified, and remembers that."""
    for name in watched.comms:
        write(watched.conf(name), 'second')
    held = ledger_file.lock(watched.ledger('one'))
    try:
        run = watched.check()
    finally:
        os.close(held)

    assert run.status == 75
    assert both[1].read() == 'HUP'
    both[0].signal(signal.SIGUSR1)
    assert both[0].read() == 'USR1'
    (failed,) = run.named('failed')
    assert failed['watch'] == 'one'
    assert 'another run holds the ledger' in failed['message']


def test_text_is_said_once_on_each_stream(watched: Watched) -> None:
    """With the name, as cron mails it."""
    write(watched.conf('one'), 'second')
    held = ledger_file.lock(watched.ledger('two'))
    try:
        run = watched.check('--log-format', 'text')
    finally:
        os.close(held)

    lines = [each['message'] for each in run.events]
    assert run.status == 75
    assert run.out.startswith('held: one: no process is called ')
    assert sum(' held: one: no process is called ' in line for line in lines) == 1
    assert sum(' failed: two: another run holds ' in line for line in lines) == 1


def test_each_has_a_memory_of_its_own(watched: Watched, tmp_path: Path) -> None:
    """If none is named, below XDG_STATE_HOME."""
    put(
        watched.config, watched.table('one', state_file='/x').replace(
            'state-file = "/x"\n', '',
        ), table(path=watched.conf('two'), exec='true'),
    )
    env = sidecar.environment({'XDG_STATE_HOME': f'{tmp_path}/state'})

    assert watched.check(env=env).status == 0
    kept = [path.name for path in (tmp_path / 'state/pollreload').glob('*.json')]
    assert len(kept) == 2


def test_dry_run_says_what_would_be_of_each(
        watched: Watched, both: list[targets.Target],
) -> None:
    """And leaves no trace."""
    before = {name: ledger_file.peek(watched.ledger(name)) for name in watched.comms}
    for name in watched.comms:
        write(watched.conf(name), 'second')

    run = watched.check('--dry-run')

    assert run.status == 1
    assert sorted(run.out.splitlines()) == [
        f'would: {name}: send SIGHUP to {comm} (pid {target.pid})'
        for (name, comm), target in zip(watched.comms.items(), both, strict=True)
    ]
    assert before == {name: ledger_file.peek(watched.ledger(name)) for name in before}
    for target in both:
        target.signal(signal.SIGUSR1)
        assert target.read() == 'USR1'


def test_timeout_is_of_all(watched: Watched, both: list[targets.Target]) -> None:
    """One that has ended stays so; one that waits has failed."""
    put(
        watched.config, watched.table('one', validate='sleep 1000'),
        watched.table('two'),
    )
    for name in watched.comms:
        write(watched.conf(name), 'second')

    run = watched.check('--timeout', '1s')

    assert run.status == 1
    assert both[1].read() == 'HUP'
    (failed,) = run.named('failed')
    assert (failed['watch'], failed['reason']) == ('one', 'timeout')
    both[0].signal(signal.SIGUSR1)
    assert both[0].read() == 'USR1'


def test_term_ends_all(watched: Watched, both: list[targets.Target]) -> None:
    """With the commands of each, and by that signal."""
    write(watched.place / 'run', 'exec > "$1"\necho run\nsleep 1000 & wait\n')
    with Mark(watched.place / 'mark') as mark:
        watched.put(validate=f'sh {watched.place}/run {mark.path}')
        for name in watched.comms:
            write(watched.conf(name), 'second')
        with subprocess.Popen(
            (*sidecar.POLLRELOAD, 'check', '--config', watched.config, '-q'),
            env=sidecar.environment(), stdin=subprocess.DEVNULL,
        ) as run:
            assert [mark.read(), mark.read()] == ['run', 'run']
            run.terminate()
            status = run.wait(targets.DEADLINE)
        mark.close()
        assert mark.read() == ''

    assert status == -signal.SIGTERM


def test_a_bad_file_is_2_and_one_line(watched: Watched) -> None:
    """No process is examined."""
    put(watched.config, watched.table('one', uidd=0))

    run = watched.check()

    assert (run.status, run.out) == (2, '')
    assert [each['message'] for each in run.events] == [
        f'pollreload: {watched.config}:11: uidd: is not an option; did you mean uid?',
    ]
