"""Several watches, of which one hangs: on its files, or all on their config file.

The ways to hang are those of hanging.py.
"""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox import changes
from tests.sandbox.hanging import KINDS, ends, hung, mount_of_kind, stops
from tests.sandbox.stuck import Mount
from tests.servers.harness import until
from tests.support import targets
from tests.support.several import Several, put, started, table
from tests.support.several_apps import current_watches
from tests.support.sidecar import unique, write


@contextlib.contextmanager
def watching_mount(made: Mount, path: str, *args: str) -> Iterator[Several]:
    """Give a watch in the space of a mount; at the end the mount answers."""
    with current_watches(path, *args, under=made.under) as it:
        try:
            yield it
        finally:
            made.go_on()


@pytest.mark.parametrize('kind', KINDS)
def test_a_read_that_hangs_delays_no_other_watch(kind: str, tmp_path: Path) -> None:
    """The other is notified in the meantime, may be given other settings, and TERM ends
    both.
    """
    conf, name = str(tmp_path / 'app.conf'), unique()
    write(conf, 'first')
    with (
            mount_of_kind(kind, tmp_path) as made,
            targets.start('handler', name=name) as app,
    ):
        stuck = table(name='stuck', path=str(made.at / changes.PLAIN), process='x')
        other = table(name='other', path=conf, process=name)
        config = put(tmp_path / 'w.toml', stuck, other)
        with watching_mount(made, config) as it, hung(made, kind):
            it.poll()
            until(lambda: 'reading for' in it.statuses()['stuck'], 'it reads')
            write(conf, 'second')
            it.poll()
            it.until('delivered', watch='other')
            assert app.read() == 'HUP'
            put(config, stuck, other, splay='1ms')
            it.rest()
            it.until('stalled', watch='stuck')
            write(conf, 'third')
            it.poll()
            it.until('delivered', watch='other')
            assert app.read() == 'HUP'
            assert not it.count('stalled', watch='other')
            stops(it)


@pytest.mark.parametrize('kind', KINDS)
def test_one_that_hangs_may_be_removed(kind: str, tmp_path: Path) -> None:
    """No one waits for its read to end."""
    conf, name = str(tmp_path / 'app.conf'), unique()
    write(conf, 'first')
    with (
            mount_of_kind(kind, tmp_path) as made,
            targets.start('handler', name=name) as app,
    ):
        stuck = table(name='stuck', path=str(made.at / changes.PLAIN), process='x')
        other = table(name='other', path=conf, process=name)
        config = put(tmp_path / 'w.toml', stuck, other)
        with watching_mount(made, config) as it, hung(made, kind):
            it.poll()
            until(lambda: 'reading for' in it.statuses()['stuck'], 'it reads')
            put(config, other)
            it.rest()
            it.until('stopped', watch='stuck')
            write(conf, 'second')
            it.poll()
            it.until('delivered', watch='other')
            assert app.read() == 'HUP'
            stops(it)


@pytest.mark.parametrize('kind', KINDS)
def test_a_config_file_that_hangs_stops_no_watch(kind: str, tmp_path: Path) -> None:
    """That it does not answer is logged; once it does, what it says is taken over."""
    conf, name = str(tmp_path / 'app.conf'), unique()
    write(conf, 'first')
    with (
            mount_of_kind(kind, tmp_path) as made,
            targets.start('handler', name=name) as app,
    ):
        one = table(name='one', path=conf, process=name)
        two = table(name='two', path=conf, exec='true')
        put(made.source / 'w.toml', one)
        with watching_mount(made, str(made.at / 'w.toml')) as it:
            with hung(made, kind):
                put(made.source / 'w.toml', one, two)
                it.poll()
                until(lambda: 'reading for' in it.statuses()[''], 'it reads')
                write(conf, 'second')
                it.poll()
                it.until('delivered', watch='one')
                assert app.read() == 'HUP'
                stalled = it.until('stalled')
            it.until('readable')
            it.rest()
            it.until('baseline', watch='two')
            assert it.named('one').count('started') == 1
            with hung(made, kind):
                it.poll()
                until(lambda: 'reading for' in it.statuses()[''], 'it reads')
                stops(it)

    assert not stalled['watch']


@pytest.mark.parametrize('kind', KINDS)
def test_a_config_file_that_hangs_at_the_start_is_refused(
        kind: str, tmp_path: Path,
) -> None:
    """In one line, after some seconds: anyone who starts it is to know."""
    with mount_of_kind(kind, tmp_path) as made:
        put(made.source / 'w.toml', table(path='/a', process='x'))
        path = str(made.at / 'w.toml')
        with hung(made, kind), started(path, under=made.under) as it:
            said = it.read()
            assert ends(it.child) == 2

    assert said['message'] == f'pollreload: {path}: does not answer (--config)'
