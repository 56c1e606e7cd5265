"""What a watch remembers over a restart."""
from __future__ import annotations

import json
import os
from pathlib import Path

from pollreload.system import ledger_file
from tests.support import targets
from tests.support.sidecar import watch, write
from tests.support.targets import unsignalled
from tests.support.watching import comm, told, watching


def test_ledger_remembers_over_a_restart(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """What changed while no watch ran is delivered by the next; what did not, is not.
    """
    args = ('--process', comm(target), '--state-file', f'{tmp_path}/memory', conf)
    with watch(*args) as it:
        it.until('baseline')
        it.stop()
    with watch(*args) as it:
        it.until('started')
        quiet = it.poll()
        it.stop()
    write(conf, 'second')
    with watch(*args) as it:
        it.until('delivered')
        got = target.read()
        alone = unsignalled(target)

    assert quiet == []
    assert got == 'HUP'
    assert alone


def test_corrupt_ledger_is_kept_and_no_process_is_notified(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """A baseline is taken whatever --on-start says, and the watch goes on."""
    memory = tmp_path / 'memory'
    memory.write_text('{')
    with watching(
            target, '--on-start', 'always', '--state-file', str(memory), conf,
    ) as it:
        it.poll()
        alone = unsignalled(target)
        good = told(it, conf, target)

    assert it.count('failed', reason='ledger') == 1
    assert 'taking a baseline' in it.seen[1]['message']
    assert len(list(tmp_path.glob('memory.kept-*'))) == 1
    assert alone
    assert good


def test_ledger_that_another_holds_is_done_without(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """Nothing about the ledger ends a watch."""
    memory = str(tmp_path / 'memory')
    lock = ledger_file.lock(memory)
    with watching(target, '--state-file', memory, conf) as it:
        good = told(it, conf, target)
    os.close(lock)

    assert it.count('failed', reason='ledger') == 1
    assert good
    assert not os.path.exists(memory)


def test_ledger_that_is_a_link_is_done_without(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """Never through a link, and never over one."""
    memory = tmp_path / 'memory'
    memory.symlink_to('elsewhere')
    with watching(target, '--state-file', str(memory), conf) as it:
        good = told(it, conf, target)

    assert 'is a symbolic link' in it.seen[1]['message']
    assert good
    assert memory.is_symlink()


def test_ledger_that_breaks_in_the_meantime_is_said_once_and_used_when_fixed(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """The watch goes on with what it remembers itself."""
    memory = tmp_path / 'memory'
    with watching(target, '--state-file', str(memory), conf) as it:
        it.poll()
        memory.unlink()
        memory.mkdir()
        good = told(it, conf, target) and told(it, conf, target)
        said = it.count('failed', reason='ledger')
        memory.rmdir()
        good = good and told(it, conf, target)

    assert good
    assert said == 1
    assert it.count('failed', reason='ledger') == 1
    assert json.loads(memory.read_bytes())['version'] == 1
