"""Prometheus, Unbound, dnsmasq, rsyslog and Squid, which all take HUP, in short.

What they make of it differs: docs/servers.md has a row for each, and names the
tests that show it.
"""
from __future__ import annotations

import json
import os
import re
import shlex
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pollreload.system import process_table
from tests.servers import points
from tests.servers.conftest import Place
from tests.servers.harness import (
    PAUSE,
    Files,
    Kind,
    Site,
    needed,
    swap,
    until,
)
from tests.servers.kinds import (
    PROMETHEUS,
    PTR,
    TIMEOUT,
    UNBOUND,
    patient,
    resolved,
)

ROOT = Path(__file__).parents[2]
ADDRESS = '192.0.2.1'
SHARED = f'pollreload{os.getpid()}x'  # how Squid's shared memory begins


def dnsmasq(site: Site, answer: str) -> Files:
    """Return a configuration of dnsmasq, and hosts in which an address has the name."""
    return {'dnsmasq.conf': f"""\
port={site.port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
addn-hosts={site.conf}/hosts
pid-file={site.pidfile}
user=root
log-facility=-
""", 'hosts': f'{ADDRESS} {answer.replace(" ", "-")}.test\n'}


def hostname(site: Site) -> str:
    """Return the name that the address has."""
    backwards = '.'.join(reversed(ADDRESS.split('.')))
    found = resolved(site.port, f'{backwards}.in-addr.arpa', PTR)
    return found.replace('-', ' ')


DNSMASQ = Kind(
    program='dnsmasq', package='dnsmasq-base', signal='HUP', files=dnsmasq,
    broken=lambda site: {**dnsmasq(site, 'start'), 'dnsmasq.conf': 'no-such-option\n'},
    command=lambda site: ['-k', '-C', f'{site.conf}/dnsmasq.conf'],
    validate=lambda site: [
        site.program, '--test', '-C', f'{site.conf}/dnsmasq.conf',
    ],
    ask=patient(hostname),
    # It logs the same when it starts, but not after itself.
    reload=r'(?<= names\n)dnsmasq\[\d+\]: read \S+/hosts',
)


def rsyslog(site: Site, answer: str) -> Files:
    """Return a configuration of rsyslog, and a table with which it marks its lines."""
    return {'rsyslog.conf': f"""\
global(workDirectory="{site.root}" processInternalMessages="on")
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="{site.port}")
lookup_table(name="answers" file="{site.conf}/answers.json" reloadOnHUP="on")
set $!answer = lookup("answers", "key");
template(name="line" type="string" string="%$!answer%: %rawmsg%\\n")
if $programname == "rsyslogd" then action(type="omfile" file="{site.log}")
else action(type="omfile" file="{site.root}/written" template="line")
""", 'answers.json': json.dumps({
        'version': 1, 'nomatch': '', 'type': 'string',
        'table': [{'index': 'key', 'value': answer}],
    })}


def written(site: Site) -> str:
    """Return how rsyslog marks a message that it is sent.

    Raises OSError if it writes none.
    """
    message = f'<13>{os.urandom(8).hex()}'
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(('127.0.0.1', site.port))
        client.send(message.encode())
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        with open(f'{site.root}/written', encoding='utf-8') as file:
            for line in file:
                if line.endswith(f': {message}\n'):
                    return line.partition(': ')[0]
        time.sleep(PAUSE)
    raise TimeoutError(f'{message} was not written')


RSYSLOG = Kind(
    program='rsyslogd', package='rsyslog', signal='HUP', files=rsyslog,
    broken=lambda site: {**rsyslog(site, 'start'), 'rsyslog.conf': 'no such thing\n'},
    command=lambda site: ['-n', '-i', site.pidfile, '-f', f'{site.conf}/rsyslog.conf'],
    validate=lambda site: [site.program, '-N1', '-f', f'{site.conf}/rsyslog.conf'],
    ask=patient(written), reload='rsyslogd was HUPed',
)


