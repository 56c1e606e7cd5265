"""pollreload doctor --config: would each watch of a file work here?"""
from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pollreload.commands.doctor import main as command
from pollreload.commands.doctor import rows as rows_module
from pollreload.settings import Note, Plan, Settings
from tests.servers.harness import free_port
from tests.support import sidecar, targets
from tests.support.several import put, table
from tests.support.sidecar import unique, write


@pytest.fixture
def comm() -> Iterator[str]:
    """Return the name of a program that is notified."""
    name = unique()
    with targets.start('handler', name=name):
        yield name


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch."""
    write(tmp_path / 'app.conf', 'first')
    return str(tmp_path / 'app.conf')


def doctor(config: str, *words: str) -> tuple[int, str]:
    """Return the exit status and the output."""
    done = subprocess.run(
        (*sidecar.POLLRELOAD, 'doctor', '--config', config, *words), check=False,
        env=sidecar.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=targets.DEADLINE, text=True,
    )
    return done.returncode, done.stdout


def test_unknown_variable_has_a_row(conf: str, comm: str) -> None:
    """It concerns all watches; the remedy is the nearest name."""
    name = 'POLLRELOAD_PROCES'
    note = Note('', 'unknown variable', name, f'{name} is unknown; check it')
    plan = Plan((Settings((conf,), comm),), notes=(note,))

    assert command.check_each_watch(plan) == [
        rows_module.Row('variable', 'warn', name, 'is unknown', 'check it'),
    ]


def test_each_watch_has_its_rows(tmp_path: Path, comm: str, conf: str) -> None:
    """Below its name and its target; the rows about all watches come first."""
    config = put(
        tmp_path / 'w.toml', table(name='one', path=conf, process=comm),
        table(name='two', path=conf, process=comm, signal='USR1', exec='true'),
    )

    status, said = doctor(config)

    assert status == 0, said
    first, one, two = said.split('\n\n')
    assert first == f'ok    config {config}'.ljust(len(first) - 9) + '2 watches'
    assert one.startswith(f'one: {comm} and SIGHUP\nok ')
    assert two.startswith(f'two: {comm} and SIGUSR1, then --exec true\nok ')
    assert f'path {conf}' in one
    assert f'path {conf}' in two
    assert 'exec true' in two
    assert 'exec true' not in one
    # One table: the third column begins at one place.
    assert len({
        line.index('  ', line.index(conf)) for line in (one + two).splitlines()
        if f'ok    path {conf}' in line
    }) == 1


def test_one_watch_is_one(tmp_path: Path, comm: str, conf: str) -> None:
    """The rows are those of the same watch on a command line."""
    config = put(tmp_path / 'w.toml', table(path=conf, process=comm))

    status, said = doctor(config)

    first, rows = said.split('\n\n')
    assert status == 0
    assert first.endswith(' 1 watch')
    assert rows.startswith(f'{comm}: {comm} and SIGHUP\n')


def test_one_that_would_fail_is_a_failure(
        tmp_path: Path, comm: str, conf: str,
) -> None:
    """The status is that of all; the rows of the others are printed."""
    config = put(
        tmp_path / 'w.toml', table(name='one', path=f'{conf}.none', process=comm),
        table(name='two', path=conf, process=comm),
    )

    status, said = doctor(config)

    _, one, two = said.split('\n\n')
    assert status == 1
    assert f'fail  path {conf}.none' in one
    assert '\nfail' not in two


@pytest.mark.parametrize('fails', [False, True])
def test_json_is_one_object(
        tmp_path: Path, comm: str, conf: str, fails: bool,
) -> None:
    """With one for each watch, and the worst status for all."""
    config = put(
        tmp_path / 'w.toml', table(name='one', path=conf, process=comm),
        table(name='two', path=conf + '.none' * fails, process=comm, signal='USR1'),
    )

    status, said = doctor(config, '--output', 'json')
    got: dict[str, Any] = json.loads(said)

    assert got['status'] == status == int(fails)
    assert got['rows'] == [{
        'check': 'config', 'verdict': 'ok', 'about': config, 'says': '2 watches',
        'remedy': '',
    }]
    assert [(each['watch'], each['status']) for each in got['watches']] == [
        ('one', 0), ('two', int(fails)),
    ]
    for each in got['watches']:
        assert {row['check'] for row in each['rows']} >= {'path', 'process', 'handler'}


def test_a_bad_file_is_2_and_one_line(tmp_path: Path) -> None:
    """No check runs."""
    config = put(tmp_path / 'w.toml', table(path='/a', process='x', on_start='soon'))

    assert doctor(config) == (2, (
        f"pollreload: {config}:9: on-start: 'soon' is not one of auto, always, never\n"
    ))


# The port


def listened(host: str, port: int) -> rows_module.Row:
    """Return the row of --listen."""
    plan = Plan((Settings(('/a',), 'x'),), listen=(host, port))
    (row,) = command.check_each_watch(plan)
    return row


@pytest.mark.parametrize('host', ['', '127.0.0.1', '::1'])
def test_free_port_can_be_bound(host: str) -> None:
    """It is free again afterwards."""
    port = free_port()
    about = f'[{host}]:{port}' if ':' in host else f'{host}:{port}'

    for _ in range(2):
        assert listened(host, port) == (
            'listen', 'ok', about, 'can be listened at', '',
        )


def test_a_port_in_use_may_be_ours() -> None:
    """A watch that runs may hold it while doctor runs."""
    with socket.create_server(('127.0.0.1', 0)) as taken:
        row = listened('127.0.0.1', taken.getsockname()[1])

    assert (row.verdict, row.says) == ('warn', 'address already in use')
    assert row.remedy == 'by a watch that runs already, or choose another port'


def test_address_of_another_machine_cannot_be_bound() -> None:
    """No host has an address in 192.0.2.0/24 (RFC 5737)."""
    row = listened('192.0.2.1', 9533)

    assert (row.verdict, row.says) == ('fail', 'cannot assign requested address')
