"""Send commands the one safe way: in time, under the throttle, behind the fence, and never cut off half-way.

What is the same for every adapter around the sending itself. Order of work: throttle → deadline → fence → the
adapter's own code. Until then nothing has left, so each of the three ends in `NotSent`. The command runs in a task of
its own: canceling whoever awaits it does not cancel it, and its outcome is handed to `on_late`.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from tradesentry.core.broker.base_broker import CommandStamp, NotSent, Outcome
from tradesentry.core.domain.clock import Clock

LateSink: TypeAlias = Callable[[str, CommandStamp, Outcome | BaseException], None]
Work: TypeAlias = Callable[[float], Awaitable[Outcome]]
"""Takes the monotonic time after which no byte may leave."""


class Throttle:
    """A token bucket that keeps its last tokens for protective commands.

    Args:
        clock: For the refill.
        per_second: Steady rate.
        burst: Most tokens.
        reserve: Tokens that only protective commands may take.
    """

    def __init__(self, clock: Clock, *, per_second: float = 20.0, burst: float = 40.0, reserve: float = 5.0) -> None:
        self._clock, self._per_second, self._burst, self._reserve = clock, per_second, burst, reserve
        self._tokens = burst
        self._at = clock.monotonic()

    async def take(self, *, is_protective: bool, deadline: float) -> bool:
        """Wait for a token; return False at once when none can come before `deadline` (monotonic seconds)."""
        wanted = 1.0 if is_protective else 1.0 + self._reserve
        while True:
            now = self._clock.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
            self._at = now
            if self._tokens >= wanted - 1e-9:
                self._tokens -= 1.0
                return True
            wait = (wanted - self._tokens) / self._per_second
            if now + wait > deadline:
                return False
            await self._clock.sleep(wait)


def _always(_: CommandStamp) -> bool:
    return True


class CommandGate:
    """Runs the commands of one account.

    Args:
        clock: Time.
        throttle: Shared by all commands of the account.
        max_send_seconds: No byte leaves later than this after the `SENDING` commit.
        may_send: The fence: whether the lease behind a stamp is still ours.
        on_late: Receives the outcome of a command that nobody awaits any more.
    """

    MAX_SEND_SECONDS: Final = 5.0

    def __init__(
        self,
        clock: Clock,
        *,
        throttle: Throttle | None = None,
        max_send_seconds: float = MAX_SEND_SECONDS,
        may_send: Callable[[CommandStamp], bool] = _always,
        on_late: LateSink | None = None,
    ) -> None:
        self._clock, self._throttle = clock, throttle or Throttle(clock)
        self._max_send_seconds, self._may_send, self._on_late = max_send_seconds, may_send, on_late
        self._running: set[asyncio.Task[Outcome]] = set()

    async def run(self, name: str, stamp: CommandStamp, work: Work, *, is_protective: bool) -> Outcome:
        """Return the outcome of `work`, or say that it was not started.

        Args:
            name: Of the command, for `on_late`.
            stamp: Authority and commit time.
            work: Sends the command; called at most once.
            is_protective: Whether it reduces or protects, and so goes first.
        """
        task = asyncio.create_task(self._send(stamp, work, is_protective=is_protective))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: self._report(name, stamp, done))
            raise

    async def drain(self) -> None:
        """Wait until no command is under way."""
        while self._running:
            await asyncio.wait(set(self._running))

    async def _send(self, stamp: CommandStamp, work: Work, *, is_protective: bool) -> Outcome:
        start = self._clock.monotonic() if stamp.committed_at is None else stamp.committed_at
        deadline = start + self._max_send_seconds
        if not math.isfinite(deadline) or self._clock.monotonic() >= deadline:
            return NotSent("deadline", f"More than {self._max_send_seconds:g} s had passed since the commit.")
        if not await self._throttle.take(is_protective=is_protective, deadline=deadline):
            return NotSent("throttled", "The account's rate limit leaves no room before the deadline.")
        if not self._may_send(stamp):
            return NotSent("fenced", f"Epoch {stamp.epoch} no longer owns the account.")
        return await work(deadline)

    def _report(self, name: str, stamp: CommandStamp, done: "asyncio.Task[Outcome]") -> None:
        if self._on_late is None or done.cancelled():
            return
        self._on_late(name, stamp, done.exception() or done.result())
