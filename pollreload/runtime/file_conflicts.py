"""Refuse watches that would overwrite a file that a watch reads."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from pollreload.runtime import guard, ledger
from pollreload.settings import Settings
from pollreload.system import globs
from pollreload.system.path_steps import all_names, wildcard

# The endings of the names that pollreload writes.
WRITTEN = '', '.lock', '.1.new', '.kept-20260101T000000Z'


class Files(NamedTuple):
    """The files that a watch reads and writes, each by all of its names.

    written, needed: option -> the file that it names. watched: all paths.
    trees: the names of each path up to its first wildcard, and the patterns after it.
    ignore: patterns of names that are left out below.
    """

    written: Mapping[str, frozenset[str]]
    watched: frozenset[str]
    trees: tuple[tuple[frozenset[str], tuple[str, ...]], ...]
    ignore: tuple[str, ...]
    needed: Mapping[str, frozenset[str]]

    def reads(self, names: frozenset[str]) -> bool:
        """Return whether the watch would read a written file, by one of its names."""
        return any(
            name.startswith(os.path.join(top, '')) and globs.reaches(
                patterns, self.ignore,
                (name + end)[len(os.path.join(top, '')):].split('/'),
            )
            for tops, patterns in self.trees for top in tops
            for name in names for end in WRITTEN
        )


def used_files(watches: Sequence[Settings]) -> list[Files]:
    """Return the files that each watch reads and writes."""
    given = [
        (
            written(each), each.paths,
            [split_at_wildcard(path) for path in each.paths], each.ignore, needed(each),
        )
        for each in watches
    ]
    found = iter(names_of_each([
        path for options, paths, trees, _, others in given
        for path in (
            *options.values(), *paths, *(top for top, _ in trees), *others.values(),
        )
    ]))
    return [
        Files(
            {option: next(found) for option in options},
            frozenset().union(*(next(found) for _ in paths)),
            tuple((next(found), patterns) for _, patterns in trees),
            ignore,
            {option: next(found) for option in others},
        ) for options, paths, trees, ignore, others in given
    ]


def written(settings: Settings) -> dict[str, str]:
    """Return the files that a watch writes, by their options."""
    files = ('state-file', settings.state_file), ('status-file', settings.status_file)
    return {option: file for option, file in files if file}


def needed(settings: Settings) -> dict[str, str]:
    """Return the files that a watch needs besides its paths, by their options."""
    files = (
        ('pidfile', settings.pidfile), ('url-header-file', settings.url_header_file),
        ('url-ca', settings.url_ca),
    )
    return {option: file for option, file in files if file}


def names_of_each(paths: Sequence[str]) -> list[frozenset[str]]:
    """Return all names of each path.

    They are looked up in one call with one time limit. If a path does not answer,
    each has only its name relative to the working directory.
    """
    try:
        return cast(list[frozenset[str]], guard.with_time_limit(
            lambda: [all_names(path) for path in paths], *paths,
        ))
    except OSError:
        here = ledger.working_directory()
        return [
            frozenset((os.path.normpath(os.path.join(here, path)),)) for path in paths
        ]


def find_conflict(settings: Settings, files: Files) -> tuple[str, str] | None:
    """Return an option that conflicts with the others, and the reason."""
    for option, names in files.written.items():
        if names & files.watched:
            file = written(settings)[option]
            return option, f'{file} is a path to watch; it would be overwritten'
        for other, its in files.needed.items():
            if names & its:
                file = written(settings)[option]
                return option, f'{file} is the {other} too; it would be overwritten'
        if files.reads(names):
            file = written(settings)[option]
            return option, (
                f'{file} is below a watched path: each write would be a change; put '
                f'it elsewhere, or leave it out with --ignore'
            )
    first, *others = files.written.values() or [frozenset()]
    if any(first & other for other in others):
        return 'status-file', 'is the state-file too'
    return None


def split_at_wildcard(path: str) -> tuple[str, tuple[str, ...]]:
    """Split a path at its first wildcard into a directory and patterns."""
    if not wildcard(path):
        return path, ()
    top, patterns = globs.split(path)
    return top or '.', patterns
