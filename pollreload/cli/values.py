"""What a word of a person means, for every option; ValueError says what is accepted."""
from __future__ import annotations

import re
from collections.abc import Mapping

from pollreload.settings import Signal

LONGEST = 2000  # letters of a URL
GROUPS = 100  # of a regular expression; more may be more than Python's stack holds


def interval(text: str) -> float:
    """Return --interval in seconds."""
    seconds = duration(text)
    if seconds < 0.01:
        raise ValueError(f'{text!r} is too short to poll at; use 10ms or more')
    return seconds


def process_name(text: str) -> str:
    """Return --process: a name, as in /proc/PID/comm, and no path."""
    if not text or {*'/\n\0'} & {*text}:
        raise ValueError(
            f'{text!r} is not a process name; write it as `ps -o comm` shows it, '
            f'without a path',
        )
    return text


def regex(text: str) -> str:
    """Return --cmdline, once it compiles."""
    import warnings
    try:
        if text.count('(') > GROUPS:
            raise OverflowError(f'it has more than {GROUPS} groups')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            re.compile(text)
    except (re.error, OverflowError) as error:
        # OverflowError also from Python, of a{99999999999}.
        raise ValueError(f'{text!r} is not a regular expression: {error}') from error
    return text


def uid(text: str) -> int:
    """Return the number of a user, given by number or by name."""
    import pwd
    if text.isascii() and text.isdigit():
        if len(text) < 100 and int(text) < 2**32 - 1:
            return int(text)
        raise ValueError(f'{text} is no uid; it goes up to {2**32 - 2}')
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        # ValueError: it has a NUL in it.
        raise ValueError(f'{text!r} is no user here; write a uid or a name') from None


def command(text: str) -> tuple[str, ...]:
    """Return a command split as a shell splits it."""
    import shlex
    if '\0' in text:
        raise ValueError(f'{text!r} has a NUL in it, which no program can be given')
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f'{text!r} cannot be split into words: {error}') from error
    if not words or not words[0]:
        raise ValueError('is empty; write a command and its arguments')
    return words


def path(text: str) -> str:
    """Return a path that the kernel can take."""
    if not text or '\0' in text:
        raise ValueError('a path may not be empty')
    return text


def url(text: str) -> str:
    """Return --url. What is wrong with it is said without it: it may be a secret."""
    from urllib.parse import urlsplit
    if not (text.isascii() and text.isprintable()) or ' ' in text:
        raise ValueError('holds what a URL cannot; write it as %XX')
    if len(text) > LONGEST:
        raise ValueError(f'is longer than {LONGEST} letters')
    place = re.split('[/?#]', text.partition('://')[2])[0].rpartition('@')[2]
    if place.count(':') > 1 and not place.startswith('['):
        raise ValueError('has an IPv6 address without brackets; write [::1]')
    if place.startswith('[') and not re.fullmatch(r'\[[^]]*\](:[0-9]*)?', place):
        raise ValueError('has no port from 1 to 65535, or no address in []')
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError('has no port from 1 to 65535, or no address in []') from None
    if parts.scheme not in ('http', 'https') or '://' not in text:
        known = f'{parts.scheme}:// is not spoken' if '://' in text else 'has no scheme'
        raise ValueError(f'{known}; write http://HOST[:PORT]/PATH, or https')
    if not parts.hostname or port == 0:
        raise ValueError('names no host, or port 0')
    if '@' in text.partition('://')[2].removeprefix(parts.netloc):
        raise ValueError('has an @ behind its host; write %40')
    if parts.fragment or text.endswith('#'):
        raise ValueError('has a #, which is never sent; leave out what follows it')
    if parts.scheme == 'https':
        try:
            import ssl  # noqa: F401
        except ImportError:
            raise ValueError(
                'is https, for which this Python has no OpenSSL; use http, or --exec',
            ) from None
    return text


def method(text: str) -> str:
    """Return --url-method."""
    if not (text.isascii() and text.isalpha() and len(text) < 32):
        raise ValueError(f'{text!r} is not a method; write POST, PUT or GET')
    return text.upper()


def statuses(text: str) -> tuple[tuple[int, int], ...]:
    """Return --url-status: '2xx', '200,204', '200-299'."""
    found = []
    for word in text.lower().replace(' ', '').split(','):
        first, _, last = word.replace('x', '0').partition('-')
        last = last or word.replace('x', '9')
        whole = re.fullmatch('[1-5](xx|[0-9]{2})|[1-5][0-9]{2}-[1-5][0-9]{2}', word)
        if not whole or first > last:
            raise ValueError(f'{word!r} is not a status; write 2xx, 204 or 200-299')
        found.append((int(first), int(last)))
    return tuple(found)


def watch_name(text: str) -> str:
    """Return the name of a watch, which a log shows."""
    if not re.fullmatch(r'[A-Za-z0-9][\w.@:-]{0,63}', text, re.ASCII):
        raise ValueError(
            f'{text!r} is not a name; write letters, digits, and . _ - @ : in between',
        )
    return text


def choice(text: str, choices: tuple[str, ...]) -> str:
    """Return a word that is one of several."""
    if text not in choices:
        raise ValueError(f'{text!r} is none of {", ".join(choices)}')
    return text


def plain(value: str | float) -> str:
    """Return a number of a file as a person would write it; text as it is."""
    if not isinstance(value, float):
        try:
            return str(value)
        except ValueError:
            # sys.set_int_max_str_digits: in base 16 TOML takes any number.
            raise ValueError('is a number of too many digits') from None
    text = repr(value)
    # Far from 1 it is no number that a person would write: it is refused as it is.
    return f'{value:.12f}' if 'e-' in text else text


def address(text: str) -> tuple[str, int]:
    """Return --listen: a host, '' for all addresses of this one, and a port.

    What is wrong with it is said without it: it may be a URL with a secret.
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
        raise ValueError('has no name or address of a host')
    return host, int(port)


# In the order in which they are tried: 'ms' ends with 's'.
SECONDS = {'ms': 0.001, 's': 1.0, 'm': 60.0, 'h': 3600.0, '': 1.0}


def duration(text: str) -> float:
    """Return the seconds that '250ms', '5s', '2m', '1h' or '5' means.

    Raises ValueError with what is accepted.
    """
    word = text.strip()
    unit = next(unit for unit in SECONDS if word.endswith(unit))
    number = word.removesuffix(unit).rstrip()
    digits = number.replace('.', '', 1)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise ValueError(
            f'{text!r} is not a duration; write 250ms, 5s, 2m, 1h or plain seconds',
        )
    seconds = float(number) * SECONDS[unit]
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
    """Return whether text is a small number, perhaps with a minus."""
    digits = step.removeprefix('-')
    return digits.isascii() and digits.isdigit() and len(digits) < 4


def signal_name(number: int, numbers: Mapping[str, int], first: int, last: int) -> str:
    """Return 'SIGHUP' for 1, 'SIGRTMIN+3' for the third after SIGRTMIN."""
    if first <= number <= last:
        return f'SIGRTMIN+{number - first}' if number > first else 'SIGRTMIN'
    names = sorted(name for name, value in numbers.items() if value == number)
    return names[0] if names else f'signal {number}'
