"""What the image contains, by packaging/image/closure.py."""
from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.sidecar import ROOT, environment


@pytest.mark.parametrize(('tls', 'there'), [('', False), ('1', True)])
def test_openssl_is_in_the_image_if_asked_for(tls: str, there: bool) -> None:
    """TLS=1 adds what https needs, and nothing that only hashlib needs."""
    # What coverage loads into every child is not part of an interpreter.
    variables = {
        name: value for name, value in environment({'TLS': tls}).items()
        if not name.startswith('COVERAGE_')
    }
    done = subprocess.run(
        [sys.executable, f'{ROOT}/packaging/image/closure.py', 'pollreload'],
        env=variables, stdout=subprocess.PIPE, check=True, text=True,
    )

    names = {line.split()[0] for line in done.stdout.splitlines()}
    assert ({'ssl', '_ssl'} <= names) is there
    assert names.isdisjoint({'hashlib', '_hashlib'})
    assert 'http.client' in names
    # Imported only under a condition on the environment.
    assert 'pollreload.runtime.service_manager' in names
