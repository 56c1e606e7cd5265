"""A Prometheus that runs with the job and rules of examples/monitoring."""
from __future__ import annotations

import contextlib
import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.servers.harness import free_port, needed, until

EXAMPLE = Path(__file__).parents[2] / 'examples' / 'monitoring'


class Scraped(NamedTuple):
    """A Prometheus and the pollreload that it scrapes, by their ports."""

    prometheus: int
    pollreload: int

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return all that Prometheus finds; raises HTTPError for what it cannot read.
        """
        args = urllib.parse.urlencode({'query': expression})
        url = f'http://127.0.0.1:{self.prometheus}/api/v1/query?{args}'
        with urllib.request.urlopen(url) as answer:
            found: list[dict[str, Any]] = json.load(answer)['data']['result']
        return found

    def firing(self) -> set[tuple[str, str]]:
        """Return the alerts that fire, each with its watch or ''."""
        found = self.query('ALERTS{alertstate="firing"}')
        return {
            (it['metric']['alertname'], it['metric'].get('watch', '')) for it in found
        }

    def names(self) -> set[str]:
        """Return the names of the metrics that Prometheus has of pollreload."""
        found = self.query('{__name__=~"pollreload_.*"}')
        return {each['metric']['__name__'] for each in found}


@contextlib.contextmanager
def scraping(top: Path, port: int, *found: dict[str, Any]) -> Iterator[Scraped]:
    """Give a Prometheus that has scraped us, at a port.

    top: where its files are.
    found: what the discovery of a cluster has.
    """
    program, theirs = needed('prometheus', 'prometheus'), free_port()
    rules = yaml.safe_load((EXAMPLE / 'prometheus-kubernetes.yaml').read_text())
    rules['global'] = {'scrape_interval': '1s', 'evaluation_interval': '1s'}
    alerts = re.sub(r'for: \d+m', 'for: 0s', (EXAMPLE / 'alerts.yaml').read_text())
    (top / 'alerts.yaml').write_text(alerts)
    (only,) = rules['scrape_configs']
    assert only.pop('kubernetes_sd_configs') == [{'role': 'pod'}]
    only['static_configs'] = [*found]
    (top / 'prometheus.yaml').write_text(yaml.safe_dump(rules))
    server = subprocess.Popen(
        [
            program, f'--config.file={top}/prometheus.yaml',
            f'--storage.tsdb.path={top}/data',
            f'--web.listen-address=127.0.0.1:{theirs}',
        ], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        it = Scraped(theirs, port)
        until(lambda: answers(it), 'Prometheus has scraped')
        yield it
    finally:
        server.terminate()
        server.wait()


def discovered(port: int, pod: str, **more: str) -> dict[str, Any]:
    """Return a target as the discovery of a cluster has it, of our manifest."""
    (manifest,) = (each for each in manifests() if each['kind'] == 'Pod')
    (ours,) = (
        each for each in manifest['spec']['containers'] if '--listen=:9533' in str(each)
    )
    (named,) = ours['ports']
    assert named['containerPort'] == 9533
    labels = {
        'namespace': 'default', 'pod_name': pod, 'pod_phase': 'Running',
        'pod_container_name': ours['name'], 'pod_container_port_name': named['name'],
        **more,
    }
    return {
        'targets': [f'127.0.0.1:{port}'], 'labels': {
            f'__meta_kubernetes_{name}': value for name, value in labels.items()
        },
    }


def manifests() -> list[dict[str, Any]]:
    """Return the objects of sidecar.yaml."""
    return [*yaml.safe_load_all((EXAMPLE / 'sidecar.yaml').read_text())]


def answers(it: Scraped) -> bool:
    """Return whether Prometheus is there and has scraped us."""
    try:
        return bool(it.query('pollreload_due'))
    except OSError:
        return False
