"""The files that --url needs: read before the first poll, to refuse what is no use.

A file that is missing may come later, and the first request says so if it does not.
"""
from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from pollreload.runtime import guard
from pollreload.settings import Note, Settings

PROTECT = 'chmod o-r it (in Kubernetes: defaultMode: 0440)'


def files(settings: Settings) -> Iterator[tuple[str, str, Callable[[str], object]]]:
    """Yield the option, the path, and the reader of each file; readers raise."""
    from pollreload.system import http_headers, http_request
    if settings.url_header_file is not None:
        yield 'url-header-file', settings.url_header_file, http_headers.load_headers
    # Without https it is not used, and there may be no OpenSSL to read it.
    if settings.url_ca is not None and https(settings):
        yield 'url-ca', settings.url_ca, http_request.tls_context


def https(settings: Settings) -> bool:
    """Return whether a request is sent by https."""
    return any(url.startswith('https:') for url in settings.url)


def file_trouble(path: str, read: Callable[[str], object]) -> tuple[bool, str]:
    """Return whether a file is refused, and why it cannot be used, or ''."""
    def tried() -> tuple[bool, str]:
        try:
            read(path)
        except ValueError as error:
            return True, str(error)
        except IsADirectoryError:
            return True, 'is a directory'
        return False, ''

    try:
        found: tuple[bool, str] = guard.with_time_limit(tried, path)
    except OSError as error:
        return False, (error.strerror or str(error)).lower()
    return found


def malformed_option(settings: Settings) -> tuple[str, str] | None:
    """Return the option whose file is malformed and the reason, or None."""
    for option, path, read in files(settings):
        certain, why = file_trouble(path, read)
        if certain:
            return option, f'{path} {why}'
    return None


def request_warnings(settings: Settings) -> Iterator[Note]:
    """Yield a warning for each file that is missing, or that others may read."""
    for option, path, read in files(settings):
        _, why = file_trouble(path, read)
        if why:
            yield Note(
                settings.name, 'no such file' if why.startswith('no such') else
                'does not answer' if why == 'does not answer' else
                'permission denied', path,
                f'{path}: {why} (--{option}); it is read again for each request',
            )
        elif option == 'url-header-file' and readable_by_others(path):
            yield Note(
                settings.name, 'readable by others', path,
                f'{path}: other users may read it (--{option}); {PROTECT}',
            )


def readable_by_others(path: str) -> bool:
    """Return whether the mode of a file allows any user to read it."""
    try:
        mode: int = guard.with_time_limit(lambda: os.stat(path).st_mode, path)
    except OSError:
        return False
    return bool(mode & stat.S_IROTH)
