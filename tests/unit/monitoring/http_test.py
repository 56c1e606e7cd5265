"""The HTTP server, on real sockets: clients that ask rightly, wrongly and slowly."""
from __future__ import annotations

import contextlib
import errno
import http.client
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import NoReturn

import pytest

from pollreload.cli import values
from pollreload.core import change
from pollreload.core.state import State
from pollreload.errors import UsageError
from pollreload.monitoring import http as http_module
from pollreload.monitoring.metrics import Metrics
from pollreload.monitoring.record import Record
from pollreload.settings import Settings
from pollreload.system import procfs
from tests.servers.harness import free_port, missing, until
from tests.support.probe import PATHS, Answer, ask
from tests.support.targets import DEADLINE

READY = State(version=change.Memory(state='current'))


class Served:
    """A server on a port of the loopback, and the records that it shows."""

    def __init__(self) -> None:
        self.records = [record('web')]
        self.port = free_port()
        self.metrics = Metrics(lambda: self.records, lambda: None)
        self.listener = http_module.bound('127.0.0.1', self.port, '--listen')
        self.server = http_module.Server(self.listener, self.metrics)
        self.over = False
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        """Serve until the end of the test."""
        while not self.over:
            self.server.step()

    def ask(
            self, path: str, method: str = 'GET', **headers: str,
    ) -> Answer:
        """Return the answer to a request."""
        return ask(self.port, path, method, **headers)

    def call(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(('127.0.0.1', self.port), DEADLINE)

    def send(self, request: bytes) -> bytes:
        """Return all that is answered to some bytes, b'' if nothing is."""
        with self.call() as caller:
            caller.sendall(request)
            with contextlib.suppress(ConnectionResetError):
                return b''.join(iter(lambda: caller.recv(65536), b''))
            return b''

    def answers(self) -> bool:
        """Return whether a probe succeeds."""
        try:
            return self.ask('/healthz').status == 200
        except (OSError, http.client.HTTPException):
            return False

    def full(self) -> bool:
        """Return whether there are as many clients as there can be."""
        return len(self.server.clients) == http_module.MOST

    def end(self) -> None:
        """Stop the server, and wait until its thread has ended."""
        self.over = True
        with contextlib.suppress(OSError):
            self.call().close()  # wakes it
        self.thread.join(DEADLINE)
        for number in [*self.server.clients]:
            self.server.drop(number)
        self.listener.close()


def record(name: str, **settings: float) -> Record:
    """Return the record of a watch that has its baseline and polled right now."""
    it = Record(Settings(name=name, **settings))  # type: ignore[arg-type]
    it.after(READY)
    return it


@pytest.fixture
def served() -> Iterator[Served]:
    """A server, which ends with the test."""
    it = Served()
    yield it
    it.end()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client has a quarter of a second."""
    monkeypatch.setattr(http_module, 'PATIENCE', 0.25)


# Who asks


@pytest.mark.parametrize('accept', [
    '', '*/*', 'application/openmetrics-text;version=1.0.0', 'text/plain;version=x',
    ';;;', 'é',
])
def test_metrics_are_text_of_their_length(served: Served, accept: str) -> None:
    """Whatever format a client prefers: every scraper reads this one."""
    got = served.ask('/metrics', Accept=accept)

    assert got.status == 200
    assert got.headers['Content-Type'] == 'text/plain; version=0.0.4; charset=utf-8'
    assert got.headers['Content-Length'] == str(len(got.body.encode()))
    assert 'pollreload_look_age_seconds{watch="web"}' in got.body


def test_a_fault_is_answered_as_one(
        served: Served, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
) -> None:
    """By 500, in a line that Prometheus shows; the next one is answered again."""
    def records() -> list[Record]:
        raise RuntimeError('a secret of ours')

    monkeypatch.setattr(served.metrics, 'records', records)
    got = served.ask('/metrics')
    alive = served.answers()
    monkeypatch.undo()

    line, = got.body.splitlines()
    assert got.status == 500
    assert 'please report it' in line
    assert 'secret' not in line
    assert not alive
    assert served.answers()
    assert capfd.readouterr().err == ''


def test_healthy_as_long_as_looks_end(
        served: Served, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """503 where one of the watches is late, and a line for each of them."""
    late = record('cache', interval=60.0)
    late.ended = served.records[0].ended
    served.records.append(late)
    good = served.ask('/healthz')
    monkeypatch.setattr(procfs, 'now', lambda: served.records[0].ended + 16.0)
    bad = served.ask('/healthz')

    assert good.status == 200
    assert bad.status == 503
    assert bad.body.splitlines() == [
        'web: last look 16.0 s ago', 'cache: last look 16.0 s ago',
    ]


def test_ready_once_every_watch_has_its_baseline(served: Served) -> None:
    """503 until then."""
    late = record('cache')
    late.state = State()
    served.records.append(late)
    before = served.ask('/readyz')
    late.after(READY)
    after = served.ask('/readyz')

    assert before == (503, before.headers, 'web: baseline taken\ncache: no baseline\n')
    assert (after.status, after.body.count('baseline taken')) == (200, 2)


def test_a_name_of_any_bytes_is_no_fault(served: Served) -> None:
    """A line is a line."""
    served.records = [record('b\udcff')]

    got = served.ask('/healthz')

    assert got.status == 200
    assert got.body.startswith('b\\udcff: ')


@pytest.mark.parametrize('path', PATHS)
def test_head_is_an_answer_without_its_body(served: Served, path: str) -> None:
    """With the length that it would have."""
    got, whole = served.ask(path, 'HEAD'), served.ask(path)

    assert got.status == whole.status == 200
    assert got.body == ''
    assert int(got.headers['Content-Length']) >= len(whole.body) // 2
    assert got.headers['Content-Type'] == whole.headers['Content-Type']


@pytest.mark.parametrize('path', ['/healthz?verbose', '/metrics?name[]=x&a=b'])
def test_a_query_is_passed_over(served: Served, path: str) -> None:
    """As some probes have one."""
    assert served.ask(path).status == 200


@pytest.mark.parametrize('path', [
    '/', '/metric', '/metrics/', '/metrics/../healthz', '/healthz%00', '//metrics/x',
    'metrics', '*', '/etc/passwd', '/../../etc/passwd', '/%2e%2e/etc/passwd',
])
def test_anything_else_is_404(served: Served, path: str) -> None:
    """And says what there is."""
    got = served.ask(path)

    assert got.status == 404
    assert got.body == 'there are /metrics, /healthz and /readyz\n'


@pytest.mark.parametrize('method', ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'X'])
def test_any_other_method_is_refused(served: Served, method: str) -> None:
    """Nothing can be changed here."""
    assert served.ask('/metrics', method).status == 501


def test_neither_version_nor_machine_are_told_in_a_header(served: Served) -> None:
    """What runs is in /metrics, for who may scrape."""
    got = served.ask('/healthz')

    assert got.headers['Server'].strip() == 'pollreload'
    assert {*got.headers} == {
        'Server', 'Date', 'Content-Type', 'Content-Length', 'Connection',
    }


# Who does not ask rightly

GARBAGE = {
    'nothing': b'',
    'a line end': b'\r\n\r\n',
    'zeros': b'\0' * 1000 + b'\r\n\r\n',
    'TLS': bytes.fromhex('160301020001fc0303') + os.urandom(500) + b'\r\n\r\n',
    'one word': b'GET\r\n\r\n',
    'four words': b'GET /healthz HTTP/1.0 more\r\n\r\n',
    'no version': b'GET /healthz HTTP/x.y\r\n\r\n',
    'a late version': b'GET /healthz HTTP/2.0\r\n\r\n',
    'no HTTP': b'SSH-2.0-OpenSSH_9.2\r\n\r\n',
    'a long line': b'GET /' + b'a' * 70_000 + b' HTTP/1.0\r\n\r\n',
    'a long header': b'GET / HTTP/1.0\r\nA: ' + b'a' * 70_000 + b'\r\n\r\n',
    'many headers': b'GET / HTTP/1.0\r\n' + b'A: b\r\n' * 200 + b'\r\n',
    'no header': b'GET /healthz HTTP/1.0\r\nnonsense\r\n\r\n',
    'no text': b'GET /\xff\xfe HTTP/1.0\r\n\xff: \xfe\r\n\r\n',
    'half a request': b'GET /healthz HTTP/1.1\r\nHost: a',
}


@pytest.mark.usefixtures('impatient')
@pytest.mark.parametrize('words', GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused_or_hung_up_on(
        served: Served, words: bytes, capfd: pytest.CaptureFixture[str],
) -> None:
    """Without a word on stderr, and the next is answered."""
    got = served.send(words)

    assert got[:10] in (b'', b'HTTP/1.1 4', b'HTTP/1.1 5') or b'web' in got, got
    assert b'Traceback' not in got
    assert served.answers()
    assert capfd.readouterr().err == ''


def test_what_was_asked_is_no_markup(served: Served) -> None:
    """Who is lured into asking runs no script of another."""
    for words in (b'<script>a()</script> / HTTP/1.0', b'GET /<script>a()</script>'):
        _, _, body = served.send(words + b'\r\n\r\n').partition(b'\r\n\r\n')

        assert b'<script>' not in body


def test_old_http_is_answered(served: Served) -> None:
    """HTTP/0.9 has no headers, HTTP/1.1 without Host is let pass."""
    assert served.send(b'GET /healthz\r\n\r\n').startswith(b'web: ')
    assert b' 200 ' in served.send(b'GET /healthz HTTP/1.1\r\n\r\n')


def test_one_connection_is_one_request(served: Served) -> None:
    """Whoever wants to keep it is hung up on, and so keeps no place."""
    words = b'GET /healthz HTTP/1.1\r\nConnection: keep-alive\r\n\r\n'

    assert served.send(words * 2).count(b'HTTP/') == 1


# Who is slow


def test_a_client_that_hangs_up_is_no_event(
        served: Served, capfd: pytest.CaptureFixture[str],
) -> None:
    """Before it has asked, in the middle of it, and before it has read."""
    served.records = [record(f'watch-{number}') for number in range(500)]
    for words in (b'', b'GET /met', b'GET /metrics HTTP/1.0\r\n\r\n'):
        caller = served.call()
        # An RST, by which the other side cannot even read on.
        caller.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0',
        )
        caller.sendall(words)
        caller.close()

    assert served.answers()
    until(lambda: not served.server.clients, 'all clients have gone')
    assert capfd.readouterr().err == ''


@pytest.mark.usefixtures('impatient')
def test_who_says_nothing_is_hung_up_on(served: Served) -> None:
    """And gives its place to another."""
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(served.call()) for _ in range(http_module.MOST)]
        until(served.full, 'all places are taken')

        until(served.answers, 'a probe is answered')

        assert [caller.recv(1) for caller in callers] == [b''] * http_module.MOST


@pytest.mark.usefixtures('impatient')
def test_who_sends_a_byte_now_and_then_is_hung_up_on(served: Served) -> None:
    """However short the time between them: it is all of a request that has to come."""
    over = threading.Event()

    def trickle(caller: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not over.wait(0.02):
                caller.sendall(b'a')

    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(served.call()) for _ in range(http_module.MOST)]
        for caller in callers:
            caller.sendall(b'GET /')
        until(served.full, 'all places are taken')
        senders = [
            threading.Thread(target=trickle, args=(each,)) for each in callers
        ]
        for each in senders:
            each.start()
        try:
            until(served.answers, 'a probe is answered')
        finally:
            over.set()
            for each in senders:
                each.join()


@pytest.mark.usefixtures('impatient')
def test_who_does_not_read_is_hung_up_on(served: Served) -> None:
    """Though it has asked rightly."""
    served.records = [record(f'watch-{number}') for number in range(3000)]
    with contextlib.closing(socket.socket()) as caller:
        # The rest of the answer fits into nothing that the kernel keeps for us.
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.connect(('127.0.0.1', served.port))
        caller.sendall(b'GET /metrics HTTP/1.0\r\n\r\n')
        until(lambda: bool(served.server.clients), 'the client is accepted')
        until(lambda: not served.server.clients, 'the client is dropped')


def test_who_comes_when_all_places_are_taken_is_hung_up_on(served: Served) -> None:
    """At once, and the others are not disturbed."""
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(served.call()) for _ in range(http_module.MOST)]
        until(served.full, 'all places are taken')

        late = served.send(b'GET /healthz HTTP/1.0\r\n\r\n')

        for caller in callers:
            caller.sendall(b'GET /readyz HTTP/1.0\r\n\r\n')
            assert b' 200 ' in caller.recv(4096)
    assert late == b''
    until(served.answers, 'a probe is answered')


def test_many_at_once_are_all_answered(served: Served) -> None:
    """As many as there are places, each its own answer."""
    gate = threading.Barrier(http_module.MOST)
    got: list[int] = []

    def ask(path: str) -> None:
        gate.wait(DEADLINE)
        got.append(served.ask(path).status)

    paths = itertools.islice(itertools.cycle(PATHS), http_module.MOST)
    askers = [threading.Thread(target=ask, args=(path,)) for path in paths]
    for each in askers:
        each.start()
    for each in askers:
        each.join()

    assert got == [200] * http_module.MOST


def test_answer_to_a_client_that_has_shut_down_its_sending_side(
        served: Served,
) -> None:
    """As `printf ... | nc` does."""
    with served.call() as caller:
        caller.sendall(b'GET /healthz HTTP/1.0\r\n\r\n')
        caller.shutdown(socket.SHUT_WR)

        assert b' 200 ' in caller.recv(4096)


def test_answer_survives_what_a_client_sends_after_its_request(served: Served) -> None:
    """To close the connection at once would reset it, and the answer might be lost."""
    with served.call() as caller:
        caller.sendall(b'POST /metrics HTTP/1.1\r\n\r\n')
        caller.sendall(b'a' * 1000)
        got = caller.recv(4096)
        caller.sendall(b'a' * 1000)

        assert got.startswith(b'HTTP/1.1 501 ')
        assert b''.join(iter(lambda: caller.recv(4096), b'')).count(b'HTTP') == 0


def test_a_client_without_data_is_waited_for(served: Served) -> None:
    """poll(2) may report data that is not there when it is read (select(2))."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = http_module.Server(ours, served.metrics)
        server.clients[theirs.fileno()] = http_module.Client(theirs)

        server.serve_client(theirs.fileno())

        assert [*server.clients] == [theirs.fileno()]


def test_without_a_thread_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may have reached its limit of threads."""
    def start(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(http_module, '_thread', SimpleNamespace(start_new_thread=start))
    with http_module.bound('127.0.0.1', free_port(), '--listen') as listener:
        server = http_module.Server(listener, Metrics(list, lambda: None))
        with pytest.raises(UsageError, match="can't start new thread"):
            server.start()


def test_one_step_follows_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread of the server only ends with the process."""
    steps: list[str] = []

    def step() -> None:
        steps.append('step')
        if len(steps) == 3:
            raise SystemExit  # what ends a process ends the thread

    with http_module.bound('127.0.0.1', free_port(), '--listen') as listener:
        server = http_module.Server(listener, Metrics(list, lambda: None))
        monkeypatch.setattr(server, 'step', step)
        with pytest.raises(SystemExit):
            server.serve()

    assert len(steps) == 3


# Where it listens


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
    with http_module.bound(*values.address(f'{host}:{port}'), '--listen'):
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
    """Where the kernel was started without."""
    monkeypatch.setattr(socket, 'has_dualstack_ipv6', lambda: False)
    with listening('') as port:
        assert reached('127.0.0.1', port)
        assert reached('127.0.0.2', port)


def test_an_address_with_its_zone() -> None:
    """One of a link says of which: without that it is not one of ours."""
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
    """Return what is said of a port that somebody has."""
    with socket.create_server(('', port)):
        return refused('', port)


def refused(host: str, port: int) -> str:
    """Return why it cannot be listened at a host and port."""
    with pytest.raises(UsageError) as caught:
        http_module.bound(host, port, '--listen')
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
    (errno.EMFILE, [http_module.PAUSE]), (errno.ENFILE, [http_module.PAUSE]),
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
    with http_module.bound('127.0.0.1', free_port(), '--listen') as bound:
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
