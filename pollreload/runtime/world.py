"""The world of one watch: the edges, as the functions that a step takes."""
from __future__ import annotations

import os
from collections.abc import Callable

from pollreload.core.state import Say, State, World, notified_targets
from pollreload.runtime import shown
from pollreload.runtime.observer import Observer
from pollreload.runtime.runner import Runner
from pollreload.runtime.targets import (
    absent,
    birth_time,
    entitle,
    find_targets,
    handling_descendant,
    has_exited,
    health,
    program_id,
    send_signal,
    us,
)
from pollreload.settings import Settings, runs_commands
from pollreload.system import process_table, procfs, signal_masks
from pollreload.system.fingerprint import fingerprint


def jitter() -> float:
    """Return a random number in [0, 1); the random module would load OpenSSL."""
    return int.from_bytes(os.urandom(4), 'little') / 2**32


def splay_of_host(splay: float) -> float:
    """Return this host's share of --splay: the same every time, in [0, splay)."""
    share = int(fingerprint([{os.uname().nodename: b''}])[:8], 16)
    return splay * share / 2**32


def world(
        settings: Settings, observer: Observer, runner: Runner, say: Say,
        save: Callable[[State], bool], state: Callable[[], State],
) -> World:
    """Return the world of a watch.

    state: the state of the watch, which may be that before the current step.
    """
    if settings.pidfile is not None:
        # Not at the first change: an upgrade may have moved us away by then.
        from pollreload.runtime import pidfile_target  # noqa: F401
    if runs_commands(settings):
        from pollreload.core import context  # noqa: F401
    return World(
        now=procfs.now,
        jitter=jitter,
        read=observer.poll,
        digest=fingerprint,
        targets=lambda: find_targets(settings, notified_targets(state())),
        absent=lambda: absent(settings),
        born=birth_time,
        masks=signal_masks.masks,
        health=health,
        gone=has_exited,
        below=lambda process: handling_descendant(settings, process),
        program=program_id,
        send=send_signal,
        family=process_table.family,
        run=lambda command, additions: runner.run(
            command, shown.shown_environment(state(), additions),
        ),
        ask=lambda url: runner.ask(settings, url),
        ran=runner.ran,
        cancel=runner.cancel,
        output=runner.output,
        save=save,
        say=say,
        ticks=procfs.ticks(),
        splay=splay_of_host(settings.splay),
        us=us(),
        entitle=entitle,
        stack=lambda process: procfs.stack_start(process.pid, process.started),
    )
