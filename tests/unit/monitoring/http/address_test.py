"""The address that --listen names."""
from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import NoReturn

import pytest

from pollreload.cli import values
from pollreload.errors import UsageError
from pollreload.monitoring import http as http_module
from pollreload.monitoring.metrics import Metrics
from tests.servers.harness import free_port, missing
from tests.support.http_server import Served
from tests.support.targets import DEADLINE


def reached(host: str, port: int) -> bool:
    """Return whether there is somebody at an address."""
    try:
        socket.create_connection((host, port), DEADLINE).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def listening(host: str) -> Iterator[int]:
    """Give the port of a socket that listens at a host, as --listen would have it."""
    port = free_port()
    with http_module.listening_socket(*values.address(f'{host}:{port}'), '--listen'):
        yield port


def six() -> None:
    """Skip where this machine has no IPv6, not even on its loopback."""
    if not (socket.has_dualstack_ipv6() and os.path.exists('/proc/net/if_inet6')):
        missing('there is no IPv6 here')
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(('::1', 0))
    except OSError as error:
        missing(f'there is no ::1 here: {error.strerror}')


def test_without_a_host_it_is_all_addresses_of_both_kinds() -> None:
    """A kubelet asks at the address of the pod, whichever that is."""
    six()
    with listening('') as port:
        assert reached('127.0.0.1', port)
        assert reached('::1', port)


@pytest.mark.parametrize(('host', 'at', 'elsewhere'), [
    ('127.0.0.1', '127.0.0.1', '127.0.0.2'), ('localhost', 'localhost', '127.0.0.2'),
    ('0.0.0.0', '127.0.0.2', '::1'), ('[::1]', '::1', '127.0.0.1'),
    ('[::]', '::1', '127.0.0.1'),
])
def test_with_a_host_it_is_there_alone(host: str, at: str, elsewhere: str) -> None:
    """A name or an address, of either kind."""
    if ':' in host + elsewhere:
        six()
    with listening(host) as port:
        assert reached(at, port)
        assert not reached(elsewhere, port)


