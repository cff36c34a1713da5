"""Count what goes wrong with an account, and say when it is too much: then nothing new is opened.

Separate from the gates, because streams and the order manager report to it. Counts are of a sliding window; a kind that
was over its limit stays over until a whole window has passed without one more.
"""

from collections import deque
from enum import StrEnum

from pydantic import Field

from tradesentry.core.execution.journal_rows import NS_PER_SECOND
from tradesentry.core.utils.config_model import FrozenModel


class Mishap(StrEnum):
    """What is counted."""

    REFUSED = "refused"
    """The venue refused an order."""
    UNKNOWN = "unknown"
    """Nobody knows what became of an order."""
    STREAM_LOST = "stream_lost"


class ErrorBudgetSettings(FrozenModel):
    """How much may go wrong within a window."""

    window_seconds: float = Field(600.0, ge=1, le=86_400, description="Length of the window.")
    max_refused: int = Field(5, ge=1, le=10_000, description="Refused orders at which the account is only reduced.")
    max_unknown: int = Field(2, ge=1, le=10_000, description="Orders without an outcome at which it is.")
    max_stream_losses: int = Field(10, ge=1, le=10_000, description="Lost streams at which it is.")


class ErrorBudget:
    """The mishaps of one account.

    Args:
        settings: Limits and window.
    """

    def __init__(self, settings: ErrorBudgetSettings | None = None) -> None:
        self._settings = settings or ErrorBudgetSettings()
        self._seen: dict[Mishap, deque[int]] = {kind: deque() for kind in Mishap}
        self._over: set[Mishap] = set()

    def note(self, kind: Mishap, *, now_ns: int) -> None:
        """Count a mishap."""
        seen = self._seen[kind]
        if self.count(kind, now_ns=now_ns) == 0:
            self._over.discard(kind)
        seen.append(now_ns)
        if len(seen) >= self._limit(kind):
            self._over.add(kind)

    def count(self, kind: Mishap, *, now_ns: int) -> int:
        """Return the mishaps of a kind within the window."""
        self._forget(kind, now_ns)
        return len(self._seen[kind])

    def exceeded(self, *, now_ns: int) -> str:
        """Return what is too much, in words; empty while there is room."""
        for kind in tuple(self._over):
            if self.count(kind, now_ns=now_ns) == 0:
                self._over.discard(kind)
        parts = (
            f"{self.count(kind, now_ns=now_ns)} x {kind.value} (limit {self._limit(kind)})"
            for kind in sorted(self._over)
        )
        text = ", ".join(parts)
        return text and f"{text} within {self._settings.window_seconds:g} s"

    def _limit(self, kind: Mishap) -> int:
        numbers = self._settings
        return {
            Mishap.REFUSED: numbers.max_refused,
            Mishap.UNKNOWN: numbers.max_unknown,
            Mishap.STREAM_LOST: numbers.max_stream_losses,
        }[kind]

    def _forget(self, kind: Mishap, now_ns: int) -> None:
        seen, oldest = self._seen[kind], now_ns - round(self._settings.window_seconds * NS_PER_SECOND)
        while seen and seen[0] <= oldest:
            seen.popleft()
