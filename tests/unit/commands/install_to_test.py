"""install-to, on a tree that only looks like the image's."""
from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pollreload.cli import main
from pollreload.commands import install_to
from pollreload.errors import UsageError
from tests.support.targets import DEADLINE

TREE = install_to.TREE.pattern
# Stands for the loader, which runs its third argument.
LOADER = '#!/bin/sh\necho "$0" "$@"\n'


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """The tree of the image below /usr/local, as far as it matters here."""
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


def run_install(directory: Path, prefix: Path) -> tuple[int, str, str]:
    """Install; return the status, and the texts on stdout and stderr."""
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
        status, out, err = run_install(volume, prefix)
    finally:
        os.umask(umask)

    assert (status, out, err) == (0, f'installed: {volume}/pollreload\n', '')
    name = own(volume)
    lib = f'{name}/lib'
    assert tree(volume) == {
        'pollreload': ('-rwxr-xr-x', install_to.LAUNCHER),
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
    """At another mount point, by a link, from PATH, from inside, with CDPATH set."""
    run_install(volume, prefix)
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


def test_arguments_without_a_shell_are_those_of_the_launcher() -> None:
    """What the document and --help give for an image without a shell is the same; and
    the program of the image starts the interpreter in the same way.
    """
    words = 'lib/pollreload --library-path lib lib/python3 -ISXutf8 -m pollreload'
    root = Path(__file__).resolve().parents[3]
    document = ' '.join((root / 'docs/image.md').read_text().replace(',', ' ').split())
    shown = ' '.join((main.pollreload.commands['install-to'].help or '').split())
    script = install_to.LAUNCHER.decode().replace('"', '').replace('\\', '')
    launcher = ' '.join(script.split())

    place = '/pollreload/lib'
    assert words.replace('lib', place).replace(f'--{place}', '--lib') in document
    assert words.replace('lib', 'DIR/lib').replace('--DIR/lib', '--lib') in shown
    assert words.replace('lib/', '$here/').replace(' lib ', ' $here ') in launcher
    assert "FLAGS = '-ISXutf8'\n" in (root / 'packaging/image/tree.py').read_text()


def test_same_version_is_left_alone(prefix: Path, volume: Path) -> None:
    """An initContainer runs again when its pod does; a sidecar runs from the tree."""
    run_install(volume, prefix)
    (volume / '.pollreload-0123456789abcdef').mkdir()  # left by a run that was killed
    first = inodes(volume / own(volume))

    assert run_install(volume, prefix) == (0, f'installed: {volume}/pollreload\n', '')
    assert inodes(volume / own(volume)) == first
    assert {*os.listdir(volume)} == {'pollreload', 'lib', own(volume)}


def inodes(top: Path) -> dict[str, int]:
    """Return the inode of each file below a directory."""
    return {str(path): path.lstat().st_ino for path in top.rglob('*')}


@pytest.mark.parametrize('harm', [
    'cut', 'gone', 'more', 'launcher', 'binary', 'no lib', 'nowhere', 'fifo', 'linked',
    'relinked', 'mode', 'directory mode', 'beside lib', 'script mode',
])
def test_tree_that_differs_is_replaced(
        prefix: Path, volume: Path, harm: str,
) -> None:
    """An older version, a file that was cut by a full disk, a launcher of another."""
    run_install(volume, prefix)
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
    elif harm == 'fifo':
        (volume / 'lib/python3').unlink()
        os.mkfifo(volume / 'lib/python3', 0o755)
    elif harm == 'linked':
        (volume / 'lib/python3').rename(volume / own(volume) / 'python3')
        (volume / 'lib/python3').symlink_to('../python3')
    elif harm == 'relinked':
        (volume / 'lib/ld-linux.so').unlink()
        (volume / 'lib/ld-linux.so').symlink_to('python3')
    elif harm == 'mode':
        (volume / 'lib/pollreload').chmod(0o777)
    elif harm == 'directory mode':
        (volume / 'lib/python3.13').chmod(0o700)
    elif harm == 'beside lib':
        (volume / own(volume) / 'other').touch()
    elif harm == 'script mode':
        (volume / 'pollreload').chmod(0o4755)
    else:
        shutil.rmtree(volume / own(volume))

    assert run_install(volume, prefix)[0] == 0
    assert plain(volume) == whole


def plain(volume: Path) -> dict[str, tuple[str, object]]:
    """Return the contents of a volume, with one name for any tree."""
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
            assert run_install(volume, prefix)[0] == 0


STEPS = (
    (os, 'mkdir'), (os, 'symlink'), (os, 'fchmod'), (os, 'replace'), (os, 'unlink'),
    (os, 'rmdir'), (install_to, 'write_new_file'),
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
    """Return the changes that a run makes to the file system, in order."""
    done: list[str] = []
    with before(lambda _, name: done.append(name)):
        run_install(volume, prefix)
    return done


def killed(prefix: Path, volume: Path, number: int) -> None:
    """Install, and be killed before some change."""
    pid = os.fork()
    if not pid:
        try:
            with before(lambda count, _: os._exit(9) if count == number else None):
                run_install(volume, prefix)
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
        assert run_install(place, prefix)[0] == 0
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
        assert run_install(place, prefix)[0] == 0
        assert plain(place) == plain(tmp_path / 'once')


def test_whatever_fails_the_old_one_is_kept(
        prefix: Path, volume: Path, tmp_path: Path,
) -> None:
    """A failure at any step is reported, and what is there runs.

    A tree that cannot be removed is no failure.
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
            status, out, err = run_install(place, prefix)
        if number > filled:
            assert (status, works(place)) == (0, {'2'})
            continue
        step = todo[number - 1]
        assert (status, out) == (1, '')
        assert re.fullmatch(
            f'pollreload: cannot install: {place}/({TREE}/(lib/(.+/)?)?)?{step}'
            ': No space left on device\n', err,
        )
        # The launcher is the same in both versions.
        assert works(place) == ({'2'} if number == filled else {'1'})
        assert len(os.listdir(place)) == 3


def test_a_directory_in_the_way_of_the_launcher_is_named(
        prefix: Path, volume: Path,
) -> None:
    """The launcher cannot replace a directory."""
    (volume / 'pollreload').mkdir()
    status, out, err = run_install(volume, prefix)

    assert (status, out) == (1, '')
    assert err == f'pollreload: cannot install: {volume}/pollreload: Is a directory\n'
    assert os.listdir(volume / 'pollreload') == []
    assert (volume / 'lib/python3').read_bytes() == b'\x7fELF'


# A volume of another user


@pytest.mark.parametrize('name', ['pollreload', 'lib'])
def test_a_link_of_the_owner_is_replaced_and_not_followed(
        prefix: Path, volume: Path, tmp_path: Path, name: str,
) -> None:
    """Root would write to, or change the mode of, whatever it leads to."""
    secret = tmp_path / 'secret'
    secret.write_text('mine')
    secret.chmod(0o600)
    run_install(volume, prefix)
    (volume / name).unlink()
    (volume / name).symlink_to(
        secret if name == 'pollreload' else '.pollreload-0123456789abcdef/lib',
    )

    assert run_install(volume, prefix)[0] == 0
    assert (secret.read_text(), stat.S_IMODE(secret.stat().st_mode)) == ('mine', 0o600)
    assert works(volume) == {'\x7fELF'} or (volume / name).exists()


def test_a_directory_that_was_exchanged_is_refused(
        prefix: Path, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between mkdir and open the owner of the volume puts another in its place."""
    theirs = tmp_path / 'theirs'
    theirs.mkdir()
    theirs.chmod(0o755)
    real = os.mkdir

    def exchanged(path: str, mode: int, *, dir_fd: int | None = None) -> None:
        real(path, mode, dir_fd=dir_fd)
        if install_to.TREE.fullmatch(path):
            (volume / path).rmdir()
            theirs.rename(volume / path)

    monkeypatch.setattr(os, 'mkdir', exchanged)
    status, out, err = run_install(volume, prefix)

    assert (status, out) == (1, '')
    assert err.endswith(': was replaced by another user\n')
    assert not (volume / 'pollreload').exists()


def test_a_link_in_the_place_of_the_new_directory_is_refused(
        prefix: Path, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would lead the copy to any directory of the machine."""
    (tmp_path / 'target').mkdir()
    real = os.mkdir

    def exchanged(path: str, mode: int, *, dir_fd: int | None = None) -> None:
        real(path, mode, dir_fd=dir_fd)
        if install_to.TREE.fullmatch(path):
            (volume / path).rmdir()
            (volume / path).symlink_to(tmp_path / 'target')

    monkeypatch.setattr(os, 'mkdir', exchanged)

    assert run_install(volume, prefix)[0] == 1
    assert os.listdir(tmp_path / 'target') == []


def test_a_volume_that_anyone_may_write_to_is_fine(prefix: Path, volume: Path) -> None:
    """An emptyDir belongs to root and has mode 0777; the container need not be root."""
    volume.chmod(0o777)

    assert run_install(volume, prefix)[0] == 0


def test_directory_of_another_program_is_left_alone(prefix: Path, volume: Path) -> None:
    """Only our own trees are removed."""
    for name in ('.pollreload-state', '.pollreload-00', '.pollreload-0123456789abcdeF'):
        (volume / name).mkdir()

    assert run_install(volume, prefix)[0] == 0
    assert len(os.listdir(volume)) == 6


def test_an_incomplete_copy_is_never_in_place(
        prefix: Path, volume: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the copy ends early, what was there before stays, and nothing else is left."""
    class Full(io.FileIO):
        def write(self, data: object) -> int:
            raise OSError(28, 'No space left on device')

    real = open
    monkeypatch.setattr(
        'builtins.open', lambda path, mode='r', **more:
        Full(path, 'w') if mode == 'wb' else real(path, mode, **more),
    )
    status, out, err = run_install(volume, prefix)

    assert (status, out) == (1, '')
    assert re.fullmatch(
        f'pollreload: cannot install: {volume}/{TREE}/lib/\\S+: '
        'No space left on device\n', err,
    )
    assert os.listdir(volume) == []


@pytest.mark.parametrize('name', [(), (5,)])
def test_error_without_a_name_names_the_directory(
        prefix: Path, volume: Path, monkeypatch: pytest.MonkeyPatch, name: tuple[int],
) -> None:
    """Not every system call knows a file: some know a descriptor, some nothing."""
    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device', *name)

    monkeypatch.setattr(install_to, 'update', full)

    assert run_install(volume, prefix) == (
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

    assert run_install(place, prefix) == (
        1, '', f'pollreload: cannot install: {place}: {says}\n',
    )


def test_what_was_installed_by_pip_is_refused(tmp_path: Path, volume: Path) -> None:
    """Its interpreter and libraries are the machine's; nothing is written."""
    with pytest.raises(UsageError, match='was installed in another way'):
        run_install(volume, tmp_path)

    assert os.listdir(volume) == []


def test_lib_of_others_is_left_alone(prefix: Path, volume: Path) -> None:
    """DIR has to be a volume that pollreload may fill, and not /usr."""
    (volume / 'lib').mkdir()
    (volume / 'lib' / 'libc.so').touch()

    with pytest.raises(UsageError, match='is not ours; name an empty directory'):
        run_install(volume, prefix)

    assert os.listdir(volume / 'lib') == ['libc.so']
    assert os.listdir(volume) == ['lib']


def test_link_to_elsewhere_is_not_ours(prefix: Path, volume: Path) -> None:
    """A stat would follow it, and a rename would replace it."""
    for target in ('nowhere', '.pollreload-0123456789abcdef/bin', '/usr/lib'):
        (volume / 'lib').symlink_to(target)

        with pytest.raises(UsageError, match='not ours'):
            run_install(volume, prefix)
        (volume / 'lib').unlink()


def test_its_own_place_is_refused(prefix: Path) -> None:
    """It would remove itself; / of the image leads there, too."""
    (prefix.parent / 'lib').symlink_to(prefix / 'lib')

    for directory in (prefix, prefix.parent):
        with pytest.raises(UsageError, match='is where this runs from'):
            run_install(directory, prefix)


def test_command_refuses_what_is_not_the_image(
        capsys: pytest.CaptureFixture[str], volume: Path,
) -> None:
    """The default is the running interpreter, which is not that of an image."""
    with pytest.raises(UsageError):
        main.main(('install-to', str(volume)))
    assert main.main(('install-to',)) == 2
    assert main.main(('install-to', '--help')) == 0

    said = capsys.readouterr()
    assert said.err == (
        "pollreload: missing argument 'DIR'; see pollreload install-to --help\n"
    )
    assert 'DIR/lib/pollreload --library-path DIR/lib' in ' '.join(said.out.split())
