"""gunicorn, which reloads on HUP and ends if it cannot.

Its configuration is Python, and so is what it serves: conf holds both. The
process is called gunicorn, after the script that starts it.
"""
from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from pollreload.system import process_table
from tests.servers import points
from tests.servers.conftest import Place
from tests.servers.harness import As, Files, Kind, Site, missing, swap, until
from tests.servers.load import Kept, get

APP = """\
import os

def app(environ, start_response):
    answer = os.environ['ANSWER'].encode()
    start_response('200 OK', [('Content-Length', str(len(answer)))])
    return [answer]
"""
# What setproctitle does to the name of a process: prctl(PR_SET_NAME), which is
# cut to 15 bytes as this is (proc(5)).
TITLE = """\
def getproctitle():
    return ''

def setproctitle(title):
    with open('/proc/self/comm', 'w') as file:
        file.write(title)
"""
# Ours may be in the home of root. gunicorn, without a compiled part, suits any.
PYTHONS = os.path.realpath(sys.executable), '/usr/bin/python3'


def files(site: Site, answer: str) -> Files:
    """Return a configuration that makes gunicorn give an answer."""
    return {'app.py': APP, 'gunicorn.conf.py': f"""\
bind = '127.0.0.1:{site.port}'
chdir = '{site.conf}'
pidfile = '{site.pidfile}'
workers = 2
wsgi_app = 'app:app'
raw_env = ['ANSWER={answer}']
control_socket_disable = True  # it would be in the home of who runs the tests
"""}


def threaded(site: Site, answer: str) -> Files:
    """Return the same with workers that keep connections, as sync ones do not."""
    good = files(site, answer)['gunicorn.conf.py']
    return {'app.py': APP, 'gunicorn.conf.py': f"""\
{good}
worker_class = 'gthread'
threads = 4
"""}


def broken(site: Site) -> Files:
    """Return a configuration that gunicorn refuses."""
    return {'app.py': APP, 'gunicorn.conf.py': 'workers = (\n'}


def broken_app(site: Site) -> Files:
    """Return a configuration that is fine, and an application that is not."""
    return {**files(site, 'broken'), 'app.py': 'def app(:\n'}


def command(site: Site) -> list[str]:
    """Return the arguments of gunicorn in the foreground, as it always is."""
    return ['-c', f'{site.conf}/gunicorn.conf.py']


GUNICORN = Kind(
    program='gunicorn', package='gunicorn', signal='HUP', files=files,
    broken=broken, command=command,
    validate=lambda site: [site.program, '--check-config', *command(site)],
    ask=lambda site: get(site.port), reload='Hang up: Master',
)
THREADED = GUNICORN._replace(files=threaded)


