"""The config file: the values of each option, and the line of each mistake."""
from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pollreload.cli import config_file, config_watches, main, options, resolve
from pollreload.errors import UsageError
from pollreload.runtime import guard
from pollreload.settings import Plan, Settings, unpack
from pollreload.system import children
from tests.support.config_texts import (
    COMMON,
    MINE,
    VALID,
    WATCH,
    Given,
    plan,
    put,
    tables,
    toml,
    word,
)

SECOND = '\n[[watch]]\npath = "/b"\nprocess = "x"\n'
CRLF = WATCH.replace('\n', '\r\n')


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove the variables of pollreload, and change to tmp_path."""
    for name in tuple(os.environ):
        if name.startswith('POLLRELOAD_') or name in ('FILE', 'PROCESS', 'SIGNAL'):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def watches(text: str) -> tuple[Settings, ...]:
    """Return the watches of a config file."""
    return plan(text).watches


def refusal(text: str | bytes) -> str:
    """Return why a config file is refused, behind 'w.toml:'."""
    with pytest.raises(UsageError) as caught:
        plan(text)
    said = str(caught.value)
    assert said.startswith('w.toml:'), said
    assert said.isprintable(), said
    return said.removeprefix('w.toml:')


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line about wrong arguments; the status is 2."""
    status = main.run_packed(words)
    said = capsys.readouterr()
    assert (status, said.out) == (2, '')
    assert said.err.count('\n') == 1, said.err
    assert said.err.startswith('pollreload: ')
    return said.err


# What is good


def test_a_watch_has_the_names_of_the_options() -> None:
    """A key that is left out has the default of the command line."""
    got = plan(WATCH)

    assert got == Plan((Settings(('/a',), 'x', name='x'),), 'w.toml')


def test_key_at_the_top_is_the_default_of_all_watches() -> None:
    """A watch that has the key itself keeps its own value."""
    first, second = watches(
        'interval = "7s"\nsettle = 2\nverify-workers = true\n'
        '[[watch]]\npath = "/a"\nprocess = "x"\ninterval = 8.5\n'
        '[[watch]]\npath = "/b"\nprocess = "x"\nverify-workers = false\n',
    )

    assert (first.interval, first.settle, first.verify_workers) == (8.5, 2.0, True)
    assert (second.interval, second.settle, second.verify_workers) == (7.0, 2.0, False)


def test_text_or_a_list() -> None:
    """Of paths, patterns, commands and URLs there may be one or several."""
    one, more = watches(
        '[[watch]]\npath = "/a"\nexec = "b \'c d\'"\nurl = "http://h/"\nignore = "i"\n'
        '[[watch]]\npath = ["/a", "/b"]\nexec = ["b", "c d"]\n'
        'url = ["http://h/", "http://i/"]\nignore = ["", "j"]\n',
    )

    assert (one.paths, one.exec, one.url) == (('/a',), (('b', 'c d'),), ('http://h/',))
    assert one.ignore[-1] == 'i'
    assert (more.paths, more.exec) == (('/a', '/b'), (('b',), ('c', 'd')))
    assert more.url == ('http://h/', 'http://i/')
    assert more.ignore == ('j',)


@pytest.mark.parametrize(('written', 'seconds'), [
    ('"250ms"', 0.25), ('"2m"', 120.0), ('3', 3.0), ('0.5', 0.5), ('"7"', 7.0),
    ('1_000', 1000.0), ('0x10', 16.0),
])
def test_a_duration_is_text_or_seconds(written: str, seconds: float) -> None:
    """As a user would write it in TOML."""
    assert watches(f'{WATCH}interval = {written}')[0].interval == seconds


def test_options_of_the_whole_run() -> None:
    """The log format applies to every watch, and the port to none."""
    got = plan(f'log-format = "json"\nlisten = "[::1]:9533"\n{WATCH}')

    assert got.listen == ('::1', 9533)
    assert [each.log_format for each in got.watches] == ['json']


def test_a_url_may_hold_a_password() -> None:
    """Others may be unable to read a file, unlike a command line."""
    url = 'https://me:secret@host/?token=a'

    assert watches(f'{WATCH}url = "{url}"')[0].url == (url,)


def test_names_are_those_of_the_targets() -> None:
    """Each watch gets its own: the process, the pidfile, or else its number."""
    tables = (
        'process = "x"', 'process = "x"', 'pidfile = "/run/y.pid"', 'exec = "z"',
        'name = "a.b-C_@:9"\nprocess = "x"', 'pidfile = "y/y"', 'process = "x"',
    )
    got = watches(''.join(
        f'[[watch]]\npath = "/{number}"\n{table}\n'
        for number, table in enumerate(tables)
    ))

    assert [each.name for each in got] == [
        'x', 'x-2', 'y', 'watch-4', 'a.b-C_@:9', 'y-2', 'x-3',
    ]


def test_written_name_takes_precedence_over_a_default_one() -> None:
    """The order of the tables does not matter."""
    tables = [
        '[[watch]]\npath = "/a"\nprocess = "x"\n',
        '[[watch]]\npath = "/b"\nprocess = "y"\nname = "x"\n',
    ]

    for text in (''.join(tables), ''.join(tables[::-1])):
        assert {each.name for each in watches(text)} == {'x', 'x-2'}


@pytest.mark.parametrize(('path', 'below'), [
    ('/d', True), ('d', False), ('/d/', True), ('/', True), ('/d/*', True),
    ('/e', False), ('/d/s', False), ('/d/[a-z]*', True), ('/d/e/*', False),
    ('/dd', False), ('/d/*.conf', False), ('/*', True), ('/*/sf', True),
    ('/**/sf', True), ('/d/*.lock', True), ('/d/sf', True),
])
@pytest.mark.parametrize('option', ['state-file', 'status-file'])
def test_a_file_that_one_watch_writes_is_never_below_a_path_of_another(
        path: str, below: bool, option: str,
) -> None:
    """Each write would be a change to the other one."""
    text = (
        f'[[watch]]\npath = ["/x", "{path}"]\nprocess = "x"\n'
        f'[[watch]]\npath = "/y"\nprocess = "y"\n{option} = "/d/sf"\n'
    )

    if not below:
        assert len(watches(text)) == 2
    elif path == '/d/sf':
        assert 'it would be overwritten' in refusal(text)
    else:
        assert refusal(text) == (
            f"7: {option}: is below a path that watch 'x' (line 1) watches; put it "
            f"elsewhere, or leave it out there with ignore"
        )


