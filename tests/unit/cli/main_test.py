"""The command line: the source of each value, and one line for each mistake."""
from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

import click
import pytest

from pollreload.cli import main as cli
from pollreload.cli import options, values
from pollreload.commands import check, digest, smoke
from pollreload.commands.doctor import main as doctor
from pollreload.settings import IGNORED, Plan, Settings, Signal, unpack

NEEDED = ('--process', 'nginx', '/etc/app.conf')


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables of pollreload."""
    for name in tuple(os.environ):
        if name.startswith('POLLRELOAD_') or name in ('FILE', 'PROCESS', 'SIGNAL'):
            monkeypatch.delenv(name)


def watch(*words: str) -> Settings:
    """Return the settings of a watch."""
    got = cli.main(('watch', *words))
    assert isinstance(got, Plan)
    (only,) = got.watches
    return only


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line about wrong arguments."""
    status = cli.main(words)
    said = capsys.readouterr()
    assert (status, said.out) == (2, '')
    assert said.err.count('\n') == 1
    return said.err


# Values and defaults


def test_defaults_are_those_of_settings() -> None:
    """The defaults are defined once, in Settings."""
    assert watch(*NEEDED) == Settings(('/etc/app.conf',), 'nginx')


@pytest.mark.parametrize(('words', 'name', 'value'), [
    (('--cmdline', 'a.*b'), 'cmdline', 'a.*b'),
    (('--uid', '33'), 'uid', 33),
    (('--uid', 'root'), 'uid', 0),
    (('--all-namespaces',), 'all_namespaces', True),
    (('--select', 'newest'), 'select', 'newest'),
    (('--signal', 'usr1'), 'signal', (signal.SIGUSR1, 'SIGUSR1')),
    (('--signal', '1'), 'signal', (1, 'SIGHUP')),
    (('--signal', 'RTMIN+3'), 'signal', (signal.SIGRTMIN + 3, 'SIGRTMIN+3')),
    (('--interval', '250ms'), 'interval', 0.25),
    (('--interval', '10ms'), 'interval', 0.01),
    (('--settle', '0'), 'settle', 0.0),
    (('--empty-grace', '2m'), 'empty_grace', 120.0),
    (('--ignore', '*.a', '--ignore', '*.b'), 'ignore', (*IGNORED, '*.a', '*.b')),
    (('--ignore', '*.a', '--ignore', '', '--ignore', '*.b'), 'ignore', ('*.b',)),
    (('--handler-check', 'warn'), 'handler_check', 'warn'),
    (('--min-uptime', '3'), 'min_uptime', 3.0),
    (('--survive', '1h'), 'survive', 3600.0),
    (('--validate', "nginx -t -c '/a b'"), 'validate', ('nginx', '-t', '-c', '/a b')),
    (('--verify', 'true'), 'verify', ('true',)),
    (('--verify-workers',), 'verify_workers', True),
    (('--command-timeout', '1.5s'), 'command_timeout', 1.5),
    (('--splay', '1m'), 'splay', 60.0),
    (('--max-wait', '1m'), 'max_wait', 60.0),
    (('--on-missing', 'notify'), 'on_missing', 'notify'),
    (('--min-interval', '1m'), 'min_interval', 60.0),
    (('--on-start', 'always'), 'on_start', 'always'),
    (('--state-file', '/a'), 'state_file', '/a'),
    (('--log-format', 'json'), 'log_format', 'json'),
    (('-v',), 'verbosity', 1),
    (('-q', '-q', '--verbose'), 'verbosity', -1),
    (('--pidfile', '/run/a.pid'), 'pidfile', '/run/a.pid'),
    (('/another',), 'paths', ('/etc/app.conf', '/another')),
])
def test_option_becomes_a_setting(
        words: Sequence[str], name: str, value: object,
) -> None:
    """Every option, in each of its forms."""
    assert getattr(watch(*NEEDED, *words), name) == value