def squid(site: Site, answer: str) -> Files:
    """Return a configuration of Squid with the answer as its own name."""
    return {'squid.conf': f"""\
http_port 127.0.0.1:{site.port}
visible_hostname {answer.replace(' ', '-')}
pid_filename {site.pidfile}
cache_log /dev/null
access_log none
cache_mem 8 MB
max_filedescriptors 256
pinger_enable off
shutdown_lifetime 0 seconds
"""}


def via(site: Site) -> str:
    """Return the name by which Squid goes. Raises OSError."""
    with socket.create_connection(('127.0.0.1', site.port), TIMEOUT) as client:
        client.sendall(b'GET / HTTP/1.0\r\n\r\n')
        with client.makefile('rb') as answer:
            found = re.search(rb'\r\nVia: 1.1 (\S+) ', answer.read())
    if found is None:
        raise OSError('no answer')
    return found[1].decode().replace('-', ' ')


SQUID = Kind(
    program='squid', package='squid', signal='HUP', files=squid,
    broken=lambda site: {'squid.conf': 'http_access allow nobody_knows\n'},
    command=lambda site: [
        '--foreground', '-d1', '-n', f'{SHARED}{site.port}',
        '-f', f'{site.conf}/squid.conf',
    ],
    validate=lambda site: [
        site.program, '-k', 'parse', '-f', f'{site.conf}/squid.conf',
    ],
    ask=patient(via), reload='Reconfiguring Squid Cache',
)

ALL = {
    'prometheus': PROMETHEUS, 'unbound': UNBOUND, 'dnsmasq': DNSMASQ,
    'rsyslog': RSYSLOG, 'squid': SQUID,
}


@pytest.fixture(autouse=True)
def _no_shared_memory() -> Iterator[None]:
    """Remove what a Squid leaves that is killed."""
    yield
    for name in os.listdir('/dev/shm'):
        if name.startswith(SHARED):
            os.unlink(f'/dev/shm/{name}')


@pytest.mark.parametrize('name', ALL)
def test_two_swaps_with_the_defaults(name: str, place: Place) -> None:
    """Each swap is delivered once, to the one that has a handler, and is served."""
    site = place(ALL[name])
    server = site.server()
    sidecar = site.sidecar()

    for answer in 'one', 'two':
        site.swap(answer)
        # Prometheus is a Go program, and its runtime catches every signal.
        disposition = 'runtime' if name == 'prometheus' else 'caught'
        assert sidecar.event('signalled')['disposition'] == disposition
        assert sidecar.event('delivered')['target_pid'] == server.pid
        site.gives(answer)

    sidecar.polls()
    assert sidecar.told(server.pid) == sidecar.told() == 2
    until(lambda: server.reloads() >= 2, 'the log of the second reload')
    assert server.reloads() == 2
    assert not server.ended()


@pytest.mark.parametrize('name', ALL)
def test_validation_holds_what_it_refuses(name: str, place: Place) -> None:
    """What the server's own checker refuses is held; fixed, it is delivered once."""
    points.held_while_invalid(place(ALL[name]))


@pytest.mark.parametrize('name', ALL)
def test_none_starts_a_worker(name: str, place: Place) -> None:
    """--verify-workers is for none of these: it says so, though the reload was good."""
    site = place(ALL[name])
    site.server()
    sidecar = site.sidecar('--verify-workers', '--command-timeout', '300ms')

    site.swap('changed')
    failed = sidecar.event('failed')

    assert failed['reason'] == 'not verified'
    site.gives('changed')


def test_prometheus_keeps_the_old_over_what_it_refuses(place: Place) -> None:
    """Prometheus takes the signal all the same: delivered, and not verified."""
    points.kept_by_the_server(place(PROMETHEUS))


def test_prometheus_says_whether_it_reloaded(place: Place) -> None:
    """--verify by its own metric distinguishes a refused configuration from a good one.
    """
    needed('curl', 'curl')
    site = place(PROMETHEUS)
    site.server()
    metric = 'prometheus_config_last_reload_successful 1'
    asks = f'curl -fsS http://127.0.0.1:{site.port}/metrics | grep -qx "{metric}"'
    verify = '--verify', shlex.join(['sh', '-c', asks])
    sidecar = site.sidecar(*verify, '--command-timeout', '300ms')

    site.spoil()
    assert sidecar.event('failed', 'verified')['reason'] == 'not verified'
    sidecar.end()
    sidecar = site.sidecar(*verify)
    site.swap('mended')
    sidecar.event('verified')

    site.gives('mended')


