"""--listen with a config file that changes."""
from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pollreload.errors import UsageError
from pollreload.monitoring import http
from pollreload.monitoring.endpoint import Endpoint
from pollreload.monitoring.record import Record
from pollreload.settings import Plan, Settings
from tests.servers.harness import free_port, until
from tests.support.listening import configured
from tests.support.probe import HEALTHZ, READYZ, ask, scrape, status
from tests.support.sidecar import (
    write,
)


def plan_of(port: int, conf: str, *names: str, more: str = '') -> str:
    """Return a config file with a watch for each name."""
    tables = ''.join(
        f'[[watch]]\nname = "{name}"\nprocess = "{name}-{os.getpid()}"\n'
        f'path = "{conf}"\n{more}' for name in names
    )
    return f'listen = "127.0.0.1:{port}"\ninterval = "50ms"\nsettle = 0\n{tables}'


def taken(port: int) -> float:
    """Return when the config file was last taken over."""
    return scrape(port).value('config_last_reload_success_timestamp_seconds')


def test_counts_go_on_over_a_config_that_is_read_again(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """Of a watch that is the same; those of one that is gone go, a new one comes."""
    plan = str(tmp_path / 'plan.toml')
    write(plan, plan_of(port, conf, 'stays', 'goes'))
    with configured(plan) as it:
        until(lambda: status(port, READYZ) == 200, 'all are ready')
        looks = 'look_duration_seconds_count'
        until(lambda: scrape(port).value(looks, watch='stays') > 9, 'some looks')
        before, since = scrape(port), taken(port)
        write(plan, plan_of(port, conf, 'stays', 'comes', more='rehash = "24h"\n'))
        until(
            lambda: taken(port) > since
            and scrape(port).labels('due', 'watch') == {'stays', 'comes'},
            'it is taken over',
        )
        after = scrape(port)
        settings = ask(port, READYZ).body
        it.send(signal.SIGTERM)
        assert it.wait() == 0

    names = ('look_duration_seconds_count', 'look_duration_seconds_sum',
             'read_files_total', 'read_bytes_total')
    assert before.labels('due', 'watch') == {'stays', 'goes'}
    for name in names:
        assert after.value(name, watch='stays') >= before.value(name, watch='stays')
    assert before.value('config_last_reload_successful') == 1
    assert after.value('config_last_reload_successful') == 1
    assert settings.startswith('stays: baseline taken\n')


def test_a_config_that_is_refused_shows_until_it_is_fixed(
        conf: str, port: int, tmp_path: Path,
) -> None:
    """What was there before goes on; a port cannot change."""
    plan = str(tmp_path / 'plan.toml')
    good = plan_of(port, conf, 'web')
    write(plan, good)

    def successful(value: float) -> bool:
        return scrape(port).value('config_last_reload_successful') == value

    with configured(plan):
        until(lambda: status(port, READYZ) == 200, 'it is ready')
        for bad in ('nonsense', good.replace(str(port), str(free_port()))):
            write(plan, bad)
            until(lambda: successful(0), 'it is refused')
            since = taken(port)
            assert status(port, HEALTHZ) == 200
            write(plan, good)
            until(lambda: successful(1), 'it is mended')
            assert taken(port) > since


class Fake(SimpleNamespace):
    """A watch as far as an endpoint needs one."""


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is started."""
    monkeypatch.setattr(http.Server, 'start', lambda _: None)


@pytest.mark.usefixtures('quiet')
def test_record_goes_on_with_the_successor_of_a_watch(port: int) -> None:
    """It then goes by the new settings, and the old list is shown until it changes."""
    it = Endpoint(Plan((), '', ('127.0.0.1', port)))
    with it.server.listener:
        one, two = (
            Fake(record=it.record(Settings(process=name), None))
            for name in ('one', 'two')
        )
        watches: list[Any] = [one, two]
        it.follow(watches, None)
        first = it.records()
        settings = Settings(process='one', interval=60.0)
        successor = it.record(settings, one)  # type: ignore[arg-type]
        during = it.records()
        watches[:] = [Fake(record=successor)]

        assert it.config() is None
        assert first == during == [one.record, two.record]
        assert it.records() == [successor] == [one.record]
        assert successor.settings == settings


@pytest.mark.usefixtures('quiet')
def test_the_watch_of_the_config_file_has_no_record(port: int) -> None:
    """What it counts is shown as that of the file."""
    it = Endpoint(Plan((), '', ('127.0.0.1', port)))
    with it.server.listener:
        record = Record(Settings())
        watches: list[Any] = [Fake(record=None), Fake(record=record)]
        it.follow(watches, None)

        assert it.records() == [record]
        assert it.record(Settings(), watches[0]) is not record


def test_a_port_in_use_is_reported_by_its_origin(port: int) -> None:
    """As the plan names it."""
    plan = Plan((), 'f.toml', ('127.0.0.1', port), 'f.toml:3: listen:')
    with (
            socket.create_server(('127.0.0.1', port)),
            pytest.raises(UsageError, match=r'^f\.toml:3: listen: 127\.0\.0\.1:\d+: '),
    ):
        Endpoint(plan)
