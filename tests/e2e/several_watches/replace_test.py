"""The ways to replace a config file."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.harness import swap
from tests.support import sidecar
from tests.support.several import Several, put
from tests.support.several_apps import App, current_watches, told


@pytest.mark.parametrize('how', ['by a rename', 'in place'])
def test_a_file_may_be_replaced(how: str, config: str, apps: tuple[App, App]) -> None:
    """As editors do, and as shells do."""
    one, two = apps
    put(config, one.table())
    with current_watches(config) as it:
        if how == 'in place':
            with open(config, 'a', encoding='utf-8') as file:
                file.write(two.table())
        else:
            put(config, one.table(), two.table())
        it.rest()
        it.until('baseline', watch='two')
        assert told(it, two)


def test_a_file_may_be_in_a_config_map(tmp_path: Path, apps: tuple[App, App]) -> None:
    """Behind a ..data link, which is swapped; also for a bad one and back."""
    one, two = apps
    put(tmp_path / 'a', one.table())
    put(tmp_path / 'b', one.table(), two.table())
    texts = [(tmp_path / name).read_text() for name in ('a', 'b')]
    swap(f'{tmp_path}/map', {'w.toml': texts[0]})
    with current_watches(f'{tmp_path}/map/w.toml') as it:
        swap(f'{tmp_path}/map', {'w.toml': 'none'})
        it.rest('version due')
        it.until('held', reason='config')
        swap(f'{tmp_path}/map', {'w.toml': texts[1]})
        it.rest()
        it.until('baseline', watch='two')
        swap(f'{tmp_path}/map', {'w.toml': texts[0]})
        it.rest()
        it.until('stopped', watch='two')
        assert told(it, one)


def test_a_relative_file_is_found_again(
        tmp_path: Path, config: str, apps: tuple[App, App],
) -> None:
    """At the path that it had at the start."""
    one, two = apps
    put(config, one.table())
    with current_watches('pollreload.toml', cwd=tmp_path) as it:
        put(config, two.table())
        it.rest()
        it.until('stopped', watch='one')
        it.until('baseline', watch='two')


def test_a_change_while_it_starts_is_not_missed(
        tmp_path: Path, config: str, apps: tuple[App, App],
) -> None:
    """Between the first reading, by a child, and the first poll."""
    one, two = apps
    put(tmp_path / 'later', one.table(interval='30m'), two.table())
    put(config, one.table())
    program = (
        'import os, sys\n'
        'from pollreload import __main__ as it\n'
        'from pollreload.commands import watch\n'
        'run = watch.run\n'
        'def late(*arguments):\n'
        f'    os.rename({str(tmp_path / "later")!r}, {config!r})\n'
        '    return run(*arguments)\n'
        'watch.run = late\n'
        'sys.exit(it.main())\n'
    )
    args = ('watch', '--config', config, '--log-format', 'json')
    with Several(subprocess.Popen(
        (sys.executable, '-c', program, *args), env=sidecar.environment(),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ), False) as it:
        it.until('baseline', watch='two')
        assert it.count('started', watch='one') == 2
        assert told(it, one)
        assert told(it, two)


def test_what_is_beside_the_file_stays(config: str, apps: tuple[App, App]) -> None:
    """The arguments of the command line go before what a later file says, too."""
    one, two = apps
    put(config, one.table(), log_format='text')
    with current_watches(config, '-v', form='json') as it:
        put(config, one.table(), two.table(), log_format='text')
        it.rest()
        it.until('polled', watch='two')

    assert not it.count('line')
