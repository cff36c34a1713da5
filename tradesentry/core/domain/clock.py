"""Tell the time: the only door to clocks, so that live code runs unchanged on a clock that a test moves.

A `Clock` gives wall time in ns UTC, a monotonic time for deadlines, and a sleep. `SystemClock` is real; `FakeClock`
stands still until it is moved. Vendors' times (RFC 3339 with nanoseconds, UNIX seconds) are read here as integers,
because `datetime` would lose the last three digits.
"""

import asyncio
import heapq
import itertools
import re
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar

from tradesentry.core.domain.errors import BrokerProtocolError

T = TypeVar("T")
NS_PER_SECOND: Final = 1_000_000_000
_RFC3339: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-]\d{2}:\d{2}))")
_UNIX: Final = re.compile(r"(-?\d+)(?:\.(\d{1,9})\d*)?")


class Clock(Protocol):
    """Wall time, monotonic time, and waiting."""

    def now_ns(self) -> int:
        """Return wall time, ns UTC."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Return wall time, ns UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class FakeClock:
    """A clock that stands still until `advance`; who sleeps wakes in the order of the alarm times.

    Args:
        now_ns: Wall time at the start, ns UTC.
    """

    TURNS_PER_ALARM: Final = 25
    """Rounds of the event loop after each alarm, so that what it wakes can act before the next."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._elapsed_ns = 0
        self._numbers = itertools.count()
        self._alarms: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ns(self) -> int:
        """Return wall time, ns UTC."""
        return self._now_ns

    def monotonic(self) -> float:
        """Return seconds since the clock was made."""
        return self._elapsed_ns / NS_PER_SECOND

    def jump(self, seconds: float) -> None:
        """Set the wall time forward or back without waking anybody, as a corrected clock does."""
        self._now_ns += round(seconds * NS_PER_SECOND)

    def move_to(self, now_ns: int) -> None:
        """Set the wall time, ns UTC, without waking anybody, as a replay does with each bar."""
        self._now_ns = now_ns

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        alarm = asyncio.get_running_loop().create_future()
        due = self._elapsed_ns + round(seconds * NS_PER_SECOND)
        heapq.heappush(self._alarms, (due, next(self._numbers), alarm))
        await alarm

    async def advance(self, seconds: float) -> None:
        """Move the clock on, waking sleepers one alarm time after another."""
        end = self._elapsed_ns + round(seconds * NS_PER_SECOND)
        await self._turn()
        while self._alarms and self._alarms[0][0] <= end:
            due, _, alarm = heapq.heappop(self._alarms)
            self._move_to(max(due, self._elapsed_ns))
            if not alarm.done():
                alarm.set_result(None)
                await self._turn()
        self._move_to(end)
        await self._turn()

    def _move_to(self, elapsed_ns: int) -> None:
        self._now_ns += elapsed_ns - self._elapsed_ns
        self._elapsed_ns = elapsed_ns

    async def _turn(self) -> None:
        for _ in range(self.TURNS_PER_ALARM):
            await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class ClockSample:
    """What one look at the venue's clock says about ours."""

    offset_ns: int
    """Venue minus us; the true offset lies within half of `rtt_ns` of it."""
    rtt_ns: int


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, or cancel it when the time is over on `clock`.

    Raises:
        TimeoutError: The time is over.
    """
    task, alarm = asyncio.ensure_future(work), asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        for pending in (task, alarm):
            pending.cancel()
        await asyncio.gather(task, alarm, return_exceptions=True)


def _nanoseconds(digits: str | None) -> int:
    return int((digits or "0").ljust(9, "0"))


def parse_time_ns(text: str) -> int:
    """Return ns UTC of a vendor's time; "0" and "" mean that there is none and give 0.

    Args:
        text: RFC 3339 with up to nanoseconds, or UNIX seconds with decimals.

    Raises:
        BrokerProtocolError: Neither.
    """
    if text in ("", "0"):
        return 0
    match = _RFC3339.fullmatch(text)
    if match:
        date, day_time, digits, offset = match.groups()
        seconds = int(datetime.fromisoformat(f"{date}T{day_time}{offset or '+00:00'}").timestamp())
        return seconds * NS_PER_SECOND + _nanoseconds(digits)
    match = _UNIX.fullmatch(text)
    if match:
        seconds, digits = int(match[1]), _nanoseconds(match[2])
        return seconds * NS_PER_SECOND + (-digits if text.startswith("-") else digits)
    raise BrokerProtocolError(
        f"The venue wrote the time {text!r}, which is neither RFC 3339 nor UNIX seconds. Nothing is concluded from "
        "that message; look whether the adapter knows this version of the venue's interface.",
        code="unreadable_time",
    )


def format_time(ts_ns: int) -> str:
    """Return RFC 3339 UTC with nine decimals, the form that OANDA writes."""
    seconds, nanoseconds = divmod(ts_ns, NS_PER_SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
