"""From signalled to up to date: survive, verify, confirm. Nothing here waits. Pure."""
from __future__ import annotations

from pollreload.core.attempt import IN_FLIGHT, Target, after_failure, renewed
from pollreload.core.command import (
    command_result,
    describe_exit,
    last_lines,
    poll_again,
)
from pollreload.core.process import Process
from pollreload.core.progress import advance_phase, advance_target, checks, runs_on
from pollreload.core.stage import Confirming, Surviving, Verifying
from pollreload.core.state import State, World, finish
from pollreload.core.succession import (
    hand_over,
    is_superseded,
    left_to_another,
    proven_at,
    successor,
)
from pollreload.settings import Settings, acts, sends_signal

VERIFY_PAUSE = 0.25  # s between two runs of a verification
END_PAUSE = 0.1  # s between two checks of a target that was asked to end


def poll_survival(
        settings: Settings, state: State, stage: Surviving, world: World,
) -> State:
    """Return the state after --survive: which targets live, with nothing pending."""
    now = world.now()
    in_flight = [each for each in state.attempt.targets if each.phase in IN_FLIGHT]
    if now < stage.until and not any(each.phase == 'terminating' for each in in_flight):
        return state._replace(next=stage.until)
    for entry in in_flight:
        event = observe_target(settings, entry, world)
        process = None
        if event == 'gone' and entry.phase != 'terminating':
            process = successor(settings, state, entry, world)
            left = None if process else left_to_another(settings, state, entry, world)
            if left is not None:
                state = left
                continue
        if process is None:
            state = advance_target(settings, state, entry, event, world)
        elif (again := proven_at(process, settings, world)) > now:
            return state._replace(stage=Surviving(again), next=again)
        else:
            state = report_successor(settings, state, entry, process, world)
    if any(
            each.phase == 'terminating' and not runs_on(settings, each, world)
            for each in state.attempt.targets
    ):
        return state._replace(next=now + END_PAUSE)
    return next_check(settings, state, world)


def observe_target(settings: Settings, entry: Target, world: World) -> str:
    """Return the event of attempt.TABLE that is observed of a target in flight."""
    if not settings.survive and entry.phase != 'pending':
        return 'unobserved'
    return world.health(entry.process, settings.signal.number)


def report_successor(
        settings: Settings, state: State, entry: Target, process: Process, world: World,
) -> State:
    """Return the state after a target exited and another process took over.

    A program that hands over to a successor looks like one that died of the signal
    and was started again, so this is no proof of a reload.
    """
    state = advance_target(
        settings, state, entry, 'succeeded', world,
        f' has exited and was replaced by {process}', successor=process.pid,
    )
    return hand_over(state, entry, process)


def next_check(settings: Settings, state: State, world: World) -> State:
    """Return the state at the verification of the next target, or at the end of all."""
    delivered = any(target.phase == 'delivered' for target in state.attempt.targets)
    if checks(settings) and delivered:
        return verify(settings, state, world)
    if any(target.phase == 'verified' for target in state.attempt.targets):
        return poll_to_confirm(state, world)
    return conclude(settings, advance_phase(state, 'delivered', 'unverified'), world)


def conclude(settings: Settings, state: State, world: World) -> State:
    """Return the state after a round: finished if all its targets are up to date."""
    targets = [target for target in state.attempt.targets if target.name in state.round]
    state = state._replace(stage=None)
    done = {target.name for target in targets if target.phase == 'up to date'}
    if done == set(state.round):
        if acts(settings):
            # A target that started since is signalled before the actions begin.
            return state._replace(next=world.now(), waiting='act')
        return finish(state, world)
    if any(target.sends and target.phase != 'up to date' for target in targets):
        again = after_failure(state.attempt, world.now(), world.jitter())
        state = state._replace(attempt=again, outcome='failed')
    # The targets that are left are chosen again at the next poll, which also logs
    # the reason for a hold.
    return state._replace(next=world.now())


def verify(settings: Settings, state: State, world: World) -> State:
    """Return the state in which the verification of a target, or of the actions, began.
    """
    now = world.now()
    stage = Verifying(until=now + settings.command_timeout, retry=now)
    return poll_verification(settings, state._replace(stage=stage), stage, world)


