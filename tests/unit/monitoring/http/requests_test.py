"""Good and bad requests to the HTTP server of a watch."""
from __future__ import annotations

import os

import pytest

from pollreload.core.state import State
from pollreload.monitoring.record import Record
from pollreload.system import procfs
from tests.support.http_server import READY, Served, record
from tests.support.probe import PATHS


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
        raise RuntimeError('a secret')

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
    """503 if one of the watches is late, and a line for each of them."""
    late = record('cache', interval=60.0)
    late.ended = served.records[0].ended
    served.records.append(late)
    good = served.ask('/healthz')
    monkeypatch.setattr(procfs, 'now', lambda: served.records[0].ended + 16.0)
    bad = served.ask('/healthz')

    assert good.status == 200
    assert bad.status == 503
    assert bad.body.splitlines() == [
        'web: last poll 16.0 s ago', 'cache: last poll 16.0 s ago',
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


def test_neither_version_nor_machine_are_shown_in_a_header(served: Served) -> None:
    """What runs is in /metrics, for anyone who may scrape."""
    got = served.ask('/healthz')

    assert got.headers['Server'].strip() == 'pollreload'
    assert {*got.headers} == {
        'Server', 'Date', 'Content-Type', 'Content-Length', 'Connection',
    }


GARBAGE = {
    'nothing': b'',
    'a line end': b'\r\n\r\n',
    'zeros': b'\0' * 1000 + b'\r\n\r\n',
    'TLS': bytes.fromhex('160301020001fc0303') + os.urandom(500) + b'\r\n\r\n',
    'one field': b'GET\r\n\r\n',
    'four fields': b'GET /healthz HTTP/1.0 more\r\n\r\n',
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
@pytest.mark.parametrize('args', GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused_or_hung_up_on(
        served: Served, args: bytes, capfd: pytest.CaptureFixture[str],
) -> None:
    """Without a line on stderr, and the next is answered."""
    got = served.send(args)

    assert got[:10] in (b'', b'HTTP/1.1 4', b'HTTP/1.1 5') or b'web' in got, got
    assert b'Traceback' not in got
    assert served.answers()
    assert capfd.readouterr().err == ''


def test_what_was_asked_is_no_markup(served: Served) -> None:
    """Who is lured into asking runs no script of another."""
    for args in (b'<script>a()</script> / HTTP/1.0', b'GET /<script>a()</script>'):
        _, _, body = served.send(args + b'\r\n\r\n').partition(b'\r\n\r\n')

        assert b'<script>' not in body


def test_old_http_is_answered(served: Served) -> None:
    """HTTP/0.9 has no headers, HTTP/1.1 without Host is let pass."""
    assert served.send(b'GET /healthz\r\n\r\n').startswith(b'web: ')
    assert b' 200 ' in served.send(b'GET /healthz HTTP/1.1\r\n\r\n')


def test_one_connection_is_one_request(served: Served) -> None:
    """Whoever wants to keep it is hung up on, and so keeps no place."""
    args = b'GET /healthz HTTP/1.1\r\nConnection: keep-alive\r\n\r\n'

    assert served.send(args * 2).count(b'HTTP/') == 1
