"""Which files watches read and write, so that none overwrites what another reads."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from pollreload.runtime import guard, ledger
from pollreload.settings import Settings
from pollreload.system import globs, mounts
from pollreload.system.mounts import wildcard


class Files(NamedTuple):
    """Which files a watch touches, each by every name that it goes by.

    written: option -> the file that it names. watched: all paths. tops: all of them
        again, up to where they are globs.
    """

    written: Mapping[str, frozenset[str]]
    watched: frozenset[str]
    tops: frozenset[str]


def touched(watches: Sequence[Settings]) -> list[Files]:
    """Return which files each watch touches."""
    given = [
        (written(each), each.paths, [top(path) for path in each.paths])
        for each in watches
    ]
    found = iter(known([
        path for options, *paths in given
        for path in (*options.values(), *paths[0], *paths[1])
    ]))
    return [
        Files(
            {option: next(found) for option in options},
            frozenset().union(*(next(found) for _ in paths)),
            frozenset().union(*(next(found) for _ in tops)),
        ) for options, paths, tops in given
    ]


def written(settings: Settings) -> dict[str, str]:
    """Return the files that a watch writes, by their options."""
    files = ('state-file', settings.state_file), ('status-file', settings.status_file)
    return {option: file for option, file in files if file}


def known(paths: Sequence[str]) -> list[frozenset[str]]:
    """Return all names of each path; where one does not answer, those they have here.

    All at a time, for each that does not answer would be waited for.
    """
    try:
        return cast(list[frozenset[str]], guard.carefully(
            lambda: [mounts.names(path) for path in paths], *paths,
        ))
    except OSError:
        here = ledger.directory()
        return [
            frozenset((os.path.normpath(os.path.join(here, path)),)) for path in paths
        ]


def overwritten(settings: Settings, files: Files) -> tuple[str, str] | None:
    """Return the option that a watch must not have with its others, and why not."""
    for option, names in files.written.items():
        if names & files.watched:
            file = written(settings)[option]
            return option, f'{file} is a path to watch; it would be overwritten'
    first, *others = files.written.values() or [frozenset()]
    if any(first & other for other in others):
        return 'status-file', 'is the state-file too'
    return None


def top(path: str) -> str:
    """Return a path up to where it is a glob."""
    return globs.split(path)[0] if wildcard(path) else path
