"""Handover."""
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

# What may change of a watch while it is telling somebody: how, and whom, may not.
MEANWHILE = (
    'interval', 'rehash', 'settle', 'empty_grace', 'ignore', 'min_uptime', 'survive',
    'command_timeout', 'url_timeout', 'splay', 'on_start', 'state_file', 'status_file',
    'log_format', 'verbosity', 'name', 'max_file_size',
)


def akin(old: Settings, new: Settings) -> bool:
    """Return whether what is under way by old settings can go on by new ones."""
    return old._replace(**{name: getattr(new, name) for name in MEANWHILE}) == new


def elsewhere(old: Settings, new: Settings) -> bool:
    """Return whether other paths are watched, and not only by other spellings."""
    here = directory()
    one, other = (
        [os.path.normpath(os.path.join(here, path)) for path in each.paths]
        for each in (old, new)
    )
    return one != other


def handed(before: Watch, settings: Settings, say: Say) -> Ledger | None:
    """Return what a watch begins with that goes on where another left off.

    Where it cannot go on with what is under way that is broken off, and what is
    known of it is what a ledger would have kept; None: nothing is known yet.
    """
    before.observer.close()
    if not akin(before.asked, settings):
        before.runner.cancel()
    old, path, content = before.asked, settings.state_file, before.state.content
    moved = elsewhere(old, settings)
    if path != old.state_file or content.state == 'blank':
        before.ledger.let_go()
    if content.state == 'blank':
        return None
    state, on_start = inherited(before, settings), settings.on_start
    if moved and not change.quiet(content):
        # What is due may be no longer there by itself, and is due still.
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
    """Return what a watch with other settings knows of what another one knew."""
    if akin(before.asked, settings):
        # It may be telling somebody: only the look begins anew.
        return before.state._replace(
            looking=0.0, stalled=0.0, poll_at=0.0, look_at=0.0,
            saved=None,
        )
    if elsewhere(before.asked, settings):
        return State()
    mine = whereabouts(settings)
    state = ledger_format.revive(known(before, settings), mine, fingerprint)
    assert state is not None
    if mine.key == whereabouts(before.asked).key:
        return state
    # Somebody else is told now, or in another way: what is due is due still, and
    # it is not known whether they have what is done.
    content = state.content
    if settings.on_start != 'never':
        content = change.tell_first(content)
    return State(content=content)


def known(before: Watch, settings: Settings) -> dict[str, object]:
    """Return what a watch knows, as the ledger of the one that goes on with it."""
    kept = ledger_format.dump(before.state, whereabouts(before.asked))
    return {**kept, 'key': whereabouts(settings).key}
