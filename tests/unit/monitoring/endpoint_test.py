"""What the HTTP server of a watch knows about the configuration file."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from pollreload.monitoring.endpoint import Endpoint
from pollreload.settings import Plan, Settings
from tests.servers.harness import free_port


def test_config_file_is_accepted_or_not() -> None:
    """With the time at which it last was; None without such a file."""
    endpoint = Endpoint(Plan((Settings(),), listen=('127.0.0.1', free_port())))
    try:
        without = endpoint.config()
        endpoint.reader = cast(Any, SimpleNamespace(trouble='', taken=7.0))
        good = endpoint.config()
        endpoint.reader = cast(Any, SimpleNamespace(trouble='w.toml:1: no', taken=0.0))
        bad = endpoint.config()
    finally:
        endpoint.server.listener.close()

    assert without is None
    assert good == (True, 7.0)
    assert bad == (False, endpoint.began)
