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
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.utils.alert_gate import Alert, AlertGate, GateLimits, Severity
from tradesentry.core.utils.logger import get_logger

if TYPE_CHECKING:
    import apprise

__all__ = ["Alert", "AlertGate", "DeliveryPolicy", "GateLimits", "Notifier", "Severity", "TargetStats"]

_log = get_logger(__name__)

Clock = Callable[[], float]
"""Returns seconds on a clock that never goes back."""
Sleep = Callable[[float], object]
"""Waits that many seconds."""
Done = Callable[[bool], None]
"""Told whether anybody got an alert; called from any thread, so it returns at once."""


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


class _Receipt:
    """Says once what became of an alert: when the first target has it, or when the last one has failed."""

    def __init__(self, n_targets: int, on_done: Done) -> None:
        self._left, self._on_done = n_targets, on_done
        self._lock = threading.Lock()

    def note(self, *, is_sent: bool) -> None:
        with self._lock:
            if self._left == 0:
                return
            self._left = 0 if is_sent else self._left - 1
            is_over = self._left == 0
        if is_over:
            self._on_done(is_sent)


class _Target:
    """One address with its queue and thread."""

    def __init__(self, name: str, sender: "apprise.Apprise", policy: DeliveryPolicy, sleep: Sleep | None) -> None:
        self.name = name
        self._sender = sender
        self._policy = policy
        self._ready = threading.Condition()
        self._queue: deque[tuple[Alert, _Receipt]] = deque()
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._is_sending = False
        self._n_sent = self._n_failed = self._n_dropped = 0
        self._thread = threading.Thread(target=self._work, name=f"notify-{name}", daemon=True)
        self._thread.start()

    def put(self, alert: Alert, receipt: _Receipt) -> None:
        dropped = None
        with self._ready:
            self._queue.append((alert, receipt))
            if len(self._queue) > self._policy.capacity:
                # min() keeps the first of equals, which is the oldest.
                dropped = min(self._queue, key=lambda waiting: waiting[0].severity)
                self._queue.remove(dropped)
                self._n_dropped += 1
            self._ready.notify()
        if dropped is not None:
            dropped[1].note(is_sent=False)

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
                alert, receipt = self._queue.popleft()
                self._is_sending = True
            is_sent = self._deliver(alert)
            receipt.note(is_sent=is_sent)
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
        self._lock = threading.RLock()
        self._gate = AlertGate(limits or GateLimits())
        self._is_closed = threading.Event()
        self._digest_due = threading.Event()
        self._targets = [_Target(name, sender, policy, sleep) for name, sender in senders]
        self._n_held = 0
        self._held_receipts: list[Done] = []
        if self._targets:
            threading.Thread(target=self._send_digests, name="notify-digest", daemon=True).start()

    @property
    def has_targets(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self._targets)

    def notify(
        self,
        title: str,
        body: str = "",
        *,
        severity: Severity = Severity.INFO,
        key: str = "",
        on_done: Done | None = None,
    ) -> bool:
        """Queue an alert for every target and return at once.

        Args:
            title: What happened, in a few words.
            body: The values, and what to do.
            severity: How much it matters.
            key: Alerts of equal key are repeats of one another; the title when empty.
            on_done: Told once whether anybody got it, alone or by the digest that counts it. Never called when the
                alert is refused because the notifier is closed or has no targets.

        Returns:
            True when it was queued; False when it was held back for a digest, or nobody is to be told.
        """
        alert = Alert(title, body, severity, key)
        with self._lock:
            if self._is_closed.is_set() or not self._targets:
                return False
            is_admitted = self._gate.admit(alert, self._clock())
            if is_admitted:
                self._put(alert, [] if on_done is None else [on_done])
            else:
                self._n_held += 1
                self._held_receipts += [] if on_done is None else [on_done]
                self._digest_due.set()
        return is_admitted

    def send_due_digest(self) -> bool:
        """Queue the digest if it is due and return whether it was; a thread of the notifier does this by itself."""
        with self._lock:
            digest = self._gate.digest(self._clock())
            if digest:
                self._put_digest(digest)
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
                    self._put_digest(digest)
        for target in self._targets:
            target.close()
        end = time.monotonic() + timeout
        # Every target is given its time, also after one was late.
        is_done = [target.join(end - time.monotonic()) for target in self._targets]
        for target, done in zip(self._targets, is_done, strict=True):
            if not done:
                _log.error("alerts_left_behind", target=target.name, n_waiting=target.stats().n_waiting)
        return all(is_done)

    def _put_digest(self, digest: Alert) -> None:
        waiting, self._held_receipts = self._held_receipts, []
        self._put(digest, waiting)

    def _put(self, alert: Alert, waiting: list[Done]) -> None:
        def tell(is_sent: bool) -> None:
            if not is_sent:
                with self._lock:
                    self._gate.forgive(alert)
            for on_done in waiting:
                on_done(is_sent)

        receipt = _Receipt(len(self._targets), tell)
        for target in self._targets:
            target.put(alert, receipt)

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
