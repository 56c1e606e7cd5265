"""Metrics as the official client of Prometheus parses them."""
from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from prometheus_client import parser

from pollreload.core import change
from pollreload.core.state import State
from pollreload.monitoring.metrics import Metrics
from pollreload.monitoring.record import Record
from pollreload.settings import Settings
from tests.support import sidecar

with open(
    os.path.join(sidecar.ROOT, 'packaging/schema/log.schema.json'), encoding='utf-8',
) as it:
    SCHEMA: dict[str, Any] = json.load(it)
EVENTS: list[str] = SCHEMA['properties']['event']['enum']
PRINT = '0123456789abcdef' * 2


def reasons(event: str) -> set[str]:
    """Return the reasons that an event can have, by the schema of the log."""
    found: set[str] = set()

    def collect(part: Any) -> None:
        if isinstance(part, list):
            for each in part:
                collect(each)
        if isinstance(part, dict):
            args = part.get('properties', {}).get('reason', {})
            found.update(args.get('enum', ()))
            found.update([args['const']] if 'const' in args else ())
            for each in part.values():
                collect(each)

    collect(SCHEMA['$defs'][event])
    return found


# Every event of the log with each of its reasons.
LINES = [
    (event, reason) for event in EVENTS for reason in sorted(reasons(event)) or ['']
] + [('baseline', ''), ('changed', ''), ('stopped', '')]


def record(**settings: Any) -> Record:
    """Return the record of a watch that is called web."""
    return Record(Settings(name='web', **settings))


def served(*records: Record, config: tuple[bool, float] | None = None) -> Metrics:
    """Return all that is served of some records."""
    return Metrics(lambda: [*records], lambda: config)


def read(text: str) -> list[Any]:
    """Return the families of a text, as the parser of the official client does."""
    return [*parser.text_string_to_metric_families(text)]


def samples(
        *records: Record, config: tuple[bool, float] | None = None,
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return all that a scraper reads: (name, labels) -> value, each once."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in read(served(*records, config=config).text()):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def value(
        found: Mapping[tuple[str, frozenset[tuple[str, str]]], float], name: str,
        **labels: str,
) -> float | None:
    """Return the value of a sample of the watch web; None if there is none."""
    key = frozenset({'watch': 'web', **labels}.items())
    return found.get((f'pollreload_{name}', key))


def full() -> Record:
    """Return a record of which everything is shown."""
    it = record()
    for event, reason in LINES:
        it.event(event, reason)
    it.event('held', 'no target')
    it.after(State(hold='no target', version=change.Memory(
        state='due', delivered=PRINT, read_at=1.0, ended_at=1.5,
    )))
    return it
