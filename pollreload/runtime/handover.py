"""Hand the state of a watch over to its new settings (SIGHUP with --config)."""
from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pollreload.core import change, ledger_format
from pollreload.core.state import Say, State
from pollreload.runtime.ledger import (
    Ledger,
    directory,
    nowhere,
    remembered,
    saving,
    whereabouts,
)
from pollreload.settings import Settings
from pollreload.system.fingerprint import fingerprint

if TYPE_CHECKING:
    from pollreload.runtime.watch import Watch


def elsewhere(old: Settings, new: Settings) -> bool:
    """Return whether other paths are watched, not only other spellings of them."""
    here = directory()
    one, other = (
        [os.path.normpath(os.path.join(here, path)) for path in each.paths]
        for each in (old, new)
    )
    return one != other


def handed(before: Watch, settings: Settings, say: Say) -> Ledger | None:
    """Return what a watch begins with that takes over from another.

    Work under way is ended, as at a restart with a ledger. None: nothing is known
    yet.
    """
    before.close()
    old, path, content = before.asked, settings.state_file, before.state.version
    moved = elsewhere(old, settings)
    if path != old.state_file or content.state == 'blank':
        before.ledger.let_go()
    if content.state == 'blank':
        return None
    state, on_start = inherited(before, settings), settings.on_start
    if moved and not change.quiet(content):
        # The file that made it due may no longer be among the paths.
        on_start = 'always'
    if path != old.state_file:
        begun = remembered(settings, say)
        if moved:
            state = begun.state  # that of just this watch, if there is one
        return begun._replace(state=state, on_start=on_start)
    save = before.ledger.save
    if path is not None and save is not nowhere:
        save = saving(settings, path, say, before.ledger.held)
    return Ledger(state, save, before.ledger.held, on_start)


def inherited(before: Watch, settings: Settings) -> State:
    """Return the state of a watch that takes over from one with other settings."""
    if elsewhere(before.asked, settings):
        return State()
    mine = whereabouts(settings)
    state = ledger_format.revive(known(before, settings), mine, fingerprint)
    assert state is not None
    if mine.key == whereabouts(before.asked).key:
        return state
    # Another target is notified now, or in another way: what is due stays due, and
    # whether that target has the delivered version is unknown.
    content = state.version
    if settings.on_start != 'never':
        content = change.tell_first(content)
    return State(version=content)


def known(before: Watch, settings: Settings) -> dict[str, object]:
    """Return what a watch knows, as the ledger of its successor keeps it."""
    kept = ledger_format.dump(before.state, whereabouts(before.asked))
    return {**kept, 'key': whereabouts(settings).key}
