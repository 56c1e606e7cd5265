"""The chart with several sets of values, rendered by Helm.

values/NAME.yaml is a set; expected/NAME.yaml is what Helm then creates, shortened by
what is as in the examples. Write the expected ones, on the Python that has helm-sdkpy:
python -m tests.packaging.chart.cases
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.injection.cases import POLICIES
from tests.support import sidecar
from tests.support.scripts import load

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in (HERE / 'values').glob('*.yaml'))
OWN = 'own-chart'  # the set of a chart that has ours as a dependency
OLD = 'old-cluster'
MONITORING = Path(sidecar.ROOT) / 'examples/monitoring'
AS_IN_EXAMPLES = '(as in the examples)'
Json = dict[str, Any]

build = load('chart/build.py')


def values(name: str) -> Json:
    """Read a set of values."""
    return yaml.safe_load((HERE / f'values/{name}.yaml').read_text()) or {}


def chart(place: Path, name: str = '') -> Path:
    """Write the chart into a directory, or the one that depends on it."""
    if name != OWN:
        build.main([str(place)])
        return place / 'pollreload'
    for path in (HERE / 'own').rglob('*.yaml'):
        copy = place / path.relative_to(HERE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    build.main([str(place / 'own/charts')])
    return place / 'own'


def helm(place: Path, *steps: Sequence[Any], old: bool = False) -> list[Json]:
    """Return the answers of Helm to steps; see tests.support.helm.

    old: in a cluster without admission policies, whose objects are otherwise kept from
    step to step. In a process of its own, because Go takes over all signals.
    """
    done = subprocess.run(
        [sys.executable, '-m', 'tests.support.helm', str(place), *(['old'] * old)],
        input=json.dumps(steps), text=True, capture_output=True, check=False,
        cwd=sidecar.ROOT, timeout=100,
        env={**sidecar.environment(measured=False), 'HELM_DRIVER': 'memory'},
    )
    assert not done.returncode, done.stderr
    answers: list[Json] = json.loads(done.stdout)
    return answers


def rendered(place: Path, name: str) -> list[Json]:
    """Return the objects that Helm creates for a set of values."""
    where = str(chart(place, name))
    (answer,) = helm(
        place, ('install', 'pollreload', where, values(name)), old=name == OLD,
    )
    assert 'error' not in answer, answer['error']
    return sorted(
        answer['objects'], key=lambda each: (each['kind'], each['metadata']['name']),
    )


def shortened(objects: Sequence[Json]) -> list[Json]:
    """Return objects without what is the same in the examples."""
    known = {
        each['kind']: each['spec']
        for each in yaml.safe_load_all(POLICIES.read_text()) if each['kind'] in KINDS
    }
    for each in objects:
        spec = each.get('spec', {})
        for field in ('variables', 'mutations', 'validations'):
            if each['kind'] in KINDS and field in spec:
                theirs = known[each['kind']][field]
                spec[field] = [
                    one for one in spec[field] if one not in theirs
                ] or AS_IN_EXAMPLES
        if each['kind'] == 'PrometheusRule':
            alerts = yaml.safe_load((MONITORING / 'alerts.yaml').read_text())
            assert spec == alerts
            each['spec'] = AS_IN_EXAMPLES
        if 'pollreload.json' in each.get('data', {}):
            dashboard = (MONITORING / 'dashboard.json').read_text()
            assert json.loads(each['data']['pollreload.json']) == json.loads(dashboard)
            each['data'] = AS_IN_EXAMPLES
    return list(objects)


KINDS = ('MutatingAdmissionPolicy', 'ValidatingAdmissionPolicy')


def main() -> None:
    """Write what is expected."""
    for name in NAMES:
        with tempfile.TemporaryDirectory() as place:
            made = shortened(rendered(Path(place), name))
        text = yaml.safe_dump_all(made, width=1000)
        (HERE / f'expected/{name}.yaml').write_text(text)


if __name__ == '__main__':
    os.umask(0o022)
    main()
