"""What of a state outlives a run: its form in the ledger. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pollreload.core import change
from pollreload.core.attempt import PASSED_OVER, TABLE, Attempt, Target
from pollreload.core.process import Process
from pollreload.core.reading import Digest, Known, Trouble
from pollreload.core.state import State


class Here(NamedTuple):
    """The watch, boot and pid namespace of a ledger; it is valid only there.

    key: which watch it is (paths, target conditions and signal).
    boot: the boot id; pids: the pid namespace.
    """

    key: str
    boot: str
    pids: str


def dump(state: State, here: Here) -> dict[str, object]:
    """Return the part of a state that JSON keeps."""
    version, attempt = state.version, state.attempt
    return {
        'key': here.key,
        'boot': here.boot,
        'done': version.delivered,
        'seen': version.seen,
        'seen_at': version.seen_at,
        'known': [
            None if known is None else {
                'kind': known.kind,
                'files': {name: digest.hex() for name, digest in known.files.items()},
            } for known in version.known
        ],
        'left': version.left,
        'read_at': version.read_at,
        'firm': version.firm,
        'altered': version.altered,
        'doubts': [
            [place, name, at, digest.hex()]
            for (place, name), (at, digest) in version.doubts.items()
        ],
        'absent': version.absent,
        'troubles': [
            [place, each.reason, each.since, each.whole, sorted(each.kept)]
            for place, each in version.troubles.items() if each.reported
        ],
        'newest': state.newest,
        'deaths': state.deaths,
        'deadly': state.deadly,
        'fingerprint_key': state.key,
        'killed': state.killed,
        'notified': [dump_target(each, here) for each in state.notified],
        'older': [dump_target(each, here) for each in state.older],
        'previous': state.previous,
        'changed': [*state.changed[0], *state.later[0]],
        'changed_more': state.changed[1] + state.later[1],
        'reported': list(state.reported),
        'attempt': {
            'fingerprint': attempt.fingerprint,
            'tries': attempt.tries,
            'acted': attempt.acted,
            'acted_at': attempt.acted_at,
            'doubted': attempt.doubted,
            'rounds': attempt.rounds,
            'targets': [dump_target(each, here) for each in attempt.targets],
        },
    }


def dump_target(target: Target, here: Here) -> dict[str, object]:
    """Return a target as JSON keeps it."""
    return {
        'pid': target.process.pid, 'started': target.process.started,
        'comm': target.process.comm, 'sends': target.sends, 'phase': target.phase,
        'at': target.at, 'since': target.since, 'disposition': target.disposition,
        'program': target.program, 'stack': target.stack,
        # A pid means a process only in its pid namespace.
        'pids': here.pids,
    }


def revive_targets(kept: object, here: Here, same_boot: bool) -> tuple[Target, ...]:
    """Return the targets of a ledger that mean the same processes here."""
    return tuple(
        revive_target(each) for each in as_list(kept)
        if same_boot and here.pids and each['pids'] == here.pids
    )


def revive(kept: Mapping[str, Any], here: Here, digest: Digest) -> State | None:
    """Return the state that a ledger keeps; None if it is of another watch.

    Raises ValueError, TypeError, KeyError or AttributeError if the ledger is
    not what dump writes.
    """
    if str(kept['key']) != here.key:
        return None
    same_boot = bool(here.boot) and kept['boot'] == here.boot
    known = tuple(
        None if each is None else Known(as_text(each['kind']), {
            as_text(name): bytes.fromhex(digest)
            for name, digest in each['files'].items()
        }) for each in as_list(kept['known'])
    )
    if not known:
        raise ValueError('nothing is known of any path')
    done = as_text(kept['done'])
    attempt = kept['attempt']
    targets = revive_targets(attempt['targets'], here, same_boot)
    # Another version that the last run saw, and did not deliver, is still due.
    resting = bool(done) and (done == kept['seen'] or not same_boot)
    version = change.Memory(
        state=(
            'blank' if kept['absent'] and not any(known)
            else 'current' if resting else 'settling'
        ),
        known=known,
        known_print=digest([it.files if it is not None else None for it in known]),
        seen=as_text(kept['seen']) if same_boot else '',
        seen_at=number(kept['seen_at']) if same_boot else 0.0,
        delivered=done,
        left=number(kept['left']) if same_boot else 0.0,
        firm=as_text(kept['firm']) if same_boot else '',
        altered=number(kept['altered']) if same_boot else 0.0,
        absent=bool(kept['absent']) and same_boot,
        read_at=number(kept['read_at']) if same_boot else -1.0,
        doubts={
            (as_position(place, known), as_text(name)): (
                number(at), bytes.fromhex(digest),
            )
            for place, name, at, digest in as_list(kept['doubts'])
        } if same_boot else {},
        troubles={
            as_position(place, known): Trouble(
                as_text(reason), number(at), bool(whole), True,
                frozenset(map(as_text, as_list(names))),
            ) for place, reason, at, whole, names in as_list(kept['troubles'])
        } if same_boot else {},
    )
    return State(
        version=version,
        attempt=Attempt(
            as_text(attempt['fingerprint']), targets,
            # The count goes on; the wait was the other run's.
            tries=as_count(attempt['tries']),
            acted=as_count(attempt['acted']),
            acted_at=number(attempt['acted_at']),
            doubted=as_count(attempt['doubted']),
            rounds=as_count(attempt['rounds']),
        ) if same_boot else Attempt(),
        newest=number(kept['newest']),
        deaths=as_count(kept['deaths']),
        deadly=as_text(kept['deadly']),
        key=as_text(kept['fingerprint_key']),
        killed=as_text(kept['killed']),
        notified=revive_targets(kept['notified'], here, same_boot),
        older=revive_targets(kept['older'], here, same_boot),
        previous=as_text(kept['previous']),
        changed=(
            tuple(map(as_text, as_list(kept['changed']))),
            as_count(kept['changed_more']),
        ),
        reported=tuple(map(as_text, as_list(kept['reported']))),
    )


def revive_target(each: Mapping[str, Any]) -> Target:
    """Return a target as the next run sees it.

    If the run ended after the signal was sent and before it saw the result, it counts
    as pending: a target that is alive with nothing pending has received it.
    """
    phase = as_text(each['phase'])
    if phase != PASSED_OVER:
        if (phase, 'restarted') not in TABLE:
            raise ValueError(f'{phase!r} is no phase')
        phase, _ = TABLE[phase, 'restarted']
    return Target(
        Process(
            as_count(each['pid']), 0, as_count(each['started']), as_text(each['comm']),
        ),
        as_count(each['sends']), phase, number(each['at']), as_count(each['since']),
        as_text(each['disposition']), as_text(each['program']),
        stack=as_count(each['stack']),
    )


def as_text(value: object) -> str:
    """Return a value that is text. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError(f'{value!r} is not text')
    return value


def number(value: object) -> float:
    """Return a number, which JSON's Infinity is not. Raises ValueError."""
    if not isinstance(value, (int, float)) or not abs(value) < 2**62:
        raise ValueError(f'{value!r} is not a number')
    return float(value)


def as_count(value: object) -> int:
    """Return a whole number from 0. Raises ValueError."""
    if type(value) is not int or not 0 <= value < 2**62:
        raise ValueError(f'{value!r} is not a count')
    return value


def as_position(value: object, known: Sequence[Known | None]) -> int:
    """Return the position of a path among these. Raises ValueError."""
    position = as_count(value)
    if position >= len(known):
        raise ValueError(f'there is no path {position}')
    return position


def latest_time(state: State) -> float:
    """Return the latest time that a state speaks of, in boot seconds."""
    version = state.version
    return max(
        version.seen_at, version.left, version.read_at, version.altered,
        state.attempt.acted_at,
        *(at for at, _ in version.doubts.values()),
        *(target.at for target in state.attempt.targets),
    )


def as_list(value: object) -> list[Any]:
    """Return a value that is a list. Raises TypeError."""
    if not isinstance(value, list):
        raise TypeError(f'{value!r} is not a list')
    return value
