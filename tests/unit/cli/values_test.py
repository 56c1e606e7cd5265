"""The value of each text that a user may write."""
from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollreload.cli import values
from pollreload.cli.values import duration, signal_name, signal_number

# A part of Linux' on x86, with an alias, and what the names are on MIPS.
NUMBERS = {
    'SIGHUP': 1, 'SIGINT': 2, 'SIGABRT': 6, 'SIGIOT': 6, 'SIGUSR1': 10, 'SIGTERM': 15,
    'SIGRTMIN': 34, 'SIGRTMAX': 64,
}
MIPS = {'SIGHUP': 1, 'SIGUSR1': 16, 'SIGRTMIN': 34, 'SIGRTMAX': 127}


@pytest.mark.parametrize(('text', 'seconds'), [
    ('250ms', 0.25), ('5s', 5.0), ('2m', 120.0), ('1h', 3600.0), ('5', 5.0),
    ('0', 0.0), ('0.5', 0.5), ('.5s', 0.5), ('1.s', 1.0), (' 5 s ', 5.0),
    ('1.5m', 90.0), ('8760h', 31_536_000.0), ('007', 7.0),
])
def test_a_duration_is(text, seconds):
    """A number and a unit, or plain seconds."""
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize('text', [
    '', ' ', 's', 'ms', '.', '.s', '-1', '+1', '-5s', '1e3', '1e3s', 'nan', 'inf',
    '1_0', '5 seconds', '5d', '1h30m', '5 5', '0x10', '1.2.3', '1,5', '٣s', '²', '5S',
    '1' * 19, '1' * 400, 'five',
])
def test_a_duration_is_not(text):
    """Everything else is refused, with what is accepted."""
    with pytest.raises(ValueError, match='write 250ms, 5s, 2m, 1h or plain seconds'):
        duration(text)


@pytest.mark.parametrize('text', ['8761h', '31536001', '9' * 18])
def test_a_duration_ends_with_a_year(text):
    """What is longer than a year is a mistake."""
    with pytest.raises(ValueError, match='longer than a year'):
        duration(text)


@given(st.text())
def test_any_text_is_a_duration_or_refused(text):
    """No text leads to anything but a number of seconds or a ValueError."""
    try:
        seconds = duration(text)
    except ValueError:
        return

    assert 0.0 <= seconds <= 31_536_000.0


@pytest.mark.parametrize(('text', 'number'), [
    ('HUP', 1), ('SIGHUP', 1), ('sighup', 1), ('hup', 1), (' Hup ', 1), ('1', 1),
    ('01', 1), ('SIG1', 1), ('ABRT', 6), ('IOT', 6), ('15', 15),
    ('RTMIN', 34), ('SIGRTMIN', 34), ('RTMAX', 64), ('RTMIN+0', 34), ('RTMIN+3', 37),
    ('sigrtmin+3', 37), ('RTMIN3', 37), ('RTMAX-1', 63), ('RTMIN+30', 64), ('35', 35),
    ('64', 64),
])
def test_a_signal_is(text, number):
    """A name with or without SIG, a number, or a real-time signal, in any case."""
    assert signal_number(text, NUMBERS, 34, 64) == number


@pytest.mark.parametrize('text', [
    '', 'SIG', '0', '-1', '32', '33', '65', '1000', '1' * 400, 'FOO', 'SIGSIGHUP',
    'HUP1', 'RTMIN-1', 'RTMAX+1',
    'RTMIN+31', 'RTMIN+', 'ABCDE-3', 'RTMIN++3', 'RTMIN+x', 'RTMAX-31',
    'RTMIN+0003', 'RTMIN+000000000003', 'RTMIN+٣', '٣', '1.0', 'RTMIN+1+1', 'ｈｕｐ',  # noqa: RUF001
])
def test_a_signal_is_not(text):
    """What is no signal of this machine is refused, with what is accepted."""
    with pytest.raises(ValueError, match=r'is not a signal here; write .*RTMIN\+3'):
        signal_number(text, NUMBERS, 34, 64)


