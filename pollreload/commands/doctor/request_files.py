"""The rows of doctor about --url-header-file and --url-ca."""
from __future__ import annotations

import time
from collections.abc import Iterator

from pollreload.commands.doctor.rows import Row, split_message
from pollreload.runtime import advice, guard, request_files
from pollreload.settings import Settings
from pollreload.system import http_headers, http_request

EXPIRES_SOON = 30 * 86400.0  # s in which an authority has to be replaced
DAY = len('2027-01-31')
REQUEST_REMEDIES = {
    'no such file or directory': 'create it or mount it there; no request is sent '
    'without it',
    'permission denied': advice.FORBIDDEN,
}


def check_files(settings: Settings) -> Iterator[Row]:
    """Check the files that requests need."""
    if settings.url_ca is not None and not request_files.https(settings):
        yield Row('url-ca', 'warn', settings.url_ca, 'not used: no --url is https',
                  'write https://, or leave it out')
    for option, path, read in request_files.files(settings):
        _, why = request_files.file_trouble(path, read)
        if why:
            says, remedy = split_message(why)
            yield Row(
                option, 'fail', path, says,
                remedy or REQUEST_REMEDIES.get(says, 'name a file that can be read'),
            )
        elif option == 'url-ca':
            yield authorities(path)
        elif not settings.url:
            yield Row(option, 'warn', path, 'not used: there is no --url',
                      'add --url, or leave it out')
        else:
            yield headers(path)


def headers(path: str) -> Row:
    """Check who may read a header file; no part of it is shown."""
    if request_files.readable_by_others(path):
        return Row(
            'url-header-file', 'warn', path, 'other users may read it',
            request_files.PROTECT,
        )
    count = len(guard.with_time_limit(lambda: http_headers.load_headers(path), path))
    return Row(
        'url-header-file', 'ok', path, '1 header' if count == 1 else f'{count} headers',
    )


def authorities(path: str) -> Row:
    """Check how long the certificates of a PEM file are valid."""
    ends = guard.with_time_limit(lambda: http_request.expiries(path), path)
    if not ends:
        # One that is trusted by itself, without an authority.
        return Row('url-ca', 'ok', path, 'has certificates, none of an authority')
    if ends[-1] <= date(0.0):
        return Row(
            'url-ca', 'fail', path, f'expired on {ends[-1][:DAY]}',
            'put the present certificate of the authority there',
        )
    if ends[0] <= date(EXPIRES_SOON):
        says = 'expired' if ends[0] <= date(0.0) else 'expires'
        return Row(
            'url-ca', 'warn', path, f'a certificate {says} on {ends[0][:DAY]}',
            'put its successor there too; several may be in one file',
        )
    return Row('url-ca', 'ok', path, f'valid until {ends[0][:DAY]}')


def date(ahead: float) -> str:
    """Return the time so many seconds ahead as expiries() writes it."""
    return time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(time.time() + ahead))
