"""The log in the journal of systemd, and as logfmt: by a process of its own."""
from __future__ import annotations

import re
import signal

from tests.support.sidecar import unique, watch, write

# What systemd does for a service: the variable names the file that stderr leads to.
JOURNAL = (
    'sh', '-c', 'JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec "$@"', 'sh',
)


def test_lines_for_the_journal_have_a_priority_and_no_time(tmp_path):
    """journalctl shows a time of its own, and selects by priority."""
    conf, name = tmp_path / 'app.conf', unique('none')
    write(conf, 'first')
    with watch(
            '--process', name, '--log-format', 'text', str(conf), under=JOURNAL,
    ) as it:
        while 'baseline' not in it.read()['message']:
            pass
        write(conf, 'second')
        it.send(signal.SIGHUP)
        while 'held' not in it.read()['message']:
            pass
        it.stop()

    lines = [each['message'] for each in it.seen]
    assert [re.sub(r': .*', '', each) for each in lines] == [
        '<6>started', '<6>baseline', '<6>polling', '<6>changed', '<4>held',
        '<6>stopped',
    ]


def test_variable_for_another_stderr_changes_nothing(tmp_path):
    """The variable is inherited over a redirection: here it names stdin."""
    conf = tmp_path / 'app.conf'
    write(conf, 'first')
    other = (*JOURNAL[:2], JOURNAL[2].replace('fd/2', 'fd/0'), 'sh')
    with watch(
            '--process', unique('none'), '--log-format', 'text', str(conf), under=other,
    ) as it:
        it.stop()

    assert all(re.match(r'\d{4}-', each['message']) for each in it.seen)


def test_logfmt_has_the_fields_of_json(tmp_path):
    """One line of NAME=VALUE, with the pid of pollreload and the name of the file."""
    conf = tmp_path / 'a b.conf'
    write(conf, 'first')
    with watch(
            '--process', unique('none'), '--log-format', 'logfmt', str(conf),
    ) as it:
        while 'baseline' not in it.read()['message']:
            pass
        write(conf, 'second')
        it.send(signal.SIGHUP)
        while 'event=changed' not in (changed := it.read()['message']):
            pass
        it.stop()

    assert re.fullmatch(
        rf'time=\S+Z level=info event=changed message="{conf}" watch="" '
        rf'pid={it.pid} fingerprint=[0-9a-f]{{32}} files="\[\\"{conf}\\"\]" count=1',
        changed,
    )
