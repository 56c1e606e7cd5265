"""HAProxy in master-worker mode, which reloads on USR2, or keeps the workers it has.

The master executes itself again at each reload: its pid, its start time and its name
stay.
"""
from __future__ import annotations

import pwd
from contextlib import closing

import pytest

from tests.servers import points
from tests.servers.conftest import Place
from tests.servers.harness import As, Files, Kind, Site
from tests.servers.load import Kept, get


def files(site: Site, answer: str) -> Files:
    """Return a configuration that makes HAProxy give an answer."""
    return {'haproxy.cfg': f"""\
global
    log stderr format raw local0 notice
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend site
    bind 127.0.0.1:{site.port}
    http-request return status 200 content-type text/plain string "{answer}"
"""}


def broken(site: Site) -> Files:
    """Return a configuration that HAProxy refuses."""
    good = files(site, 'broken')
    return {'haproxy.cfg': good['haproxy.cfg'] + '    no-such-keyword on\n'}


HAPROXY = Kind(
    program='haproxy', package='haproxy', signal='USR2', files=files, broken=broken,
    command=lambda site: [
        '-W', '-db', '-p', site.pidfile, '-f', f'{site.conf}/haproxy.cfg',
    ],
    validate=lambda site: [site.program, '-c', '-f', f'{site.conf}/haproxy.cfg'],
    ask=lambda site: get(site.port), reload='Reloading HAProxy',
)
# One process, which is not made for reloads.
ALONE = HAPROXY._replace(
    command=lambda site: ['-db', '-f', f'{site.conf}/haproxy.cfg'],
)


@pytest.fixture
def site(place: Place) -> Site:
    """Return a place for HAProxy."""
    return place(HAPROXY)


@pytest.fixture
def own(user: As) -> As:
    """Return the user that Debian gives to HAProxy."""
    entry = pwd.getpwnam('haproxy')
    return As(entry.pw_uid, entry.pw_gid)


def test_five_swaps_lose_no_request(site: Site) -> None:
    """Each swap is delivered once and served, and no client sees a failure.

    Not even those that keep their connections, though each reload ends the
    workers that hold them.
    """
    def fresh() -> str:
        return get(site.port)

    with closing(Kept(site.port)) as one, closing(Kept(site.port)) as two:
        failures = points.five_swaps(site, fresh, fresh, one, two)

    assert failures == []
    assert one.reopened
    assert two.reopened


def test_what_haproxy_refuses_is_not_verified(site: Site) -> None:
    """The master waits with its old workers if it refuses, and that is seen."""
    points.not_verified(site)


def test_validation_holds_what_haproxy_refuses(site: Site) -> None:
    """What haproxy -c refuses is held; once fixed it is delivered once."""
    points.held_while_invalid(site)


def test_a_refused_reload_is_delivered_and_no_more(site: Site) -> None:
    """Without --verify a signal that HAProxy took is delivered, not verified."""
    points.kept_by_the_server(site)


def test_without_a_master_usr2_is_held(place: Place) -> None:
    """Started without -W, HAProxy ignores USR2."""
    site = place(ALONE)
    server = site.server()
    sidecar = site.sidecar()

    site.swap('changed')
    held = sidecar.event('held')
    sidecar.polls()

    assert held['reason'] == 'no handler'
    assert f'(pid {server.pid}) ignores SIGUSR2' in held['message']
    assert sidecar.told() == 0


def test_without_a_master_hup_reloads_nothing(place: Place) -> None:
    """Started without -W, HAProxy logs its state on HUP: --verify-workers sees it."""
    site = place(ALONE._replace(signal='HUP'))
    site.server()
    sidecar = site.sidecar('--verify-workers', '--command-timeout', '300ms')

    site.swap('changed')
    sidecar.event('delivered')
    failed = sidecar.event('failed')

    assert failed['reason'] == 'not verified'
    assert site.ask() == 'start'


def test_a_master_reloads_on_hup_too(place: Place) -> None:
    """The default of --signal does for a master."""
    site = place(HAPROXY._replace(signal='HUP'))
    server = site.server()
    sidecar = site.sidecar('--verify-workers')

    site.swap('changed')

    assert sidecar.event('verified')['target_pid'] == server.pid
    assert site.ask() == 'changed'


def test_started_after_the_sidecar(site: Site) -> None:
    """A change waits for HAProxy to be there, and is delivered once."""
    points.started_later(site)


def test_restarted_during_a_change(site: Site) -> None:
    """A process that takes the place of an HAProxy that ended is notified once."""
    points.restarted_meanwhile(site)


def test_stopped_during_a_change(site: Site) -> None:
    """A stopped master is not notified twice."""
    points.stopped_meanwhile(site)


def test_two_beside_each_other(site: Site, place: Place) -> None:
    """Two masters hold the signal; --pidfile and --cmdline distinguish them."""
    points.beside_another(site, place(HAPROXY, site))


@pytest.mark.parametrize(('server', 'sidecar', 'event'), points.PERMISSIONS)
def test_permission(
        site: Site, own: As, server: str, sidecar: str, event: str,
) -> None:
    """The sidecar needs the uid of HAProxy's master, or CAP_KILL, and no more."""
    assert points.permission(site, own, server, sidecar) == event


def test_check_from_cron(site: Site) -> None:
    """A line of a crontab reloads HAProxy, and says nothing when nothing is due."""
    points.from_cron(site)


def test_check_from_a_timer(site: Site) -> None:
    """A timer's service reloads HAProxy, and two at a time do not notify it twice."""
    points.from_timer(site)