@pytest.fixture(autouse=True)
def venv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the gunicorn of this Python first, and let it compile no configuration."""
    here = os.path.dirname(sys.executable)
    monkeypatch.setenv('PATH', f'{here}:{os.environ["PATH"]}')
    monkeypatch.setenv('PYTHONDONTWRITEBYTECODE', '1')


@pytest.fixture
def site(place: Place) -> Site:
    """Return a place for gunicorn."""
    return place(GUNICORN)


def can_run(user: As, python: str) -> bool:
    """Return whether a user can run a Python, with the modules gunicorn needs."""
    try:
        subprocess.run(
            [python, '-I', '-c', 'import ssl'], cwd='/', check=True,
            capture_output=True, user=user.uid, group=user.gid, extra_groups=[],
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def within_reach(site: Site, user: As) -> None:
    """Put gunicorn where its own user can go, which the venv may not be.

    Skips the test if that user can run no Python.
    """
    python = next(filter(lambda path: can_run(user, path), PYTHONS), None)
    if python is None:
        missing(f'{" and ".join(PYTHONS)} are where not everyone can go')
    for name in 'gunicorn', 'packaging':
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            missing(f'{name} is not in this Python: pip install gunicorn')
        shutil.copytree(
            spec.submodule_search_locations[0], f'{site.root}/lib/{name}',
            ignore=shutil.ignore_patterns('__pycache__'),
        )
    subprocess.run(['chmod', '-R', 'a+rX', f'{site.root}/lib'], check=True)
    os.unlink(site.program)
    with open(site.program, 'w', encoding='utf-8') as script:
        script.write(
            f'#!{python}\nimport sys\nsys.path.insert(0, {site.root + "/lib"!r})\n'
            'from gunicorn.app.wsgiapp import run\nrun()\n',
        )
    os.chmod(site.program, 0o755)


@pytest.mark.parametrize('kind', [GUNICORN, THREADED], ids=['sync', 'gthread'])
def test_five_swaps_lose_no_request(place: Place, kind: Kind) -> None:
    """Each swap is delivered once and served, and no client sees a failure.

    Not even those that keep their connections, if the workers keep them.
    """
    site = place(kind)

    def fresh() -> str:
        return get(site.port)

    with closing(Kept(site.port)) as one, closing(Kept(site.port)) as two:
        failures = points.five_swaps(site, fresh, fresh, one, two)

    assert failures == []


def test_validation_holds_what_gunicorn_refuses(site: Site) -> None:
    """What gunicorn --check-config refuses is held; once fixed it is delivered once."""
    points.held_while_invalid(site)


def test_validation_also_loads_the_application(place: Place) -> None:
    """--check-config refuses an application that cannot be loaded, too."""
    points.held_while_invalid(place(GUNICORN._replace(broken=broken_app)))


def test_gunicorn_ends_on_what_it_refuses(site: Site) -> None:
    """Its workers outlive gunicorn for a while, and a HUP would end them: held."""
    server = site.server()
    for worker in process_table.candidates(site.name):
        if worker != server.pid:
            os.kill(worker, signal.SIGSTOP)  # for as long as it takes here
    sidecar = site.sidecar(survive='5s')

    site.spoil()
    sidecar.signalled(server)
    failed = sidecar.event('failed')
    held = sidecar.event('held')
    sidecar.polls()
    assert (failed['reason'], failed['target_pid']) == ('died', server.pid)
    assert held['reason'] == 'ambiguous'
    assert sidecar.told() == 1

    server.end()
    site.swap('mended')
    again = site.server()
    assert sidecar.event('delivered')['target_pid'] == again.pid
    sidecar.polls()
    assert sidecar.told(again.pid) == 1, str(sidecar)
    assert sidecar.told() == 2
    assert site.ask() == 'mended'


def test_gunicorn_ends_of_an_application_that_cannot_be_loaded(place: Place) -> None:
    """No new worker comes up, so it ends with the old ones, and that is said."""
    points.died_of_it(place(GUNICORN._replace(broken=broken_app)))


def test_a_worker_is_not_notified(site: Site) -> None:
    """A worker has put HUP back to its default, which ends it: held."""
    server = site.server()
    sidecar = site.sidecar('--select', 'newest')

    site.swap('changed')
    held = sidecar.event('held')
    sidecar.polls()

    assert held['reason'] == 'no handler'
    assert f'(pid {server.pid})' not in held['message']
    assert sidecar.told() == 0


def test_a_compiled_configuration_may_be_stale(
        site: Site, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python takes what it compiled for a file of the same size and second.

    That is gunicorn's own doing, and even new workers prove nothing against it.
    """
    monkeypatch.setenv('PYTHONDONTWRITEBYTECODE', '')
    monkeypatch.setenv('PYTHONPYCACHEPREFIX', f'{site.root}/compiled')

    def dated(answer: str) -> None:
        swap(site.conf, files(site, answer))
        os.utime(f'{site.conf}/gunicorn.conf.py', (1e9, 1e9))

    dated('one')
    site.server()
    sidecar = site.sidecar('--verify-workers')

    dated('two')
    sidecar.event('verified')

    assert site.ask() == 'one'


def test_with_setproctitle_it_has_another_name(
        site: Site, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With that module the name is 'gunicorn: maste'; 'held' says so."""
    with open(f'{site.root}/setproctitle.py', 'w', encoding='ascii') as module:
        module.write(TITLE)
    monkeypatch.setenv('PYTHONPATH', site.root)
    server = site.server()
    with open(f'/proc/{server.pid}/comm', encoding='ascii') as comm:
        assert comm.read() == 'gunicorn: maste\n'
    # A worker has the name of the program until it has set its title.
    until(
        lambda: not process_table.matches('gunicorn', site.root, None, True),
        'no process of it has that name',
    )
    by_script = site.sidecar()
    site.name = 'gunicorn'
    # Another gunicorn may run on this machine.
    by_program = site.sidecar('--cmdline', site.root)
    site.name = 'gunicorn: maste'
    by_title = site.sidecar('--cmdline', site.root)

    site.swap('changed')
    assert by_script.event('held')['reason'] == 'no target'
    held = by_program.event('held')
    assert held['reason'] == 'no target'
    assert "'gunicorn: maste'" in held['message']
    assert by_title.event('delivered')['target_pid'] == server.pid

    site.gives('changed')
    assert by_script.told() == by_program.told() == 0


def test_started_after_the_sidecar(site: Site) -> None:
    """A change waits for gunicorn to be there, and is delivered once."""
    points.started_later(site)


def test_restarted_during_a_change(site: Site) -> None:
    """A process that takes the place of a gunicorn that ended is notified once."""
    points.restarted_meanwhile(site)


def test_stopped_during_a_change(site: Site) -> None:
    """A stopped master is not notified twice."""
    points.stopped_meanwhile(site)


def test_two_beside_each_other(site: Site, place: Place) -> None:
    """Two masters hold the signal; --pidfile and --cmdline distinguish them."""
    points.beside_another(site, place(GUNICORN, site))


@pytest.mark.parametrize(('server', 'sidecar', 'event'), points.PERMISSIONS)
def test_permission(
        site: Site, user: As, server: str, sidecar: str, event: str,
) -> None:
    """The sidecar needs the uid of gunicorn's master, or CAP_KILL, and no more."""
    within_reach(site, user)

    assert points.permission(site, user, server, sidecar) == event


def test_check_from_cron(site: Site) -> None:
    """A line of a crontab reloads gunicorn, and says nothing when nothing is due."""
    points.from_cron(site)


def test_check_from_a_timer(site: Site) -> None:
    """A timer's service reloads gunicorn, and two at a time do not notify it twice."""
    points.from_timer(site)
