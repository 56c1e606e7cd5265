"""From due to valid: run --validate, and limit how long versions outrun it. Pure."""
from __future__ import annotations

from pollreload.core import change
from pollreload.core.attempt import Attempt, after_failure, not_outrun
from pollreload.core.command import (
    command_result,
    describe_exit,
    last_lines,
    poll_again,
)
from pollreload.core.feedback import changed_files, first_seen, spaced_until
from pollreload.core.stage import Validating
from pollreload.core.state import NO_NAMES, State, World, hold, notified_targets
from pollreload.settings import Settings, sends_signal


def begin_attempt(settings: Settings, state: State, world: World) -> State:
    """Return the state with an attempt at a version that is due for the first time."""
    now, old, pace = world.now(), state.attempt, state.pace
    # A newer version does not begin the splay again, or none might ever arrive.
    due = min(now, first_seen(state) + settings.settle)
    attempt = Attempt(state.version.seen, again=due + world.splay)
    if state.later != NO_NAMES:
        from pollreload.core import context
        state = context.take_changes(state)
    live = tuple(
        each for each in notified_targets(state) if not world.gone(each.process)
    )
    state = state._replace(attempt=attempt, hold='', outcome='', notified=live)
    if not old.unvalidated or old.acted_at or any(each.sends for each in old.targets):
        return state._replace(pace=pace._replace(outrun_at=0.0))
    # The version before was replaced while it was validated, or just after that.
    state = state._replace(attempt=attempt._replace(
        unvalidated=old.unvalidated,
        valid=old.fingerprint if old.validated else old.valid,
    ))
    # Up to when this version was seen, because it may be due late (--empty-grace).
    lasted = state.version.seen_at - old.unvalidated
    if lasted < change.LOG_AFTER:
        return state
    hint = '' if settings.max_wait else '; --max-wait limits how long that lasts'
    if pace.outrun_at:
        # One line for all of them, again after an hour.
        state = state._replace(hold='never validated', held_at=pace.outrun_at)
    state = hold(
        state, world, 'never validated', 'never validated',
        f'for {lasted:.0f} s each version of '
        f'{changed_files(settings, pace)} has been replaced while '
        f'--validate {settings.validate[0]} ran on it{hint}', files=pace.files,
    )
    return state._replace(pace=pace._replace(outrun_at=state.held_at))


def apply_max_wait(settings: Settings, state: State, world: World) -> State:
    """Return the state with an attempt at the last valid version after --max-wait."""
    old, version, now = state.attempt, state.version, world.now()
    valid = old.fingerprint if old.validated else old.valid
    if not old.unvalidated or not valid or version.seen in ('', valid):
        return state
    if version.waiting == 'doubt':
        # The target would read what is distrusted (--empty-grace).
        return state
    end = max(
        old.unvalidated + settings.max_wait, spaced_until(settings, state.pace),
    )
    if now < end:
        return state._replace(next=end, waiting='poll')
    world.say(
        'changed', f'{" ".join(settings.paths)} has changed faster than --validate '
        f'{settings.validate[0]} for {now - old.unvalidated:.0f} s; the last version '
        f'that validated is delivered (--max-wait)', fingerprint=valid,
        reason='max wait',
    )
    attempt = Attempt(valid, again=now, validated=True, late=True)
    return state._replace(attempt=attempt, hold='')


def start_validation(settings: Settings, state: State, world: World) -> State:
    """Return the state with --validate running, or held if it cannot be started."""
    from pollreload.core import context
    pids = [pid for pid, _ in state.round] if sends_signal(settings) else ()
    trouble = world.run(
        settings.validate, context.environment(settings, state, pids),
    )
    if trouble:
        return invalid(settings, state, world, f'cannot run --validate: {trouble}')
    now = world.now()
    # What was held until now did not wait for --validate alone.
    since = state.attempt.unvalidated or (now if state.hold else first_seen(state))
    stage = Validating(now + settings.command_timeout)
    return poll_again(state._replace(
        attempt=state.attempt._replace(unvalidated=since), stage=stage,
    ), world, stage.until)


def invalid(
        settings: Settings, state: State, world: World, says: str, said: str = '',
) -> State:
    """Return the state held because the version is not valid.

    said: what --validate printed; its last line is worth a place in the log.
    """
    attempt = not_outrun(after_failure(state.attempt, world.now(), world.jitter()))
    state = state._replace(stage=None, attempt=attempt, outcome='failed')
    last = last_lines(said)
    return hold(
        state, world, says, 'validation failed',
        f'{says}: {last}' if last else says, state.attempt.again, said=said,
    )


def poll_validation(
        settings: Settings, state: State, stage: Validating, world: World,
) -> State:
    """Return the state after polling the command of --validate."""
    command, attempt, now = settings.validate[0], state.attempt, world.now()
    if state.version.seen != attempt.fingerprint and (
            not settings.max_wait or state.version.state == 'current'
            or (attempt.valid and now >= attempt.unvalidated + settings.max_wait)
    ):
        # It runs on a version that is not there any more. With --max-wait it goes
        # on, because that may be the last version that validates in time.
        world.cancel()
        return state._replace(stage=None)
    end = command_result(world, stage.until)
    if end is None:
        return poll_again(state, world, stage.until)
    if end.status is None:
        says = f'--validate {command} did not end within {settings.command_timeout:g} s'
        return invalid(settings, state, world, says, world.output())
    if end.status:
        how = describe_exit(end.status)
        says = f'--validate {command} refused the new version ({how})'
        return invalid(settings, state, world, says, world.output())
    return state._replace(
        stage=None, attempt=attempt._replace(validated=True), fresh=now,
        next_reading=now,
    )