def test_without_ipv6_it_is_all_addresses_there_are(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the kernel was started without."""
    monkeypatch.setattr(socket, 'has_dualstack_ipv6', lambda: False)
    with listening('') as port:
        assert reached('127.0.0.1', port)
        assert reached('127.0.0.2', port)


def test_an_address_with_its_zone() -> None:
    """A link-local address names its interface: without that it is not of this host."""
    six()
    with contextlib.suppress(FileNotFoundError):
        with open('/proc/net/if_inet6', encoding='ascii') as file:
            # Address, interface index, prefix, scope, flags, name; 20: of a link.
            rows = [line.split() for line in file]
        links = [(row[0], row[5]) for row in rows if row[3] == '20']
        for digits, name in links:
            address = ':'.join(digits[at:at + 4] for at in range(0, 32, 4))
            with listening(f'[{address}%{name}]') as port:
                assert reached(f'{address}%{name}', port)
            return
    missing('no interface here has an address of IPv6 of its link')


def taken(port: int) -> str:
    """Return the refusal of a port that is taken."""
    with socket.create_server(('', port)):
        return refused('', port)


def refused(host: str, port: int) -> str:
    """Return why it cannot be listened at a host and port."""
    with pytest.raises(UsageError) as caught:
        http_module.listening_socket(host, port, '--listen')
    assert caught.value.status == 2
    return str(caught.value)


REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    'in use': (lambda: taken(free_port()), 'address already in use'),
    'not ours': (lambda: refused('192.0.2.1', 9533), 'cannot assign requested address'),
    'not ours, IPv6': (
        lambda: refused('2001:db8::1', 9533), 'cannot assign requested address',
    ),
    'no such host': (lambda: refused('nobody.invalid', 9533), ''),
    'no address': (lambda: refused('256.1.1.1', 9533), ''),
    'two dots': (lambda: refused('a..b', 9533), ''),
    'a dot': (lambda: refused('.', 9533), ''),
    'a long label': (lambda: refused('a' * 64, 9533), ''),
}


@pytest.mark.parametrize(('how', 'says'), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_had_is_one_line(how: Callable[[], str], says: str) -> None:
    """With the address, and why."""
    line, = how().splitlines()

    assert line.startswith('--listen ')
    assert line.endswith(says)
    assert 'while attempting' not in line


def test_what_may_not_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port below 1024 is root's, unless a sysctl says otherwise."""
    def denied(*_: object, **__: object) -> socket.socket:
        raise PermissionError(13, 'Permission denied (while attempting to bind)')

    monkeypatch.setattr(socket, 'create_server', denied)

    assert refused('::1', 80) == '--listen [::1]:80: permission denied'


NO_PORT, NO_HOST = 'no port from 1 to 65535', 'no host name'
BRACKETS = 'without brackets'
ADDRESSES: dict[str, tuple[str, int] | str] = {
    ':9533': ('', 9533), '127.0.0.1:1': ('127.0.0.1', 1),
    '[::1]:65535': ('::1', 65535), 'localhost:9533': ('localhost', 9533),
    '[fe80::1%eth0]:80': ('fe80::1%eth0', 80),
    '9533': 'has no port', '': 'has no port', ':': NO_PORT, ':0': NO_PORT,
    ':65536': NO_PORT, ':-1': NO_PORT, ':http': NO_PORT, ':٣': NO_PORT,
    'host:': NO_PORT, '[::1]:': NO_PORT, '::1:9533': BRACKETS, '::1': BRACKETS,
    '[::1]': 'has no port; write', 'http://a:1': 'is a URL; write',
    'a b:1': NO_HOST, 'a/b:1': NO_HOST, 'me@a:1': NO_HOST,
    '[a:1': NO_HOST, 'é:1': NO_HOST, 'a\n:1': NO_HOST, '[]:1': NO_HOST,
}


@pytest.mark.parametrize(('text', 'means'), ADDRESSES.items())
def test_what_an_address_may_be(text: str, means: tuple[str, int] | str) -> None:
    """All else says what is accepted, in one line."""
    if not isinstance(means, str):
        assert values.address(text) == means
        return
    with pytest.raises(ValueError, match=means) as caught:
        values.address(text)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize('text', [
    'me:s3cret@h', 's3cret', 'http://me:s3cret@h:1', 'me:s3cret@h:1', 's3cret::1',
    'h/s3cret:1', '[::1]s3cret',
])
def test_what_is_no_address_is_not_shown(text: str) -> None:
    """It may be a URL, and that have a secret."""
    with pytest.raises(ValueError, match=r'^(has|is) ') as caught:
        values.address(text)
    assert 's3cret' not in str(caught.value)


@pytest.mark.parametrize(('number', 'pauses'), [
    (errno.EMFILE, [http_module.ACCEPT_PAUSE]),
    (errno.ENFILE, [http_module.ACCEPT_PAUSE]),
    (errno.ECONNABORTED, []),
])
def test_without_a_free_descriptor_there_is_a_pause(
        monkeypatch: pytest.MonkeyPatch, number: int, pauses: list[float],
) -> None:
    """The client still waits to be accepted: we would try at full speed."""
    def accept() -> NoReturn:
        raise OSError(number, 'x')

    paused: list[float] = []
    clock = SimpleNamespace(sleep=paused.append, monotonic=time.monotonic)
    monkeypatch.setattr(http_module, 'time', clock)
    with http_module.listening_socket('127.0.0.1', free_port(), '--listen') as bound:
        server = http_module.Server(bound, Metrics(list, lambda: None))
        monkeypatch.setattr(server, 'listener', SimpleNamespace(accept=accept))
        server.accept()

    assert paused == pauses
    assert not server.clients


def test_an_answer_is_sent_in_pieces_to_a_slow_reader(served: Served) -> None:
    """As much as the socket takes; the rest when it takes more."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = http_module.Client(ours)
        client.left = memoryview(bytes(1 << 22))

        assert client.proceed(served.metrics)
        assert client.left


def test_without_a_thread_it_is_a_usage_error(
        served: Served, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the watch begins, in one line."""
    def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr('_thread.start_new_thread', none)

    with socket.socket() as listener, pytest.raises(UsageError, match='new thread'):
        http_module.Server(listener, served.metrics).start()
