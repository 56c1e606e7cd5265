"""One watch among those of a process: what it knows, and what keeps that."""
from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from pollreload import change, contents, memory, procfs, tick
from pollreload.errors import LedgerBusy, LedgerError, LedgerKept
from pollreload.settings import Settings, acts, bare, signals
from pollreload.state import Say, State
from pollreload.wiring import (
    Eyes,
    Hands,
    ask_anew,
    carefully,
    claim,
    directory,
    logger,
    recall,
    store,
    whereabouts,
    world,
)

BEHIND = 10.0  # s until a ledger is written once more that could not be


class Watch:
    """A watch and its world.

    asked: its settings as they were given. at: when it is to be stepped next at
    the latest, boot seconds. after: called with the state after each step.
    record: what metrics keep of it, where they are asked for.
    behind: when to write the ledger once more that could not be, boot seconds;
        0.0: it holds what is known.
    """

    def __init__(
            self, settings: Settings, say: Say | None = None,
            hands: Hands | None = None, before: Watch | None = None,
    ) -> None:
        """Begin a watch, or go on with what another one knew.

        say: where its events go; None: to stderr. hands: what acts for it.
        before: the same watch with other settings, which ends.
        """
        self.asked = settings
        self.say = say or logger(settings)
        self.at = 0.0
        self.after: list[Callable[[State], None]] = []
        self.record: Any = None
        self.eyes, self.hands = Eyes(settings), hands or Hands()
        if before is not None and akin(before.asked, settings):
            self.hands = before.hands
        kept = handed(before, settings, self.say) if before else None
        self.book = kept or remembered(settings, self.say)
        self.known = self.book.state
        self.rested: tuple[float, float, float] | None = None
        # A ledger that was of no use is a reason to tell nobody at first.
        self.settings = settings._replace(on_start=self.book.on_start)
        self.behind = 0.0
        self.around = world(settings, self.eyes, self.hands, self.say, self.save)
        if settings.status_file is not None:
            self.after.append(showing(settings, settings.status_file, self.say))

    def due(self, now: float) -> bool:
        """Return whether it is to be stepped: it is time, or a child may have ended."""
        return self.at <= now or self.eyes.pid > 0 or self.hands.pid > 0

    @property
    def state(self) -> State:
        """All that it knows; a poll that found all as it was is added when asked."""
        if self.rested is not None:
            self.known, self.rested = tick.rested(self.known, *self.rested), None
        return self.known

    def step(self) -> None:
        """Do everything that can be done now."""
        known = self.known
        poll_at = self.rested[2] if self.rested else known.poll_at
        # As good as every poll of a sidecar: so nothing more is made of it.
        if known.idle and (
                found := tick.rest(self.settings, known, poll_at, self.around)
        ):
            self.rested = found
            self.at = found[2]
        else:
            self.known = tick.work(self.settings, self.state, self.around)
            self.at = tick.wake(self.known)
        if self.behind and procfs.now() >= self.behind:
            self.save(self.state)
        for function in self.after:
            function(self.state)

    def save(self, state: State) -> bool:
        """Write the ledger, if there is one; a fault of that keeps from nothing.

        It is tried again, for who believes an old one later tells too little.
        """
        self.behind = 0.0 if self.book.save(state) else procfs.now() + BEHIND
        return True

    def poll_now(self) -> None:
        """Have an operator's wish done at the next step."""
        ask_anew()
        self.known = tick.poll_now(self.state, procfs.now())
        self.at = 0.0

    def close(self) -> None:
        """End what is under way."""
        self.eyes.close()
        self.hands.cancel()


class Begin(Protocol):
    """Begins a watch, or goes on with one that has other settings now."""

    def __call__(self, settings: Settings, before: Watch | None = None, /) -> Watch: ...


class Begins(Begin, Protocol):
    """And has its events heard."""

    def __call__(
            self, settings: Settings, before: Watch | None = None,
            heard: Callable[[Say], Say] | None = None, /,
    ) -> Watch: ...


class Book(NamedTuple):
    """What a watch begins with, and its ledger if there is one.

    save: writes the ledger; returns whether it holds what is known.
    held: what gives the ledger back to others; empty while another has it.
    """

    state: State
    save: Callable[[State], bool]
    held: list[Callable[[], None]]
    on_start: str

    def let_go(self) -> None:
        """Give the ledger back to others."""
        while self.held:
            self.held.pop()()


def nowhere(_: State) -> bool:
    """Save nothing, for there is no ledger."""
    return True


def remembered(settings: Settings, say: Say) -> Book:
    """Return what a watch begins with.

    Nothing about the ledger ends a watch: it goes on with what it remembers
    itself, and says so once.
    """
    path, on_start = settings.state_file, settings.on_start
    book = Book(State(), nowhere, [], on_start)
    if path is None:
        return book
    try:
        book.held.append(claim(path))
        state = recall(settings, path, whereabouts(settings))
        return book._replace(state=state, save=saving(settings, path, say, book.held))
    except LedgerKept as error:
        say('failed', f'{error}; taking a baseline', reason='ledger')
        save = saving(settings, path, say, book.held)
        return book._replace(save=save, on_start='never')
    except LedgerBusy as error:
        say('failed', f'{error}; going on without it', reason='ledger')
        # Until the other one ends: what it leaves is older than what is known here.
        return book._replace(save=saving(settings, path, say, book.held, str(error)))
    except LedgerError as error:
        book.let_go()
        say('failed', f'{error}; going on without it', reason='ledger')
        return book


