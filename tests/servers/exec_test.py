"""Unbound, notified by a command: unbound-control reload."""
from __future__ import annotations

import shlex

from tests.servers.conftest import Place
from tests.servers.harness import Files, Sidecar, Site, needed, until
from tests.servers.kinds import UNBOUND, unbound


def controlled(site: Site, answer: str) -> Files:
    """Return a configuration of an Unbound that listens to unbound-control."""
    (name, text), = unbound(site, answer).items()
    return {name: text.replace('control-enable: no', f"""\
control-enable: yes
    control-interface: "{site.root}/control"
""")}


CONTROLLED = UNBOUND._replace(files=controlled)


def sidecar(site: Site, *args: str) -> Sidecar:
    """Start a sidecar that runs unbound-control; return it after its baseline."""
    program = needed('unbound-control', 'unbound')
    it = Sidecar([
        '--log-format', 'json', '-v', '--interval', '200ms', '--settle', '100ms',
        *args, '--exec', shlex.join([
            program, '-c', f'{site.conf}/unbound.conf', 'reload',
        ]), site.conf,
    ], None)
    site.stack.callback(it.end)
    return it


def test_each_swap_is_delivered_once(place: Place) -> None:
    """At the start, because it is not known what it runs with; then once for each swap.
    """
    site = place(CONTROLLED)
    server = site.server()
    it = sidecar(site)
    it.event('delivered')

    for answer in 'one', 'two':
        site.swap(answer)
        it.event('delivered')
        site.gives(answer)

    it.polls()
    assert it.count('delivered') == 3
    until(lambda: server.reloads() >= 3, 'the log of the last reload')
    assert server.reloads() == 3
    assert not server.ended()


def test_what_its_checker_refuses_is_held(place: Place) -> None:
    """Nothing is run; what is fixed is delivered once."""
    site = place(CONTROLLED)
    server = site.server()
    it = sidecar(
        site, '--on-start', 'never', '--validate', shlex.join(site.kind.validate(site)),
    )

    site.spoil()
    assert it.event('held')['reason'] == 'validation failed'
    it.polls()
    assert it.count('delivered') == 0
    site.swap('mended')
    it.event('delivered')

    site.gives('mended')
    it.polls()
    assert (it.count('delivered'), server.reloads()) == (1, 1)


def test_it_is_tried_again_until_it_is_there(place: Place) -> None:
    """What the command says of it is in the log, and it is delivered once it answers.
    """
    site = place(CONTROLLED)
    it = sidecar(site, '--on-start', 'never')
    site.swap('changed')
    failed = it.event('failed')

    server = site.server()
    it.event('delivered')

    assert failed['reason'] == 'exec'
    assert '(exit status 1): ' in failed['message']
    assert site.ask() == 'changed'
    it.polls()
    assert server.reloads() == 1


def test_what_it_refuses_never_reaches_the_server(place: Place) -> None:
    """It reads the configuration itself, and says what is wrong with it."""
    site = place(CONTROLLED)
    server = site.server()
    it = sidecar(site, '--on-start', 'never')

    site.spoil()
    failed = it.event('failed')
    it.polls()

    assert f'{site.conf}/unbound.conf:1: error: ' in failed['message']
    assert site.ask() == 'start'
    assert server.reloads() == 0
    site.swap('mended')
    it.event('delivered')
    site.gives('mended')