@pytest.mark.parametrize(('ignore', 'refused'), [
    ('s*', False), ('sf', True), ('d', False), ('x', True),
])
def test_a_written_file_that_is_ignored_is_no_conflict(
        ignore: str, refused: bool,
) -> None:
    """This includes its lock and its temporary files."""
    text = (
        f'[[watch]]\npath = "/x"\nprocess = "x"\nignore = "{ignore}"\n'
        f'state-file = "/x/d/sf"\n'
    )

    if refused:
        assert refusal(text) == (
            '5: state-file: /x/d/sf is below a watched path: each write would be a '
            'change; put it elsewhere, or leave it out with --ignore'
        )
    else:
        assert len(watches(text)) == 1


def test_a_written_file_is_found_through_links(tmp_path: Path) -> None:
    """On the way to a path, or to a file that another watch writes."""
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to('real')

    for path, file in (
            ('real', 'link/s'), ('link/*', 'real/t'), ('link/../real/', 'link/u'),
    ):
        assert 'below a path that' in refusal(
            f'[[watch]]\npath = "{path}"\nprocess = "x"\n'
            f'[[watch]]\npath = "/y"\nprocess = "y"\nstatus-file = "{file}"\n',
        )


def test_a_file_of_the_same_name_elsewhere_is_watched() -> None:
    """Only the very files that are written are left out."""
    (only,) = watches(
        '[[watch]]\npath = "/etc/app"\nprocess = "x"\nstate-file = "/d/ledger"\n',
    )

    assert 'ledger' not in only.ignore


