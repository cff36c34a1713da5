"""Tell people, on whatever they read, without ever making the caller wait.

A target is an apprise address: Telegram (`tgram://`), e-mail (`mailtos://`), a webhook (`jsons://`), Slack, Matrix, SMS
and about a hundred more. Every target has its own queue and thread, so one that hangs delays no other and never the
caller. The order of work:

1. `AlertGate` holds back repeats of one alert and what exceeds the rate; a digest tells of both later;
2. the alert is queued; a full queue loses its oldest, least severe alert and counts it;
3. the target's thread sends, with retries and growing pauses. A failure is logged, never raised.

Addresses hold tokens, so logs name a target by its scheme and position only.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.utils.logger import get_logger

if TYPE_CHECKING:
    import apprise

_log = get_logger(__name__)

Clock = Callable[[], float]
"""Returns seconds on a clock that never goes back."""
Sleep = Callable[[float], object]
"""Waits that many seconds."""


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

    def _forget(self, now: float) -> None:
        while self._sent_at and now - self._sent_at[0] >= self._limits.window_seconds:
            self._sent_at.popleft()
        old = [key for key, at in self._last_sent.items() if now - at >= self._limits.repeat_seconds]
        for key in old:
            del self._last_sent[key]


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How hard a target is tried.

    Args:
        n_attempts: Tries per alert.
        pause_seconds: Pause after the first failure; it doubles up to `max_pause_seconds`.
        max_pause_seconds: Longest pause.
        timeout_seconds: How long one try may wait for a connection, and again for an answer.
        capacity: Alerts that wait per target.
    """

    n_attempts: int = 5
    pause_seconds: float = 1.0
    max_pause_seconds: float = 60.0
    timeout_seconds: float = 5.0
    capacity: int = 256


@dataclass(frozen=True, slots=True)
class TargetStats:
    """Counts of one target since the start."""

    name: str
    n_sent: int
    n_failed: int
    n_dropped: int
    n_waiting: int


class _Target:
    """One address with its queue and thread."""

    def __init__(self, name: str, sender: "apprise.Apprise", policy: DeliveryPolicy, sleep: Sleep | None) -> None:
        self.name = name
        self._sender = sender
        self._policy = policy
        self._ready = threading.Condition()
        self._queue: deque[Alert] = deque()
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._is_sending = False
        self._n_sent = self._n_failed = self._n_dropped = 0
        self._thread = threading.Thread(target=self._work, name=f"notify-{name}", daemon=True)
        self._thread.start()

    def put(self, alert: Alert) -> None:
        with self._ready:
            if len(self._queue) >= self._policy.capacity:
                self._queue.append(alert)
                # min() keeps the first of equals, which is the oldest.
                self._queue.remove(min(self._queue, key=lambda waiting: waiting.severity))
                self._n_dropped += 1
            else:
                self._queue.append(alert)
            self._ready.notify()

    def stats(self) -> TargetStats:
        with self._ready:
            n_waiting = len(self._queue) + self._is_sending
            return TargetStats(self.name, self._n_sent, self._n_failed, self._n_dropped, n_waiting)

    def close(self) -> None:
        with self._ready:
            self._closing.set()
            self._ready.notify()

    def join(self, timeout: float) -> bool:
        self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._queue or self._closing.is_set())
                if not self._queue:
                    return
                alert = self._queue.popleft()
                self._is_sending = True
            is_sent = self._deliver(alert)
            with self._ready:
                self._is_sending = False
                self._n_sent += is_sent
                self._n_failed += not is_sent

    def _deliver(self, alert: Alert) -> bool:
        pause = self._policy.pause_seconds
        for attempt in range(1, self._policy.n_attempts + 1):
            if self._send(alert):
                return True
            _log.warning("alert_delivery_failed", target=self.name, title=alert.title, attempt=attempt)
            if attempt < self._policy.n_attempts:
                self._sleep(pause)
                pause = min(2 * pause, self._policy.max_pause_seconds)
        _log.error("alert_lost", target=self.name, title=alert.title, n_attempts=self._policy.n_attempts)
        return False

    def _send(self, alert: Alert) -> bool:
        kind = ("info", "warning", "failure")[alert.severity]
        try:
            sent = self._sender.notify(
                title=alert.title, body=alert.body or alert.title, notify_type=kind, body_format="text"
            )
            # A dead target returns False, one without an address None; neither raises.
            return bool(sent)
        # Plugins are many and third-party; whatever one raises must not end the thread of its target. Its text may
        # hold the address, hence only the type is logged.
        except Exception as error:  # noqa: BLE001
            _log.warning("alert_target_raised", target=self.name, error=type(error).__name__)
            return False


