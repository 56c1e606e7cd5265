"""An idle poll is cheap: every poll of every sidecar pays for it.

The time of a poll is too noisy to see a change of a few percent; the number of
bytecode instructions is the same in each run.
"""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pollreload.runtime.watch import Watch
from pollreload.settings import Settings
from pollreload.system import stat_cache

TOOL = 4  # not reserved, see sys.monitoring
MOST = 1300  # bytecode instructions; 1,243 when this was written


def ignore(event: str, message: str, /, **fields: object) -> None:
    """Log nothing."""


def poll_again(watch: Watch) -> None:
    """Make the next poll of a watch due and step it."""
    watch.state = watch.state._replace(poll_at=0.0, next_reading=0.0, next=0.0)
    watch.step()


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 12), reason='the limit is for the bytecode of 3.12',
)
def test_idle_poll_takes_few_bytecode_instructions(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A poll of one unchanged file stays below the limit."""
    # As if the file had been written long ago.
    monkeypatch.setattr(stat_cache, 'GRAIN', -60.0)
    path = tmp_path / 'app.conf'
    path.write_text('x')
    watch = Watch(Settings(
        (str(path),), 'no-such-process', settle=0.0, on_start='never',
    ), ignore)
    for _ in range(4):
        poll_again(watch)
    counted = 0

    def count(*_: object) -> None:
        nonlocal counted
        counted += 1

    monitoring = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    monitoring.use_tool_id(TOOL, 'idle poll')
    try:
        monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, count)
        monitoring.set_events(TOOL, monitoring.events.INSTRUCTION)
        poll_again(watch)
        monitoring.set_events(TOOL, 0)
    finally:
        monitoring.free_tool_id(TOOL)

    assert watch.state.version.state == 'current'
    assert 1000 < counted <= MOST
