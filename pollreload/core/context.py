"""The environment of a command: which version it runs for, and what changed. Pure.

Only for a watch with a command: a plain watch never imports this.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from pollreload.core.state import NO_NAMES, Names, State
from pollreload.settings import Settings

# Below MAX_ARG_STRLEN, the 128 KiB that execve(2) allows for one variable, and small
# enough for a ledger.
MOST_BYTES = 32 * 1024


def add(before: Names, names: Iterable[str]) -> Names:
    """Return names with others added, each once, and how many were left out.

    A name with a newline is left out, so that each line of POLLRELOAD_CHANGED is a
    whole name; so are those after MOST_BYTES.
    """
    found, more = dict.fromkeys(before[0]), before[1]
    size = sum(map(line_size, found))
    for name in names:
        if name in found:
            continue
        size += line_size(name)
        if '\n' in name or size > MOST_BYTES:
            size -= line_size(name)
            more += 1
        else:
            found[name] = None
    return tuple(found), more


def line_size(name: str) -> int:
    """Return how many bytes the line of a name takes."""
    return len(name.encode('utf-8', 'surrogateescape')) + 1


def note_changes(state: State, names: Sequence[str]) -> State:
    """Add these files to the changes that the next attempt is about."""
    return state._replace(later=add(state.later, names))


def take_changes(state: State) -> State:
    """Return the state with an attempt at all that changed so far."""
    names, more = state.changed
    changed = add((names, more + state.later[1]), state.later[0])
    return state._replace(changed=changed, later=NO_NAMES)


def environment(
        settings: Settings, state: State, pids: Sequence[int],
) -> dict[str, str]:
    """Return the additions to the environment of a command.

    pids: of the targets; POLLRELOAD_PID is missing if there are none.
    The fingerprints are raw: they are keyed before a command can read them.
    """
    names, more = state.changed
    found = {
        'POLLRELOAD_CHANGED': '\n'.join(names),
        'POLLRELOAD_CHANGED_MORE': str(more),
        'POLLRELOAD_FINGERPRINT': state.attempt.fingerprint,
        'POLLRELOAD_PREVIOUS': state.previous,
        'POLLRELOAD_WATCH': settings.name,
    }
    if pids:
        found['POLLRELOAD_PID'] = ' '.join(map(str, pids))
    return found
