"""The examples, each checked with the tool that reads it; tests/servers has more.

Manifests by the schemas of Kubernetes, kustomize by kubectl, Compose by docker-compose,
quadlets by podman's generator, units by systemd-analyze, CI jobs by the schemas of
their makers and a shell, the crontab as cron would run it.
"""
from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from pollreload.cli import main, resolve
from pollreload.settings import Settings
from tests.sandbox.harness import fetched, needed
from tests.servers.harness import environment, missing
from tests.support.examples import (
    EXAMPLES,
    IMAGE,
    KUBERNETES,
    LONGEST,
    MANIFESTS,
    NATIVE,
    OVERLAY,
    ROOT,
    Call,
    Object,
    below,
    command,
    containers,
    objects,
    of_manifests,
    pods,
    sidecars,
    tool_output,
    variables,
)
from tests.support.scripts import load

closure = load('image/closure.py')

SYSTEMD = EXAMPLES / 'systemd'


# Those that cannot have the Pod Security Standard "restricted": the first process of
# Apache's image is root, and podman's pod has files and a port of the host.
UNRESTRICTED = ('apache/pod.yaml', 'podman/pod.yaml')
RESTRICTED = [name for name in MANIFESTS if name not in UNRESTRICTED]
# Whose image does not run as nginx's does.
USERS = {'gunicorn': 1000, 'haproxy': 99}


def setting(container: Object, name: str) -> str:
    """Return the value of an option of a sidecar, from its arguments or environment."""
    for word in command(container) or []:
        if word.startswith(f'--{name}='):
            return word.partition('=')[2]
    variable = f'POLLRELOAD_{name.upper().replace("-", "_")}'
    return variables(container, {}).get(variable, '')


def of_compose() -> Iterator[Call]:
    """Yield the calls in compose.yaml."""
    services = objects('compose/compose.yaml')[0]['services']
    for service in services.values():
        if service['image'] == IMAGE:
            yield Call('compose', service['command'], service.get('environment', {}))


def of_quadlets() -> Iterator[Call]:
    """Yield the calls in quadlets."""
    for path in sorted((EXAMPLES / 'podman').glob('*.container')):
        text = path.read_text()
        if IMAGE in text:
            words = re.findall(r'^Exec=(.*)$', text, re.MULTILINE)
            yield Call(below(path), shlex.split(words[0]))


def unit(name: str) -> dict[str, list[str]]:
    """Return the settings of a unit, as systemd reads them: a list for each name."""
    found: dict[str, list[str]] = {}
    text = re.sub(r'\\\n', ' ', (SYSTEMD / name).read_text())
    for line in text.splitlines():
        key, sign, value = line.partition('=')
        if sign and not line.startswith(('#', ';')):
            found.setdefault(key, []).append(value)
    return found


def started(name: str) -> list[str]:
    """Return the arguments of a unit's ExecStart, with the StateDirectory inserted."""
    settings = unit(name)
    state = f'/var/lib/{settings["StateDirectory"][0]}'
    (line,) = settings['ExecStart']
    return shlex.split(line.replace('${STATE_DIRECTORY}', state))


SERVICES = [path.name for path in sorted(SYSTEMD.glob('*.service'))]


def of_units() -> Iterator[Call]:
    """Yield the calls in units."""
    for name in SERVICES:
        program, *words = started(name)
        assert program == '/usr/local/bin/pollreload'
        yield Call(f'systemd/{name}', words)


class Line(NamedTuple):
    """A job of a crontab: the variables above it, whose it is, and what sh gets."""

    variables: Mapping[str, str]
    user: str
    command: str


def crontab() -> list[Line]:
    """Return the jobs of cron/pollreload, read as crontab(5) says.

    A % that no \\ precedes would end the command: none may be there.
    """
    given: dict[str, str] = {}
    found = []
    for line in (EXAMPLES / 'cron/pollreload').read_text().splitlines():
        if not line.strip() or line.startswith('#'):
            continue
        name, sign, value = line.partition('=')
        if sign and name.strip().isidentifier():
            given[name.strip()] = value.strip()
            continue
        user, words = line.split(maxsplit=6)[5:]
        assert not re.search(r'(?<!\\)%', words), line
        found.append(Line(dict(given), user, words.replace(r'\%', '%')))
    return found


def of_cron() -> Iterator[Call]:
    """Yield the calls of the crontab."""
    for job in crontab():
        program, *words = shlex.split(job.command)
        assert program == 'pollreload'
        yield Call('cron', words)


def jobs() -> dict[str, tuple[str, Mapping[str, str]]]:
    """Return the script and the variables of each CI job."""
    (github,) = objects('ci/github.yaml')[0]['jobs'].values()
    steps = [each['run'] for each in github['steps'] if 'run' in each]
    (gitlab,) = objects('ci/gitlab.yaml')[0].values()
    return {
        'github': ('\n'.join(steps), github['env']),
        'gitlab': ('\n'.join(gitlab['script']), gitlab['variables']),
    }


