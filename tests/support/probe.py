"""Ask the HTTP server of a watch, as a probe or a scraper does."""
from __future__ import annotations

import contextlib
import http.client
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client import parser

from tests.support.targets import DEADLINE

PATHS = METRICS, HEALTHZ, READYZ = '/metrics', '/healthz', '/readyz'


class Answer(NamedTuple):
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    body: str


class Samples(NamedTuple):
    """What was scraped: (name, labels) -> value."""

    found: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        """Return the one value of a name that has at least these labels.

        Raises AssertionError if there is none, or more than one.
        """
        found = [
            value for (key, own), value in self.found.items()
            if key == f'pollreload_{name}' and labels.items() <= dict(own).items()
        ]
        assert len(found) == 1, (name, labels, found)
        return found[0]

    def labels(self, name: str, label: str) -> set[str]:
        """Return the values of a label of a name."""
        return {
            dict(own).get(label, '') for key, own in self.found
            if key == f'pollreload_{name}'
        }


def ask(port: int, path: str, method: str = 'GET', **headers: str) -> Answer:
    """Return the answer of a port of the loopback.

    Raises OSError or HTTPException if there is none.
    """
    asking = http.client.HTTPConnection('127.0.0.1', port, timeout=DEADLINE)
    with contextlib.closing(asking):
        asking.request(method, path, headers=headers)
        got = asking.getresponse()
        return Answer(got.status, dict(got.headers), got.read().decode())


def status(port: int, path: str) -> int:
    """Return the status of an answer; 0 if there is none."""
    try:
        return ask(port, path).status
    except (OSError, http.client.HTTPException):
        return 0


def scrape(port: int) -> Samples:
    """Return all that /metrics answers, as the official client reads it."""
    got = ask(port, METRICS)
    assert got.status == 200
    families = parser.text_string_to_metric_families(got.body)
    return Samples({
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families for sample in family.samples
    })
