"""Parse the value of each option; a ValueError says what is accepted.

One module, though a long one, because each that is imported costs every check.
"""
from __future__ import annotations

import re
from collections.abc import Mapping

from pollreload.settings import Signal

LONGEST_URL = 2000  # characters
MOST_GROUPS = 100  # of a regular expression; more can overflow Python's stack


def interval(text: str) -> float:
    """Return --interval in seconds."""
    seconds = duration(text)
    if seconds < 0.01:
        raise ValueError(f'{text!r} is too short to poll at; use 10ms or more')
    return seconds


def pace(text: str) -> float:
    """Return a duration that is longer than 0, in seconds."""
    seconds = duration(text)
    if not seconds:
        raise ValueError(f'{text!r} is not longer than 0; write 30s, 5m or 1h')
    return seconds


def size(text: str) -> int:
    """Return --max-file-size in bytes: of '4GiB', '512M', '64k' or '1000'."""
    written = text.strip().lower()
    digits = written.rstrip('kmgtpeib')
    unit = written[len(digits):].removesuffix('b').removesuffix('i')
    digits = digits.rstrip()
    if not (
            written.isascii() and digits.isdigit() and len(digits) < 19
            and unit in SIZES and int(digits)
    ):
        raise ValueError(
            f'{text!r} is not a size; write 4GiB, 512M, 64k or a number of bytes',
        )
    return int(digits) << 10 * SIZES.index(unit)


def process_name(text: str) -> str:
    """Return --process: a name as in /proc/PID/comm, not a path."""
    if not text or {*'/\n\0'} & {*text}:
        raise ValueError(
            f'{text!r} is not a process name; write it as `ps -o comm` shows it, '
            f'without a path',
        )
    return text


def regex(text: str) -> str:
    """Return --cmdline, a regular expression that compiles."""
    import warnings
    try:
        if text.count('(') > MOST_GROUPS:
            raise OverflowError(f'it has more than {MOST_GROUPS} groups')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            re.compile(text)
    except (re.error, OverflowError) as error:
        # Python itself raises OverflowError for a{99999999999}.
        raise ValueError(f'{text!r} is not a regular expression: {error}') from error
    return text


def uid(text: str) -> int:
    """Return --uid: the number of a user, given by number or by name."""
    import pwd
    if text.isascii() and text.isdigit():
        if len(text) < 100 and int(text) < 2**32 - 1:
            return int(text)
        raise ValueError(f'{text} is not a uid; the largest is {2**32 - 2}')
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        # ValueError: the name contains a NUL.
        raise ValueError(f'there is no user {text!r}; write a uid or a name') from None


# What only a shell understands, as a word by itself.
OPERATORS = ('|', '||', '&&', '&', ';', '>', '>>', '<', '2>', '2>&1', '&>')


def command(text: str) -> tuple[str, ...]:
    """Return the arguments of a command, split as a shell splits them.

    An operator of a shell would be an argument, so the command would not do what was
    meant; in quotes it is meant as one.
    """
    import shlex
    if '\0' in text:
        raise ValueError(f'{text!r} contains a NUL, which no argument can')
    try:
        arguments = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f'{text!r} cannot be split into arguments: {error}') from error
    if not arguments or not arguments[0]:
        raise ValueError('is empty; write a command and its arguments')
    if operator := shell_operator(text):
        raise ValueError(
            f'{operator} would be an argument, because no shell runs the command; '
            f'write "sh -c \'...\'", or quote {operator}'
        )
    return arguments


def shell_operator(text: str) -> str:
    """Return an operator that is not quoted, '' also for the arguments of a shell.

    Only the operator is returned: an argument that ends with one may be a secret.
    """
    import shlex
    try:
        words = shlex.split(text, posix=False)  # with their quotes
    except ValueError:
        return ''  # escaped quotes, which it does not know
    if words[0].endswith('sh'):
        return ''
    for word in words:
        if word in OPERATORS:
            return word
        if word.endswith(';') and not word.endswith('\\;'):
            return ';'
    return ''


