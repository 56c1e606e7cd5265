"""The alert for a mount that hangs, by a real Prometheus and a real mount."""
from __future__ import annotations

from pathlib import Path

from tests.sandbox.stuck import mount, space
from tests.servers.harness import free_port, until
from tests.support.prometheus import discovered, scraping
from tests.support.several import put, started, table
from tests.support.sidecar import write


def test_a_mount_that_hangs_fires_for_its_watch_alone(tmp_path: Path) -> None:
    """And no longer than it hangs: the other watch of that process looks on."""
    port, name = free_port(), 'PollreloadNoLook'
    conf, config = tmp_path / 'app.conf', tmp_path / 'pollreload.toml'
    write(conf, 'A')
    with space() as within, mount('bindfs', within, tmp_path / 'fuse') as made:
        write(made.source / 'app.conf', 'A')
        put(
            config, table(name='well', path=str(conf), exec='true'),
            table(name='hangs', path=f'{made.at}/app.conf', exec='true'),
            listen=f'127.0.0.1:{port}', interval='100ms',
        )
        with started(str(config), under=made.under) as watch:
            try:
                watch.until('baseline', watch='hangs')
                with scraping(tmp_path, port, discovered(port, 'web')) as it:
                    made.stop(made.daemon)
                    until(lambda: (name, 'hangs') in it.firing(), 'it fires')
                    before = it.firing()
                    made.go_on()
                    until(lambda: (name, 'hangs') not in it.firing(), 'it is over')
            finally:
                made.go_on()

    assert (name, 'well') not in before
