"""Events as lines."""
from __future__ import annotations

import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollreload.runtime import log, logfmt

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

    assert log.timestamp(seconds) == stamp


def test_a_text_line():
    """Event and message, on one line."""
    assert log.text_line('held', 'a\nb') == r'held: a\nb'


@given(TEXTS)
def test_a_line_is_bytes_of_one_line(message):
    """Each form is one line of UTF-8, whatever the message holds."""
    for form in ('text', 'journal', 'json', 'logfmt'):
        line = log.event_line(form, 0.0, 'held', message, {'target_pid': 41})

        assert b'\n' not in line
        assert line.decode('utf-8').isprintable()


@pytest.mark.parametrize(('form', 'line'), [
    ('text', b'1970-01-01T00:00:00.000Z held: \xc3\xa9'),
    ('journal', b'<4>held: \xc3\xa9'),
    ('json', b'{"time": "1970-01-01T00:00:00.000Z", "level": "warning", '
             b'"event": "held", "message": "\\u00e9", "watch": "", "pid": 7, '
             b'"target_pid": 41}'),
    ('logfmt', b'time=1970-01-01T00:00:00.000Z level=warning event=held '
               b'message="\\u00e9" watch="" pid=7 target_pid=41'),
])
def test_a_form_of_a_line(form, line, monkeypatch):
    """Text is for a person, with the message; JSON and logfmt have the fields too."""
    monkeypatch.setattr(os, 'getpid', lambda: 7)

    assert log.event_line(form, 0.0, 'held', 'é', {'target_pid': 41}) == line


@pytest.mark.parametrize('form', ['text', 'journal'])
def test_text_line_names_its_watch(form):
    """Of several watches, before the message."""
    line = log.event_line(form, 0.0, 'failed', 'says', {}, 'web')

    assert line.decode().endswith('failed: web: says')


@pytest.mark.parametrize(('event', 'level', 'start'), [
    ('delivered', 'info', '<6>'), ('held', 'warning', '<4>'),
    ('unreadable', 'warning', '<4>'), ('stalled', 'warning', '<4>'),
    ('warning', 'warning', '<4>'),
    ('failed', 'error', '<3>'),
])
def test_level_is_also_the_priority_in_the_journal(event, level, start):
    """What needs a person is above the rest, in JSON as in journalctl -p."""
    assert log.level(event) == level
    assert log.event_line('journal', 0.0, event, 'says', {}).decode().startswith(start)


@given(st.dictionaries(
    st.from_regex('[a-z_]{1,9}', fullmatch=True),
    TEXTS | st.integers() | st.none() | st.booleans() | st.lists(st.text()),
))
def test_values_of_logfmt_are_quoted_when_they_must(fields):
    """Each value comes back; a null is left out, and a list is JSON in quotes."""
    line = logfmt.line(fields)

    pairs = re.findall(r'([a-z_]+)=(?:("(?:[^"\\]|\\.)*")|(\S*))', line)
    found = {
        name: json.loads(quoted) if quoted else plain for name, quoted, plain in pairs
    }
    assert line.isascii()
    assert found == {
        name: each if isinstance(each, str) else json.dumps(each)
        for name, each in fields.items() if each is not None
    }


@pytest.mark.parametrize(('named', 'journal'), [
    ('', False), ('1:2', False), ('{0.st_dev}:{0.st_ino}', True),
])
def test_journal_is_recognised_by_the_file_of_stderr(named, journal, monkeypatch):
    """The variable is inherited by programs whose stderr leads to another file."""
    monkeypatch.setenv('JOURNAL_STREAM', named.format(os.fstat(2)))

    assert log.journal() is journal


@given(TEXTS, TEXTS)
def test_a_json_line(message, name):
    """One object on one line of ASCII, from which everything can be had back."""
    line = log.event_line('json', 0.0, 'held', message, {'file': name}, 'web')

    assert line.isascii()
    assert line.decode().isprintable()
    assert json.loads(line) == {
        'time': '1970-01-01T00:00:00.000Z', 'level': 'warning', 'event': 'held',
        'message': message, 'watch': 'web', 'pid': os.getpid(), 'file': name,
    }