@pytest.mark.parametrize('name', ['unbound', 'squid'])
def test_ends_on_what_it_refuses(name: str, place: Place) -> None:
    """Without --validate it ends of a broken configuration, and that is said."""
    points.died_of_it(place(ALL[name]))


@pytest.mark.parametrize(('name', 'conf', 'read'), [
    ('dnsmasq', 'dnsmasq.conf', 'hosts'), ('rsyslog', 'rsyslog.conf', 'answers.json'),
])
def test_hup_does_not_read_its_conf(
        name: str, conf: str, read: str, place: Place,
) -> None:
    """A changed .conf is delivered, and takes effect at a restart only.
    """
    site = place(ALL[name])
    server = site.server()
    sidecar = site.sidecar()
    before = site.kind.files(site, 'start')
    after = site.kind.files(site, 'changed')

    swap(site.conf, {
        conf: before[conf].replace(f'{site.conf}/{read}', f'{site.conf}/other'),
        read: before[read], 'other': after[read],
    })

    assert 'not verified' in sidecar.event('delivered')['message']
    until(lambda: server.reloads() == 1, 'the log of the signal')
    assert site.ask() == 'start'
    server.end()
    site.server()
    assert site.ask() == 'changed'


@pytest.mark.parametrize('name', ['dnsmasq', 'rsyslog'])
def test_term_has_it_started_again(name: str, place: Place) -> None:
    """With --signal TERM its end is the delivery, and its successor is not notified."""
    site = place(ALL[name]._replace(signal='TERM'))
    server = site.server()
    sidecar = site.sidecar()

    site.swap('changed')
    assert sidecar.event('delivered')['message'].endswith('which ended')
    assert server.ended()
    server.end()
    site.server()

    sidecar.polls()
    assert sidecar.told() == 1
    assert site.ask() == 'changed'


def test_rsyslog_opens_its_files_again(place: Place) -> None:
    """What HUP is for: a log that was moved away is written on, then begun again."""
    site = place(RSYSLOG)
    site.server()
    sidecar = site.sidecar()
    os.rename(f'{site.root}/written', f'{site.root}/written.1')
    with pytest.raises(FileNotFoundError):
        written(site)

    site.swap('changed')

    sidecar.event('delivered')
    site.gives('changed')


def test_squid_is_two_processes(place: Place) -> None:
    """Its worker has its name; the parent is notified, and closes the port in the
    meantime.
    """
    site = place(SQUID)
    server = site.server()
    pids = process_table.candidates(site.name)
    sidecar = site.sidecar()

    site.swap('changed')

    worker, = (process_table.find(pid) for pid in pids if pid != server.pid)
    assert worker is not None
    assert worker.ppid == server.pid
    assert sidecar.event('signalled')['target_pid'] == server.pid
    site.gives('changed')
    assert 'Closing HTTP' in server.said()


@pytest.mark.parametrize('name', ['dnsmasq', 'unbound'])
def test_two_beside_each_other(name: str, place: Place) -> None:
    """Two of them hold the signal; --pidfile and --cmdline distinguish them."""
    site = place(ALL[name])
    points.beside_another(site, place(ALL[name], site))


def rows() -> list[list[str]]:
    """Return the cells of the rows of the table of servers."""
    lines = (ROOT / 'docs/servers.md').read_text().split('\n## ')[0].splitlines()
    table = [line for line in lines if line.startswith('|')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in table[2:]]


@pytest.mark.parametrize('row', rows(), ids=lambda row: row[0])
def test_each_row_is_backed_by_tests(row: list[str]) -> None:
    """A row of docs/servers.md ends with its tests, which are there."""
    file = re.search(r'\w+_test\.py', row[-1])
    named = re.findall(r'\btest_\w+|-k (\w+)', row[-1])

    assert file, row
    defined = (ROOT / 'tests/servers' / file[0]).read_text()
    assert all(name in defined for name in named), named
