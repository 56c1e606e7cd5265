"""The errors that end a command, each with whose fault it is."""
from __future__ import annotations


class PollreloadError(Exception):
    """Something a person can mend; shown as one line, never as a traceback.

    status: what the process exits with.
    """

    status = 70


class UsageError(PollreloadError):
    """The command line or the environment is wrong."""

    status = 2


class LedgerError(PollreloadError):
    """The ledger cannot be read, trusted or written."""

    status = 4


class LedgerKept(LedgerError):
    """The ledger is corrupt or newer: to be kept aside, and nobody told of it."""


class StatusError(PollreloadError):
    """There is no status file that can be read."""

    status = 1


class LedgerBusy(PollreloadError):
    """Another run holds the ledger."""

    status = 75
