"""Hand the state of a watch over to its new settings (--config)."""
from __future__ import annotations

from typing import TYPE_CHECKING

from pollreload.core import change, ledger_format
from pollreload.core.state import Say, State
from pollreload.runtime.ledger import (
    Ledger,
    ledger_writer,
    remembered,
    save_nothing,
    whereabouts,
)
from pollreload.settings import Settings
from pollreload.system.fingerprint import fingerprint

if TYPE_CHECKING:
    from pollreload.runtime.watch import Watch


def ledger_stays_valid(old: Settings, new: Settings) -> bool:
    """Return whether a ledger of the old settings is valid for the new ones."""
    return whereabouts(old).key == whereabouts(new).key


def hand_over_ledger(before: Watch, settings: Settings, say: Say) -> Ledger | None:
    """Return the ledger that a watch takes over from the same watch as it was before.

    Work under way is ended, as at a restart with a ledger. None: nothing is known
    yet.
    """
    before.close()
    old, path, version = before.asked, settings.state_file, before.state.version
    if path != old.state_file or version.state == 'blank':
        before.ledger.let_go()
    if version.state == 'blank':
        return None
    state, on_start = State(), settings.on_start
    if ledger_stays_valid(old, settings):
        here = whereabouts(settings)
        kept = ledger_format.dump(before.state, here)
        state = ledger_format.revive(kept, here, fingerprint) or state
    elif not change.up_to_date(version):
        # What is due is due for another target, or was in a file at another path.
        on_start = 'always'
    if path != old.state_file:
        begun = remembered(settings, say)
        # With other paths or another target, that of just this watch, if any.
        state = state if ledger_stays_valid(old, settings) else begun.state
        return begun._replace(state=state, on_start=on_start)
    save = before.ledger.save
    if path is not None and save is not save_nothing:
        save = ledger_writer(settings, path, say, before.ledger.held)
    return Ledger(state, save, before.ledger.held, on_start)
