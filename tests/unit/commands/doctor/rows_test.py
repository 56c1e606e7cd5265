"""The rows of doctor as text."""
from __future__ import annotations

from pollreload.commands.doctor import rows as rows_module
from pollreload.commands.doctor.rows import Row


def test_long_name_does_not_move_other_rows():
    """Nor does a newline in a row break its line."""
    found = [Row('path', 'ok', 'x' * 90, '1 file'), Row('proc', 'ok', '', 'a\nb')]

    lines = rows_module.format_rows(found, rows_module.column_width(found)).splitlines()

    assert lines == ['ok    path ' + 'x' * 90 + '  1 file', r'ok    proc  a\nb']
    assert rows_module.format_rows([], rows_module.column_width([])) == ''