def path(text: str) -> str:
    """Return a path: not empty, and without NUL (path_resolution(7))."""
    if not text:
        raise ValueError('a path may not be empty')
    if '\0' in text:
        raise ValueError(f'{text!r} contains a NUL, which no path can')
    return text


def pattern(text: str) -> str:
    """Return --ignore: a pattern for a name, which has no slash."""
    if '/' in text:
        raise ValueError(
            f'{text!r} has a /, and would never match: a pattern is for one name, in '
            f'any directory; write logs or *.log',
        )
    return text


def url(text: str) -> str:
    """Return --url. Errors do not quote it, because it may contain a secret."""
    from urllib.parse import urlsplit
    if not (text.isascii() and text.isprintable()) or ' ' in text:
        raise ValueError('contains a character that a URL cannot; write it as %XX')
    if len(text) > LONGEST_URL:
        raise ValueError(f'is longer than {LONGEST_URL} characters')
    whole = re.split('[/?#]', text.partition('://')[2])[0]
    user, _, authority = whole.rpartition('@')
    if '[' in user or ']' in user:
        raise ValueError('has a [ or ] before its host; write %5B or %5D')
    if authority.count(':') > 1 and not authority.startswith('['):
        raise ValueError('has an IPv6 address without brackets; write [::1]')
    if authority.startswith('[') and not re.fullmatch(
            r'\[[^]]*\](:[0-9]*)?', authority,
    ):
        raise ValueError('has no port from 1 to 65535, or no address in []')
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError('has no port from 1 to 65535, or no address in []') from None
    if parts.scheme not in ('http', 'https') or '://' not in text:
        problem = 'has no scheme'
        if '://' in text:
            problem = f'{parts.scheme}:// is not supported'
        raise ValueError(f'{problem}; write http://HOST[:PORT]/PATH, or https')
    if not parts.hostname or port == 0:
        raise ValueError('names no host, or port 0')
    if '@' in text.partition('://')[2].removeprefix(parts.netloc):
        raise ValueError('has an @ after its host; write %40')
    if parts.fragment or text.endswith('#'):
        raise ValueError('has a #, which is never sent; leave out what follows it')
    if parts.scheme == 'https':
        try:
            import ssl  # noqa: F401
        except ImportError:
            raise ValueError(
                'is https, and this Python has no OpenSSL; use http, --exec, or the '
                'image that is built with TLS=1',
            ) from None
    return text


def url_method(text: str) -> str:
    """Return --url-method."""
    if not (text.isascii() and text.isalpha() and len(text) < 32):
        raise ValueError(f'{text!r} is not a method; write POST, PUT or GET')
    return text.upper()


def statuses(text: str) -> tuple[tuple[int, int], ...]:
    """Return --url-status: '2xx', '200,204', '200-299'."""
    found = []
    for part in text.lower().replace(' ', '').split(','):
        first, _, last = part.replace('x', '0').partition('-')
        last = last or part.replace('x', '9')
        whole = re.fullmatch('[1-5](xx|[0-9]{2})|[1-5][0-9]{2}-[1-5][0-9]{2}', part)
        if not whole or first > last:
            raise ValueError(f'{part!r} is not a status; write 2xx, 204 or 200-299')
        found.append((int(first), int(last)))
    return tuple(found)


def watch_name(text: str) -> str:
    """Return the name of a watch, which the log shows."""
    if not re.fullmatch(r'[A-Za-z0-9][\w.@:-]{0,63}', text, re.ASCII):
        raise ValueError(
            f'{text!r} is not a name; write letters, digits and . _ - @ : in between',
        )
    return text


def choice(text: str, choices: tuple[str, ...]) -> str:
    """Return the value of an option that has several choices."""
    if text not in choices:
        raise ValueError(f'{text!r} is not one of {", ".join(choices)}')
    return text


