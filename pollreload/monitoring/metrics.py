"""What Prometheus is told of the watches of a process.

The loop only writes down what happens; what is asked for is made of it in the
thread that answers. A name or a number that is read while the loop writes it is
the old one or the new one.
"""
from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import accumulate
from types import ModuleType
from typing import Any

from pollreload.core.state import Say, State
from pollreload.errors import UsageError
from pollreload.runtime.log import printable
from pollreload.settings import Settings
from pollreload.system import procfs

# Seconds of a look: a file in memory takes 0.1 ms, 10,000 some 30, an NFS more.
BOUNDS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0)
# The reasons of a failure that also hold what is due.
HOLDING = frozenset(('not permitted', 'queue full', 'proc', 'exec', 'url'))
FILES = ('ledger', 'status file')  # reasons too, and no deliveries
LATE = 3  # intervals without a look that has ended
LEAST = 1.0  # s: what is not too late whatever the interval is


class Record:
    """What happened in one watch since it began here.

    name: the value of the label `watch`. settings: those of the watch.
    deliveries: outcome and reason -> how often.
    unwritten: file -> how often it could not be written.
    success: when a content was done last, seconds of CLOCK_REALTIME; 0.0: not yet.
    told: something was told since.
    looks: looks by the first bound that they are within; took: seconds of all.
    ended: when the last one ended, boot seconds; until there is one, when the
        watch began.
    state: that after the last step; reason: why it is held, '' if it is not.
    tallies: how many files and bytes were read, of one observer after another.
    """

    def __init__(self) -> None:
        self.name = ''
        self.settings = Settings()
        self.deliveries = {('delivered', ''): 0}
        self.unwritten = dict.fromkeys(FILES, 0)
        self.success = 0.0
        self.told = False
        self.looks = [0] * (len(BOUNDS) + 1)
        self.took = 0.0
        self.ended = procfs.now()
        self.state = State()
        self.reason = ''
        self.tallies: list[list[int]] = []

    def hears(self, log: Say) -> Say:
        """Return what counts events on their way to the log."""
        def heard(event: str, message: str, /, **fields: object) -> None:
            self.event(event, str(fields.get('reason', '')))
            log(event, message, **fields)

        return heard

    def event(self, event: str, reason: str) -> None:
        """Write down an event."""
        if event == 'held' or (event == 'failed' and reason in HOLDING):
            self.reason = reason
        if event == 'failed' and reason in FILES:
            self.unwritten[reason] += 1
            return
        if event in ('delivered', 'verified'):
            self.told = True
        elif event == 'baseline' and reason == 'needless':
            event = reason
        elif event != 'failed':
            return
        self.count(event, reason if event == 'failed' else '')

    def unsaid(self, reason: str) -> None:
        """Write down a failure that has no line in the log."""
        self.count('failed', reason)

    def count(self, outcome: str, reason: str) -> None:
        """Count a delivery."""
        key = outcome, reason
        self.deliveries[key] = self.deliveries.get(key, 0) + 1

    def after(self, state: State) -> None:
        """Write down what is known after a step."""
        content = state.content
        if content.ended_at > self.state.content.ended_at:
            took = max(0.0, content.ended_at - content.looked_at)
            self.looks[bisect_left(BOUNDS, took)] += 1
            self.took += took
            self.ended = content.ended_at
        if self.told and state.outcome == 'done' and not state.stage:
            self.success, self.told = time.time(), False
        self.state = state

    def age(self) -> float:
        """Return the seconds since the last look that has ended."""
        return max(0.0, procfs.now() - self.ended)

    def limit(self) -> float:
        """Return what age of the last look is too much, in seconds."""
        return max(LEAST, LATE * self.settings.interval)

    def read(self) -> tuple[int, int]:
        """Return how many files and bytes were read."""
        return (
            sum(files for files, _ in self.tallies),
            sum(size for _, size in self.tallies),
        )

    def alive(self) -> bool:
        """Return whether a look has ended within three intervals."""
        return self.age() <= self.limit()

    def ready(self) -> bool:
        """Return whether there is a baseline."""
        return self.state.content.state != 'blank'


def label(settings: Settings) -> str:
    """Return the value of the label `watch`."""
    return printable(
        settings.name or settings.process or os.path.basename(settings.pidfile or '')
        or 'watch',
    )


