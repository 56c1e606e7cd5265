"""Globs."""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from pollreload.system.mounts import wildcard


def split(path: str) -> tuple[str, tuple[str, ...]]:
    """Return the directory that a glob starts from, with a slash, and its patterns."""
    parts = path.split('/')
    literal = next(index for index, part in enumerate(parts) if wildcard(part))
    return ''.join(f'{part}/' for part in parts[:literal]), tuple(parts[literal:])


def advance(patterns: Sequence[str], at: frozenset[int], name: str) -> frozenset[int]:
    """Return which patterns come next after a name, of those that came before it.

    len(patterns) stands for a match of them all.
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
    """Return which patterns may come next in a directory: '**' may match nothing.

    So may the empty one after a last slash, which asks for a directory.
    """
    after = set(at)
    for index, pattern in enumerate(patterns):
        if index in after and pattern in ('', '**'):
            after.add(index + 1)
    return frozenset((len(patterns),)) if len(patterns) in after else frozenset(after)


@functools.lru_cache(maxsize=64)
def matcher(
        patterns: tuple[str, ...], hidden: bool = True,
) -> Callable[[str], object]:
    """Return a function that tells whether a name matches one of the patterns.

    hidden: whether a wildcard matches a first dot.
    """
    # Not at the top of the module: a watch on one plain file needs neither.
    import fnmatch
    import re
    if not patterns:
        return lambda name: False
    return re.compile('|'.join(
        ('' if hidden or pattern.startswith('.') else r'(?!\.)')
        + fnmatch.translate(pattern)
        for pattern in patterns
    )).match
