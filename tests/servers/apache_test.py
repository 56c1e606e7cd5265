"""Apache httpd, which reloads on USR1 and ends if it cannot."""
from __future__ import annotations

from contextlib import closing

import pytest

from tests.servers import points
from tests.servers.conftest import Place
from tests.servers.harness import As, Files, Kind, Site
from tests.servers.load import Kept, get


def files(site: Site, answer: str) -> Files:
    """Return a configuration that makes Apache give an answer: another file."""
    page = f'{site.root}/{answer}.txt'
    with open(page, 'w', encoding='ascii') as file:
        file.write(answer)
    return {'httpd.conf': f"""\
ServerRoot {site.root}
DefaultRuntimeDir {site.root}
PidFile {site.pidfile}
ErrorLog {site.log}
ServerName localhost
Listen 127.0.0.1:{site.port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
User www-data
Group www-data
StartServers 2
ThreadsPerChild 8
Include {site.conf}/site.conf
""", 'site.conf': f"""\
KeepAlive On
AliasMatch ^ "{page}"
"""}


def broken(site: Site) -> Files:
    """Return a configuration that Apache refuses."""
    return {**files(site, 'broken'), 'site.conf': 'NoSuchDirective on\n'}


APACHE = Kind(
    program='apache2', package='apache2-bin', signal='USR1', files=files,
    broken=broken,
    command=lambda site: ['-DFOREGROUND', '-f', f'{site.conf}/httpd.conf'],
    validate=lambda site: [site.program, '-t', '-f', f'{site.conf}/httpd.conf'],
    ask=lambda site: get(site.port), reload='SIGUSR1 received',
)


@pytest.fixture
def site(place: Place) -> Site:
    """Return a place for Apache."""
    return place(APACHE)


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


def test_validation_holds_what_apache_refuses(site: Site) -> None:
    """What apache2 -t refuses is held; once fixed it is delivered once."""
    points.held_while_invalid(site)


def test_apache_ends_on_what_it_refuses(site: Site) -> None:
    """Without --validate Apache ends of a broken configuration, and that is said."""
    points.died_of_it(site)


def test_started_after_the_sidecar(site: Site) -> None:
    """A change waits for Apache to be there, and is delivered once."""
    points.started_later(site)


def test_restarted_during_a_change(site: Site) -> None:
    """A process that takes the place of an Apache that ended is notified once."""
    points.restarted_meanwhile(site)


def test_stopped_during_a_change(site: Site) -> None:
    """A stopped first process is not notified twice."""
    points.stopped_meanwhile(site)


def test_two_beside_each_other(site: Site, place: Place) -> None:
    """Two of them hold the signal; --pidfile and --cmdline distinguish them."""
    points.beside_another(site, place(APACHE, site))


@pytest.mark.parametrize(('server', 'sidecar', 'event'), points.PERMISSIONS)
def test_permission(
        site: Site, user: As, server: str, sidecar: str, event: str,
) -> None:
    """The sidecar needs the uid of Apache's first process, or CAP_KILL, and no more."""
    assert points.permission(site, user, server, sidecar) == event


def test_check_from_cron(site: Site) -> None:
    """A line of a crontab reloads Apache, and says nothing when nothing is due."""
    points.from_cron(site)


def test_check_from_a_timer(site: Site) -> None:
    """A timer's service reloads Apache, and two at a time do not notify it twice."""
    points.from_timer(site)
