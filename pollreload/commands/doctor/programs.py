"""The rows of doctor about the commands and URLs of a watch."""
from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence

from pollreload.commands.doctor.paths import READ_TIMEOUT
from pollreload.commands.doctor.rows import Row
from pollreload.core import actions
from pollreload.errors import UsageError
from pollreload.runtime import guard, runner
from pollreload.settings import Settings, bare
from pollreload.system import children
from pollreload.system.command import program_trouble


def port(host: str, number: int) -> Row:
    """Return the row about --listen: whether the port is free."""
    from pollreload.monitoring import http
    about = f'{f"[{host}]" if ":" in host else host}:{number}'
    try:
        http.listening_socket(host, number, '').close()
    except UsageError as error:
        in_use = os.strerror(errno.EADDRINUSE).lower() in str(error)
        return Row(
            'listen', 'warn' if in_use else 'fail', about,
            str(error).rpartition(': ')[2],
            'by a watch that runs already, or choose another port' if in_use
            else 'name an address of this machine, or none',
        )
    return Row('listen', 'ok', about, 'can be listened at')


def check_programs(settings: Settings) -> Iterator[Row]:
    """Yield rows about the programs of --validate, --exec and --verify."""
    for option, command, name in (
            ('validate', settings.validate, ''),
            *(
                ('exec', command, actions.program_name(settings, place))
                for place, command in enumerate(settings.exec)
            ),
            ('verify', settings.verify, ''),
    ):
        if not command:
            continue
        about = name or command[0]
        trouble = program_error(command)
        if trouble:
            yield Row(
                option, 'fail', about, trouble,
                'install it where pollreload runs, or name it by its full path',
            )
        else:
            yield Row(option, 'ok', about, 'found, not run')


def urls(settings: Settings) -> Iterator[Row]:
    """Yield rows about the servers of --url; nothing is sent."""
    for url in settings.url:
        trouble = connection_error(url, settings.url_ca)
        if trouble:
            yield Row(
                'url', 'fail', bare(url), trouble,
                'start the server, or fix the URL; it is tried again until it answers',
            )
        else:
            yield Row('url', 'ok', bare(url), 'takes connections; nothing was sent')


def connection_error(url: str, authorities: str | None) -> str:
    """Return why no connection to the host of a URL can be had, or ''."""
    def reach() -> str:
        from pollreload.system import http_request
        return http_request.reach(url, READ_TIMEOUT, authorities)

    try:
        return str(children.within(reach, READ_TIMEOUT, guard.stopping))
    except OSError as error:
        return f'{error.strerror}'


def program_error(command: Sequence[str]) -> str:
    """Return why a program cannot be run, or ''."""
    search = os.environ.get('PATH', os.defpath)
    try:
        return str(guard.with_time_limit(
            lambda: program_trouble(command, search), *runner.find_program(command),
        ))
    except OSError as error:
        return f'{command[0]} {error.strerror}'
