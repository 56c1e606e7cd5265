"""examples/systemd/pollreload.service, run by a real systemd.

It is pid 1 in namespaces of its own, over the files of this machine. Inside, a script
does what an operator would, and writes what it sees.
"""
from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.harness import ROOT, needed
from tests.servers.harness import missing

UNIT = ROOT / 'examples/systemd/pollreload.service'
SYSTEMD = '/lib/systemd/systemd'
NAMESPACES = ('--mount', '--pid', '--uts', '--ipc', '--net', '--cgroup')
# As long as a machine with much else to do may take.
DEADLINE = 90.0

# $1: an empty directory. $2: what is bound to /mnt. Nothing outside is written to.
BOOT = r'''
set -eu
root=$1
mount --make-rprivate /
mount --rbind / "$root"
for each in /run /tmp /var/log /var/lib /mnt; do mount -t tmpfs tmpfs "$root$each"; done
mount --bind "$2" "$root/mnt"
mount -t proc proc "$root/proc"
umount -R "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mkdir -p "$root/run/systemd/system" "$root/run/old"
cp -r "$2/units/." "$root/run/systemd/system"
cd "$root"
pivot_root . run/old
umount -l /run/old
exec env -i container=sandbox PATH="$PATH" /lib/systemd/systemd --system \
    --unit=test.target --show-status=no
'''

# The target, and what an operator does.
APP = r'''
import signal
with open('/proc/self/comm', 'w') as file:
    file.write('nginx')
def take(*_):
    with open('/mnt/signals', 'a') as file:
        file.write('HUP\n')
signal.signal(signal.SIGHUP, take)
while True:
    signal.pause()
'''
OPERATOR = r'''
set -eu
cd /mnt
show() { systemctl show -p ActiveState,StatusText,NRestarts,MainPID pollreload >"$1"; }
mkdir -p /run/app
echo first >/run/app/app.conf
systemctl start app pollreload
show started
printf '%s' "$(systemctl show -P NotifyAccess pollreload)" >access
echo second >/run/app/app.conf
while ! [ -e signals ]; do sleep 0.1; done
status() { systemctl show -P StatusText pollreload; }
while [ "$(status)" != 'up to date' ]; do sleep 0.1; done
systemctl reload pollreload
show reloaded
tr '\0' '\n' </proc/"$(systemctl show -P MainPID pollreload)"/environ >environ
systemctl kill --kill-whom=main --signal=STOP pollreload
while [ "$(systemctl show -P NRestarts pollreload)" = 0 ]; do sleep 0.1; done
while [ "$(systemctl show -P ActiveState pollreload)" != active ]; do sleep 0.1; done
show restarted
systemctl stop pollreload
show stopped
journalctl --sync
journalctl -u pollreload -o json --output-fields=PRIORITY,MESSAGE >journal
: >done
'''
UNITS = {
    'test.target': '[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\n'
        'Wants=operator.service systemd-journald.socket\n',
    'operator.service': '[Unit]\nDefaultDependencies=no\n'
        'Wants=systemd-journald.service\nAfter=systemd-journald.service\n[Service]\n'
        'Type=oneshot\nExecStart=/bin/sh /mnt/operator.sh\n'
        'StandardOutput=file:/mnt/out\nStandardError=file:/mnt/err\n'
        'ExecStopPost=/bin/systemctl --force --force poweroff\n',
    'app.service': '[Unit]\nDefaultDependencies=no\n[Service]\nType=exec\n'
        'ExecStart=@PYTHON@ /mnt/app.py\n',
    # The unit as it is, but for paths, and a pace that a test can wait for.
    'pollreload.service.d/test.conf': '[Unit]\nDefaultDependencies=no\n[Service]\n'
        'Environment=PYTHONPATH=/mnt PYTHONDONTWRITEBYTECODE=1\nExecStart=\n'
        'ExecStart=@PYTHON@ -m pollreload watch --process nginx --uid 0 '
        '--interval 250ms --settle 0 --min-uptime 0 --on-start never --survive 100ms '
        '--state-file ${STATE_DIRECTORY}/nginx.ledger /run/app\n'
        'WatchdogSec=8s\nReadWritePaths=/mnt\n',
}


pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope='module')
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the operator saw, by the name of its file."""
    if os.geteuid() != 0 or not os.path.exists(SYSTEMD):
        missing('systemd cannot be booted here: be root, and apt-get install systemd')
    unshare = needed('unshare', 'util-linux')
    share, root = tmp_path_factory.mktemp('share'), tmp_path_factory.mktemp('root')
    for name in 'pollreload', 'click', 'xxhash':
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, share / name)
    (share / 'app.py').write_text(APP)
    (share / 'operator.sh').write_text(OPERATOR)
    python = os.path.realpath(sys.executable)
    for name, text in UNITS.items():
        unit = share / 'units' / name
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text(text.replace('@PYTHON@', python))
    shutil.copy(UNIT, share / 'units')
    (share / 'boot.sh').write_text(BOOT)

    done = subprocess.run(
        [unshare, *NAMESPACES, '--fork', '--kill-child', 'sh', str(share / 'boot.sh'),
         str(root), str(share)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=DEADLINE, check=False, text=True,
    )

    err = share / 'err'
    assert (share / 'done').exists(), (
        done.stdout, err.read_text() if err.exists() else '',
        {each.name: each.read_text() for each in share.iterdir() if each.is_file()},
    )
    return {each.name: each.read_text() for each in share.iterdir() if each.is_file()}


def shown(text: str) -> dict[str, str]:
    """Return what systemctl show printed."""
    return dict(line.split('=', 1) for line in text.splitlines())


def test_unit_is_active_once_the_baseline_is_taken(seen: dict[str, Any]) -> None:
    """`systemctl start` returns then, and `status` says how it is."""
    it = shown(seen['started'])

    assert (it['ActiveState'], it['StatusText']) == ('active', 'up to date')
    assert seen['access'] == 'main'


def test_unit_delivers_a_change_and_survives_a_reload(seen: dict[str, Any]) -> None:
    """One signal for one change; `systemctl reload` polls, and restarts nothing."""
    before, after = shown(seen['started']), shown(seen['reloaded'])

    assert seen['signals'] == 'HUP\n'
    assert after == before
    assert 'NOTIFY_SOCKET=/run/systemd/notify' in seen['environ'].splitlines()


def test_watchdog_restarts_a_unit_that_polls_no_more(seen: dict[str, Any]) -> None:
    """It was stopped by SIGSTOP; the new one is ready, and nothing is signalled."""
    it = shown(seen['restarted'])

    assert (it['ActiveState'], it['NRestarts']) == ('active', '1')
    assert it['MainPID'] != shown(seen['started'])['MainPID']


def test_journal_has_priorities_and_no_second_time(seen: dict[str, Any]) -> None:
    """<N> is taken off the line by systemd, and the line begins with the event."""
    lines = [json.loads(line) for line in seen['journal'].splitlines()]
    found = {
        each['MESSAGE'].partition(':')[0]: each['PRIORITY'] for each in lines
        if each['MESSAGE'].partition(':')[0] in ('started', 'changed', 'delivered')
    }

    assert found == {'started': '6', 'changed': '6', 'delivered': '6'}
