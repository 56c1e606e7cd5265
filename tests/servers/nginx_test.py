"""nginx, which reloads on HUP and keeps its workers if it cannot."""
from __future__ import annotations

from contextlib import closing

import pytest

from tests.servers import points
from tests.servers.conftest import Place
from tests.servers.harness import As, Site
from tests.servers.load import Kept, get
from tests.servers.nginx import NGINX


@pytest.fixture
def site(place: Place) -> Site:
    """Return a place for nginx."""
    return place(NGINX)


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


def test_what_nginx_refuses_is_not_verified(site: Site) -> None:
    """nginx keeps its workers if it refuses, and --verify-workers sees that."""
    points.not_verified(site)


def test_validation_holds_what_nginx_refuses(site: Site) -> None:
    """What nginx -t refuses is held; once fixed it is delivered once."""
    points.held_while_invalid(site)


def test_a_refused_reload_is_delivered_and_no_more(site: Site) -> None:
    """Without --verify a signal that nginx took is delivered, not verified."""
    points.kept_by_the_server(site)


def test_started_after_the_sidecar(site: Site) -> None:
    """A change waits for nginx to be there, and is delivered once."""
    points.started_later(site)


def test_restarted_during_a_change(site: Site) -> None:
    """A process that takes the place of a nginx that ended is notified once."""
    points.restarted_meanwhile(site)


def test_stopped_during_a_change(site: Site) -> None:
    """A stopped master is not notified twice."""
    points.stopped_meanwhile(site)


def test_two_beside_each_other(site: Site, place: Place) -> None:
    """Two masters hold the signal; --pidfile and --cmdline distinguish them."""
    points.beside_another(site, place(NGINX, site))


@pytest.mark.parametrize(('server', 'sidecar', 'event'), points.PERMISSIONS)
def test_permission(
        site: Site, user: As, server: str, sidecar: str, event: str,
) -> None:
    """The sidecar needs the uid of nginx's first process, or CAP_KILL, and no more."""
    assert points.permission(site, user, server, sidecar) == event


def test_check_from_cron(site: Site) -> None:
    """A line of a crontab reloads nginx, and says nothing when nothing is due."""
    points.from_cron(site)


def test_check_from_a_timer(site: Site) -> None:
    """A timer's service reloads nginx, and two at a time do not notify it twice."""
    points.from_timer(site)
