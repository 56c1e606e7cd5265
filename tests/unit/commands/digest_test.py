from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess

import pytest
import xxhash

from pollreload.commands import digest
from pollreload.system import mounts

EMPTY = '99aa06d3014798d86001c324468d497f'


@pytest.fixture
def xxhsum():
    """The program that digest must agree with."""
    found = shutil.which('xxhsum')
    if found is None and 'CI' in os.environ:  # pragma: no cover
        pytest.fail('xxhsum is not installed')
    if found is None:  # pragma: no cover
        pytest.skip('xxhsum is not installed (package xxhash)')
    return found


def run_digest(*paths: str, ignore: tuple[str, ...] = ()) -> tuple[int, bytes, str]:
    out = io.BytesIO()
    err = io.StringIO()
    # It blocks signals up to its end, which is the end of the process as a rule;
    # here every target of a later test would inherit that.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        status = digest.run(paths, ignore, out, err)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return status, out.getvalue(), err.getvalue()


def write(top: os.PathLike[str], *names: bytes) -> list[str]:
    for name in names:
        path = os.path.join(os.fsencode(top), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(name)
    return [os.fsdecode(os.path.join(os.fsencode(top), name)) for name in names]


def hashed(text: bytes) -> bytes:
    return xxhash.xxh3_128_hexdigest(text).encode('ascii')


def test_lines_are_those_of_xxhsum(tmp_path, xxhsum):
    """Byte by byte, whatever the names are."""
    paths = write(
        tmp_path, b'a', b'two  blanks', b'-dash', b'back\\slash', b'\xff\xfe',
        'é'.encode(), b'*[?]',
    )
    (tmp_path / 'empty').touch()
    (tmp_path / 'large').write_bytes(bytes(3_000_000))
    paths += [str(tmp_path / 'empty'), str(tmp_path / 'large')]

    status, out, err = run_digest(*paths)

    shown = subprocess.run(
        (xxhsum, '-H2', *paths), stdout=subprocess.PIPE, check=True,
    ).stdout
    if b'\n\\' in shown:  # pragma: no cover
        pytest.skip('this xxhsum is newer than 0.8.1 and escapes names')
    assert (status, out, err) == (0, shown, '')


def test_xxhsum_accepts_the_lines(tmp_path, xxhsum):
    """Of a file, a directory and a glob."""
    write(tmp_path, b'd/a b', b'd/sub/\xff', b'e/c.conf', b'f')

    _, out, _ = run_digest(f'{tmp_path}/d', f'{tmp_path}/e/*.conf', f'{tmp_path}/f')

    assert out.count(b'\n') == 4
    subprocess.run((xxhsum, '--quiet', '-c', '-'), input=out, check=True)


def test_names_are_as_they_were_given(tmp_path, monkeypatch):
    """PATH/name below a directory and a glob, sorted by bytes; files as named."""
    write(tmp_path, b'd/sub/a', b'd/b', b'd/\xf0\x9f\x98\x80', b'd/\xff', b'x.conf')
    monkeypatch.chdir(tmp_path)

    def names(*paths: str) -> list[bytes]:
        _, out, _ = run_digest(*paths)
        return [line[34:] for line in out.splitlines()]

    assert names('./d') == [
        b'./d/b', b'./d/sub/a', b'./d/\xf0\x9f\x98\x80', b'./d/\xff',
    ]
    assert names('d/', 'd/b', 'd//b')[-2:] == [b'd/b', b'd//b']
    assert names('d/s*/*', '*.conf') == [b'd/sub/a', b'x.conf']


def test_a_directory_that_stands_for_its_files_is_no_line(tmp_path):
    """Of many links in a row, the later ones; the files are listed once at least."""
    write(tmp_path, b'real/f')
    for name, target in ('d/1', '../e'), ('d/2', '../e'), ('e/l', '../real'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(target)

    status, out, err = run_digest(f'{tmp_path}/d')

    assert out == hashed(b'real/f') + os.fsencode(f'  {tmp_path}/d/1/l/f\n')
    assert err == (
        f'pollreload: {tmp_path}/d/2/: the directories that it links to are listed '
        f'by other names\n'
    )
    assert status == 0


@pytest.mark.parametrize(('name', 'shown'), [
    (b'a\n0 b', rb'a\n0 b'),
    (b'a\r\tb\\c', rb'a\r\tb\\c'),
    (b'\x1b]0;x\x07\x7f', rb'\x1b]0;x\x07\x7f'),
    ('\x9b2J'.encode(), rb'\x9b2J'),
    (b'\x9b2J', rb'\x9b2J'),
    ('\u202efnoc\u2028'.encode(), rb'\u202efnoc\u2028'),
])
def test_control_characters_in_a_name_never_reach_the_terminal(tmp_path, name, shown):
    """They are escaped, and a backslash at the beginning of the line says so."""
    path, = write(tmp_path, name)

    status, out, err = run_digest(path, f'{path}x')

    directory = os.fsencode(f'{tmp_path}/')
    assert out == b'\\' + hashed(name) + b'  ' + directory + shown + b'\n'
    assert status == 1
    assert err.count('\n') == 1
    assert err.rstrip('\n').isprintable()


def test_newer_releases_of_xxhsum_escape_alike(tmp_path):
    """xxhsum 0.8.3 and sha256sum escape a newline and a backslash so."""
    path, = write(tmp_path, b'a\nb\\c')

    ended = subprocess.run(('sha256sum', path), stdout=subprocess.PIPE, check=True)
    shown = ended.stdout

    assert run_digest(path)[1].partition(b' ')[2] == shown.partition(b' ')[2]
    assert shown[:1] == b'\\'


def test_ignored_names_are_left_out(tmp_path):
    """A poll leaves them out, too."""
    write(tmp_path, b'a', b'b~')

    assert run_digest(str(tmp_path), ignore=('*~',))[1].endswith(b'/a\n')


def test_what_cannot_be_read_is_said_and_the_rest_printed(tmp_path):
    """One line for each, and status 1."""
    (tmp_path / 'a').touch()
    os.mkfifo(tmp_path / 'fifo')

    status, out, err = run_digest(
        f'{tmp_path}/none', str(tmp_path), f'{tmp_path}/*.conf',
    )

    assert status == 1
    assert out.decode() == f'{EMPTY}  {tmp_path}/a\n'
    assert err == (
        f'pollreload: {tmp_path}/none: no such file\n'
        f'pollreload: {tmp_path}/fifo: is a FIFO\n'
        f'pollreload: {tmp_path}/*.conf: no file matches\n'
    )


def test_an_empty_directory_has_no_lines(tmp_path):
    """There is nothing that could not be read."""
    assert run_digest(str(tmp_path)) == (0, b'', '')


def test_what_may_hang_is_read_by_a_child(tmp_path, monkeypatch):
    """With the same lines; a signal then ends us, whatever the child waits for."""
    path, = write(tmp_path, b'a')
    here = run_digest(path)
    monkeypatch.setattr(mounts, 'can_hang', lambda paths: True)
    # SIGCHLD may go to a thread of the test runner that does not wait for it.
    monkeypatch.setattr(digest, 'CHILD_POLL', 0.05)

    assert run_digest(path) == here
