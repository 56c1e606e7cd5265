"""examples/monitoring by a real Prometheus, which scrapes a real pollreload."""
from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.servers.harness import free_port, needed, until
from tests.support.prometheus import (
    EXAMPLE,
    Scraped,
    discovered,
    scraping,
)
from tests.support.sidecar import POLLRELOAD, Sidecar, environment, unique, write

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs' / 'metrics.md').read_text('utf-8')
NAME = re.compile(r'pollreload_\w+')
# What Grafana puts in for its variables.
VARIABLES = {'$watch': '.*', '$__rate_interval': '1m'}


@pytest.fixture(scope='module')
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """Watches that each cause another alert, and one target that is missing.

    Prometheus has the job for Kubernetes with all its relabeling, and finds what the
    API of a cluster would say of two pods; the rules wait for nothing.
    """
    needed('prometheus', 'prometheus')
    top = tmp_path_factory.mktemp('monitoring')
    conf, config = top / 'app.conf', top / 'pollreload.toml'
    ours = free_port()
    write(conf, 'A')
    write(config, f'''
        listen = "127.0.0.1:{ours}"
        interval = "200ms"
        settle = 0
        on-start = "never"
        [[watch]]
        name = "delivered"
        path = "{conf}"
        exec = "true"
        [[watch]]
        name = "held"
        path = "{conf}"
        process = "{unique()}"
        [[watch]]
        name = "fails"
        path = "{conf}"
        exec = "false"
        [[watch]]
        name = "waits"
        path = "{conf}"
        exec = "sleep 1000"
        command-timeout = "1h"
        [[watch]]
        name = "unread"
        path = ["{conf}", "{conf}.none"]
        process = "{unique()}"
    ''')
    command = (*POLLRELOAD, 'watch', '--config', str(config), '--log-format', 'json')
    with Sidecar(subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment({**os.environ, 'POLLRELOAD_SETTEL': '1s'}),
    ), False) as watch:
        watch.until('baseline')
        with scraping(
                top, ours, discovered(ours, 'web'), discovered(free_port(), 'gone'),
                discovered(ours, 'app', pod_container_name='nginx'),
                discovered(ours, 'port', pod_container_port_name='http'),
                discovered(ours, 'ended', pod_phase='Succeeded'),
                discovered(ours, 'died', pod_phase='Failed'),
        ) as it:
            write(conf, 'B')
            until(lambda: bool(it.query('pollreload_held == 1')), 'a hold is seen')
            failures = 'pollreload_deliveries_total{outcome="failed"} > 0'
            until(lambda: bool(it.query(failures)), 'a failure is seen')
            write(config, 'no TOML')
            yield it


def expressions() -> list[str]:
    """Return every query of the dashboard, as Grafana would send it."""
    board = json.loads((EXAMPLE / 'dashboard.json').read_text())
    found = [
        target['expr'] for panel in board['panels'] for target in panel['targets']
    ]
    assert len(found) > 10
    for name, value in VARIABLES.items():
        found = [each.replace(name, value) for each in found]
    return found


def documented() -> list[str]:
    """Return every query of docs/fleet.md: its lines of code, and its alert."""
    page = (ROOT / 'docs/fleet.md').read_text('utf-8')
    block = textwrap.dedent(page.split('```yaml\n')[1].split('```')[0])
    alert = yaml.safe_load(block)
    lines = re.findall(r'^ {4}(.*\bpollreload_.*)$', page.split('```')[-1], re.M)
    assert len(lines) == 3
    return [alert[0]['expr'], *lines]


def test_the_metrics_are_as_prometheus_likes_them(scraped: Scraped) -> None:
    """Names, types and help: promtool check metrics has nothing to say."""
    promtool = needed('promtool', 'prometheus')
    url = f'http://127.0.0.1:{scraped.pollreload}/metrics'
    with urllib.request.urlopen(url) as answer:
        text = answer.read()
    done = subprocess.run(
        [promtool, 'check', 'metrics'], input=text, capture_output=True, check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b'', b'')


