"""The image with OpenSSL (--build-arg TLS=1): --url https:// to a private authority."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sandbox.harness import ROOT, fetched, needed
from tests.support.http_peer import (
    Authority,
    Serve,
    accepted,
    answer,
    listening,
    secured,
)
from tests.support.image_root import NOBODY, Root, figures

PROGRAM = '/usr/local/bin/pollreload'
OK = answer('200 OK')
# The figures of docs/image.md, and a little for another base.
UNPACKED, COMPRESSED = 20_000_000, 7_500_000


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of the image with OpenSSL."""
    needed('buildah', 'buildah')
    fetched('base.tar', 'get-base.sh')
    made = tmp_path_factory.mktemp('made')
    subprocess.run(
        ['sh', ROOT / 'tests/sandbox/get-image.sh', made], check=True,
        stdin=subprocess.DEVNULL, env={**os.environ, 'TLS': '1'},
    )
    place = tmp_path_factory.mktemp('files')
    figures.unpacked(made / 'pollreload.tar', place)
    return place


@pytest.fixture(scope='module')
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private certificate authority."""
    return Authority(tmp_path_factory.mktemp('authority'))


@pytest.fixture
def secure(image: Root, authority: Authority) -> Root:
    """The image, with the authority at /shared/ca.pem."""
    place = image.volume / 'ca.pem'
    shutil.copyfile(authority.certificate, place)
    place.chmod(0o644)
    return image


@contextmanager
def serving(
        authority: Authority, name: str = 'DNS:app.example', days: int = 2,
        serve: Serve = OK,
) -> Iterator[int]:
    """Run an https server for one connection, and give its port."""
    secure = secured(authority.context(name, days), serve)
    with listening() as listener:
        def run() -> None:
            with accepted(listener) as client:
                secure(client)

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def checked(image: Root, port: int, *more: str) -> tuple[int, str]:
    """Return the status and the log of a check that sends a request by https."""
    done = image.run(
        PROGRAM, 'check', '--on-start', 'always', '--settle', '0', '--timeout', '30s',
        '--state-file', '/tmp/a/ledger', '--url', f'https://app.example:{port}/', *more,
        '/shared/app.conf', uid=NOBODY,
    )
    assert 'Traceback' not in done.err
    return done.status, done.out + done.err


@pytest.mark.timeout(400)
def test_request_to_a_private_authority_is_delivered(
        secure: Root, authority: Authority,
) -> None:
    """By the PEM file of --url-ca; its own library verifies the certificate."""
    with serving(authority) as port:
        status, says = checked(secure, port, '--url-ca', '/shared/ca.pem')

    assert status == 0, says
    assert f'POST https://app.example:{port}/ answered 200' in says


@pytest.mark.timeout(400)
@pytest.mark.parametrize(('name', 'days', 'trusted', 'reason'), [
    ('DNS:app.example', -1, True, 'certificate has expired'),
    ('DNS:other.example', 2, True, "Hostname mismatch, certificate is not valid for "
                                   "'app.example'"),
    ('DNS:app.example', 2, False, 'unable to get local issuer certificate'),
])
def test_certificate_that_cannot_be_verified_is_refused(
        secure: Root, authority: Authority, name: str, days: int, trusted: bool,
        reason: str,
) -> None:
    """Expired, of another name, or of an authority that is not given."""
    more = ('--url-ca', '/shared/ca.pem') if trusted else ()
    with serving(authority, name, days) as port:
        status, says = checked(secure, port, *more)

    assert status == 1, says
    assert f'certificate not verified: {reason}' in says


@pytest.mark.timeout(400)
def test_doctor_verifies_the_certificate(secure: Root, authority: Authority) -> None:
    """Without a request."""
    got = []
    with serving(
            authority, serve=lambda client: got.append(client.recv(1)),
    ) as port:
        done = secure.run(
            PROGRAM, 'doctor', '--url', f'https://app.example:{port}/', '--url-ca',
            '/shared/ca.pem', '/shared/app.conf', uid=NOBODY,
        )

    assert 'a certificate expires on ' in done.out, done
    assert 'takes connections; nothing was sent' in done.out
    assert got == [b'']


@pytest.mark.timeout(400)
def test_watch_itself_loads_no_openssl(secure: Root, authority: Authority) -> None:
    """Only the child that sends a request does."""
    with serving(authority) as port, secure.watch(
            PROGRAM, 'watch', '--url', f'https://app.example:{port}/', '--url-ca',
            '/shared/ca.pem', '/shared/app.conf', uid=NOBODY,
    ) as sidecar:
        (secure.volume / 'app.conf').write_text('second\n')
        sidecar.send(signal.SIGHUP)
        sidecar.until('delivered')
        maps = Path(f'/proc/{sidecar.pid}/maps').read_text()

    assert 'pollreload' in maps
    assert 'libssl' not in maps
    assert 'libcrypto' not in maps


@pytest.mark.timeout(400)
def test_it_is_no_larger_than_documented(files: Path) -> None:
    """Unpacked, and as a registry keeps it."""
    size = figures.size(files.rglob('*'))

    assert size.unpacked <= UNPACKED, size
    assert size.compressed <= COMPRESSED, size
    assert any(path.name.startswith('libssl') for path in files.rglob('*'))
