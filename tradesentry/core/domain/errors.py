"""Every error a user can meet, with its exit code.

A message says what happened, why (the values) and what to do; `code` is stable and meant for machines.

TradeSentryError
├── UsageError          2   a command or call that cannot be understood
│   └── ConfigError     2   a setting that is unknown, out of bounds or contradictory
├── DataError           3   a file, series or period that cannot be used
│   ├── ImportRefused   3   a vendor file that fails validation, with its row
│   └── ClockError      3   a time zone that is missing, unknown or disproved by the data
├── CapacityError       1   a fixed-size record that is full; says which and how to raise it
├── StateMismatch       2   saved bytes whose layout differs from this version's
├── CheckFailed         1   a proof or verdict that failed
├── BrokerError         4   the venue or the network; `is_retryable` says whether to try again
│   └── BrokerRejected  4   the venue refused an order
└── RiskHalt            5   a limit stopped trading
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar


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
    """The venue or the network failed."""

    default_code = "broker"
    exit_code = 4
    is_retryable = True


class BrokerRejected(BrokerError):
    """The venue refused an order."""

    default_code = "broker_rejected"
    is_retryable = False


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