def test_names_are_as_written_if_a_disk_does_not_answer(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    """All are resolved at once: the file is neither refused nor read for minutes."""
    (tmp_path / 'link').symlink_to(tmp_path)
    asked: list[int] = []

    def with_time_limit(function: Callable[[], object], *paths: str) -> object:
        if len(paths) == 1:
            return function()
        asked.append(len(paths))
        raise TimeoutError(errno.ETIMEDOUT, 'does not answer')

    monkeypatch.setattr(guard, 'with_time_limit', with_time_limit)

    first = f'{WATCH}status-file = "s"\n'
    assert len(watches(f'{first}{SECOND}status-file = "link/s"')) == 2
    assert refusal(f'{first}{SECOND}status-file = "./s"') == (
        "9: status-file: is that of watch 'x' (line 1) too; two would overwrite it"
    )
    assert asked == [6, 6]


def test_inline_tables_are_tables() -> None:
    """TOML has several ways to write the same table."""
    got = watches(
        'watch = [\n  {path = "/a", process = "x"},  # c\n'
        '  {path = "/b", process = "y"},\n]\n',
    )

    assert [each.process for each in got] == ['x', 'y']


def test_line_ends_of_either_kind() -> None:
    """As an editor on Windows leaves them."""
    assert watches(CRLF) == watches(WATCH)


def test_byte_order_mark_is_skipped() -> None:
    """As an editor on Windows leaves it; line numbers stay the same."""
    assert watches(f'\ufeff{WATCH}') == watches(WATCH)
    assert refusal(f'\ufeff{WATCH}signal = "FOO"').startswith("4: signal: 'FOO'")


def test_many_watches_are_read_at_once() -> None:
    """A valid file is read in a time that is proportional to its length."""
    def took(number: int) -> float:
        text = ''.join(
            f'[[watch]]\nname = "w{each}"\npath = "/etc/w{each}"\nprocess = "x"\n'
            f'state-file = "s{each}"\n' for each in range(number)
        )
        began = time.process_time()
        assert len(watches(text)) == number
        return time.process_time() - began

    few = took(10)
    # 10 times as many: with each compared to each at most 100 times as long.
    assert took(100) < 200 * few + 0.1


# What is bad, and where


@pytest.mark.parametrize(('text', 'says'), [
    # A table.
    ('', ' contains no watch; begin one with a line [[watch]]'),
    ('\n# c\n', ' contains no watch; begin one with a line [[watch]]'),
    ('interval = "5s"\n', ' contains no watch; begin one with a line [[watch]]'),
    ('watch = []', ' contains no watch; begin one with a line [[watch]]'),
    ('\n[watch]\npath = "/a"', '2: write [[watch]], in two brackets on each side'),
    ('watch = {path = "/a"}', '1: write [[watch]], in two brackets on each side'),
    ('# c\nwatch = 1', '2: write [[watch]] tables'),
    ('watch = [{path = "/a", process = "x"}, 1]', '1: write [[watch]] tables'),
    # A key.
    (f'{WATCH}intervall = 5', '4: intervall: is not an option; did you mean interval?'),
    ('[[watches]]\npath = "/a"', '1: watches: is not an option; did you mean '
     '[[watch]]?'),
    ('\n[[wacth]]\npath = "/a"', '2: wacth: is not an option; did you mean [[watch]]?'),
    (f'{WATCH}[[watches]]\npath = "/a"', '4: watches: is not an option; did you mean '
     '[[watch]]?'),
    ('Watch = 1\n', '1: Watch: is not an option; did you mean [[watch]]?'),
    ('intervall = 5\n', '1: intervall: is not an option; did you mean interval?'),
    (f'{WATCH}watching = 1', '4: watching: is not an option; see pollreload watch '
     '--help'),
    (f'timeout = "1s"\n{WATCH}', '1: timeout: must be given on the command line, as '
     '--timeout'),
    (f'{WATCH}dry-run = true', '4: dry-run: must be given on the command line, as '
     '--dry-run'),
    (f'output = 1\n{WATCH}', '1: output: must be given on the command line, as '
     '--output'),
    (f'verbose = 1\n{WATCH}', '1: verbose: must be given on the command line, as '
     '--verbose'),
    (f'{WATCH}min_uptime = 5', '4: min_uptime: is not an option; did you mean '
     'min-uptime?'),
    (f'{WATCH}paths = "/b"', '4: paths: is not an option; did you mean path?'),
    (f'{WATCH}proces = "y"', '4: proces: is not an option; did you mean process?'),
    (f'{WATCH}statefile = "x"', '4: statefile: is not an option; did you mean '
     'state-file?'),
    (f'{WATCH}wwwwwww = 5', '4: wwwwwww: is not an option; see pollreload watch '
     '--help'),
    (f'{WATCH}"" = 1', '4: : is not an option; see pollreload watch --help'),
    (f'{WATCH}\n[watch.zzz]\na = 1', '5: zzz: is not an option; see pollreload watch '
     '--help'),
    (f'{WATCH}[other]', '4: other: is not an option; did you mean [[watch]]?'),
    (f'{WATCH}[[other]]', '4: other: is not an option; see pollreload watch --help'),
    (f'{WATCH}debug = true', '4: debug: is not an option; did you mean --verbose, on '
     'the command line?'),
    (f'{WATCH}directory = "/b"', '4: directory: is not an option; did you mean '
     'path?'),
    # Its place.
    (f'name = "a"\n{WATCH}', '1: name: must stand in a [[watch]]'),
    (f'\npath = "/a"\n{WATCH}', '2: path: must stand in a [[watch]]'),
    (f'state-file = "a"\n{WATCH}', '1: state-file: must stand in a [[watch]]'),
    (f'status-file = "a"\n{WATCH}', '1: status-file: must stand in a [[watch]]'),
    (f'{WATCH}listen = ":1"', '4: listen: must stand at the top, before the first '
     '[[watch]]'),
    (f'{WATCH}log-format = "json"', '4: log-format: must stand at the top, before '
     'the first [[watch]]'),
    # Its type.
    (f'{WATCH}signal = true', '4: signal: is true or false, and must be text in '
     'quotes or a whole number'),
    (f'{WATCH}select = 5', '4: select: is a whole number, and must be text in '
     'quotes'),
    (f'{WATCH}validate = ["a"]', '4: validate: is a list, and must be text in '
     'quotes; write a command and its arguments as one text'),
    (f'{WATCH}splay.a = 1', '4: splay: is a table, and must be text in quotes or a '
     'number'),
    (f'{WATCH}splay = 2026-01-01', '4: splay: is a date or a time, and must be text '
     'in quotes or a number'),
    (f'{WATCH}all-namespaces = 1', '4: all-namespaces: is a whole number, and must '
     'be true or false'),
    (f'{WATCH}exec = ["a", ["b"]]', '4: exec: is a list, and must be text in quotes'),
    (f'{WATCH}url = []', '4: url: is an empty list; leave it out'),
    # Its value.
    (f'{WATCH}signal = "FOO"', "4: signal: 'FOO' is not a signal here; write a name or "
     'number such as HUP, SIGHUP, 1 or RTMIN+3'),
    (f'{WATCH}signal = -1', "4: signal: '-1' is not a signal here; write a name or "
     'number such as HUP, SIGHUP, 1 or RTMIN+3'),
    (f'{WATCH}interval = 0', "4: interval: '0' is too short to poll at; use 10ms or "
     'more'),
    (f'{WATCH}settle = "soon"', "4: settle: 'soon' is not a duration; write 250ms, 5s, "
     '2m, 1h or plain seconds'),
    (f'{WATCH}settle = nan', "4: settle: 'nan' is not a duration; write 250ms, 5s, 2m, "
     '1h or plain seconds'),
    (f'{WATCH}settle = -inf', "4: settle: '-inf' is not a duration; write 250ms, 5s, "
     '2m, 1h or plain seconds'),
    (f'{WATCH}splay = 99_999_999', "4: splay: '99999999' is longer than a year"),
    (f'{WATCH}select = "first"', "4: select: 'first' is not one of root, roots, "
     "oldest, "
     'newest, all'),
    (f'{WATCH}cmdline = "("', "4: cmdline: '(' is not a regular expression: missing ), "
     'unterminated subpattern at position 0'),
    (f'{WATCH}cmdline = "a{{99999999999}}"', "4: cmdline: 'a{99999999999}' is not a "
     'regular expression: the repetition number is too large'),
    (f'{WATCH}uid = 0x{"f" * 5000}', '4: uid: is a number with too many digits'),
    (f'{WATCH}\nuid = {"9" * 5000}\nsettle = 1', '5: has a number with too many '
     'digits'),
    (f'{WATCH}exec = ["a", "b\\u0000"]', "4: exec: 'b\\x00' contains a NUL, which no "
     'argument can'),
    (f'{WATCH}verify = "\\u0000"', "4: verify: '\\x00' contains a NUL, which no "
     'argument can'),
    (f'{WATCH}uid = -1', "4: uid: there is no user '-1'; write a uid or a name"),
    (f'{WATCH}name = "a b"', "4: name: 'a b' is not a name; write letters, digits and "
     '. _ - @ : in between'),
    (f'{WATCH}name = "-a"', "4: name: '-a' is not a name; write letters, digits and . "
     '_ - @ : in between'),
    (f'{WATCH}pidfile = ""', '4: pidfile: a path may not be empty'),
    (f'{WATCH}state-file = "a\\u0000"',
     r"4: state-file: 'a\x00' contains a NUL, which no path can"),
    (f'{WATCH}exec = ["a", "b \'"]', '4: exec: "b \'" cannot be split into arguments: '
     'No '
     'closing quotation'),
    (f'{WATCH}verify = " "', '4: verify: is empty; write a command and its arguments'),
    (f'{WATCH}url = "ftp://h/"', '4: url: ftp:// is not supported; write '
     'http://HOST[:PORT]/PATH, or https'),
    (f'{WATCH}url-method = "PO ST"', "4: url-method: 'PO ST' is not a method; write "
     'POST, PUT or GET'),
    (f'{WATCH}url-status = "999"', "4: url-status: '999' is not a status; write 2xx, "
     '204 or 200-299'),
    (f'listen = "9533"\n{WATCH}', '1: listen: has no port; write :9533, HOST:9533 or '
     '[::1]:9533'),
    (f'listen = "me:secret@h"\n{WATCH}', '1: listen: has no port from 1 to 65535'),
    (f'log-format = "xml"\n{WATCH}',
     "1: log-format: 'xml' is not one of text, json, logfmt"),
    # What is not there, or does not go together.
    ('process = "x"\n[[watch]]\n', '2: no path to watch; write path = "/etc/app", or a '
     'list of them'),
    ('process = "x"\n[[watch]]\npath = []', '3: path: is an empty list; leave it out'),
    (f'{WATCH}\n\n[[watch]]\npath = "/b"\n', '6: nothing to notify; write process = '
     '"nginx", pidfile, exec or url'),
    ('exec = "a"\n\n[[watch]]\npath = "/a"\nuid = 1', '5: uid: selects a process, and '
     'none is named'),
    ('\nuid = 1\n[[watch]]\npath = "/a"\nexec = "a"', '2: uid: selects a process, and '
     'none is named'),
    (f'{WATCH}state-file = "/../a"', '4: state-file: /../a is a path to watch; it '
     'would be overwritten'),
    (f'{WATCH}\nstatus-file = "/a"', '5: status-file: /a is a path to watch; it would '
     'be overwritten'),
])
def test_what_is_wrong_is_said_with_its_line(text: str, says: str) -> None:
    """The file, the line and the key; for a whole file there is no line."""
    assert refusal(text) == says


@pytest.mark.parametrize(('text', 'says'), [
    (f'{WATCH}\n{WATCH}', "5: its paths and its target are that of watch 'x' "
     '(line 1); leave one out'),
    ('[[watch]]\npath = ["/a", "../b"]\nprocess = "x"\nsignal = 1\n[[watch]]\n'
     'path = ["/x/../a", "HERE/../b"]\nprocess = "x"\nsignal = "HUP"', '5: its '
     "paths and its target are that of watch 'x' (line 1); leave one out"),
    (f'{WATCH}name = "q"{SECOND}name = "q"\n', "8: name: 'q' is that of watch 'q' "
     '(line 1) too'),
    (f'{WATCH}state-file = "s"\n{SECOND}state-file = "./s"', '9: state-file: is that '
     "of watch 'x' (line 1) too; two would overwrite it"),
    (f'{WATCH}status-file = "s"\n{SECOND}status-file = "HERE/s"', '9: status-file: is '
     "that of watch 'x' (line 1) too; two would overwrite it"),
    (f'{WATCH}status-file = "s"\n{SECOND}status-file = "link/s"', '9: status-file: is '
     "that of watch 'x' (line 1) too; two would overwrite it"),
    (f'{WATCH}status-file = "t"\n{SECOND}state-file = "s"', '9: state-file: is '
     "that of watch 'x' (line 1) too; two would overwrite it"),
    (f'{WATCH}status-file = "s"\n{SECOND}state-file = "s"', '9: state-file: is that '
     "of watch 'x' (line 1) too; two would overwrite it"),
    (f'{WATCH}state-file = "s"\n{SECOND}status-file = "s"', '9: status-file: is that '
     "of watch 'x' (line 1) too; two would overwrite it"),
    (f'{WATCH}state-file = "s"\nstatus-file = "s"', '5: status-file: is the state-file '
     'too'),
    (f'{WATCH}state-file = "s"\nstatus-file = "./s"', '5: status-file: is the '
     'state-file too'),
    (f'{WATCH}state-file = "s"\nstatus-file = "t"', '5: status-file: is the state-file '
     'too'),
    (f'{WATCH}state-file = "link/w.toml"', '4: state-file: is this very file'),
    # What another watches: before it, behind it, and through a link on either side.
    (f'{WATCH}status-file = "/b"\n{SECOND}', '4: status-file: is a path that watch '
     "'x-2' (line 6) watches; it would be overwritten"),
    (f'{WATCH}{SECOND}state-file = "/a"\n', '8: state-file: is a path that watch '
     "'x' (line 1) watches; it would be overwritten"),
    (f'[[watch]]\npath = ["/c", "link/t"]\nprocess = "x"\n{SECOND}status-file = "s"',
     "8: status-file: is a path that watch 'x' (line 1) watches; it would be "
     'overwritten'),
    (f'[[watch]]\npath = "s"\nprocess = "x"\n{SECOND}status-file = "link/t"',
     "8: status-file: is a path that watch 'x' (line 1) watches; it would be "
     'overwritten'),
    # What another one needs besides its paths.
    (f'{WATCH}pidfile = "s"\nstatus-file = "link/t"', '5: status-file: link/t is the '
     'pidfile too; it would be overwritten'),
    (f'{WATCH}status-file = "link/t"\n{SECOND}pidfile = "s"', '4: status-file: is the '
     "pidfile of watch 'x-2' (line 6); it would be overwritten"),
    (f'{WATCH}state-file = "w.toml"', '4: state-file: is this very file'),
    (f'{WATCH}status-file = "HERE/./w.toml"', '4: status-file: is this very file'),
])
def test_two_watches_must_not_share(text: str, says: str, tmp_path: Path) -> None:
    """A name, a file that is written, or all that makes a watch one.

    However the file is called: link leads here, and t to s.
    """
    (tmp_path / 'link').symlink_to(tmp_path)
    (tmp_path / 't').symlink_to('s')

    assert refusal(text.replace('HERE', str(tmp_path))) == says


def test_two_watches_may_share() -> None:
    """The paths alone, or the target alone; another signal is another watch."""
    assert len(watches(
        f'{WATCH}[[watch]]\npath = "/a"\nprocess = "y"\n'
        f'[[watch]]\npath = "/b"\nprocess = "x"\n'
        f'[[watch]]\npath = "/a"\nprocess = "x"\nsignal = "USR1"\n'
        f'[[watch]]\npath = "/a"\nprocess = "x"\nexec = "z"\n',
    )) == 5


@pytest.mark.parametrize(('text', 'line', 'says'), [
    (f'{WATCH}name', 4, "expected '=' after a key"),
    (f'{WATCH}name =\n', 4, 'invalid value'),
    (f'{WATCH}name = x', 4, 'invalid value'),
    (f'{WATCH}name = "x\n\n', 4, 'illegal character'),
    (f'{WATCH}exec = ["x",\n"y"\nz]\n', 6, 'unclosed array'),
    ('[watch\n', 1, "expected ']' at the end of a table"),
    ('[[watch]\n', 1, "expected ']]' at the end of an array"),
    ('a = {b = 1}\na.c = 2\n', 2, 'cannot mutate immutable namespace'),
    ('a = {b = 1, b = 2}\n', 1, 'duplicate inline table key'),
    ('a = "\\ud800"', 1, 'escaped character is not a unicode scalar value'),
    ('\0', 1, 'invalid statement'),
    (f'{CRLF}name = x\r\n', 4, 'invalid value'),
    (f'{WATCH}name = "a"\rprocess = "y"', 4, 'expected newline or end of document'),
])
def test_line_that_is_not_toml_is_named(
        text: str, line: int, says: str,
) -> None:
    """With the message of tomllib."""
    said = refusal(text)

    assert said.startswith(f'{line}: is not TOML: ')
    assert says in said.lower()


@pytest.mark.parametrize('opening', ['"""', "'''", '["""'])
def test_unclosed_value_is_reported_at_its_first_line(opening: str) -> None:
    """Not that of the end of the file, which is far away."""
    text = f'{WATCH}\n# c\nignore = {opening}\nb\n\nuid = 1\n'

    assert refusal(text).startswith('6: is not TOML: ')


def test_a_list_that_is_never_closed_has_the_line_of_what_cannot_be_in_it() -> None:
    """The user sees there what is missing above."""
    text = f'{WATCH}\nignore = [\n  "a",\n\nuid = 1\n'

    assert refusal(text) == '8: is not TOML: invalid value'


@pytest.mark.parametrize(('text', 'line', 'key'), [
    (f'{WATCH}path = "/b"', 4, 'path'),
    (f'{WATCH}path = "/b"\n\n# c\n', 4, 'path'),
    (f'{WATCH}path = [\n  "/b",\n]\n', 4, 'path'),
    (f'{WATCH}ignore = "a"\nignore = [\n  "b=c", # d=e\n\n  "f",\n]\n', 5, 'ignore'),
    (f'{WATCH}exec = "a"\n# c\n\nexec = """\na=b\n"""\nsignal = 1\n', 7, 'exec'),
    (f'{WATCH}path.a = 1\n', 4, 'path.a'),
    (f'{WATCH}"path" = "/b"\n', 4, '"path"'),
    (f'interval = 1\ninterval = 1\n{WATCH}', 2, 'interval'),
    (f'{CRLF}path = "/b"\r\n', 4, 'path'),
    (f'interval = 1\n\n{WATCH}\n[interval]\na = 1\n', 7, 'interval'),
    ('interval = 1\n[[interval]]\n', 2, 'interval'),
    (f'interval = 1\n[interval]\n{WATCH}', 2, 'interval'),
    (f'{WATCH}\n[watch]\n', 5, '[watch]'),
    ('[a]\n\n[ a ]\n', 3, '[ a ]'),
])
def test_duplicate_is_reported_at_the_line_of_the_second(
        text: str, line: int, key: str,
) -> None:
    """However many lines the value has."""
    said = refusal(text)

    assert said.startswith(f'{line}: ')
    assert key in said
    assert said.endswith(': is already defined')


@pytest.mark.parametrize('text', [
    f'{WATCH}url = "http://h/"\nurl = [\n  "http://me:secret@h/?a=b",\n]\n',
    f'{WATCH}url = "http://h/"\nurl = """\nhttp://me:secret@h/?a=b"""\n',
    f'{WATCH}url = "http://h/"\nurl = "http://me:secret@h/?a=b"\n',
    f'{WATCH}url = "http://me:secret@h/#a"\n',
    f'{WATCH}url = "me:secret@h"\n',
    f'{WATCH}url = ["http://h/", "http://me:secret@h:x/"]\n',
    f'{WATCH}url = "http://me:secret@h/" "\n',
    f'{WATCH}url = """\nhttp://me:secret@h/\n',
    f'{WATCH}url = ["http://me:secret@h/", 1]\n',
    f'{WATCH}urll = "http://me:secret@h/"\n',
    f'url = "http://me:secret@h/"\n{WATCH}{WATCH}',
    f'{WATCH}listen = "me:secret@h"\n',
])
def test_no_value_is_shown_that_may_be_a_secret(text: str) -> None:
    """The line that is refused goes to a log."""
    assert 'secret' not in refusal(text)


@pytest.mark.parametrize('text', [
    f'{WATCH}"a\\nb" = 1', f'{WATCH}"a\\u001b[2Jb" = 1', f'"a\\u2028" = 1\n{WATCH}',
    f'{WATCH}"a\\nb" = 1\n"a\\nb" = 2', '"a\\rb\\n" = 1\n["a\\rb\\n"]\n',
    f'{WATCH}name = "a\\nb"', f'{WATCH}cmdline = "(\\n"', f'{WATCH}exec = "\\n\'"',
    f'{WATCH}interval = "\\n"', f'{WATCH}uid = "\\n"', f'{WATCH}process = "\\n"',
    f'{WATCH}select = "\\n"', f'{WATCH}url-status = "\\n"', f'{WATCH}signal = "\\n"',
    f'{WATCH}state-file = "/\\n/../a"', f'listen = "\\n:1"\n{WATCH}',
    f'{WATCH}uid = "a\\u0000b"', '"\\u0000" = 1\n', 'a = "\x1b"', 'a = \x1b[2J',
])
def test_error_is_one_line_of_printable_text(text: str) -> None:
    """A refused value is shown in one line that is safe for a terminal."""
    assert '\n' not in refusal(text)


@pytest.mark.parametrize(('text', 'line'), [
    (b'\xff', 1), (b'[[watch]]\npath = "\xe9"\n', 2), (b'\n\r\n# \xc3', 3),
    (b'\n# \xed\xa0\x80', 2),
])
def test_line_that_is_not_utf_8_is_named(text: bytes, line: int) -> None:
    """Latin-1, half a character, a surrogate."""
    assert refusal(text) == f'{line}: is not UTF-8'


def test_wrong_type_names_the_right_one() -> None:
    """The message does not contradict itself."""
    for name, kind in resolve.kinds(options.WATCH).items():
        odd: tuple[object, ...] = (True, 'x', 1, 1.5, [], {}, None)
        for value in odd:
            if type(value) in kind.types:
                continue
            with pytest.raises(ValueError) as caught:
                config_file.converted(kind, value)
            is_so, _, wanted = str(caught.value).partition(', and must be ')
            is_so = is_so.removeprefix('is ')
            assert wanted, name
            assert is_so not in wanted.split(' or '), f'{name}: {caught.value}'


def test_a_pattern_that_python_warns_of(capsys: pytest.CaptureFixture[str]) -> None:
    """A later Python may read `[[` differently, which does not concern the user."""
    assert watches(f'{WATCH}cmdline = "[[a]"')[0].cmdline == '[[a]'
    assert capsys.readouterr().err == ''


def test_deep_nesting_is_refused() -> None:
    """No file causes a fault, whatever is in it."""
    assert refusal(f'{WATCH}a = {"[" * 5000}')


@settings(deadline=None)
@given(st.lists(st.sampled_from((
    '[[watch]]', '[watch]', 'watch', 'path', ' = ', '"/a"', 'process', '.', '\n', '#',
    '\r\n', '{', '}', '[', ']', ',', "'''", '"""', '"', 'interval', '5', '1e9', 'true',
    'name', '\\', '-', 'nan', '2026-01-01', '\ufeff', '\0', 'url', 'é',
)), max_size=25).map(''.join))
def test_any_text_is_a_plan_or_one_line(text: str) -> None:
    """No text causes a fault."""
    with contextlib.suppress(UsageError):
        assert watches(text)
        return
    assert refusal(text)


# The line of a key


class Laid(NamedTuple):
    """A document: its text, and the line of each key."""

    text: str
    lines: dict[tuple[str | int, ...], int]


VALUES = (
    '1', '"a = b # c"', "'[[watch]]'", '[1, 2]', '[\n  1,\n\n  2, # = "\n]', '[\n]',
    '"""a\nsignal = 1\n[[watch]]\n"""', "'''\n\nname = 1'''", '{a = 1, b = [2]}',
    '"""\\\n  """', '[ # c\n"""\n""", [\n3]]', 'true # name = 1', '2026-01-01 00:00:00',
)
NOTHING = ('\n', '# c\n', '  \t\n', '\t# [[watch]]\n', '# path = 1\n')
SPELLINGS: tuple[Callable[[str], str], ...] = (
    str, json.dumps, "'{}'".format, lambda name: f'"\\u{ord(name[0]):04x}{name[1:]}"',
)
OPENINGS = ('[[watch]]', ' [[ watch ]] # c', '[["watch"]]', "[['watch']]")
KEYS = st.sampled_from(('path', 'process', 'signal', 'name', 'a', 'b-c', 'd_e'))


@st.composite
def laid(draw: st.DrawFn) -> Laid:
    """Return documents, each with the line of every key."""
    text = ''
    lines: dict[tuple[str | int, ...], int] = {}

    def note(*key: str | int) -> None:
        lines.setdefault(key, text.count('\n') + 1)

    def add(*at: str | int) -> None:
        """Add the entries of a table."""
        nonlocal text
        for name in draw(st.lists(KEYS, unique=True, max_size=4)):
            text += ''.join(draw(st.lists(st.sampled_from(NOTHING), max_size=2)))
            spell = draw(st.sampled_from(SPELLINGS))
            if draw(st.integers(0, 4)):
                note(*at, name)
                text += f'{spell(name)} = {draw(st.sampled_from(VALUES))}\n'
                continue
            for more in draw(st.lists(KEYS, unique=True, min_size=1, max_size=2)):
                note(*at, name)
                note(*at, name, more)
                text += f' {spell(name)} . {more}={draw(st.sampled_from(VALUES))}\n'

    add()
    if draw(st.booleans()):
        for number in range(draw(st.integers(0, 3))):
            text += ''.join(draw(st.lists(st.sampled_from(NOTHING), max_size=2)))
            note('watch')
            note('watch', number)
            text += f'{draw(st.sampled_from(OPENINGS))}\n'
            add('watch', number)
            if draw(st.integers(0, 3)) == 0:
                note('watch', number, 'more')
                text += '[watch.more]\n'
                add('watch', number, 'more')
    else:
        note('watch')
        text += f'watch = [{draw(st.sampled_from(("", "# c")))}\n'
        for number in range(draw(st.integers(0, 3))):
            text += ''.join(draw(st.lists(st.sampled_from(NOTHING), max_size=2)))
            note('watch', number)
            note('watch', number, 'path')
            note('watch', number, 'ignore')
            text += '  {path = "[", ignore = ["}", "]"]},\n'
        text += ']\n'
    if draw(st.booleans()):
        text = text.removesuffix('\n')
    if draw(st.booleans()):
        text = text.replace('\n', '\r\n')
    return Laid(text, lines)


@settings(max_examples=400, deadline=None)
@given(laid())
@example(Laid('watch = [ {path = 1}, {path = 2},\n{path = 3} ]', {
    ('watch',): 1, ('watch', 0): 1, ('watch', 1): 1, ('watch', 2, 'path'): 2,
}))
@example(Laid('\n[a.b]\nc = 1\n[a.d]\n', {
    ('a',): 2, ('a', 'b'): 2, ('a', 'b', 'c'): 3, ('a', 'd'): 4,
}))
def test_the_line_is_that_of_the_key(document: Laid) -> None:
    """In every way to write one: several lines, quotes, dots, inline, CRLF."""
    where = config_file.Source('x', document.text)

    assert {key: where.line(*key) for key in document.lines} == document.lines


def test_a_key_that_is_not_there_has_the_first_line() -> None:
    """Like the options of the whole run; no caller needs it today."""
    assert config_file.Source('x', 'a = 1\nb = 2').line('c') == 1


# The same as on a command line


EVERY = [param.opts[0].removeprefix('--') for param in main.watch.params]


def test_every_option_of_watch_is_tried() -> None:
    """But those that say nothing of a watch; `path` is an argument there."""
    assert {*EVERY} - {'paths', 'config', '-v', '-q'} == (
        {*VALID, *MINE, *COMMON} - {'path', 'name'}
    )
    assert {*resolve.kinds(options.WATCH)} == {*VALID, *MINE, *COMMON}
    assert {*config_watches.COMMON} == {*COMMON}
    beside = {name.replace('_', '-') for name in resolve.BESIDE}
    assert beside == {*COMMON, *config_file.COMMAND_LINE_ONLY, 'config'}


def line(table: dict[str, Given]) -> list[str]:
    """Return a table as a command line."""
    words = ['watch']
    for name, value in table.items():
        if name in ('path', 'name'):
            continue
        flag = name in ('all-namespaces', 'verify-workers')
        words += [f'--{name}' if flag else f'--{name}={each}' for each in value.words]
    return [*words, '--', *table['path'].words]


@settings(deadline=None)
@given(
    tables(VALID), tables(COMMON), tables({**VALID, **MINE}, 'path', 'process'),
    tables(VALID, 'process'),
)
def test_a_file_is_as_good_as_a_command_line(
        top: dict[str, Given], common: dict[str, Given], mine: dict[str, Given],
        other: dict[str, Given],
) -> None:
    """Each option, at the top or in a watch, is what it is as an argument."""
    other = {'path': word('other'), **other, 'name': word('other')}
    got = plan(
        f'{toml({**top, **common})}[[watch]]\n{toml(mine)}[[watch]]\n{toml(other)}',
    )

    for table, found in zip((mine, other), got.watches, strict=True):
        want = main.main(line({**top, **common, **table}))
        assert isinstance(want, Plan)
        assert found._replace(name='') == want.watches[0]
        assert got.listen == want.listen
    assert got.watches[1].name == 'other'


# The file itself


def test_a_file_that_is_not_there_is_refused(
        capsys: pytest.CaptureFixture[str],
) -> None:
    """With the message of the system, and the option."""
    assert refused(capsys, 'watch', '--config', 'none.toml') == (
        'pollreload: none.toml: no such file (--config)\n'
    )


def test_path_that_is_not_a_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A directory, a FIFO without a writer, a device: none of them hangs pollreload."""
    os.mkfifo('fifo')

    for name, says in (
            ('.', 'is a directory'), ('fifo', 'is a FIFO'), ('/dev/zero', 'is a '),
    ):
        said = refused(capsys, 'watch', '--config', name)
        assert said.startswith(f'pollreload: {name}: {says}'), said
        assert said.endswith(' (--config)\n')


def test_a_file_that_is_too_long_is_refused(
        capsys: pytest.CaptureFixture[str],
) -> None:
    """It is probably another kind of file; up to the limit it is read."""
    text = WATCH + '#' * (config_watches.LARGEST_CONFIG - len(WATCH) - 1) + '\n'
    assert len(plan(text).watches) == 1

    put(text + '\n')
    assert refused(capsys, 'watch', '--config', 'w.toml') == (
        'pollreload: w.toml: is longer than 64 KiB (--config)\n'
    )


def test_a_file_that_does_not_answer_is_refused(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be on a server, so it is read in a child."""
    def hang(function: object, path: str) -> None:
        assert path == 'w.toml'
        raise children.Stuck(1)

    monkeypatch.setattr(guard, 'with_time_limit', hang)

    assert refusal(WATCH) == ' does not answer (--config)'


# Beside a command line


@pytest.mark.parametrize('words', [
    ['--listen', ':9533'], ['--log-format', 'json'], ['-v'], ['-q', '-q'],
    ['--verbose', '--quiet'],
])
def test_options_that_may_be_combined_with_config(words: list[str]) -> None:
    """Options of the whole run take precedence over the file."""
    put(f'log-format = "text"\nlisten = ":1"\n{WATCH}')
    alone = main.main(['watch', *words, '--process', 'x', '/a'])

    got = main.main(['watch', '--config', 'w.toml', *words])

    assert isinstance(got, Plan)
    assert isinstance(alone, Plan)
    assert got.watches[0]._replace(name='') == alone.watches[0]
    assert got.listen == (alone.listen or ('', 1))
    assert got.config == 'w.toml'


@pytest.mark.parametrize('command', ['watch', 'check', 'doctor'])
def test_options_that_may_not_be_combined_with_config(
        command: str, capsys: pytest.CaptureFixture[str],
) -> None:
    """Each option of a single watch, and a path."""
    put(WATCH)
    every = {**VALID, 'pidfile': 0, 'state-file': 0}
    tried = 0
    for param in main.pollreload.commands[command].params:
        name = param.opts[0].removeprefix('--')
        if name not in every:
            continue
        value = {
            'interval': '5s', 'uid': '0', 'signal': 'HUP', 'select': 'root',
            'handler-check': 'off', 'on-start': 'auto', 'url': 'http://h/',
            'url-method': 'GET', 'url-status': '2xx', 'on-missing': 'hold',
        }.get(name, '1')
        flag = ['--' + name] if param.type.name == 'boolean' else [f'--{name}={value}']
        assert refused(capsys, command, '--config', 'w.toml', *flag) == (
            f'pollreload: --{name} cannot be combined with --config; write it in that '
            f'file\n'
        )
        tried += 1
    assert tried >= 22
    assert refused(capsys, command, '--config', 'w.toml', '/a') == (
        'pollreload: a PATH cannot be combined with --config; write it in that file\n'
    )


@pytest.mark.parametrize(('variable', 'value'), [
    ('POLLRELOAD_INTERVAL', '5s'), ('POLLRELOAD_PROCESS', 'x'),
    ('POLLRELOAD_FILE', '/a'), ('POLLRELOAD_SIGNAL', 'HUP'),
    ('POLLRELOAD_STATE_FILE', '/s'), ('POLLRELOAD_VERIFY_WORKERS', '0'),
])
def test_variables_that_may_not_be_combined_with_config(
        variable: str, value: str, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
) -> None:
    """A variable of pollreload would be ignored silently; the line says to unset it."""
    put(WATCH)
    monkeypatch.setenv(variable, value)

    assert refused(capsys, 'watch', '--config', 'w.toml') == (
        f'pollreload: the variable {variable} cannot be combined with --config; unset '
        f'it, and write it in that file\n'
    )


def test_variables_that_may_be_there_for_another_reason_are_left_alone(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FILE, PROCESS and SIGNAL, empty variables, and those of Kubernetes."""
    put(WATCH)
    for name, value in (
            ('FILE', '/b'), ('PROCESS', 'y'), ('SIGNAL', 'USR1'),
            ('POLLRELOAD_INTERVAL', ''), ('POLLRELOAD_FILE', ''),
            ('POLLRELOAD_PORT', 'tcp://10.0.0.1:80'), ('POLLRELOAD_LOG_FORMAT', 'json'),
            ('POLLRELOAD_CONFIG', 'w.toml'), ('POLLRELOAD_LISTEN', ':2'),
    ):
        monkeypatch.setenv(name, value)

    got = main.main(['watch'])

    assert got == Plan(
        (Settings(('/a',), 'x', log_format='json', name='x'),), 'w.toml', ('', 2),
    )


def test_smoke_and_status_have_no_config(capsys: pytest.CaptureFixture[str]) -> None:
    """A smoke test concerns one machine."""
    put(WATCH)

    for command in ('smoke', 'digest', 'status'):
        assert 'no such option' in refused(capsys, command, '--config', 'w.toml')


# Read again


def test_reread_is_the_plan_as_plain_types() -> None:
    """A child hands it over, as at the start."""
    words = ['watch', '--config', put(f'listen = ":1"\n{WATCH}{SECOND}')]

    got: Any = main.packed_plan(words)

    assert got == main.run_packed(words)
    assert type(got) is tuple
    assert all(type(each) is tuple for each in got[0])
    assert unpack(got).watches == plan(
        f'listen = ":1"\n{WATCH}{SECOND}',
    ).watches
    assert got[1:4] == ('w.toml', ('', 1), 'w.toml:1: listen:')


@pytest.mark.parametrize(('text', 'says'), [
    (f'{WATCH}interval = "soon"\n', "w.toml:4: interval: 'soon' is not a duration"),
    ('', 'w.toml: contains no watch'),
])
def test_reread_says_what_is_wrong(text: str, says: str) -> None:
    """In one line, and without an exit."""
    got = main.packed_plan(['watch', '--config', put(text)])

    assert isinstance(got, str)
    assert got.startswith(says)


def test_reread_says_what_is_wrong_with_the_options(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They were right at the start; their meaning may have changed since."""
    put(WATCH)
    monkeypatch.setenv('POLLRELOAD_SETTLE', '5s')

    got = main.packed_plan(['watch', '--config', 'w.toml'])

    assert got == (
        'the variable POLLRELOAD_SETTLE cannot be combined with --config; unset it, '
        'and '
        'write it in that file'
    )


@pytest.mark.parametrize(('line', 'advice'), [
    ('process = nginx', '; write text in quotes'),
    ('path = /etc/nginx', '; write text in quotes'),
    ('process: nginx', '; this looks like YAML, and the file is TOML: key = "value"'),
    ('- path:', '; this looks like YAML, and the file is TOML: key = "value"'),
    ('path = [/etc/nginx, "/etc/app"]', '; write text in quotes'),
    ('interval = 5s', '; write text in quotes'),
    ('verify-workers = True', '; write true'),
    ('verify-workers = on', '; write true'),
    ('all-namespaces = no  # yet', '; write false'),
    ('path = "/a", "/b"', '; write several values as a list: ["a", "b"]'),
    ('path = ["/a" "/b"]', '; write several values as a list: ["a", "b"]'),
    ("exec = 'a' 'b'", '; write several values as a list: ["a", "b"]'),
    ('[[watch', '; write [[watch]]'),
    ('[watch]]', '; write [[watch]]'),
    ('{"path": "/a"}', '; this looks like JSON, and the file is TOML: key = "value"'),
    ('; old', '; a comment begins with #'),
    ('process = "nginx";', '; leave out the semicolon'),
    ('process = "nginx', ''),
])
def test_advice_about_a_line_that_is_not_toml(line: str, advice: str) -> None:
    """What other formats and other languages would allow."""
    assert config_file.hint(line) == advice
