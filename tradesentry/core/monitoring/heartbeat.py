"""Show an outside watcher that this process lives; silence is the alarm.

Nobody can report his own death, so a watcher elsewhere expects a beat every minute and raises the alarm when none
comes. A beat is withheld when the process lives but does not do its work (`health`), because a beat from a trader that
hears nothing would hide just what it is for. What can still be seen from inside is told from inside: a beat that the
watcher did not take, and one that came late because the process stood still.

Two instruments belong to it: `LoopLag` measures how late the event loop is, `StreamAges` how long each stream is
silent.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx

from tradesentry.core.domain.clock import Clock
from tradesentry.core.monitoring.alerts import AlertSink
from tradesentry.core.utils.logger import get_logger

_log = get_logger(__name__)
EVERY_SECONDS: Final = 60.0
TIMEOUT_SECONDS: Final = 5.0
N_TRIES: Final = 3
"""Per beat; a beat twice does no harm."""
PAUSE_SECONDS: Final = 10.0
LATE_FRACTION: Final = 0.5
"""A beat that much of its interval late was missed."""


class Heartbeat:
    """Beats until it is canceled.

    Args:
        client: Sends; its time limits are overridden.
        url: Of the watcher; it usually holds a secret, so only its host is ever shown.
        clock: Time.
        alert: Tells people what can be told from inside.
        name: Of this process, for the texts.
        every_seconds: Between beats; the watcher's own patience should be twice that.
        health: Says why no beat may go out, None when all is well; not given: who lives beats.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        clock: Clock,
        *,
        alert: AlertSink,
        name: str = "this process",
        every_seconds: float = EVERY_SECONDS,
        health: Callable[[], str | None] | None = None,
    ) -> None:
        self._client, self._url, self._clock, self._alert = client, url, clock, alert
        self._name, self._every_seconds, self._health = name, every_seconds, health
        self._host = urlsplit(url).hostname or "the watcher"
        self.last_beat_at: float | None = None
        """When the watcher last took a beat, monotonic seconds."""
        self.n_missed = 0
        """Beats in a row that it did not take."""

    async def run(self) -> None:
        """Beat every `every_seconds`, counted from the start, not from the end of the last beat."""
        due = self._clock.monotonic()
        while True:
            late = self._clock.monotonic() - due
            if late >= LATE_FRACTION * self._every_seconds:
                self._tell_late(late)
                due = self._clock.monotonic()
            await self.beat()
            due += self._every_seconds
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))

    async def beat(self) -> bool:
        """Send one beat, with a few tries; return whether the watcher took it."""
        problem = None if self._health is None else self._health()
        if problem is not None:
            self._miss("heartbeat_withheld", f"{self._name} sends no heartbeat: {problem} {self._outlook} Repair that.")
            return False
        reason = ""
        for number in range(N_TRIES):
            reason = await self._try()
            if not reason:
                self.last_beat_at, n_missed, self.n_missed = self._clock.monotonic(), self.n_missed, 0
                if n_missed:
                    _log.info("heartbeat_taken_again", host=self._host, n_missed=n_missed)
                return True
            if number < N_TRIES - 1:
                await self._clock.sleep(PAUSE_SECONDS)
        self._miss(
            "heartbeat_missed",
            f"The watcher at {self._host} did not take the heartbeat of {self._name}: {reason}. {self._outlook} Check "
            "the network of this host and the watcher's address.",
        )
        return False

    @property
    def _outlook(self) -> str:
        return "The watcher will raise the alarm."

    async def _try(self) -> str:
        """Return why the watcher did not take a beat; empty when it did. Its address stays out of the words."""
        try:
            answer = await self._client.post(self._url, json={"from": self._name}, timeout=TIMEOUT_SECONDS)
        except httpx.HTTPError as error:
            return f"no answer ({type(error).__name__})"
        return "" if answer.is_success else f"it answered {answer.status_code}"

    def _miss(self, code: str, text: str) -> None:
        self.n_missed += 1
        _log.warning(code, host=self._host, n_missed=self.n_missed)
        self._alert(code, text)

    def _tell_late(self, seconds: float) -> None:
        _log.error("heartbeat_late", late_seconds=round(seconds, 1))
        self._alert(
            "heartbeat_late",
            f"{self._name} stood still: its heartbeat came {seconds:.0f} s late. Orders may have waited and a lease "
            "may be lost. Look for a frozen host, a suspended process or blocking work on its event loop.",
        )


class LoopLag:
    """Measures how late the event loop wakes a sleeper.

    Args:
        clock: Time.
        every_seconds: Length of the sleep that is measured.
        blocked_seconds: From when on people are told.
        alert: Tells them.
        n_kept: Samples kept for `quantile`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        every_seconds: float = 0.1,
        blocked_seconds: float = 2.0,
        alert: AlertSink | None = None,
        n_kept: int = 6_000,
    ) -> None:
        self._clock, self._every_seconds = clock, every_seconds
        self._blocked_seconds, self._alert = blocked_seconds, alert
        self._samples: deque[float] = deque(maxlen=n_kept)
        self._worst = 0.0

    async def run(self) -> None:
        """Measure until canceled."""
        while True:
            due = self._clock.monotonic() + self._every_seconds
            await self._clock.sleep(self._every_seconds)
            self._note(max(0.0, self._clock.monotonic() - due))

    def take_worst(self) -> float:
        """Return the worst lag since the last call, seconds."""
        worst, self._worst = self._worst, 0.0
        return worst

    def quantile(self, share: float) -> float:
        """Return a quantile of the lags kept, seconds; 0 before the first.

        Args:
            share: 0.99 for the lag that one of a hundred exceeds.
        """
        ordered = sorted(self._samples)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def _note(self, lag: float) -> None:
        self._samples.append(lag)
        self._worst = max(self._worst, lag)
        if lag >= self._blocked_seconds and self._alert is not None:
            self._alert(
                "loop_blocked",
                f"The event loop stood still for {lag:.1f} s: something does slow work on it, or the host is "
                "overloaded. Quotes and orders waited. Move accounts to another agent, or report what ran.",
            )


class StreamAges:
    """Remembers when each stream was last heard.

    Args:
        clock: Time.
        limits: After how many seconds of silence a stream counts as dead, by name; others have no limit.
    """

    def __init__(self, clock: Clock, *, limits: Mapping[str, float] | None = None) -> None:
        self._clock, self._limits = clock, dict(limits or {})
        self._heard_at = dict.fromkeys(self._limits, clock.monotonic())

    def heard(self, stream: str) -> None:
        """Note that a stream said something, be it a heartbeat."""
        self._heard_at[stream] = self._clock.monotonic()

    @property
    def ages(self) -> dict[str, float]:
        """Seconds of silence by stream; one with a limit that never spoke counts from the start."""
        now = self._clock.monotonic()
        return {stream: now - at for stream, at in self._heard_at.items()}

    def problem(self) -> str | None:
        """Return which streams are dead, in words; None when none is. For `Heartbeat(health=...)`."""
        dead = [
            f"{stream} is silent for {age:.0f} s (allowed {self._limits[stream]:g} s)"
            for stream, age in sorted(self.ages.items())
            if stream in self._limits and age > self._limits[stream]
        ]
        return f"{'; '.join(dead)}." if dead else None