def of_ci() -> Iterator[Call]:
    """Yield the calls of CI jobs."""
    for name, (script, _) in jobs().items():
        for line in script.splitlines():
            if line.startswith('pollreload '):
                yield Call(f'ci/{name}', shlex.split(line)[1:])


def of_readmes() -> Iterator[Call]:
    """Yield the calls that the folders' README.md show."""
    for path in sorted(EXAMPLES.glob('*/README.md')):
        for block in re.findall(r'(?:^    .*\n)+', path.read_text(), re.MULTILINE):
            for line in block.replace('\\\n', ' ').splitlines():
                words = shlex.split(line)
                if words and words[0] == 'pollreload':
                    yield Call(below(path), words[1:])


# Where calls are found, and how many at least: what is not found is not checked.
SOURCES: dict[str, tuple[Callable[[], Iterator[Call]], int]] = {
    'manifests': (of_manifests, 12),
    'compose': (of_compose, 1),
    'quadlets': (of_quadlets, 1),
    'units': (of_units, 2),
    'cron': (of_cron, 1),
    'ci': (of_ci, 4),
    'readmes': (of_readmes, 6),
}


def accepted(call: Call) -> Settings | None:
    """Return the settings of a call; None for a command that has none.

    Raises click.ClickException if the command line is refused.
    """
    name, *words = call.words
    context = main.pollreload.commands[name].make_context(name, words)
    with context:
        given = dict(context.params)
        if 'process' not in given:
            return None
        if given.get('config'):
            # In place of what a reader copies there.
            (file,) = EXAMPLES.glob(f'*/{os.path.basename(given["config"])}')
            return resolve.make_plan({**given, 'config': str(file)}).watches[0]
        return resolve.make_settings(given)


