"""What has to hold for every server, to be called by the test of each.

Each function takes a Site, starts what it needs there, and asserts.
"""
from __future__ import annotations

import os
import time
from collections.abc import Callable

from pollreload.core import feedback
from tests.servers.harness import (
    DEADLINE,
    As,
    Server,
    Site,
    cron,
    timer,
    until,
)
from tests.servers.load import Load

BUSY = 75  # EX_TEMPFAIL: another run holds the ledger
NOBODY = As(65534, 65534)
# Who runs the server, who the sidecar, and what becomes of a signal. The same for every
# server, because it is the kernel's rule (kill(2)): the uids are equal, or the sender
# has CAP_KILL.
PERMISSIONS = (
    ('its own', 'its own', 'delivered'),
    ('its own', 'root', 'delivered'),
    ('its own', 'root without capabilities', 'failed'),
    ('its own', 'nobody', 'failed'),
    ('its own', 'nobody with CAP_KILL', 'delivered'),
    ('root', 'root without capabilities', 'delivered'),
    ('root', 'its own', 'failed'),
)


def five_swaps(site: Site, *clients: Callable[[], str]) -> list[str]:
    """Swap five times under load; return what failed for the clients.

    After each the answer is the new one, the first process is the same, and it was
    notified again, by the sidecar's word and by its own.
    """
    server = site.server()
    sidecar = site.sidecar('--verify-workers')
    with Load(*clients) as load:
        for number in range(1, 6):
            site.swap(f'answer {number}')
            sidecar.event('verified')
            site.gives(f'answer {number}')
            load.more()
            assert not server.ended()
            # Another change soon after the third delivery would look like a feedback
            # loop, and be delivered late.
            quiet = time.monotonic() + (feedback.SOON + 1.0 if number == 3 else 0.0)
            while time.monotonic() < quiet:
                load.more()
        sidecar.polls()
    assert sidecar.told(server.pid) == sidecar.told() == 5
    reloaded(server, 5)
    assert sidecar.count('failed') == 0, str(sidecar)
    return load.failures


def reloaded(server: Server, count: int) -> None:
    """Wait until a server has logged so many reloads, and no more."""
    if server.site.kind.reload:
        until(lambda: server.reloads() >= count, f'the log of reload {count}')
        assert server.reloads() == count


def not_verified(site: Site) -> None:
    """Spoil the configuration of a server that keeps its workers: it is not verified.

    Delivered three times, then no more; and once when it is fixed.
    """
    server = site.server()
    sidecar = site.sidecar('--verify-workers', '--command-timeout', '300ms')
    site.spoil()
    assert sidecar.event('failed')['reason'] == 'not verified'
    while sidecar.event('held')['reason'] != 'limit':
        pass
    sidecar.polls()
    assert sidecar.told() == 3
    assert sidecar.count('verified') == 0
    assert site.ask() == 'start'
    reloaded(server, 3)
    # Another one, which leaves the server its time to start workers.
    sidecar.end()
    sidecar = site.sidecar('--verify-workers')
    site.swap('mended')
    sidecar.event('verified')
    site.gives('mended')
    sidecar.polls()
    assert sidecar.told(server.pid) == sidecar.told() == 1
    reloaded(server, 4)


def held_while_invalid(site: Site) -> None:
    """Spoil the configuration: --validate holds it, and the fixed one is notified once.
    """
    server = site.server()
    sidecar = site.sidecar('--validate', ' '.join(site.kind.validate(site)))
    site.spoil()
    held = sidecar.event('held')
    assert held['reason'] == 'validation failed'
    sidecar.polls()
    assert sidecar.told() == 0
    assert site.ask() == 'start'
    site.swap('mended')
    sidecar.event('delivered')
    site.gives('mended')
    sidecar.polls()
    assert sidecar.told(server.pid) == sidecar.told() == 1
    reloaded(server, 1)


def kept_by_the_server(site: Site) -> None:
    """Spoil it without --validate: a server that keeps the old one was notified, no
    more.

    That is all that can be seen without --verify: it is delivered, and the line says
    that the reload is not verified. The fixed one is notified once.
    """
    server = site.server()
    sidecar = site.sidecar()
    site.spoil()
    assert 'not verified' in sidecar.event('delivered')['message']
    sidecar.polls()
    assert sidecar.told() == 1
    assert site.ask() == 'start'
    site.swap('mended')
    sidecar.event('delivered')
    site.gives('mended')
    sidecar.polls()
    assert sidecar.told(server.pid) == sidecar.told() == 2


def died_of_it(site: Site) -> None:
    """Spoil it without --validate: a server that ends says so, and there is no storm.

    It is started again with what was fixed, and delivered that once at most.
    """
    server = site.server()
    sidecar = site.sidecar(survive='5s')
    site.spoil()
    sidecar.signalled(server)
    failed = sidecar.event('failed')
    assert (failed['reason'], failed['target_pid']) == ('died', server.pid)
    # Its workers may outlive it for a while.
    while sidecar.event('held')['reason'] != 'no target':
        pass
    server.end()
    site.swap('mended')
    again = site.server()
    assert site.ask() == 'mended'
    told = sidecar.event('delivered', 'baseline')
    assert told['target_pid'] == again.pid
    sidecar.polls()
    assert sidecar.told(server.pid) == 1
    assert sidecar.told(again.pid) == (told['event'] == 'delivered')
    assert sidecar.told() <= 2
    assert site.ask() == 'mended'