def test_pidfile_is_enough_of_a_target() -> None:
    """With --pidfile no name is needed."""
    assert watch('--pidfile', '/a', '/b').process is None


# The source of a value


@pytest.mark.parametrize(('variables', 'words', 'interval'), [
    ({'POLLRELOAD_INTERVAL': '7s'}, (), 7.0),
    ({'POLLRELOAD_INTERVAL': '7s'}, ('--interval', '8s'), 8.0),
    ({'POLLRELOAD_INTERVAL': ''}, (), 5.0),
    ({'INTERVAL': '7s'}, (), 5.0),
    ({'POLLRELOAD_WATCH_INTERVAL': '7s'}, (), 5.0),
])
def test_option_can_come_from_the_environment(
        monkeypatch: pytest.MonkeyPatch, variables: dict[str, str],
        words: Sequence[str], interval: float,
) -> None:
    """Command line, POLLRELOAD_ and its name, default; empty is unset."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert watch(*NEEDED, *words).interval == interval


@pytest.mark.parametrize(('variables', 'words', 'process'), [
    ({'PROCESS': 'short'}, (), 'short'),
    ({'PROCESS': 'short', 'POLLRELOAD_PROCESS': 'long'}, (), 'long'),
    ({'PROCESS': 'short', 'POLLRELOAD_PROCESS': ''}, (), 'short'),
    ({'PROCESS': 'short', 'POLLRELOAD_PROCESS': 'long'}, ('--process', 'cli'), 'cli'),
])
def test_short_names_are_the_weakest(
        monkeypatch: pytest.MonkeyPatch, variables: dict[str, str],
        words: Sequence[str], process: str,
) -> None:
    """Command line, POLLRELOAD_PROCESS, PROCESS."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert watch('/etc/app.conf', *words).process == process