class Metrics:
    """The records of all watches, as a collector of prometheus_client.

    records: returns those that there are now. config: returns whether what the
        config file says was taken over, and when it last was; None: there is none.
    Raises UsageError where prometheus_client is not installed.
    """

    def __init__(
            self, records: Callable[[], list[Record]],
            config: Callable[[], tuple[bool, float] | None],
    ) -> None:
        self.client = client()
        self.registry = self.client.CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        self.records = records
        self.config = config
        self.version = version('pollreload')

    def collect(self) -> Iterator[Any]:
        """Give the families; for prometheus_client."""
        core = self.client.metrics_core
        info = core.InfoMetricFamily('pollreload_build', 'The version that runs.')
        info.add_metric([], {'version': self.version})
        yield info
        taken = self.config()
        if taken is not None:
            yield core.GaugeMetricFamily(
                'pollreload_config_last_reload_successful',
                'Whether what the config file says was taken over.', float(taken[0]),
            )
            yield core.GaugeMetricFamily(
                'pollreload_config_last_reload_success_timestamp_seconds',
                'When it last was.', taken[1],
            )
        records = self.records()
        done = core.InfoMetricFamily(
            'pollreload_done', 'The digest of the content that was last done.',
            labels=('watch',),
        )
        for each in records:
            done.add_metric([each.name], {'fingerprint': each.state.content.delivered})
        yield done
        yield from self.counters(core, records)
        yield from self.gauges(core, records)
        looks = core.HistogramMetricFamily(
            'pollreload_look_duration_seconds', 'How long looks took, to their end.',
            labels=('watch',),
        )
        bounds = [*map(str, BOUNDS), '+Inf']
        for each in records:
            counts = list(zip(bounds, accumulate(each.looks), strict=True))
            looks.add_metric([each.name], counts, each.took)
        yield looks

    def counters(self, core: ModuleType, records: list[Record]) -> Iterator[Any]:
        """Give what only grows."""
        deliveries = core.CounterMetricFamily(
            'pollreload_deliveries', 'Deliveries by outcome, failed ones by reason.',
            labels=('watch', 'outcome', 'reason'),
        )
        files = core.CounterMetricFamily(
            'pollreload_read_files', 'Files read; what stat says is the same is not.',
            labels=('watch',),
        )
        size = core.CounterMetricFamily(
            'pollreload_read_bytes', 'Bytes read of them.', labels=('watch',),
        )
        unwritten = core.CounterMetricFamily(
            'pollreload_write_errors', 'Ledgers and status files not written.',
            labels=('watch', 'file'),
        )
        for each in records:
            for file, number in each.unwritten.items():
                unwritten.add_metric([each.name, file], number)
            for (outcome, reason), number in [*each.deliveries.items()]:
                deliveries.add_metric([each.name, outcome, reason], number)
            count, length = each.read()
            files.add_metric([each.name], count)
            size.add_metric([each.name], length)
        yield from (deliveries, files, size, unwritten)

    def gauges(self, core: ModuleType, records: list[Record]) -> Iterator[Any]:
        """Give what there is now."""
        def family(name: str, says: str, *labels: str) -> Any:
            return core.GaugeMetricFamily(
                f'pollreload_{name}', says, labels=('watch', *labels),
            )

        age = family('look_age_seconds', 'Since the last look that has ended.')
        late = family('look_age_limit_seconds', 'What makes /healthz fail.')
        success = family(
            'last_success_timestamp_seconds', 'When a content was last told; 0: never.',
        )
        due = family('due', 'Whether a content is settled and not done.')
        held = family('held', 'Whether it is held, and why.', 'reason')
        tries = family('failed_attempts', 'Failures in a row for this content.')
        backoff = family('backoff_seconds', 'Until the next attempt.')
        unreadable = family('unreadable_paths', 'Paths that cannot be read.')
        now = procfs.now()
        for each in records:
            name, state = [each.name], each.state
            age.add_metric(name, each.age())
            late.add_metric(name, each.limit())
            success.add_metric(name, each.success)
            due.add_metric(name, float(state.content.state == 'due'))
            if state.hold:
                held.add_metric([each.name, each.reason], 1.0)
            tries.add_metric(name, state.attempt.tries)
            wait = state.attempt.again - now if state.attempt.tries else 0.0
            backoff.add_metric(name, max(0.0, wait))
            unreadable.add_metric(name, sum(
                trouble.whole for trouble in state.content.troubles.values()
            ))
        yield from (age, late, success, due, held, tries, backoff, unreadable)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return what is asked for, and its type; accept: that header of HTTP."""
        try:
            encode, kind = self.client.exposition.choose_encoder(accept)
            return encode(self.registry), kind
        except Exception:  # noqa: BLE001  # what it makes of an odd header is its own
            encode, kind = self.client.exposition.choose_encoder('')
            return encode(self.registry), kind


def client() -> Any:
    """Import prometheus_client; raises UsageError where it is not installed.

    It imports ssl for a server of its own, and urllib hashlib for logins, which are
    not ours: where one is not there (an image without OpenSSL, which has 6 MB) it
    gets an empty one meanwhile.
    """
    import http.client  # noqa: F401  # first: it has to know that it has no ssl
    import shlex
    import sys
    bare = [name for name in ('ssl', 'hashlib') if not there(name)]
    for name in bare:
        stand_in = ModuleType(name)
        stand_in.__getattr__ = lambda name: None  # type: ignore[method-assign]
        sys.modules[name] = stand_in
    try:
        import urllib.request
        if not hasattr(urllib.request, 'HTTPSHandler'):
            urllib.request.HTTPSHandler = (  # type: ignore[misc]
                urllib.request.AbstractHTTPHandler  # type: ignore[assignment]
            )
        import prometheus_client
        import prometheus_client.exposition
        import prometheus_client.metrics_core
    except ImportError as error:
        raise UsageError(
            f'--listen needs prometheus-client; {shlex.quote(sys.executable)} -m pip '
            f"install 'pollreload[metrics]'",
        ) from error
    finally:
        for name in bare:
            del sys.modules[name]
    return prometheus_client


def there(name: str) -> bool:
    """Return whether a module can be imported."""
    try:
        __import__(name)
    except ImportError:
        return False
    return True
