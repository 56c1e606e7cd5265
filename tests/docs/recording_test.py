"""The recording in the README shows what the commands print today.

tests/docs/quickstart_test.py compares the part of the quickstart.
"""
from __future__ import annotations

from tests.support.scripts import load

build = load('recording/build.py')


def test_doctor_prints_what_the_recording_shows() -> None:
    """Apart from pids, numbers and paths."""
    _, doctor = build.parts()
    # Another test may run the quickstart just now, whose watch is for this name, too.
    found = [
        line for line in build.doctor().splitlines() if 'another pollreload' not in line
    ]

    assert len(doctor) > 5
    assert build.words(doctor) == build.words(found)


def test_a_line_that_differs_is_noticed() -> None:
    """A line that is missing, or one more, makes a difference."""
    quickstart, doctor = build.parts()

    for lines in quickstart, doctor:
        assert build.words(lines) != build.words(lines[:-2])
        assert build.words([*lines, 'more']) == f'{build.words(lines)} more'


def test_picture_is_drawn_from_its_lines() -> None:
    """Drawing the lines that it shows gives the same picture."""
    picture = build.PICTURE.read_text('utf-8')

    assert build.drawn(build.texts(picture)) == picture
