"""How fast versions are delivered."""
from __future__ import annotations

import time

from tests.support import targets
from tests.support.sidecar import write
from tests.support.watching import watching


def test_version_that_never_settles_is_delivered_after_max_wait(
        conf: str, target: targets.Target,
) -> None:
    """A file that changes before each poll, with --max-wait."""
    with watching(target, '--settle', '2s', '--max-wait', '2s', conf) as it:
        write(conf, '0')
        started = time.monotonic()
        for number in range(1, 1000):
            it.poll()
            if it.count('delivered'):
                break
            write(conf, f'{number}')
            time.sleep(0.05)
        took = time.monotonic() - started

    assert target.read() == 'HUP'
    assert took > 1.9
    assert it.count('changed') == it.count('signalled') == 1


def test_last_valid_version_is_delivered_after_max_wait(
        conf: str, target: targets.Target,
) -> None:
    """Each version is replaced while --validate runs on it, here by that itself."""
    replace = f"sh -c 'date +%N >{conf}.new; mv {conf}.new {conf}'"
    with watching(target, '--validate', replace, '--max-wait', '1s', conf) as it:
        write(conf, 'second')
        it.poll()
        late = it.until('changed', reason='max wait')
        before = it.count('signalled')
        it.until('delivered')

    assert target.read() == 'HUP'
    assert before == 0
    assert 'the last version that validated is delivered' in late['message']


def test_changes_within_min_interval_are_delivered_once_at_its_end(
        conf: str, target: targets.Target,
) -> None:
    """The last of them, with --min-interval."""
    words = '--interval', '100ms', '--min-interval', '4s'
    with watching(target, *words, conf) as it:
        write(conf, '1')
        it.until('delivered')
        for number in range(2, 5):
            write(conf, f'{number}')
        it.until('held', reason='min interval')
        started = time.monotonic()
        write(conf, '5')
        it.until('changed')
        it.until('delivered')
        took = time.monotonic() - started

    assert [target.read(), target.read()] == ['HUP', 'HUP']
    assert it.count('signalled') == 2
    assert took > 1.0
