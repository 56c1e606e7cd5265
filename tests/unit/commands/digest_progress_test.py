"""The progress bar of digest."""
from __future__ import annotations

import errno
import io
import os
import pty
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from pollreload.commands import digest, digest_progress
from pollreload.runtime.observer import Observer
from pollreload.system import children, mounts

END = '\a'
BAR = '\x1b[?25l'  # the cursor is hidden before a bar is drawn


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TextIO, int]]:
    """A terminal to write to, and the descriptor that reads what it gets."""
    monkeypatch.setenv('TERM', 'xterm')
    shown, theirs = pty.openpty()
    with open(theirs, 'w') as err:
        yield err, shown
    os.close(shown)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in a child, and show the bar with the first update."""
    monkeypatch.setattr(mounts, 'can_hang', lambda paths: True)
    # SIGCHLD may go to a thread of the test runner that does not wait for it.
    monkeypatch.setattr(digest, 'CHILD_POLL', 0.05)
    monkeypatch.setattr(digest_progress, 'DELAY', 0.0)


def digest_output(err: TextIO, *paths: str) -> bytes:
    """Run digest, and return its output on stdout."""
    out = io.BytesIO()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        assert digest.run(paths, ('*~',), out, err) == 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return out.getvalue()


def drawn(terminal: tuple[TextIO, int]) -> str:
    """Return the output that the terminal got."""
    err, shown = terminal
    err.write(END)
    err.flush()
    seen = ''
    while not seen.endswith(END):
        seen += os.read(shown, 65536).decode()
    return seen.removesuffix(END)


def test_bar_ends_at_100_percent_with_the_cursor_back(
        terminal: tuple[TextIO, int], tmp_path: Path,
) -> None:
    """One bar for each path, whose lines on stdout follow it."""
    (tmp_path / 'a').write_bytes(bytes(3_000_000))

    out = digest_output(terminal[0], str(tmp_path / 'a'), f'{tmp_path}/*')

    seen = drawn(terminal)
    assert out.count(b'\n') == 2
    assert seen.count('100%') == 2
    assert seen.count('\x1b[?25h\r\n') == 2
    assert '/a  [' in seen
    assert '/*  [' in seen


def test_bar_moves_with_each_update(
        terminal: tuple[TextIO, int], tmp_path: Path,
) -> None:
    """The sizes are added up once."""
    with (tmp_path / 'a').open('wb') as file:
        file.truncate(100_000_000_000)
    progress = digest_progress.Progress(str(tmp_path / 'a'), (), terminal[0])

    progress.update(os.getpid())
    at = progress.bar.pos if progress.bar else 0
    Path('/proc/self/status').read_bytes()
    os.remove(tmp_path / 'a')
    progress.update(os.getpid())
    progress.close()

    assert progress.bar is not None
    assert progress.bar.pos > at


def test_bar_appears_after_a_second_only(
        terminal: tuple[TextIO, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most paths are read by then."""
    monkeypatch.setattr(digest_progress, 'DELAY', 600.0)
    (tmp_path / 'a').write_text('x')

    digest_output(terminal[0], str(tmp_path))

    assert drawn(terminal) == ''


@pytest.mark.parametrize('term', ['dumb', None])
def test_no_bar_on_a_terminal_that_cannot_move_its_cursor(
        terminal: tuple[TextIO, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        term: str | None,
) -> None:
    """As TERM says."""
    if term:
        monkeypatch.setenv('TERM', term)
    else:
        monkeypatch.delenv('TERM')
    (tmp_path / 'a').write_text('x')

    digest_output(terminal[0], str(tmp_path))

    assert drawn(terminal) == ''


def test_no_bar_in_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever TERM says."""
    monkeypatch.setenv('TERM', 'xterm')
    (tmp_path / 'a').write_text('x')
    err = io.StringIO()

    digest_output(err, str(tmp_path))

    assert err.getvalue() == ''


@pytest.mark.parametrize('unknown', ['sizes', 'progress'])
def test_no_bar_without_a_size_or_a_position(
        terminal: tuple[TextIO, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        unknown: str,
) -> None:
    """A mount that does not answer, or a kernel without /proc/PID/io."""
    def refused(*_: object) -> object:
        raise children.Stuck(1)

    if unknown == 'sizes':
        monkeypatch.setattr(children, 'within', refused)
    else:
        monkeypatch.setattr(digest_progress, 'bytes_read', lambda pid: None)
    (tmp_path / 'a').write_text('x')

    digest_output(terminal[0], str(tmp_path))

    assert BAR not in drawn(terminal)


def test_size_is_that_of_the_files_that_are_read(tmp_path: Path) -> None:
    """Empty and ignored files, and what is no file, add nothing."""
    (tmp_path / 'a').write_bytes(bytes(1000))
    (tmp_path / 'b').write_bytes(bytes(20))
    (tmp_path / 'empty').touch()
    (tmp_path / 'c~').write_bytes(bytes(5))
    os.mkfifo(tmp_path / 'fifo')

    assert digest_progress.total_size(str(tmp_path), ('*~',)) == 1020
    assert digest_progress.total_size(str(tmp_path / 'a'), ()) == 1000
    assert digest_progress.total_size(f'{tmp_path}/[ab]', ()) == 1020
    assert digest_progress.total_size(f'{tmp_path}/none', ()) == 0


def test_position_is_what_a_process_has_read() -> None:
    """Unknown for one that is gone."""
    before = digest_progress.bytes_read(os.getpid())
    with open('/dev/zero', 'rb', buffering=0) as file:
        file.read(100_000)
    after = digest_progress.bytes_read(os.getpid())
    pid, fd = children.fork(lambda: None)
    os.waitpid(pid, 0)
    os.close(fd)

    assert before is not None
    assert after is not None
    assert after >= before + 100_000
    assert digest_progress.bytes_read(pid) is None


def test_child_ends_if_the_terminal_is_gone(
        terminal: tuple[TextIO, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would read on, perhaps for hours."""
    def gone(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    ended = []
    monkeypatch.setattr(digest_progress.Progress, 'update', gone)
    monkeypatch.setattr(digest_progress.Progress, 'close', gone)
    monkeypatch.setattr(Observer, 'close', lambda self: ended.append(self.pid))
    (tmp_path / 'a').write_text('x')

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        digest_output(terminal[0], str(tmp_path))

    assert ended[0] > 0
    os.waitpid(ended[0], 0)
