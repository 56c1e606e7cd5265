"""Watches that a config file made, for the tests of its changes."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pollreload.runtime.watch import Watch
from pollreload.settings import Settings
from tests.support.watch_log import Log


def made(conf: str, name: str, **more: Any) -> Settings:
    """Return the settings of a watch, for a process of its name."""
    return Settings(**{
        'paths': (conf,), 'process': name, 'name': name, 'settle': 0.0,
        'on_start': 'never', **more,
    })


def recording(log: Log) -> Callable[..., Watch]:
    """Return a function that begins watches, which say what they do to a log."""
    def begin(settings: Settings, before: Watch | None = None, /) -> Watch:
        log('began', settings.name, before=before)
        return Watch(settings, log, before=before)

    return begin
