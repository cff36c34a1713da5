"""Every error a user can meet, with its exit code.

A message says what happened, why (the values) and what to do; `code` is stable and meant for machines.

TradeSentryError
├── UsageError          2   a command or call that cannot be understood
│   └── ConfigError     2   a setting that is unknown, out of bounds or contradictory
├── DataError           3   a file, series or period that cannot be used
│   ├── ImportRefused   3   a vendor file that fails validation, with its row
│   ├── ModelRefused    3   a trained model that does not fit or was changed
│   └── ClockError      3   a time zone that is missing, unknown or disproved by the data
├── CapacityError       1   a fixed-size record that is full; says which and how to raise it
├── StateMismatch       2   saved bytes whose layout differs from this version's
├── CheckFailed         1   a proof or verdict that failed
├── BrokerError         4   the venue or the network; `retry` and `sent` say what may be done next
│   ├── BrokerRejected       4   the venue refused an order
│   ├── BrokerUnavailable    4   the venue could not be read
│   ├── BrokerAuthError      4   the venue does not accept the token or password
│   ├── BrokerProtocolError  4   the venue answered what it never should
│   ├── BrokerRateLimited    4   too many requests
│   ├── AccountMismatch      4   the account at the venue is not the one that was linked
│   ├── ClockSkew            4   our clock and the venue's differ too much
│   ├── ReconciliationFailed 4   journal and venue could not be brought together
│   ├── LeaseLost            4   another process owns the account now
│   ├── AccountBusy          4   another process owns the account, and this one never did
│   ├── JournalUnavailable   4   the database did not answer, or did not confirm a commit
│   └── JournalBehind        4   the venue knows orders of ours that the journal does not
├── DatabaseError       4   PostgreSQL cannot be started, reached or used as it is
└── RiskHalt            5   a limit stopped trading
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar, Literal

Retry = Literal["never", "after_reconcile", "backoff"]
Sent = Literal["no", "maybe", "yes"]


class TradeSentryError(Exception):
    """Base of all errors: a message for people, a stable `code` for machines.

    Args:
        message: What happened, why, what to do.
        code: Stable identifier in snake case; the class's own code when omitted.
    """

    default_code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    is_retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code


class UsageError(TradeSentryError):
    """A command or call that cannot be understood."""

    default_code = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """A setting that is unknown, out of bounds or contradictory."""

    default_code = "config"


class DataError(TradeSentryError):
    """A file, series or period that cannot be used."""

    default_code = "data"
    exit_code = 3


class ImportRefused(DataError):
    """A vendor file that fails validation; the message names the first bad row."""

    default_code = "import_refused"


class ModelRefused(DataError):
    """A trained model that is damaged, was changed, or was made for something else."""

    default_code = "model_refused"


class ClockError(DataError):
    """A time zone that is missing, unknown or disproved by the data."""

    default_code = "clock"


class CapacityError(TradeSentryError):
    """A fixed-size record that is full."""

    default_code = "capacity"


class StateMismatch(UsageError):
    """Saved bytes whose record layout differs from this version's."""

    default_code = "state_mismatch"


class CheckFailed(TradeSentryError):
    """A proof or verdict that failed."""

    default_code = "check_failed"


class BrokerError(TradeSentryError):
    """The venue or the network failed.

    Args:
        message: What happened, why, what to do.
        code: Stable identifier; the class's own when omitted.
        retry: When the same thing may be tried again; the class's own when omitted.
        sent: Whether bytes of a command may have reached the venue; the class's own when omitted.
    """

    default_code = "broker"
    exit_code = 4
    is_retryable = True
    default_retry: ClassVar[Retry] = "backoff"
    default_sent: ClassVar[Sent] = "no"

    def __init__(
        self, message: str, *, code: str | None = None, retry: Retry | None = None, sent: Sent | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry: Retry = retry or self.default_retry
        self.sent: Sent = sent or self.default_sent


class BrokerRejected(BrokerError):
    """The venue refused an order."""

    default_code = "broker_rejected"
    is_retryable = False
    default_retry = "never"
    default_sent = "yes"


class BrokerUnavailable(BrokerError):
    """The venue could not be read; commands never raise it, they return an outcome."""

    default_code = "broker_unavailable"


class BrokerAuthError(BrokerError):
    """The venue does not accept the token or password."""

    default_code = "broker_auth"
    is_retryable = False
    default_retry = "never"


class BrokerProtocolError(BrokerError):
    """The venue answered what it never should, so nothing may be concluded from it."""

    default_code = "broker_protocol"
    default_retry = "after_reconcile"
    default_sent = "maybe"


class BrokerRateLimited(BrokerError):
    """The venue or our own throttle refused because of too many requests."""

    default_code = "broker_rate_limited"


class AccountMismatch(BrokerError):
    """Login, environment, currency or netting at the venue differ from the link."""

    default_code = "account_mismatch"
    is_retryable = False
    default_retry = "never"


class ClockSkew(BrokerError):
    """Our clock and the venue's differ too much to judge the age of a quote."""

    default_code = "clock_skew"


class ReconciliationFailed(BrokerError):
    """Journal and venue could not be brought together; nothing is sent."""

    default_code = "reconciliation_failed"
    default_retry = "after_reconcile"


class LeaseLost(BrokerError):
    """Another process owns the account now; everything known about it here is stale."""

    default_code = "lease_lost"
    is_retryable = False
    default_retry = "never"


class AccountBusy(BrokerError):
    """Another process trades the account; this one started nothing."""

    default_code = "account_busy"


class JournalUnavailable(BrokerError):
    """The database did not answer or did not confirm a commit; nothing may be sent on its strength."""

    default_code = "journal_unavailable"
    default_retry = "after_reconcile"


class JournalBehind(BrokerError):
    """The venue knows orders of ours that the journal lacks: it was restored, or a replica was promoted."""

    default_code = "journal_behind"
    is_retryable = False
    default_retry = "never"


class DatabaseError(TradeSentryError):
    """PostgreSQL cannot be started, reached or used as it is."""

    default_code = "database"
    exit_code = 4


class RiskHalt(TradeSentryError):
    """A limit stopped trading."""

    default_code = "risk_halt"
    exit_code = 5


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that suggests the nearest known name, or lists all of them.

    Args:
        name: What the user wrote.
        known: The names that exist.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "None exist yet."
