"""Completion, in the real shells, by the lines of docs/completion.md."""
from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollreload.cli import main
from tests.support import sidecar, targets
from tests.support.targets import DEADLINE

CI = os.environ.get('CI')
SHELLS = {
    'bash': ('bash', '--norc', '--noprofile', '-i'),
    'zsh': ('zsh', '-f', '-i'),
    'fish': ('fish', '--interactive'),
}
# What a user may have set or not, as a test can read it. fish shows what it would
# add in grey, from what it knows of the directory: that is no completion.
CALM = {
    'bash': "PS1='%'; bind 'set enable-bracketed-paste off'; "
            "bind 'set show-all-if-ambiguous on'",
    'zsh': "PS1='%%'; bindkey -e; unset zle_bracketed_paste; unsetopt prompt_sp",
    'fish': 'function fish_prompt; printf %%; end; '
            'set -g fish_autosuggestion_enabled 0',
}
# How ~/.zshrc and ~/.bashrc find what is kept in a file; fish needs nothing.
FOUND = {
    'bash': ['. ~/.pollreload.bash'],
    'zsh': ['autoload -Uz compinit && compinit', '. ~/.pollreload.zsh'],
    'fish': [],
}
MOVES = re.compile(r'\x1b(?:[][()][0-9;?]*[a-zA-Z]|[=>])|\r|\x1b\][^\x07]*\x07')
HOME = '\x01'  # Ctrl-A: to the beginning of the line, in all three
TAB = '\t'


class Shell:
    """A shell on a terminal of its own."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.seen = ''
        self.terminal, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (50, 200))
        self.child = subprocess.Popen(
            # --ctty: job control needs a terminal that is that of the session.
            ('setsid', '--ctty', *SHELLS[name]),
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=home,
            env=sidecar.environment({
                'HOME': str(home), 'PATH': f'{home}/bin:{os.environ["PATH"]}',
                'TERM': 'xterm', 'LC_ALL': 'C.UTF-8', 'XDG_CONFIG_HOME': '',
                'XDG_DATA_HOME': f'{home}/data',
            }),
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        """Type on its keyboard."""
        os.write(self.terminal, text.encode())

    def until(self, pattern: str) -> str:
        """Return the output up to a pattern, and the first group of the match."""
        end = time.monotonic() + DEADLINE
        while not (found := re.search(pattern, self.seen, re.S)):
            left = max(0.0, end - time.monotonic())
            readable, _, _ = select.select([self.terminal], [], [], left)
            assert readable, f'{self.name} wrote no {pattern!r}: {self.seen!r}'
            self.seen += os.read(self.terminal, 65536).decode('utf-8', 'replace')
            self.seen = MOVES.sub('', self.seen)
        self.seen = self.seen[found.end():]
        return found[1] if found.re.groups else ''

    def run(self, line: str) -> None:
        """Run a line to its end."""
        # What is typed shows too, and is not what is waited for.
        self.type(f'{line}\n')
        self.type("echo 'at the e''nd'\n")
        self.until('at the end.*?%')

    def completed(self, line: str) -> str:
        """Return a line after TAB, as the shell itself would run it."""
        self.type(line + TAB)
        # As arguments of an echo, because its output differs from what is typed.
        self.type(f"{HOME}echo 'NO''W<' \x05 '>'\n")
        return self.until('NOW< ?(.*?) ?>').rstrip()

    def listed(self, line: str, *candidates: str) -> None:
        """Check that TAB lists all these candidates, in any order, below the line."""
        self.run('true')
        self.type(line + TAB)
        self.until(''.join(f'(?=.*{word})' for word in candidates))

    def end(self) -> None:
        """End it, and whatever it runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(DEADLINE)
        os.close(self.terminal)


