"""What a watch warns about at its start."""
from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pollreload.runtime import advice, guard, hints
from pollreload.settings import Note, Settings
from pollreload.system import mounts
from tests.support import several
from tests.support.sidecar import unique, watch, write


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """A file to watch."""
    write(tmp_path / 'app.conf', 'first')
    return str(tmp_path / 'app.conf')


def found(*paths: str) -> list[tuple[str, str]]:
    """Return the reason and the message of each note about some paths."""
    notes = advice.path_warnings((Settings(paths, name='web'),))
    assert {note.watch for note in notes} <= {'web'}
    assert {note.about for note in notes} <= {*paths}
    return [(note.reason, note.message) for note in notes]


@pytest.mark.parametrize(('written', 'meant'), [
    ('ngnix/app.conf', 'nginx/app.conf'), ('nginx/ap.conf', 'nginx/app.conf'),
    ('ngnix/*.conf', 'nginx/*.conf'), ('ngnix', 'nginx'),
    ('nginx/other.conf', ''), ('nginx/app.conf/x', ''), ('ngnix/none', ''),
    ('nginx/*.none', ''), ('nginx/*.cnf', 'nginx/*.conf'), ('nginx/*.con?', ''),
    ('nginx/z*.cnf', ''), ('nginx/*.conf', ''), ('*/app.cnf', ''), ('nginx', ''),
])
def test_nearest_spelling_of_a_missing_path(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, meant: str,
) -> None:
    """One name may be wrong, and what it leads to has to exist."""
    (tmp_path / 'nginx').mkdir()
    write(tmp_path / 'nginx' / 'app.conf', '')
    monkeypatch.chdir(tmp_path)

    assert advice.nearest_path(f'{tmp_path}/{written}') == (
        f'{tmp_path}/{meant}' if meant else ''
    )
    assert advice.nearest_path(written) == meant


def test_missing_path_is_noted_with_its_nearest_name(conf: str) -> None:
    """A path that is missing for a good reason, and is like no other, is not."""
    near = conf.replace('app', 'apq')

    assert found(conf, near, f'{conf}.d/x') == [
        ('no such file', f'{near}: no such file; did you mean {conf}?'),
    ]


@pytest.mark.parametrize('written', [
    '"{}"', "'{}'", ' {}', '{} ', 'file://{}', '{}/',
])
def test_path_in_what_surrounds_it_elsewhere(conf: str, written: str) -> None:
    """As a file of YAML, a browser or a shell would take it."""
    path = written.format(conf)

    assert found(path) == [
        ('no such file', f'{path}: no such file; did you mean {conf}?'),
    ]


@pytest.mark.parametrize('written', ['~/a', '$HOME/a', '${HOME}/a', '/x/{a,b}'])
def test_path_that_only_a_shell_expands(written: str) -> None:
    """A variable, a file of TOML and a container start no shell."""
    assert found(written) == [(
        'no such file', f'{written}: no such file; only a shell replaces ~, $NAME and '
        f'{{a,b}}; write the path itself',
    )]


def test_pattern_that_matches_nothing_is_noted(conf: str) -> None:
    """Its ending is that of no file there."""
    pattern = f'{os.path.dirname(conf)}/*.cnf'

    assert found(pattern, f'["{conf}","{conf}"]') == [
        ('no such file', f'{pattern}: matches nothing; did you mean '
         f'{pattern.replace("cnf", "conf")}?'),
        ('no such file', f'["{conf}","{conf}"]: matches nothing; several paths are '
         f"separate arguments, or separated by ':' in a variable"),
    ]


@pytest.mark.parametrize(('command', 'option'), [
    ({'validate': ('apachectl',)}, 'validate'), ({'verify': ('apachectl',)}, 'verify'),
    ({'exec': (('sync', '-f'), ('apachectl',))}, 'exec'),
])
def test_argument_of_an_unquoted_command_is_no_path(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: dict[str, Any],
        option: str,
) -> None:
    """--validate apachectl configtest: the second is taken for a PATH."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(('configtest', '/none/of/it'), **command)

    assert [note.message for note in advice.path_warnings((settings,))] == [
        f"configtest: no such file; if it belongs to a command, quote the whole "
        f"command: --{option} 'apachectl configtest ...'",
    ]


def test_program_of_another_name_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch would wait for a process that never comes."""
    monkeypatch.setattr(hints, 'alias_hint', lambda name: f'{name} is called otherwise')

    assert advice.path_warnings((Settings(('/',), 'httpd', name='web'),)) == (
        Note('web', 'no target', 'httpd', 'httpd is called otherwise'),
    )


@pytest.mark.parametrize('separator', [',', ';', ':', ' ', ', '])
def test_several_paths_in_one_argument(conf: str, separator: str) -> None:
    """FILE=a,b is one path, which does not exist."""
    (reason, message), = found(f'{conf}{separator}{conf}')

    assert reason == 'no such file'
    assert message.endswith(
        "several paths are separate arguments, or separated by ':' in a variable",
    )


