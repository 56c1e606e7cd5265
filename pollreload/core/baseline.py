"""The version that is there at the start, or again: does a target need it? Pure."""
from __future__ import annotations

from collections.abc import Sequence

from pollreload.core import change
from pollreload.core.attempt import Attempt
from pollreload.core.process import Process
from pollreload.core.reading import (
    Snapshot,
)
from pollreload.core.state import State, World, notified_targets
from pollreload.settings import Settings, conditions, sends_signal


def baseline(
        settings: Settings, state: State, snapshot: Snapshot, world: World,
) -> State:
    """Return the state after the first poll that could read a path."""
    version, why, newest, nobody = state.version, '', 0.0, ''
    absent, appeared = version.absent, snapshot.newest
    version = version._replace(absent=False)
    state = state._replace(version=version)
    if absent:
        # It appeared just now, whatever its dates say.
        now = Process(0, 0, int(world.now() * world.ticks), '')
        appeared = max(appeared, world.born(now))
    if settings.on_start == 'always':
        why = '; will be delivered once (--on-start always)'
    elif absent and not sends_signal(settings):
        why = '; was missing before, and will be delivered'
    elif settings.on_start == 'auto' and not sends_signal(settings):
        why = '; will be delivered once: the version in use is unknown'
    elif settings.on_start == 'auto' or absent:
        choice = world.targets()
        newest = 0.0 if choice.matches else appeared
        if choice.reason == 'no target':
            # A wrong name should not wait for the first change to be seen.
            nobody = (
                f'; no process meets {conditions(settings)} yet; if one should, '
                f'pollreload doctor with the same options says why'
            )
        older = outdated(choice.matches, appeared, world)
        if choice.reason in ('pidfile', 'proc'):
            why = '; will be delivered once: the running processes are unknown'
        elif older is not None and absent:
            why = f'; was missing before, and will be delivered to {older}'
        elif older is not None:
            why = f'; newer than {older}, so it will be delivered'
    count = sum(len(known.files) for known in version.known if known is not None)
    files = f'{count} file' if count == 1 else f'{count} files'
    world.say(
        'baseline', f'{files} in {" ".join(settings.paths)}{why}{nobody}',
        fingerprint=version.seen, files=count,
    )
    if why and starts_us(settings, world):
        world.say(
            'held', 'pollreload is a descendant of its target and may be restarted by '
            'it, so it is not notified at the start; with --state-file it would be',
            reason='ancestor',
        )
        return state
    if why:
        return deliver_again(settings, state)
    return state._replace(newest=newest)


def starts_us(settings: Settings, world: World) -> bool:
    """Return whether a target is an ancestor that may restart this process.

    Without a ledger the restarted pollreload would notify it at its start again,
    and so on without end.
    """
    if settings.state_file is not None or not sends_signal(settings):
        return False
    return any(each.ancestor for each in world.targets().targets)


def outdated(
        matches: Sequence[Process], newest: float, world: World,
) -> Process | None:
    """Return a process that is older than the newest file, if there is one."""
    # One clock tick of grace: start times are cut to it (proc(5), stat).
    tick = 1 / world.ticks
    for process in matches:
        if newest > world.born(process) + tick:
            return process
    return None


def compare_first_target(settings: Settings, state: State, world: World) -> State:
    """Return the state after asking whether the first target to be seen is outdated.

    At the baseline there was none; a program may well run already and go by its
    name, or write its pidfile, only once it is warm.
    """
    if not state.newest or state.reading_since or state.version.state != 'current':
        return state
    choice = world.targets()
    if not choice.matches:
        return state
    who = outdated(choice.matches, state.newest, world)
    state = state._replace(newest=0.0)
    if who is None:
        return state
    world.say(
        'changed', f'{" ".join(settings.paths)} is newer than {who}, which is seen '
        f'only now, so it will be delivered',
        fingerprint=state.version.seen, reason='outdated', target_pid=who.pid,
    )
    return deliver_again(settings, state)


def handle_return(
        settings: Settings, state: State, world: World, unread: bool,
) -> State:
    """Return the state after the delivered version is there again.

    No target was notified of the other version, but a process that started after the
    last poll before it may have read that, and so may one that was signalled less than
    --survive before that poll. unread: it could not be read at all.
    """
    left, targets = state.version.left, notified_targets(state)
    pace = state.pace._replace(since=0.0)
    state = state._replace(attempt=Attempt(), hold='', pace=pace)
    rested = state._replace(version=state.version._replace(left=0.0))
    if not sends_signal(settings):
        if unread:
            return rested
        world.say(
            'changed', f'{" ".join(settings.paths)} is as before, but was not for a '
            f'moment, and a process may have read that',
            fingerprint=state.version.seen, reason='restarted',
        )
        return deliver_again(settings, state)
    choice = world.targets()
    # left is the time of the signal itself if the delivery ended while this version
    # settled again: it was confirmed then, so the signal is no reason for another.
    notified = {
        each.name for each in targets
        if each.at and each.at != left and each.at + settings.survive > left
    }
    if choice.reason in ('pidfile', 'proc'):
        # It is unknown which processes run; in doubt, deliver.
        return deliver_again(settings, state)
    for process in choice.matches:
        again = (process.pid, process.started) in notified
        if again or (process.started + 1) / world.ticks >= left:
            how = 'was notified' if again else 'started'
            world.say(
                'changed', f'{" ".join(settings.paths)} is as before, but {process} '
                f'{how} since and may have read something else',
                fingerprint=state.version.seen, reason='restarted',
                target_pid=process.pid,
            )
            return deliver_again(settings, state)
    return rested


def deliver_again(settings: Settings, state: State) -> State:
    """Return the state in which this version is due once it has settled."""
    version = change.redeliver(state.version)
    again = version.seen_at + settings.settle
    return state._replace(
        version=version, next_reading=min(state.next_reading, again),
    )