def lines(heading: str, paragraph: str = '') -> list[str]:
    """Return the code below a heading, and a paragraph that begins so."""
    with open(f'{sidecar.ROOT}/docs/completion.md', encoding='utf-8') as file:
        section = file.read().split(f'\n## {heading}\n')[1].split('\n## ')[0]
    blocks = re.findall(r'^(\S[^\n]*)\n(?:\S[^\n]*\n)*\n((?: {4}[^\n]*\n)+)', section,
                        re.M)
    found = next(code for text, code in blocks if text.startswith(paragraph))
    return [line[4:] for line in found.splitlines()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with pollreload in ~/bin, and files that may be watched."""
    (tmp_path / 'bin').mkdir()
    program = tmp_path / 'bin/pollreload'
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pollreload "$@"\n')
    program.chmod(0o755)
    (tmp_path / 'some.conf').write_text('x')
    (tmp_path / 'sun dry').mkdir()
    (tmp_path / 'sun dry/file').write_text('x')
    return tmp_path


@contextlib.contextmanager
def started(name: str, home: Path, setup: Sequence[str]) -> Iterator[Shell]:
    """A shell that has run some lines."""
    if not shutil.which(name):
        words = f'{name} is not here; install the Debian package {name}'
        if CI:
            pytest.fail(words)
        pytest.skip(words)
    shell = Shell(name, home)
    try:
        for line in (CALM[name], *setup):
            shell.run(line)
        yield shell
    finally:
        shell.end()


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, home: Path) -> Iterator[Shell]:
    """Each of the shells, set up as the document says."""
    with started(request.param, home, lines(request.param)) as it:
        yield it


def test_a_command_is_completed(shell: Shell) -> None:
    """`pollreload wat` is `pollreload watch`; in none of them by what they guess."""
    assert shell.completed('pollreload wat') == 'pollreload watch'


def test_commands_are_listed(shell: Shell) -> None:
    """All of them."""
    shell.listed('pollreload ', *main.pollreload.commands)


def test_an_option_is_completed(shell: Shell) -> None:
    """Of the command that was named: --dry-run is not one of watch."""
    assert shell.completed('pollreload check --dry') == 'pollreload check --dry-run'
    assert shell.completed('pollreload watch --dry') == 'pollreload watch --dry'


def test_the_values_of_an_option_are_listed(shell: Shell) -> None:
    """Those that it takes."""
    shell.listed('pollreload watch --handler-check ', 'enforce', 'warn', 'off')


def test_a_value_of_an_option_is_completed(shell: Shell) -> None:
    """Also behind a PATH."""
    line = 'pollreload watch some.conf --handler-check e'

    assert shell.completed(line) == line + 'nforce'


def test_signals_processes_and_users_are_completed(shell: Shell) -> None:
    """As the values of --signal, --process and --uid."""
    with targets.start('handler', name='nginx-to-find'):
        for option, part, rest in (
            ('--signal', 'WIN', 'CH'), ('--uid', 'roo', 't'),
            ('--process', 'nginx-to', '-find'),
        ):
            line = f'pollreload watch {option} {part}'

            assert shell.completed(line) == line + rest


@pytest.mark.parametrize('words', [
    'watch', 'check --process app', 'digest', 'doctor --pidfile', 'doctor --state-file',
])
def test_a_path_is_completed_as_a_file(shell: Shell, words: str) -> None:
    """The arguments, and the options that take a file."""
    line = f'pollreload {words} so'

    assert shell.completed(line) == line + 'me.conf'


def test_a_name_with_a_blank_is_completed(shell: Shell) -> None:
    """The shell quotes it, and reads below it."""
    assert shell.completed('pollreload watch sun\\ dry/f') == (
        'pollreload watch sun dry/file'
    )


def test_install_to_completes_directories_only(shell: Shell) -> None:
    """DIR has no completion if there are only files."""
    line = 'pollreload install-to so'

    assert shell.completed(line) == line
    assert shell.completed('pollreload install-to su').startswith(
        'pollreload install-to sun dry',
    )


@pytest.mark.parametrize('name', SHELLS)
def test_it_can_be_kept_in_a_file(name: str, home: Path) -> None:
    """As the document says, which is quicker for the shell."""
    with started(name, home, lines('Kept in a file', name)):
        pass

    with started(name, home, FOUND[name]) as it:
        assert it.completed('pollreload wat') == 'pollreload watch'
        # More than once: an autoloaded function of zsh differs at its first call.
        assert it.completed('pollreload watch so') == 'pollreload watch some.conf'


# What no shell would ask for


def asked(
        words: Sequence[str] = (), **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Return the answer of pollreload to variables that ask for a completion."""
    return subprocess.run(
        (*sidecar.POLLRELOAD, *words), timeout=DEADLINE, text=True, check=False,
        env=sidecar.environment(variables), stdin=subprocess.DEVNULL,
        capture_output=True, errors='surrogateescape',
    )


@pytest.mark.parametrize('command', [(), ('check', '/x'), ('watch', '/x')])
@pytest.mark.parametrize('words', [
    'junk', '1', ' ', '_', 'bash', 'bash_', 'bash_source_', 'tcsh_source', '\udcff',
    'bash_complete', 'zsh_complete', 'fish_complete',
])
def test_junk_is_one_line_and_2(words: str, command: Sequence[str]) -> None:
    """Also for a watch, whose arguments are read by a child."""
    done = asked(command, _POLLRELOAD_COMPLETE=words)

    assert (done.returncode, done.stdout) == (2, '')
    assert re.fullmatch('pollreload: _POLLRELOAD_COMPLETE is for .*\n', done.stderr)


@pytest.mark.parametrize('shell', SHELLS)
def test_a_watch_answers_a_shell_too(shell: str) -> None:
    """Whatever the arguments are, with the same function, and status 0."""
    wanted = asked((), _POLLRELOAD_COMPLETE=f'{shell}_source')
    got = asked(('watch', '/x'), _POLLRELOAD_COMPLETE=f'{shell}_source')

    assert '_pollreload_completion' in wanted.stdout
    assert (got.returncode, got.stdout, got.stderr) == (0, wanted.stdout, '')


def test_an_empty_variable_is_an_unset_one() -> None:
    """As everywhere."""
    done = asked(('--version',), _POLLRELOAD_COMPLETE='')

    assert done.stdout.startswith('pollreload 0.')


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([f'{shell}_complete' for shell in SHELLS]),
    st.lists(st.sampled_from([
        'pollreload', *main.pollreload.commands, '--interval', '--nosuch', '--', '-',
        '', '=', '--output=', '"', "'", '\\', '\udcff', '\n', 'é', '--help', '--uid',
    ]), max_size=5),
    st.sampled_from(['0', '1', '2', '9', '-1', '', ' ', 'x', '"', '\udcff']),
)
def test_no_line_is_a_fault(ask: str, words: list[str], word: str) -> None:
    """Whatever was typed so far: an answer, or one line; a traceback never."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(main.COMPLETE, ask)
        patch.setenv('COMP_WORDS', ' '.join(words))
        patch.setenv('COMP_CWORD', word)

        assert main.main(()) in (0, 2)
