"""What is under way for a version that is due: one value for each stage. Pure.

Two stages with equal fields are equal tuples: compare their types as well.
"""

from typing import NamedTuple, assert_never


class Validating(NamedTuple):
    """The command of --validate runs, until it is ended."""

    until: float


class Surviving(NamedTuple):
    """The targets were signalled, and have to live until then (--survive)."""

    until: float


class Verifying(NamedTuple):
    """A target, or what all actions did, is being verified.

    until: when that fails. retry: when --verify is run next.
    running: --verify runs. renewed: the target has new workers.
    last: how --verify last ended, '' if it did not end.
    """

    until: float
    retry: float
    running: bool = False
    renewed: bool = False
    last: str = ''


class Confirming(NamedTuple):
    """What was verified needs a poll that begins at or after this time."""

    since: float


class Acting(NamedTuple):
    """An action (--exec, --url) runs, until it is ended."""

    until: float


# Times are boot seconds.
Stage = Validating | Surviving | Verifying | Confirming | Acting


def word(stage: Stage) -> str:
    """Return the name of a stage for the status line and for `check`."""
    match stage:
        case Validating():
            return 'validate'
        case Surviving():
            return 'survive'
        case Verifying():
            return 'verify'
        case Confirming():
            return 'confirm'
        case Acting():
            return 'act'
        case _:
            assert_never(stage)
