"""install-to, on a tree that only looks like the image's."""
from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from pollreload import cli, install
from pollreload.errors import UsageError
from tests.targets import DEADLINE

# In the place of the loader, which runs what is third among its words.
LOADER = '#!/bin/sh\necho "$0" "$@"\n'


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """What the image has below /usr/local, as far as it matters here."""
    lib = tmp_path / 'image' / 'lib'
    (lib / 'python3.13' / 'click').mkdir(parents=True, mode=0o700)
    (lib / 'pollreload').write_text(LOADER)
    (lib / 'pollreload').chmod(0o700)
    (lib / 'ld-linux.so').symlink_to('pollreload')
    (lib / 'python3').write_bytes(b'\x7fELF')
    (lib / 'python3').chmod(0o755)
    (lib / 'python3.13' / 'click' / 'core.pyc').write_bytes(b'click')
    (lib / 'python3.13' / 'click' / 'core.pyc').chmod(0o600)
    return tmp_path / 'image'


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An emptyDir."""
    (tmp_path / 'volume').mkdir()
    return tmp_path / 'volume'


def run(directory: Path, prefix: Path) -> tuple[int, str, str]:
    """Install; return the status, and what was said on stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    status = install.run(str(directory), out, err, str(prefix))
    return status, out.getvalue(), err.getvalue()


def tree(top: Path) -> dict[str, tuple[str, object]]:
    """Return all that is below a directory: name -> mode, and content or target."""
    def what(path: Path) -> tuple[str, object]:
        if path.is_symlink():
            return 'link', os.readlink(path)
        return stat.filemode(path.stat().st_mode), (
            path.read_bytes() if path.is_file() else None
        )

    return {str(path.relative_to(top)): what(path) for path in top.rglob('*')}


def inode(volume: Path) -> int:
    """Return what changes when the tree is replaced."""
    return (volume / 'lib').stat().st_ino


def test_everything_is_there_for_everybody(prefix: Path, volume: Path) -> None:
    """Whatever our umask: read by all, run by all, and links are links."""
    umask = os.umask(0o077)
    try:
        status, out, err = run(volume, prefix)
    finally:
        os.umask(umask)

    assert (status, out, err) == (0, f'installed: {volume}/pollreload\n', '')
    assert tree(volume) == {
        'pollreload': ('-rwxr-xr-x', install.LAUNCHER.encode()),
        'lib': ('drwxr-xr-x', None),
        'lib/pollreload': ('-rwxr-xr-x', LOADER.encode()),
        'lib/ld-linux.so': ('link', 'pollreload'),
        'lib/python3': ('-rwxr-xr-x', b'\x7fELF'),
        'lib/python3.13': ('drwxr-xr-x', None),
        'lib/python3.13/click': ('drwxr-xr-x', None),
        'lib/python3.13/click/core.pyc': ('-rw-r--r--', b'click'),
    }


def test_launcher_finds_its_own_place(
        prefix: Path, volume: Path, tmp_path: Path,
) -> None:
    """Where the volume is mounted, also elsewhere than it was filled; by a link, from
    PATH, from within, and whatever CDPATH says.
    """
    run(volume, prefix)
    place = tmp_path / 'mounted elsewhere'
    volume.rename(place)
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'reload').symlink_to(place / 'pollreload')
    lib = f'{place}/lib'
    wanted = (
        f'{lib}/pollreload --library-path {lib} {lib}/python3 -ISXutf8 '
        f'-m pollreload check a  b\n'
    )

    for name, path, cwd in (
            (f'{place}/pollreload', '', tmp_path),
            ('./pollreload', '', place),
            ('mounted elsewhere/pollreload', '', tmp_path),
            ('pollreload', str(place), tmp_path),
            ('reload', str(tmp_path / 'bin'), place),
    ):
        done = subprocess.run(
            ['/usr/bin/env', name, 'check', 'a  b'], cwd=cwd, check=True, text=True,
            env={'PATH': f'{path}:/usr/bin:/bin', 'CDPATH': str(tmp_path)},
            stdout=subprocess.PIPE, timeout=DEADLINE,
        )

        assert done.stdout == wanted, name


def test_words_without_a_shell_are_those_of_the_launcher() -> None:
    """What the document and --help give for an image without a shell is the same; and
    the program of the image starts the interpreter in the same way.
    """
    words = 'lib/pollreload --library-path lib lib/python3 -ISXutf8 -m pollreload'
    root = Path(__file__).resolve().parent.parent
    document = ' '.join((root / 'docs/image.md').read_text().replace(',', ' ').split())
    shown = ' '.join((cli.pollreload.commands['install-to'].help or '').split())
    launcher = ' '.join(install.LAUNCHER.replace('"', '').replace('\\', '').split())

    place = '/pollreload/lib'
    assert words.replace('lib', place).replace(f'--{place}', '--lib') in document
    assert words.replace('lib', 'DIR/lib').replace('--DIR/lib', '--lib') in shown
    assert words.replace('lib/', '$here/').replace(' lib ', ' $here ') in launcher
    assert "FLAGS = '-ISXutf8'\n" in (root / 'image/tree.py').read_text()


