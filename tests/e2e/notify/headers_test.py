"""--url-header-file and --url-ca, by the command line."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.sidecar import check, watch, write
from tests.support.url_server import Server, answer, watching

TOKENS = 'first-t0ken', 'second-t0ken'


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    """A file with a token, which no other user may read."""
    file = tmp_path / 'headers'
    file.write_text(f'Authorization: Bearer {TOKENS[0]}\n')
    file.chmod(0o600)
    return file


def test_token_rotates_and_is_never_shown(
        conf: str, server: Server, headers: Path, tmp_path: Path,
) -> None:
    """Each request reads the file; no log, ledger or list of processes has it."""
    kept = {'--state-file': tmp_path / 'ledger', '--status-file': tmp_path / 'status'}
    words = [str(each) for pair in kept.items() for each in pair]
    server.answers += [answer('403 No', TOKENS[0])]
    with watching(
            '-v', *words, '--url', server.url('/x'), '--url-header-file', str(headers),
            conf,
    ) as it:
        write(conf, 'second')
        it.poll()
        it.until('failed', reason='url')
        arguments = Path(f'/proc/{it.pid}/cmdline').read_text()
        arguments += Path(f'/proc/{it.pid}/environ').read_text()
        headers.write_text(f'Authorization: Bearer {TOKENS[1]}\n')
        it.poll()
        it.until('delivered')

    sent = [
        line for each in server.requests for line in each.split('\r\n')
        if line.startswith('Authorization')
    ]
    assert sent == [f'Authorization: Bearer {token}' for token in TOKENS]
    assert not it.count('warning')
    written = [file.read_text() for file in kept.values()]
    for text in (arguments, str(it.seen), *written):
        assert 't0ken' not in text


@pytest.mark.parametrize(('option', 'says'), [
    ('--url-header-file', "line 1 is not a header; write one 'NAME: VALUE' a line"),
    ('--url-ca', 'has no certificate; write them in PEM format'),
])
def test_malformed_file_is_refused_before_the_first_poll(
        conf: str, tmp_path: Path, option: str, says: str,
) -> None:
    """In one line that names the option and the file, and nothing of its contents."""
    file = tmp_path / 'file'
    file.write_text('t0ken')
    words = ('--url', 'https://127.0.0.1:9/', option, str(file), conf)

    run = check(*words)

    assert run.status == 2
    assert [each['message'] for each in run.events][-1].endswith(
        f'{option} {file} {says}',
    )


def test_file_that_comes_later_is_waited_for(
        conf: str, server: Server, headers: Path,
) -> None:
    """A warning at the start, one failure, and then the request is sent."""
    later = headers.with_name('later')
    with watching(
            '--url', server.url('/x'), '--url-header-file', str(later), conf,
    ) as it:
        write(conf, 'second')
        it.poll()
        failed = it.until('failed', reason='url')
        assert not server.requests
        os.rename(headers, later)
        it.poll()
        it.until('delivered')

    warning = next(each for each in it.seen if each['event'] == 'warning')
    assert (warning['reason'], warning['about']) == ('no such file', str(later))
    assert failed['message'] == (
        f'POST {server.url("/x")} was not sent: --url-header-file {later}: '
        f'no such file or directory'
    )


def test_file_that_others_may_read_is_a_warning(
        conf: str, server: Server, headers: Path,
) -> None:
    """A token is a secret; the watch goes on."""
    headers.chmod(0o644)
    with watch(
            '--url', server.url('/x'), '--url-header-file', str(headers), conf,
    ) as it:
        warning = it.until('warning', reason='readable by others')

    assert warning['message'] == (
        f'{headers}: other users may read it (--url-header-file); chmod o-r it (in '
        f'Kubernetes: defaultMode: 0440)'
    )