@pytest.mark.parametrize('source', SOURCES)
def test_every_call_is_accepted(
        source: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arguments and environment of each example are a command line of today."""
    find, least = SOURCES[source]
    calls = list(find())
    assert len(calls) >= least, calls

    for call in calls:
        with monkeypatch.context() as patch:
            for name in list(os.environ):
                patch.delenv(name)
            for name, value in call.variables.items():
                patch.setenv(name, value)

            got = accepted(call)

            if call.words[0] in ('watch', 'check'):
                assert got, call


def test_a_wrong_call_is_refused() -> None:
    """The test above sees an option that is not there, and one that is missing."""
    wrong = (
        ['watch', '--proces=nginx', '/etc/nginx'], ['watch', '/etc/nginx'],
        ['watch', '--process=nginx'], ['check', '--interval=1s', '/a'],
    )

    for words in wrong:
        with pytest.raises(click.ClickException):
            accepted(Call('', words))


@pytest.mark.parametrize('where', MANIFESTS)
def test_manifest_fits_the_schemas(where: str) -> None:
    """Of the oldest Kubernetes that has native sidecars for all, and of the newest."""
    oldest = '1.29' if where == NATIVE else '1.25'

    for version in (oldest, '1.29', kubernetes_validate.latest_version()):
        for each in objects(where):
            kubernetes_validate.validate(each, version, strict=True)


def test_native_sidecar_is_for_newer_ones() -> None:
    """Before 1.28 no container has a restartPolicy; so the test above can fail."""
    deployment = objects(NATIVE)[-1]
    (sidecar,) = deployment['spec']['template']['spec']['initContainers']
    assert sidecar['restartPolicy'] == 'Always'

    with pytest.raises(kubernetes_validate.ValidationError, match='restartPolicy'):
        kubernetes_validate.validate(deployment, '1.27', strict=True)


# The rest of this list, and of the one for containers, is for Windows, or is about
# fields that have to be absent; see https://kubernetes.io/docs/concepts/security/
# pod-security-standards/
VOLUMES = {
    'configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral',
    'persistentVolumeClaim', 'projected', 'secret',
}
SECCOMP = ('RuntimeDefault', 'Localhost')


def violations(spec: Object) -> list[str]:
    """Return in which points a pod falls short of the standard "restricted"."""
    pod = spec.get('securityContext', {})
    found = [
        name for name in ('hostNetwork', 'hostPID', 'hostIPC') if spec.get(name)
    ]
    found += [
        'sysctls' for each in pod.get('sysctls', [])
        if each['name'] != 'net.ipv4.ip_unprivileged_port_start'
    ]
    found += [
        'volumes' for each in spec.get('volumes', []) if not VOLUMES & set(each)
    ]
    for each in containers(spec):
        own = each.get('securityContext', {})
        both = {**pod, **own}
        capabilities = own.get('capabilities', {})
        probes = [
            each.get(kind, {}) for kind in
            ('livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle')
        ]
        checks = {
            'privileged': not own.get('privileged'),
            'drop': 'ALL' in capabilities.get('drop', []),
            'add': set(capabilities.get('add', [])) <= {'NET_BIND_SERVICE'},
            'hostPort': not any(port.get('hostPort') for port in each.get('ports', [])),
            'host': '"host"' not in json.dumps(probes),
            'allowPrivilegeEscalation': own.get('allowPrivilegeEscalation') is False,
            'runAsNonRoot': both.get('runAsNonRoot') is True,
            'runAsUser': both.get('runAsUser') != 0,
            'seccompProfile': both.get('seccompProfile', {}).get('type') in SECCOMP,
            'procMount': own.get('procMount', 'Default') == 'Default',
            'seLinuxOptions': not {*both.get('seLinuxOptions', {})} & {'user', 'role'},
            'appArmorProfile':
                both.get('appArmorProfile', {}).get('type') != 'Unconfined',
            'windowsOptions': not both.get('windowsOptions', {}).get('hostProcess'),
        }
        found += [f'{each["name"]}: {name}' for name in checks if not checks[name]]
    return found


@pytest.mark.parametrize('where', RESTRICTED)
def test_pods_are_restricted(where: str) -> None:
    """Every pod passes the Pod Security Standard, field by field."""
    found = list(pods(where))

    assert found
    for pod in found:
        assert violations(pod.spec) == [], pod.name


@pytest.mark.parametrize(('name', 'value'), [
    ('privileged', True), ('capabilities', {}), ('allowPrivilegeEscalation', None),
    ('runAsNonRoot', False), ('runAsUser', 0), ('seccompProfile', {}),
    ('capabilities', {'drop': ['ALL'], 'add': ['SYS_PTRACE']}),
    ('capabilities', {'drop': ['ALL'], 'add': ['KILL']}), ('procMount', 'Unmasked'),
])
def test_what_is_not_restricted_is_seen(name: str, value: object) -> None:
    """The check above can fail: each weakening of the sidecar is a violation."""
    (pod,) = pods('kubernetes/restricted.yaml')
    spec = copy.deepcopy(pod.spec)
    (sidecar,) = sidecars(spec)

    sidecar['securityContext'][name] = value

    (seen,) = violations(spec)
    assert seen.split(': ')[1] in (name, 'drop', 'add')


def test_the_strictest_says_so_to_the_cluster() -> None:
    """The namespace enforces the standard, and all that is namespaced is in it."""
    namespace, *rest = objects('kubernetes/restricted.yaml')

    label = 'pod-security.kubernetes.io/enforce'
    assert namespace['metadata']['labels'][label] == 'restricted'
    assert {each['metadata']['namespace'] for each in rest} == {'web'}
    (pod,) = pods('kubernetes/restricted.yaml')
    for each in containers(pod.spec):
        assert each['securityContext']['readOnlyRootFilesystem'] is True


@pytest.mark.parametrize('where', UNRESTRICTED)
def test_what_is_not_restricted_cannot_be(where: str) -> None:
    """By what it needs and nothing else; or it would belong to the others."""
    needs = {
        'apache/pod.yaml': {
            'httpd: drop', 'httpd: allowPrivilegeEscalation', 'httpd: runAsNonRoot',
            'httpd: seccompProfile', 'pollreload: runAsNonRoot',
            'pollreload: runAsUser', 'pollreload: seccompProfile',
        },
        'podman/pod.yaml': {
            'volumes', 'nginx: drop', 'nginx: hostPort',
            'nginx: allowPrivilegeEscalation', 'nginx: runAsNonRoot',
            'nginx: seccompProfile', 'pollreload: runAsNonRoot',
            'pollreload: seccompProfile',
        },
    }
    (pod,) = pods(where)

    assert {*violations(pod.spec)} == needs[where]


@pytest.mark.parametrize('where', MANIFESTS)
def test_sidecar_can_do_its_work(where: str) -> None:
    """It sees the application, is its user, and has the same directory and a ledger."""
    watched = [pod for pod in pods(where) if sidecars(pod.spec)]
    assert len(watched) == 1
    spec = watched[0].spec
    (sidecar,) = sidecars(spec)
    (app,) = (each for each in spec['containers'] if each is not sidecar)
    volumes = {each['name']: each for each in spec['volumes']}
    mounts = {each['mountPath']: each for each in sidecar['volumeMounts']}

    assert spec['shareProcessNamespace'] is True
    if where in RESTRICTED:
        (user,) = {
            {**spec['securityContext'], **each['securityContext']}['runAsUser']
            for each in (sidecar, app)
        }
        assert user == USERS.get(where.partition('/')[0], 101)
    # The directory is the volume of the application, whole.
    path = (command(sidecar) or [])[-1]
    config = mounts[path if path in mounts else setting(sidecar, 'file')]
    assert config['readOnly'] is True
    (of_app,) = (each for each in app['volumeMounts'] if each['name'] == config['name'])
    assert 'subPath' not in str((config, of_app))
    ledger = mounts[os.path.dirname(setting(sidecar, 'state-file'))]
    assert 'emptyDir' in volumes[ledger['name']]
    assert not ledger.get('readOnly')


@pytest.mark.parametrize('where', MANIFESTS)
def test_pollreload_has_little(where: str) -> None:
    """Wherever pollreload runs: no writable root, 64 MiB, and only ever this image."""
    for pod in pods(where):
        for each in containers(pod.spec):
            if command(each) is None:
                continue
            limit = int(each['resources']['limits']['memory'].removesuffix('Mi'))
            assert each['securityContext']['readOnlyRootFilesystem'] is True
            if each['image'] == IMAGE:
                assert limit == 64
            else:
                # It runs a program of the application's too.
                assert 64 <= limit <= 128
            if where in RESTRICTED:
                asked = each['resources']['requests']['memory']
                assert 12 < int(asked.removesuffix('Mi')) < limit


def test_commands_run_where_their_programs_are() -> None:
    """--validate and --verify only in the application's image, with us in it."""
    found = []
    for where in MANIFESTS:
        for pod in pods(where):
            for each in sidecars(pod.spec):
                if setting(each, 'validate') or setting(each, 'verify'):
                    found.append(where)
                    apps = [app for app in containers(pod.spec) if app is not each]
                    assert each['image'] in [app['image'] for app in apps]
                    (installer,) = (
                        app for app in pod.spec['initContainers']
                        if command(app) == ['install-to', '/pollreload']
                    )
                    volume = {
                        mount['name'] for app in (installer, each)
                        for mount in app['volumeMounts']
                        if mount['mountPath'] == '/pollreload'
                    }
                    assert len(volume) == 1
                    assert each['command'][0] == '/pollreload/pollreload'

    assert found == ['kubernetes/app-image.yaml']


def test_component_adds_the_sidecar_by_label() -> None:
    """The labelled Deployment gets the sidecar, last; the other stays as it was."""
    web, other = sorted(pods('overlay'), key=lambda pod: pod.name, reverse=True)
    given = yaml.safe_load((KUBERNETES / 'kustomize/app/other.yaml').read_text())

    assert [each['name'] for each in web.spec['containers']] == ['nginx', 'pollreload']
    assert web.spec['shareProcessNamespace'] is True
    assert other.name == 'other'
    assert other.spec == given['spec']['template']['spec']
    assert sidecars(other.spec) == []


def test_component_needs_volumes(tmp_path: Path) -> None:
    """To a pod without any kustomize can add none, and says which path is missing."""
    tool = fetched('newer/kubectl', 'get-newer.sh')
    shutil.copytree(OVERLAY.parent, tmp_path, dirs_exist_ok=True)
    other = tmp_path / 'app/other.yaml'
    labelled = '  name: other\n  labels: {pollreload: sidecar}\nspec:'
    other.write_text(other.read_text().replace('  name: other\nspec:', labelled))

    with pytest.raises(AssertionError, match=r'missing path: .*/template/spec/volumes'):
        tool_output(tool, 'kustomize', tmp_path / 'overlay')


def test_component_keeps_the_name_of_the_config() -> None:
    """Otherwise each change would be a new pod, and none would be signalled."""
    config = next(each for each in objects('overlay') if each['kind'] == 'ConfigMap')
    (web,) = (pod for pod in pods('overlay') if pod.name == 'web')

    (volume,) = (each for each in web.spec['volumes'] if each['name'] == 'config')

    assert volume['configMap']['name'] == config['metadata']['name'] == 'web'


def test_gvisor_is_asked_for() -> None:
    """The pod's class is the one that the manifest makes, of runsc."""
    (made,) = (
        each for each in objects('kubernetes/gvisor.yaml')
        if each['kind'] == 'RuntimeClass'
    )
    (pod,) = pods('kubernetes/gvisor.yaml')

    assert made['handler'] == 'runsc'
    assert pod.spec['runtimeClassName'] == made['metadata']['name']


def test_every_site_is_the_same() -> None:
    """The configuration is one, in the ConfigMaps and in the files beside them."""
    files = {
        path.read_text() for path in EXAMPLES.rglob('site.conf')
        if path.parent.name not in ('apache', 'nginx')
    }
    maps = {
        each['data']['site.conf'] for where in RESTRICTED for each in objects(where)
        if each['kind'] == 'ConfigMap' and '/pod.yaml' not in where
    }

    assert len(files | maps) == 1


def checked(schema: str, path: Path) -> None:
    """Have check-jsonschema judge a file by a schema that it brings along."""
    tool_output(
        sys.executable, '-m', 'check_jsonschema', '--builtin-schema', schema, path,
    )


def test_compose_is_accepted_by_its_tool() -> None:
    """docker-compose reads it as intended, and its schema accepts it."""
    compose = EXAMPLES / 'compose' / 'compose.yaml'
    checked('vendor.compose-spec', compose)
    tool = fetched('newer/docker-compose', 'get-newer.sh')

    got = yaml.safe_load(tool_output(tool, '-f', compose, 'config'))

    sidecar = got['services']['pollreload']
    assert sidecar['pid'] == 'service:nginx'
    assert sidecar['depends_on']['nginx']['restart'] is True
    assert sidecar['read_only'] is True
    assert sidecar['cap_drop'] == ['ALL']
    assert 'cap_add' not in sidecar
    assert sidecar['user'] == '101'
    assert int(sidecar['mem_limit']) == 64 << 20
    of_app = {each['target']: each for each in got['services']['nginx']['volumes']}
    mounts = {each['target']: each for each in sidecar['volumes']}
    config = sidecar['command'][-1]
    assert mounts[config]['read_only'] is True
    assert mounts[config]['source'] == of_app[config]['source']
    assert Path(mounts[config]['source']).is_dir()
    assert '/var/lib/pollreload' in mounts


def test_quadlets_are_generated(tmp_path: Path) -> None:
    """podman's generator makes a unit of each, with what is written in it."""
    folder = EXAMPLES / 'podman'
    tool = fetched('newer/quadlet', 'get-newer.sh')
    done = subprocess.run(
        [tool, '-dryrun'], capture_output=True, text=True, timeout=LONGEST, check=False,
        env={**environment(), 'QUADLET_UNIT_DIRS': str(folder)},
    )
    assert done.returncode == 0, done.stderr
    # What it does not know it says, and leaves out.
    said = [line for line in done.stderr.splitlines() if 'Loading' not in line]
    assert said == []

    parts = re.split(r'^---(.+)---$', done.stdout, flags=re.MULTILINE)
    units = dict(zip(parts[1::2], parts[2::2], strict=True))
    quadlets = [
        path for path in folder.iterdir()
        if path.suffix in ('.container', '.pod', '.volume')
    ]
    assert len(units) == len(quadlets)
    assert '--share=+pid' in units['web-pod.service']
    (line,) = re.findall(r'^ExecStart=(.*)$', units['pollreload.service'], re.MULTILINE)
    words = shlex.split(line)
    for word in ('--read-only', '--pod-id-file', '--security-opt=no-new-privileges',
                 '--memory=64m'):
        assert word in words
    assert ('--cap-drop all' in line, '--user 101' in line) == (True, True)
    # The directory of nginx.
    shared = re.findall(r' -v (/\S+) ', line)
    assert len(shared) == 1
    assert shared[0] in units['web.service']


def test_units_are_verified(tmp_path: Path) -> None:
    """systemd-analyze has nothing to say of any unit, once its program is there."""
    tool = needed('systemd-analyze', 'systemd')
    for path in SYSTEMD.glob('*.[st]*'):
        text = path.read_text().replace('/usr/local/bin/pollreload', sys.executable)
        (tmp_path / path.name).write_text(text)
    units = sorted(tmp_path.iterdir())
    assert len(units) == 3

    done = subprocess.run(
        [tool, 'verify', '--man=no', *units], capture_output=True, text=True,
        timeout=LONGEST, check=False, env=environment(),
    )

    # Of others, which are this machine's, it speaks too.
    ours = [line for line in done.stderr.splitlines() if 'pollreload' in line]
    assert ours == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(('name', 'most'), [
    ('pollreload.service', 15), ('pollreload-check.service', 30),
])
def test_units_are_hardened(name: str, most: int) -> None:
    """The exposure that systemd-analyze finds stays below; a plain service has 96."""
    tool = needed('systemd-analyze', 'systemd')

    tool_output(tool, 'security', '--offline=yes', f'--threshold={most}', '--no-pager',
        SYSTEMD / name)


@pytest.mark.parametrize('name', SERVICES)
def test_units_hide_no_process(name: str) -> None:
    """What would hide processes from it, or make its root another, is not set."""
    settings = unit(name)

    assert not {'ProtectProc', 'ProcSubset', 'PrivatePIDs', 'PrivateUsers', 'User',
                'DynamicUser'} & set(settings)
    assert 'CAP_KILL' in settings['CapabilityBoundingSet'][0].split()
    assert settings['NoNewPrivileges'] == ['yes']
    assert settings['ProtectSystem'] == ['strict']


def test_timer_starts_the_check() -> None:
    """It has the name of the service that it starts, and is wanted at boot."""
    timer = unit('pollreload-check.timer')

    assert 'Unit' not in timer
    assert 'pollreload-check.service' in SERVICES
    assert timer['WantedBy'] == ['timers.target']
    assert unit('pollreload-check.service')['SuccessExitStatus'] == ['75']


def ours(program: str) -> str:
    """Return the path of a program of the environment that runs the tests."""
    path = os.path.join(os.path.dirname(sys.executable), program)
    if not os.path.exists(path):
        missing(f'{path} is not here: pip install -e .[dev]')
    return path


# Its logs are its workers', as logrotate leaves them.
NGINX = """\
user www-data;
error_log /var/log/nginx/error.log;
events {}
http { server { listen 80; return 200 "the first answer\\n"; } }
"""
PREPARE = """
set -eu
printf %s "$0" >/etc/nginx/nginx.conf
nginx
chown www-data:adm /var/log/nginx/*.log
chmod 640 /var/log/nginx/*.log
change() { sed -i "s/the [a-z]* answer/the $1 answer/" /etc/nginx/nginx.conf; }
ask() { curl -s http://127.0.0.1/; }
"""


def machine(script: str, *arguments: str) -> str:
    """Return what a script prints on a machine of its own, where nginx runs.

    The machine is this one, read-only but for what nginx and pollreload write; that
    is empty, and gone at the end. It has pids and a network of its own, and
    pollreload in /usr/local/sbin.
    """
    tool = needed('bwrap', 'bubblewrap')
    needed('nginx', 'nginx')
    needed('curl', 'curl')
    if os.geteuid():
        missing('only root can start nginx, and a sidecar with less than root has')
    program = os.path.join(os.path.dirname(sys.executable), 'pollreload')
    if not os.path.exists(program):
        missing(f'{program} is not here: pip install -e .[dev]')
    empty = ('/run', '/var/log', '/var/lib', '/etc/nginx', '/usr/local/sbin')
    return tool_output(
        tool, '--die-with-parent', '--unshare-pid', '--unshare-net', '--unshare-ipc',
        '--cap-add', 'ALL', '--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc',
        *(word for place in empty for word in ('--tmpfs', place)),
        '--dir', '/var/log/nginx', '--dir', '/var/lib/nginx',
        '--symlink', program, '/usr/local/sbin/pollreload',
        'sh', '-c', f'{PREPARE}\n{script}', NGINX, *arguments, cwd='/',
        env={'PATH': '/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin'},
    )


def test_cron_takes_the_line(tmp_path: Path) -> None:
    """crontab has no objection to it, the column with the user left out."""
    tool = needed('crontab', 'cron')
    text = (EXAMPLES / 'cron/pollreload').read_text()
    # cron leaves a last line without its end unread.
    assert text.endswith('\n')
    without = tmp_path / 'crontab'
    without.write_text(re.sub(r'(?m)^((?:\S+ ){5})root ', r'\1', text))

    tool_output(tool, '-n', without)


def test_cron_delivers_once_and_is_silent_then() -> None:
    """There is mail for a change, and for a version that nginx refuses."""
    (job,) = crontab()
    # What cron sets (crontab(5)), and then what the file does; nothing else.
    given = {
        'HOME': '/root', 'LOGNAME': job.user, 'SHELL': '/bin/sh',
        'PATH': '/usr/bin:/bin', **job.variables,
    }
    variables = shlex.join(f'{name}={value}' for name, value in given.items())

    said = machine(f"""
        cron() {{
            env -i {variables} {given['SHELL']} -c "$1" >/run/mail 2>&1 || status=$?
            echo "mail $(wc -l </run/mail), status ${{status:-0}}"
            cat /run/mail
            status=
        }}
        cron "$1"
        change second; cron "$1"; ask
        cron "$1"
        echo broken >>/etc/nginx/nginx.conf; cron "$1"; ask
    """, job.command)

    assert job.user == 'root'
    first, told, then, refused = re.split('^mail ', said, flags=re.MULTILINE)[1:]
    assert (first, then) == ('0, status 0\n', '0, status 0\n')
    assert 'status 0' in told
    # On stdout; what -q leaves out would say so again.
    assert told.count('verified: nginx') == 1
    assert told.endswith('the second answer\n')
    assert 'status 1' in refused
    assert '--validate nginx refused' in refused
    assert refused.endswith('the second answer\n')


# As systemd does what the units say, with strace beside it: $1 what it may write,
# $2 its capabilities; then the command.
CONFINE = r"""
cat >/run/confine <<'END'
writable=$1
capabilities=$2
shift 2
echo $$ >/run/pid
for place in /run /var/log /var/lib; do mount -o remount,bind,ro "$place"; done
for place in $writable; do
    mount --bind "$place" "$place"
    mount -o remount,bind,rw "$place"
done
exec strace -D -f -qq -o /dev/fd/9 \
    setpriv --no-new-privs --bounding-set="$capabilities" "$@"
END
mkdir -m 700 /var/lib/pollreload
exec 9>/run/trace
confined() { unshare --mount $network sh /run/confine "$@"; }
"""


class Confined(NamedTuple):
    """What a service may, as CONFINE takes it.

    network: an option of unshare(1).
    """

    writable: list[str]
    capabilities: list[str]
    network: str


def confined(name: str) -> Confined:
    """Return the limits of a service."""
    settings = unit(name)
    writable = ' '.join(settings.get('ReadWritePaths', [])).split()
    capabilities = settings['CapabilityBoundingSet'][0].split()
    return Confined(
        ['/var/lib/pollreload', *(path.removeprefix('-') for path in writable)],
        [each.removeprefix('CAP_').lower() for each in capabilities],
        '--net' if settings.get('PrivateNetwork') == ['yes'] else '',
    )


def by_service(name: str, script: str, may: Confined) -> tuple[str, str]:
    """Return the output of a script that calls `service`, and of strace on it."""
    needed('strace', 'strace')
    needed('setpriv', 'util-linux')
    _, *words = started(name)
    capabilities = ','.join(['-all', *(f'+{each}' for each in may.capabilities)])
    said = machine(
        f'{CONFINE}\nnetwork={may.network}\n'
        f'service() {{ confined "$1" "$2" pollreload {shlex.join(words)}; }}\n'
        f'{script}\nexec 9>&-\necho == trace\ncat /run/trace',
        ' '.join(may.writable), capabilities,
    )
    printed, _, trace = said.partition('== trace\n')
    # What setpriv does before is systemd's, and under no limit.
    _, executed, trace = trace.partition(' execve("/usr/local/sbin/pollreload"')
    assert executed
    return printed, f'0{executed}{trace}'


@functools.cache
def group(name: str) -> frozenset[str]:
    """Return the system calls that systemd has in a group, or the one of that name."""
    if not name.startswith('@'):
        return frozenset([name])
    said = tool_output(needed('systemd-analyze', 'systemd'), 'syscall-filter', name)
    inner = [line.strip() for line in said.splitlines()[1:]]
    return frozenset().union(*(
        group(each) for each in inner if each and not each.startswith('#')
    ))


def refused(name: str, trace: str) -> set[str]:
    """Return the calls in a trace that a service's settings forbid."""
    settings = unit(name)
    allowed: frozenset[str] = frozenset()
    for line in settings['SystemCallFilter']:
        calls = frozenset().union(*(group(each) for each in line.lstrip('~').split()))
        allowed = allowed - calls if line.startswith('~') else allowed | calls
    found = set(re.findall(r'^\d+ +(\w+)\(', trace, re.MULTILINE)) - allowed
    families = settings['RestrictAddressFamilies'][0].split()
    found |= {
        family for family in re.findall(r' socket(?:pair)?\((\w+)', trace)
        if family not in families
    }
    if 'MemoryDenyWriteExecute' in settings:
        found |= set(re.findall(r'PROT_WRITE\|PROT_EXEC', trace))
    return found


def test_service_delivers_within_its_limits() -> None:
    """A change is delivered with what pollreload.service may write, signal and call."""
    name = 'pollreload.service'
    said, trace = by_service(name, """
        wait_for() { until grep -q "$1" /run/log; do sleep 0.1; done; }
        POLLRELOAD_INTERVAL=200ms service "$1" "$2" 2>/run/log &
        wait_for ' baseline: '
        change second; wait_for ' verified: '
        ask
        ls /var/lib/pollreload
        kill "$(cat /run/pid)"
        wait $!
        cat /run/log
    """, confined(name))

    assert said.startswith('the second answer\nnginx.ledger\n')
    assert ' stopped: ' in said
    assert len(re.findall(' signalled: ', said)) == 1
    assert 'pidfd_send_signal(' in trace
    assert refused(name, trace) == set()


CHECK = 'pollreload-check.service'
ONCE = """
    service "$1" "$2"
    change second; service "$1" "$2" || echo "status $?"
    ask
"""


def test_check_delivers_within_its_limits() -> None:
    """nginx -t succeeds with what pollreload-check.service may do, and nginx is
    signalled.
    """
    said, trace = by_service(CHECK, ONCE, confined(CHECK))

    assert 'verified: nginx' in said
    assert said.endswith('the second answer\n')
    assert refused(CHECK, trace) == set()


NEEDS = ['net_bind_service', 'dac_override', '/run/nginx.pid', '/var/log/nginx']


@pytest.mark.parametrize('less', NEEDS)
def test_check_needs_each_exception(less: str) -> None:
    """Without any one of its exceptions nginx -t fails, and nginx is not signalled."""
    may = confined(CHECK)
    assert {less} & {*may.writable, *may.capabilities}
    fewer = may._replace(
        writable=[each for each in may.writable if each != less],
        capabilities=[each for each in may.capabilities if each != less],
    )

    said, trace = by_service(CHECK, ONCE, fewer)

    assert 'status 1\n' in said
    assert '--validate nginx refused' in said
    assert 'pidfd_send_signal(' not in trace


def test_forbidden_calls_are_seen() -> None:
    """The judge of traces can refuse: a call, a socket, memory both ways."""
    trace = (
        '7 read(0, "", 1) = 0\n7 setpriority(PRIO_PROCESS, 0, 5) = 0\n'
        '7 socket(AF_INET, SOCK_STREAM, 0) = 3\n'
        '7 mmap(NULL, 4096, PROT_READ|PROT_WRITE|PROT_EXEC, 34, -1, 0) = 0x7f\n'
    )

    assert refused('pollreload.service', trace) == {
        'setpriority', 'AF_INET', 'PROT_WRITE|PROT_EXEC',
    }


@pytest.mark.parametrize(('name', 'schema'), [
    ('github', 'vendor.github-workflows'), ('gitlab', 'vendor.gitlab-ci'),
])
def test_ci_jobs_fit_the_schemas(name: str, schema: str) -> None:
    """Each is what its maker's schema asks for."""
    checked(schema, EXAMPLES / 'ci' / f'{name}.yaml')


@pytest.fixture(scope='module')
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout, as a job has it, with an environment of its own in .venv.

    Its pip is that of the tests: to install another takes longer than the job.
    """
    top = tmp_path_factory.mktemp('clone')
    for name in ('LICENSE', 'README.md', 'pyproject.toml', 'setup.cfg'):
        shutil.copy(ROOT / name, top)
    for name in ('examples', 'pollreload'):
        leave = shutil.ignore_patterns('__pycache__')
        shutil.copytree(ROOT / name, top / name, ignore=leave)
    venv.create(top / '.venv', symlinks=True)
    pip = top / '.venv/bin/pip'
    its = top / '.venv/bin/python'
    words = shlex.join([sys.executable, '-m', 'pip', '--python', str(its)])
    pip.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    pip.chmod(0o755)
    return top


@pytest.mark.timeout(300)  # pip fetches setuptools, for each
@pytest.mark.parametrize('name', ['github', 'gitlab'])
def test_ci_jobs_run(name: str, clone: Path, tmp_path: Path) -> None:
    """Their script succeeds, has notified the server, and leaves no process."""
    script, given = jobs()[name]
    outer = environment()
    kept = [each for each in outer if re.match('PIP_|.*_proxy$', each, re.IGNORECASE)]
    job = subprocess.Popen(
        ['/bin/sh', '-e', '-c', script], cwd=clone, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={
            **{each: outer[each] for each in kept}, **given,
            'HOME': str(tmp_path), 'PATH': f'{clone}/.venv/bin:/usr/bin:/bin',
        },
    )
    try:
        # All that it started has ended, too, because they share its stderr.
        out, err = job.communicate(timeout=250)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
    if 'No matching distribution' in err:
        missing(f'the package index cannot be reached: {err.strip()}')

    assert job.returncode == 0, out + err
    assert re.search('^ok +deliver SIGHUP', out, re.MULTILINE)
    assert (clone / '.venv/bin/pollreload').exists()


def scripts() -> list[str]:
    """Return the shell scripts of the project."""
    # Not of what is made here: .venv, .quickstart, a virtual environment of others.
    tops = [path for path in ROOT.iterdir() if not path.name.startswith('.')]
    found = [*ROOT.glob('*.sh'), ROOT / '.ci/run']
    for top in tops:
        if top.is_dir() and not (top / 'pyvenv.cfg').exists():
            found += top.rglob('*.sh')
    return sorted(str(path.relative_to(ROOT)) for path in found)


@pytest.mark.parametrize('script', scripts())
def test_shell_scripts_are_clean(script: str) -> None:
    """shellcheck finds nothing in any script."""
    tool_output(needed('shellcheck', 'shellcheck'), ROOT / script)


def test_nothing_takes_pollreload_from_an_index() -> None:
    """It is in none: what says how to install it names a clone."""
    for path in (*EXAMPLES.rglob('*'), ROOT / 'README.md', *ROOT.glob('docs/*.md')):
        if path.is_file():
            assert 'pip install pollreload' not in path.read_text()
            assert "'pollreload[" not in path.read_text()


FOLDERS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())


@pytest.mark.parametrize('folder', FOLDERS)
def test_index_has_every_folder(folder: str) -> None:
    """Each folder is named in the index, and says in few lines when to take it."""
    index = (EXAMPLES / 'README.md').read_text()

    assert re.search(rf'\]\({folder}/', index)
    title, _, *body = (EXAMPLES / folder / 'README.md').read_text().splitlines()
    # A table says of each of several what it is for.
    lines = [line for line in body if line and not line.startswith('|')]
    assert title.startswith('# ')
    assert re.match('(For|To) ', lines[0]), lines[0]
    assert 2 <= len(lines) <= 7


def test_the_page_of_the_image_quotes_the_example() -> None:
    """Each line of the excerpt is in app-image.yaml, in this order; it is YAML, too."""
    page = (ROOT / 'docs/image.md').read_text().partition('## In the image of your')[2]
    excerpt = page.partition('```yaml\n')[2].partition('```')[0]
    lines = iter((EXAMPLES / 'kubernetes/app-image.yaml').read_text().splitlines())

    assert len(excerpt.splitlines()) > 10
    for line in excerpt.splitlines():
        assert line in lines, line
    assert {*yaml.safe_load(excerpt)} == {'initContainers', 'containers'}


def test_the_page_of_the_image_names_what_is_left_out() -> None:
    """What the script of the image leaves out by name."""
    page = (ROOT / 'docs/image.md').read_text()

    for name in (*closure.WITHOUT, *closure.UNASKED, 'idna'):
        assert f'`{name}`' in page


@pytest.mark.parametrize('readme', ['README.md', *(
    below(path) for path in sorted(EXAMPLES.glob('*/README.md'))
)])
def test_links_lead_somewhere(readme: str) -> None:
    """The files that a README.md of the examples links to exist."""
    path = EXAMPLES / readme

    for link in re.findall(r'\]\(([^):#]+)\)', path.read_text()):
        assert (path.parent / link).exists(), link
