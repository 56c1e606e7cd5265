"""Send the signal to the targets of a version, and log it. Pure."""
from __future__ import annotations

from collections.abc import Sequence

from pollreload.core import change
from pollreload.core.attempt import (
    Target,
    after_event,
    after_failure,
    record,
    without_mark,
)
from pollreload.core.obstacle import disposition_now, handler_policy
from pollreload.core.process import Process
from pollreload.core.progress import advance_target, ends_target
from pollreload.core.stage import Surviving
from pollreload.core.state import State, World, hold
from pollreload.core.verification import poll_survival
from pollreload.settings import Settings


def send_to_each(
        settings: Settings, state: State, ready: Sequence[Target], world: World,
) -> State:
    """Return the state after the signal went to each target that can take it."""
    before, attempt = state, state.attempt
    marked = [
        after_event(entry, 'marked')._replace(sends=entry.sends + 1) for entry in ready
    ]
    for entry in marked:
        attempt = record(attempt, entry)
    # The mark is on disk before the signal is out: if this process ends here, the
    # next run knows that the targets may have half of this version.
    state = state._replace(attempt=attempt, version=change.forget(state.version))
    if not world.save(state):
        return hold(
            before, world, 'ledger', 'ledger',
            'the ledger cannot be written, so nothing is sent',
        )
    sent, failures = False, []
    family = {
        each.name: world.family(each.process.pid) for each in ready
    } if settings.verify_workers else {}
    for was, entry in zip(ready, marked, strict=True):
        since = int(world.now() * world.ticks)
        # The disk may have been slow, and exec(2) keeps the start time but not the
        # handlers: a target that must be held now counts as gone.
        now = disposition_now(settings, entry.process, world)
        held = handler_policy(settings, now) == 'hold'
        how = 'gone' if held else world.send(entry.process, settings.signal.number)
        if how in ('pidfd', 'kill'):
            sent = True
            target = entry._replace(family=family.get(entry.name, ()))
            state = signalled(settings, state, target, how, since, world)
        else:
            state = state._replace(attempt=without_mark(state.attempt, was))
            if how != 'gone':
                failures.append((how, entry.process))
    if failures:
        state = unsent(settings, state, failures, world)
        attempt = after_failure(state.attempt, world.now(), world.jitter())
        state = state._replace(attempt=attempt, outcome='failed')
    if not sent:
        # No signal was sent, so what was delivered before still is.
        version = state.version._replace(delivered=before.version.delivered)
        return state._replace(
            version=version, next=state.attempt.again if failures else 0.0,
        )
    stage = Surviving(world.now() + settings.survive)
    state = state._replace(stage=stage, next=stage.until)
    return state if settings.survive else poll_survival(settings, state, stage, world)


def signalled(
        settings: Settings, state: State, entry: Target, how: str, since: int,
        world: World,
) -> State:
    """Return the state after the signal went to one target, and say so.

    entry: as it was marked. since: the clock tick just before the signal went.
    """
    warning = ''
    if handler_policy(settings, entry.disposition) == 'warn':
        warning = f', which has no handler for it ({entry.disposition})'
    elif entry.disposition == 'runtime' and entry.name not in {
            each.name for each in state.notified
    }:
        warning = (
            '; its language runtime catches every signal, so it is unknown whether '
            'the program handles it'
        )
    entry = entry._replace(at=world.now(), since=since)
    state = advance_target(
        settings, state, entry,
        'asked to end' if ends_target(settings) else 'signalled', world, warning,
        how=how, disposition=entry.disposition,
    )
    return state._replace(hold='')


# EACCES of kill(2), which no uid and no capability changes.
DENIED = (
    'a security module (AppArmor, SELinux) denies it; allow the signal in its policy'
)


def unsent(
        settings: Settings, state: State, failures: Sequence[tuple[str, Process]],
        world: World,
) -> State:
    """Return the state after signals that could not be sent; why is said once."""
    name = settings.signal.name
    reasons = {
        'refused': 'not permitted', 'denied': 'not permitted', 'full': 'queue full',
        'foreign': 'proc',
    }
    says = []
    for how, _ in failures[1:]:
        # They share the line of the first.
        world.unlogged(reasons[how])
    for how, process in failures:
        if how == 'refused':
            says.append(
                f'not permitted to send {name} to {process.comm} (pid {process.pid}, '
                f'uid {process.uid}) as {world.us}; {world.entitle()}',
            )
        elif how == 'denied':
            says.append(f'not permitted to send {name} to {process}: {DENIED}')
        elif how == 'full':
            says.append(f'the queue of {process} is full; {name} did not go in')
        else:
            says.append(
                '/proc belongs to another pid namespace; mount that of this one there',
            )
    return hold(
        state, world, ' '.join(f'{how} {process.pid}' for how, process in failures),
        reasons[failures[0][0]], '; '.join(says), event='failed',
        target_pid=failures[0][1].pid,
    )
