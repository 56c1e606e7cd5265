"""Events as lines."""
from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollreload.runtime import log

# As os.fsdecode makes them of any bytes.
TEXTS = st.text() | st.binary().map(os.fsdecode)


@pytest.mark.parametrize(('text', 'line'), [
    pytest.param('/etc/app.conf', '/etc/app.conf', id='plain'),
    pytest.param('/etc/été 日本', '/etc/été 日本', id='letters of any script'),
    pytest.param('a\nfailed: b', r'a\nfailed: b', id='a line that is none'),
    pytest.param('a\r\x00\t\x7f', r'a\r\x00\t\x7f', id='control characters'),
    pytest.param('a\x1b[2Jb', r'a\x1b[2Jb', id='an escape sequence'),
    pytest.param('a\x9b2J', r'a\xc2\x9b2J', id='the other control characters'),
    pytest.param('a\udc80b', r'a\udc80b', id='a byte that is no UTF-8'),
    pytest.param('a\u2028b\u202ec', r'a\u2028b\u202ec', id='a line end, a reversal'),
    pytest.param('\U000e0001', r'\U000e0001', id='beyond the first plane'),
])
def test_a_name_is_put_on_one_line(text, line):
    """A file's name may hold anything; nothing of it controls a terminal or a log."""
    assert log.printable(text) == line


@given(TEXTS)
def test_any_name_is_printable(text):
    """Whatever a name holds, the line is printable and can be written."""
    line = log.printable(text)

    assert line.isprintable()
    assert line.encode().decode() == line


@pytest.mark.parametrize(('seconds', 'stamp'), [
    (0.0, '1970-01-01T00:00:00.000Z'),
    (1700000000.25, '2023-11-14T22:13:20.250Z'),
    (1700000000.9999, '2023-11-14T22:13:20.999Z'),
])
def test_a_stamp_is_rfc_3339_in_utc(seconds, stamp, monkeypatch):
    """Milliseconds are cut, never rounded up to the next second."""
    monkeypatch.setenv('TZ', 'Asia/Tokyo')

    assert log.stamp(seconds) == stamp


def test_a_text_line():
    """Time, event and message, on one line."""
    line = log.text_line(0.0, 'held', 'a\nb')

    assert line == r'1970-01-01T00:00:00.000Z held: a\nb'


@given(TEXTS)
def test_a_line_is_bytes_of_one_line(message):
    """Either form is one line of UTF-8, whatever the message holds."""
    for form in ('text', 'json'):
        line = log.line(form, 0.0, 'held', message, {'pid': 41})

        assert b'\n' not in line
        assert line.decode('utf-8').isprintable()


@pytest.mark.parametrize(('form', 'line'), [
    ('text', b'1970-01-01T00:00:00.000Z held: \xc3\xa9'),
    ('json', b'{"time": "1970-01-01T00:00:00.000Z", "event": "held", '
             b'"message": "\\u00e9", "pid": 41}'),
])
def test_a_form_of_a_line(form, line):
    """Text is for a user, with the message; JSON has the fields too."""
    assert log.line(form, 0.0, 'held', 'é', {'pid': 41}) == line


@given(TEXTS, TEXTS)
def test_a_json_line(message, name):
    """One object on one line of ASCII, from which everything can be had back."""
    line = log.json_line(0.0, 'held', message, {'file': name, 'pid': 41})

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {
        'time': '1970-01-01T00:00:00.000Z', 'event': 'held', 'message': message,
        'file': name, 'pid': 41,
    }
