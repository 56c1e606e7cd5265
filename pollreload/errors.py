"""The errors that end a command, each with its exit status."""
from __future__ import annotations

# Said of a fault in pollreload itself; docs/troubleshooting.md says what to include.
REPORT = 'please report it to the issue tracker of pollreload'


class PollreloadError(Exception):
    """An error that the user can fix; shown as one line, never as a traceback.

    status: the exit status of the process.
    """

    status = 70


class UsageError(PollreloadError):
    """The command line or the environment is wrong."""

    status = 2


class LedgerError(PollreloadError):
    """The ledger cannot be read, trusted or written."""

    status = 4


class LedgerKept(LedgerError):
    """The ledger is corrupt or of a newer version: it is set aside, nothing is sent."""


class StatusError(PollreloadError):
    """The status file is missing or cannot be read."""

    status = 1


class LedgerBusy(PollreloadError):
    """Another run holds the ledger."""

    status = 75
