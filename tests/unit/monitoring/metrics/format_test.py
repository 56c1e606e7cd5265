"""Names, types and labels of the metrics."""
from __future__ import annotations

import errno
import importlib.metadata

import pytest

from pollreload.monitoring import metrics
from pollreload.monitoring.record import Record, label
from pollreload.settings import Settings
from pollreload.system import children
from tests.support.exposition import full, read, record, samples, served

# Name -> type, and the labels that its samples have; docs/metrics.md has them too.
FAMILIES: dict[str, tuple[str, frozenset[str]]] = {
    'pollreload_build': ('info', frozenset({'version'})),
    'pollreload_config_last_reload_successful': ('gauge', frozenset()),
    'pollreload_config_last_reload_success_timestamp_seconds': ('gauge', frozenset()),
    'pollreload_done': ('info', frozenset({'watch', 'fingerprint'})),
    'pollreload_deliveries': ('counter', frozenset({'watch', 'outcome', 'reason'})),
    'pollreload_read_files': ('counter', frozenset({'watch'})),
    'pollreload_read_bytes': ('counter', frozenset({'watch'})),
    'pollreload_write_errors': ('counter', frozenset({'watch', 'file'})),
    'pollreload_look_age_seconds': ('gauge', frozenset({'watch'})),
    'pollreload_look_age_limit_seconds': ('gauge', frozenset({'watch'})),
    'pollreload_last_success_timestamp_seconds': ('gauge', frozenset({'watch'})),
    'pollreload_due': ('gauge', frozenset({'watch'})),
    'pollreload_held': ('gauge', frozenset({'watch', 'reason'})),
    'pollreload_warning': ('gauge', frozenset({'watch', 'reason'})),
    'pollreload_failed_attempts': ('gauge', frozenset({'watch'})),
    'pollreload_backoff_seconds': ('gauge', frozenset({'watch'})),
    'pollreload_unreadable_paths': ('gauge', frozenset({'watch'})),
    'pollreload_look_duration_seconds': ('histogram', frozenset({'watch', 'le'})),
}


def test_families_have_their_types_and_labels() -> None:
    """As the parser of the official client reads them."""
    found = {
        family.name: (family.type, frozenset(
            label for sample in family.samples for label in sample.labels
        ), family.documentation)
        for family in read(served(full(), config=(True, 1.0)).text())
    }

    assert {name: (kind, labels) for name, (kind, labels, _) in found.items()} == {
        # The format has no type for what only informs.
        f'{name}_info' if kind == 'info' else name: (kind.replace('info', 'gauge'), of)
        for name, (kind, of) in FAMILIES.items()
    }
    for name, (_, _, says) in found.items():
        assert says.endswith('.'), name


def test_counters_and_infos_are_named_by_convention() -> None:
    """`_total` and `_info`; the parser hides the first."""
    text = served(full()).text()

    assert '# TYPE pollreload_deliveries_total counter\n' in text
    assert '# TYPE pollreload_build_info gauge\n' in text
    assert '\npollreload_deliveries_total{' in text


def test_every_watch_has_all_of_its_own() -> None:
    """Nothing that is shown of one watch is not shown of another."""
    one, other = full(), full()
    other.name = 'cache'

    found = samples(one, other)

    def of(name: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        return {
            (key, frozenset(labels - {('watch', name)})) for key, labels in found
            if ('watch', name) in labels
        }

    assert of('web') == of('cache')
    assert len(of('web')) > 30


def test_without_watches_there_is_still_the_version() -> None:
    """While there is none, or none yet."""
    assert [name for name, _ in samples()] == ['pollreload_build_info']


@pytest.mark.parametrize(('name', 'shows'), [
    ('b\udcff', 'b\\udcff'), ('a"b\\c', 'a"b\\c'), ('a\nb', 'a\\nb'), ('café', 'café'),
    ('{}=,', '{}=,'), (' ', ' '),
])
def test_a_name_of_any_bytes_is_a_label(name: str, shows: str) -> None:
    """What one watch is called must not cost the others their metrics."""
    it = Record(Settings(process=name))

    shown = {
        sample.labels['watch'] for family in read(served(it).text())
        for sample in family.samples if 'watch' in sample.labels
    }

    assert shown == {shows}


@pytest.mark.parametrize(('settings', 'name'), [
    (Settings(name='front', process='nginx'), 'front'),
    (Settings(process='nginx', pidfile='/run/other.pid'), 'nginx'),
    (Settings(pidfile='/run/nginx.pid'), 'nginx.pid'),
    (Settings(exec=(('reload',),)), 'watch'),
])
def test_a_watch_goes_by_its_name_or_its_target(
        settings: Settings, name: str,
) -> None:
    """And has some name in any case."""
    assert label(settings) == name


def test_no_version_and_no_credentials_are_shown() -> None:
    """Neither of a URL, nor the arguments of a command, nor a path."""
    it = record(
        paths=('/etc/secret-path',), url=('http://me:secret@host/?token=secret',),
        exec=(('reload', '--password', 'secret'),), verify=('check', 'secret'),
    )
    it.counting(lambda *_, **__: None)(
        'failed', 'secret text', reason='url', url='http://host/', said='secret',
    )

    assert 'secret' not in served(it, config=(False, 1.0)).text()


def test_label_values_are_escaped() -> None:
    """A backslash, a quote and a line end, as the format asks for."""
    family = metrics.Family('a', 'gauge', 'A.', [('_b', {'x': 'a"b\\c\nd'}, 1)])

    assert [*family.lines()] == [
        '# HELP a A.', '# TYPE a gauge', 'a_b{x="a\\"b\\\\c\\nd"} 1',
    ]


def test_version_is_that_of_the_package() -> None:
    """A child finds it."""
    assert served().version == importlib.metadata.version('pollreload')


def test_without_a_child_the_version_is_unknown(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything else is shown all the same."""
    def within(*_: object) -> str:
        raise OSError(errno.EAGAIN, 'x')

    monkeypatch.setattr(children, 'within', within)

    assert 'pollreload_build_info{version=""} 1\n' in served().text()