def test_sidecar_variables_are_all_a_watch_needs(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FILE, PROCESS and SIGNAL, as the well-known image names them."""
    for name, value in (('FILE', '/a'), ('PROCESS', 'b'), ('SIGNAL', 'SIGUSR2')):
        monkeypatch.setenv(name, value)

    assert watch() == Settings(
        ('/a',), 'b', signal=Signal(signal.SIGUSR2, 'SIGUSR2'),
    )


def test_only_watch_reads_the_short_names(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    """Many scripts set a variable FILE of their own."""
    monkeypatch.setenv('FILE', '/a')
    monkeypatch.setenv('PROCESS', 'b')

    for command in ('check', 'doctor'):
        assert 'no path to watch' in refused(capsys, command, '--process', 'c')
    assert 'nothing to notify' in refused(capsys, 'check', '/d')


def test_several_paths_in_a_variable_are_separated_by_colons(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in PATH; those on the command line take their place."""
    monkeypatch.setenv('POLLRELOAD_FILE', '/a:/b c:/d/*.conf')

    assert watch('--process', 'x').paths == ('/a', '/b c', '/d/*.conf')
    assert watch('--process', 'x', '/e').paths == ('/e',)


@pytest.mark.parametrize(('variable', 'value', 'name', 'expected'), [
    ('POLLRELOAD_ALL_NAMESPACES', '1', 'all_namespaces', True),
    ('POLLRELOAD_ALL_NAMESPACES', 'false', 'all_namespaces', False),
    ('POLLRELOAD_VERIFY_WORKERS', 'true', 'verify_workers', True),
    ('POLLRELOAD_VERBOSE', '2', 'verbosity', 2),
    ('POLLRELOAD_IGNORE', '*.a:*.b', 'ignore', (*IGNORED, '*.a', '*.b')),
    ('POLLRELOAD_HANDLER_CHECK', 'off', 'handler_check', 'off'),
    ('POLLRELOAD_VALIDATE', 'a "b:c"', 'validate', ('a', 'b:c')),
])
def test_flags_and_lists_come_from_the_environment_too(
        monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str,
        expected: object,
) -> None:
    """Every option has its variable."""
    monkeypatch.setenv(variable, value)

    assert getattr(watch(*NEEDED), name) == expected


def test_unknown_variables_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes sets some for a Service called pollreload."""
    monkeypatch.setenv('POLLRELOAD_SERVICE_HOST', '10.0.0.1')
    monkeypatch.setenv('POLLRELOAD_PORT_80_TCP', 'tcp://10.0.0.1:80')

    assert watch(*NEEDED) == Settings(('/etc/app.conf',), 'nginx')


# What is wrong


@pytest.mark.parametrize(('words', 'says'), [
    (('--signal', 'HUPP'), "'--signal': 'HUPP' is not a signal here; write a name or"),
    (('--signal', '0'), 'is not a signal here'),
    (('--signal', 'RTMIN+99'), 'is not a signal here'),
    (('--interval', 'soon'), "'--interval': 'soon' is not a duration; write 250ms, 5s"),
    (('--interval', '0'), "'--interval': '0' is too short to poll at; use 10ms"),
    (('--settle', '-1s'), "'--settle': '-1s' is not a duration"),
    (('--survive', '2y'), "'--survive': '2y' is not a duration"),
    (('--splay', '9999999h'), 'is longer than a year'),
    (('--max-wait', '0'), "'--max-wait': '0' is not longer than 0; write 30s, 5m or"),
    (('--on-missing', 'delete'), "'--on-missing'"),
    (('--min-interval', '0s'), "'--min-interval': '0s' is not longer than 0"),
    (('--command-timeout', '0'), "'--command-timeout': '0' is not longer than 0"),
    (('--url-timeout', '0'), "'--url-timeout': '0' is not longer than 0"),
    (('--min-interval', '-1'), "'--min-interval': '-1' is not a duration"),
    (('--max-wait', '-5s'), "'--max-wait': '-5s' is not a duration"),
    (('--max-wait', '500ms'), '--max-wait is shorter than --settle 1s, which every'),
    (('--cmdline', '('), "'--cmdline': '(' is not a regular expression"),
    (('--cmdline', 'a{99999999999}'), 'is not a regular expression: the repetition n'),
    (('--cmdline', '(' * 5000 + ')' * 5000), 'expression: it has more than 100 groups'),
    (('--process', '/usr/sbin/nginx'), "'--process': '/usr/sbin/nginx' is not a proc"),
    (('--process', ''), "'--process': '' is not a process name"),
    (('--uid', 'nobody-here'), "'--uid': there is no user 'nobody-here'; write a uid"),
    (('--uid', '9' * 5000), 'is not a uid; the largest is 4294967294'),
    (('--uid', '4294967295'), 'is not a uid; the largest is 4294967294'),
    (('--select', 'first'), "'--select'"),
    (('--handler-check', 'maybe'), "'--handler-check'"),
    (('--on-start', 'perhaps'), "'--on-start'"),
    (('--log-format', 'xml'), "'--log-format'"),
    (('--validate', ''), "'--validate': is empty; write a command"),
    (('--validate', '""'), "'--validate': is empty; write a command"),
    (('--verify', 'a "b'), 'cannot be split into arguments: No closing quotation'),
    (('',), 'a path may not be empty'),
    (('--pidfile', ''), 'a path may not be empty'),
    (('--ignore', 'logs/*.log'), "'logs/*.log' has a /"),
    (('--ignore', 'a', '--ignore', '/d/logs'), 'write logs or *.log'),
    (('--no-such-option',), 'no such option'),
    (('--signal',), "'--signal' requires an argument"),
])
def test_bad_value_is_one_line_that_names_the_option(
        capsys: pytest.CaptureFixture[str], words: Sequence[str], says: str,
) -> None:
    """And what it accepts; the status is 2."""
    needed = NEEDED[-1:] if '--process' in words else NEEDED
    line = refused(capsys, 'watch', *needed, *words)

    assert line.startswith('pollreload: ')
    assert says.lower() in line.lower()


def test_bad_value_in_the_environment_is_2_as_well(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    """A manifest can be as wrong as a command line."""
    monkeypatch.setenv('POLLRELOAD_SETTLE', 'soon')

    assert "'soon' is not a duration" in refused(capsys, 'watch', *NEEDED)


def test_misspelt_variable_is_named_if_nothing_can_be_notified(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    """It may be what should have named the process."""
    monkeypatch.setenv('POLLRELOAD_PROCES', 'app')

    assert refused(capsys, 'watch', '/a').endswith(
        '; POLLRELOAD_PROCES is not an option; did you mean POLLRELOAD_PROCESS?\n',
    )
    assert 'POLLRELOAD_PROCES' not in refused(capsys, *NEEDED, '--max-wait', '500ms')


@pytest.mark.parametrize(('words', 'says'), [
    (('doctor', '--deliver', '/a'), 'name a process with --process NAME, or --pid'),
    (('watch', '--process', 'x'), 'or set FILE, PROCESS and SIGNAL'),
    (('watch', '/a'), 'name a process with --process NAME (or PROCESS)'),
    (('check', '--process', 'x'), 'or set POLLRELOAD_FILE'),
    (('check', '/a'), 'name a process with --process NAME, or --pidfile FILE'),
    (('digest',), 'missing argument'),
    (('reload',), "no such command 'reload'"),
])
def test_what_is_missing_is_one_line(
        capsys: pytest.CaptureFixture[str], words: Sequence[str], says: str,
) -> None:
    """No path, nothing to notify, no such command: what to write instead."""
    assert says in refused(capsys, *words)


@pytest.mark.parametrize(('read', 'says'), [
    (values.path, "'a.x00b' contains a NUL"),
    (values.command, "'a.x00b' contains a NUL"),
    (values.process_name, "'a.x00b' is not a process name"), (values.url, 'cannot'),
    (values.uid, "there is no user 'a.x00b'"), (values.address, 'has no port'),
    (values.watch_name, "'a.x00b' is not a name"),
    (values.url_method, 'is not a method'),
])
def test_nul_is_refused(read: Callable[[str], object], says: str) -> None:
    """No execve could pass one; a config file can, and the kernel takes none."""
    with pytest.raises(ValueError, match=says):
        read('a\0b')


def test_as_many_groups_as_are_taken_can_be_nested() -> None:
    """It compiles deep in a stack, as in a watch: 300 calls above do not matter."""
    def below(depth: int) -> str:
        return below(depth - 1) if depth else values.regex('(' * 100 + ')' * 100)

    assert below(300).count('(') == 100


def test_no_command_at_all_shows_the_help_and_is_2(
        capsys: pytest.CaptureFixture[str],
) -> None:
    """On stderr, because no command ran."""
    status = cli.main(())
    said = capsys.readouterr()

    assert (status, said.out) == (2, '')
    assert 'watch' in said.err
    assert 'smoke' in said.err


@pytest.mark.parametrize('words', [
    ('--help',), ('-h',), ('watch', '--help'), ('check', '-h'), ('doctor', '--help'),
    ('smoke', '--help'), ('digest', '--help'),
])
def test_help_is_0(capsys: pytest.CaptureFixture[str], words: Sequence[str]) -> None:
    """On stdout, because the user asked for it."""
    assert cli.main(words) == 0
    assert 'Usage: pollreload' in capsys.readouterr().out


@pytest.mark.parametrize(('command', 'grouped'), [
    ('watch', True), ('check', True), ('doctor', True),
    ('smoke', False), ('status', False), ('digest', False), ('install-to', False),
])
def test_help_of_a_few_options_is_one_list(
        capsys: pytest.CaptureFixture[str], command: str, grouped: bool,
) -> None:
    """A heading and a sentence for each group are for commands with many options."""
    assert cli.main((command, '--help')) == 0

    said = capsys.readouterr().out
    sections = [line[:-1] for line in said.splitlines() if re.match(r'\w.*:$', line)]
    assert sections == ([*options.GROUPS] if grouped else ['Options'])


def test_interrupted_prompt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """click turns a KeyboardInterrupt into an Abort."""
    def abort(*_: Any, **__: Any) -> None:
        raise click.Abort

    monkeypatch.setattr(cli.pollreload, 'main', abort)

    assert cli.main(('digest', 'x')) == 130


# What is run


class Recorder:
    """A function that remembers its arguments and returns a status."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any) -> int:
        self.calls.append(arguments)
        return self.status


ONLY = Settings(('/etc/app.conf',), 'nginx')


@pytest.mark.parametrize(('command', 'module', 'given'), [
    ('check', check, (Plan((ONLY,)),)), ('doctor', doctor, (Plan((ONLY,)), False)),
])
def test_command_runs_with_the_settings_and_returns_its_status(
        monkeypatch: pytest.MonkeyPatch, command: str, module: Any,
        given: tuple[object, ...],
) -> None:
    """main() only passes both on."""
    ran = Recorder(5)
    monkeypatch.setattr(module, 'run', ran)

    assert cli.main((command, *NEEDED)) == 5
    assert ran.calls == [given]


def test_doctor_delivers_only_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """--deliver is not part of the settings: no watch has it."""
    ran = Recorder(0)
    monkeypatch.setattr(doctor, 'run', ran)

    assert cli.main(('doctor', '--deliver', *NEEDED)) == 0
    assert ran.calls == [(Plan((ONLY,)), True)]


def test_smoke_takes_a_signal_and_no_target(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    """It tests the machine; doctor tests a deployment."""
    ran = Recorder(0)
    monkeypatch.setattr(smoke, 'run', ran)

    assert cli.main(('smoke', '--signal', 'HUP')) == 0
    assert ran.calls == [(Signal(1, 'SIGHUP'), 'text')]
    assert 'no such option' in refused(capsys, 'smoke', '--process', 'a')
    assert 'unexpected' in refused(capsys, 'smoke', '/a')


def test_digest_gets_its_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the names that a watch would leave out."""
    ran = Recorder(0)
    monkeypatch.setattr(digest, 'run', ran)

    assert cli.main(('digest', '/a', '/b')) == 0
    assert ran.calls[0][:2] == (('/a', '/b'), IGNORED)


def test_parsed_settings_are_plain_and_whole() -> None:
    """The sidecar unpacks the same settings that its child has packed."""
    got = cli.run_packed(('watch', *NEEDED))

    assert type(got) is tuple
    assert unpack(cast(Any, got))._replace(notes=()) == Plan((watch(*NEEDED),))
    assert cli.run_packed(('watch', '--help')) == 0


def test_converted_value_is_returned_unchanged() -> None:
    """click requires it of a type: a default need not be text."""
    assert options.DURATION.convert(5.0, None, None) == 5.0


def test_defaults_in_help_are_as_a_user_writes_them() -> None:
    """'5s' and '250ms'."""
    assert [options.seconds(each) for each in (0.0, 0.25, 1.0, 30.0)] == [
        '0s', '250ms', '1s', '30s',
    ]


def test_name_of_every_signal_here_is_known() -> None:
    """By the machine's own table, because numbers differ by architecture."""
    names = {each for each in dir(signal) if each.startswith('SIG') and '_' not in each}

    assert names - set(options.NUMBERS) <= {'SIGRTMIN', 'SIGRTMAX', 'SIGIOT', 'SIGCLD',
                                        'SIGPOLL'}
    assert sys.platform == 'linux'


@pytest.mark.parametrize(('words', 'variables', 'says'), [
    (('watch',), {'SIGNAL': 'x'}, 'invalid value for SIGNAL: '),
    (('watch',), {'PROCESS': 'a/b'}, 'invalid value for PROCESS: '),
    (('watch',), {'SIGNAL': '1', 'POLLRELOAD_SIGNAL': 'x'},
     'invalid value for POLLRELOAD_SIGNAL: '),
    (('check',), {'POLLRELOAD_VERIFY_WORKERS': 'maybe'},
     'invalid value for POLLRELOAD_VERIFY_WORKERS: write 1 for yes or 0 for no'),
    (('watch', '--signal', 'x'), {'SIGNAL': '1'}, "invalid value for '--signal': "),
])
def test_wrong_value_is_named_by_its_source(
        words: tuple[str, ...], variables: dict[str, str], says: str,
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    """The user wrote a variable, not the option."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert cli.main((*words, '/a')) == 2
    assert capsys.readouterr().err.startswith(f'pollreload: {says}')


@pytest.mark.parametrize('words', [
    ('--process', 'a', '--process', 'b'), ('--signal=HUP', '--signal=USR1'),
    ('--interval', '1s', '--interval', '1s'), ('--select', 'all', '--select', 'root'),
    ('--pidfile', 'a', '--verify-workers', '--pidfile', 'b'),
])
def test_option_of_one_value_is_given_once(
        capsys: pytest.CaptureFixture[str], words: tuple[str, ...],
) -> None:
    """The first would be ignored silently, whatever the user meant."""
    line = refused(capsys, 'watch', *words, '/etc/app.conf')

    name = words[0].split('=')[0]
    assert line == f'pollreload: {name} takes one value, and is given twice\n'


@pytest.mark.parametrize('words', [
    ('-v', '-v'), ('--verify-workers', '--verify-workers'),
    ('--ignore', 'a', '--ignore', 'b'), ('--exec', 'a', '--exec', 'b'),
])
def test_option_of_several_values_may_be_repeated(words: tuple[str, ...]) -> None:
    """So may a flag, which means the same as once."""
    assert isinstance(watch(*NEEDED, *words), Settings)


@pytest.mark.parametrize(('command', 'words', 'says'), [
    ('check', ('--interval', '1s'), "'--interval'; pollreload watch has it"),
    ('watch', ('--timeout', '5s'), "'--timeout'; pollreload check has it"),
    ('watch', ('--deliver',), "'--deliver'; pollreload doctor has it"),
    ('check', ('--intervall', '1s'), "'--intervall'; did you mean --interval, which "
     "pollreload watch has?"),
    ('check', ('--once',), "'--once'; check polls once without it"),
    ('check', ('--version',), "'--version'; write pollreload --version"),
    ('check', ('--daemon',), "'--daemon'; leave it out: a watch runs in the "
     "foreground, and a service manager starts it"),
    ('check', ('--json',), "'--json'; did you mean --output?"),
    ('watch', ('--json',), "'--json'; did you mean --log-format?"),
    ('watch', ('--state', 'x'), "'--state'; did you mean --state-file?"),
    ('watch', ('--status', 'x'), "'--status'; did you mean --status-file?"),
    ('watch', ('--workers',), "'--workers'; did you mean --verify-workers?"),
    ('watch', ('--verify-worker',), "'--verify-worker'; did you mean "
     "--verify-workers?"),
    ('watch', ('--config-file', 'x'), "'--config-file'; did you mean --config?"),
    ('watch', ('--no-handler-check',), "'--no-handler-check'; did you mean "
     "--handler-check?"),
    ('watch', ('--dir', '/a'), "'--dir'; write the PATH without an option"),
    ('watch', ('--path', '/a'), "'--path'; write the PATH without an option"),
    ('watch', ('-p',), "'-p'; see pollreload watch --help"),
    ('watch', ('-process', 'b'), "'-process'; did you mean --process?"),
    ('check', ('-verbose',), "'-verbose'; did you mean --verbose?"),
    ('check', ('-interval=1s',), "'-interval'; pollreload watch has it"),
    ('watch', ('--once',), "'--once'; use pollreload check to poll once"),
    ('watch', ('--user', 'root'), "'--user'; did you mean --uid?"),
    ('watch', ('--file', '/a'), "'--file'; write the PATH without an option"),
    ('watch', ('--validat', 'x'), "'--validat'; did you mean --validate?"),
    ('watch', ('--zzz',), "'--zzz'; see pollreload watch --help"),
    ('watch', ('--validate', 'visudo', '--check'), "'--check'; if it belongs to a "
     "command, quote the whole command: --validate 'visudo --check ...'; else did you "
     "mean --validate?"),
    ('watch', ('--validate', 'nginx', '-t'), "'-t'; if it belongs to a command, quote "
     "the whole command: --validate 'nginx -t ...'"),
])
def test_unknown_option_leads_to_the_one_that_was_meant(
        capsys: pytest.CaptureFixture[str], command: str, words: tuple[str, ...],
        says: str,
) -> None:
    """Or to none, rather than to one that has nothing to do with it."""
    line = refused(capsys, command, *NEEDED, *words)

    assert line == f'pollreload: no such option {says}\n'


@pytest.mark.parametrize(('words', 'says'), [
    (('-v', 'watch', '/a'), "'-v'; write it after the command: pollreload watch -v"),
    (('-q', 'check', '/a'), "'-q'; write it after the command: pollreload check -q"),
    (('--uid', '0', 'check'), "'--uid'; write it after the command: pollreload check "
     "--uid"),
    (('--config', 'a'), "'--config'; write it after the command: pollreload watch "
     "--config"),
    (('-z',), "'-z'; see pollreload --help"),
    (('status', '--status-file', 'a'), "'--status-file'; write the FILE without an "
     "option"),
    (('install-to', '--dir', 'a'), "'--dir'; write the DIR without an option"),
    (('digest', '--path', 'a'), "'--path'; write the PATH without an option"),
])
def test_unknown_option_leads_to_its_place(
        capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str,
) -> None:
    """After the command, or the argument itself."""
    line = refused(capsys, *words)

    assert line == f'pollreload: no such option {says}\n'


@pytest.mark.parametrize(('arguments', 'how'), [
    (('--validate', 'nginx', '-t', '/a'), ": --validate 'nginx -t ...'"),
    (('--process', 'x', '--exec', 'app', 'reload', '-n', '/a'),
     ": --exec 'app reload -n ...'"),
    (('--validate=nginx', '-t', '/a'), ": --validate 'nginx -t ...'"),
    (('--process', 'x', '--exec', '-t', '--verify', 'a', '-tq', '/a'),
     ": --verify 'a -tq ...'"),
])
def test_option_of_an_unquoted_command_shows_the_quotes(
        capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], how: str,
) -> None:
    """The option is that of the command, and not of pollreload."""
    line = refused(capsys, 'watch', *arguments)

    assert line.strip().endswith(f'quote the whole command{how}')


@pytest.mark.parametrize(('arguments', 'says'), [
    (('--once',), "option '--once'; use pollreload check to poll once"),
    (('--process', 'x'), "option '--process'; write it after the command: pollreload "
     "watch --process"),
    (('run',), "command 'run'; did you mean watch?"),
    (('whatch',), "command 'whatch'; did you mean watch?"),
    (('list',), "command 'list'; did you mean doctor?"),
    (('nginx',), "command 'nginx'; write one of watch, check, doctor, smoke, status, "
     "digest, install-to"),
    (('digest', '--json'), "option '--json'; did you mean --log-format, which "
     "pollreload watch has?"),
    (('smoke', '--zzz'), "option '--zzz'; see pollreload smoke --help"),
])
def test_unknown_command_leads_to_the_one_that_was_meant(
        capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str,
) -> None:
    """An option before any command is one of the commands, too."""
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err == f'pollreload: no such {says}\n'


def test_variable_of_a_flag_that_may_be_repeated(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """click would call it an integer range."""
    monkeypatch.setenv('POLLRELOAD_QUIET', 'true')

    assert cli.main(('check', *NEEDED)) == 2
    assert capsys.readouterr().err == (
        'pollreload: invalid value for POLLRELOAD_QUIET: write 1 for yes or 0 for no\n'
    )
