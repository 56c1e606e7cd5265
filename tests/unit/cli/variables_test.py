"""Which environment variables are taken for misspelt options."""
from __future__ import annotations

import pytest

from pollreload.cli import variables
from pollreload.settings import Note


@pytest.mark.parametrize('name', [
    'POLLRELOAD_FILE', 'POLLRELOAD_TIMEOUT', 'POLLRELOAD_MAX_AGE', 'POLLRELOAD_OUTPUT',
    'POLLRELOAD_FINGERPRINT_KEY', 'POLLRELOAD_PID', 'POLLRELOAD_SERVICE_HOST',
    'POLLRELOAD_SERVICE_PORT', 'POLLRELOAD_SERVICE_PORT_METRICS', 'POLLRELOAD_PORT',
    'POLLRELOAD_PORT_9533_TCP_ADDR', 'POLLRELOAD_METRICS_SERVICE_HOST',
    'POLLRELOAD_METRICS_PORT_80_TCP', 'POLLRELOADS', 'SIGNAL', '_POLLRELOAD_COMPLETE',
])
def test_variable_that_means_something_else_is_no_mistake(name: str) -> None:
    """Options of any command, what Kubernetes injects, and what is not ours."""
    assert variables.variable_warnings('', {name: 'x'}) == ()


@pytest.mark.parametrize(('name', 'says'), [
    ('POLLRELOAD_VERIFY_WORKER', '; did you mean POLLRELOAD_VERIFY_WORKERS?'),
    ('POLLRELOAD_PID_FILE', '; did you mean POLLRELOAD_PIDFILE?'),
    ('POLLRELOAD_USER', '; did you mean POLLRELOAD_UID?'),
    ('POLLRELOAD_PATHS', '; did you mean POLLRELOAD_FILE?'),
    ('POLLRELOAD_STATUS', '; did you mean POLLRELOAD_STATUS_FILE?'),
    ('POLLRELOAD_LOG_LEVEL', '; did you mean POLLRELOAD_VERBOSE?'),
    ('POLLRELOAD_XYZZY', '; see --help'),
])
def test_variable_that_is_no_option_is_noted(name: str, says: str) -> None:
    """With the nearest name; an empty one counts as unset, as for options."""
    noted = variables.variable_warnings('web', {name: '1', 'POLLRELOAD_FILE': '/a'})

    assert noted == (
        Note('web', 'unknown variable', name, f'{name} is not an option{says}'),
    )
    assert variables.variable_warnings('', {name: ''}) == ()