class Notifier:
    """Send alerts to all targets without blocking; safe to call from any thread.

    Args:
        urls: Apprise addresses. None given means that nobody is told and every call returns at once.
        limits: How many alerts people get.
        policy: How hard each target is tried.
        clock: Seconds that never go back; tests pass their own.
        sleep: How a target waits between tries; by default it also wakes up when the notifier closes.

    Raises:
        ConfigError: An address is not understood. The message gives its position, never its text.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        limits: GateLimits | None = None,
        policy: DeliveryPolicy | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep | None = None,
    ) -> None:
        policy = policy or DeliveryPolicy()
        senders = [_sender(url, position, policy) for position, url in enumerate(urls, start=1)]
        self._clock = clock
        self._lock = threading.Lock()
        self._gate = AlertGate(limits or GateLimits())
        self._is_closed = threading.Event()
        self._digest_due = threading.Event()
        self._targets = [_Target(name, sender, policy, sleep) for name, sender in senders]
        self._n_held = 0
        if self._targets:
            threading.Thread(target=self._send_digests, name="notify-digest", daemon=True).start()

    def notify(self, title: str, body: str = "", *, severity: Severity = Severity.INFO, key: str = "") -> bool:
        """Queue an alert for every target and return at once.

        Args:
            title: What happened, in a few words.
            body: The values, and what to do.
            severity: How much it matters.
            key: Alerts of equal key are repeats of one another; the title when empty.

        Returns:
            True when it was queued; False when it was held back for a digest, or nobody is to be told.
        """
        alert = Alert(title, body, severity, key)
        with self._lock:
            if self._is_closed.is_set() or not self._targets:
                return False
            is_admitted = self._gate.admit(alert, self._clock())
            if is_admitted:
                self._put(alert)
            else:
                self._n_held += 1
                self._digest_due.set()
        return is_admitted

    def send_due_digest(self) -> bool:
        """Queue the digest if it is due and return whether it was; a thread of the notifier does this by itself."""
        with self._lock:
            digest = self._gate.digest(self._clock())
            if digest:
                self._put(digest)
        return digest is not None

    @property
    def n_held(self) -> int:
        """Alerts held back so far, as repeats or by the rate limit."""
        return self._n_held

    def stats(self) -> list[TargetStats]:
        """Return the counts of every target."""
        return [target.stats() for target in self._targets]

    def close(self, timeout: float = 10.0) -> bool:
        """Send what waits, digest included, without pauses between tries, and end the threads.

        Args:
            timeout: Longest wait, seconds.

        Returns:
            True when every queue was worked off in time. Later alerts are refused.
        """
        with self._lock:
            if not self._is_closed.is_set():
                self._is_closed.set()
                self._digest_due.set()
                digest = self._gate.flush(self._clock())
                if digest:
                    self._put(digest)
        for target in self._targets:
            target.close()
        end = time.monotonic() + timeout
        # Every target is given its time, also after one was late.
        is_done = [target.join(end - time.monotonic()) for target in self._targets]
        for target, done in zip(self._targets, is_done, strict=True):
            if not done:
                _log.error("alerts_left_behind", target=target.name, n_waiting=target.stats().n_waiting)
        return all(is_done)

    def _put(self, alert: Alert) -> None:
        for target in self._targets:
            target.put(alert)

    def _send_digests(self) -> None:
        while not self._is_closed.is_set():
            self._digest_due.wait()
            with self._lock:
                self._digest_due.clear()
                seconds = self._gate.seconds_to_digest(self._clock())
            # The clock may still be a rounding short of the due time; then look again.
            if seconds is not None and not self._is_closed.wait(seconds) and not self.send_due_digest():
                self._digest_due.set()


def _sender(url: str, position: int, policy: DeliveryPolicy) -> "tuple[str, apprise.Apprise]":
    import apprise  # heavy, and only needed where somebody is to be told

    # Its own log lines hold whole addresses, tokens included.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    plugin = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if plugin is None:
        scheme = url.partition("://")[0] if "://" in url else "none"
        raise ConfigError(
            f"Notification address {position} is not understood (its scheme: {scheme[:20]}). "
            "Write it as in https://github.com/caronc/apprise/wiki, such as tgram://TOKEN/CHAT or jsons://HOST/PATH.",
            code="notify_url",
        )
    plugin.socket_connect_timeout = plugin.socket_read_timeout = policy.timeout_seconds
    sender = apprise.Apprise()
    sender.add(plugin)
    return f"{url.partition('://')[0].lower()}-{position}", sender