def test_second_run_changes_nothing(prefix: Path, volume: Path) -> None:
    """An initContainer runs again when its pod does, maybe beside what it installed."""
    run(volume, prefix)
    first = inode(volume), tree(volume)

    assert run(volume, prefix)[0] == 0
    assert (inode(volume), tree(volume)) == first


@pytest.mark.parametrize('harm', ['cut', 'gone', 'more', 'launcher', 'binary'])
def test_what_is_not_the_same_is_replaced(
        prefix: Path, volume: Path, harm: str,
) -> None:
    """An older version, a file that was cut by a full disk, a launcher of another."""
    run(volume, prefix)
    whole = tree(volume)
    if harm == 'cut':
        (volume / 'lib/python3.13/click/core.pyc').write_bytes(b'cli')
    elif harm == 'gone':
        (volume / 'pollreload').unlink()
    elif harm == 'more':
        (volume / 'lib/python3.13/old.pyc').touch()
    elif harm == 'launcher':
        (volume / 'pollreload').write_text('#!/bin/sh\n')
    else:
        (volume / 'pollreload').write_bytes(b'\xff')

    assert run(volume, prefix)[0] == 0
    assert tree(volume) == whole


def test_what_a_killed_run_left_is_removed(prefix: Path, volume: Path) -> None:
    """It was never run from: it had no launcher yet."""
    (volume / install.NEW / 'lib').mkdir(parents=True)
    (volume / install.NEW / 'lib' / 'half').touch()

    assert run(volume, prefix)[0] == 0
    assert {*os.listdir(volume)} == {'pollreload', 'lib'}


def test_half_a_copy_is_never_in_place(
        prefix: Path, volume: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the copy ends early there is what was before, and no litter."""
    def full(source: str, place: str) -> None:
        raise OSError(28, 'No space left on device', source, None, place)

    (prefix / 'lib' / 'python3.13' / 'new.pyc').touch()
    monkeypatch.setattr(shutil, 'copyfile', full)
    status, out, err = run(volume, prefix)

    assert (status, out) == (1, '')
    assert err.startswith(f'pollreload: cannot install: {volume}/{install.NEW}/lib/')
    assert err.endswith(': No space left on device\n')
    assert os.listdir(volume) == []


def test_error_without_a_name_names_the_directory(
        prefix: Path, volume: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What write(2) raises knows no file."""
    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(install, 'fill', full)

    assert run(volume, prefix) == (
        1, '', f'pollreload: cannot install: {volume}: No space left on device\n',
    )


@pytest.mark.parametrize(('name', 'says'), [
    ('none', 'No such file or directory'), ('file', 'Not a directory'),
])
def test_directory_that_is_none_is_named(
        prefix: Path, tmp_path: Path, name: str, says: str,
) -> None:
    """One line: the directory itself, and what is wrong with it."""
    (tmp_path / 'file').touch()
    place = tmp_path / name

    assert run(place, prefix) == (
        1, '', f'pollreload: cannot install: {place}: {says}\n',
    )


def test_what_was_installed_by_pip_is_refused(tmp_path: Path, volume: Path) -> None:
    """Its interpreter and libraries are the machine's; nothing is written."""
    with pytest.raises(UsageError, match='was installed in another way'):
        run(volume, tmp_path)

    assert os.listdir(volume) == []


def test_lib_of_others_is_left_alone(prefix: Path, volume: Path) -> None:
    """DIR is a volume of ours, and not /usr."""
    (volume / 'lib').mkdir()
    (volume / 'lib' / 'libc.so').touch()

    with pytest.raises(UsageError, match='not ours; name an empty directory'):
        run(volume, prefix)

    assert os.listdir(volume / 'lib') == ['libc.so']
    assert os.listdir(volume) == ['lib']


def test_link_to_nowhere_is_not_ours(prefix: Path, volume: Path) -> None:
    """It would be followed by what looks at it, and replaced by what renames."""
    (volume / 'lib').symlink_to('nowhere')

    with pytest.raises(UsageError, match='not ours'):
        run(volume, prefix)


def test_its_own_place_is_refused(prefix: Path) -> None:
    """It would be pulled away from under itself; / of the image leads there too."""
    (prefix.parent / 'lib').symlink_to(prefix / 'lib')

    for directory in (prefix, prefix.parent):
        with pytest.raises(UsageError, match='is where this runs from'):
            run(directory, prefix)


def test_command_refuses_what_is_not_the_image(
        capsys: pytest.CaptureFixture[str], volume: Path,
) -> None:
    """By default it is asked of the interpreter that runs: here, no image's."""
    with pytest.raises(UsageError):
        cli.main(('install-to', str(volume)))
    assert cli.main(('install-to',)) == 2
    assert cli.main(('install-to', '--help')) == 0

    said = capsys.readouterr()
    assert said.err == "pollreload: missing argument 'DIR'.\n"
    assert 'DIR/lib/pollreload --library-path DIR/lib' in ' '.join(said.out.split())