def started_later(site: Site) -> None:
    """Start it after the sidecar and after a change: held till then, and notified once.

    The server has read the change already; notified all the same, because no one can
    know that of one that started less than 10 s after the change.
    """
    sidecar = site.sidecar()
    site.swap('changed')
    assert sidecar.event('held')['reason'] == 'no target'
    server = site.server()
    assert sidecar.event('delivered')['target_pid'] == server.pid
    sidecar.polls()
    assert sidecar.told() == 1
    assert site.ask() == 'changed'


def restarted_meanwhile(site: Site) -> None:
    """Restart it while a change settles: the new one is notified once, and has it."""
    old = site.server()
    sidecar = site.sidecar()
    site.swap('changed')
    old.end()
    new = site.server()
    told = sidecar.event('delivered')
    while told['target_pid'] != new.pid:
        told = sidecar.event('delivered')
    sidecar.polls()
    assert sidecar.told(new.pid) == 1
    assert sidecar.told(old.pid) <= 1
    assert site.ask() == 'changed'


def stopped_meanwhile(site: Site) -> None:
    """Stop its first process: what is pending is not delivered, nor sent again.

    Once it goes on it takes the one signal, and that is the delivery.
    """
    server = site.server()
    sidecar = site.sidecar()
    server.stop()
    site.swap('changed')
    assert sidecar.event('failed')['reason'] == 'pending'
    sidecar.event('held')
    sidecar.polls()
    assert sidecar.count('delivered') == 0
    server.go_on()
    assert sidecar.event('delivered')['target_pid'] == server.pid
    site.gives('changed')
    sidecar.polls()
    assert sidecar.told() == 1
    reloaded(server, 1)


def beside_another(site: Site, other: Site) -> None:
    """Run two: no process is notified, both are listed, and two options distinguish
    them.
    """
    ours, others = site.server(), other.server()
    sidecar = site.sidecar()
    by_pidfile = site.sidecar('--pidfile', site.pidfile)
    by_cmdline = other.sidecar('--cmdline', other.root)
    site.swap('changed')
    held = sidecar.event('held')
    assert held['reason'] == 'ambiguous'
    assert all(str(pid) in held['message'] for pid in (ours.pid, others.pid))
    assert by_pidfile.event('delivered')['target_pid'] == ours.pid
    site.gives('changed')
    other.swap('changed too')
    assert by_cmdline.event('delivered')['target_pid'] == others.pid
    other.gives('changed too')
    for each in (sidecar, by_pidfile, by_cmdline):
        each.polls()
    assert [each.told() for each in (sidecar, by_pidfile, by_cmdline)] == [0, 1, 1]


def permission(site: Site, user: As, server: str, sidecar: str) -> str:
    """Return 'delivered' or 'failed': whether a sidecar could notify a server.

    user: the server's own;
    server, sidecar: the user of each, as in PERMISSIONS. What is not permitted reaches
        no one, and says who is who.
    """
    who = {
        'its own': user,
        'nobody': NOBODY,
        'nobody with CAP_KILL': NOBODY._replace(capabilities=('kill',)),
        'root': None,
        'root without capabilities': As(0, 0),
    }
    owner = who[server]
    if owner is not None:
        site.own(owner)
    running = site.server(owner)
    watching = site.sidecar(user=who[sidecar])
    site.swap('changed')
    event = watching.event('delivered', 'failed')
    if event['event'] == 'delivered':
        site.gives('changed')
        assert watching.told(running.pid) == 1
    else:
        assert event['reason'] == 'not permitted'
        assert f'uid {owner.uid if owner else 0}) as uid ' in event['message']
        assert watching.told() == 0
        assert site.ask() == 'start'
    return str(event['event'])


def from_cron(site: Site) -> None:
    """Run check as cron does: silent when nothing is due, delivers once what is."""
    site.server()
    args, variables = cron(f'*/5 * * * * {site.check()}')

    def run() -> tuple[int | None, str]:
        # cron sends by mail whatever comes from either.
        child = site.start(args, variables)
        said = ''.join(child.communicate(timeout=DEADLINE))
        return child.returncode, said

    assert run() == (0, '')
    site.swap('by cron')
    status, said = run()
    assert status == 0
    assert 'delivered: ' in said
    site.gives('by cron')
    assert run() == (0, '')


def from_timer(site: Site) -> None:
    """Run check as a timer's service does, twice at a time: the second exits with 75.

    The first is kept busy by a --validate that reads a FIFO.
    """
    server = site.server()
    fifo = f'{site.root}/fifo'
    os.mkfifo(fifo)
    args, variables = timer(f"""\
[Service]
Type=oneshot
ExecStart={site.check('--validate', f'cat {fifo}')}
SuccessExitStatus={BUSY}
""")
    assert site.start(args, variables).wait(DEADLINE) == 0
    site.swap('by timer')
    first = site.start(args, variables)
    # To open it waits for the first one's --validate to read.
    with open(fifo, 'w', encoding='ascii'):
        second = site.start(args, variables)
        _, said = second.communicate(timeout=DEADLINE)
        assert second.returncode == BUSY
        assert 'ledger' in said
    said, _ = first.communicate(timeout=DEADLINE)
    assert first.returncode == 0
    assert said.count('delivered: ') == 1
    site.gives('by timer')
    reloaded(server, 1)
