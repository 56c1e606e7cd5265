"""nginx, as several tests run it."""
from __future__ import annotations

from tests.servers.harness import Files, Kind, Site
from tests.servers.load import get


def files(site: Site, answer: str) -> Files:
    """Return a configuration that makes nginx give an answer."""
    # All that it writes is in its own place, because it may be no one's but its.
    temporary = '\n'.join(
        f'    {each}_temp_path {site.root}/{each};'
        for each in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi')
    )
    return {'nginx.conf': f"""\
worker_processes 2;
pid {site.pidfile};
error_log stderr notice;
events {{
    worker_connections 64;
}}
http {{
    access_log off;
{temporary}
    include {site.conf}/site.conf;
}}
""", 'site.conf': f"""\
server {{
    listen 127.0.0.1:{site.port};
    location / {{
        return 200 "{answer}";
    }}
}}
"""}


def broken(site: Site) -> Files:
    """Return a configuration that nginx refuses."""
    return {**files(site, ''), 'site.conf': 'server {\n'}


def command(site: Site) -> list[str]:
    """Return the arguments of nginx in the foreground."""
    return [
        '-e', 'stderr', '-p', site.root, '-c', f'{site.conf}/nginx.conf',
        '-g', 'daemon off;',
    ]


NGINX = Kind(
    program='nginx', package='nginx', signal='HUP', files=files, broken=broken,
    command=command,
    # Not with the daemon's pid file: nginx -t makes it, empty, if it is not.
    validate=lambda site: [
        site.program, '-t', '-q', '-e', 'stderr', '-p', site.root,
        '-c', f'{site.conf}/nginx.conf',
    ],
    ask=lambda site: get(site.port), reload=r'signal 1 \(SIGHUP\) received',
)
