"""Prometheus and Unbound, as several tests run them."""
from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable

from tests.servers.harness import (
    DEADLINE,
    PAUSE,
    Files,
    Kind,
    Site,
)
from tests.servers.load import get

TIMEOUT = 0.5  # s until an answer counts as lost, and is asked for again
TXT, PTR = 16, 12  # RFC 1035, 3.2.2


def patient(ask: Callable[[Site], str]) -> Callable[[Site], str]:
    """Return a function that asks again while there is no answer.

    A server may close its port while it reloads, and datagrams can be lost.
    Raises OSError at the deadline.
    """
    def asked(site: Site) -> str:
        end = time.monotonic() + DEADLINE
        while True:
            try:
                return ask(site)
            except OSError:
                if time.monotonic() >= end:
                    raise
            time.sleep(PAUSE)

    return asked


def resolved(port: int, name: str, kind: int) -> str:
    """Return the first string or label of the first answer to a question by UDP.

    RFC 1035, 4.1: the answer follows the question; its name is a pointer to that of the
    question (2 bytes), and 10 more come before its data, which begins with a length for
    TXT as for a name. Raises OSError if there is no answer.
    """
    labels = b''.join(bytes([len(each)]) + each.encode() for each in name.split('.'))
    # An id, recursion desired, one question; its type, and the class IN.
    question = (
        bytes.fromhex('2a2a 0100 0001 0000 0000 0000')
        + labels + bytes([0, 0, kind, 0, 1])
    )
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT)
        client.connect(('127.0.0.1', port))
        client.send(question)
        answer = client.recv(4096)
    if answer[6:8] == b'\0\0':
        raise OSError(f'no answer for {name}: code {answer[3] & 15}')
    string = answer[len(question) + 12:]
    return string[1:1 + string[0]].decode()


def prometheus(site: Site, answer: str) -> Files:
    """Return a configuration of Prometheus with the answer in a label."""
    return {'prometheus.yml': f"""\
global:
  external_labels:
    answer: {answer}
"""}


def label(site: Site) -> str:
    """Return the label of the configuration that Prometheus runs with."""
    said = json.loads(get(site.port, '/api/v1/status/config'))['data']['yaml']
    found = re.search('answer: (.*)', said)
    assert found, said
    return found[1]


PROMETHEUS = Kind(
    program='prometheus', package='prometheus', signal='HUP', files=prometheus,
    broken=lambda site: {'prometheus.yml': 'global: [\n'},
    command=lambda site: [
        f'--config.file={site.conf}/prometheus.yml',
        f'--storage.tsdb.path={site.root}/tsdb',
        f'--web.listen-address=127.0.0.1:{site.port}',
    ],
    validate=lambda site: [
        'promtool', 'check', 'config', f'{site.conf}/prometheus.yml',
    ],
    ask=label,
    # It logs the same when it starts, before it is ready.
    reload=r'Loading configuration file(?![^\0]*Server is ready)',
)


def unbound(site: Site, answer: str) -> Files:
    """Return a configuration of Unbound with a name that has the answer."""
    return {'unbound.conf': f"""\
server:
    interface: 127.0.0.1
    port: {site.port}
    username: ""
    chroot: ""
    directory: "{site.root}"
    pidfile: "{site.pidfile}"
    use-syslog: no
    logfile: ""
    do-daemonize: no
    local-zone: "answer.test." static
    local-data: 'answer.test. TXT "{answer}"'
remote-control:
    control-enable: no
"""}


UNBOUND = Kind(
    program='unbound', package='unbound', signal='HUP', files=unbound,
    broken=lambda site: {'unbound.conf': 'no-such-option: 1\n'},
    command=lambda site: ['-d', '-c', f'{site.conf}/unbound.conf'],
    validate=lambda site: ['unbound-checkconf', f'{site.conf}/unbound.conf'],
    ask=patient(lambda site: resolved(site.port, 'answer.test', TXT)),
    reload='Restart of unbound',
)
