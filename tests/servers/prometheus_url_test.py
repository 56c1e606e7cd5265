"""Prometheus, notified by a request: POST /-/reload, which answers what came of it."""
from __future__ import annotations

import re
import shlex

import pytest

from tests.servers.conftest import Place
from tests.servers.harness import Server, Sidecar, Site, needed, until
from tests.servers.kinds import PROMETHEUS
from tests.servers.load import get

LIFECYCLE = PROMETHEUS._replace(
    command=lambda site: [*PROMETHEUS.command(site), '--web.enable-lifecycle'],
)


def url(site: Site) -> str:
    """Return the place where Prometheus is asked to reload."""
    return f'http://127.0.0.1:{site.port}/-/reload'


def sidecar(site: Site, *args: str) -> Sidecar:
    """Start a sidecar that asks and signals no process; return it after its baseline.
    """
    it = Sidecar([
        '--log-format', 'json', '-v', '--interval', '200ms', '--settle', '100ms',
        *args, '--url', url(site), site.conf,
    ], None)
    site.stack.callback(it.end)
    return it


def asked(it: Sidecar) -> int:
    """Return how often an answer was a success, as far as was read."""
    return sum(
        each['event'] == 'delivered' and each['url'].endswith('/-/reload')
        for each in it.events
    )


def reloaded(site: Site) -> bool:
    """Return whether the last reload was good, by Prometheus's own statement."""
    said = get(site.port, '/metrics')
    found = re.search(
        r'^prometheus_config_last_reload_successful (\d)$', said, re.MULTILINE,
    )
    assert found, said
    return found[1] == '1'


def tries(server: Server) -> int:
    """Return how often Prometheus has read its configuration since it was ready."""
    return server.reloads()


def test_each_swap_is_asked_for_once(place: Place) -> None:
    """At the start, because it is not known what it runs with; then once for each swap.
    """
    site = place(LIFECYCLE)
    server = site.server()
    it = sidecar(site)
    assert it.event('delivered')['message'] == (
        f'POST {url(site)} answered 200; reload not verified'
    )

    for count, answer in enumerate(('one', 'two'), 2):
        site.swap(answer)
        it.event('delivered')
        # It answers when it has reloaded, and not before.
        assert site.ask() == answer
        assert reloaded(site)
        assert asked(it) == count

    it.polls()
    assert asked(it) == 3
    until(lambda: tries(server) >= 3, 'the log of the last reload')
    assert tries(server) == 3
    assert it.count('failed') == it.count('held') == 0, str(it)


def test_what_it_refuses_is_said_in_its_own_output_and_asked_again(
        place: Place,
) -> None:
    """500 and why, again and again; what is fixed is asked for once."""
    site = place(LIFECYCLE)
    server = site.server()
    it = sidecar(site)
    it.event('delivered')

    site.spoil()
    failed = it.event('failed')
    until(lambda: tries(server) >= 3, 'another try')

    assert failed['message'].startswith(
        f'POST {url(site)} answered 500: failed to reload config: ',
    )
    assert 'prometheus.yml' in failed['message']
    assert (failed['reason'], failed['url']) == ('url', url(site))
    assert site.ask() == 'start'
    assert not reloaded(site)
    assert asked(it) == 1
    assert it.count('failed') == 1, str(it)

    site.swap('mended')
    it.event('delivered')
    assert site.ask() == 'mended'
    assert reloaded(site)
    it.polls()
    assert asked(it) == 2


def test_what_promtool_refuses_is_never_asked_for(place: Place) -> None:
    """--validate holds it, and Prometheus has no failed reload to report."""
    site = place(LIFECYCLE)
    server = site.server()
    it = sidecar(site, '--validate', shlex.join(site.kind.validate(site)))
    it.event('delivered')

    site.spoil()
    held = it.event('held')
    it.polls()
    assert held['reason'] == 'validation failed'
    assert reloaded(site)
    assert tries(server) == 1

    site.swap('mended')
    it.event('delivered')
    assert site.ask() == 'mended'
    it.polls()
    assert (asked(it), tries(server)) == (2, 2)


def test_its_metric_verifies_it(place: Place) -> None:
    """--verify comes after the answer, without a pid."""
    needed('curl', 'curl')
    site = place(LIFECYCLE)
    site.server()
    metric = 'prometheus_config_last_reload_successful 1'
    asks = f'curl -fsS http://127.0.0.1:{site.port}/metrics | grep -qx "{metric}"'
    it = sidecar(site, '--verify', shlex.join(['sh', '-c', asks]))
    it.event('verified')

    site.swap('changed')

    assert it.event('verified')['message'] == f'reloaded after POST {url(site)}'
    assert site.ask() == 'changed'


@pytest.mark.parametrize(('method', 'status'), [('PUT', 200), ('GET', 405)])
def test_put_will_do_and_get_will_not(
        method: str, status: int, place: Place,
) -> None:
    """405 is a failure as any other that it answers."""
    site = place(LIFECYCLE)
    site.server()
    it = sidecar(site, '--url-method', method, '--on-start', 'never')

    site.swap('changed')

    told = it.event('delivered', 'failed')
    assert told['message'].startswith(f'{method} {url(site)} answered {status}')
    assert site.ask() == ('changed' if status == 200 else 'start')


def test_one_that_should_not_be_asked_says_so(place: Place) -> None:
    """Without --web.enable-lifecycle: 403, and what to do about it."""
    site = place(PROMETHEUS)
    site.server()
    it = sidecar(site)

    failed = it.event('failed')

    assert failed['message'] == (
        f'POST {url(site)} answered 403: Lifecycle API is not enabled.'
    )


def test_one_that_is_not_there_yet_is_asked_when_it_is(place: Place) -> None:
    """Started later, it is asked once, with what it has read already."""
    site = place(LIFECYCLE)
    it = sidecar(site)
    failed = it.event('failed')
    server = site.server()
    it.event('delivered')

    assert failed['message'] == f'POST {url(site)} failed: connection refused'
    it.polls()
    assert (asked(it), tries(server)) == (1, 1)
