"""examples/config: four programs, each notified of its own files, by one process."""
from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from tests.servers.conftest import Place
from tests.servers.harness import swap, until
from tests.servers.kinds import PROMETHEUS
from tests.servers.nginx import NGINX
from tests.support.several import started
from tests.support.sidecar import write

EXAMPLE = Path(__file__).parents[2] / 'examples/config/pollreload.toml'
LIFECYCLE = PROMETHEUS._replace(
    command=lambda site: [*PROMETHEUS.command(site), '--web.enable-lifecycle'],
)
# In place of systemctl: it notes what it is asked for.
NOTES = '#!/bin/sh\necho "$*" >> {}\n'


def test_each_is_notified_of_its_own(place: Place, open_directory: Path) -> None:
    """nginx by a signal, Prometheus by a request, two programs by commands."""
    nginx, prometheus = place(NGINX), place(LIFECYCLE)
    nginx.server()
    prometheus.server()
    swap(f'{open_directory}/live', {'fullchain.pem': 'first'})
    notes = open_directory / 'notes'
    write(open_directory / 'systemctl', NOTES.format(notes))
    (open_directory / 'systemctl').chmod(0o755)
    text = EXAMPLE.read_text()
    for shown, here in (
            ('"10s"', '"200ms"'), ('"5s"', '"300ms"'),
            ('"/etc/nginx"', f'"{nginx.conf}"'),
            ('process = "nginx"', f'process = "{nginx.name}"'),
            ('nginx -t -q', shlex.join(NGINX.validate(nginx))),
            ('["/etc/prometheus/prometheus.yml", "/etc/prometheus/rules"]',
             f'"{prometheus.conf}"'),
            ('127.0.0.1:9090', f'127.0.0.1:{prometheus.port}'),
            ('/etc/letsencrypt/live/example.org', f'{open_directory}/live'),
            ('/var/lib/pollreload', f'{open_directory}/state'),
    ):
        assert shown in text
        text = text.replace(shown, here)
    assert not re.search('"/(etc|var)/', text)
    write(open_directory / 'w.toml', text)
    # Each has a watch of its own, so either may be first.
    once = ['reload dovecot', 'reload postfix']

    with started(
        f'{open_directory}/w.toml', cwd='/',
        env={'PATH': f'{open_directory}:{os.environ["PATH"]}'},
    ) as it:
        it.until('started')
        # What a server has that cannot be asked is not known.
        it.until('delivered', watch='prometheus')
        until(lambda: notes.exists() and sorted(notes.read_text().splitlines()) == once,
              'both are reloaded')
        nginx.swap('second')
        it.until('verified', watch='nginx')
        nginx.gives('second')
        prometheus.swap('second')
        it.until('delivered', watch='prometheus')
        assert prometheus.ask() == 'second'
        swap(f'{open_directory}/live', {'fullchain.pem': 'second'})
        until(lambda: sorted(notes.read_text().splitlines()) == sorted(once * 2),
              'both are reloaded again')
        until(lambda: all(each.startswith('version current') for each in
                          it.statuses().values()), 'all is done')
        assert it.stop() == 0

    delivered = [each['watch'] for each in it.seen if each['event'] == 'delivered']
    assert {name: delivered.count(name) for name in delivered} == {
        'nginx': 1, 'prometheus': 2, 'postfix': 2, 'dovecot': 2,
    }
    assert not it.count('failed')
    assert sorted(os.listdir(open_directory / 'state')) == sorted(
        f'{name}.ledger{end}' for name in ('dovecot', 'nginx', 'postfix', 'prometheus')
        for end in ('', '.lock')
    )