def test_name_with_a_comma_that_exists_is_fine(tmp_path: Path) -> None:
    """It is a path like any other."""
    write(tmp_path / 'a,b', '')

    assert found(f'{tmp_path}/a,b') == []


@pytest.mark.skipif(os.geteuid() != 0, reason='root becomes another user')
@pytest.mark.parametrize('make', [
    lambda path: os.close(os.open(path, os.O_CREAT, 0o600)),
    lambda path: os.mkdir(path, 0o700),
    lambda path: os.mkdir(path, 0o744),
])
def test_path_that_may_not_be_read(make: Callable[[str], object]) -> None:
    """The line names the user and what to do in Kubernetes."""
    path = f'/tmp/{unique()}'
    make(path)
    os.seteuid(65534)
    try:
        here, below = found(path), found(f'{path}/x') if os.path.isdir(path) else []
    finally:
        os.seteuid(0)
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)

    says = f'permission denied as uid 65534; {advice.FORBIDDEN}'
    assert here == [('permission denied', f'{path}: {says}')]
    assert below in ([], [('permission denied', f'{path}/x: {says}')])


@pytest.mark.skipif(os.geteuid() != 0, reason='root becomes another user')
def test_file_in_a_directory_that_may_not_be_read() -> None:
    """As of a Secret with the mode of another user; not one that is ignored."""
    path = f'/tmp/{unique()}'
    os.mkdir(path, 0o755)
    for name in '..data', 'a', 'b', 'c~':
        os.close(os.open(f'{path}/{name}', os.O_CREAT, 0o600))
    os.chmod(f'{path}/a', 0o644)
    os.seteuid(65534)
    try:
        here = found(path)
        os.seteuid(0)
        os.unlink(f'{path}/b')
        os.seteuid(65534)
        none = found(path)
    finally:
        os.seteuid(0)
        shutil.rmtree(path)

    says = f'{path}: b: permission denied as uid 65534; {advice.FORBIDDEN}'
    assert (here, none) == ([('permission denied', says)], [])


def test_mount_of_one_file_is_noted(conf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subPath never changes; another mount of one file not by a rename."""
    tables = iter([
        {'/': ('/', 'ext4'), conf: ('/volume-subpaths/c/0', 'ext4')},
        {'/': ('/', 'ext4'), conf: ('/srv/app.conf', 'ext4')},
        {'/': ('/', 'ext4')},
    ])
    monkeypatch.setattr(advice, 'mount_points', lambda: next(tables))

    subpath, one_file, none = found(conf), found(conf), found(conf)

    assert [reason for reason, _ in subpath + one_file] == ['subpath', 'one-file mount']
    assert subpath[0][1] == (
        f'{conf}: a Kubernetes subPath mount, which never gets an update; mount the '
        f'whole volume as a directory, without subPath'
    )
    assert none == []


def test_mount_table_that_cannot_be_read_is_no_mount(
        conf: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    """Missing evidence is unknown; doctor has a row for it."""
    monkeypatch.setattr(mounts, 'MOUNTINFO', f'{tmp_path}/none')

    assert found(conf) == []


def test_path_that_does_not_answer_is_left_to_the_polls(
        conf: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They log it as stalled."""
    def with_time_limit(*_: object) -> NoReturn:
        raise TimeoutError(errno.ETIMEDOUT, 'does not answer')

    monkeypatch.setattr(guard, 'with_time_limit', with_time_limit)

    assert found(conf) == []


def test_directory_that_may_not_be_listed_has_no_nearest_name(
        conf: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The path is unreadable, and no name is guessed."""
    def listdir(path: str) -> NoReturn:
        raise PermissionError(errno.EACCES, 'permission denied', path)

    monkeypatch.setattr(os, 'listdir', listdir)

    assert advice.nearest_path(f'{conf}x') == ''


def test_watch_warns_once_at_its_start(conf: str) -> None:
    """Also with -q; the next polls do not repeat it."""
    environ = {**os.environ, 'POLLRELOAD_VERIFY_WORKER': '1'}
    near = conf.replace('app', 'apq')
    with watch('-q', '--process', unique(), near, env=environ) as sidecar:
        warned = [sidecar.until('warning') for _ in range(2)]
        sidecar.poll()
        sidecar.poll()

    assert [(each['reason'], each['about']) for each in warned] == [
        ('unknown variable', 'POLLRELOAD_VERIFY_WORKER'), ('no such file', near),
    ]
    assert sidecar.count('warning') == 2


def test_watch_warns_of_a_path_that_a_config_file_adds(
        conf: str, tmp_path: Path,
) -> None:
    """A watch that goes on unchanged does not warn again."""
    file, near = f'{tmp_path}/w.toml', conf.replace('app', 'apq')
    one, two = (
        several.table(name=name, path=path, process=unique())
        for name, path in (('one', near), ('two', conf.replace('app', 'appp')))
    )
    with several.started(several.put(file, one)) as sidecar:
        sidecar.until('warning', watch='one')
        several.put(file, one, two)
        sidecar.until('warning', watch='two')

    assert sidecar.count('warning') == 2
