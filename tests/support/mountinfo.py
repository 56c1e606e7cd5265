"""A mount table that a test makes up."""
from __future__ import annotations

from pathlib import Path

import pytest

from pollreload.system import mounts


def pretend(
        monkeypatch: pytest.MonkeyPatch, file: Path | str, others: dict[str, str],
) -> None:
    """Use a file with these mounts as /proc/self/mountinfo (proc(5)).

    others: mount point -> 'TYPE' or 'TYPE ROOT', where the root is / by default.
    """
    lines = []
    for point, mount in others.items():
        kind, _, root = mount.partition(' ')
        lines.append(
            f'36 35 98:0 {root or "/"} {point} rw,noatime shared:1 master:2 - {kind} '
            f'server:/export - rw\n',
        )
    Path(file).write_text(''.join(lines), 'utf-8')
    monkeypatch.setattr(mounts, 'MOUNTINFO', str(file))
    # A plain file has no POLLPRI to say that it is another.
    mounts.open_mount_table.cache_clear()
