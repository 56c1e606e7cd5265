"""The ledger of one watch: lock, load and save it."""

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pollreload.core import ledger_format, step
from pollreload.core.state import Say, State
from pollreload.errors import LedgerBusy, LedgerError, LedgerKept
from pollreload.runtime.guard import ACCESS_TIMEOUT, stopping, with_time_limit
from pollreload.settings import Settings
from pollreload.system import children, mounts, procfs, visibility
from pollreload.system.fingerprint import fingerprint


class Ledger(NamedTuple):
    """The state that a watch begins with, and its ledger if there is one.

    save: writes the ledger; returns whether it holds the given state.
    held: functions that release the lock; empty while another run has it.
    """

    state: State
    save: Callable[[State], bool]
    held: list[Callable[[], None]]
    on_start: str

    def let_go(self) -> None:
        """Release the lock of the ledger."""
        while self.held:
            self.held.pop()()


def save_nothing(_: State) -> bool:
    """Save nothing: the watch has no ledger."""
    return True


def remembered(settings: Settings, say: Say) -> Ledger:
    """Lock and load the ledger of a watch.

    A problem with the ledger never ends a watch: it is logged once, and the watch
    goes on with the state in memory.
    """
    path, on_start = settings.state_file, settings.on_start
    found = Ledger(State(), save_nothing, [], on_start)
    if path is None:
        return found
    try:
        found.held.append(claim(path))
        state = recall(settings, path, whereabouts(settings))
        save = ledger_writer(settings, path, say, found.held)
        return found._replace(state=state, save=save)
    except LedgerKept as error:
        say('failed', f'{error}; taking a baseline', reason='ledger')
        save = ledger_writer(settings, path, say, found.held)
        return found._replace(save=save, on_start='never')
    except LedgerBusy as error:
        say('failed', f'{error}; going on without it', reason='ledger')
        # Taken once the other run ends: its state is older than this watch's.
        save = ledger_writer(settings, path, say, found.held, str(error))
        return found._replace(save=save)
    except LedgerError as error:
        found.let_go()
        say('failed', f'{error}; going on without it', reason='ledger')
        return found


def ledger_writer(
        settings: Settings, path: str, say: Say, held: list[Callable[[], None]],
        trouble: str = '',
) -> Callable[[State], bool]:
    """Return a function that writes the ledger and logs each new failure once.

    held: as in Ledger; if empty, the ledger is locked first.
    trouble: the failure that was logged last.
    """
    here = whereabouts(settings)

    def save(state: State) -> bool:
        nonlocal trouble
        try:
            if not held:
                held.append(claim(path))
            store(path, ledger_format.dump(state, here))
        except (LedgerError, LedgerBusy) as error:
            if str(error) != trouble:
                trouble = str(error)
                say('failed', f'{error}; going on without it', reason='ledger')
            return False
        trouble = ''
        return True

    return save


FAULTS = {each.__name__: each for each in (LedgerError, LedgerKept, LedgerBusy)}


def call_limited(function: Callable[[str], Any], path: str) -> Any:
    """Call a function of ledger_file for a path that may hang; return its result.

    Raises the exceptions of that function, and LedgerError if the disk does not
    answer.
    """
    return call_opened(lambda path, call: with_time_limit(call, path), function, path)


def call_opened(
        by: Callable[[str, Callable[[], Any]], Any], function: Callable[[str], Any],
        path: str,
) -> Any:
    """Call a function through another one that limits its time; see call_limited."""
    def call() -> tuple[str, object]:
        try:
            return '', function(path)
        except (LedgerError, LedgerBusy) as error:
            return type(error).__name__, str(error)

    try:
        trouble, got = by(path, call)
    except OSError as error:
        raise LedgerError(f'the ledger {path}: {error.strerror}') from error
    if trouble:
        raise FAULTS[trouble](got)
    return got


def claim(path: str) -> Callable[[], None]:
    """Lock a ledger; return the function that releases it.

    Raises the exceptions of ledger_file.lock. If its disk may hang, a child holds
    the lock: releasing it may take as long as the server is away, and pollreload
    must end at once.
    """
    from pollreload.system import ledger_file

    held: list[int] = []

    def hold(path: str, call: Callable[[], Any]) -> Any:
        if mounts.can_hang((path,)):
            got, life = children.call_in_child(call, ACCESS_TIMEOUT, stopping)
            held.append(life)
            return got
        trouble, got = call()
        held.extend(() if trouble else (got,))
        return trouble, got

    def let_go() -> None:
        while held:
            os.close(held.pop())

    try:
        call_opened(hold, ledger_file.lock, path)
    except BaseException:
        let_go()
        raise
    return let_go


def store(path: str, content: Mapping[str, object]) -> None:
    """Replace a ledger; raises LedgerError, also if the disk does not answer."""
    from pollreload.system import ledger_file
    call_limited(lambda path: ledger_file.save(path, content), path)


def recall(settings: Settings, path: str, here: ledger_format.Here) -> State:
    """Return the state from the ledger, or a blank state if there is no ledger.

    Raises LedgerKept for a ledger that is corrupt or of a newer version (nothing
    may be sent because of it), LedgerError for one that cannot be used.
    """
    from pollreload.system import ledger_file
    load = ledger_file.peek if settings.dry_run else ledger_file.load
    said = call_limited(load, path)
    if said is None:
        return State()
    try:
        state = ledger_format.revive(said, here, fingerprint)
        if state is not None and (
                len(state.version.known) != len(settings.paths)
                or ledger_format.latest_time(state) > procfs.now() + 1.0
        ):
            raise ValueError('it has other paths, or times of the future')
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        if not settings.dry_run:
            path = call_limited(ledger_file.aside, path)
        raise LedgerKept(f'the ledger was corrupt; it is kept as {path}') from error
    if state is None:
        raise LedgerError(
            f'the ledger {path} is of another watch (other paths, process or signal); '
            f'remove it, or name another with --state-file',
        )
    return state._replace(saved=step.saved_part(state))


def whereabouts(settings: Settings) -> ledger_format.Here:
    """Return the watch, boot and pid namespace that the ledger is valid for."""
    from pollreload.system import ledger_location
    return ledger_format.Here(
        ledger_location.key(settings, working_directory()), procfs.boot(),
        visibility.pid_namespace(),
    )


def working_directory() -> str:
    """Return the working directory, or '/' if it was removed."""
    try:
        return os.getcwd()
    except OSError:
        # Only a relative path needs it, and cannot be found then.
        return '/'
