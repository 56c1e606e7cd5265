"""What a watch logs from its start to its end."""
from __future__ import annotations

import subprocess

from tests.support import targets
from tests.support.sidecar import watch, write
from tests.support.targets import unsignalled
from tests.support.watching import comm, told, watching


def test_change_is_delivered_once_and_said_in_order(
        conf: str, target: targets.Target,
) -> None:
    """One line for each event, none for an idle poll, and 0 at the end."""
    with watching(target, conf) as it:
        idle = it.poll()
        write(conf, 'second')
        it.poll()
        it.until('delivered')
        got = target.read()
        write(conf, 'second')
        same = it.poll()
        alone = unsignalled(target)
        status = it.stop()

    assert status == 0
    assert (idle, same, got, alone) == ([], [], 'HUP', True)
    assert [each['event'] for each in it.seen if each['event'] != 'status'] == [
        'started', 'baseline', 'changed', 'signalled', 'delivered', 'stopped',
    ]


def test_well_known_sidecar_variables_are_enough(
        conf: str, target: targets.Target,
) -> None:
    """FILE, PROCESS and SIGNAL: a manifest works with only the image changed."""
    env = {'FILE': conf, 'PROCESS': comm(target), 'SIGNAL': 'SIGHUP'}
    with watch(env=env) as it:
        it.until('baseline')
        assert told(it, conf, target)


def test_variables_that_kubernetes_makes_up_are_left_alone(
        conf: str, target: targets.Target,
) -> None:
    """A Service called pollreload must not stop the sidecar."""
    env = {
        'POLLRELOAD_SERVICE_HOST': '10.0.0.1', 'POLLRELOAD_PORT': 'tcp://10.0.0.1:80',
        'POLLRELOAD_SETTLE': '', 'POLLRELOAD_PROCESS': comm(target),
        'POLLRELOAD_FILE': f'{conf}:{conf}.other',
    }
    with watch(env=env) as it:
        started = it.until('started')
        it.until('baseline')

    assert started['paths'] == [conf, f'{conf}.other']


def test_usage_error_is_2() -> None:
    """What the child finds wrong with the arguments is our status."""
    with watch('--interval', '0') as it:
        status = it.wait()

    assert status == 2
    assert len(it.seen) == 1
    assert '--interval' in it.seen[0]['message']


def test_help_is_0() -> None:
    """--help prints on stdout and ends."""
    with watch('--help', stdout=subprocess.PIPE) as it:
        status = it.wait()
        assert it.child.stdout is not None
        said = it.child.stdout.read()

    assert status == 0
    assert b'--handler-check' in said
