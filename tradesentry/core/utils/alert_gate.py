"""What an alert is, and which ones go out now: repeats and floods are held back and told in one digest.

Separate from `notifier`, which needs threads and addresses: this half is pure in time.
"""

from collections import Counter, deque
from dataclasses import dataclass
from enum import IntEnum

DIGEST_LINES = 20
"""Kinds of alerts a digest lists; messengers refuse long texts."""


class Severity(IntEnum):
    """How much an alert matters; a full queue loses the least severe first."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2
    """Never held back by the rate limit."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One message to people.

    Args:
        title: What happened, in a few words.
        body: The values, and what to do.
        severity: How much it matters.
        key: Alerts of equal key are repeats of one another; the title when empty.
    """

    title: str
    body: str = ""
    severity: Severity = Severity.INFO
    key: str = ""


@dataclass(frozen=True, slots=True)
class GateLimits:
    """How many alerts people get.

    Args:
        repeat_seconds: Repeats of one alert within that time are counted, not sent.
        window_seconds: Length of the sliding window of the rate limit.
        n_per_window: Alerts sent per window; the rest waits for a digest.
    """

    repeat_seconds: float = 600.0
    window_seconds: float = 600.0
    n_per_window: int = 10


class AlertGate:
    """Decide which alerts go out now; pure in time, so it needs neither thread nor clock."""

    def __init__(self, limits: GateLimits) -> None:
        self._limits = limits
        self._last_sent: dict[str, float] = {}
        self._sent_at: deque[float] = deque()
        self._held: Counter[str] = Counter()

    @property
    def n_held(self) -> int:
        """Alerts that wait for the next digest."""
        return self._held.total()

    def admit(self, alert: Alert, now: float) -> bool:
        """Return whether `alert` goes out now; if not, it is counted for the digest."""
        self._forget(now)
        key = alert.key or alert.title
        is_repeat = key in self._last_sent
        is_full = len(self._sent_at) >= self._limits.n_per_window and alert.severity < Severity.CRITICAL
        if is_repeat or is_full:
            self._held[alert.title] += 1
            return False
        self._last_sent[key] = now
        self._sent_at.append(now)
        return True

    def seconds_to_digest(self, now: float) -> float | None:
        """Return how long until a digest may go out, None when there is nothing to tell."""
        self._forget(now)
        if not self._held:
            return None
        return max(0.0, self._sent_at[0] + self._limits.window_seconds - now) if self._sent_at else 0.0

    def digest(self, now: float) -> Alert | None:
        """Return the summary of what was held back and forget it; None while it is too early or nothing was."""
        if self.seconds_to_digest(now) != 0.0:
            return None
        return self.flush(now)

    def flush(self, now: float) -> Alert | None:
        """Return the summary of what was held back at once, as before closing."""
        if not self._held:
            return None
        lines = [f"{n} x {title}" for title, n in self._held.most_common(DIGEST_LINES)]
        n_titles = len(self._held) - len(lines)
        alert = Alert(
            f"{self.n_held} more alerts",
            "\n".join([*lines, f"and {n_titles} other kinds"] if n_titles else lines),
            Severity.WARNING,
        )
        self._held.clear()
        self._sent_at.append(now)
        return alert

    def forgive(self, alert: Alert) -> None:
        """Forget that `alert` went out, because nobody got it: the next try is no repeat."""
        self._last_sent.pop(alert.key or alert.title, None)

    def _forget(self, now: float) -> None:
        while self._sent_at and now - self._sent_at[0] >= self._limits.window_seconds:
            self._sent_at.popleft()
        old = [key for key, at in self._last_sent.items() if now - at >= self._limits.repeat_seconds]
        for key in old:
            del self._last_sent[key]