def as_written(value: str | float) -> str:
    """Return a number from a file as a user would write it; text unchanged."""
    if not isinstance(value, float):
        try:
            return str(value)
        except ValueError:
            # sys.set_int_max_str_digits; hexadecimal TOML numbers have no limit.
            raise ValueError('is a number with too many digits') from None
    text = repr(value)
    # 1e-07 stays as it is, and is refused: no user writes such a duration.
    return f'{value:.12f}' if 'e-' in text else text


def address(text: str) -> tuple[str, int]:
    """Return --listen: a host, '' for all addresses, and a port.

    Errors do not quote it, because it may be a URL with a secret.
    """
    if '://' in text:
        raise ValueError('is a URL; write :9533, or HOST:9533')
    host, colon, port = text.rpartition(':')
    if not colon or text.endswith(']'):
        raise ValueError('has no port; write :9533, HOST:9533 or [::1]:9533')
    if host.startswith('[') and host.endswith(']') and len(host) > 2:
        host = host[1:-1]
    elif ':' in host:
        raise ValueError('has an IPv6 address without brackets; write [::1]:9533')
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError('has no port from 1 to 65535')
    if not (host.isascii() and host.isprintable()) or {*' /[]@'} & {*host}:
        raise ValueError('has no host name or address')
    return host, int(port)


# In this order, because 'ms' ends with 's'.
SIZES = ('', 'k', 'm', 'g', 't', 'p', 'e')
TIME_UNITS = {'ms': 0.001, 's': 1.0, 'm': 60.0, 'h': 3600.0, '': 1.0}


def duration(text: str) -> float:
    """Return the seconds of '250ms', '5s', '2m', '1h' or '5'.

    Raises ValueError with what is accepted.
    """
    written = text.strip()
    unit = next(unit for unit in TIME_UNITS if written.endswith(unit))
    number = written.removesuffix(unit).rstrip()
    digits = number.replace('.', '', 1)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise ValueError(
            f'{text!r} is not a duration; write 250ms, 5s, 2m, 1h or plain seconds',
        )
    seconds = float(number) * TIME_UNITS[unit]
    if seconds > 31_536_000:
        raise ValueError(f'{text!r} is longer than a year')
    return seconds


def signal(text: str, numbers: Mapping[str, int], first: int, last: int) -> Signal:
    """Return --signal; see signal_number for the arguments."""
    number = signal_number(text, numbers, first, last)
    return Signal(number, signal_name(number, numbers, first, last))


def signal_number(text: str, numbers: Mapping[str, int], first: int, last: int) -> int:
    """Return the number of 'HUP', 'sighup', '1' or 'RTMIN+3'.

    numbers: this machine's names, with SIG, to numbers (they differ by
        architecture, signal(7)); first, last: SIGRTMIN and SIGRTMAX.
    Raises ValueError with what is accepted.
    """
    name = text.strip().upper().removeprefix('SIG')
    step = name[5:].removeprefix('+')
    if name.isascii() and name.isdigit() and len(name) < 4:
        number = int(name)
    elif name[:5] in ('RTMIN', 'RTMAX') and real_time(step):
        number = (first if name[:5] == 'RTMIN' else last) + int(step)
        number = number if first <= number <= last else 0
    else:
        number = {'RTMIN': first, 'RTMAX': last}.get(name, numbers.get(f'SIG{name}', 0))
    if not (number in numbers.values() or first <= number <= last):
        raise ValueError(
            f'{text!r} is not a signal here; write a name or number such as '
            f'HUP, SIGHUP, 1 or RTMIN+3',
        )
    return number


def real_time(step: str) -> bool:
    """Return whether text is a small number, with or without a minus."""
    digits = step.removeprefix('-')
    return digits.isascii() and digits.isdigit() and len(digits) < 4


def signal_name(number: int, numbers: Mapping[str, int], first: int, last: int) -> str:
    """Return 'SIGHUP' for 1, 'SIGRTMIN+3' for the third after SIGRTMIN."""
    if first <= number <= last:
        return f'SIGRTMIN+{number - first}' if number > first else 'SIGRTMIN'
    names = sorted(name for name, value in numbers.items() if value == number)
    return names[0] if names else f'signal {number}'