@pytest.mark.parametrize('words', [
    ('check', 'config', 'prometheus.yaml'), ('check', 'rules', 'alerts.yaml'),
    ('test', 'rules', 'alerts_test.yaml'),
])
def test_promtool_takes_the_files(words: tuple[str, ...]) -> None:
    """The rules are tested by what they are to say, and when."""
    promtool = needed('promtool', 'prometheus')
    done = subprocess.run(
        [promtool, *words], cwd=EXAMPLE, capture_output=True, text=True, check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_name_of_the_dashboard_and_the_rules_is_scraped(scraped: Scraped) -> None:
    """And every one that is scraped is in the documentation."""
    names = scraped.names()
    rules = (EXAMPLE / 'alerts.yaml').read_text()
    used = {
        name for text in (*expressions(), *documented(), rules)
        for name in NAME.findall(text)
    }

    assert used <= names
    for name in names:
        assert f'`{re.sub("_(bucket|count|sum)$", "", name)}`' in PAGE, name


@pytest.mark.parametrize('expression', [*expressions(), *documented()])
def test_a_query_is_answered(
        scraped: Scraped, expression: str,
) -> None:
    """Each finds something, but for what has not happened here."""
    found = scraped.query(expression)

    assert found or 'write_errors' in expression


def test_the_variables_of_the_dashboard_have_values(scraped: Scraped) -> None:
    """Grafana asks for the values of a label, among all series of a selector."""
    board = json.loads((EXAMPLE / 'dashboard.json').read_text())
    (words,) = (
        each['query'] for each in board['templating']['list']
        if each['type'] == 'query'
    )
    asked = re.fullmatch(r'label_values\((.+), (\w+)\)', words)
    assert asked

    found = {each['metric'].get(asked[2]) for each in scraped.query(asked[1])}

    assert found == {'delivered', 'held', 'fails', 'waits', 'unread'}


def test_the_job_takes_what_is_ours_and_what_runs(scraped: Scraped) -> None:
    """A container and a port of other names are not, whatever else the pod has."""
    found = scraped.query('up{job="pollreload"}')

    assert {
        (it['metric']['namespace'], it['metric']['pod'], it['value'][1]) for it in found
    } == {('default', 'web', '1'), ('default', 'gone', '0')}


def test_every_alert_is_asked_and_those_that_have_cause_fire(scraped: Scraped) -> None:
    """The rules run in Prometheus; with nothing to wait for they fire at once."""
    rules = yaml.safe_load((EXAMPLE / 'alerts.yaml').read_text())
    for rule in rules['groups'][0]['rules']:
        scraped.query(rule['expr'])

    wanted = {
        ('PollreloadHeld', 'held'), ('PollreloadDeliveriesFail', 'fails'),
        ('PollreloadDue', 'waits'), ('PollreloadUnreadable', 'unread'),
        ('PollreloadDown', ''), ('PollreloadConfigRefused', ''),
        # The unknown variable, which the first watch logs.
        ('PollreloadWarning', 'delivered'),
    }
    until(lambda: wanted <= scraped.firing(), 'they fire')
    others = {name for name, watch in scraped.firing() if watch == 'delivered'}
    assert others == {'PollreloadWarning'}


def test_every_alert_has_a_section_that_says_what_to_do() -> None:
    """Its runbook_url leads to a heading of that name."""
    page = (ROOT / 'docs' / 'troubleshooting.md').read_text('utf-8')
    headings = re.findall('(?m)^### (Pollreload.+)$', page)
    rules = yaml.safe_load((EXAMPLE / 'alerts.yaml').read_text())['groups'][0]['rules']

    assert [rule['alert'] for rule in rules] == headings
    assert [rule['annotations']['runbook_url'] for rule in rules] == [
        f'docs/troubleshooting.md#{heading.lower()}' for heading in headings
    ]
