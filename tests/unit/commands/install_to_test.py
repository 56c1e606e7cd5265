"""install-to, on a tree that only looks like the image's."""
from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pollreload.cli import main
from pollreload.commands import install_to
from pollreload.errors import UsageError
from tests.servers.harness import until
from tests.support.targets import DEADLINE

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
    status = install_to.run(str(directory), out, err, str(prefix))
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


def own(volume: Path) -> str:
    """Return the name of the one directory that is installed."""
    return os.readlink(volume / 'lib').removesuffix('/lib')


def test_everything_is_there_for_everybody(prefix: Path, volume: Path) -> None:
    """Whatever our umask: read by all, run by all, and links are links."""
    umask = os.umask(0o077)
    try:
        status, out, err = run(volume, prefix)
    finally:
        os.umask(umask)

    assert (status, out, err) == (0, f'installed: {volume}/pollreload\n', '')
    name = own(volume)
    lib = f'{name}/lib'
    assert tree(volume) == {
        'pollreload': ('-rwxr-xr-x', install_to.launcher(name)),
        'lib': ('link', lib),
        name: ('drwxr-xr-x', None),
        lib: ('drwxr-xr-x', None),
        f'{lib}/pollreload': ('-rwxr-xr-x', LOADER.encode()),
        f'{lib}/ld-linux.so': ('link', 'pollreload'),
        f'{lib}/python3': ('-rwxr-xr-x', b'\x7fELF'),
        f'{lib}/python3.13': ('drwxr-xr-x', None),
        f'{lib}/python3.13/click': ('drwxr-xr-x', None),
        f'{lib}/python3.13/click/core.pyc': ('-rw-r--r--', b'click'),
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
    lib = f'{place}/{own(place)}/lib'
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
    root = Path(__file__).resolve().parents[3]
    document = ' '.join((root / 'docs/image.md').read_text().replace(',', ' ').split())
    shown = ' '.join((main.pollreload.commands['install-to'].help or '').split())
    script = install_to.launcher('x').decode().replace('"', '').replace('\\', '')
    launcher = ' '.join(script.split())

    place = '/pollreload/lib'
    assert words.replace('lib', place).replace(f'--{place}', '--lib') in document
    assert words.replace('lib', 'DIR/lib').replace('--DIR/lib', '--lib') in shown
    assert words.replace('lib/', '$here/').replace(' lib ', ' $here ') in launcher
    assert "FLAGS = '-ISXutf8'\n" in (root / 'packaging/image/tree.py').read_text()


def test_second_run_changes_nothing(prefix: Path, volume: Path) -> None:
    """An initContainer runs again when its pod does, maybe beside what it installed."""
    run(volume, prefix)
    first = own(volume), tree(volume)

    assert run(volume, prefix)[0] == 0
    assert (own(volume), tree(volume)) == first


@pytest.mark.parametrize(
    'harm', ['cut', 'gone', 'more', 'launcher', 'binary', 'no lib', 'nowhere'],
)
def test_what_is_not_the_same_is_replaced(
        prefix: Path, volume: Path, harm: str,
) -> None:
    """An older version, a file that was cut by a full disk, a launcher of another."""
    run(volume, prefix)
    whole = plain(volume)
    if harm == 'cut':
        (volume / 'lib/python3.13/click/core.pyc').write_bytes(b'cli')
    elif harm == 'gone':
        (volume / 'pollreload').unlink()
    elif harm == 'more':
        (volume / 'lib/python3.13/old.pyc').touch()
    elif harm == 'launcher':
        (volume / 'pollreload').write_text('#!/bin/sh\n')
    elif harm == 'binary':
        (volume / 'pollreload').write_bytes(b'\xff')
    elif harm == 'no lib':
        (volume / 'lib').unlink()
    else:
        shutil.rmtree(volume / own(volume))

    assert run(volume, prefix)[0] == 0
    assert plain(volume) == whole


def plain(volume: Path) -> dict[str, tuple[str, object]]:
    """Return what is in a volume, whatever name its tree was given."""
    def renamed(what: str) -> str:
        return re.sub(r'\.pollreload-[0-9a-f]{16}', 'TREE', what)

    return {
        renamed(name): (mode, renamed(
            found.decode('utf-8', 'replace') if isinstance(found, bytes) else str(found)
        )) for name, (mode, found) in tree(volume).items()
    }


def works(volume: Path) -> set[str]:
    """Return the versions that are run by the launcher and by the link, of which
    either may not be there; '?' for one that is not whole.
    """
    found = set()
    if (volume / 'pollreload').exists():
        done = subprocess.run(
            [volume / 'pollreload'], check=True, text=True, stdout=subprocess.PIPE,
            timeout=DEADLINE,
        )
        found.add(version(Path(done.stdout.split()[0]).parent))
    if (volume / 'lib').is_symlink():
        found.add(version(volume / 'lib'))
    return found


def version(lib: Path) -> str:
    """Return the version of a tree of prefix, whose every file has to be of it."""
    said = (lib / 'python3').read_text()
    pyc = lib / 'python3.13/click/core.pyc'
    whole = (lib / 'pollreload').read_text() == LOADER and pyc.read_text() == said
    return said if whole else '?'


def versions(prefix: Path, volume: Path) -> None:
    """Install one version, and have the next one in the image."""
    for number in ('1', '2'):
        (prefix / 'lib/python3').write_text(number)
        (prefix / 'lib/python3.13/click/core.pyc').write_text(number)
        if number == '1':
            assert run(volume, prefix)[0] == 0


STEPS = (
    (os, 'mkdir'), (os, 'symlink'), (os, 'chmod'), (os, 'replace'), (os, 'unlink'),
    (os, 'rmdir'), (shutil, 'copyfile'),
)


@contextlib.contextmanager
def before(step: Callable[[int, str], None]) -> Iterator[None]:
    """Have a function called before each change of the file system, by its number
    and name.
    """
    count = 0

    def wrapped(real: Callable[..., object], name: str) -> Callable[..., object]:
        def change(*args: object, **more: object) -> object:
            nonlocal count
            count += 1
            step(count, name)
            return real(*args, **more)

        return change

    with pytest.MonkeyPatch.context() as patch:
        for module, name in STEPS:
            patch.setattr(module, name, wrapped(getattr(module, name), name))
        yield


def steps(prefix: Path, volume: Path) -> list[str]:
    """Return what a run does to the file system, one after the other."""
    done: list[str] = []
    with before(lambda _, name: done.append(name)):
        run(volume, prefix)
    return done


def killed(prefix: Path, volume: Path, number: int) -> None:
    """Install, and be killed before some change."""
    pid = os.fork()
    if not pid:
        try:
            with before(lambda count, _: os._exit(9) if count == number else None):
                run(volume, prefix)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def test_whenever_it_is_killed_what_is_there_runs(
        prefix: Path, volume: Path, tmp_path: Path,
) -> None:
    """Over another version: the old one or the new, each whole; and the next run
    installs the new one and leaves no litter.
    """
    versions(prefix, volume)
    shutil.copytree(volume, tmp_path / 'once', symlinks=True)
    todo = steps(prefix, tmp_path / 'once')
    whole = plain(tmp_path / 'once')

    assert todo.count('replace') == 2
    for number in range(1, len(todo) + 1):
        place = tmp_path / f'killed-{number}'
        shutil.copytree(volume, place, symlinks=True)
        killed(prefix, place, number)
        assert works(place) <= {'1', '2'}, (number, todo[number - 1])
        assert (place / 'pollreload').exists()
        assert (place / 'lib').is_symlink()
        assert run(place, prefix)[0] == 0
        assert plain(place) == whole


def test_whenever_a_first_run_is_killed_nothing_half_is_run(
        prefix: Path, volume: Path, tmp_path: Path,
) -> None:
    """What is there is whole, or cannot be started at all."""
    versions(prefix, volume)
    (tmp_path / 'once').mkdir()
    todo = steps(prefix, tmp_path / 'once')

    for number in range(1, len(todo) + 1):
        place = tmp_path / f'killed-{number}'
        place.mkdir()
        killed(prefix, place, number)
        assert works(place) <= {'2'}, (number, todo[number - 1])
        assert run(place, prefix)[0] == 0
        assert plain(place) == plain(tmp_path / 'once')


def test_whatever_fails_the_old_one_is_kept(
        prefix: Path, volume: Path, tmp_path: Path,
) -> None:
    """A failure at any step is said, and what is there runs. Only what could not be
    removed is no failure.
    """
    versions(prefix, volume)
    shutil.copytree(volume, tmp_path / 'once', symlinks=True)
    todo = steps(prefix, tmp_path / 'once')
    filled = len(todo) - todo[::-1].index('replace')

    for number in range(1, len(todo) + 1):
        def full(count: int, name: str, number: int = number) -> None:
            if count == number:
                raise OSError(28, 'No space left on device', name)

        place = tmp_path / f'failed-{number}'
        shutil.copytree(volume, place, symlinks=True)
        with before(full):
            status, out, err = run(place, prefix)
        if number > filled:
            assert (status, works(place)) == (0, {'2'})
            continue
        step = todo[number - 1]
        assert (status, out) == (1, '')
        assert err == f'pollreload: cannot install: {step}: No space left on device\n'
        # Where the second could not be replaced there is one of each.
        assert works(place) == ({'1', '2'} if number == filled else {'1'})
        assert len(os.listdir(place)) == (4 if number == filled else 3)


def test_two_at_once_wait_for_each_other(prefix: Path, volume: Path) -> None:
    """Who comes second finds what the first one has installed, and leaves it."""
    came: list[tuple[int, str, str]] = []
    inode = volume.stat().st_ino

    def waits() -> bool:
        # The second field of one that waits (proc_locks(5)).
        return any(
            line.split()[1:3] == ['->', 'FLOCK'] and f':{inode} ' in line
            for line in Path('/proc/locks').read_text().splitlines()
        )

    with install_to.alone(str(volume)):
        second = threading.Thread(target=lambda: came.append(run(volume, prefix)))
        second.start()
        until(waits, 'the second one waits')
        assert os.listdir(volume) == []
        install_to.fill(
            str(volume), str(prefix / 'lib'), str(volume / 'lib'),
            str(volume / 'pollreload'),
        )
        first = tree(volume)
    second.join(DEADLINE)

    assert came == [(0, f'installed: {volume}/pollreload\n', '')]
    assert tree(volume) == first


def test_no_lock_outlives_a_run(prefix: Path, volume: Path) -> None:
    """Nor does one that failed keep the next one waiting."""
    (volume / 'pollreload').mkdir()
    assert run(volume, prefix) == (
        1, '', f'pollreload: cannot install: {volume}/pollreload: Is a directory\n',
    )

    fd = os.open(volume, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(fd)
    assert os.listdir(volume) == ['pollreload']


def test_what_only_looks_like_ours_is_left(prefix: Path, volume: Path) -> None:
    """Of others nothing is removed."""
    for name in ('.pollreload-state', '.pollreload-00', '.pollreload-0123456789abcdeF'):
        (volume / name).mkdir()

    assert run(volume, prefix)[0] == 0
    assert len(os.listdir(volume)) == 6


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
    assert err.startswith(f'pollreload: cannot install: {volume}/.pollreload-')
    assert err.endswith(': No space left on device\n')
    assert os.listdir(volume) == []


def test_error_without_a_name_names_the_directory(
        prefix: Path, volume: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What write(2) raises knows no file."""
    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(install_to, 'fill', full)

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


def test_link_to_elsewhere_is_not_ours(prefix: Path, volume: Path) -> None:
    """It would be followed by what looks at it, and replaced by what renames."""
    for target in ('nowhere', '.pollreload-0123456789abcdef/bin', '/usr/lib'):
        (volume / 'lib').symlink_to(target)

        with pytest.raises(UsageError, match='not ours'):
            run(volume, prefix)
        (volume / 'lib').unlink()


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
        main.main(('install-to', str(volume)))
    assert main.main(('install-to',)) == 2
    assert main.main(('install-to', '--help')) == 0

    said = capsys.readouterr()
    assert said.err == "pollreload: missing argument 'DIR'.\n"
    assert 'DIR/lib/pollreload --library-path DIR/lib' in ' '.join(said.out.split())
