"""Match names with the patterns of a glob, and with the patterns of --ignore."""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from pollreload.system.path_steps import wildcard

# The six letters and digits of mkstemp(3), unless they are letters of one case,
# a number or both, which may be the end of a real name: .env.docker, .app.202601.
RANDOM = r'(?!(?:[A-Z]?[a-z]*|[A-Z]*)[0-9]*\Z)[A-Za-z0-9]{6}\Z'
# Patterns that fnmatch lacks: the temporary files of rsync and of sed -i.
TEMPORARY = {'.*.XXXXXX': r'(?s:\..+\.)' + RANDOM, 'sedXXXXXX': 'sed' + RANDOM}


def split(path: str) -> tuple[str, tuple[str, ...]]:
    """Return the directory that a glob starts from, with a slash, and its patterns."""
    parts = path.split('/')
    literal = next(index for index, part in enumerate(parts) if wildcard(part))
    return ''.join(f'{part}/' for part in parts[:literal]), tuple(parts[literal:])


def next_patterns(
        patterns: Sequence[str], at: frozenset[int], name: str,
) -> frozenset[int]:
    """Return the indexes of the patterns that may come next, after matching a name.

    at: the indexes before it. len(patterns) stands for a match of all of them.
    """
    after = set()
    for index in at:
        if patterns[index] != '**':
            if matcher((patterns[index],), hidden=False)(name):
                after.add(index + 1)
        elif not name.startswith('.'):
            after.add(index)
    return frozenset(after)


def passing(patterns: Sequence[str], at: set[int] | frozenset[int]) -> frozenset[int]:
    """Return the patterns that may come next in a directory: '**' may match nothing.

    So may the empty pattern after a final slash, which stands for a directory.
    """
    after = set(at)
    for index, pattern in enumerate(patterns):
        if index in after and pattern in ('', '**'):
            after.add(index + 1)
    return frozenset((len(patterns),)) if len(patterns) in after else frozenset(after)


@functools.lru_cache(maxsize=64)
def matches_itself(path: str) -> bool:
    """Return whether a glob matches a file whose name is the glob itself."""
    return all(
        matcher((part,), hidden=False)(part) for part in path.split('/')
        if wildcard(part)
    )


def reaches(
        patterns: Sequence[str], ignore: tuple[str, ...], names: Sequence[str],
) -> bool:
    """Return whether a poll reads the file that these names lead to.

    patterns: what follows the directory in a glob; empty for a directory.
    """
    ignored = matcher(ignore)
    end = len(patterns)
    at = passing(patterns, {0})
    after = at
    for name in names:
        after = at if end in at else next_patterns(patterns, at, name)
        if name.startswith('..') or ignored(name) or not after:
            return False
        at = passing(patterns, after)
    return end in after


@functools.lru_cache(maxsize=64)
def matcher(
        patterns: tuple[str, ...], hidden: bool = True,
) -> Callable[[str], object]:
    """Return a function that matches a name with any of the patterns.

    hidden: whether a wildcard matches a leading dot, as in patterns of --ignore;
        only those know the names of TEMPORARY.
    """
    # Imported here because a watch of one plain file needs neither.
    import fnmatch
    import re
    if not patterns:
        return lambda name: False
    if hidden:
        return re.compile('|'.join(
            TEMPORARY.get(pattern) or fnmatch.translate(pattern)
            for pattern in patterns
        )).match
    return re.compile('|'.join(
        ('' if pattern.startswith('.') else r'(?!\.)') + fnmatch.translate(pattern)
        for pattern in patterns
    )).match