def poll_verification(
        settings: Settings, state: State, stage: Verifying, world: World,
) -> State:
    """Return the state after checking whether a reload can be seen."""
    now = world.now()
    entry = next((
        each for each in state.attempt.targets if each.phase == 'delivered'
    ), None)
    if entry is not None and is_superseded(state):
        if stage.running:
            world.cancel()
        state = advance_target(settings, state, entry, 'superseded', world)
        for phase in ('delivered', 'verified'):
            state = advance_phase(state, phase, 'superseded')
        # With --max-wait the newer version is next, not this one once more.
        attempt = state.attempt._replace(late=False)
        return state._replace(stage=None, attempt=attempt, outcome='failed', next=now)
    if stage.running:
        end = command_result(world, stage.until)
        if end is None:
            return poll_again(state, world, stage.until)
        if end.status == 0:
            return end_verification(settings, state, entry, world)
        stage = stage._replace(running=False, retry=now + VERIFY_PAUSE)
        if end.status is not None:
            stage = stage._replace(last=describe_exit(end.status))
    if entry is not None:
        if world.health(entry.process, settings.signal.number) == 'gone':
            return follow_exit(settings, state, stage, entry, world)
        if settings.verify_workers and not stage.renewed:
            family = world.family(entry.process.pid)
            stage = stage._replace(renewed=renewed(entry, family))
    workers = stage.renewed or entry is None or not settings.verify_workers
    if workers and not settings.verify:
        return end_verification(settings, state, entry, world)
    if now >= stage.until:
        what = 'every action succeeded'
        if entry is not None:
            what = f'{entry.process} was signalled'
        says = (
            f'{what}, but {settings.command_timeout:g} s later '
            f'{why_unverified(settings, stage, workers, world)}'
        )
        return fail_verification(settings, state, entry, says, world)
    if not workers or now < stage.retry:
        again = stage.retry if workers else now + VERIFY_PAUSE
        return state._replace(stage=stage, next=min(again, stage.until))
    from pollreload.core import context
    pids = () if entry is None else (entry.process.pid,)
    trouble = world.run(settings.verify, context.environment(settings, state, pids))
    if trouble:
        says = f'cannot run --verify: {trouble}'
        return fail_verification(settings, state, entry, says, world)
    state = state._replace(stage=stage._replace(running=True))
    return poll_again(state, world, stage.until)


def why_unverified(
        settings: Settings, stage: Verifying, workers: bool, world: World,
) -> str:
    """Return why a reload is not verified at the end of --command-timeout.

    workers: whether --verify-workers is satisfied.
    """
    if not workers:
        return (
            'it has not replaced its workers (--verify-workers); what it logged itself '
            'may say why'
        )
    last = last_lines(world.output())
    more = f': {last}' if last else ''
    how = f' ({stage.last})' if stage.last else ''
    return f'--verify {settings.verify[0]} does not agree{how}{more}'


def end_verification(
        settings: Settings, state: State, entry: Target | None, world: World,
) -> State:
    """Return the state after a verification succeeded; entry None: of the actions."""
    if entry is None:
        return poll_to_confirm(state, world)
    return end_target_verification(settings, state, entry, 'verified', world)


def fail_verification(
        settings: Settings, state: State, entry: Target | None, says: str,
        world: World,
) -> State:
    """Return the state after a verification failed; entry None: of the actions."""
    if entry is None:
        return repeat(state, world, says)
    return end_target_verification(settings, state, entry, 'not verified', world, says)


def follow_exit(
        settings: Settings, state: State, stage: Verifying, entry: Target, world: World,
) -> State:
    """Return the state after a target exited while it was being verified."""
    other = successor(settings, state, entry, world)
    again = proven_at(other, settings, world) if other else 0.0
    if again > world.now():
        if world.now() < stage.until:
            return state._replace(stage=stage, next=min(again, stage.until))
        other = None  # a crash loop
    if other is not None:
        state = report_successor(settings, state, entry, other, world)
        return next_check(settings, state, world)
    left = left_to_another(settings, state, entry, world)
    if left is not None:
        return next_check(settings, left, world)
    return end_target_verification(settings, state, entry, 'gone', world)


def end_target_verification(
        settings: Settings, state: State, entry: Target, event: str, world: World,
        message: str = '',
) -> State:
    """Return the state after the verification of one target came to an end."""
    state = advance_target(settings, state, entry, event, world, message)
    return next_check(settings, state, world)


def repeat(
        state: State, world: World, says: str, reason: str = 'not verified',
) -> State:
    """Return the state in which every action is to be done again."""
    world.say('failed', says, reason=reason)
    attempt = after_failure(state.attempt, world.now(), world.jitter())
    attempt = attempt._replace(acted=0, doubted=attempt.doubted + 1)
    return state._replace(
        stage=None, attempt=attempt, outcome='failed', next=world.now(),
    )


def poll_to_confirm(state: State, world: World) -> State:
    """Return the state that polls again, to see whether the version is still there."""
    now = world.now()
    return state._replace(stage=Confirming(now), next_reading=now)


def poll_confirmation(
        settings: Settings, state: State, stage: Confirming, world: World,
) -> State:
    """Return the state after another poll: is the verified version still there?"""
    seen = state.version.seen
    if state.reading_since or state.version.read_at < stage.since or not seen:
        return state
    same = seen == state.attempt.fingerprint
    if sends_signal(settings):
        for entry in state.attempt.targets:
            if entry.phase == 'verified':
                event = 'confirmed' if same else 'changed'
                state = advance_target(settings, state, entry, event, world)
        return conclude(settings, state, world)
    if same and state.version.state != 'due':
        # It could not be read for a moment, and has to settle once more.
        return state
    # Not for a watch that only signals.
    from pollreload.core.actions import last
    what = last(settings)
    if not same:
        return repeat(
            state, world, f'the files changed while {what} was being verified, '
            f'which proves nothing about the new version', 'changed meanwhile',
        )
    world.say('verified', f'reloaded after {what}')
    return finish(state, world)
