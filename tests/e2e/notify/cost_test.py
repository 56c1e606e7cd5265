"""Without --exec and --url nothing of them is loaded."""
from __future__ import annotations

import signal
from collections.abc import Callable

from tests.support import loaded_modules, sidecar, targets
from tests.support.sidecar import unique, write
from tests.support.url_server import Server


def modules(
        conf: str, args: tuple[str, ...], told: Callable[[], object],
) -> set[str]:
    """Return the modules of a watch that has delivered a change."""
    args = sidecar.quick(*args, '--interval', '1h', '--log-format', 'text', conf)
    with loaded_modules.started(*args) as it:
        while ' baseline: ' not in it.read()['message']:
            pass
        write(conf, 'second')
        it.send(signal.SIGHUP)
        while ' delivered: ' not in it.read()['message']:
            pass
        told()
        return loaded_modules.printed(it)


NETWORK = {
    'http', 'http.client', 'urllib', 'urllib.parse', 'ssl', '_ssl', 'socket',
    '_socket', 'email', 'base64', 'pollreload.system.http_request',
}


def test_a_watch_that_only_signals_has_nothing_of_it(conf: str) -> None:
    """Its memory is part of its quality."""
    name = unique()
    with targets.start('handler', name=name) as target:
        found = modules(conf, ('--process', name), target.read)

    assert 'pollreload.commands.watch' in found
    assert found.isdisjoint({*NETWORK, 'pollreload.core.actions'})


def test_a_watch_that_asks_has_a_child_that_knows_how(
        conf: str, server: Server,
) -> None:
    """What speaks HTTP is imported by that child, and ends with it."""
    args = ('--exec', 'true', '--url', server.url('/x'))
    found = modules(conf, args, lambda: server.until(1))

    assert 'pollreload.core.actions' in found
    assert found.isdisjoint(NETWORK)