def test_the_numbers_are_the_machines():
    """USR1 is 10 on most machines, and 16 on MIPS, where RTMAX is 127."""
    assert signal_number('USR1', MIPS, 34, 127) == 16
    assert signal_number('RTMAX', MIPS, 34, 127) == 127
    with pytest.raises(ValueError, match='not a signal here'):
        signal_number('TERM', MIPS, 34, 127)


@given(st.text())
def test_any_text_is_a_signal_or_refused(text):
    """No text leads to anything but a signal of the machine or a ValueError."""
    try:
        number = signal_number(text, NUMBERS, 34, 64)
    except ValueError:
        return

    assert number in NUMBERS.values() or 34 <= number <= 64


@pytest.mark.parametrize(('number', 'name'), [
    (1, 'SIGHUP'), (6, 'SIGABRT'), (34, 'SIGRTMIN'), (37, 'SIGRTMIN+3'),
    (64, 'SIGRTMIN+30'), (99, 'signal 99'),
])
def test_a_signal_is_called(number, name):
    """One name for each number, the first of its aliases."""
    assert signal_name(number, NUMBERS, 34, 64) == name


@pytest.mark.parametrize('number', sorted(signal.valid_signals()))
def test_every_name_of_this_machine_is_understood(number):
    """What a signal is called here is read as that signal."""
    numbers = {each.name: int(each) for each in signal.Signals}

    name = signal_name(number, numbers, signal.SIGRTMIN, signal.SIGRTMAX)

    found = signal_number(name, numbers, signal.SIGRTMIN, signal.SIGRTMAX)
    assert found == number


@pytest.mark.parametrize(('text', 'size'), [
    ('1', 1), ('1000', 1000), ('64k', 65536), ('64 KiB', 65536), ('512M', 512 << 20),
    ('4GiB', 4 << 30), ('4gb', 4 << 30), (' 2T ', 2 << 40), ('1b', 1), ('7E', 7 << 60),
])
def test_a_size_has_a_binary_unit(text: str, size: int) -> None:
    """As the tools of coreutils take it."""
    assert values.size(text) == size


@pytest.mark.parametrize('text', [
    '', '0', '0k', '-1', '1.5G', 'G', '4X', '4GG', '\u0664', '1' * 19, 'KiB', '4ik',
])
def test_what_is_no_size_is_refused(text: str) -> None:
    """With what is accepted."""
    with pytest.raises(ValueError, match='is not a size; write 4GiB, 512M, 64k or'):
        values.size(text)


@pytest.mark.parametrize(('text', 'operator'), [
    *((f'echo s3cret {each} x', each) for each in values.OPERATORS),
    ('echo s3cret; x', ';'), ('nginx -t &', '&'), ("sudo sh -c 'a' > b", '>'),
])
def test_operator_of_a_shell_is_refused(text, operator):
    """It would be an argument, and the command might succeed without what follows."""
    with pytest.raises(ValueError, match='would be an argument') as error:
        values.command(text)

    assert str(error.value).startswith(f'{operator} would')
    assert 's3cret' not in str(error.value)


@pytest.mark.parametrize(('text', 'arguments'), [
    ("sh -c 'a && b; c' ;", ('sh', '-c', 'a && b; c', ';')),
    ("test a '>' b", ('test', 'a', '>', 'b')),
    ('expr 2 "|" 3', ('expr', '2', '|', '3')),
    (r'find . -exec ls {} \;', ('find', '.', '-exec', 'ls', '{}', ';')),
    ("echo 'a|b' a;b x& a=>b", ('echo', 'a|b', 'a;b', 'x&', 'a=>b')),
    (r"echo don\'t '&&'", ('echo', "don't", '&&')),
])
def test_quoted_operator_is_an_argument(text, arguments):
    """It is meant as one, and so are the arguments of a shell."""
    assert values.command(text) == arguments