def saving(
        settings: Settings, path: str, say: Say, held: list[Callable[[], None]],
        trouble: str = '',
) -> Callable[[State], bool]:
    """Return what writes a ledger; a fault of it is said once, and ends nothing.

    held: as in Book; claimed first, where it is not. trouble: what has been said.
    """
    here = whereabouts(settings)

    def save(state: State) -> bool:
        nonlocal trouble
        try:
            if not held:
                held.append(claim(path))
            store(path, memory.dump(state, here))
        except (LedgerError, LedgerBusy) as error:
            if str(error) != trouble:
                trouble = str(error)
                say('failed', f'{error}; going on without it', reason='ledger')
            return False
        trouble = ''
        return True

    return save


# What may change of a watch while it is telling somebody: how, and whom, may not.
MEANWHILE = (
    'interval', 'rehash', 'settle', 'empty_grace', 'ignore', 'min_uptime', 'survive',
    'command_timeout', 'url_timeout', 'splay', 'on_start', 'state_file', 'status_file',
    'log_format', 'verbosity', 'name', 'beside',
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


def handed(before: Watch, settings: Settings, say: Say) -> Book | None:
    """Return what a watch begins with that goes on where another left off.

    Where it cannot go on with what is under way that is broken off, and what is
    known of it is what a ledger would have kept; None: nothing is known yet.
    """
    before.eyes.close()
    if not akin(before.asked, settings):
        before.hands.cancel()
    old, path, content = before.asked, settings.state_file, before.state.content
    moved = elsewhere(old, settings)
    if path != old.state_file or content.state == 'blank':
        before.book.let_go()
    if content.state == 'blank':
        return None
    state, on_start = inherited(before, settings), settings.on_start
    if moved and not change.calm(content):
        # What is due may be no longer there by itself, and is due still.
        on_start = 'always'
    if path != old.state_file:
        begun = remembered(settings, say)
        if moved:
            state = begun.state  # that of just this watch, if there is one
        return begun._replace(state=state, on_start=on_start)
    save = before.book.save
    if path is not None and save is not nowhere:
        save = saving(settings, path, say, before.book.held)
    return Book(state, save, before.book.held, on_start)


def inherited(before: Watch, settings: Settings) -> State:
    """Return what a watch with other settings knows of what another one knew."""
    if akin(before.asked, settings):
        # It may be telling somebody: only the look begins anew.
        return before.state._replace(
            looking=0.0, stalled=0.0, poll_at=0.0, look_at=0.0, resting=(),
            idle=False, saved=None,
        )
    if elsewhere(before.asked, settings):
        return State()
    mine = whereabouts(settings)
    state = memory.revive(known(before, settings), mine, contents.fingerprint)
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
    kept = memory.dump(before.state, whereabouts(before.asked))
    return {**kept, 'key': whereabouts(settings).key}


def showing(
        settings: Settings, path: str, say: Say,
) -> Callable[[State], None]:
    """Return what keeps --status-file up to date; a fault of it is said once."""
    from pollreload import statusfile
    before: object = None
    trouble = ''

    def show(state: State) -> None:
        nonlocal before, trouble
        content = state.content
        news = content.ended_at, content.done, state.hold, state.attempt.tries
        if news == before or content.ended_at < 0:
            return
        before = news
        shown = {**about(settings), **seen(settings, state)}
        try:
            carefully(lambda: statusfile.write(path, shown), path)
            trouble = ''
        except OSError as error:
            if error.strerror != trouble:
                trouble = str(error.strerror)
                say(
                    'failed', f'cannot write {path} (--status-file): '
                    f'{trouble.lower()}', reason='status file',
                )

    return show


def about(settings: Settings) -> dict[str, object]:
    """Return what --status-file says of the watch itself."""
    named = {'watch': settings.name} if settings.name else {}
    return {
        'pid': os.getpid(), 'boot': procfs.boot(), 'interval': settings.interval,
        **named, **told(settings),
    }


def told(settings: Settings) -> dict[str, object]:
    """Return what is watched, and who is told."""
    said: dict[str, object] = {
        'paths': settings.paths, 'process': settings.process,
        'pidfile': settings.pidfile,
        'signal': settings.signal_name if signals(settings) else None,
    }
    if acts(settings):
        said['exec'] = [command[0] for command in settings.exec]
        said['url'] = [bare(url) for url in settings.url]
    return said


def audience(settings: Settings) -> str:
    """Return who is told, for a person."""
    who = []
    if signals(settings):
        who.append(f'{settings.process or settings.pidfile} and {settings.signal_name}')
    if acts(settings):
        from pollreload import actions
        who += [
            actions.named(settings, each) for each in range(actions.count(settings))
        ]
    return ', then '.join(who)


def seen(settings: Settings, state: State) -> dict[str, object]:
    """Return what --status-file says of the last look, and of what came of it.

    time: when it ended, in seconds of CLOCK_REALTIME; ended: in boot seconds.
    """
    content = state.content
    return {
        'time': round(time.time() - procfs.now() + content.ended_at, 3),
        'ended': content.ended_at,
        'took': round(content.ended_at - content.looked_at, 6),
        'content': content.state, 'seen': content.seen, 'done': content.done,
        'held': state.hold, 'tries': state.attempt.tries, 'unreadable': [
            (settings.paths[place], trouble.reason)
            for place, trouble in sorted(content.troubles.items())
        ],
    }
