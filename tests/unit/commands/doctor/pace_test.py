"""The rows of doctor about --max-wait, --min-interval, --interval and --splay."""
from __future__ import annotations

from typing import Any

import pytest

from pollreload.commands.doctor import main, pace
from pollreload.runtime import interrupt
from pollreload.settings import Settings


def found(**given: Any) -> list[tuple[str, str, str]]:
    """Return the verdict, what was checked and the remedy of each row."""
    return [
        (row.verdict, f'{row.check} {row.about}', row.remedy)
        for row in pace.check_pace(Settings(**given))
    ]


def test_a_watch_without_these_options_has_no_row() -> None:
    """Nor one of which --splay is long."""
    assert found(interval=3600.0, splay=7200.0) == []


def test_options_that_go_together_are_stated() -> None:
    """Equal values do not contradict each other."""
    given = {'max_wait': 30.0, 'min_interval': 30.0, 'splay': 30.0, 'interval': 30.0}

    assert found(**given) == [
        ('ok', 'max-wait 30 s', ''), ('ok', 'min-interval 30 s', ''),
    ]


@pytest.mark.parametrize(('option', 'remedy'), [
    ('interval', 'make --interval shorter than --max-wait'),
    ('min_interval', 'make --min-interval shorter, or --max-wait longer'),
    ('splay', 'make --splay shorter, or --max-wait longer'),
])
def test_what_makes_max_wait_longer_is_a_warning(option: str, remedy: str) -> None:
    """With the value of the other option, and what to change."""
    given: dict[str, Any] = {option: 600.0}
    rows = list(pace.check_pace(Settings(max_wait=30.0, **given)))
    warned = [row for row in rows if row.verdict == 'warn']

    assert [(row.check, row.about, row.remedy) for row in warned] == [
        ('max-wait', '30 s', remedy),
    ]
    assert f'(--{option.replace("_", "-")} is 600 s)' in warned[0].says
    assert not any(row.check == 'max-wait' for row in rows if row.verdict == 'ok')


def test_doctor_has_these_rows() -> None:
    """After those about the paths and the target."""
    with interrupt.signals_blocked():
        rows = main.all_rows(Settings(('/',), exec=(('true',),), min_interval=5.0))

    assert rows[-1].check == 'min-interval'
