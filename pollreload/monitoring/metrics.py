"""The records of all watches in the text format of Prometheus, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/ describes the format.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from pollreload.monitoring.record import BOUNDS, Record
from pollreload.runtime.guard import stopping
from pollreload.runtime.shown import visible
from pollreload.system import children, procfs

TYPE = 'text/plain; version=0.0.4; charset=utf-8'
VERSION_TIMEOUT = 3.0  # s to find our version
ESCAPES = str.maketrans({'\\': r'\\', '\n': r'\n', '"': r'\"'})

Labels = dict[str, str]


class Family(NamedTuple):
    """One metric: its name, its type, what it means, and its samples.

    samples: the suffix of the name, the labels and the value of each.
    """

    name: str
    kind: str
    help: str
    samples: Iterable[tuple[str, Labels, float]]

    def lines(self) -> Iterator[str]:
        """Return its lines, without line ends."""
        yield f'# HELP {self.name} {self.help}'
        yield f'# TYPE {self.name} {self.kind}'
        for suffix, labels, value in self.samples:
            shown = ','.join(
                f'{key}="{labels[key].translate(ESCAPES)}"' for key in sorted(labels)
            )
            yield f'{self.name}{suffix}{f"{{{shown}}}" if shown else ""} {value!r}'


class Metrics:
    """All metrics of this process.

    records: returns the records of the current watches. config: returns whether
        the config file was accepted, and when it last was; None: there is none.
    """

    def __init__(
            self, records: Callable[[], Sequence[Record]],
            config: Callable[[], tuple[bool, float] | None],
    ) -> None:
        self.records = records
        self.config = config
        self.version = version()

    def text(self) -> str:
        """Return the answer to a scrape."""
        lines = (line for family in self.families() for line in family.lines())
        return ''.join(f'{line}\n' for line in lines)

    def families(self) -> Iterator[Family]:
        """Return the families of metrics."""
        records = self.records()
        yield Family(
            'pollreload_build_info', 'gauge', 'The version that runs.',
            [('', {'version': self.version}, 1)],
        )
        accepted = self.config()
        if accepted is not None:
            name = 'pollreload_config_last_reload'
            yield Family(
                f'{name}_successful', 'gauge', 'Whether the config file was accepted.',
                [('', {}, int(accepted[0]))],
            )
            yield Family(
                f'{name}_success_timestamp_seconds', 'gauge',
                'When the config file was last accepted.', [('', {}, accepted[1])],
            )
        yield Family(
            'pollreload_done_info', 'gauge', 'The fingerprint that is up to date.', [
                ('', labels(each, fingerprint=visible(each.state).version.delivered), 1)
                for each in records
            ],
        )
        yield from counters(records)
        yield from gauges(records)
        yield Family(
            'pollreload_look_duration_seconds', 'histogram', 'How long polls took.',
            (sample for each in records for sample in durations(each)),
        )


def labels(record: Record, **more: str) -> Labels:
    """Return the labels of a sample of one watch."""
    return {'watch': record.name, **more}


def durations(record: Record) -> Iterator[tuple[str, Labels, float]]:
    """Return the samples of the histogram of one watch."""
    counts = [*accumulate(record.polls)]
    for bound, count in zip([*map(str, BOUNDS), '+Inf'], counts, strict=True):
        yield '_bucket', labels(record, le=bound), count
    yield '_count', labels(record), counts[-1]
    yield '_sum', labels(record), record.took


def counters(records: Sequence[Record]) -> Iterator[Family]:
    """Return the families of values that only grow."""
    yield Family(
        'pollreload_deliveries_total', 'counter',
        'Deliveries by outcome, failed ones by reason.', (
            ('', labels(each, outcome=outcome, reason=reason), number)
            for each in records
            for (outcome, reason), number in [*each.deliveries.items()]
        ),
    )
    yield Family(
        'pollreload_read_files_total', 'counter',
        'Files read; a file whose stat is unchanged is not read.',
        [('', labels(each), each.read()[0]) for each in records],
    )
    yield Family(
        'pollreload_read_bytes_total', 'counter', 'Bytes read of these files.',
        [('', labels(each), each.read()[1]) for each in records],
    )
    yield Family(
        'pollreload_write_errors_total', 'counter',
        'Ledgers and status files that could not be written.', (
            ('', labels(each, file=file), number)
            for each in records for file, number in each.unwritten.items()
        ),
    )


def gauges(records: Sequence[Record]) -> Iterator[Family]:
    """Return the families of current values."""
    now = procfs.now()

    def gauge(name: str, says: str, value: Callable[[Record], float]) -> Family:
        samples = [('', labels(each), value(each)) for each in records]
        return Family(f'pollreload_{name}', 'gauge', says, samples)

    def backoff(record: Record) -> float:
        attempt = record.state.attempt
        return max(0.0, attempt.again - now) if attempt.tries else 0.0

    yield gauge(
        'look_age_seconds', 'Time since the last completed poll.', Record.age,
    )
    yield gauge(
        'look_age_limit_seconds', 'The age that makes /healthz fail.', Record.limit,
    )
    yield gauge(
        'last_success_timestamp_seconds',
        'When a version was last delivered; 0: not yet.', lambda each: each.success,
    )
    yield gauge(
        'due', 'Whether a version is settled and not yet delivered.',
        lambda each: int(each.state.version.state == 'due'),
    )
    yield Family(
        'pollreload_held', 'gauge', 'Whether the delivery is held, and why.', [
            ('', labels(each, reason=each.reason), 1)
            for each in records if each.state.hold
        ],
    )
    yield Family(
        'pollreload_warning', 'gauge', 'A likely mistake in how the watch is set up.', [
            ('', labels(each, reason=reason), 1)
            for each in records for reason in each.warnings()
        ],
    )
    yield gauge(
        'failed_attempts', 'Failures in a row for this version.',
        lambda each: each.state.attempt.tries,
    )
    yield gauge('backoff_seconds', 'Time until the next attempt.', backoff)
    yield gauge(
        'unreadable_paths', 'Paths that cannot be read.', lambda each: sum(
            trouble.whole for trouble in each.state.version.troubles.values()
        ),
    )


def version() -> str:
    """Return our version, '' if it cannot be found.

    A child finds it: importlib.metadata would cost us 3 MB.
    """
    def find() -> str:
        from importlib.metadata import version
        return version('pollreload')

    try:
        return str(children.within(find, VERSION_TIMEOUT, stopping))
    except OSError:
        return ''
