"""Without --exec and --url nothing of them is loaded."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import xxhash

from tests.support import sidecar, targets
from tests.support.sidecar import Sidecar, unique, write
from tests.support.url_server import Server


def modules(
        conf: str, args: tuple[str, ...], told: Callable[[], object],
) -> set[str]:
    """Return the modules of a watch that has delivered a change."""
    # Without site, whose .pth files may import anything.
    packages = os.path.dirname(os.path.dirname(os.path.abspath(xxhash.__file__)))
    program = (
        'import atexit, os, sys\n'
        'say = lambda: os.write(2, " ".join(sys.modules).encode() + b"\\n")\n'
        'atexit.register(say)\n'
        'from pollreload.__main__ import main\n'
        'sys.exit(main())\n'
    )
    args = sidecar.quick(*args, '--interval', '1h', '--log-format', 'text', conf)
    command = (sys.executable, '-S', '-c', program, 'watch', *args)
    env = sidecar.environment({'PYTHONPATH': f'{sidecar.ROOT}:{packages}'}, False)
    with Sidecar(subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ), False) as it:
        while ' baseline: ' not in it.read()['message']:
            pass
        write(conf, 'second')
        it.send(signal.SIGHUP)
        while ' delivered: ' not in it.read()['message']:
            pass
        told()
        it.stop()
    return set(it.seen[-1]['message'].split())


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
