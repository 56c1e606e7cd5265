"""From due to told: choose, hold or validate, and send.

Every function takes what is known and the world, and returns what is known
then. None of them waits: what has to be waited for is a time to come back at,
or a child whose end wakes the loop.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from pollreload.core import change
from pollreload.core.attempt import (
    MOST_SENDS,
    READ_IT,
    Target,
    broken,
    failed,
    moved,
    needless,
    of,
    record,
    unmarked,
)
from pollreload.core.process import HARMLESS, Choice, Process, disposition, verdict
from pollreload.core.progress import advance, ending
from pollreload.core.stage import Surviving
from pollreload.core.state import State, World, finish, hold
from pollreload.core.validation import start_validation
from pollreload.core.verification import surviving
from pollreload.settings import Settings, acts, signals


def notify(settings: Settings, state: State, world: World) -> State:
    """Return the state after the due content was told, held, or found needless."""
    if not signals(settings):
        return beyond(settings, state, world)
    now, choice = world.now(), world.targets()
    asked = [
        target.name for target in state.attempt.targets if target.phase == 'terminating'
    ]
    if asked:
        # An earlier run told it to end, and did not live to see it.
        also = tuple((each.pid, each.started) for each in choice.targets)
        return state._replace(
            stage=Surviving(now), next=now,
            round=(*asked, *(name for name in also if name not in asked)),
        )
    if choice.reason == 'no target' and acts(settings) and gone(settings, state):
        return beyond(settings, state, world)
    if choice.reason:
        says = choice.says or world.absent
        return hold(state, world, choice.reason, choice.reason, says)
    state = persists(state, choice, world)
    if state.passed and now < state.passed_at + PASS_OVER:
        again = state.passed_at + PASS_OVER
        return state._replace(next=again, waiting='uptime')
    spared = needless_for(settings, state, choice, world)
    if spared and state.dated_at != state.version.ended_at:
        # What was there for a moment between two looks shows in the dates.
        return state._replace(dates=True, fresh=now, next_reading=now, waiting='poll')
    state = spare(settings, state, spared, world)
    todo = [
        entry for process in choice.targets
        if (entry := of(state.attempt, process)).phase != 'up to date'
    ]
    if not todo:
        return beyond(settings, state, world)
    state = state._replace(
        round=tuple((each.pid, each.started) for each in choice.targets),
    )
    if any(entry.phase == 'pending' and world.health(
            entry.process, settings.signal.number,
    ) != 'pending' for entry in todo):
        # The signal of the last time was taken at last, or died with its target.
        return state._replace(stage=Surviving(now), next=now)
    ready: list[Target] = []
    kept: list[Obstacle] = []
    for entry in todo:
        seen = entry._replace(disposition=disposed(settings, entry.process, world))
        if seen.disposition == 'runtime':
            seen = seen._replace(program=world.program(entry.process))
        held = obstacle(settings, state, seen, world)
        if held is None:
            ready.append(seen)
        else:
            kept.append(held)
    if not ready:
        return hold_back(state, kept, world)
    return before(settings, state, world) or send(settings, state, ready, world)


def persists(state: State, choice: Choice, world: World) -> State:
    """Return the state with the roots that are passed over, and since when."""
    names = [(each.pid, each.started) for each in choice.passed]
    if names == [(each.pid, each.started) for each in state.passed]:
        return state
    return state._replace(passed=choice.passed, passed_at=world.now())


def before(settings: Settings, state: State, world: World) -> State | None:
    """Return the state that waits for what comes before telling anybody, or None."""
    now = world.now()
    if now < state.attempt.again:
        return later(settings, state, world)
    if now - state.version.ended_at >= FRESH:
        # After a wait: what settled then may be gone by now.
        return state._replace(fresh=now, next_reading=now, waiting='poll')
    if settings.validate and not state.attempt.validated:
        return start_validation(settings, state, world)
    return None


def gone(settings: Settings, state: State) -> bool:
    """Return whether all that were told to end have: who comes next is not awaited."""
    targets = state.attempt.targets
    ended = bool(targets) and all(it.phase == 'up to date' for it in targets)
    return ending(settings) and ended


def beyond(settings: Settings, state: State, world: World) -> State:
    """Return the state after what comes when every target has the content."""
    if not acts(settings):
        return finish(state, world)
    # Not for a watch that only signals.
    from pollreload.core import actions
    return (
        actions.spent(settings, state, world) or before(settings, state, world)
        or actions.start(settings, state, world)
    )


def disposed(settings: Settings, process: Process, world: World) -> str:
    """Return the disposition of a target for the signal, as it is now."""
    return disposition(
        world.masks(process.pid), settings.signal.number,
        settings.signal.name in HARMLESS, process.init,
    )


def judged(settings: Settings, disposition: str) -> str:
    """Return 'send', 'hold' or 'warn'; a signal that is to end it is not checked."""
    return verdict('off' if ending(settings) else settings.handler_check, disposition)


def needless_for(
        settings: Settings, state: State, choice: Choice, world: World,
) -> tuple[Process, ...]:
    """Return the targets that started when the content was there, by all looks."""
    if change.away(state.version):
        return ()
    since = state.version.seen_at
    # A successor started after the signal, so it read the version that was there.
    ends = [
        target.since / world.ticks for target in state.attempt.targets
        if target.sends and (ending(settings) or target.phase == 'up to date')
        and world.gone(target.process)
    ] if state.attempt.targets else []
    since = max(since, min(ends)) if ends else since + READ_IT
    return tuple(
        process for process in choice.targets
        if of(state.attempt, process).phase != 'up to date'
        and since <= process.started / world.ticks <= state.version.read_at
        and needless(process, choice.matches)
    )


def spare(
        settings: Settings, state: State, processes: Sequence[Process], world: World,
) -> State:
    """Return the state with those targets done that certainly read the content."""
    for process in processes:
        if state.dated + 1 / world.ticks > world.born(process):
            continue
        entry = of(state.attempt, process)
        state = advance(settings, state, entry, 'up to date', world)
    return state


def hold_back(state: State, kept: Sequence[Obstacle], world: World) -> State:
    """Return the state held for what keeps the signal from every target."""
    first = min(kept, key=lambda held: held.again or math.inf)
    if 0.0 < first.again - world.now() < BRIEF:
        return state._replace(next=first.again, waiting='uptime')
    return hold(
        state, world, ' '.join(held.key for held in kept), first.reason,
        '; '.join(dict.fromkeys(held.says for held in kept)),
        first.again, 'uptime' if first.again else '',
    )


BRIEF = 1.0  # s of a hold that are no cause for concern
# s for which a root must be without a handler before a descendant gets its signal: it
# may be starting, or re-executing itself (HAProxy), and the descendant a worker.
PASS_OVER = 2.0
FRESH = 0.25  # s for which a look is good enough to tell of it


class Obstacle(NamedTuple):
    """What keeps a signal from a target.

    key: tells one from another; reason: in two words; says: for a person.
    again: when it ends by itself, boot seconds; 0.0: not known.
    """

    key: str
    reason: str
    says: str
    again: float = 0.0


def obstacle(
        settings: Settings, state: State, entry: Target, world: World,
) -> Obstacle | None:
    """Return what keeps the signal from one target now, or None."""
    process, name = entry.process, settings.signal.name
    if entry.phase == 'pending':
        return Obstacle(
            f'pending {process.pid}', 'pending',
            f'{name} still waits for {process}, which is stopped or blocks it; '
            f'it is not sent again on top of that',
        )
    if entry.sends >= MOST_SENDS:
        return Obstacle(
            f'limit {process.pid}', 'limit',
            f'{process} was sent {name} {entry.sends} times for this content in vain; '
            f'held until the content or the process changes',
        )
    uptime = settings.min_uptime
    if uptime is None:
        uptime = 10.0 if entry.disposition == 'unknown' else 1.0
    old_enough = process.started / world.ticks + uptime
    if world.now() < old_enough:
        return Obstacle(
            f'too young {process.pid}', 'too young',
            f'{process} is younger than {uptime:g} s (--min-uptime)', old_enough,
        )
    if judged(settings, entry.disposition) == 'hold':
        return Obstacle(
            f'no handler {process.pid}', 'no handler',
            no_handler(process, name, entry.disposition, world),
        )
    if broken(state.deaths, state.deadly, entry.disposition) and (
            not state.killed or entry.program in ('', state.killed)
    ):
        if state.deadly == 'runtime':
            return Obstacle(
                'breaker', 'breaker',
                f'the runtime of {process.comm} catches {name}, and the program does '
                f'not handle it: it died of it; held until another program file runs, '
                f'or pollreload watch itself gets SIGHUP',
            )
        return Obstacle(
            'breaker', 'breaker',
            f'{state.deaths} targets in a row died of {name}; nothing more is sent '
            f'until one has a handler, or pollreload watch itself gets SIGHUP',
        )
    return None


def no_handler(process: Process, name: str, disposition: str, world: World) -> str:
    """Return the message about a target that does not handle the signal."""
    fate = 'ignores' if disposition == 'ignored' else 'has no handler and would die of'
    child = world.below(process)
    if child is not None:
        return (
            f'{process} {fate} {name}; its child {child} handles {name}: '
            f'--process {child.comm}'
        )
    if disposition == 'ignored':
        return (
            f'{process} ignores {name}; held until it has a handler '
            f'(--handler-check off sends it all the same)'
        )
    return (
        f'{process} would die of {name}, because it has no handler; held until it has '
        f'one (if it waits for {name} in sigwait, use --handler-check off)'
    )


def later(settings: Settings, state: State, world: World) -> State:
    """Return the state held until --splay or the backoff is over."""
    again = state.attempt.again
    if not state.attempt.tries:
        return state._replace(next=again, waiting='splay')
    if state.hold:
        # Why it failed was said, and will be again.
        return state._replace(next=again)
    what = settings.signal.name if signals(settings) else 'it'
    return hold(
        state, world, 'backoff', 'backoff',
        f'{what} is tried again in {again - world.now():.0f} s '
        f'(failures so far: {state.attempt.tries})', again,
    )


def send(
        settings: Settings, state: State, ready: Sequence[Target], world: World,
) -> State:
    """Return the state after the signal went to each target that can take it."""
    if settings.dry_run:
        for entry in ready:
            world.send(entry.process, settings.signal.number)
        return beyond(settings, state, world) if acts(settings) else state
    before = state
    marked = state.attempt
    for entry in ready:
        sends = entry.sends + 1
        marked = record(marked, moved(entry, 'marked')._replace(sends=sends))
    # The mark is on disk before the signal is out: should this be the end of
    # us, the next run knows that the targets may have half of a content.
    state = state._replace(attempt=marked, version=change.void(state.version))
    if not world.save(state):
        return hold(
            before, world, 'ledger', 'ledger',
            'the ledger cannot be written, so nothing is sent',
        )
    sent, failures = False, []
    family = {
        each.name: world.family(each.process.pid) for each in ready
    } if settings.verify_workers else {}
    for entry in ready:
        since = int(world.now() * world.ticks)
        # A slow disk lay between, and exec(2) keeps the start time and not the
        # handlers: what must be held now is looked for anew, as if it were gone.
        held = judged(settings, disposed(settings, entry.process, world)) == 'hold'
        how = 'gone' if held else world.send(entry.process, settings.signal.number)
        if how in ('pidfd', 'kill'):
            sent = True
            target = entry._replace(family=family.get(entry.name, ()))
            state = signalled(settings, state, target, how, since, world)
        else:
            state = state._replace(attempt=unmarked(state.attempt, entry))
            if how != 'gone':
                failures.append((how, entry.process))
    if failures:
        state = unsent(settings, state, failures, world)
        attempt = failed(state.attempt, world.now(), world.jitter())
        state = state._replace(attempt=attempt, outcome='failed')
    if not sent:
        # Nobody was told, so what was done before still is.
        content = state.version._replace(delivered=before.version.delivered)
        return state._replace(
            version=content, next=state.attempt.again if failures else 0.0,
        )
    stage = Surviving(world.now() + settings.survive)
    state = state._replace(stage=stage, next=stage.until)
    return state if settings.survive else surviving(settings, state, stage, world)


def signalled(
        settings: Settings, state: State, entry: Target, how: str, since: int,
        world: World,
) -> State:
    """Return the state after the signal went to one target, and say so.

    since: the clock tick just before it went.
    """
    warning = ''
    if judged(settings, entry.disposition) == 'warn':
        warning = f', which has no handler for it ({entry.disposition})'
    elif entry.disposition == 'runtime' and entry.name not in {
            each.name for each in state.notified
    }:
        warning = (
            '; its language runtime catches every signal, so it is unknown whether '
            'the program handles it'
        )
    entry = moved(entry, 'marked')._replace(
        sends=entry.sends + 1, at=world.now(), since=since,
    )
    state = advance(
        settings, state, entry, 'asked to end' if ending(settings) else 'signalled',
        world, warning, how=how, disposition=entry.disposition,
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
        world.unsaid(reasons[how])
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
