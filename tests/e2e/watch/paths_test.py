"""Files, directories, globs and links."""
from __future__ import annotations

import json
import os
import re
import select
import signal
import stat
from pathlib import Path

import pytest

from tests.support import targets
from tests.support.sidecar import Sidecar, watch, write
from tests.support.targets import unsignalled
from tests.support.watching import comm, line_of, told, watching


def test_path_that_goes_away_is_no_change(conf: str, target: targets.Target) -> None:
    """One line when it goes and one when it is back; notified only of other bytes."""
    with watching(target, conf) as it:
        os.unlink(conf)
        it.poll()
        gone = it.until('unreadable')
        write(conf, 'first')
        it.poll()
        it.until('readable', path=conf)
        assert unsignalled(target)
        os.unlink(conf)
        it.poll()
        it.until('unreadable')
        write(conf, 'second')
        it.poll()
        it.until('delivered')

    assert (gone['path'], gone['reason']) == (conf, 'no such file')
    assert target.read() == 'HUP'


def test_bad_paths_are_one_line_each_and_no_end(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """What cannot be read is an observation, and its neighbours are watched."""
    fifo, loop, secret = tmp_path / 'fifo', tmp_path / 'loop', tmp_path / 'secret'
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    secret.mkdir()
    os.chown(secret, 65534, 65534)
    secret.chmod(0)
    reasons = {
        '/nowhere/at-all': 'no such file',
        str(fifo): 'is a FIFO',
        '/dev/null': 'is a device',
        str(loop): 'too many levels of symbolic links',
        str(secret): 'permission denied',
        f'{tmp_path}/*.none': 'matches nothing',
        f'{conf}/below': 'not a directory',
        str(tmp_path / ('x' * 300)): 'file name too long',
    }
    without = '-dac_override,-dac_read_search'
    under = ('setpriv', f'--bounding-set={without}', f'--inh-caps={without}')
    with watching(target, conf, *reasons, under=under) as it:
        for _ in reasons:
            it.until('unreadable')
        again = it.poll()
        alive = told(it, conf, target)

    assert {
        each['path']: each['reason'] for each in it.seen
        if each['event'] == 'unreadable'
    } == reasons
    assert again == []
    assert alive


def test_directory_below_a_path_is_as_it_was_while_it_cannot_be_read(
        target: targets.Target, tmp_path: Path,
) -> None:
    """The same bytes are no change, other bytes are one, and neighbours do not wait."""
    watched, sub = tmp_path / 'watched', tmp_path / 'watched' / 'sub'
    sub.mkdir(parents=True)
    write(watched / 'app.conf', 'first')
    write(sub / 'more.conf', 'first')
    os.chown(sub, 65534, 65534)

    def lock(it: Sidecar) -> None:
        sub.chmod(0)
        it.poll()
        it.until('unreadable', reason='sub/: permission denied')

    def unlock(it: Sidecar) -> None:
        sub.chmod(0o755)
        it.poll()
        it.until('readable')

    without = '-dac_override,-dac_read_search'
    under = ('setpriv', f'--bounding-set={without}', f'--inh-caps={without}')
    with watching(target, str(watched), under=under) as it:
        lock(it)
        unlock(it)
        assert it.poll() == []
        assert unsignalled(target)
        lock(it)
        write(sub / 'more.conf', 'second')
        unlock(it)
        changed = it.until('changed')
        it.until('delivered')
        assert target.read() == 'HUP'
        lock(it)
        assert told(it, str(watched / 'app.conf'), target)
        unlock(it)
        again = it.until('changed')
        it.until('delivered')

    assert changed['files'] == [str(sub / 'more.conf')]
    assert (again['reason'], target.read()) == ('restarted', 'HUP')


def test_names_that_are_not_utf_8(tmp_path: Path, target: targets.Target) -> None:
    """They are watched, and a log line shows their bytes."""
    watched = os.fsencode(tmp_path) + b'/\xff.d'
    os.mkdir(watched)
    with watching(target, os.fsdecode(watched)) as it:
        with open(watched + b'/caf\xe9', 'wb') as file:
            file.write(b'second')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')

    assert os.fsencode(changed['files'][0]) == watched + b'/caf\xe9'
    assert target.read() == 'HUP'


@pytest.mark.parametrize('log_format', ['text', 'json'])
def test_names_with_line_breaks_and_escapes_stay_on_their_line(
        tmp_path: Path, target: targets.Target, log_format: str,
) -> None:
    """A file's name must not forge a log line, or reach the terminal raw."""
    name = 'a\n2026 delivered: \x1b[31mb\x9bc\u2028d\udcff'
    with watch(
            '--process', comm(target), '--log-format', log_format, str(tmp_path),
    ) as it:
        line_of(it, 'baseline')
        (tmp_path / name).write_text('x')
        it.send(signal.SIGHUP)
        line_of(it, 'changed')
        line_of(it, 'signalled')
        it.stop()
    raw = [each['message'] for each in it.seen]

    assert len(raw) == 5
    if log_format == 'text':
        assert all(line.isprintable() for line in raw)
        shown = 'a\\n2026 delivered: \\x1b[31mb\\xc2\\x9bc\\u2028d\\udcff'
        assert raw[2].endswith(f' changed: {tmp_path}/{shown}')
    else:
        assert it.seen[2]['files'] == [f'{tmp_path}/{name}']


def test_text_lines_have_a_time_an_event_and_a_message(
        conf: str, target: targets.Target,
) -> None:
    """What a user reads."""
    with watch('--process', comm(target), '--log-format', 'text', conf) as it:
        line_of(it, 'baseline')
        it.stop()

    stamp = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z'
    assert [re.sub(stamp, 'TIME', each['message']) for each in it.seen] == [
        f'TIME started: polling {conf} every 3600 s, for {comm(target)} and SIGHUP',
        f'TIME baseline: 1 file in {conf}',
        'TIME stopped: on SIGTERM',
    ]


@pytest.mark.parametrize('log_format', ['text', 'json'])
def test_line_is_never_longer_than_a_pipe_takes_at_once(
        tmp_path: Path, target: targets.Target, log_format: str,
) -> None:
    """PIPE_BUF: what is longer could mix with the lines of others, or hang us."""
    deep = tmp_path.joinpath(*('d' * 250 for _ in range(4)))
    deep.mkdir(parents=True)
    with watch(
            '--process', comm(target), '--log-format', log_format, str(tmp_path),
    ) as it:
        line_of(it, 'baseline')
        for number in range(9):
            (deep / f'{number}').write_text('x')
        it.send(signal.SIGHUP)
        line_of(it, 'changed')
        line_of(it, 'signalled')
        changed = next(each for each in it.seen if 'changed' in str(each))

    if log_format == 'json':
        assert changed['event'] == 'changed'
        assert changed['count'] == 9
        assert changed['fingerprint']
    assert f'{tmp_path}/ddd' in changed['message']
    assert len(json.dumps(changed)) < select.PIPE_BUF


def test_no_line_shows_contents(conf: str, target: targets.Target) -> None:
    """Files hold passwords; a log must not, whatever goes wrong."""
    write(conf, 'password=hunter1')
    with watching(target, '-v', '--validate', 'false', conf) as it:
        for content in ('password=hunter2', 'password=hunter3', ''):
            write(conf, content)
            it.poll()
            it.poll()
        it.stop()

    assert it.count('held') > 0
    assert 'hunter' not in json.dumps(it.seen)


def test_stop_does_not_wait_for_a_huge_file(
        tmp_path: Path, target: targets.Target,
) -> None:
    """A poll asks now and then whether to stop; this file takes minutes to read."""
    path = tmp_path / 'sparse'
    with open(path, 'wb') as file:
        file.truncate(1 << 40)
    args = ('--process', comm(target), '--max-file-size', '1TiB', str(path))
    with watch(*args) as it:
        it.until('started')
        status = it.stop()

    assert [each['event'] for each in it.seen] == ['started', 'stopped']
    assert status == 0


def test_50000_files_are_one_observation(
        tmp_path: Path, target: targets.Target,
) -> None:
    """One line, and a change among them is delivered."""
    first = tmp_path / 'first'
    first.write_text('first')
    watched = tmp_path / 'watched'
    watched.mkdir()
    for number in range(50_000):
        # Hard links: quicker to make and to remove than files.
        os.link(first, watched / f'{number}.conf')
    with watching(target, str(watched)) as it:
        write(watched / '49999.conf', 'second')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')

    assert it.count('baseline', files=50_000) == 1
    assert changed['files'] == [f'{watched}/49999.conf']


def test_what_is_no_file_comes_and_goes_without_a_change(
        target: targets.Target, tmp_path: Path,
) -> None:
    """A server makes its socket itself; one line when it comes, one when it goes."""
    watched = tmp_path / 'watched'
    watched.mkdir()
    write(watched / 'app.conf', 'first')
    bound = watched / 'app.sock'
    with watching(target, str(watched)) as it:
        os.mknod(bound, stat.S_IFSOCK | 0o600)
        it.poll()
        came = it.until('unreadable')
        more = it.poll()
        bound.unlink()
        it.poll()
        it.until('readable')
        alive = told(it, str(watched / 'app.conf'), target)

    assert came['reason'] == 'app.sock: is a socket'
    assert more == []
    assert (it.count('signalled'), alive) == (1, True)


def test_deletion_and_creation_are_changes_with_on_missing_notify(
        conf: str, target: targets.Target,
) -> None:
    """A deletion after --empty-grace, a creation once it has settled."""
    words = '--on-missing', 'notify', '--empty-grace', '200ms'
    with watching(target, *words, conf) as it:
        os.unlink(conf)
        it.poll()
        held = it.until('held', reason='became empty')
        gone = it.until('changed')
        it.until('delivered')
        write(conf, 'first')
        it.poll()
        back = it.until('changed')
        it.until('delivered')

    assert held['message'].startswith(f'{conf} is missing')
    assert gone['files'] == back['files'] == [conf]
    assert [target.read(), target.read()] == ['HUP', 'HUP']
    assert it.count('unreadable') == 0


@pytest.mark.parametrize('watched', [
    pytest.param('conf/app.conf', id='file'), pytest.param('conf', id='directory'),
    pytest.param('*/*.conf', id='glob'), pytest.param('', id='that directory'),
])
@pytest.mark.parametrize('missing', ['hold', 'notify'])
@pytest.mark.parametrize('steps', ['by a rename', 'bit by bit'])
def test_directory_above_is_replaced(
        tmp_path: Path, target: targets.Target, watched: str, missing: str, steps: str,
) -> None:
    """A deployment renames it away and puts a new one there, with a poll in between.

    What is missing or empty meanwhile is not delivered, the new version is, once.
    """
    app, new = tmp_path / 'etc/app', tmp_path / 'new'
    for root, text in ((app, 'first'), (new, 'second')):
        (root / 'conf').mkdir(parents=True)
        write(f'{root}/conf/app.conf', text)
    path = f'{app}/{watched}'.rstrip('/')
    with watching(target, '--on-missing', missing, '--empty-grace', '1h', path) as it:
        app.rename(tmp_path / 'old')
        it.poll()
        if steps == 'bit by bit':
            app.mkdir()
            it.poll()
            (app / 'conf').mkdir()
            it.poll()
            (app / 'conf/app.conf').touch()
            it.poll()
        else:
            new.rename(app)
        write(f'{app}/conf/app.conf', 'second')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')
        it.poll()
        it.poll()

    assert target.read() == 'HUP'
    assert unsignalled(target)
    assert changed['files'] == [f'{app}/conf/app.conf']
    assert [it.count(each) for each in ('changed', 'signalled', 'failed')] == [1, 1, 0]


@pytest.mark.parametrize('watched', ['conf', 'conf/*/app.conf'])
def test_link_that_chooses_between_linked_directories(
        tmp_path: Path, target: targets.Target, watched: str,
) -> None:
    """Each is read by the name of its own link as well, and the choice is a change."""
    conf = tmp_path / 'conf'
    conf.mkdir()
    for name in 'prod', 'staging':
        (tmp_path / name).mkdir()
        write(tmp_path / name / 'app.conf', name)
        (conf / f'10-{name}').symlink_to(f'../{name}')
    (conf / 'active').symlink_to('../staging')
    with watching(target, f'{tmp_path}/{watched}') as it:
        (tmp_path / 'new').symlink_to('../prod')
        (tmp_path / 'new').rename(conf / 'active')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')

    assert changed['files'] == [f'{conf}/active/app.conf']
    assert target.read() == 'HUP'


@pytest.mark.parametrize(('missing', 'gone'), [
    ('hold', ('unreadable', 'no such file')), ('notify', ('held', 'became empty')),
])
@pytest.mark.parametrize('path', ['conf[1]', 'conf[1]/app.conf'])
def test_name_with_a_bracket_is_no_glob_while_it_is_away(
        tmp_path: Path, target: targets.Target, path: str, missing: str,
        gone: tuple[str, str],
) -> None:
    """What it matches as a glob is not what the target reads."""
    for name in 'conf1', 'conf[1]':
        (tmp_path / name).mkdir()
        write(tmp_path / name / 'app.conf', name)
    event, reason = gone
    with watching(target, '--on-missing', missing, f'{tmp_path}/{path}') as it:
        (tmp_path / 'conf[1]').rename(tmp_path / 'away')
        it.poll()
        it.until(event, reason=reason)
        it.poll()
        (tmp_path / 'away').rename(tmp_path / 'conf[1]')
        it.poll()
        alone = unsignalled(target)
        write(tmp_path / 'conf[1]/app.conf', 'second')
        it.poll()
        changed = it.until('changed')
        it.until('delivered')

    assert alone
    assert changed['files'] == [f'{tmp_path}/conf[1]/app.conf']
