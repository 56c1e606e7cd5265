"""File access that may hang: in a child, and for a limited time."""
from __future__ import annotations

import os

import pytest

from pollreload.runtime import guard
from pollreload.system import children, procfs


@pytest.fixture(autouse=True)
def nothing_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not answer in another test is no matter here."""
    monkeypatch.setattr(guard, 'STUCK', {})


@pytest.mark.usefixtures('far')
def test_value_of_what_may_hang_comes_from_a_child() -> None:
    """Whatever it would do to us, it does to the child."""
    assert guard.with_time_limit(os.getppid, '/a') == os.getpid()


@pytest.mark.usefixtures('far')
def test_while_a_child_hangs_no_other_is_started_nor_soon_after(
        monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each would stay as the first, or cost its seconds, and the other watches wait."""
    hangs, clock, asked = True, 1000.0, 0
    buried = False
    stuck = children.Stuck(41)

    def within(*_: object) -> str:
        if hangs:
            raise stuck
        return 'answers'

    def still(pid: int) -> bool:
        nonlocal asked
        asked += 1
        assert pid == 41
        return hangs and not buried

    monkeypatch.setattr(children, 'within', within)
    monkeypatch.setattr(children, 'hangs', still)
    monkeypatch.setattr(procfs, 'now', lambda: clock)

    def refused() -> BaseException:
        with pytest.raises(TimeoutError) as caught:
            guard.with_time_limit(lambda: None, '/a', '/b')
        return caught.value

    assert refused() is stuck
    assert refused() is not stuck
    clock += 60.0
    assert refused() is not stuck  # it hangs still
    hangs, buried = False, True
    clock -= 55.0
    assert [refused() is stuck for _ in range(3)] == [False] * 3
    assert asked > 0
    guard.forget_timeouts()
    hangs = True
    assert refused() is stuck  # asked at once, as after HUP
    hangs = False
    assert refused() is not stuck
    clock += 10.0
    assert guard.with_time_limit(lambda: None, '/a', '/b') == 'answers'
    assert guard.STUCK == {}
